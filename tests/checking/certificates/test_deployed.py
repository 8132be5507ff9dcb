"""Claims about float32: accepted only where the margin exceeds what any float32 evaluation may lose, and never by their label alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest

from certificate_worlds import body, never, smooth_network
from netassay.checking.certificates.check import Checker
from netassay.checking.certificates.container import Writer
from netassay.checking.certificates.deployed import UNBOUNDED, assumed, in_real_arithmetic
from netassay.checking.certificates.odds import with_odds
from netassay.checking.certificates.reading import OTHER_CLAIM, check_certificate
from netassay.checking.certificates.records import header_record, statement_records
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.checking.drift import drift
from netassay.errors import DataError, PropertyError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.verifiers.certificates.produce import Produced, write_certificate
from precise_values import FUNCTIONS, Numbers, dot, outputs_of, precise, softmax

LOW, HIGH = np.full(5, 100.0), np.full(5, 101.0)
ROW = np.array([[1.0, -1.0]])


def graph() -> Graph:
    """Large weights that nearly cancel: float32 loses what real arithmetic keeps."""
    rng = np.random.default_rng(3)
    weight = rng.uniform(-1.0, 1.0, (2, 5)).astype(np.float32).astype(np.float64)
    builder = GraphBuilder((5,))
    return builder.build(builder.add(nl.Relu(), builder.add(op.Dense(weight, np.full(2, 400.0)), 0)))


def outputs(point: tuple[float, ...], order: tuple[int, ...], weight: np.ndarray) -> list[np.float32]:
    """The outputs as float32 gives them, its products summed in that order."""
    found = []
    for row in weight.astype(np.float32):
        total = np.float32(400.0)
        for j in order:
            total = np.float32(total + np.float32(row[j] * np.float32(point[j])))
        found.append(max(total, np.float32(0.0)))
    return found


def least(weight: np.ndarray) -> Fraction:
    """The least difference of the outputs over the box, which are positive there."""
    row = weight[0] - weight[1]
    exact = [Fraction(float(a)) - Fraction(float(b)) for a, b in weight.T]
    return sum((e * Fraction(float(LOW[j] if row[j] > 0 else HIGH[j])) for j, e in enumerate(exact)), Fraction(0))


def weights(net: Graph) -> np.ndarray:
    dense = net.nodes[0].operator
    assert isinstance(dense, op.Dense)
    return np.asarray(dense.weight)


def claim(net: Graph, margin: float, *, float32: bool = True) -> Statement:
    """That the difference exceeds its least value less the margin."""
    constant = -float(least(weights(net))) + margin
    return Statement(net.sha256, 5, 2, (Case(Region(LOW, HIGH), (Part(ROW, np.array([constant])),)),), strict=True, float32=float32)


def write(path: Path, net: Graph, statement: Statement) -> Produced:
    region = Box(LOW, HIGH)
    return write_certificate(path, net, statement, "a claim", "a test", regions=[region], spelled_out=True, over=never)


def test_float32_does_lose_more_than_real_arithmetic() -> None:
    net = graph()
    weight = weights(net)
    orders = list(itertools.permutations(range(5)))[::7]
    corner = tuple(float(LOW[j] if d > 0 else HIGH[j]) for j, d in enumerate(weight[0] - weight[1]))
    values = [outputs(corner, order, weight) for order in orders]
    worst = min(Fraction(float(a)) - Fraction(float(b)) for a, b in values)
    bound = float(drift(net, LOW, HIGH, rows=ROW)[0, 0])
    assert 0 < float(least(weight) - worst) <= bound


@pytest.mark.parametrize("exact", [False, True])
def test_the_margin_has_to_exceed_the_drift(tmp_path: Path, exact: bool) -> None:
    net, path = graph(), tmp_path / "a.cert"
    bound = float(drift(net, LOW, HIGH, rows=ROW)[0, 0])
    assert write(path, net, claim(net, 1.01 * bound)).complete
    found = check_certificate(path, [net], None, exact=exact)
    assert found.checked.accepted, found.checked.reason
    assert found.statement is not None
    assert found.statement.float32
    assert not write(tmp_path / "b.cert", net, claim(net, 0.99 * bound)).complete
    assert write(tmp_path / "c.cert", net, claim(net, 0.5 * bound, float32=False)).complete


def test_a_proof_about_real_arithmetic_is_none_about_float32(tmp_path: Path) -> None:
    """The records of a real proof under the header of a float32 claim, and a header that only says so."""
    net, real, path = graph(), tmp_path / "real.cert", tmp_path / "forged.cert"
    bound = float(drift(net, LOW, HIGH, rows=ROW)[0, 0])
    statement = claim(net, 0.5 * bound, float32=False)
    assert write(real, net, statement).complete
    proofs = [record for record in body(real) if record.kind not in ("region", "rows")]
    for header in (header_record(replace(statement, float32=True), "forged", "a test", spelled_out=True), None):
        with Writer(path) as writer:
            told = header or header_record(statement, "forged", "a test", spelled_out=True)
            writer.write(told if header else replace(told, head={**told.head, "float32": True}))
            for record in (*statement_records(statement), *proofs):
                writer.write(record)
            writer.finish()
        found = check_certificate(path, [net], None)
        assert not found.checked.accepted
        assert ("its lower bound is -" in found.checked.reason or "no row is positive" in found.checked.reason) is (header is not None)
        assert (found.checked.reason == OTHER_CLAIM) is (header is None)


def test_the_core_refuses_a_claim_whose_drift_was_not_taken_off() -> None:
    net = graph()
    with pytest.raises(PropertyError, match="take the drift off"):
        Checker(net, claim(net, 1.0))


def test_a_drift_without_a_bound_proves_nothing(tmp_path: Path) -> None:
    net = graph()
    huge = replace(claim(net, 1.0), cases=(Case(Region(LOW, np.full(5, 3e38)), claim(net, 1.0).cases[0].parts),))
    assert in_real_arithmetic(huge, net) is None
    made = write_certificate(tmp_path / "a", net, huge, "", "", regions=[Box(LOW, np.full(5, 3e38))], spelled_out=True, over=never)
    assert (made.complete, made.reason) == (False, UNBOUNDED)


def test_real_claims_stay_as_they_are_and_have_another_hash() -> None:
    net = graph()
    real, deployed = claim(net, 1.0, float32=False), claim(net, 1.0)
    assert in_real_arithmetic(real, net) is real
    assert real.sha256 != deployed.sha256
    lowered = in_real_arithmetic(deployed, net)
    assert lowered is not None
    assert lowered.cases[0].parts[0].constants[0] < deployed.cases[0].parts[0].constants[0]


def test_many_forms_are_lowered_each_by_its_own_drift() -> None:
    net = graph()
    rows = np.random.default_rng(1).normal(size=(600, 2))
    parts = tuple(Part(r[None], np.zeros(1)) for r in rows)
    lowered = in_real_arithmetic(Statement(net.sha256, 5, 2, (Case(Region(LOW, HIGH), parts),), strict=True, float32=True), net)
    assert lowered is not None
    alone = [float(drift(net, LOW, HIGH, rows=r[None])[0, 0]) for r in rows[::100]]
    got = [-float(p.constants[0]) for p in lowered.cases[0].parts[::100]]
    assert np.allclose(got, alone, rtol=1e-6)
    assert all(g >= a for g, a in zip(got, alone, strict=True))


# -- smooth functions and probabilities ---------------------------------------------------------------------------------------------------

SMOOTH = (nl.Sigmoid(), nl.Tanh())
SCORES = (None, Scores(), Scores(logarithms=True), Scores(negated=True))
CENTER = np.array([0.25, -0.5])


def smooth_claim(
    operator: nl.Elementwise, seed: int, scores: Scores | None, constants: np.ndarray | None = None
) -> tuple[Graph, Statement]:
    """Of a small network with weights that are float32 numbers, and large biases, which float32 rounds."""
    net, rng = smooth_network(seed, operator), np.random.default_rng([seed, 41])
    rows = rng.normal(size=(4, 3)) - 0.5
    region = Region(CENTER - 0.25, CENTER + 0.25)
    parts = tuple(Part(r[None], np.zeros(1) if constants is None else constants[i : i + 1]) for i, r in enumerate(rows))
    return net, Statement(net.sha256, 2, 3, (Case(region, parts),), strict=True, float32=True, scores=scores)


def computed(net: Graph, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The outputs as some float32 evaluation gives them: sums in any order, functions off by as much as is allowed, either way."""
    found = point.astype(np.float32)
    for node in net.nodes:
        if isinstance(node.operator, op.Dense):
            total = []
            for row, bias in zip(node.operator.weight.astype(np.float32), node.operator.bias.astype(np.float32), strict=True):
                terms = [np.float32(w * x) for w, x in zip(row, found, strict=True)] + [bias]
                value = np.float32(0.0)
                for i in rng.permutation(len(terms)):
                    value = np.float32(value + terms[i])
                total.append(value)
            found = np.array(total)
        else:
            exact = [float(FUNCTIONS[type(node.operator)](precise(x))) for x in found]
            found = np.array([np.float32(x + rng.choice([-1, 1]) * 2.0**-20 * 0.96) for x in exact])
    return np.asarray(found)


def claimed(scores: Scores | None, outputs: Numbers) -> Numbers:
    if scores is None:
        return outputs
    p = softmax([-z for z in outputs] if scores.negated else outputs)
    return [mpmath.log(x) for x in p] if scores.logarithms else p


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("operator", SMOOTH)
def test_what_evaluations_lose_is_taken_off(operator: nl.Elementwise, scores: Scores | None) -> None:
    """All that rounding and functions that are off take from a form, at points of the region; and not ten thousand times as much."""
    rng, most = np.random.default_rng(1), 0.0
    with mpmath.workprec(200):
        for seed in range(4):
            net, statement = smooth_claim(operator, seed, scores)
            lowered = in_real_arithmetic(statement, net)
            assert lowered is not None
            assert not lowered.float32
            taken = [-precise(part.constants[0]) for part in lowered.cases[0].parts]
            for _ in range(25):
                point = (CENTER + rng.uniform(-0.25, 0.25, 2)).astype(np.float32).astype(np.float64)
                real = claimed(scores, outputs_of(net, point))
                off = claimed(scores, [precise(x) for x in computed(net, point, rng)])
                for part, drifts in zip(statement.cases[0].parts, taken, strict=True):
                    lost = dot(part.rows[0], real) - dot(part.rows[0], off)
                    assert lost <= drifts
                    most = max(most, float(lost / drifts))
    assert most > 1e-4


@pytest.mark.parametrize("scores", [None, Scores()])
@pytest.mark.parametrize("operator", SMOOTH)
def test_smooth_networks_in_float32(tmp_path: Path, operator: nl.Elementwise, scores: Scores | None) -> None:
    """A margin far above the drift is accepted; what some evaluation breaks is not, though real arithmetic keeps it."""
    rng, region = np.random.default_rng(2), Box(CENTER - 0.25, CENTER + 0.25)
    net, statement = smooth_claim(operator, 1, scores)
    with mpmath.workprec(200):
        points = [(CENTER + rng.uniform(-0.25, 0.25, 2)).astype(np.float32).astype(np.float64) for _ in range(60)]
        values = [[dot(p.rows[0], claimed(scores, outputs_of(net, x))) for p in statement.cases[0].parts] for x in points]
        worst = int(np.argmin([float(v[0]) for v in values]))
        losses = [values[worst][0] - dot(statement.cases[0].parts[0].rows[0], off) for off in _evaluations(net, points[worst], scores, rng)]
        between = float(-values[worst][0] + max(losses) / 2)
    far = np.array([2.0 if scores is None else 0.2 for _ in range(4)]) - [min(float(v[i]) for v in values) for i in range(4)]
    _, true = smooth_claim(operator, 1, scores, far)
    made = write_certificate(tmp_path / "a", net, true, "", "", regions=[region], spelled_out=True, over=never)
    assert made.complete
    for exact in (False, True):
        found = check_certificate(tmp_path / "a", [net], None, exact=exact)
        assert found.checked.accepted, found.checked.reason
        assert found.assumed == f"{operator.name.lower()} in float32 are right to 2^-20"
    _, broken = smooth_claim(operator, 1, scores, np.r_[between, far[1:]])
    calls = itertools.count()
    made = write_certificate(tmp_path / "b", net, broken, "", "", regions=[region], spelled_out=True, over=lambda: next(calls) > 20)
    assert not made.complete
    assert not Checker(net, in_real_arithmetic(broken, net) or broken).check(list(body(tmp_path / "a"))[5:]).accepted


def _evaluations(net: Graph, point: np.ndarray, scores: Scores | None, rng: np.random.Generator) -> list[Numbers]:
    return [claimed(scores, [precise(x) for x in computed(net, point, rng)]) for _ in range(40)]


def test_too_many_labels_are_told_before_memory_is_taken() -> None:
    builder = GraphBuilder((1,))
    net = builder.build(builder.add(op.Dense(np.ones((200_000, 1)), np.zeros(200_000)), 0))
    part = Part(np.ones((1, 200_000)), np.zeros(1))
    statement = Statement(net.sha256, 1, 200_000, (Case(Region(np.zeros(1), np.ones(1)), (part,)),), True, True, Scores())
    with pytest.raises(DataError, match="of 200000 labels"):
        in_real_arithmetic(statement, net)
    with pytest.raises(DataError, match="of 200000 labels"):
        with_odds(net, Scores())


def test_nothing_is_assumed_of_networks_without_smooth_functions() -> None:
    net = graph()
    assert assumed(claim(net, 1.0), net) == ""
    other, statement = smooth_claim(nl.Tanh(), 0, Scores())
    assert assumed(replace(statement, float32=False), other) == ""
    assert assumed(statement, other) == "tanh in float32 are right to 2^-20"
