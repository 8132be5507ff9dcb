"""Outputs of small networks of dense layers and functions of one number, and probabilities, to as many digits as mpmath works with."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.graph import Graph
from netassay.models.operators import Operator

Numbers = list[mpmath.mpf]

FUNCTIONS = {
    nl.Sigmoid: lambda x: 1 / (1 + mpmath.exp(-x)),
    nl.Tanh: mpmath.tanh,
    nl.Exp: mpmath.exp,
    nl.Relu: lambda x: max(x, mpmath.mpf(0)),
}


def precise(number: object) -> mpmath.mpf:
    """A number as it is."""
    if isinstance(number, Fraction):
        return mpmath.mpf(number.numerator) / number.denominator
    return mpmath.mpf(number if isinstance(number, int) else float(number))  # type: ignore[arg-type]


def dot(row: np.ndarray, values: Numbers) -> mpmath.mpf:
    return sum((precise(r) * v for r, v in zip(row, values, strict=True)), mpmath.mpf(0))


def outputs_of(graph: Graph, point: np.ndarray) -> Numbers:
    """Of a chain of nodes."""
    found = [precise(x) for x in point]
    for node in graph.nodes:
        found = _applied(node.operator, found)
    return found


def _applied(operator: Operator, given: Numbers) -> Numbers:
    if isinstance(operator, op.Dense):
        return [dot(row, given) + precise(c) for row, c in zip(operator.weight, operator.bias, strict=True)]
    if isinstance(operator, op.DivConstant):
        return [x / precise(d) for x, d in zip(given, np.broadcast_to(operator.value, (len(given),)), strict=True)]
    return [FUNCTIONS[type(operator)](x) for x in given]  # type: ignore[index]


def softmax(logits: Numbers) -> Numbers:
    found = [mpmath.exp(z) for z in logits]
    return [e / sum(found) for e in found]
