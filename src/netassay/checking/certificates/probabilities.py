"""Claims about probabilities as claims about sums of exponentials, so that one function of one number is all that has to be bounded.

Claims about how fast probabilities change are about more than a sign, see ``odds``.

With ``p = softmax(z)`` and any label k, dividing by p[k] > 0 keeps the sign:
``sum r[i] p[i] + c > 0`` if and only if ``sum over i != k of (r[i] + c) exp(z[i] - z[k]) + r[k] + c > 0``. And of logarithms, with
``R = -sum r``: ``sum r[i] log p[i] + c = r . z + c + R log(sum exp(z))``, which is positive if and only if
``sum exp(z[i] + (r . z + c) / R)`` exceeds 1 (R > 0), or falls short of it (R < 0).

Numbers that are no floats are replaced on the sound side: exponentials are positive, so a factor may be smaller; logarithms of
probabilities are negative, so their factors may be greater.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, frexp, inf, log, nan, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.odds import with_odds
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph

Floats = NDArray[np.float64]

MOST = 10_000_000
"""Numbers of the matrices of one case, at most."""

GREATEST = 1e100
"""Factors of logarithms, and their sums, at most."""

EXPONENT_BITS = 40
"""Factors of logarithms are multiples of a power of 2 that is so many bits below the greatest."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """A case as a claim about the outputs of a graph.

    Args:
        graph: Goes on from the network to exponentials, where the claim is about probabilities.
        case: Rows of these.
        levels: (groups, outputs) the choice of tangents below exponentials, see ``smooth``; None where there are none.
    """

    graph: Graph
    case: Case
    levels: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """``factors . exp((matrix() @ y + bias) / divisor) + constant``; rows of one key have one matrix, bias and divisor."""

    key: object
    matrix: Callable[[], Floats]
    bias: float
    divisor: float
    factors: Floats
    constant: float
    levels: Floats


def reduced(graph: Graph, statement: Statement, number: int) -> Reduced:
    """A case of a statement in a form that lines can bound.

    Raises:
        DataError: If the case is too large, or a row has no such form.
    """
    scores, case = statement.scores, statement.cases[number]
    if scores is None or not case.parts:
        return Reduced(graph, case)
    if graph.output_size**2 > MOST:
        raise DataError(f"probabilities of {graph.output_size} labels are not followed: too many")
    logits = scores.logits(graph.output_size)
    make = _of_logarithms if scores.logarithms else _of_probabilities
    if sum(len(part.constants) for part in case.parts) * len(logits) ** (2 if scores.logarithms else 1) > MOST:
        raise DataError(f"a case of {len(case.parts)} parts about {len(logits)} labels is too large: at most {MOST} numbers are kept of it")
    rows = [[make(logits, row, float(c)) for row, c in zip(part.rows, part.constants, strict=True)] for part in case.parts]
    blocks: dict[object, tuple[int, _Row]] = {}
    width = 0
    for one in (r for part in rows for r in part):
        if one.key not in blocks:
            blocks[one.key] = width, one
            width += len(one.factors)
    if width * (sum(map(len, rows)) + graph.output_size + len(blocks)) > MOST:
        raise DataError(f"a case with {width} exponentials and {len(rows)} parts is too large: at most {MOST} numbers are kept of it")
    parts = tuple(Part(_placed(part, blocks, width), np.array([r.constant for r in part])) for part in rows)
    return Reduced(_continued(graph, [r for _, r in blocks.values()]), Case(case.region, parts), _levels(list(blocks.values()), width))


def network_of(graph: Graph, statement: Statement, number: int, arithmetic: Arithmetic) -> tuple[CheckedNetwork, Case]:
    """What a case of a statement is proved of: a network made ready for the checker, and the case as a claim about its outputs.

    Raises:
        DataError: If the case is too large, or a row has no such form.
        UnsupportedOperatorError: If the checker does not know an operator.
    """
    case = statement.cases[number]
    if statement.scores is not None and case.slopes is not None:
        return CheckedNetwork(with_odds(graph, statement.scores), arithmetic), case
    found = reduced(graph, statement, number)
    return CheckedNetwork(found.graph, arithmetic, found.levels), found.case


def _placed(part: list[_Row], blocks: dict[object, tuple[int, _Row]], width: int) -> Floats:
    found = np.zeros((len(part), width))
    for i, row in enumerate(part):
        begin = blocks[row.key][0]
        found[i, begin : begin + len(row.factors)] = row.factors
    return found


def _levels(blocks: list[tuple[int, _Row]], width: int) -> Floats:
    found = np.full((len(blocks), width), nan)
    for i, (begin, row) in enumerate(blocks):
        found[i, begin : begin + len(row.levels)] = row.levels
    return found


def _continued(graph: Graph, blocks: list[_Row]) -> Graph:
    """The graph with the exponentials of all blocks as its output."""
    builder, values = GraphBuilder(graph.input_shape), [0]
    for node in graph.nodes:
        values.append(builder.add(node.operator, *(values[i] for i in node.inputs), name=node.name))
    matrix = np.concatenate([b.matrix() for b in blocks])
    counts = [len(b.factors) for b in blocks]
    bias, divisor = np.repeat([b.bias for b in blocks], counts), np.repeat([b.divisor for b in blocks], counts)
    value = values[-1]
    if len(graph.shapes[-1]) != 1:
        value = builder.add(op.Reshape((graph.output_size,)), value, name="claim")
    value = builder.add(op.Dense(matrix, bias), value, name="claim")
    if (divisor != 1).any():
        value = builder.add(op.DivConstant(divisor), value, name="claim")
    return builder.build(builder.add(nl.Exp(), value, name="claim"))


def _of_probabilities(logits: Floats, row: Floats, constant: float) -> _Row:
    pivot = int((row if row.max() > 0 else -row).argmax())
    rest = [i for i in range(len(row)) if i != pivot]
    factors, last = np.array([sum_below(row[i], constant) for i in rest]), sum_below(row[pivot], constant)
    levels = np.array([log(f) - log(-last) if f > 0 > last else nan for f in factors.tolist()])
    key = (pivot,) if np.isnan(levels).all() else (pivot, row.tobytes(), constant)
    return _Row(key, lambda: logits[rest] - logits[pivot], 0.0, 1.0, factors, last, levels)


def sum_below(one: Any, other: Any) -> float:
    """The greatest float at or below the sum of two."""
    exact = Fraction(float(one)) + Fraction(float(other))
    try:
        found = float(exact)
    except OverflowError:
        raise DataError("the factors of a row overflow") from None
    return found if Fraction(found) <= exact else nextafter(found, -inf)


def _of_logarithms(logits: Floats, row: Floats, constant: float) -> _Row:
    unit = Fraction(2) ** (frexp(float(np.abs(row).max()))[1] - EXPONENT_BITS)
    above = [ceil(Fraction(r) / unit) * unit for r in row.tolist()]
    rest = -sum(above, Fraction(0))
    if rest == 0:
        raise DataError("a row of logarithms whose factors add up to 0 compares logits: claim that of the outputs")
    exact = [[rest * (i == j) + r for j, r in enumerate(above)] for i in range(len(above))]
    if max(abs(rest), *(abs(x) for r in exact for x in r)) > GREATEST:
        raise DataError(f"the factors of a row of logarithms are beyond {GREATEST}: divide the row by a power of 2")
    matrix, divisor, sign = np.array([[float(x) for x in r] for r in exact]), float(rest), 1.0 if rest > 0 else -1.0
    rounded = (Fraction(f) != x for r, s in zip(matrix.tolist(), exact, strict=True) for f, x in zip(r, s, strict=True))
    if Fraction(divisor) != rest or any(rounded):
        raise DataError("the factors of a row of logarithms have no sum in float64")
    levels = np.full(len(row), 0.0 if sign > 0 else nan)
    return _Row((row.tobytes(), constant), lambda: matrix @ logits, constant, divisor, np.full(len(row), sign), -sign, levels)
