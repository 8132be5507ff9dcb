"""A ResNet-50-size network (224 x 224 x 3, random weights) searched over a 50 x 50 patch: queries per second and peak memory.

DeepQuant, section 6.2.3, does this with ImageNet weights; those are not needed to know what it costs.
"""

from __future__ import annotations

import resource

import numpy as np
import torch
from torch import Tensor, nn

import netassay as na
from netassay.models.torch_module import from_module
from netassay.results.answer import LipschitzAnswer
from report import Row, stopwatch


class Bottleneck(nn.Module):
    """The residual block of He et al. 2016 (https://arxiv.org/abs/1512.03385): 1x1, 3x3, 1x1, four times as wide at its end."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        same = stride == 1 and inputs == 4 * width
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        return self.relu(self.body(x) + self.skip(x))


def resnet50(seed: int = 0) -> nn.Module:
    """25.6 million random weights, 1,000 labels."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            layers.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)).eval()


def measure(queries: int = 256) -> list[Row]:
    """Q over an L-infinity ball of 0.1 around a random image, 50 x 50 pixels free, by tpmads and by gradient."""
    network = from_module(resnet50(), (3, 224, 224), domain=na.Box.filled((3, 224, 224), 0, 1), name="resnet50-random")
    x = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32).astype(np.float64)
    mask = np.zeros((3, 224, 224), dtype=bool)
    mask[:, 80:130, 80:130] = True
    ball = na.Ball(x, 0.1, "linf", domain=network.domain, mask=mask)
    rows = []
    for method in ("tpmads", "gradient"):
        with stopwatch() as watch:
            answer = na.lipschitz(
                network, na.Robustness.of(network, x), ball, method=method, budget=na.Budget(queries=queries, memory=2 * 1024**3)
            )
        assert isinstance(answer, LipschitzAnswer)
        found = answer.bracket.lower.value if answer.bracket.lower else 0.0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        rows.append(
            Row(
                "ResNet-50 size, 50 x 50 patch",
                method,
                {"queries/s": f"{queries / watch.seconds:.1f}", "Q >=": f"{found:.2e}", "peak memory": f"{peak:.1f} GiB"},
            )
        )
    return rows


if __name__ == "__main__":
    from report import show

    show(measure())
