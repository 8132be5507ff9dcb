"""Certificates by semidefinite relaxations, and trees over the phases of a few neurons where these alone do not suffice.

Multipliers are found in the checker's own ranges, rounded to float32, and tried with the checker's own bounds before they are written down.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Splits
from netassay.checking.certificates.records import dual_arrays, tree_arrays
from netassay.checking.certificates.semidefinite import Duals, semidefinite_bounds
from netassay.models.nonlinear import Relu
from netassay.models.operators import LinearOperator
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.root import part_of_rows
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array
from netassay.verifiers.semidefinite.branching import chosen
from netassay.verifiers.semidefinite.forms import Forms, Neuron, forms_of, undecided
from netassay.verifiers.semidefinite.interior_point import InteriorPoint, Iterate, Solution
from netassay.verifiers.semidefinite.program import BETA, MU, NU, PHI, TAU, Program, groups_of

MARGIN = 1e-5
"""What a bound is to exceed 0 by, as a share of the row's size: more than rounding multipliers to float32 takes, mostly."""

KEPT = 64
"""Nodes that wait with an iterate of their parent, at most."""

LEAST, LARGEST = 1e-9, 1e30
"""Multipliers of squares are at least this, as a share of the largest, and all are cut off here (where a leaf holds no input they grow)."""

Path = tuple[tuple[Neuron, bool], ...]
"""The splits above a node, from the root on: a neuron, and whether its input is at least 0, or at most."""


@dataclass(frozen=True, slots=True)
class RelaxedOptions:
    """How much is searched.

    Args:
        steps: Most steps of the interior-point method for one relaxation.
        neurons: Most undecided neurons.
        relus: Most ReLUs of the network.
        nodes: Most nodes of a part's tree.
        promise: What the first relaxation of a part may leave of its gap by linear bounds, as a share; otherwise nothing is tried any more.
    """

    steps: int = 50
    neurons: int = 600
    relus: int = 1000
    nodes: int = 201
    promise: float = 0.2


@dataclass(order=True, slots=True)
class _Node:
    """Where some neurons are held to their phases; the least estimate comes first.

    Args:
        estimate: Of its parent.
        number: In the tree.
        path: The splits above it.
        start: An iterate of its parent.
    """

    estimate: float
    number: int
    path: Path = field(compare=False)
    start: Iterate | None = field(compare=False, default=None)


class RelaxedProof:
    """Finds trees for the open parts of a case.

    Args:
        claim: The case's claim.
        bounded: Of ``with_rows(claim)``.
        region: Its region.
        proof: Where records go.
        options: How much is searched.
    """

    def __init__(self, claim: Claim, bounded: BoundedGraph, region: Regions, proof: CaseProof, options: RelaxedOptions) -> None:
        self._claim, self._bounded, self._region, self._proof, self._options = claim, bounded, region, proof, options
        self._owner = part_of_rows(claim)
        self._start: Iterate | None = None
        self._whole: Forms

    def run(self) -> bool:
        """Closes what it can; whether nothing is left open."""
        if self._serves():
            self._whole = forms_of(self._bounded, self._region, self.ranges(), {})
            linear = {p: self._linear(p) for p in self._proof.open}
            for part in sorted(linear, key=lambda p: linear[p]):
                if self._proof.over() or not _Tree(self, part, linear[part]).grown():
                    return False
        return not self._proof.open

    def _serves(self) -> bool:
        graph, whole, options = self._bounded.graph, self._proof.whole, self._options
        reads = [node.inputs[0] for node in graph.nodes if isinstance(node.operator, Relu)]
        linear = all(isinstance(node.operator, LinearOperator | Relu) for node in graph.nodes)
        if not linear or reads != sorted(set(reads)) or whole.region.ball is not None:
            return False
        if sum(whole.network.sizes[v] for v in reads) > options.relus:
            return False
        return 0 < undecided(self._bounded, self.ranges()) <= options.neurons

    def ranges(self) -> list[Range | None]:
        """The checker's ranges of what ReLUs read."""
        whole, shapes = self._proof.whole, self._bounded.graph.shapes
        whole.ensure(whole.network.output)
        found: list[Range | None] = [None] * len(shapes)
        for v in self._bounded.relaxed:
            found[v] = whole.ranges[v][0].reshape(1, *shapes[v]), whole.ranges[v][1].reshape(1, *shapes[v])
        return found

    def _linear(self, part: int) -> float:
        """A part's bound by linear bounds."""
        proof, given = self._proof, self._proof.case.parts[part]
        owner = np.zeros(len(given.constants), dtype=np.intp)
        return float(proof.whole.minimum(proof.whole.network.output, given.rows, owner, given.constants).lower.max())


class _Tree:
    """A tree of one part."""

    def __init__(self, owner: RelaxedProof, part: int, linear: float) -> None:
        self._owner, self._proof, self._options, self._part, self._linear = owner, owner._proof, owner._options, part, linear
        self._rows = np.flatnonzero(owner._owner == part)
        self._ranges = owner.ranges()
        self._tree = RecordedTrees()
        self._closed: dict[int, tuple[Duals, NDArray[np.float32]]] = {}

    def grown(self) -> bool:
        """Whether the tree could be closed; it is written down then."""
        waiting = [_Node(-np.inf, 0, ())]
        while waiting:
            if self._proof.over():
                return False
            node = heapq.heappop(waiting)
            with np.errstate(all="ignore"):
                split = self._solve(node)
            if node.number in self._closed:
                continue
            if split is None or self._tree.nodes >= self._options.nodes:
                return False
            (value, index), best = split
            estimate, start = max(best.value, node.estimate), best.halfway if len(waiting) < KEPT else None
            one = np.ones(1, dtype=np.intp)
            names = self._tree.split(one * node.number, one * value, one * index, np.zeros(1))
            for name, phase in zip(names, (False, True), strict=True):
                heapq.heappush(waiting, _Node(estimate, int(name[0]), (*node.path, ((value, index), phase)), start))
        self._write()
        return True

    def _solve(self, node: _Node) -> tuple[Neuron, Solution] | None:
        """Closes a node; otherwise the neuron to split and the solution of the best row, None where that does not pay."""
        owner, best = self._owner, None
        forms = forms_of(owner._bounded, owner._region, self._ranges, dict(node.path)) if node.path else owner._whole
        for place, row in enumerate(self._rows):
            form = forms.output.rows[row]
            goal = MARGIN * float(np.abs(form).sum())
            start = node.start if node.path else owner._start
            found = InteriorPoint(self._options.steps, goal).solve(forms, form, self._proof.over, start)
            owner._start = owner._start if node.path else found.halfway
            if found.value > 0 and self._closes(node, forms, found, place):
                return None
            if best is None or found.value > best.value:
                best = found
        if best is None or (not node.path and best.value < -self._options.promise * abs(self._linear)):
            return None
        neuron = chosen(forms, best)
        return None if neuron is None else (neuron, best)

    def _closes(self, node: _Node, forms: Forms, found: Solution, place: int) -> bool:
        """Whether the checker's bound of the node is positive with the multipliers of its row ``place``, which are kept then."""
        form = forms.output.rows[self._rows[place]]
        duals = duals_of(self._proof.whole, node.path, forms, form, found.multipliers, 0.5)
        weights = (np.arange(len(self._rows)) == place).astype(np.float32)
        means = self._proof.means([self._part], [weights])
        held = self._proof.holds(semidefinite_bounds(self._proof.whole, splits_above([node.path]), duals, means))[0]
        if held:
            self._closed[node.number] = duals, weights
        return bool(held)

    def _write(self) -> None:
        kept = [self._closed[n] for n in self._tree.leaves()]
        duals = [d for d, _ in kept]
        neurons = {v: (index, np.concatenate([d.neurons[v][1] for d in duals], axis=1)) for v, (index, _) in duals[0].neurons.items()}
        level, inputs, splits = (np.concatenate([getattr(d, name) for d in duals]) for name in ("level", "inputs", "splits"))
        arrays = tree_arrays(self._tree.arrays()) | dual_arrays(Duals(level, inputs, neurons, splits))
        arrays |= {"part": np.array([self._part], dtype=np.uint32), "weights": np.concatenate([w for _, w in kept])}
        self._proof.emit(Record({"record": "squares"}, arrays))
        self._proof.open.discard(self._part)


def splits_above(paths: Sequence[Path]) -> Splits:
    """The splits above leaves, all of them at 0."""
    leaf = np.repeat(np.arange(len(paths)), [len(p) for p in paths])
    steps = np.array([(*neuron, side) for path in paths for neuron, side in path], dtype=np.intp).reshape(-1, 3)
    return Splits(len(paths), leaf, steps[:, 0], steps[:, 1], steps[:, 2], np.zeros(len(leaf)))


def duals_of(whole: Parts, path: Path, forms: Forms, form: Array, multipliers: Array, share: float) -> Duals:
    """Multipliers of a verifier's program in the checker's units, rounded.

    Args:
        whole: The checker's ranges, on which the forms are.
        path: The neurons that the forms hold to their phases.
        forms: The network.
        form: (D,) what is bounded.
        multipliers: (m,) of its ``Program``.
        share: Of what the rounded multipliers give, what becomes the level.
    """
    groups, ranges = groups_of(forms), whole.ranges
    held = forms.held
    units = np.ones(len(multipliers))
    units[groups[NU]] = units[groups[BETA]] = [ranges[v][1][0, i] for v, i in forms.neurons]
    units[groups[PHI]] = [max(ranges[v][1][0, i], -ranges[v][0][0, i]) for v, i in held]
    y = np.clip(multipliers, 0, LARGEST)
    for group in (groups[MU], groups[TAU]):
        y[group] = np.maximum(y[group], LEAST * float(y.max(initial=0.0)))
    rounded = np.clip(y / units, 0, LARGEST).astype(np.float32)
    level = share * Program(forms, form).best(rounded.astype(np.float64) * units)
    inputs = np.zeros(whole.network.sizes[0], dtype=np.float32)
    inputs[forms.moving] = rounded[groups[MU]]
    phi = dict(zip(held, rounded[groups[PHI]], strict=True))
    splits = np.array([phi[neuron] for neuron, _ in path], dtype=np.float32)
    every, given = [*forms.neurons, *held], np.zeros((3, len(forms.neurons) + len(held)), dtype=np.float32)
    given[:, : len(forms.neurons)] = [rounded[groups[g]] for g in (TAU, NU, BETA)]
    neurons = {v: _of_value(v, every, given) for v in sorted({v for v, _ in every})}
    return Duals(np.array([level if np.isfinite(level) else 0.0]), inputs[None], neurons, splits)


def _of_value(value: int, neurons: Sequence[Neuron], given: NDArray[np.float32]) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """The numbers of a value among neurons, in order, and (3, 1, k) what is given for them."""
    index, mine = zip(*sorted((i, k) for k, (v, i) in enumerate(neurons) if v == value), strict=True)
    return np.array(index, dtype=np.uint32), given[:, None, list(mine)]
