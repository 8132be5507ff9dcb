"""Claims about the network as float32 evaluates it: what any float32 evaluation may take off each form is taken off before it is proved.

A form of the real outputs that exceeds its drift is positive for every float32 evaluation of the network (``checking.drift`` says what is
assumed of such evaluations), so that a proof of the lowered claim in real arithmetic proves the claim. Probabilities are real functions of
the float32 outputs: they drift as far as these move them.
"""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np

from netassay.checking.certificates.curves import curve_of
from netassay.checking.certificates.probabilities import MOST
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.checking.drift import drift
from netassay.checking.float32.values import FLOAT32
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph

AT_ONCE = 256
"""Forms whose drift is bounded together."""

UNBOUNDED = "how far float32 may drift from real arithmetic has no bound over the region"


def in_real_arithmetic(statement: Statement, graph: Graph) -> Statement | None:
    """The claim about real arithmetic that proves a statement: itself, or what is left of it less the drift; None where that has no bound.

    Args:
        statement: What is claimed.
        graph: The network that is evaluated.
    Raises:
        UnsupportedOperatorError: If the rounding of an operator is not known.
        DataError: If it is about probabilities of too many labels.
    """
    if not statement.float32:
        return statement
    scored = graph if statement.scores is None else _scored(graph, statement.scores)
    cases = [_lowered(case, scored, graph) for case in statement.cases]
    found = tuple(case for case in cases if case is not None)
    return None if len(found) < len(cases) else replace(statement, cases=found, float32=False)


def assumed(statement: Statement, graph: Graph) -> str:
    """What a claim about float32 takes for granted of the functions that the network evaluates; empty where it evaluates none."""
    smooth = sorted({n.operator.name.lower() for n in graph.nodes if curve_of(n.operator) is not None})
    if not (statement.float32 and smooth):
        return ""
    return f"{' and '.join(smooth)} in float32 are right to 2^{log2(FLOAT32.library):.0f}"


def _scored(graph: Graph, scores: Scores) -> Graph:
    """The graph that goes on to the scores."""
    builder, values = GraphBuilder(graph.input_shape), [0]
    for node in graph.nodes:
        values.append(builder.add(node.operator, *(values[i] for i in node.inputs), name=node.name))
    if graph.output_size**2 > MOST:
        raise DataError(f"probabilities of {graph.output_size} labels are not followed: too many")
    logits = scores.logits(graph.output_size)
    value = builder.add(op.Dense(logits, np.zeros(len(logits))), builder.add(op.Reshape((graph.output_size,)), values[-1]), name="claim")
    return builder.build(builder.add((nl.LogSoftmax if scores.logarithms else nl.Softmax)(0), value, name="claim"))


def _lowered(case: Case, graph: Graph, deployed: Graph) -> Case | None:
    if not case.parts:
        return case
    shape, rows = graph.input_shape, np.concatenate([part.rows for part in case.parts])
    low, high = case.region.lower.reshape(shape), case.region.upper.reshape(shape)
    drifts = np.concatenate(
        [drift(graph, low, high, rows=rows[i : i + AT_ONCE], deployed=deployed)[0] for i in range(0, len(rows), AT_ONCE)]
    )
    with np.errstate(all="ignore"):
        constants = np.nextafter(np.concatenate([part.constants for part in case.parts]) - drifts, -np.inf)
    if not np.isfinite(constants).all():
        return None
    ends = np.cumsum([len(part.constants) for part in case.parts])[:-1]
    return Case(case.region, tuple(Part(p.rows, c) for p, c in zip(case.parts, np.split(constants, ends), strict=True)))
