"""Anytime lower and upper bounds of the L0 radius (DeepTRE, section 4): for each input, and in the mean over all (Definition 2, Eq. 2).

For t = 1, 2, ... all subspaces of t groups are searched on a grid. An input whose label survives every grid point gets the lower
bound t: HEURISTIC, since nothing is known between grid points. Applying the most sensitive perturbations one after the other until the
label changes gives a witness, from which needless changes are taken away again (Definition 8): k changes left mean a radius
of k - 1 at most, ATTAINED once the witness is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.falsifiers.sparse.subspaces import BATCH, Inputs, Sensitivities, sensitivities
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What is known at some moment about the radii of P inputs; from one to the next, no lower bound falls and no upper bound rises.

    Args:
        lower: (P,) no grid point of any subspace of so many groups changes the label.
        upper: (P,) one less than the changes of the best witness; the number of groups where there is none.
        witnesses: (P,) the best witness (flat), or None.
        size: t of the subspaces searched last.
        queries, seconds: Spent so far.
    """

    lower: Array
    upper: Array
    witnesses: tuple[NDArray[np.float32] | None, ...]
    size: int
    queries: int
    seconds: float

    @property
    def center(self) -> Array:
        """(P,) U_c of Definition 4."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Array:
        """(P,) U_r of Definition 4."""
        return (self.upper - self.lower) / 2

    @property
    def mean(self) -> tuple[float, float]:
        """U_c and U_r of the mean over all inputs (Eq. 2)."""
        return float(self.center.mean()), float(self.radius.mean())


def deeptre(
    problems: Sequence[Problem],
    *,
    most: int = 2,
    points: int = 3,
    memory: int = BATCH,
    seconds: float | None = None,
    together: int = 16,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Estimate]:
    """Estimates, each at least as tight as the one before: one after every ``together`` inputs of every t.

    Args:
        problems: L0 balls of one network; centres have to satisfy their properties.
        most: Largest t.
        points: Grid points per feature, both ends of the domain among them.
        memory: Bytes for one batch.
        seconds: Time limit; what is known when it is over is the last estimate.
        together: Inputs evaluated as one tensor.
        interrupted: Whether the user has asked to stop.
    """
    clock, queries = Clock(seconds), 0
    parts = [Inputs(problems[i : i + together], memory) for i in range(0, len(problems), together)]
    groups = float(len(parts[0].members))
    known = Estimate(np.zeros(len(problems)), np.full(len(problems), groups), (None,) * len(problems), 0, 0, 0.0)
    yield known
    for size in range(1, most + 1):
        for k, part in enumerate(parts):
            begin = k * together
            open_ = [i for i in range(len(part)) if known.lower[begin + i] < known.upper[begin + i]]
            if not open_:
                continue
            inputs = part if len(open_) == len(part) else Inputs([part.problems[i] for i in open_], memory)
            spent = inputs.counter.points
            found = sensitivities(inputs, size, points, stop=lambda: clock.expired or interrupted())
            if found is None:
                return
            at = begin + np.array(open_, dtype=np.intp)
            known = _tightened(known, inputs, found, size, at)
            queries += inputs.counter.points - spent
            known = replace(known, size=size, queries=queries, seconds=clock.elapsed)
            yield known


def _tightened(known: Estimate, inputs: Inputs, found: Sensitivities, size: int, at: NDArray[np.intp]) -> Estimate:
    lower, upper, witnesses = known.lower.copy(), known.upper.copy(), list(known.witnesses)
    applied = accumulated(inputs, found)
    for i, (position, point) in enumerate(zip(at.tolist(), applied, strict=True)):
        if found.violated[i].any():
            _offer(inputs, i, found.witness[i], position, upper, witnesses)
        else:
            lower[position] = max(lower[position], min(size, upper[position]))
        if point is not None:
            _offer(inputs, i, tightened(inputs, i, point), position, upper, witnesses)
    return replace(known, lower=np.minimum(lower, upper), upper=upper, witnesses=tuple(witnesses))


def _offer(
    inputs: Inputs, i: int, point: NDArray[np.float32] | None, position: int, upper: Array, witnesses: list[NDArray[np.float32] | None]
) -> None:
    if point is None:
        return
    changes = float(_changed(inputs, i, torch.as_tensor(point).to(inputs.center)).sum())
    if changes - 1 < upper[position]:
        upper[position], witnesses[position] = max(0.0, changes - 1), point


def accumulated(inputs: Inputs, found: Sensitivities) -> list[NDArray[np.float32] | None]:
    """For every input the shortest run of its most sensitive perturbations that changes the label, or None.

    The first runs of all inputs are one batched query, longer ones of those that need them the next. A group that an earlier
    perturbation has changed keeps its value.
    """
    order = np.argsort(-found.drop, axis=1, kind="stable")[:, : _enough(found)]
    runs = [_prefixes(inputs, i, found, order[i]) for i in range(len(inputs))]
    points: list[NDArray[np.float32] | None] = [None] * len(inputs)
    begin, end = 0, FIRST_RUNS
    while begin < order.shape[1]:
        waiting = [i for i, point in enumerate(points) if point is None]
        if not waiting:
            break
        stack = torch.cat([torch.stack(list(islice(runs[i], end - begin))) for i in waiting])
        owner = torch.repeat_interleave(torch.tensor(waiting), len(stack) // len(waiting))
        broken = inputs.is_violated(owner, inputs.evaluate(owner, stack)[1]).reshape(len(waiting), -1)
        for i, row, rows in zip(waiting, broken, stack.reshape(len(waiting), -1, stack.shape[1]), strict=True):
            if bool(row.any()):
                points[i] = rows[int(row.int().argmax())].numpy().astype(np.float32)
        begin, end = end, 4 * end
    return points


FIRST_RUNS = 64
"""Perturbations that the first query accumulates."""


def _enough(found: Sensitivities) -> int:
    """So many of the most sensitive subspaces that every group could be in one."""
    return min(len(found.subspaces), 4 * int(found.subspaces.max(initial=0) + 1))


def _prefixes(inputs: Inputs, i: int, found: Sensitivities, order: NDArray[np.intp]) -> Iterator[Tensor]:
    """The input (n,) with the first 1, 2, ... perturbations of the order."""
    point, changed = inputs.center[i].clone(), set[int]()
    for s in order.tolist():
        for k, group in enumerate(found.subspaces[s].tolist()):
            if group not in changed:
                changed.add(group)
                point[torch.as_tensor(inputs.members[group])] = torch.as_tensor(found.solution[i, s, k]).to(point)
        yield point.clone()


def tightened(inputs: Inputs, i: int, point: NDArray[np.float32]) -> NDArray[np.float32]:
    """The witness without needless changes (Definition 8): changes are undone, the least harmful first, in batches, until none can be."""
    best = torch.as_tensor(point).to(inputs.center)
    while True:
        groups = _changed(inputs, i, best).nonzero().flatten()
        if len(groups) <= 1:
            return best.numpy().astype(np.float32)
        singles = _undone(inputs, i, best, torch.eye(len(groups), dtype=torch.bool), groups)
        owner = torch.full((len(groups),), i)
        _, values = inputs.evaluate(owner, singles)
        order = torch.argsort(values, stable=True)
        masks = torch.zeros((len(groups), len(groups)), dtype=torch.bool)
        for k in range(len(groups)):
            masks[k, order[: k + 1]] = True
        runs = _undone(inputs, i, best, masks, groups)
        _, after = inputs.evaluate(owner, runs)
        broken = inputs.is_violated(owner, after)
        if not bool(broken.any()):
            return best.numpy().astype(np.float32)
        best = runs[int(broken.nonzero().max())]


def _changed(inputs: Inputs, i: int, point: Tensor) -> Tensor:
    """(g,) which groups of a point differ from the input."""
    return (point != inputs.center[i])[torch.as_tensor(inputs.members)].any(dim=1)


def _undone(inputs: Inputs, i: int, point: Tensor, masks: Tensor, groups: Tensor) -> Tensor:
    """(N, n) the point with some of its changed groups (N, changed) put back."""
    rows = point.repeat(len(masks), 1)
    members = torch.as_tensor(inputs.members)
    for k, group in enumerate(groups.tolist()):
        features = members[group]
        rows[:, features] = torch.where(masks[:, k : k + 1], inputs.center[i][features], rows[:, features])
    return rows
