"""HiGHS, and nothing else of this package knows it: one thread, and of its answers only the bounds and points that they are.

Of a solve's outcomes only "optimal" and "infeasible" are believed, and of a search that is cut short its dual bound; points
are for the caller to evaluate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

import highspy
import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.milp.program import Flags, Program, Rows
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

LARGEST_COEFFICIENT = 1e15
"""HiGHS refuses larger ones."""

SLOW = 1 << 20
"""Programs with so many entries are asked between iterations whether to stop; solves of smaller ones are short."""


class Outcome(Enum):
    """How a solve ended."""

    OPTIMAL = auto()
    INFEASIBLE = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """What a linear program's solve gave.

    Args:
        outcome: How it ended.
        point: (n,) an optimal point, or whatever was reached.
        multipliers: (m,) of the rows; after INFEASIBLE those that show it (a Farkas ray, of either sign).
        basis: To start the next solve from.
        value: The objective, as the solver has it.
        iterations: Of the simplex method.
    """

    outcome: Outcome
    point: Array
    multipliers: Array | None
    basis: Any
    value: float
    iterations: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a mixed-integer program's solve gave, all of it within the solver's tolerances.

    Args:
        outcome: How it ended; INFEASIBLE means that no value is at or below the cut-off.
        bound: A lower bound of the objective; -inf where there is none.
        point: (n,) the best point found, None without one.
        nodes: Subproblems of its search.
    """

    outcome: Outcome
    bound: float
    point: Array | None
    nodes: int


_OUTCOMES = {
    highspy.HighsModelStatus.kOptimal: Outcome.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Outcome.INFEASIBLE,
}


class Relaxation:
    """The linear relaxation of a program, solved again and again with other bounds, objectives and cuts, each time from a basis.

    Args:
        program: Rows and first bounds.
        stop: Asked between iterations of solves that may take long; True ends one.
    """

    def __init__(self, program: Program, stop: Callable[[], bool] = lambda: False) -> None:
        self._highs = _loaded(program, integral=False)
        self._highs.setOptionValue("presolve", "off")
        self._columns, self._rows = np.arange(program.columns, dtype=np.int32), program.rows

        def check(event: Any) -> None:
            if stop():
                event.interrupt()

        if len(program.value) >= SLOW:
            self._highs.cbSimplexInterrupt += check

    def minimise(self, column: int, sign: float = 1.0) -> None:
        """Takes one variable (or minus it) as the objective."""
        cost = np.zeros(len(self._columns))
        cost[column] = sign
        self._highs.changeColsCost(len(cost), self._columns, cost)

    def bound(self, lower: Array, upper: Array) -> None:
        """Sets the bounds (n,) of all variables."""
        self._highs.changeColsBounds(len(self._columns), self._columns, lower, upper)

    def add(self, cuts: Rows) -> None:
        """Adds rows, after those that there are."""
        starts = np.searchsorted(cuts.row, np.arange(len(cuts))).astype(np.int32)
        below, columns = np.full(len(cuts), -np.inf), cuts.column.astype(np.int32)
        self._highs.addRows(len(cuts), below, cuts.upper, len(columns), starts, columns, cuts.value)

    def drop_cuts(self) -> None:
        """Takes all added rows out again."""
        added = np.arange(self._rows, self._highs.getNumRow(), dtype=np.int32)
        if len(added):
            self._highs.deleteRows(len(added), added)

    def binding(self) -> Flags:
        """(added rows,) which of them hold with equality at the last solve's basis."""
        status = self._highs.getBasis().row_status[self._rows :]
        return np.array([s != highspy.HighsBasisStatus.kBasic for s in status], dtype=np.bool_)

    def solve(self, basis: Any = None, seconds: float = np.inf, cutoff: float = np.inf) -> Solved:
        """Solves by the dual simplex method, from a basis of an earlier solve with as many rows if one is given.

        Args:
            basis: Of the earlier solve.
            seconds: Time limit.
            cutoff: A bound above it is good enough: the outcome is STOPPED then, with the multipliers that show it.
        """
        highs = self._highs
        highs.setOptionValue("objective_bound", cutoff)
        if basis is not None:
            highs.setBasis(basis)
        highs.setOptionValue("time_limit", highs.getRunTime() + min(seconds, 1e9))
        highs.run()
        outcome = _OUTCOMES.get(highs.getModelStatus(), Outcome.STOPPED)
        solution = highs.getSolution()
        point = np.array(solution.col_value, dtype=np.float64)
        multipliers: Array | None = None
        if outcome is Outcome.INFEASIBLE:
            _, found, ray = highs.getDualRay()  # type: ignore[attr-defined]
            multipliers = np.array(ray, dtype=np.float64) if found else None
        elif solution.dual_valid:
            multipliers = np.array(solution.row_dual, dtype=np.float64)
        info = highs.getInfo()
        iterations = int(info.simplex_iteration_count)
        return Solved(outcome, point, multipliers, highs.getBasis(), float(info.objective_function_value), iterations)


def solve(program: Program, column: int, *, seconds: float, cutoff: float, stop: Callable[[], bool]) -> Answer:
    """Minimises one variable of a mixed-integer program.

    Ends early once the least value is known to be above 0, a value at or below 0 is found, or ``stop`` says so.

    Args:
        program: The program.
        column: The variable.
        seconds: Time limit.
        cutoff: Larger values are of no interest.
        stop: Asked every now and then.
    """
    upper = program.upper.copy()
    upper[column] = min(upper[column], max(cutoff, program.lower[column]))
    highs = _loaded(program.within(program.lower, upper), integral=True)
    highs.changeColCost(column, 1.0)
    highs.setOptionValue("time_limit", min(seconds, 1e9))
    highs.setOptionValue("objective_target", 0.0)

    bounds = [float(program.lower[column])]

    def check(event: Any) -> None:
        bounds.append(float(event.data_out.mip_dual_bound))
        if bounds[-1] > 0 or stop():
            event.interrupt()

    highs.cbMipInterrupt += check
    highs.run()
    outcome = _OUTCOMES.get(highs.getModelStatus(), Outcome.STOPPED)
    info = highs.getInfo()
    bounds.append(cutoff if outcome is Outcome.INFEASIBLE else float(info.mip_dual_bound))
    bound = min(np.nanmax(np.where(np.isneginf(bounds), np.nan, bounds)), cutoff)
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    point = np.array(highs.getSolution().col_value, dtype=np.float64) if has_point else None
    return Answer(outcome, float(bound), point, int(info.mip_node_count))


def _loaded(program: Program, *, integral: bool) -> highspy.Highs:
    if np.abs(program.value).max(initial=0.0) >= LARGEST_COEFFICIENT:
        raise CapabilityError(f"a coefficient is {np.abs(program.value).max():.3g}, too large for the solver")
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in _options().items():
        highs.setOptionValue(name, value)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.columns, program.rows
    lp.col_cost_ = np.zeros(program.columns)
    lp.col_lower_, lp.col_upper_ = program.lower, program.upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = _starts(program.row, program.rows)
    lp.a_matrix_.index_ = program.column.astype(np.int32)
    lp.a_matrix_.value_ = program.value
    if integral:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(b)] for b in program.binary]
    highs.passModel(lp)
    return highs


def _starts(row: Positions, rows: int) -> Any:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int32)


@cache
def _options() -> dict[str, Any]:
    return {"output_flag": False, "threads": 1, "parallel": "off", "random_seed": 0}
