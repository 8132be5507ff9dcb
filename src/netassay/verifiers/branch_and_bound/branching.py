"""Which neuron to split: how much each is estimated to be worth, and real bounds of the best few (filtered smart branching).

References:
    Bunel et al., 2020, https://arxiv.org/abs/1909.06588 (BaBSR); De Palma et al., 2021, https://arxiv.org/abs/2104.06718 (FSB)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netassay.models.torch_operators import EVALUATORS
from netassay.verifiers.propagation.passes import Back
from netassay.verifiers.propagation.steered import ABOVE, BELOW, FREE, Gradients, Rows, Steered


def scores(steered: Steered, rows: Rows, back: Back, gradients: Gradients) -> tuple[Tensor, Tensor]:
    """(R, U) each: what every neuron's line loses where the form is least, and what it can lose at most; -1 where no split is possible.

    The first is the gap between line and function at the value that the relaxed network takes there, times the coefficient.
    """
    here, worst = torch.zeros_like(rows.slope), torch.zeros_like(rows.slope)
    for group in steered.groups:
        index, columns = torch.from_numpy(group.index), group.columns
        low, high = steered.ends(group, rows)
        for position, left in group.readers:
            if position not in back.coefficients:
                continue
            operator = steered.bounded.graph.nodes[position].operator
            a = back.coefficients[position].flatten(1)[:, index]
            slope, offset = (t.reshape(len(t), -1)[:, index] for t in back.chosen[position])
            z = gradients.values[group.value].flatten(1)[:, index].clamp(low, high)
            here[:, columns] += a.abs() * (slope * z + offset - EVALUATORS[type(operator)](operator, {}, (z,))).abs()
            if left is None:
                worst[:, columns] += a.abs() * (high - low)
            else:
                worst[:, columns] += (-a).clamp(min=0) * offset
    possible = splittable(steered, rows)
    return torch.where(possible, here, -1.0), torch.where(possible, worst, -1.0)


def splittable(steered: Steered, rows: Rows) -> Tensor:
    """(R, U) neurons whose range can still be split."""
    found = rows.codes == FREE
    for group in steered.groups:
        if not group.kinked:
            low, high = steered.ends(group, rows)
            middle = low / 2 + high / 2
            found[:, group.columns] = (middle > low) & (middle < high)
    return found


def children(steered: Steered, rows: Rows, column: Tensor) -> Rows:
    """Both sides of each row's neuron ``column`` (R,): first all upper sides, then all lower sides."""
    count = len(rows)
    both = rows.take(torch.arange(count).repeat(2))
    both.code = both.codes
    r, c = torch.arange(count), column
    both.code[r, c] |= ABOVE
    both.code[count + r, c] |= BELOW
    if both.low is not None and both.high is not None:
        points = split_points(steered, rows, column)
        both.low[r, c], both.high[count + r, c] = points, points
    return both


def split_points(steered: Steered, rows: Rows, column: Tensor) -> Tensor:
    """(R,) where each row's neuron is cut: at 0, or in the middle of its range."""
    found = torch.zeros(len(rows))
    for group in steered.groups:
        mine = torch.nonzero((column >= group.columns.start) & (column < group.columns.stop)).flatten()
        if len(mine) and not group.kinked:
            low, high = steered.ends(group, rows.take(mine))
            r, c = torch.arange(len(mine)), column[mine] - group.begin
            found[mine] = low[r, c] / 2 + high[r, c] / 2
    return found


def choose(steered: Steered, rows: Rows, back: Back, gradients: Gradients, goal: float, candidates: int) -> Tensor:
    """(R,) the neuron to split in each row; -1 where none is left.

    Args:
        steered: What the rows are about.
        rows: Splits, slopes and multipliers.
        back, gradients: Of these rows.
        goal: A bound beyond it is worth no more.
        candidates: How many neurons of each score are tried by bounding both sides; 0 to trust the first score.
    """
    if not steered.neurons:
        return torch.full((len(rows),), -1)
    here, worst = scores(steered, rows, back, gradients)
    best = here.argmax(1)
    if candidates:
        best = _by_bounds(steered, rows, back.lower, goal, _candidates(here, worst, candidates), worst)
    return torch.where(here.amax(1) >= 0, best, -1)


def _candidates(here: Tensor, worst: Tensor, count: int) -> Tensor:
    """(R, K) columns: the best of one score, then of the other."""
    count = min(count, here.shape[1])
    first = here.topk(count, 1).indices
    rest = worst.scatter(1, first, -0.5)
    return torch.cat([first, rest.topk(count, 1).indices], 1)


def _by_bounds(steered: Steered, rows: Rows, before: Tensor, goal: float, candidates: Tensor, worst: Tensor) -> Tensor:
    count, tried = candidates.shape
    each = rows.take(torch.arange(count).repeat_interleave(tried))
    lower = steered.back(children(steered, each, candidates.reshape(-1))).lower.reshape(2, count, tried)
    possible = splittable(steered, rows).gather(1, candidates)
    most = torch.full_like(before, goal if np.isfinite(goal) else torch.inf)
    floor = 1e-4 * worst.gather(1, candidates).clamp(min=0) + 1e-9  # where no side gains yet, what the line can lose decides
    gain = (torch.minimum(lower, most[:, None]) - before[:, None]).clamp(min=0) + floor
    worth = torch.where(possible, gain[0] * gain[1], -1.0)
    return candidates.gather(1, worth.argmax(1, keepdim=True)).flatten()
