"""Complete sets of subspaces and their sensitivities (DeepTRE, Definitions 5-7, Eqs. 5-13).

All inputs x all subspaces of t groups x all grid points are one tensor; it is unfolded into a row of points, evaluated in batches
that fit in memory, and folded back. What is kept per input and subspace is the least confidence and where it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.errors import RegionError
from netassay.models.query_counter import QueryCounter
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem

MOST_SUBSPACES = 20_000_000
"""More subspaces of one size than that are refused: their list alone would not fit."""

BATCH = 1 << 25
"""Bytes that a batch takes by default: on a CPU what fits in its cache is evaluated fastest. Give a GPU more."""

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivities:
    """Of P inputs, S subspaces of t groups each.

    Args:
        subspaces: (S, t) the groups.
        drop: (P, S) how far the confidence in the label falls at most on the grid (Definition 6); never negative.
        solution: (P, S, t, c) values of the groups' features there (the solution tensor).
        violated: (P, S) whether the property is violated at any grid point, the least confident or another.
        witness: (P,) per input a violating point (input shape), or None.
    """

    subspaces: Positions
    drop: NDArray[np.float64]
    solution: NDArray[np.float32]
    violated: NDArray[np.bool_]
    witness: list[NDArray[np.float32] | None]


class Inputs:
    """Inputs of one network, L0 balls around them, and what is needed to evaluate points that differ from them in a few groups.

    Args:
        problems: L0 balls of one network with the same groups (features or pixels), in a bounded domain, with properties of any kind.
        memory: Bytes that a batch may take.
    Raises:
        RegionError: If the problems are not of that kind.
    """

    def __init__(self, problems: Sequence[Problem], memory: int) -> None:
        first = problems[0].ball.geometry
        for problem in problems:
            geometry = problem.ball.geometry
            if geometry.norm is not Norm.L0 or not np.isfinite(geometry.outer_low).all() or not np.isfinite(geometry.outer_high).all():
                raise RegionError("subspaces of a few features need an L0 ball in a bounded domain; give the domain's ends")
            if not np.array_equal(geometry.starts, first.starts) or not np.array_equal(geometry.order, first.order):
                raise RegionError("the problems group their features differently; ask about one grouping at a time")
        self.problems, self.counter = list(problems), QueryCounter(problems[0].network, memory)
        network = problems[0].network
        self._dtype, self._device = (torch.float32 if network.dtype == "float32" else torch.float64), network.device
        sizes = np.diff(np.append(first.starts, first.size))
        if len(set(sizes.tolist())) > 1:
            raise RegionError("groups of different sizes have no common grid; use features or pixels")
        self.members: Positions = first.order.reshape(-1, int(sizes[0]))
        """(g, c) features of each group."""
        self.center = self._placed([p.center.reshape(-1) for p in problems])
        self.low, self.high = (self._placed([getattr(p.ball.geometry, side) for p in problems]) for side in ("low", "high"))
        self.start, self.begun = self.evaluate(torch.arange(len(problems)), self.center)
        """(P,) confidence in the label, and s, at the inputs."""

    def __len__(self) -> int:
        return len(self.problems)

    def _placed(self, rows: list[NDArray[np.float64]]) -> Tensor:
        return torch.as_tensor(np.stack(rows), dtype=self._dtype, device=self._device)

    def evaluate(self, owner: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) confidence in the owner's label, and its s, at points (N, n); in float64: float32 rounds what is nearly certain to 1."""
        problems = self.problems
        with torch.no_grad():
            outputs = self.counter.outputs(points.reshape(-1, *problems[0].network.input_shape)).double()
        confidence, value = torch.empty(len(points), dtype=torch.float64), torch.empty(len(points), dtype=torch.float64)
        for p in torch.unique(owner).tolist():
            rows = owner == p
            asked = problems[p].property
            scores = problems[p].network.convention.scores(outputs[rows], asked.on)
            s = asked.values(scores)
            label = getattr(asked, "label", None)
            confidence[rows] = (s if label is None else scores[:, label]).cpu()
            value[rows] = s.cpu()
        return confidence, value

    def is_violated(self, owner: Tensor, values: Tensor) -> Tensor:
        """(N,) whether s breaks the owner's property; NaN does not."""
        ties = torch.tensor([not p.property.zero_is_safe for p in self.problems])[owner]
        return (values < 0) | ((values == 0) & ties)

    def grid(self, group: int, points: int) -> Tensor:
        """(P, points ** c, c) values of a group's features: equal steps from one end of the domain to the other."""
        features = torch.as_tensor(self.members[group])
        shares = torch.linspace(0.0, 1.0, points, dtype=self._dtype)
        steps = torch.cartesian_prod(*[shares] * len(features)).reshape(-1, len(features))
        low, high = self.low[:, features].unsqueeze(1), self.high[:, features].unsqueeze(1)
        return torch.where(steps == 1, high, low + (high - low) * steps)


def subspaces(groups: int, size: int) -> Positions:
    """(S, t) the complete set of subspaces of ``size`` groups (Definition 5)."""
    if comb(groups, size) > MOST_SUBSPACES:
        raise RegionError(f"{comb(groups, size)} subspaces of {size} of {groups} groups are too many; use a smaller size")
    return np.array(list(combinations(range(groups), size)), dtype=np.intp).reshape(-1, size)


def sensitivities(
    inputs: Inputs, size: int, points: int, *, stop: Callable[[], bool] = lambda: False, chosen: Positions | None = None
) -> Sensitivities | None:
    """The sensitivities of all subspaces of ``size`` groups, on grids of ``points`` values per feature; None if stopped on the way.

    Args:
        inputs: The inputs.
        size: t.
        points: 1/epsilon of the paper, at least 2: both ends of the domain are among them.
        stop: Asked between batches.
        chosen: (S, t) some subspaces instead of all.
    """
    which = subspaces(len(inputs.members), size) if chosen is None else chosen
    count, channels = len(inputs), inputs.members.shape[1]
    values = torch.stack([inputs.grid(g, points) for g in range(len(inputs.members))], dim=1)  # (P, g, V, c)
    each = values.shape[2] ** size
    shape = (count, len(which))
    least, solution = torch.full(shape, torch.inf, dtype=torch.float64), torch.zeros((*shape, size, channels), dtype=torch.float32)
    violated, witness = torch.zeros(shape, dtype=torch.bool), [None] * count
    found = Sensitivities(which, np.empty(0), solution.numpy(), violated.numpy(), list(witness))
    grids: dict[int, _Grid] = {}
    for p, begin, end in _pieces(count, len(which), max(1, inputs.counter.rows // each)):
        if stop():
            return None
        if p not in grids:
            grids = {p: _Grid(inputs, p, values[p], which)}
        confidence, broken, moved = grids[p].searched(torch.as_tensor(which[begin:end]))
        if bool(broken.any()) and found.witness[p] is None:
            row = int(broken.int().argmax())
            found.witness[p] = (
                grids[p].points(torch.as_tensor(which[begin:end])[row // each][None], moved[row][None])[0].numpy().astype(np.float32)
            )
        folded = torch.where(confidence.isnan(), torch.inf, confidence).reshape(end - begin, each)
        least[p, begin:end], at = folded.min(dim=1)
        solution[p, begin:end] = moved.reshape(end - begin, each, size, channels)[torch.arange(end - begin), at].float()
        violated[p, begin:end] = broken.reshape(end - begin, each).any(dim=1)
    drop = (inputs.start.unsqueeze(1) - least).clamp(min=0).numpy()
    return Sensitivities(which, drop, found.solution, found.violated, found.witness)


def _pieces(inputs: int, count: int, step: int) -> Iterator[tuple[int, int, int]]:
    for p in range(inputs):
        for begin in range(0, count, step):
            yield p, begin, min(begin + step, count)


class _Grid:
    """The grid around one input: every point is evaluated once, however many subspaces it is in.

    A grid value that a group has already changes nothing. Points that differ from the input in one group at most are looked up.

    Args:
        inputs, p: The input.
        values: (g, V, c) values of each group's features.
        which: (S, t) the subspaces that will be searched.
    """

    def __init__(self, inputs: Inputs, p: int, values: Tensor, which: Positions) -> None:
        self._inputs, self._p, self._values = inputs, p, values
        self._members = torch.as_tensor(inputs.members)
        self._changes = (values != inputs.center[p][self._members].unsqueeze(1)).any(dim=2)
        self._confidence = inputs.start[p].expand(self._changes.shape).clone()
        self._broken = inputs.is_violated(torch.tensor([p]), inputs.begun[p : p + 1]).expand(self._changes.shape).clone()
        used = torch.zeros_like(self._changes)
        used[torch.as_tensor(np.unique(which), dtype=torch.long)] = True
        group, value = (used & self._changes).nonzero(as_tuple=True)
        self._confidence[group, value], self._broken[group, value] = self._evaluated(group.unsqueeze(1), values[group, value].unsqueeze(1))

    def searched(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of all grid points (N,) of some subspaces (S, t): confidence, whether the property is violated, and values (N, t, c)."""
        size, per_group = block.shape[1], self._values.shape[1]
        digits = torch.cartesian_prod(*[torch.arange(per_group)] * size).reshape(-1, size)
        groups, digits = block.repeat_interleave(len(digits), dim=0), digits.repeat(len(block), 1)
        moved, changes = self._values[groups, digits], self._changes[groups, digits]
        only = changes.int().argmax(dim=1, keepdim=True)  # the changed group, if there is only one
        group, digit = groups.gather(1, only).squeeze(1), digits.gather(1, only).squeeze(1)
        confidence, broken = self._confidence[group, digit], self._broken[group, digit]
        several = changes.sum(dim=1) > 1
        confidence[several], broken[several] = self._evaluated(groups[several], moved[several])
        return confidence, broken, moved

    def points(self, groups: Tensor, moved: Tensor) -> Tensor:
        """(N, n) the input with groups (N, t) at values (N, t, c)."""
        rows = self._inputs.center[self._p].repeat(len(moved), 1)
        rows.scatter_(1, self._members[groups].flatten(1), moved.flatten(1))
        return rows

    def _evaluated(self, groups: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        owner = torch.full((len(groups),), self._p)
        confidence, s = self._inputs.evaluate(owner, self.points(groups, moved))
        return confidence, self._inputs.is_violated(owner, s)
