"""Neurify (Wang et al. 2018, https://arxiv.org/abs/1809.08098): relaxed equations, refined neuron by neuron, with linear programs.

Every value is an affine form of the inputs and of the errors of relaxed ReLUs (both lines of a relaxation have the same slope, and its
error is a symbol). Where the bound of a part does not suffice, the relaxed neuron whose error matters most to the output is split by its
sign, depth first; each sign is a linear constraint on the symbols. A linear program over the constraints either shows that nothing is
left, or gives a point, which is evaluated. Where the first zonotopes do not decide, backward linear bounds are taken once beside them:
no answer is looser than theirs.

A solver is never taken at its word: a subproblem is closed by the multipliers that the solver found, with which the combined form is
minimised again, rounding included (Neumaier and Shcherbina, 2004). So whatever holds is PROVED.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from netassay.errors import CapabilityError
from netassay.models import operators as op
from netassay.models.nonlinear import Relu
from netassay.verifiers.affine import AffineMap, absolute
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.bounding import rows_of_parts
from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import least
from netassay.verifiers.propagation.interval import BoundedGraph, Range, bounded_graph, intersect
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.propagation.noise import padded
from netassay.verifiers.propagation.zonotope import Zonotope, Zonotopes
from netassay.verifiers.rounding import UNDERFLOW, Array, down, gamma

Neuron = tuple[int, int]
"""The value that a ReLU reads, and the flat position in it."""


@dataclass(frozen=True, slots=True)
class Neurify:
    """For networks of affine maps and ReLUs, over boxes.

    Args:
        refinements: Most subproblems before it gives up; None for no limit but time and memory.
    """

    refinements: int | None = None

    def verify(self, task: Task) -> Iterator[Finding]:
        """A finding after every subproblem.

        Raises:
            CapabilityError: If the network has other nonlinear operators, or the region is not a bounded box.
        """
        return _Search(task, self).run()


@dataclass(frozen=True, slots=True, eq=False)
class _Subproblem:
    """One part of the claim where some neurons have a sign.

    Args:
        part: Which part.
        signs: By neuron, whether it is active (not negative) or inactive (not positive).
        lower: A proved lower bound of the part.
        known: Ranges of the values that ReLUs read.
    """

    part: int
    lower: float
    signs: dict[Neuron, bool] = field(default_factory=dict)
    known: dict[int, Range] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Linear forms of the symbols eps in [-1, 1]: all ``rows <= error`` where the part fails, all ``signs >= -error`` in the subproblem.

    Args:
        forms: (R + S, G): the rows' coefficients, then those of the signs, negated: every form is at most its error where it counts.
        constants, errors: (R + S,).
        rows: R.
    """

    forms: Array
    constants: Array
    errors: Array
    rows: int

    @np.errstate(all="ignore")
    def bound(self, multipliers: Array) -> float:
        """A lower bound of the greatest row wherever the signs hold, from multipliers >= 0 of all forms; inf if nothing is left there.

        With m at or below the least value of the combined form, ``sum_r l_r row_r >= m`` wherever the signs hold. In real arithmetic.
        """
        weights = np.where(multipliers > 0, multipliers, 0.0)
        total = float(np.sum(weights[: self.rows]))
        size = np.abs(weights) @ (np.abs(self.forms).sum(axis=1) + np.abs(self.constants) + self.errors)
        combined = float(weights @ self.constants - np.abs(weights @ self.forms).sum() - weights @ self.errors)
        slack = 4 * gamma(self.forms.shape[1] + len(weights)) * size + UNDERFLOW
        found = float(down(combined - slack))
        if np.isnan(found) or not np.isfinite(size):
            return -np.inf
        if total <= 0:
            return np.inf if found > 0 else -np.inf
        return float(down(found / (total * (1 + 1e-12) if found > 0 else total * (1 - 1e-12))))

    def solve(self, seconds: float | None = None) -> tuple[Array, Array] | None:
        """Symbols that make the greatest form least, and the multipliers of the forms there; None where the solver gives up."""
        try:
            return _by_highspy(self.forms, self.errors - self.constants, seconds)
        except ImportError:
            return _by_scipy(self.forms, self.errors - self.constants, seconds)


def _by_highspy(forms: Array, limits: Array, seconds: float | None) -> tuple[Array, Array] | None:
    """``min t`` with ``forms @ eps - t <= limits`` and eps in [-1, 1], by HiGHS itself: half the time of the way through scipy."""
    import highspy

    count, symbols = forms.shape
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("presolve", "off"),
        ("time_limit", np.inf if seconds is None else seconds),
    ):
        solver.setOptionValue(option, value)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = symbols + 1, count
    program.col_cost_ = np.append(np.zeros(symbols), 1.0)
    program.col_upper_ = np.append(np.ones(symbols), np.inf)
    program.col_lower_ = -np.append(np.ones(symbols), np.inf)
    program.row_lower_, program.row_upper_ = np.full(count, -np.inf), limits
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.arange(count + 1) * (symbols + 1)
    program.a_matrix_.index_ = np.tile(np.arange(symbols + 1), count)
    program.a_matrix_.value_ = np.hstack([forms, -np.ones((count, 1))]).ravel()
    solver.passModel(program)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    return np.array(found.col_value)[:-1], -np.array(found.row_dual)


def _by_scipy(forms: Array, limits: Array, seconds: float | None) -> tuple[Array, Array] | None:
    """The same by scipy's HiGHS."""
    from scipy.optimize import linprog

    count, symbols = forms.shape
    bounds = np.tile([-1.0, 1.0], (symbols + 1, 1))
    bounds[-1] = -np.inf, np.inf
    matrix = np.hstack([forms, -np.ones((count, 1))])
    objective = np.append(np.zeros(symbols), 1.0)
    found = linprog(objective, A_ub=matrix, b_ub=limits, bounds=bounds, method="highs", options={"time_limit": seconds})
    return None if found.status != 0 else (np.asarray(found.x[:-1]), np.asarray(-found.ineqlin.marginals))


class _Search:
    def __init__(self, task: Task, options: Neurify) -> None:
        self._task, self._options, self._claim = task, options, task.claim
        self._bounded = bounded_graph(task.claim.graph)
        _check(task, self._bounded)
        self._evaluator = Evaluator(self._bounded)
        self._rows = [_rows(task.claim, i) for i in range(len(task.claim.parts))]
        self._maps = [None if m is None else AffineMap(absolute(m.operator), m.shapes) for m in self._bounded.maps]
        self._waiting: list[_Subproblem] = []
        self._settled = np.inf
        self._point: Array | None = None
        self._least = np.inf
        self._rounding = False
        self._subproblems = 0

    def run(self) -> Iterator[Finding]:
        self._begin()
        while True:
            finding = self._finding()
            yield finding
            if finding.reason or finding.proved or finding.point is not None:
                return
            self._refine(self._waiting.pop())

    def _begin(self) -> None:
        """Bounds all parts at once, by backward linear bounds too where zonotopes do not suffice; the rest waits, the first on top."""
        zonotopes = self._zonotopes({})
        output = zonotopes.run()
        lower = np.array([float(zonotopes.range_of(zonotopes.through(rows, [output]))[0].max()) for rows in self._rows])
        known = self._read(zonotopes)
        if not all(self._claim.holds(float(bound)) for bound in lower):
            linear = LinearBounds(self._bounded, self._task.region)
            lower = np.fmax(lower, rows_of_parts(self._claim, linear)[:, 0])
            known = {value: intersect(found, linear.range(value)) for value, found in known.items()}
        for i in reversed(range(len(lower))):
            if self._claim.holds(float(lower[i])):
                self._settled = min(self._settled, float(lower[i]))
            else:
                self._waiting.append(_Subproblem(i, float(lower[i]), known=known))
        self._see((self._task.region.lower + self._task.region.upper)[0] / 2)
        self._subproblems += 1

    def _finding(self) -> Finding:
        lower = min([self._settled, *(s.lower for s in self._waiting)])
        broken = self._point is not None and not self._claim.holds(self._least)
        reason = "" if broken else self._reason()
        return Finding(
            lower,
            proved=not self._waiting and not broken and not reason,
            point=self._point if broken else None,
            least=self._least,
            reason=reason,
            subproblems=self._subproblems,
        )

    def _reason(self) -> str:
        """Why the search ends undecided; empty while it does not."""
        if not self._waiting:
            return "rounding" if self._rounding else ""
        if self._task.limits.over:
            return "time-out"
        if self._options.refinements is not None and self._subproblems > self._options.refinements:
            return "incomplete"
        each = 16 * sum(prod(self._bounded.graph.shapes[v]) for v in self._bounded.relaxed)
        return "memory" if each * len(self._waiting) > self._task.limits.memory else ""

    def _zonotopes(self, known: dict[int, Range]) -> Zonotopes:
        return Zonotopes(self._bounded, self._task.region, known, self._bounded.relaxed)

    def _read(self, zonotopes: Zonotopes) -> dict[int, Range]:
        return {value: zonotopes.ranges[value] for value in self._bounded.relaxed}

    def _see(self, point: Array) -> None:
        found = least(self._claim, self._evaluator, point[None])
        if found.value < self._least:
            self._least, self._point = found.value, found.point.copy()

    def _refine(self, problem: _Subproblem) -> None:
        """Closes a subproblem, or puts both signs of one more neuron in its place."""
        self._subproblems += 1
        zonotopes = self._zonotopes(problem.known)
        output = zonotopes.run()
        if zonotopes.empty[0]:
            return
        rows = zonotopes.through(self._rows[problem.part], [output])
        lower = max(problem.lower, float(zonotopes.range_of(rows)[0].max()))
        symbols = -np.sign(padded(rows.generators, zonotopes.symbols)[0, :, 0])  # where the first row is least
        if not self._claim.holds(lower) and problem.signs:
            program = _program(zonotopes, rows, problem.signs)
            solved = program.solve(self._left())
            if solved is not None:
                symbols, multipliers = solved
                lower = max(lower, program.bound(multipliers))
        if self._claim.holds(lower):
            self._settled = min(self._settled, lower)
            return
        self._see(self._at(zonotopes, symbols))
        neuron = self._most_influential(zonotopes, problem.part)
        if neuron is None:
            self._rounding, self._settled = True, min(self._settled, lower)
            return
        self._split(replace(problem, lower=lower, known=self._read(zonotopes)), neuron, zonotopes, symbols)

    def _left(self) -> float | None:
        """Seconds that are left."""
        clock = self._task.limits.clock
        return None if clock.limit is None else max(clock.limit - clock.elapsed, 0.0)

    def _at(self, zonotopes: Zonotopes, symbols: Array) -> Array:
        """The input that belongs to values of the symbols."""
        noise, region = zonotopes.noise, self._task.region
        x = noise.middle[0].copy()
        x[noise.features] += noise.radius[0, noise.features] * symbols[: len(noise)]
        return np.asarray(np.clip(x.reshape(region.shape), region.lower[0], region.upper[0]))

    def _split(self, problem: _Subproblem, neuron: Neuron, zonotopes: Zonotopes, symbols: Array) -> None:
        """Both signs of a neuron wait; on top the one that its form has at the symbols."""
        value, unit = neuron
        low, high = problem.known[value]
        parts = []
        for active in (False, True):
            side = (low if active else high).reshape(1, -1).copy()
            side[0, unit] = max(side[0, unit], 0.0) if active else min(side[0, unit], 0.0)
            cut = (side.reshape(low.shape), high) if active else (low, side.reshape(high.shape))
            parts.append(_Subproblem(problem.part, problem.lower, {**problem.signs, neuron: active}, {**problem.known, value: cut}))
        of = zonotopes.values[value]
        generators = padded(of.generators, zonotopes.symbols)[0].reshape(zonotopes.symbols, low.size)
        if of.centre.reshape(-1)[unit] + symbols @ generators[:, unit] < 0:
            parts.reverse()
        self._waiting += parts

    @np.errstate(all="ignore")
    def _most_influential(self, zonotopes: Zonotopes, part: int) -> Neuron | None:
        """The relaxed neuron with the largest product of its error and the largest gradient of the part's rows; None if all are exact.

        Gradients are intervals: a relaxed ReLU passes on anything between 0 and what it gets (Neurify, section 3.2).
        """
        rows = self._claim.parts[part].rows
        pending: dict[int, tuple[Array, Array]] = {self._bounded.output: (rows, np.zeros_like(rows))}
        best, chosen = 0.0, None
        for position in reversed(range(len(self._bounded.graph.nodes))):
            given = pending.pop(position + 1, None)
            if given is None:
                continue
            node, affine, magnitude = self._bounded.graph.nodes[position], self._bounded.maps[position], self._maps[position]
            if affine is not None and magnitude is not None:
                parts = list(zip(affine.adjoint(given[0]), magnitude.adjoint(given[1]), strict=True))
            else:
                low, high = (side[0] for side in zonotopes.ranges[node.inputs[0]])
                score = (np.abs(given[0]) + given[1]).max(axis=0) * _error(low, high)
                if score.max(initial=0.0) > best:
                    best, chosen = float(score.max()), (node.inputs[0], int(score.argmax()))
                parts = [_through_relu(*given, low, high)]
            for i, (middle, radius) in zip(node.inputs, parts, strict=True):
                pending[i] = (pending[i][0] + middle, pending[i][1] + radius) if i in pending else (middle, radius)
        return chosen


def _check(task: Task, bounded: BoundedGraph) -> None:
    others = {n.operator.name for p, n in enumerate(bounded.graph.nodes) if bounded.maps[p] is None and not isinstance(n.operator, Relu)}
    if others:
        raise CapabilityError(f"neurify serves networks of affine maps and ReLUs; this one has {', '.join(sorted(others))}; use 'auto'")
    region = task.region
    if region.ball is not None and region.ball[0] >= 0:
        raise CapabilityError("neurify serves boxes and L-infinity balls; use 'auto' for balls of other norms")
    if not np.isfinite(region.lower).all() or not np.isfinite(region.upper).all():
        raise CapabilityError("neurify needs a bounded region; give a radius, or a domain with finite ends")


def _rows(claim: Claim, part: int) -> AffineMap:
    """The rows of one part as an affine map of the output."""
    return AffineMap(op.Dense(claim.parts[part].rows, claim.parts[part].constants), [claim.graph.output_shape])


def _program(zonotopes: Zonotopes, rows: Zonotope, signs: dict[Neuron, bool]) -> Program:
    """All that bounds the symbols where the part fails in the subproblem."""
    forms, constants, errors = [padded(rows.generators, zonotopes.symbols)[0].T], [rows.centre[0]], [rows.box[0]]
    for (value, unit), active in signs.items():
        of = zonotopes.values[value]
        sign, generators = (-1.0 if active else 1.0), padded(of.generators, zonotopes.symbols)[0]
        forms.append(sign * generators.reshape(len(generators), of.centre.size)[None, :, unit])
        constants.append(sign * of.centre.reshape(-1)[[unit]])
        errors.append(of.box.reshape(-1)[[unit]])
    return Program(np.concatenate(forms), np.concatenate(constants), np.concatenate(errors), len(rows.centre[0]))


def _error(low: Array, high: Array) -> Array:
    """The height of each ReLU's relaxation; 0 where it is exact."""
    relaxed = (low < 0) & (high > 0)
    with np.errstate(all="ignore"):
        width = np.where(relaxed, high - low, 1.0)
        return np.asarray(np.where(relaxed, -low * high / width, 0.0))


def _through_relu(middle: Array, radius: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Gradients before a ReLU, as middles and radii."""
    below, above = middle - radius, middle + radius
    relaxed, active = (low < 0) & (high > 0), low >= 0
    below = np.where(active, below, np.where(relaxed, np.minimum(below, 0), 0.0))
    above = np.where(active, above, np.where(relaxed, np.maximum(above, 0), 0.0))
    return below / 2 + above / 2, above / 2 - below / 2
