"""Bounds of probabilities, of what they change by, and of forms below them hold in high precision, with zero tolerance."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import mpmath
import numpy as np
import pytest

from certificate_worlds import MUTATIONS, body, checked, no_damage_proves, smooth_network
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.odds import probabilities, score_slopes, with_odds
from netassay.checking.certificates.odds_forms import score_bounds
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.statement import Statement
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.numerics.box import Box
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Output, Reachability
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty
from netassay.verifiers.certificates.claims import slope_statement
from netassay.verifiers.claim import claim_of
from netassay.verifiers.lipschitz import slope_bounds
from precise_values import Numbers, dot, outputs_of, precise, softmax
from random_graphs import GraphOnly
from slope_worlds import slope_claim, written

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)
HAIR = mpmath.mpf(2) ** -250
"""More than mpmath rounds here: rational bounds may be equal to what they bound."""


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workprec(300):
        yield


def scored(logits: Numbers, *, logarithms: bool) -> Numbers:
    p = softmax(logits)
    return [mpmath.log(x) for x in p] if logarithms else p


def boxes(rng: np.random.Generator, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Of logits: narrow and wide, a point, and such that one label leads or all are far apart."""
    middle = rng.normal(size=labels) * rng.choice([0.5, 4.0, 40.0])
    width = np.exp(rng.normal(size=labels) * 2) * rng.choice([0.0, 0.01, 1.0, 8.0])
    return middle - width, middle + width


def identity(labels: int, scores: Scores) -> Graph:
    builder = GraphBuilder((labels,))
    return with_odds(builder.build(builder.add(op.Dense(np.eye(labels), np.zeros(labels)), 0)), scores)


ROWS = {2: np.array([[1.0, -1.0], [0.0, 1.0], [0.3, -0.7]]), 3: np.array([[1.0, -1.0, 0.0], [0.0, 0.0, -1.0], [0.1, 2.0, -0.3]])}


def held(seed: int, *, exactly: bool, logarithms: bool = False) -> int:
    """How many points of boxes of logits are below the bounds of rows of probabilities, or below the forms."""
    rng, a, wrong = np.random.default_rng(seed), EXACT if exactly else FLOATS, 0
    for _ in range(3 if exactly else 12):
        labels = int(rng.integers(2, 4))
        low, high = boxes(rng, labels)
        scores = Scores(logarithms, negated=bool(rng.integers(2)))
        network = CheckedNetwork(identity(labels, scores), a)
        parts = Parts(network, Region(low, high), a.array(np.stack([low, low])), a.array(np.stack([high, low])))
        rows, constants = ROWS[labels], rng.normal(size=3)
        bound = score_bounds(parts, a.array(rows), a.array(constants))
        for point in (low, high, *(low + rng.random((6, labels)) * (high - low))):
            p = scored([precise(-y if scores.negated else y) for y in point], logarithms=logarithms)
            for i, row in enumerate(rows):
                true = dot(row, p) + precise(constants[i])
                at = dot(bound.form[i], [precise(y) for y in point]) + precise(bound.offset[i])
                wrong += not (precise(bound.lower[i]) <= true + HAIR and at <= true + HAIR)
                wrong += point is low and not precise(bound.lower[i + 3]) <= true + HAIR
    return wrong


@pytest.mark.parametrize("logarithms", [False, True])
@pytest.mark.parametrize("exactly", [False, True])
def test_bounds_and_forms_of_probabilities_hold(*, exactly: bool, logarithms: bool) -> None:
    seeds = range(2 if exactly else 8)
    assert [held(seed, exactly=exactly, logarithms=logarithms) for seed in seeds] == [0] * len(seeds)


@pytest.mark.parametrize("logarithms", [False, True])
def test_at_a_point_bounds_are_tight(*, logarithms: bool) -> None:
    z = np.array([1.0, -2.0, 0.25])
    parts = Parts(CheckedNetwork(identity(3, Scores(logarithms)), FLOATS), Region(z, z), z[None], z[None])
    found = score_bounds(parts, np.concatenate([ROWS[3], -ROWS[3]]), np.zeros(6)).lower
    p = np.exp(z) / np.exp(z).sum()
    assert np.allclose(found[:3], ROWS[3] @ (np.log(p) if logarithms else p), atol=1e-11)
    assert (found[:3] + found[3:] <= 0).all()


def moved_outside(seed: int, *, exactly: bool, logarithms: bool = False) -> int:
    """How many differences of rows between two points of a box are none that the slopes allow, or probabilities beyond their ends."""
    rng, a, wrong = np.random.default_rng(seed), EXACT if exactly else FLOATS, 0
    for _ in range(4 if exactly else 12):
        labels = int(rng.integers(2, 4))
        low, high = boxes(rng, labels)
        pivot, label = np.nonzero(~np.eye(labels, dtype=np.bool_))
        apart = a.array(low)[label] - a.array(high)[pivot], a.array(high)[label] - a.array(low)[pivot]
        apart = a.down(apart[0])[None], a.up(apart[1])[None]
        rows = ROWS[labels]
        least, most = (side[0] for side in score_slopes(a, a.array(rows), apart, logarithms=logarithms))
        ends = [side[0] for side in probabilities(a, apart).ends]
        points = [low, high, *(low + rng.random((6, labels)) * (high - low))]
        values = [scored([precise(y) for y in point], logarithms=logarithms) for point in points]
        for p in (softmax([precise(y) for y in point]) for point in points):
            wrong += sum(not precise(lower) <= v <= precise(upper) for lower, v, upper in zip(ends[0], p, ends[1], strict=True))
        for i, x in enumerate(points):
            step = [precise(y) - precise(c) for y, c in zip(x, points[i - 1], strict=True)]
            for r, row in enumerate(rows):
                products = [sorted([precise(least[r][j]) * d, precise(most[r][j]) * d]) for j, d in enumerate(step)]
                change = dot(row, values[i]) - dot(row, values[i - 1])
                wrong += not sum(p[0] for p in products) - HAIR <= change <= sum(p[1] for p in products) + HAIR
    return wrong


@pytest.mark.parametrize("logarithms", [False, True])
@pytest.mark.parametrize("exactly", [False, True])
def test_differences_of_probabilities_lie_within_the_slopes(*, exactly: bool, logarithms: bool) -> None:
    seeds = range(2 if exactly else 8)
    assert [moved_outside(seed, exactly=exactly, logarithms=logarithms) for seed in seeds] == [0] * len(seeds)


def test_what_is_beyond_all_bounds_is_no_number() -> None:
    """Odds beyond all floats: nothing is proved of rows but what no probabilities can deny."""
    wide = np.full(3, 600.0)
    parts = Parts(CheckedNetwork(identity(3, Scores()), FLOATS), Region(-wide, wide), -wide[None], wide[None])
    found = score_bounds(parts, ROWS[3], np.zeros(3)).lower
    assert (found <= ROWS[3].min(axis=1)).all()
    apart = np.full((1, 6), np.nan), np.full((1, 6), np.nan)
    assert [side.tolist() for side in probabilities(FLOATS, apart).ends] == [[[0.0] * 3], [[1.0] * 3]]


def test_too_many_labels_are_told() -> None:
    with pytest.raises(DataError, match="of 300 labels"):
        identity(300, Scores())


# -- certificates ---------------------------------------------------------------------------------------------------------------------

RISKS: dict[str, Property] = {
    "robustness": Robustness(0),
    "gap": ConfidenceGap(0, 1, 0.1),
    "above": Reachability(1, 0.7, Direction.ABOVE),
    "output": Output(2, on=Scale.PROBABILITIES),
    "logits": Robustness(0, on=Scale.LOGITS),
    "uncertainty": Uncertainty(0.1),
}


def asked(seed: int, operator: nl.Elementwise, norm: str, about: Property, convention: OutputConvention | None = None) -> Problem:
    given = convention or OutputConvention()
    graph = smooth_network(seed, operator, outputs=1 if given.meaning is Meaning.BINARY_LOGIT else 3)
    center = np.random.default_rng(seed).integers(-4, 5, 2) / 8
    return Problem(GraphOnly(graph, given), Ball(center, 0.125, norm, domain=Box.filled((2,), -4, 4)), about)


def value(problem: Problem, point: np.ndarray) -> mpmath.mpf:
    """s, to many digits."""
    graph, convention = problem.network.graph, problem.network.convention
    assert graph is not None
    z = [mpmath.mpf(0)] * (convention.meaning is Meaning.BINARY_LOGIT) + outputs_of(graph, point)
    z = [-x for x in z] if convention.decision is Decision.ARGMIN else z
    about = problem.property
    if isinstance(about, Robustness) and about.on is Scale.LOGITS:
        return z[0] - max(z[1:])
    p = softmax(z)
    if isinstance(about, Uncertainty):
        return -sum(mpmath.log(x) for x in p) / len(p) - mpmath.log(len(p)) - precise(about.eps)
    if isinstance(about, Robustness):
        return p[about.label] - max(p[: about.label] + p[about.label + 1 :])
    if isinstance(about, ConfidenceGap):
        return p[about.label] - p[about.other] - precise(about.eps)
    if isinstance(about, Reachability):
        return (
            (precise(about.threshold) - p[about.label]) if about.direction is Direction.ABOVE else p[about.label] - precise(about.threshold)
        )
    assert isinstance(about, Output)
    return p[about.index]


def attained(problem: Problem) -> tuple[float, float]:
    """Falling and rising slopes that points of the ball have, rounded down."""
    ball, norm = problem.ball, {"l1": 1, "l2": 2, "linf": np.inf}[str(problem.ball.p)]
    rng = np.random.default_rng(0)
    points = np.concatenate([ball.sample(20, rng), ball.center + (ball.sample(10, rng) - ball.center) / 64])
    start, best = value(problem, ball.center), [mpmath.mpf(0), mpmath.mpf(0)]
    for point in points:
        length = mpmath.norm(mpmath.matrix([precise(x) - precise(c) for x, c in zip(point, ball.center, strict=True)]), norm)
        slope = (start - value(problem, point)) / length
        best = [max(best[0], slope), max(best[1], -slope)]
    return float(best[0] * (1 - mpmath.mpf(10) ** -9)), float(best[1] * (1 - mpmath.mpf(10) ** -9))


def proved(problem: Problem) -> tuple[float, float, float]:
    *_, last = (found for found, _ in zip(slope_bounds(claim_of(problem, exact=True), problem.ball), range(4), strict=False))
    return last.falling, last.steepest, last.center[0]


@pytest.mark.parametrize("operator", [nl.Sigmoid(), nl.Tanh(), nl.Relu()])
@pytest.mark.parametrize("risk", RISKS)
def test_what_the_verifier_proves_has_one_and_less_has_none(tmp_path: Path, risk: str, operator: nl.Elementwise) -> None:
    path, norms = tmp_path / "a.cert", ("linf", "l2", "l1")
    seed = list(RISKS).index(risk) + len(operator.name)
    problem = asked(seed, operator, norms[seed % 3], RISKS[risk])
    falling, steepest, start = proved(problem)
    reach = min(0.125, start / falling) if start > 0 and falling > 0 else None
    true = slope_statement(problem, falling, steepest, reach)
    assert true.scores == (None if risk == "logits" else Scores(logarithms=risk == "uncertainty"))
    assert written(path, problem, true).complete
    records = [r for r in body(path) if r.kind in ("case", "shells")]
    assert checked(problem, true, records).accepted
    assert check_certificate(path, [problem.network.graph], None).checked.accepted  # type: ignore[list-item]
    falls, rises = attained(problem)
    wrong = [slope_claim(problem, falls, None)] * (falls > 0) + [slope_claim(problem, 1e6, rises)] * (rises > 0)
    assert wrong
    for false in wrong:
        calls = count()
        assert not checked(problem, false, records).accepted
        assert not written(tmp_path / "b.cert", problem, false, over=lambda c=calls: next(c) > 4).complete


def test_rational_numbers_accept_what_floats_accept(tmp_path: Path) -> None:
    for operator, risk in ((nl.Tanh(), "robustness"), (nl.Sigmoid(), "logits")):
        problem = asked(1, operator, "linf", RISKS[risk])
        true = slope_statement(problem, *(1.5 * x for x in proved(problem)[:2]), None)
        assert written(tmp_path / "a.cert", problem, true).complete
        records = [r for r in body(tmp_path / "a.cert") if r.kind in ("case", "shells")]
        assert checked(problem, true, records, exact=True).accepted
        false = slope_claim(problem, attained(problem)[0], None)
        assert not checked(problem, false, records, exact=True).accepted


@pytest.mark.parametrize("convention", [OutputConvention(decision=Decision.ARGMIN), OutputConvention(Meaning.BINARY_LOGIT)])
def test_other_conventions(tmp_path: Path, convention: OutputConvention) -> None:
    problem = asked(2, nl.Tanh(), "linf", Reachability(1, 0.2), convention)
    falling, steepest, _ = proved(problem)
    true = slope_statement(problem, falling, steepest, None)
    assert written(tmp_path / "a.cert", problem, true).complete
    found = check_certificate(tmp_path / "a.cert", [problem.network.graph], None)  # type: ignore[list-item]
    assert found.checked.accepted
    assert found.statement is not None
    assert any("with s = min(p[1] - 0.2)" in line for line in found.statement.symbols())
    records = [r for r in body(tmp_path / "a.cert") if r.kind in ("case", "shells")]
    below = attained(problem)
    assert not checked(problem, slope_claim(problem, below[0], None), records).accepted
    assert not checked(problem, slope_claim(problem, 1e6, below[1]), records).accepted


def test_damaged_certificates_never_prove_what_is_false(tmp_path: Path) -> None:
    problem = asked(4, nl.Sigmoid(), "linf", Robustness(0))
    falling, steepest, _ = proved(problem)
    true: Statement = slope_statement(problem, falling, steepest, None)
    assert written(tmp_path / "a.cert", problem, true).complete
    records = [r for r in body(tmp_path / "a.cert") if r.kind in ("case", "shells")]
    assert len(records[-1].arrays["value"]) > 4
    below = attained(problem)
    assert below[0] > 0
    no_damage_proves(problem, true, slope_claim(problem, below[0], None), records, seed=3, rounds=MUTATIONS // 4)
