"""Claims about the network as float32 evaluates it: what any float32 evaluation may take off each form is taken off before it is proved.

A form of the real outputs that exceeds its drift is positive for every float32 evaluation of the network (``checking.drift`` says what is
assumed of such evaluations), so that a proof of the lowered claim in real arithmetic proves the claim.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netassay.checking.certificates.curves import curve_of
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.checking.drift import drift
from netassay.errors import CapabilityError
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
        CapabilityError: If functions are evaluated whose float32 versions are not known exactly.
    """
    if not statement.float32:
        return statement
    smooth = sorted({n.operator.name for n in graph.nodes if curve_of(n.operator) is not None})
    if statement.scores is not None or smooth:
        raise CapabilityError(
            f"a certificate about float32 would have to assume how exact the deployed {', '.join(smooth) or 'softmax'} is, which nothing "
            "proves: ask for one about real arithmetic"
        )
    cases = [_lowered(case, graph) for case in statement.cases]
    found = tuple(case for case in cases if case is not None)
    return None if len(found) < len(cases) else replace(statement, cases=found, float32=False)


def _lowered(case: Case, graph: Graph) -> Case | None:
    if not case.parts:
        return case
    shape, rows = graph.input_shape, np.concatenate([part.rows for part in case.parts])
    low, high = case.region.lower.reshape(shape), case.region.upper.reshape(shape)
    drifts = np.concatenate([drift(graph, low, high, rows=rows[i : i + AT_ONCE])[0] for i in range(0, len(rows), AT_ONCE)])
    with np.errstate(all="ignore"):
        constants = np.nextafter(np.concatenate([part.constants for part in case.parts]) - drifts, -np.inf)
    if not np.isfinite(constants).all():
        return None
    ends = np.cumsum([len(part.constants) for part in case.parts])[:-1]
    return Case(case.region, tuple(Part(p.rows, c) for p, c in zip(case.parts, np.split(constants, ends), strict=True)))
