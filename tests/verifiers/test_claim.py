"""Claims say what the properties say: same sign, and the bounds of their s are bounds of the property's own."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from netassay.errors import CapabilityError
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.custom import Custom
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Output, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty
from netassay.verifiers.claim import Claim, Part, claim_of, negated
from netassay.verifiers.probe import values
from random_graphs import GraphOnly, random_graph

PROPERTIES: dict[str, Property] = {
    "robustness": Robustness(1),
    "robustness, eps": Robustness(0, 0.1),
    "robustness, logits": Robustness(2, 0.25, Scale.LOGITS),
    "gap": ConfidenceGap(0, 2),
    "gap, eps": ConfidenceGap(1, 2, 0.2),
    "gap, logits": ConfidenceGap(1, 0, 0.5, on=Scale.LOGITS),
    "below": Reachability(1, 0.3),
    "above": Reachability(0, 0.4, Direction.ABOVE),
    "rise": Reachability(2, 0.25, Direction.RISE, 0.125),
    "rise beyond 1": Reachability(2, 0.5, Direction.RISE, 0.75),
    "below, logits": Reachability(1, -0.5, on=Scale.LOGITS),
    "uncertainty": Uncertainty(0.05),
    "uncertainty, reference": Uncertainty(0.1, (0.5, 0.25, 0.25)),
    "output": Output(2),
    "probability": Output(0, Scale.PROBABILITIES),
    "halfspaces": OutputHalfspaces([[[1, -1, 0], [0, 1, 2]], [[0, 0, 1]]], [[0.5, 0], [0.25]]),
}
CONVENTIONS = {
    "logits": OutputConvention(),
    "costs": OutputConvention(Meaning.LOGITS, Decision.ARGMIN),
    "probabilities": OutputConvention(Meaning.PROBABILITIES),
}


def network(meaning: str, seed: int) -> GraphOnly:
    kind = "softmax" if meaning == "probabilities" else "dense"
    graph = random_graph(kind, seed)
    if meaning == "probabilities":
        from netassay.models import nonlinear as nl
        from netassay.verifiers.claim import _begun

        builder, value = _begun(graph)
        graph = builder.build(builder.add(nl.Softmax(0), value))
    return GraphOnly(graph, CONVENTIONS[meaning], Box.filled(graph.input_shape, -1, 1))


def evaluated(claim: Claim, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return values(claim, GraphModule(claim.graph, torch.float64)(torch.from_numpy(points)).numpy())


@pytest.mark.parametrize("meaning", CONVENTIONS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_claims_and_properties_agree(name: str, meaning: str) -> None:
    asked = PROPERTIES[name]
    for seed in range(3):
        net = network(meaning, seed)
        assert net.graph is not None
        points = np.random.default_rng(seed).uniform(-1, 1, (200, 3))
        with torch.no_grad():
            outputs = GraphModule(net.graph, torch.float64)(torch.from_numpy(points)).numpy()
        own = asked.values(net.convention.scores(outputs, asked.on))
        problem = Problem(net, net.domain, asked)
        claim, exact = claim_of(problem), claim_of(problem, exact=True)
        claimed = evaluated(claim, points)
        clear = np.abs(own) > 1e-9
        assert ((claimed > 0) == (own > 0))[clear].all()
        assert claim.strict is not asked.zero_is_safe
        bounds = np.array([claim.value(float(v)) for v in claimed])
        assert (bounds <= own + 1e-9).all()
        np.testing.assert_allclose(evaluated(exact, points), own, atol=1e-9)
        turned = negated(exact)
        if turned is not None:
            np.testing.assert_allclose(evaluated(turned, points), -own, atol=1e-9)


@pytest.mark.parametrize("name", PROPERTIES)
def test_lower_bounds_convert_monotonically_and_nan_to_nothing(name: str) -> None:
    net = network("logits", 0)
    claim = claim_of(Problem(net, net.domain, PROPERTIES[name]))
    found = [claim.value(t) for t in (-50.0, -2.0, -1e-9, 0.0, 1e-9, 0.5, 3.0, 800.0)]
    assert found == sorted(found)
    assert found[2] <= 0 <= found[4]
    assert not claim.holds(math.nan)
    assert not claim.value(math.nan) > 0


@pytest.mark.parametrize("reference", [None, (0.5, 0.125, 0.25, 0.0, 0.125)])
def test_divergences_lie_between_the_claim_and_its_negation(reference: tuple[float, ...] | None) -> None:
    graph = random_graph("dense", 3, outputs=5)
    net = GraphOnly(graph, OutputConvention(), Box.filled(graph.input_shape, -1, 1))
    claim = claim_of(Problem(net, net.domain, Uncertainty(0.0625, reference)), exact=True)
    above = negated(claim)
    assert above is not None
    with localcontext(prec=60):
        q = [Decimal(1) / 5] * 5 if reference is None else [Decimal(w) for w in reference]
        for scores in np.random.default_rng(0).normal(0, 3, (50, 5)).tolist():
            total = sum(Decimal(z).exp() for z in scores)
            logs = [Decimal(z) - total.ln() for z in scores]
            s = sum(w * (w.ln() - log) for w, log in zip(q, logs, strict=True) if w) - Decimal("0.0625")
            low, high = (_at(side.parts[0], logs) for side in (claim, above))
            assert low <= s <= -high
            assert -high - low < Decimal("1e-12")


def _at(part: Part, outputs: list[Decimal]) -> Decimal:
    terms = (Decimal(c) * z for c, z in zip(part.rows[0].tolist(), outputs, strict=True))
    return sum(terms, Decimal(float(part.constants[0])))


def test_a_single_logit_has_two_labels() -> None:
    graph = random_graph("dense", 3, outputs=1)
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    with torch.no_grad():
        outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()
    for meaning in (Meaning.BINARY_LOGIT,):
        net = GraphOnly(graph, OutputConvention(meaning), Box.filled((3,), -1, 1))
        for asked in (Robustness(0), Robustness(1, 0.1), Uncertainty(0.1), Reachability(1, 0.5)):
            own = asked.values(net.convention.scores(outputs, asked.on))
            exact = claim_of(Problem(net, net.domain, asked), exact=True)
            np.testing.assert_allclose(evaluated(exact, points), own, atol=1e-9)


def test_black_boxes_and_custom_expressions_cannot_be_followed() -> None:
    net = network("logits", 0)

    class Opaque(GraphOnly):
        @property
        def graph(self):  # type: ignore[no-untyped-def,override]
            return None

    assert net.graph is not None
    opaque = Opaque(net.graph)
    with pytest.raises(CapabilityError, match="black box"):
        claim_of(Problem(opaque, net.domain, Robustness(0)))
    with pytest.raises(CapabilityError, match="ask for one of"):
        claim_of(Problem(net, net.domain, Custom(lambda scores: scores[:, 0], "z_0")))
