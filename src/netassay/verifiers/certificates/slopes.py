"""Certificates of proved slopes: the region is divided with the checker's own bounds, so what is written down is what it will accept.

Where many inputs move, by distances from the centre, from the outside in: each shell reaches as far in as its ball's bounds bear out the
claim. Where few do, by a tree over the inputs: what lies around the centre is cut off from the outside in, all else is halved along the
feature that moves the rows' forms most.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netassay.checking.certificates.arithmetic import Positions
from netassay.checking.certificates.boxes import Boxes, halves, next_batch
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.records import tree_arrays
from netassay.checking.certificates.shells import Shell, ShellProof, too_many
from netassay.checking.certificates.slope_bounds import Losses, SlopeBounds
from netassay.checking.certificates.statement import Case
from netassay.checking.certificates.trees import Arrays
from netassay.verifiers.certificates.recorded import RecordedTrees, joined
from netassay.verifiers.certificates.sink import LEAF_ALONE
from netassay.verifiers.lipschitz import FEW_INPUTS
from netassay.verifiers.rounding import Array

SHELLS, NODES = 2000, 1_000_000
"""Shells, and nodes of a tree, at most."""

THINNEST = 1 - 1e-4
"""A shell's inner radius, as a share of its outer one, at most."""

HALVINGS = 20
"""By which a shell's inner radius is found."""

SMALLEST = 1e-9
"""Boxes around the centre, and balls, are not made smaller than this share of the region."""


def prove_slopes(network: CheckedNetwork, case: Case, emit: Callable[[Record], None], over: Callable[[], bool]) -> bool:
    """Proves what a case claims of slopes, and writes the proof down.

    Args:
        network: The network, in float64.
        case: The case.
        emit: Takes records.
        over: Whether time is over.
    Returns:
        Whether it is proved.
    """
    proof = ShellProof(SlopeBounds(network, case))
    claim, region = proof.bounds.claim, case.region
    if claim.least is not None and not proof.bounds.least >= claim.least:
        return False
    few = int((region.upper > region.lower).sum()) <= FEW_INPUTS
    found = _by_boxes(proof, over) if few else _by_shells(proof, over)
    if found is None:
        return False
    radii, trees = found
    emit(Record({"record": "shells"}, {"radii": np.array(radii, dtype=np.float64), **tree_arrays(joined(trees))}))
    return True


Found = tuple[list[float], list[Arrays]]
"""Radii, and a tree for each shell."""


def _by_shells(proof: ShellProof, over: Callable[[], bool]) -> Found | None:
    radii, outer = list[float](), None
    while not over() and len(radii) < SHELLS:
        ball = Shell(0.0, outer)
        box = proof.root(ball)
        reach = outer or proof.bounds.reach or float(proof.bounds.distances(box.low, box.high)[1][0])
        if radii and outer is not None and outer < SMALLEST * radii[0]:
            return None
        losses = proof.losses(ball, box)
        if proof.holds(ball, box, losses)[0]:
            return radii, [LEAF_ALONE] * (len(radii) + 1)
        inner = _innermost(proof, box, losses, outer, reach)
        if inner is None:
            return None
        radii.append(inner)
        outer = inner
    return None


def _innermost(proof: ShellProof, box: Boxes, losses: Losses, outer: float | None, reach: float) -> float | None:
    """About the least inner radius of a shell in which the claim is proved; None if there is none but for a very thin one."""
    fails, holds = 0.0, THINNEST
    if not proof.holds(Shell(holds * reach, outer), box, losses)[0]:
        return None
    for _ in range(HALVINGS):
        middle = fails / 2 + holds / 2
        if proof.holds(Shell(middle * reach, outer), box, losses)[0]:
            holds = middle
        else:
            fails = middle
    return holds * reach


def _by_boxes(proof: ShellProof, over: Callable[[], bool]) -> Found | None:
    """A tree over the inputs of the whole region as one shell."""
    whole, tree = Shell(0.0, None), RecordedTrees()
    waiting = [proof.root(whole)]
    widths = (waiting[0].high - waiting[0].low)[0]
    while waiting:
        now = next_batch(waiting)
        losses = proof.losses(whole, now)
        open_ = np.flatnonzero(~proof.holds(whole, now, losses))
        if not len(open_):
            continue
        if over() or tree.nodes > NODES or too_many(waiting):
            return None
        left = now.take(open_)
        axis, threshold = _cuts(proof.bounds, left, losses.pull[open_])
        rows = np.arange(len(left))
        low, high = left.low[rows, axis], left.high[rows, axis]
        if not ((low < threshold) & (threshold < high) & (high - low > SMALLEST * widths[axis])).all():
            return None
        value = np.zeros(len(left), dtype=np.intp)
        waiting.append(halves(left, value, axis, threshold, tree.split(left.node, value, axis, threshold)))
    return [], [tree.arrays()]


def _cuts(bounds: SlopeBounds, boxes: Boxes, pull: Array) -> tuple[Positions, Array]:
    """For each box the feature that it is cut along, and where."""
    low, high, center = boxes.low, boxes.high, bounds.center
    rows, core = np.arange(len(boxes)), ((low <= center) & (center <= high)).all(axis=1)
    score = (high - low) * np.maximum(np.where(np.isfinite(pull), pull, 1.0), 1e-300)
    axis = np.asarray(score.argmax(axis=1), dtype=np.intp)
    below, above = (center - low) / bounds.scale, (high - center) / bounds.scale
    axis = np.where(core, np.maximum(below, above).argmax(axis=1), axis)
    end = np.where(below[rows, axis] > above[rows, axis], low[rows, axis], high[rows, axis])
    start, end = np.where(core, center[axis], low[rows, axis]), np.where(core, end, high[rows, axis])
    return axis, start / 2 + end / 2
