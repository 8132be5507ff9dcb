"""Stand-ins for tanh-NN-6 to tanh-NN-9, which are not published: six tanh layers of 250, trained on a fixed smooth function.

The function of n inputs in [0, 10] is ``sum_i sin(0.7 x_i + i) + 0.3 sum_i cos(0.5 (x_i - x_(i+1)))``, i counted from 1 and the
last x followed by the first: several waves per axis, so that the range has local extremes to get stuck in.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

import netassay as na
from deepquant.setting import Setting
from deepquant.weights import Figures, remembered
from netassay.models.network import Network

VERSION = 1
"""Part of the file names of kept weights; raised whenever the function, the layers or the training change."""

LOW, HIGH = 0.0, 10.0
BATCH, RATE = 256, 1e-3


class Centred(nn.Module):
    """Brings inputs of [0, 10] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n) to (batch, n)."""
        return (x - 5) / 5


def target(x: Tensor) -> Tensor:
    """The function of the module's docstring: (batch, n) to (batch,)."""
    phases = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
    waves = torch.sin(0.7 * x + phases).sum(dim=1)
    return waves + 0.3 * torch.cos(0.5 * (x - x.roll(-1, dims=1))).sum(dim=1)


def layers(inputs: int, width: int, depth: int) -> nn.Sequential:
    """``depth`` hidden tanh layers of ``width``, one output."""
    sizes = [inputs, *[width] * depth]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(Centred(), *hidden, nn.Linear(width, 1))


def tanh_network(setting: Setting, inputs: int, *, width: int = 250, depth: int = 6, steps: int = 1500) -> tuple[Network, float]:
    """A trained network on [0, 10]^n, and its root mean square error on 10,000 fresh points; trained once and kept."""
    torch.manual_seed(setting.seed)
    module = layers(inputs, width, depth)

    def learn(module: nn.Module) -> Figures:
        setting.say(f"  training a tanh network of {inputs} inputs, {steps} steps (kept for the next time)")
        _train(module, inputs, steps, setting.seed)
        return {"error": _error(module, inputs)}

    key = f"tanh-{inputs}-{depth}x{width}-{steps}-seed{setting.seed}-v{VERSION}.pt"
    error = remembered(setting.cache / key, module, learn)["error"]
    box = na.Box.filled((inputs,), LOW, HIGH)
    return na.Network(module, domain=box, outputs="values", name=f"tanh-{inputs}-inputs"), error


def _train(module: nn.Module, inputs: int, steps: int, seed: int) -> None:
    """Least squares on fresh uniform points at every step; the learning rate falls to zero along a cosine."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = LOW + (HIGH - LOW) * torch.rand(BATCH, inputs, generator=generator)
        optimiser.zero_grad()
        loss: Tensor = nn.functional.mse_loss(module(x)[:, 0], target(x))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def _error(module: nn.Module, inputs: int) -> float:
    x = LOW + (HIGH - LOW) * torch.rand(10_000, inputs, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float((module(x)[:, 0] - target(x)).square().mean().sqrt())
