"""Proofs by semidefinite relaxations, and branch and bound over the phases of a few neurons where the relaxation alone does not suffice."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import probe, values
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.propagation.root import Root, part_of_rows
from netassay.verifiers.rounding import Array
from netassay.verifiers.semidefinite.branching import chosen
from netassay.verifiers.semidefinite.forms import Forms, Phases, forms_of, undecided
from netassay.verifiers.semidefinite.interior_point import InteriorPoint, Iterate, Solution
from netassay.verifiers.semidefinite.proof import proved_bound

MARGIN = 1e-6
"""What a bound is to exceed 0 by before it is proved, as a share of the row's size: more than rounding takes."""

KEPT = 200
"""So many nodes wait with an iterate to begin with, which is what they take memory for."""


@dataclass(frozen=True, slots=True)
class Semidefinite:
    """Complete for ReLU networks over boxes, up to rounding; meant for few undecided neurons, of which few have to be split.

    Args:
        attack: Points of the attack before; 0 for none.
        rows: Gradient steps for the claim's rows by linear bounds, which may decide some.
        tighten: Gradient steps for the ranges.
        steps: Most steps of the interior-point method for one relaxation.
        neurons: Most undecided neurons.
        promise: The worst part's relaxation has to raise its bound by linear bounds so near to 0 that splitting it pays: what is left of
            it, at most, as a share; otherwise nothing is tried any more. Infinity to go on in any case.
    """

    attack: int = 240
    rows: int = 40
    tighten: int = 20
    steps: int = 50
    neurons: int = 600
    promise: float = np.inf

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after the attack, after linear bounds, and after every relaxation.

        Raises:
            CapabilityError: If the region is not bounded, the network has other nonlinear operators than ReLUs, or too many undecided ones.
        """
        if not task.region.bounded:
            raise CapabilityError("the semidefinite relaxation needs a bounded region; give a radius, or a domain with finite ends")
        return _Run(task, self).run()


@dataclass(order=True, slots=True)
class _Node:
    """A part of the claim where some neurons are held to their phases; the least estimate comes first.

    Args:
        estimate: Of its parent.
        number: Nodes that were made before it.
        part: Which part.
        proved: A proved bound of its parent.
        phases: Neurons that are held.
        start: An iterate of its parent.
    """

    estimate: float
    number: int
    part: int = field(compare=False)
    proved: float = field(compare=False)
    phases: Phases = field(compare=False)
    start: Iterate | None = field(compare=False, default=None)


class _Run:
    def __init__(self, task: Task, options: Semidefinite) -> None:
        self._task, self._options, self._claim = task, options, task.claim
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self._least = np.inf
        self._point: Array | None = None
        self._waiting: list[_Node] = []
        self._made = 0
        self._stuck = self._hopeless = False
        self._start: Iterate | None = None
        self._root: Root
        self._whole: Forms
        self._settled: Array

    def run(self) -> Iterator[Finding]:
        """The stages, cheapest first."""
        task, options = self._task, self._options
        if options.attack:
            found = probe(self._claim, self._evaluator, task.region, np.random.default_rng(task.seed), points=options.attack)
            self._see(found.value, found.point)
        self._root = root = Root.of(self._claim, task.region)
        yield self._finding(root.least)
        if self._over(root.least):
            return
        for lower in self._linear():
            yield self._finding(lower)
            if self._over(lower):
                return
        self._check_size()
        with np.errstate(all="ignore"):
            self._whole = forms_of(root.bounded, task.region, root.ranges, {})
        self._settled = np.full(len(root.lower), np.inf)
        for part, lower in enumerate(root.lower):
            if self._claim.holds(lower):
                self._settled[part] = lower
            else:
                self._push(part, float(lower), float(lower), {})
        yield from self._search()

    def _linear(self) -> Iterator[float]:
        from netassay.verifiers.propagation.optimised import Ascent

        root, options, limits = self._root, self._options, self._task.limits
        if options.rows:
            root.optimise(Ascent(options.rows), limits)
            yield root.least
        if options.tighten:
            root.tighten(Ascent(options.tighten), limits)
            root.optimise(Ascent(options.rows), limits)
            yield root.least

    def _check_size(self) -> None:
        count = undecided(self._root.bounded, self._root.ranges)
        if count > self._options.neurons:
            raise CapabilityError(
                f"{count} ReLUs are undecided over the region, and the semidefinite relaxation takes at most {self._options.neurons}; "
                "use 'neuron-splitting', or a smaller radius"
            )
        low, high = self._task.region.corners
        inputs = int((high > low).sum())
        if (needed := 8 * (2 * (inputs + 3 * count) ** 2 + 4 * inputs**2)) > self._task.limits.memory:
            raise CapabilityError(
                f"the semidefinite relaxation needs {needed >> 20} MiB here; allow more memory, or use 'neuron-splitting'"
            )

    def _search(self) -> Iterator[Finding]:
        while self._waiting and not self._hopeless and not self._task.limits.over:
            with np.errstate(all="ignore"):
                self._solve(heapq.heappop(self._waiting))
            lower = self._lower
            finding = self._finding(lower, proved=not self._waiting and not self._stuck)
            if finding.proved or finding.point is not None:
                yield finding
                return
            if self._waiting:
                yield finding
        reason = "time-out" if self._task.limits.over else "incomplete" if self._hopeless else "rounding"
        yield replace(self._finding(self._lower), reason=reason)

    @property
    def _lower(self) -> float:
        """The proved bound of the claim."""
        return min(float(self._settled.min(initial=np.inf)), min((node.proved for node in self._waiting), default=np.inf))

    def _push(self, part: int, estimate: float, proved: float, phases: Phases, start: Iterate | None = None) -> None:
        heapq.heappush(self._waiting, _Node(estimate, self._made, part, proved, phases, start))
        self._made += 1

    def _solve(self, node: _Node) -> None:
        """Closes a node, or splits it."""
        root = self._root
        forms = self._whole if not node.phases else forms_of(root.bounded, self._task.region, root.ranges, node.phases)
        proved, best = self._bounded(node, forms)
        if best is None or self._claim.holds(proved):
            self._stuck = self._stuck or not self._claim.holds(proved)
            self._settle(node.part, proved)
            return
        self._look(forms, best)
        neuron = chosen(forms, best)
        if neuron is None or (not node.phases and best.value < -self._options.promise * abs(node.proved)):
            self._hopeless = neuron is not None
            self._stuck = True
            self._settle(node.part, proved)
            return
        start = best.halfway if len(self._waiting) < KEPT else None
        for phase in (False, True):
            self._push(node.part, max(best.value, node.estimate), proved, {**node.phases, neuron: phase}, start)

    def _bounded(self, node: _Node, forms: Forms) -> tuple[float, Solution | None]:
        """The node's proved bound, and the solution of its best row; None where bounds suffice."""
        proved, best = node.proved, None
        for row in np.flatnonzero(part_of_rows(self._claim) == node.part):
            form = forms.output.rows[row]
            goal = MARGIN * float(np.abs(form).sum())
            start = node.start if node.phases else self._start
            found = InteriorPoint(self._options.steps, goal).solve(forms, form, lambda: self._task.limits.over, start)
            self._start = found.halfway if not node.phases else self._start
            proved = max(proved, proved_bound(forms, form, float(forms.output.errors[row]), found.multipliers))
            if self._claim.holds(proved):
                return proved, None
            if best is None or found.value > best.value:
                best = found
        return proved, best

    def _settle(self, part: int, proved: float) -> None:
        self._settled[part] = min(self._settled[part], proved)

    def _look(self, forms: Forms, found: Solution) -> None:
        """Descends from the relaxation's own point, where the row may be negative."""
        x = forms.points(np.clip(found.primal.side[:, 0], -1.0, 1.0)[None], self._task.region.shape)
        low, high = self._task.region.lower, self._task.region.upper
        for step in range(20):
            x = np.clip(x, low, high)
            outputs = self._evaluator.outputs(x)
            value = float(values(self._claim, outputs)[0])
            self._see(value, x[0])
            if self._broken:
                return
            rows = [outputs[0] @ part.rows.T + part.constants for part in self._claim.parts]
            worst = int(np.argmin([each.max() for each in rows]))
            gradient = self._evaluator.gradients(x, self._claim.parts[worst].rows[rows[worst].argmax()][None])[1]
            x = x - 0.25 * (1 - step / 20) * (high - low) * np.sign(gradient)

    def _see(self, value: float, point: Array) -> None:
        if value < self._least:
            self._least, self._point = value, point.copy()

    @property
    def _broken(self) -> bool:
        return self._point is not None and not self._claim.holds(self._least)

    def _over(self, lower: float) -> bool:
        return self._broken or self._claim.holds(lower)

    def _finding(self, lower: float, *, proved: bool = False) -> Finding:
        broken = self._broken
        holds = not broken and (proved or self._claim.holds(lower))
        return Finding(lower, proved=holds, point=self._point if broken else None, least=self._least, subproblems=max(1, self._made))
