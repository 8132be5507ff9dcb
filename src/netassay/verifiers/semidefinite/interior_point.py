"""The dual of the relaxation, solved by a primal-dual interior-point method with predictor and corrector (Mehrotra, 1992; SDPA, CSDP).

Its numbers are never believed: any multipliers give a bound, which ``proof`` computes with every rounding bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from netassay.verifiers.rounding import Array
from netassay.verifiers.semidefinite.directions import Move
from netassay.verifiers.semidefinite.forms import Forms
from netassay.verifiers.semidefinite.matrices import Arrow, Factored, is_definite
from netassay.verifiers.semidefinite.program import MU, NU, TAU, Program, groups_of

BACK = 0.9
"""Share of the way to the boundary that is gone."""

SHRINK = 0.85
"""By this a step is shortened until the matrices stay definite."""


FIRST, NEXT = 5.0, 0.1
"""How far below the bound of its multipliers t begins, where a row's greatest coefficient is about 1: from nothing, and from an iterate."""

FARTHEST = 1e12
"""Multipliers at which looking for a definite slack is given up."""

HALFWAY = 1e-3
"""At this complementarity an iterate is kept for other rows over the same forms: well inside, and past what every row begins with."""


@dataclass(frozen=True, slots=True, eq=False)
class Iterate:
    """An interior point: the constraints do not depend on the row, so it is one for every row over the same forms.

    Args:
        forms: Those.
        x: The primal matrix.
        w: (m,) the constraints' values.
        y: (m,) multipliers, for rows whose greatest coefficient is about 1.
    """

    forms: Forms
    x: Arrow
    w: Array
    y: Array

    def carried(self, forms: Forms, program: Program) -> tuple[Arrow, Array, Array]:
        """Nearly one for forms in which more neurons are held: what is about those is dropped, their facts begin with their multipliers."""
        if forms is self.forms:
            return self.x, self.w, self.y
        mine = {neuron: i for i, neuron in enumerate(self.forms.neurons)}
        kept = np.array([mine[neuron] for neuron in forms.neurons], dtype=np.intp)
        columns = np.append(0, 1 + kept)
        x = Arrow(self.x.diagonal, self.x.side[:, columns], self.x.block[np.ix_(columns, columns)])
        mu, tau, nu, beta, phi = (self.y[group] for group in groups_of(self.forms))
        facts = dict(zip(self.forms.held, phi.tolist(), strict=True))
        new = [facts[neuron] if neuron in facts else float(beta[mine[neuron]]) for neuron in forms.held]
        y = np.concatenate([mu, tau[kept], nu[kept], beta[kept], np.array(new)])
        while program.best(y) == -np.inf and y.max() < FARTHEST:
            y[program.groups[MU]] *= 1.2
            y[program.groups[TAU]] *= 1.2
        return x, np.maximum(program.constraints(x), HALFWAY / y), y


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What the method ended with.

    Args:
        value: The dual bound, up to rounding.
        multipliers: (m,) in the units of the row.
        primal: The relaxation's matrix; its first column is a point in v.
        relaxed: The row's value there: the relaxation's own minimum lies between both, once the method has converged.
        steps: How many.
        halfway: An iterate to begin with for another row over the same forms; None where there was none.
    """

    value: float
    multipliers: Array
    primal: Arrow
    relaxed: float
    steps: int
    halfway: Iterate | None


@dataclass(frozen=True, slots=True)
class InteriorPoint:
    """How it is solved.

    Args:
        steps: At most.
        goal: Enough: stop once the bound is above it, or the relaxation's minimum cannot be.
        gap: Stop when bounds are this near, as a share of the row's size.
    """

    steps: int = 50
    goal: float = 0.0
    gap: float = 1e-4

    def solve(self, forms: Forms, row: Array, over: Callable[[], bool] = lambda: False, start: Iterate | None = None) -> Solution:
        """The bound of ``<row, v>`` over what ``forms`` says of v.

        Args:
            forms: The network.
            row: (D,).
            over: Whether time is over.
            start: An iterate of the same forms, or of ones with fewer held neurons, to begin with; left again where it leads nowhere.
        """
        size = float(np.abs(row).max(initial=0.0))
        scale = 2.0 ** np.ceil(np.log2(size)) if 0 < size < np.inf else 1.0
        with np.errstate(all="ignore"):
            found, ended = self._solved(_State(forms, row / scale, start), scale, over)
            if not ended and start is not None and not over():
                again, _ = self._solved(_State(forms, row / scale, None), scale, over)
                found = again if again.value > found.value else found
        return found

    def _solved(self, state: _State, scale: float, over: Callable[[], bool]) -> tuple[Solution, bool]:
        """What is found, and whether the method came to its end."""
        done, goal, ended = 0, self.goal / scale, False
        while done < self.steps and not ended and not over() and state.step():
            done += 1
            ended = state.best > goal or (state.feasible and (state.relaxed < goal or state.relaxed - state.best < self.gap))
        return Solution(state.best * scale, state.kept * scale, state.x, state.relaxed * scale, done, state.halfway), ended


class _State:
    """An interior point of both problems (the primal's constraints may be violated yet)."""

    def __init__(self, forms: Forms, row: Array, start: Iterate | None) -> None:
        self._forms = forms
        self._program = program = Program(forms, row)
        self.halfway = start if start is not None and start.forms is forms else None
        self.x, self._w, self._y = _begun(program) if start is None else start.carried(forms, program)
        self.best, self.kept = program.best(self._y), self._y
        self._t = self.best - (FIRST if start is None else NEXT)
        self._matrix = np.empty((program.multipliers + 1, program.multipliers + 1))
        self._size = 1 + program.neurons + program.inputs + program.multipliers

    @property
    def relaxed(self) -> float:
        """The primal value."""
        return self._program.value(self.x)

    @property
    def feasible(self) -> bool:
        """Whether the primal constraints hold, up to little."""
        return bool(np.abs(self._w - self._program.constraints(self.x)).max(initial=0.0) < 1e-4 and abs(self.x.block[0, 0] - 1) < 1e-4)

    def step(self) -> bool:
        """One iteration; False where rounding ends the method."""
        program, x, y, w = self._program, self.x.completed(), self._y, self._w
        slack = program.slack(y, self._t)
        z = slack.inverse()
        if x is None or z is None:
            return False
        system = _System(program, x, z, y, w, self._matrix)
        if not system.solvable:
            return False
        total = slack.dot(self.x) + float(w @ y)
        ahead = system.direction(self.x, 0.0)
        primal, dual = self._primal_step(ahead, 1), self._dual_step(ahead, 1)
        left = program.slack(y + dual * ahead.y, self._t + dual * ahead.t).dot(self.x.plus(primal, ahead.x))
        left += float((w + primal * ahead.w) @ (y + dual * ahead.y))
        ratio = left / total
        share = min(1.0, max(ratio**2, 0.02)) if min(primal, dual) > 0.1 else 0.5
        chosen = system.direction(self.x, share * total / self._size, ahead)
        primal, dual = self._primal_step(chosen, BACK), self._dual_step(chosen, BACK)
        if not max(primal, dual) > 1e-6:
            return False
        self.x, self._w = self.x.plus(primal, chosen.x), w + primal * chosen.w
        self._y, self._t = y + dual * chosen.y, self._t + dual * chosen.t
        if self.halfway is None and share * total < HALFWAY * self._size:
            self.halfway = Iterate(self._forms, self.x, self._w, self._y)
        found = program.best(self._y)
        if found > self.best:
            self.best, self.kept = found, self._y
        return True

    def _primal_step(self, change: _Change, back: float) -> float:
        length = _longest(self._w, change.w)
        while length > 1e-8 and self.x.plus(length, change.x).completed() is None:
            length *= SHRINK
        return length * back if length < 1 else 1.0

    def _dual_step(self, change: _Change, back: float) -> float:
        length = _longest(self._y, change.y)
        while length > 1e-8 and not is_definite(self._program.slack(self._y + length * change.y, self._t + length * change.t).schur()):
            length *= SHRINK
        return length * back if length < 1 else 1.0


def _begun(program: Program) -> tuple[Arrow, Array, Array]:
    """A primal matrix with values of its constraints (which need not be its own yet), and multipliers with a slack that is definite."""
    y = np.full(program.multipliers, 0.05)
    y[program.groups[MU]], y[program.groups[TAU]], y[program.groups[NU]] = 0.1, 2.0, 0.2
    while program.best(y) == -np.inf and y.max() < FARTHEST:
        y[program.groups[MU]] *= 2
        y[program.groups[TAU]] *= 2
    n = program.neurons
    mean = np.append(1.0, np.full(n, 0.5))
    block = np.outer(mean, mean) + np.diag(np.append(0.01, np.full(n, 0.15)))
    x = Arrow(np.full(program.inputs, 0.5), np.zeros((program.inputs, n + 1)), block)
    return x, np.maximum(program.constraints(x), 0.3), y


def _longest(values: Array, change: Array) -> float:
    """The step up to 1 that leaves positive values positive."""
    falling = change < 0
    return min(1.0, float((values[falling] / -change[falling]).min(initial=np.inf)))


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    y: Array
    t: float
    x: Arrow
    w: Array
    move: Move


class _System:
    """The equations of one iteration, factorised."""

    def __init__(self, program: Program, x: Factored, z: Factored, y: Array, w: Array, matrix: Array) -> None:
        self._program, self._x, self._z, self._y, self._w = program, x, z, y, w
        program.curvature(x, z, matrix)
        own = np.arange(program.multipliers)
        matrix[own, own] += w / y
        with np.errstate(all="ignore"):
            self._scale = 1 / np.sqrt(np.diag(matrix))
            matrix *= self._scale
            matrix *= self._scale[:, None]
        every = np.arange(len(matrix))
        matrix[every, every] += 1e-13
        self._factor, failed = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        self.solvable = not failed and bool(np.isfinite(self._scale).all())
        self._of_inverse = np.append(program.constraints(z.arrow), z.block[0, 0])

    def direction(self, x: Arrow, centre: float, ahead: _Change | None = None) -> _Change:
        """Towards complementarity ``centre``; with what ``ahead`` says of the second order."""
        program, y, w = self._program, self._y, self._w
        right = np.append(centre / y, 1.0) - centre * self._of_inverse
        product = np.zeros_like(y)
        bend: Arrow | None = None
        if ahead is not None:
            product = ahead.w * ahead.y
            bend = ahead.move.second()
            right -= np.append(product / y + program.constraints(bend), bend.block[0, 0])
        solved, _ = lapack.dpotrs(self._factor, self._scale * right, lower=1)
        both = self._scale * solved
        dy, dt = both[:-1], float(both[-1])
        move = Move(self._x, self._z, program.combined(dy, dt))
        dx = move.first().plus(-1.0, x).plus(centre, self._z.arrow)
        dw = (centre - product) / y - w - w / y * dy
        return _Change(dy, dt, dx if bend is None else dx.plus(1.0, bend), dw, move)
