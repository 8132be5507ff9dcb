"""Marabou (Katz et al., 2019; Wu et al., 2024) as a verifier: simplex and case splits over ReLUs; needs the extra ``marabou``.

Each part of the claim is one query: is there an input at which all its rows are at most 0? Marabou computes in floating point without error
bounds, so its "unsat" is the solver's word (SOLVER), and its "sat" a point to be replayed. It runs in a process of its own, which is
ended when time is over.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Relu
from netassay.models.operators import Reshape
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph, bounded_graph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.propagation.root import part_of_rows, with_rows
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sherlock import descended

Equation = tuple[tuple[float, ...], tuple[int, ...], float]
"""Coefficients and variables of a sum, and what it equals."""

GRACE, MOMENT = 5.0, 0.05
"""Seconds that the process may take beyond its own time-out, and between two looks at it."""

UNLIMITED = 86400
"""Seconds, where nothing limits the time."""


@dataclass(frozen=True, slots=True)
class Program:
    """A query in the solver's terms: variables, their bounds, equations, ReLUs.

    Args:
        bounds: Per variable its lower and upper bound, proved.
        equations: What holds of the variables.
        relus: Pairs of a variable and its positive part.
        inputs: The variables of the inputs.
    """

    bounds: tuple[tuple[float, float], ...]
    equations: tuple[Equation, ...]
    relus: tuple[tuple[int, int], ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Marabou:
    """For affine operators and ReLUs over boxes; complete up to the solver's arithmetic.

    Args:
        start: How its process is started.
    """

    start: str = "spawn"

    def verify(self, task: Task) -> Iterator[Finding]:
        """A finding after every part.

        Raises:
            CapabilityError: If Marabou is not installed, or does not serve the network or the region.
        """
        _require()
        query = _Query(task)
        evaluator = Evaluator(bounded_graph(task.claim.graph))
        seen = np.inf
        for part in range(len(task.claim.parts)):
            answer, values = _solved(query.program(part), task.limits, self.start)
            if answer == "sat":
                found = descended(task, evaluator, query.point(values))  # the solver's point is on the edge as often as not
                seen = min(seen, found.value)
                if not task.claim.holds(found.value):
                    yield Finding(-np.inf, guarantee=Guarantee.SOLVER, point=found.point, least=seen, subproblems=part + 1)
                    return
            if answer != "unsat":
                reason = {"sat": "rounding", "TIMEOUT": "time-out", "": "time-out"}.get(answer, "incomplete")
                yield Finding(-np.inf, guarantee=Guarantee.SOLVER, least=seen, reason=reason, subproblems=part + 1)
                return
        yield Finding(0.0, proved=True, guarantee=Guarantee.SOLVER, least=seen, subproblems=len(task.claim.parts))


def _require() -> None:
    from importlib.util import find_spec

    if find_spec("maraboupy") is None:
        raise CapabilityError("the verifier 'marabou' needs the package maraboupy; install netassay[marabou]")


class _Query:
    """The claim's rows as the last of the variables; the parts differ by the bounds of these alone."""

    def __init__(self, task: Task) -> None:
        region = task.region
        if region.ball is not None or not np.isfinite(region.lower).all() or not np.isfinite(region.upper).all():
            raise CapabilityError("marabou serves boxes and L-infinity balls with finite ends")
        self._task, self._bounded = task, BoundedGraph(with_rows(task.claim))
        for node, affine in zip(self._bounded.graph.nodes, self._bounded.maps, strict=True):
            if affine is None and not isinstance(node.operator, Relu):
                raise CapabilityError(f"marabou serves affine operators and ReLUs; node {node.name!r} is {node.operator.name}")
        self._bounds: list[tuple[float, float]] = []
        self._equations: list[Equation] = []
        self._relus: list[tuple[int, int]] = []
        self._variables: list[Positions] = self._build()

    def _build(self) -> list[Positions]:
        """The variables of every value; all nodes as equations or ReLUs."""
        ranges = LinearBounds(self._bounded, self._task.region).run()
        variables = [self._new(*ranges.range(0))]
        for position, node in enumerate(self._bounded.graph.nodes):
            if isinstance(node.operator, Reshape):
                variables.append(variables[node.inputs[0]])
                continue
            mine = self._new(*ranges.range(position + 1))
            variables.append(mine)
            if isinstance(node.operator, Relu):
                self._relus += list(zip(variables[node.inputs[0]].tolist(), mine.tolist(), strict=True))
            else:
                self._affine(position, [variables[i] for i in node.inputs], mine)
        return variables

    def _new(self, low: Array, high: Array) -> Positions:
        """New variables (flat) with these bounds (1, *shape)."""
        begin = len(self._bounds)
        self._bounds += list(zip(low.ravel().tolist(), high.ravel().tolist(), strict=True))
        return np.arange(begin, len(self._bounds), dtype=np.intp)

    def _affine(self, position: int, inputs: list[Positions], mine: Positions) -> None:
        affine = self._bounded.maps[position]
        if affine is None:
            return
        size = len(mine)
        parts = affine.adjoint(np.eye(size).reshape(size, *affine.output_shape))
        matrix = np.concatenate([p.reshape(size, -1) for p in parts], axis=1) if parts else np.zeros((size, 0))
        sources = np.concatenate(inputs) if inputs else np.zeros(0, dtype=np.intp)
        for out, row, constant in zip(mine.tolist(), matrix, affine.constant.ravel().tolist(), strict=True):
            used = np.flatnonzero(row)
            self._equations.append(((*row[used].tolist(), -1.0), (*sources[used].tolist(), out), -constant))

    def program(self, part: int) -> Program:
        """All rows of a part at most 0."""
        bounds = list(self._bounds)
        for row in np.flatnonzero(part_of_rows(self._task.claim) == part).tolist():
            variable = int(self._variables[-1][row])
            bounds[variable] = (bounds[variable][0], min(bounds[variable][1], 0.0))
        return Program(tuple(bounds), tuple(self._equations), tuple(self._relus), tuple(self._variables[0].tolist()))

    def point(self, values: list[float]) -> Array:
        """The solver's input, within the region."""
        low, high = self._task.region.lower[0], self._task.region.upper[0]
        return np.clip(np.asarray(values, dtype=np.float64).reshape(low.shape), low, high)


def _solved(program: Program, limits: Limits, start: str) -> tuple[str, list[float]]:
    """Marabou's answer ("sat", "unsat", "TIMEOUT", ...) and, for "sat", the inputs; "" where it was ended."""
    if any(low > high for low, high in program.bounds):
        return "unsat", []
    left = UNLIMITED if limits.clock.limit is None else max(1, ceil(limits.clock.limit - limits.clock.elapsed))
    context: Any = multiprocessing.get_context(start)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(there, program, int(left)), daemon=True)
    process.start()
    there.close()
    try:
        while not here.poll(MOMENT):
            if limits.interrupted() or (limits.clock.limit is not None and limits.clock.elapsed > limits.clock.limit + GRACE):
                return "", []
        answer, values = here.recv()
        return str(answer), list(values)
    except EOFError:
        return "ERROR", []
    finally:
        process.kill()
        process.join()
        here.close()


def run(pipe: Connection, program: Program, seconds: int) -> None:
    """Solves a program and sends the answer; the body of the solver's process, which writes to no terminal."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    from maraboupy import MarabouCore  # type: ignore[import-not-found,import-untyped,unused-ignore]

    query = MarabouCore.InputQuery()
    query.setNumberOfVariables(len(program.bounds))
    for variable, (low, high) in enumerate(program.bounds):
        query.setLowerBound(variable, low)
        query.setUpperBound(variable, high)
    for i, variable in enumerate(program.inputs):
        query.markInputVariable(variable, i)
    for coefficients, variables, value in program.equations:
        equation = MarabouCore.Equation()
        for coefficient, variable in zip(coefficients, variables, strict=True):
            equation.addAddend(coefficient, variable)
        equation.setScalar(value)
        query.addEquation(equation)
    for before, after in program.relus:
        MarabouCore.addReluConstraint(query, before, after)
    options = MarabouCore.Options()
    options._timeoutInSeconds, options._verbosity = seconds, 0
    answer, values, _ = MarabouCore.solve(query, options, "")
    pipe.send((answer, [values[v] for v in program.inputs] if answer == "sat" else []))
    pipe.close()
