"""Attacks of others that change as few pixels as they can, at equal numbers of points evaluated.

sigma-zero and VFGA are those of adv-lib, whose files are loaded without the rest of that package (which wants torchvision and
visdom); JSMA is written here, after its paper. Every point that an attack asks about is seen by a watching module, which
counts it and keeps the one with the fewest changes that is decided otherwise, whether or not the attack returns it. A point counts
once with its gradient; every further gradient of the same point counts as another point. The budget ends an attack by an exception.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netassay.models.scores import Scale
from netassay.specs.problem import Problem
from radius_peers import BudgetSpent, margins

Array = NDArray[np.float64]

SAMPLES = 10
"""Random values that VFGA tries for either direction of a pixel: adv-lib's own number."""


class Watch(nn.Module):
    """A network on [0, 1], with a count and a memory.

    Args:
        problems: L0 balls of one network: one for each row of every batch, or a single one that owns all rows.
        limit: Points allowed per problem.

    Attributes:
        centers: (N, *shape); labels: (N,) decisions there.
        asked, differentiated: Points evaluated, and those of them whose gradient was taken, per problem.
        fewest: (N,) changes of the best points, inf where there is none; points: (N, *shape) them.
    """

    def __init__(self, problems: Sequence[Problem], limit: int) -> None:
        super().__init__()
        self.network, self._limit = problems[0].network, limit
        self.centers = torch.as_tensor(np.stack([p.center for p in problems]), dtype=torch.float32)
        self.labels = torch.tensor([int(p.property.parameters()["label"]) for p in problems])
        self.asked, self.differentiated = 0, 0
        self.points, self.fewest = self.centers.clone(), torch.full((len(problems),), torch.inf)

    def forward(self, points: Tensor) -> Tensor:
        """Logits (rows, labels) of points (rows, *shape)."""
        assert len(self.centers) in (1, len(points)), "each row of a batch belongs to the problem of the same place"
        self.charge(len(points) // len(self.centers))
        logits = self.network.scores(points, Scale.LOGITS)
        if logits.requires_grad:
            logits.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]
        self._remember(points.detach(), logits.detach())
        return logits

    def charge(self, count: int) -> None:
        """Counts points per problem; raises BudgetSpent where they are too many."""
        if self.asked + count > self._limit:
            raise BudgetSpent
        self.asked += count

    def _count_gradient(self, gradient: Tensor) -> Tensor:
        self.differentiated += 1
        return gradient

    def _remember(self, points: Tensor, logits: Tensor) -> None:
        changes = (points != self.centers).flatten(1).sum(dim=1).float()
        changes[~(margins(logits, self.labels.expand(len(points))) <= 0)] = torch.inf
        best = changes.argmin(dim=0, keepdim=True) if len(self.centers) == 1 else torch.arange(len(points))
        fewer = changes[best] < self.fewest
        self.fewest = torch.where(fewer, changes[best], self.fewest)
        self.points[fewer] = points[best][fewer]


@cache
def adv_lib(name: str) -> Any:
    """A file of ``adv_lib.attacks``, loaded without that package's own list of attacks."""
    package = types.ModuleType("adv_lib.attacks")
    package.__path__ = [str(Path(location) / "attacks") for location in importlib.import_module("adv_lib").__path__]
    sys.modules.setdefault("adv_lib.attacks", package)
    return importlib.import_module(f"adv_lib.attacks.{name}")


def _sigma_zero(watch: Watch, queries: int) -> None:
    """Cinà et al. 2024, https://arxiv.org/abs/2402.01879: one run of as many steps as there are points."""
    adv_lib("sigma_zero").sigma_zero(watch, watch.centers, watch.labels, num_steps=queries)


def _vfga(watch: Watch, queries: int) -> None:
    """Hajri et al. 2020, https://arxiv.org/abs/2011.12423: a random search, begun anew until the points are spent."""
    while True:
        adv_lib("stochastic_sparse_attacks").vfga(watch, watch.centers, watch.labels, targeted=False, n_samples=SAMPLES, large_memory=True)


def _jsma(watch: Watch, queries: int) -> None:
    """Papernot et al. 2016, https://arxiv.org/abs/1511.07528: pairs of pixels moved to either end, for one target after the other."""
    logits = watch(watch.centers)[0]
    for target in logits.argsort(descending=True).tolist():
        if target != int(watch.labels[0]):
            _jsma_to(watch, target)


def _jsma_to(watch: Watch, target: int) -> None:
    """One target; ends when it is reached, when no pair helps, or when no nearer point can come of it."""
    point, free = watch.centers.clone(), torch.ones(watch.centers.numel(), dtype=torch.bool)
    while int((~free).sum()) < float(watch.fewest[0]):
        asked = point.clone().requires_grad_()
        logits = watch(asked)[0]
        if int(logits.argmax()) != int(watch.labels[0]):
            return
        (own,) = torch.autograd.grad(logits[target], asked, retain_graph=True)
        watch.charge(1)
        (others,) = torch.autograd.grad(logits.sum() - logits[target], asked)
        pair = _pair(own.flatten(), others.flatten(), point.flatten(), free)
        if pair is None:
            return
        for pixel, value in pair:
            point.view(-1)[pixel], free[pixel] = value, False


def _pair(own: Tensor, others: Tensor, point: Tensor, free: Tensor) -> list[tuple[int, float]] | None:
    """The two (pixel, value) of the highest saliency, -(a_p + a_q)(b_p + b_q) where a > 0 > b; None if there are none."""
    moves = [(sign, end, free & (point != end)) for sign, end in ((1.0, 1.0), (-1.0, 0.0))]
    pixels = torch.cat([movable.nonzero().flatten() for _, _, movable in moves])
    ends = torch.cat([torch.full((int(movable.sum()),), end) for _, end, movable in moves])
    gain = torch.cat([sign * own[movable] for sign, _, movable in moves])
    loss = torch.cat([sign * others[movable] for sign, _, movable in moves])
    alpha, beta = gain.unsqueeze(0) + gain.unsqueeze(1), loss.unsqueeze(0) + loss.unsqueeze(1)
    helps = (alpha > 0) & (beta < 0) & (pixels.unsqueeze(0) != pixels.unsqueeze(1))
    if not bool(helps.any()):
        return None
    best = int(torch.where(helps, -alpha * beta, -torch.inf).argmax())
    return [(int(pixels[i]), float(ends[i])) for i in divmod(best, len(pixels))]


@dataclass(frozen=True)
class Peer:
    """One attack.

    Args:
        run: Runs it on a watched network with so many points per problem.
        package: What has to be installed; empty for none.
        alone: Whether it is given one input at a time, since its batches hold several points of each.
    """

    run: Callable[[Watch, int], None]
    package: str = ""
    alone: bool = False

    @property
    def installed(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None


PEERS: dict[str, Peer] = {
    "sigma-zero": Peer(_sigma_zero, "adv_lib"),
    "VFGA": Peer(_vfga, "adv_lib", alone=True),
    "JSMA": Peer(_jsma, alone=True),
}


def distances(peer: Peer, problems: Sequence[Problem], queries: int, seed: int) -> tuple[Array, float, float]:
    """Changes (N,) of each problem's best confirmed witness, inf where none; mean points and mean gradients per problem."""
    groups = [[problem] for problem in problems] if peer.alone else [list(problems)]
    found: list[float] = []
    asked, differentiated = 0, 0
    for group in groups:
        watch = Watch(group, queries)
        torch.manual_seed(seed)
        with contextlib.suppress(BudgetSpent):
            peer.run(watch.eval(), queries)
        asked, differentiated = asked + watch.asked * len(group), differentiated + watch.differentiated * len(group)
        found += [_confirmed(problem, point) for problem, point in zip(group, watch.points.double().numpy(), strict=True)]
    return np.array(found), asked / len(problems), differentiated / len(problems)


def _confirmed(problem: Problem, point: Array) -> float:
    """The point's changes if it is inside and float64 decides otherwise there, too; else inf."""
    network = problem.network.in_float64() or problem.network
    with torch.no_grad():
        logits = network.scores(torch.as_tensor(point[None]), Scale.LOGITS)
    otherwise = bool(margins(logits, torch.tensor([int(problem.property.parameters()["label"])])) <= 0)
    return float(problem.ball.distance(point[None])[0]) if otherwise and problem.ball.contains(point[None])[0] else float("inf")
