"""Claims about probabilities: the form in which they are proved implies them, and certificates of them are accepted for true ones only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from certificate_worlds import MUTATIONS, body, checked, no_damage_proves, produced, smooth_network
from checking.certificates.test_bounds import bounded
from checking.certificates.test_exponential import exact
from netassay.checking.certificates.check import Checker
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.probabilities import reduced
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores, read_scores
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import CapabilityError, DataError, PropertyError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.models.torch_graph import GraphModule
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Output, Reachability
from netassay.specs.regions import Box
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty
from netassay.verifiers.certificates.claims import range_statement, statement_of
from random_graphs import GraphOnly

Array = np.ndarray


def identity(size: int) -> Graph:
    builder = GraphBuilder((size,))
    return builder.build(builder.add(op.Dense(np.eye(size), np.zeros(size)), 0))


def stated(graph: Graph, scores: Scores | None, parts: tuple[Part, ...], *, strict: bool = True, size: float = 1.0) -> Statement:
    n = graph.input_shape[0]
    case = Case(Region(np.full(n, -size), np.full(n, size)), parts)
    return Statement(graph.sha256, n, graph.output_size, (case,), strict, scores=scores)


def probabilities(scores: Scores, outputs: Array) -> list[mpmath.mpf]:
    z = [mpmath.mpf(0) if scores.binary else exact(outputs[0]), *(exact(y) for y in outputs[(0 if scores.binary else 1) :])]
    weights = [mpmath.exp(-v if scores.negated else v) for v in z]
    return [w / sum(weights) for w in weights]


def value(found: list[object], row: Array, constant: float) -> mpmath.mpf:
    return sum((exact(r) * p for r, p in zip(row, found, strict=True)), mpmath.mpf(0)) + exact(constant)


def exponentials(graph: Graph, at: Array) -> list[mpmath.mpf]:
    """What a graph gives that goes on from the outputs ``at``."""
    dense, *more = [n.operator for n in graph.nodes[1:]]
    assert isinstance(dense, op.Dense)
    y = [exact(x) for x in at]
    w = [value(y, row, c) for row, c in zip(dense.weight, dense.bias, strict=True)]
    if isinstance(more[0], op.DivConstant):
        w = [a / exact(b) for a, b in zip(w, np.ravel(more[0].value), strict=True)]
    assert isinstance(more[-1], nl.Exp)
    return [mpmath.exp(x) for x in w]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("logarithms", [False, True])
def test_what_is_proved_implies_what_is_claimed(*, binary: bool, logarithms: bool) -> None:
    """At points next to where the claim's form changes its sign, which the other one does no earlier, and not much later."""
    rng = np.random.default_rng(0)
    checked_signs = 0
    with mpmath.workprec(400):
        for trial in range(60):
            outputs = 1 if binary else int(rng.integers(2, 6))
            scores = Scores(logarithms, binary, bool(rng.integers(2)))
            row = rng.normal(size=scores.labels(outputs)) * 10.0 ** rng.integers(-2, 2)
            row = -np.abs(row) if trial % 3 == 0 else np.where(rng.random(len(row)) < 0.3, 0.0, row)
            if not row.any():
                continue
            at = rng.normal(size=outputs) * 3
            p = probabilities(scores, at)
            about = [mpmath.log(x) for x in p] if logarithms else p
            level = -float(value(about, row, 0.0))
            size = sum(abs(float(r) * float(x)) for r, x in zip(row, about, strict=True)) + abs(level) + float(np.abs(row).max())
            for shift in (0.0, 1e-15, -1e-15, 1e-11, -1e-11, 0.1):
                constant = level + shift * size
                found = reduced(identity(outputs), stated(identity(outputs), scores, (Part(row[None], np.array([constant])),)), 0)
                (part,) = found.case.parts
                proved = value(exponentials(found.graph, at), part.rows[0], part.constants[0])
                true = value(about, row, constant)
                assert not proved > 0 or true > 0, (row, constant)
                assert not proved >= 0 or true >= 0, (row, constant)
                assert proved > 0 or true < 1e-9 * size, (row, constant)
                checked_signs += 1
    assert checked_signs > 250


def at_points(graph: Graph, points: Array) -> Array:
    with torch.no_grad():
        return GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()


def asked_of(graph: Graph, prop: Property, size: float, convention: OutputConvention | None = None) -> Problem:
    n = graph.input_shape[0]
    return Problem(GraphOnly(graph, convention or OutputConvention()), Box(np.full(n, -size), np.full(n, size)), prop)


def grid(size: float, steps: int = 81) -> Array:
    """Points of a square, its edges and corners among them."""
    line = np.linspace(-size, size, steps)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


PROPERTIES: dict[str, Callable[[int, float], Property]] = {
    "below": lambda k, t: Reachability(k, t, Direction.BELOW),
    "above": lambda k, t: Reachability(k, t, Direction.ABOVE),
    "gap": lambda k, t: ConfidenceGap(k, (k + 1) % 3, t),
    "robustness": lambda k, t: Robustness(k, t),
    "uncertainty": lambda _, t: Uncertainty(t),
}


def worst(kind: str, label: int, graph: Graph, size: float) -> float:
    """The threshold that is just missed at the worst of many points."""
    asked = PROPERTIES[kind](label, 0.5)
    least = float(asked.values(OutputConvention().scores(at_points(graph, grid(size)), asked.on)).min())
    return 0.5 - least if kind == "above" else 0.5 + least


@pytest.mark.parametrize("operator", [nl.Sigmoid(), nl.Tanh(), nl.Relu()])
@pytest.mark.parametrize("kind", PROPERTIES)
def test_true_claims_are_proved_and_false_ones_never(tmp_path: Path, kind: str, operator: nl.Elementwise) -> None:
    """A threshold 2 % beyond all values seen has a certificate; one that was passed by 1e-9 has none, and no records prove it."""
    path, tried = tmp_path / "a.cert", 0
    for seed in range(12):
        graph, size = smooth_network(seed, operator), 0.2
        label = int(at_points(graph, np.zeros((1, 2)))[0].argmax())
        level, outwards = worst(kind, label, graph, size), 1.0 if kind == "above" else -1.0
        if not (0.05 < level < 0.95 and 0 < level + 0.02 * outwards < 1):
            continue
        true, false = (asked_of(graph, PROPERTIES[kind](label, level + by * outwards), size) for by in (0.02, -1e-9))
        statement, wrong = statement_of([true]), statement_of([false])
        assert statement.scores == Scores(logarithms=kind == "uncertainty")
        assert produced(path, true, statement).complete
        assert checked(true, statement, body(path)).accepted
        assert not checked(false, wrong, body(path)).accepted
        if tried == 0 and kind in ("below", "uncertainty"):
            assert checked(true, statement, body(path), exact=True).accepted
            assert not checked(false, wrong, body(path), exact=True).accepted
        calls = count()
        assert not produced(tmp_path / "b.cert", false, wrong, over=lambda calls=calls: next(calls) > 8).complete
        tried += 1
        if tried == 2:
            return
    assert tried


def wide(operator: nl.Elementwise, label: int = 0, size: float = 0.25) -> tuple[Graph, Problem]:
    """A network of more inputs than are split, and a region in which its neurons have to be."""
    graph = smooth_network(3, operator, inputs=16)
    return graph, asked_of(graph, Reachability(label, 0.5, on=Scale.OUTPUTS), size)


def least_of(graph: Graph, size: float, row: Array) -> float:
    """A value that is attained."""
    rng = np.random.default_rng(0)
    corners = np.where(rng.random((20000, 16)) < 0.5, -size, size)
    return float((at_points(graph, corners) @ row).min())


@pytest.mark.parametrize("operator", [nl.Sigmoid(), nl.Tanh()])
def test_ranges_of_smooth_neurons_are_split(tmp_path: Path, operator: nl.Elementwise) -> None:
    """Between what one pass proves and what is attained there is a claim that takes splits; they are recorded with their thresholds."""
    graph, problem = wide(operator, size=0.04)
    row, region = np.array([1.0, -1.0, 0.0]), Region(np.full(16, -0.04), np.full(16, 0.04))
    least, bound = least_of(graph, 0.04, row), float(bounded(graph, problem.region, row[None], exact=False)[0])
    path, part = tmp_path / "a.cert", Part(row[None], np.array([-(bound + 0.4 * (least - bound))]))
    statement = Statement(graph.sha256, 16, 3, (Case(region, (part,)),), True)
    assert produced(path, problem, statement).complete
    records = body(path)
    trees = [r for r in records if r.kind == "parts" and len(r.arrays["value"]) > 1]
    assert trees
    assert any((t.arrays["threshold"] != 0).any() for t in trees)
    assert any(t.arrays["multipliers"].any() for t in trees)
    assert checked(problem, statement, records).accepted
    false = replace(statement, cases=(Case(statement.cases[0].region, (Part(row[None], np.array([-(least + 1e-9)])),)),))
    assert not checked(problem, false, records).accepted
    no_damage_proves(problem, statement, false, records, seed=1, rounds=MUTATIONS // 2)


def test_slopes_of_smooth_numbers_cannot_be_given(tmp_path: Path) -> None:
    """Their lines are the checker's own: a record that brings some is refused."""
    _, problem = wide(nl.Tanh(), size=0.01)
    statement = statement_of([replace(problem, property=Reachability(0, 0.01))])
    path = tmp_path / "a.cert"
    assert produced(path, problem, statement).complete
    records = body(path)
    for value in (1, 3, 6):
        extra = {f"chosen {value}": np.zeros(1, np.uint32), f"slopes {value}": np.full((1, 1), 255, np.uint8)}
        bad = [Record(r.head, {**r.arrays, **extra}) if r.kind == "parts" else r for r in records]
        with pytest.raises(DataError, match="do not fit"):
            checked(problem, statement, bad)


def test_damaged_certificates_of_probabilities_never_prove_what_is_false(tmp_path: Path) -> None:
    graph, size, path = smooth_network(1, nl.Sigmoid()), 0.5, tmp_path / "a.cert"
    label = int(at_points(graph, np.zeros((1, 2)))[0].argmax())
    level = worst("below", label, graph, size)
    true, false = (asked_of(graph, Reachability(label, level + by), size) for by in (-1e-4, 1e-9))
    statement, wrong = statement_of([true]), statement_of([false])
    assert produced(path, true, statement).complete
    records = body(path)
    assert len(records[-1].arrays["value"]) > 1
    no_damage_proves(true, statement, wrong, records, seed=5, rounds=MUTATIONS // 3)


@pytest.mark.parametrize("convention", [OutputConvention(decision=Decision.ARGMIN), OutputConvention(Meaning.BINARY_LOGIT)])
def test_other_conventions(tmp_path: Path, convention: OutputConvention) -> None:
    """Where the least output wins, or one output stands for two labels."""
    outputs = 1 if convention.meaning is Meaning.BINARY_LOGIT else 3
    graph, path = smooth_network(2, nl.Tanh(), outputs=outputs), tmp_path / "a.cert"
    scores = convention.scores(at_points(graph, grid(0.05)), Scale.PROBABILITIES)
    label = int(scores.min(axis=0).argmax())
    least = float(scores[:, label].min())
    for by, expected in ((-0.05, True), (1e-9, False)):
        asked = asked_of(graph, Reachability(label, least + by), 0.05, convention)
        statement, calls = statement_of([asked]), count()
        assert statement.scores is not None
        assert "softmax(-y)" in statement.scores.text or "softmax(0, y)" in statement.scores.text
        assert produced(path, asked, statement, over=lambda calls=calls: next(calls) > 10).complete is expected
        assert not expected or checked(asked, statement, body(path)).accepted


def test_both_ends_of_the_range_of_a_probability(tmp_path: Path) -> None:
    graph, path = smooth_network(4, nl.Sigmoid()), tmp_path / "a.cert"
    asked = asked_of(graph, Output(1, on=Scale.PROBABILITIES), 0.2)
    values = asked.property.values(OutputConvention().scores(at_points(graph, grid(0.2)), Scale.PROBABILITIES))
    low, high = float(values.min()), float(values.max())
    true, false = range_statement([asked], [(low - 0.01, high + 0.01)]), range_statement([asked], [(low - 0.01, high - 1e-9)])
    assert len(true.cases[0].parts) == 2
    assert produced(path, asked, true).complete
    assert checked(asked, true, body(path)).accepted
    assert not checked(asked, false, body(path)).accepted


@pytest.mark.parametrize("reference", [None, [0.5, 0.25, 0.25]])
def test_both_ends_of_the_range_of_a_divergence(tmp_path: Path, reference: list[float] | None) -> None:
    """From the uniform distribution and another one; an end that was passed by 1e-9 has no certificate, and no records prove it."""
    graph, path, size = smooth_network(4, nl.Sigmoid()), tmp_path / "a.cert", 0.1
    asked = asked_of(graph, Uncertainty(0.25, reference), size)
    values = asked.property.values(OutputConvention().scores(at_points(graph, grid(size)), asked.property.on))
    low, high = float(values.min()), float(values.max())
    true = range_statement([asked], [(low - 0.02, high + 0.02)])
    assert true.scores == Scores(logarithms=True)
    assert len(true.cases[0].parts) == 2
    assert produced(path, asked, true).complete
    for exactly in (False, True):
        assert checked(asked, true, body(path), exact=exactly).accepted
        for ends in ((low + 1e-9, high + 0.02), (low - 0.02, high - 1e-9)):
            false, calls = range_statement([asked], [ends]), count()
            assert not checked(asked, false, body(path), exact=exactly).accepted
            assert not produced(tmp_path / "b.cert", asked, false, over=lambda calls=calls: next(calls) > 10).complete


def test_the_claim_of_a_range_says_no_less() -> None:
    """Exactly: what is claimed of the divergence, with logarithms of probabilities that are not positive, implies both ends."""
    graph, low, high = smooth_network(4, nl.Sigmoid()), 0.1 + 0.2, 1.1
    below, above = range_statement([asked_of(graph, Uncertainty(0.1), 0.1)], [(low, high)]).cases[0].parts
    with mpmath.workprec(300):
        third, log3 = mpmath.mpf(1) / 3, mpmath.log(3)
        assert all(exact(r) >= -third for r in below.rows[0])
        assert exact(below.constants[0]) <= -log3 - exact(0.1) - exact(low)
        assert all(exact(r) >= third for r in above.rows[0])
        assert exact(above.constants[0]) <= log3 + exact(0.1) + exact(high)


def test_ends_that_are_no_float_away_are_moved_inwards() -> None:
    graph = smooth_network(4, nl.Sigmoid())
    asked = asked_of(graph, Reachability(0, 0.1, on=Scale.OUTPUTS), 0.1)
    below, above = range_statement([asked], [(0.7, 1 / 3)]).cases[0].parts
    assert Fraction(below.constants[0]) < -Fraction(0.1) - Fraction(0.7)
    assert Fraction(above.constants[0]) <= Fraction(0.1) + Fraction(1 / 3)
    assert below.constants[0] == pytest.approx(-0.8, abs=1e-15)


def test_claims_that_have_no_certificates() -> None:
    graph = smooth_network(0, nl.Sigmoid())
    with pytest.raises(CapabilityError, match="margin of logits"):
        statement_of([asked_of(graph, Uncertainty(0.1), 0.1, OutputConvention(Meaning.PROBABILITIES))])
    with pytest.raises(CapabilityError, match="need logits"):
        statement_of([asked_of(graph, Reachability(0, 0.1), 0.1, OutputConvention(Meaning.PROBABILITIES, Decision.ARGMIN))])
    with pytest.raises(CapabilityError, match="about both"):
        statement_of([asked_of(graph, p, 0.1) for p in (Robustness(0), Robustness(0, 0.1))])


def test_spelled_out_claims_say_what_they_are_about(tmp_path: Path) -> None:
    from netassay.verifiers.certificates.produce import write_certificate

    graph, path = smooth_network(0, nl.Tanh()), tmp_path / "a.cert"
    label = int(at_points(graph, np.zeros((1, 2)))[0].argmax())
    asked = asked_of(graph, Uncertainty(1e-6), 0.001)
    statement = statement_of([asked])
    made = write_certificate(path, graph, statement, "words", "tool", regions=[asked.region], spelled_out=True, over=lambda: False)
    assert made.complete
    found = check_certificate(path, [graph], None)
    assert found.checked.accepted
    assert found.statement is not None
    assert found.statement.sha256 == statement.sha256 != replace(statement, scores=None).sha256
    assert "with log p = log softmax(y) of the outputs y" in found.statement.symbols()
    assert "log p[0]" in found.statement.symbols()[1]
    assert label in range(3)


def test_what_does_not_fit_is_refused() -> None:
    for given in ("softmax", "softmax(z)", 1, True, [], "log softmax(y) "):
        with pytest.raises(DataError, match="is not known"):
            read_scores(given)
    assert read_scores(None) is None
    assert read_scores("log softmax(0, -y)") == Scores(logarithms=True, binary=True, negated=True)
    graph = identity(3)
    with pytest.raises(PropertyError, match="do not fit"):
        stated(graph, Scores(binary=True), (Part(np.ones((1, 2)), np.zeros(1)),))
    with pytest.raises(PropertyError, match="do not fit"):
        stated(identity(1), Scores(), (Part(np.ones((1, 1)), np.zeros(1)),))
    huge, ties = np.array([1e308, 1e308, -1e308]), np.array([1.0, -1.0, 0.0])
    for row, constant, words in ((huge, 1.7e308, "overflow"),):
        with pytest.raises(DataError, match=words):
            reduced(graph, stated(graph, Scores(), (Part(row[None], np.array([constant])),)), 0)
    for row, words in ((ties, "compares logits"), (huge, "are beyond")):
        with pytest.raises(DataError, match=words):
            reduced(graph, stated(graph, Scores(logarithms=True), (Part(row[None], np.zeros(1)),)), 0)


def test_claims_too_large_are_refused() -> None:
    graph = identity(40)
    part = Part(np.eye(40), np.zeros(40))
    with pytest.raises(DataError, match="too large"):
        reduced(graph, stated(graph, Scores(), (part,) * 7000), 0)


def test_exponentials_beyond_all_bounds_prove_nothing() -> None:
    """p[0] may be as small as exp(-1200): no threshold is proved; of a smaller region one is."""
    graph, rest = identity(3), np.zeros(2)
    leaf = {"value": np.array([-1], np.int32), "index": np.zeros(1, np.uint32), "threshold": np.zeros(1)}
    leaf |= {"part": np.zeros(1, np.uint32), "weights": np.zeros(0, np.float32), "multipliers": np.zeros(0, np.float32)}
    records = [Record({"record": "case", "case": 0}), Record({"record": "parts"}, leaf)]
    for first, constant, size, expected in ((1.0, -1e-300, 600.0, False), (-1.0, 1 - 1e-9, 600.0, False), (1.0, -0.1, 0.5, True)):
        part = Part(np.array([[first, *rest]]), np.array([constant]))
        for exact_mode in (False, True):
            found = Checker(graph, stated(graph, Scores(), (part,), size=size), exact=exact_mode).check(records)
            assert found.accepted is expected


def test_a_case_without_parts_claims_nothing() -> None:
    graph = identity(3)
    assert Checker(graph, stated(graph, Scores(), ())).check([]).accepted
    assert Checker(graph, stated(graph, Scores(), ())).check([Record({"record": "case", "case": 0})]).accepted
