"""What is to be proved, brought to one form: linear forms of the last value of a graph, combined by "or" and "and".

``s = min over parts of max over rows of (<row, y> + constant)``: every part has to hold, and any of its rows suffices for it. For
robustness the parts are the target labels (Proposition 1 of the target-label paper); for VNN-LIB they are the disjuncts of the
unsafe set. Where a probability or a divergence is asked about, the graph goes on to the log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import nextafter

import numpy as np

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Output, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty
from netassay.verifiers.rounding import Array


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part that has to hold: at least one of its rows is positive (or not negative).

    Args:
        rows: (r, m) coefficients of the graph's output.
        constants: (r,); both as exact float64 numbers, chosen on the safe side where they are not representable.
        label: The target label that the part is about, where it is about one.
    """

    rows: Array
    constants: Array
    label: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """``s > 0`` (or ``s >= 0``) on a region, for the real-arithmetic network of the graph's weights.

    Args:
        graph: From the network's input to the value that the rows are about.
        parts: What has to hold.
        strict: Whether s = 0 breaks the claim.
        value: A lower bound of the property's own s from a lower bound of the claim's; the same sign, rounded down.
        label: The label that has to be kept, for classifiers.
        above: Parts of an s that is nowhere below the property's, each coefficient within 2^-50 of its own size, where ``parts`` had to be
            rounded; None where they are exact.
    """

    graph: Graph
    parts: tuple[Part, ...]
    strict: bool
    value: Callable[[float], float] = float
    label: int | None = None
    above: tuple[Part, ...] | None = None

    def holds(self, lower: float) -> bool:
        """Whether a proved lower bound of s proves the claim; NaN proves nothing."""
        return lower > 0 or (lower == 0 and not self.strict)

    def only(self, parts: list[int]) -> Claim:
        """The claim about some parts alone."""
        return replace(self, parts=tuple(self.parts[i] for i in parts))


def claim_of(problem: Problem, *, exact: bool = False) -> Claim:
    """The claim of a problem's property.

    Args:
        problem: Network and property.
        exact: Whether the claim's s has to be the property's own, as for its range; otherwise an s of the same sign that is bounded
            more tightly may stand for it (logits for probabilities, say).
    Raises:
        CapabilityError: If the network is a black box, or the property has no form that bounds can follow.
    """
    network, asked = problem.network, problem.property
    if network.graph is None:
        raise CapabilityError(
            f"{network.name} is a black box: nothing can be proved about it; give an ONNX file or a PyTorch module that can be exported"
        )
    if isinstance(asked, tuple(_CLAIMS)):
        return _made(asked, network.graph, network.convention, exact)
    raise CapabilityError(f"no proof can follow the property {asked.describe().text!r} ({asked.name}); ask for one of {', '.join(_NAMES)}")


@lru_cache(maxsize=32)
def _made(asked: Property, graph: Graph, convention: OutputConvention, exact: bool) -> Claim:
    """Remembered, since a bisection asks about one property in many balls, and a claim's graph is what bounds are prepared for."""
    make = next(make for kind, make in (_EXACT if exact else _CLAIMS).items() if isinstance(asked, kind))
    return make(asked, graph, convention)


def _scores(graph: Graph, convention: OutputConvention, scale: Scale) -> Graph:
    """The graph that goes on to the scores on ``scale``, as ``OutputConvention.scores`` defines them."""
    if scale is Scale.OUTPUTS or (scale is Scale.PROBABILITIES and convention == OutputConvention(Meaning.PROBABILITIES)):
        return graph
    builder, value = _begun(graph)
    if scale is Scale.PROBABILITIES and convention == OutputConvention(Meaning.SIGMOID):
        return builder.build(_both_labels(builder, value, 1.0))
    value = _logits(builder, value, convention)
    if scale is Scale.PROBABILITIES:
        value = builder.add(nl.Softmax(0), value)
    return builder.build(value)


def _begun(graph: Graph) -> tuple[GraphBuilder, int]:
    builder, values = GraphBuilder(graph.input_shape), [0]
    for node in graph.nodes:
        values.append(builder.add(node.operator, *(values[i] for i in node.inputs), name=node.name))
    return builder, values[-1]


def _logits(builder: GraphBuilder, value: int, convention: OutputConvention) -> int:
    if convention.meaning is Meaning.BINARY_LOGIT:
        value = builder.add(op.Dense(np.array([[0.0], [1.0]]), np.zeros(2)), value)
    elif convention.meaning is Meaning.SIGMOID:
        value = _both_labels(builder, value, 1.0)
    if convention.meaning in (Meaning.PROBABILITIES, Meaning.SIGMOID):
        value = builder.add(nl.Log(), value)
    if convention.decision is Decision.ARGMIN:
        value = builder.add(op.MulConstant(np.full((), -1.0)), value)
    return value


def _both_labels(builder: GraphBuilder, value: int, total: float) -> int:
    """(total - y, y) of a single output y."""
    return builder.add(op.Dense(np.array([[-1.0], [1.0]]), np.array([total, 0.0])), value)


def _log_probabilities(graph: Graph, convention: OutputConvention) -> Graph:
    builder, value = _begun(graph)
    if convention.meaning in (Meaning.PROBABILITIES, Meaning.SIGMOID) and convention.decision is Decision.ARGMAX:
        return _scores(graph, convention, Scale.LOGITS)
    return builder.build(builder.add(nl.LogSoftmax(0), _logits(builder, value, convention)))


def _difference(size: int, one: int, other: int) -> Array:
    row = np.zeros((1, size))
    row[0, one], row[0, other] = 1.0, -1.0
    return row


def negated(claim: Claim) -> Claim | None:
    """The claim about -s; None where it has no such form (several parts of several rows)."""
    given = claim.parts if claim.above is None else claim.above
    if len(given) == 1:
        part = given[0]
        parts = tuple(Part(-part.rows[i : i + 1], -part.constants[i : i + 1]) for i in range(len(part.rows)))
    elif all(len(part.rows) == 1 for part in given):
        rows, constants = np.concatenate([p.rows for p in given]), np.concatenate([p.constants for p in given])
        parts = (Part(-rows, -constants),)
    else:
        return None
    return Claim(claim.graph, parts, strict=False)


def _compared(
    graph: Graph, convention: OutputConvention, label: int, rivals: list[int], eps: float, on: Scale, *, exact: bool = False
) -> Claim:
    """``f_label - f_j - eps > 0`` for every rival j; without eps on scores whose order is that of the probabilities."""
    if eps == 0 and on is Scale.PROBABILITIES and not exact:
        scored = _ordered(graph, convention)
        value = _probability_gap(convention.labels(graph.output_size)) if convention.meaning is not Meaning.PROBABILITIES else float
    else:
        scored, value = _scores(graph, convention, on), float
    size = scored.output_size
    parts = tuple(Part(_difference(size, label, j), np.array([-eps]), j) for j in rivals)
    return Claim(scored, parts, strict=True, value=value, label=label)


def _ordered(graph: Graph, convention: OutputConvention) -> Graph:
    """Scores of the labels in the order of their probabilities, without a softmax."""
    if convention.meaning in (Meaning.PROBABILITIES, Meaning.SIGMOID):
        builder, value = _begun(graph)
        if convention.meaning is Meaning.SIGMOID:
            value = _both_labels(builder, value, 1.0)
        if convention.decision is Decision.ARGMIN:
            value = builder.add(op.MulConstant(np.full((), -1.0)), value)
        return builder.build(value)
    return _scores(graph, convention, Scale.LOGITS)


def _probability_gap(labels: int) -> Callable[[float], float]:
    """From a lower bound t of ``z_k - max z_j`` to one of ``f_k - max f_j``: the worst case has all rivals equal, or one alone."""

    def convert(t: float) -> float:
        if math.isnan(t):
            return -1.0
        if t <= 0:
            return max(-1.0, math.expm1(t) * (1 + 1e-12) - 1e-300) if t < 0 else 0.0
        if t > 700:
            return 1 - 1e-15
        raised = math.expm1(t)
        return max(0.0, nextafter(raised / (raised + labels) * (1 - 1e-12), 0.0))

    return convert


def _robustness(asked: Robustness, graph: Graph, convention: OutputConvention, *, exact: bool = False) -> Claim:
    rivals = [j for j in range(convention.labels(graph.output_size)) if j != asked.label]
    return _compared(graph, convention, asked.label, rivals, asked.eps, asked.on, exact=exact)


def _gap(asked: ConfidenceGap, graph: Graph, convention: OutputConvention, *, exact: bool = False) -> Claim:
    claim = _compared(graph, convention, asked.label, [asked.other], asked.eps, asked.on, exact=exact)
    return replace(claim, value=_only_sign) if asked.on is Scale.PROBABILITIES and asked.eps == 0 and not exact else claim


def _only_sign(t: float) -> float:
    """Two labels among others: their logits' gap says which is ahead, and not by how much."""
    return -1.0 if math.isnan(t) or t < 0 else 0.0


def _single(size: int, index: int, sign: float) -> Array:
    row = np.zeros((1, size))
    row[0, index] = sign
    return row


def _output(asked: Output, graph: Graph, convention: OutputConvention) -> Claim:
    scored = _scores(graph, convention, asked.on)
    return Claim(scored, (Part(_single(scored.output_size, asked.index, 1.0), np.zeros(1)),), strict=False)


def _reachability(asked: Reachability, graph: Graph, convention: OutputConvention, *, exact: bool = False) -> Claim:
    sign, threshold = (1.0 if asked.direction is Direction.BELOW else -1.0), asked.threshold
    if exact or asked.on is not Scale.PROBABILITIES or not 0 < threshold < 1:
        scored = _scores(graph, convention, asked.on)
        part = Part(_single(scored.output_size, asked.label, sign), np.array([-sign * threshold]), asked.label)
        return Claim(scored, (part,), strict=not asked.zero_is_safe)
    scored = _log_probabilities(graph, convention)
    log = math.log(threshold)  # within one unit in the last place; moved against the claim
    outwards = log * (1 - 4e-16) if sign > 0 else log * (1 + 4e-16)
    part = Part(_single(scored.output_size, asked.label, sign), np.array([-sign * outwards]), asked.label)
    value = (lambda t: _from_log(t, threshold)) if sign > 0 else (lambda t: -_from_log(-t, threshold, up=True))
    return Claim(scored, (part,), strict=not asked.zero_is_safe, value=value)


def _from_log(t: float, threshold: float, *, up: bool = False) -> float:
    """``f - threshold`` from ``t = log f - log threshold``, rounded down (or up)."""
    if math.isnan(t):
        return 1.0 if up else -1.0
    found = threshold * math.expm1(min(t, 700.0))
    margin = 1e-12 * abs(found) + 1e-300
    return min(1.0, found + margin) if up else max(-1.0, found - margin if found else 0.0)


def _uncertainty(asked: Uncertainty, graph: Graph, convention: OutputConvention) -> Claim:
    """``KL(q || f) - eps = sum q_l log q_l - sum q_l log f_l - eps``: linear in the log-probabilities, which are not positive."""
    scored = _log_probabilities(graph, convention)
    count = scored.output_size
    q = np.full(count, 1 / count) if asked.reference is None else np.asarray(asked.reference)
    entropy = float(np.sum(q[q > 0] * np.log(q[q > 0])))
    rounding = 1e-15 * (len(q) + 8) * (abs(entropy) + asked.eps + 1.0)  # of q, of its logarithm and of the sum
    less, more = (np.nextafter(q, 0.0), np.nextafter(q, 1.0)) if asked.reference is None else (q, q)
    below, above = (Part(-w[None], np.array([entropy - asked.eps + r])) for w, r in ((less, -rounding), (more, rounding)))
    return Claim(scored, (below,), strict=not asked.zero_is_safe, above=(above,))


def _halfspaces(asked: OutputHalfspaces, graph: Graph, convention: OutputConvention) -> Claim:
    scored = _scores(graph, convention, asked.on)
    parts = tuple(Part(asked.matrix[d, :r].copy(), -asked.offset[d, :r]) for d, r in enumerate(asked.rows))
    return Claim(scored, parts, strict=True)


_CLAIMS: dict[type[Property], Callable[[Property, Graph, OutputConvention], Claim]] = {
    Robustness: _robustness,  # type: ignore[dict-item]
    ConfidenceGap: _gap,  # type: ignore[dict-item]
    Output: _output,  # type: ignore[dict-item]
    Reachability: _reachability,  # type: ignore[dict-item]
    Uncertainty: _uncertainty,  # type: ignore[dict-item]
    OutputHalfspaces: _halfspaces,  # type: ignore[dict-item]
}
_EXACT: dict[type[Property], Callable[[Property, Graph, OutputConvention], Claim]] = {
    **_CLAIMS,
    Robustness: partial(_robustness, exact=True),
    ConfidenceGap: partial(_gap, exact=True),
    Reachability: partial(_reachability, exact=True),
}
_NAMES = tuple(kind.name for kind in _CLAIMS)
