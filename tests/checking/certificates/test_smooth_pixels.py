"""L0 balls of networks with smooth functions, and claims about probabilities over them: no bound is above a value, in high precision."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, product
from pathlib import Path

import mpmath
import numpy as np
import pytest

from certificate_worlds import MUTATIONS, body, checked, no_damage_proves, produced
from checking.certificates.test_pixels import _inside, random_part
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.probabilities import network_of
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs import regions
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty
from netassay.verifiers.certificates.claims import statement_of
from precise_values import dot, outputs_of, precise, softmax
from random_graphs import GraphOnly

INPUTS = 6


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workprec(300):
        yield


def strip(seed: int, operator: nl.Elementwise, layers: int = 1) -> Graph:
    """Each hidden number reads two neighbours; of two layers, the second reads all of the first, and is kinked."""
    rng, builder = np.random.default_rng([seed, 31]), GraphBuilder((INPUTS,))
    near = np.eye(INPUTS, dtype=np.bool_)[:-1] | np.eye(INPUTS, k=1, dtype=np.bool_)[:-1]
    value = builder.add(operator, builder.add(op.Dense(np.where(near, rng.normal(size=near.shape) * 2, 0.0), rng.normal(size=5)), 0))
    if layers == 2:
        value = builder.add(nl.Relu(), builder.add(op.Dense(rng.normal(size=(4, 5)), rng.normal(size=4)), value))
        value = builder.add(operator, builder.add(op.Dense(rng.normal(size=(5, 4)), rng.normal(size=5)), value))
    return builder.build(builder.add(op.Dense(rng.normal(size=(3, 5)) * 2, rng.normal(size=3)), value))


def world(seed: int, operator: nl.Elementwise, layers: int, scores: Scores | None, changes: int) -> tuple[Graph, Statement]:
    """A ball, and two parts; of logarithms of probabilities, rows that have no sum of 0."""
    rng, graph = np.random.default_rng([seed, 32]), strip(seed, operator, layers)
    center, wide = rng.normal(size=INPUTS), rng.uniform(0.1, 1.5, INPUTS)
    parts = tuple(Part(rng.normal(size=(rows, 3)) - 0.5, rng.normal(size=rows)) for rows in (1, 2))
    ball = Ball(0, center, np.array([1.0, 1, 2, 3, 4, 5]), float(changes))
    case = Case(Region(center - wide, center + wide, ball), parts)
    return graph, Statement(graph.sha256, INPUTS, 3, (case,), True, scores=scores)


def held(seed: int, operator: nl.Elementwise, layers: int, scores: Scores | None, *, exact: bool = False) -> int:
    """How many parts held points of the ball; where a bound says that a row is positive, or more, it is there."""
    rng, compared = np.random.default_rng(seed), 0
    graph, statement = world(seed, operator, layers, scores, int(rng.integers(1, 4)))
    network, case = network_of(graph, statement, 0, Arithmetic(exact))
    bounds = PixelBounds(network, case, strict=True)
    center, low, high = (precise_floats(x) for x in (bounds.center, bounds.whole.low, bounds.whole.high))
    changed = rng.random((40, INPUTS)) < rng.choice([0.2, 0.6], (40, 1))
    points = np.where(changed, np.where(rng.random((40, INPUTS)) < 0.5, rng.uniform(low, high, (40, INPUTS)), high), center)
    rows = [(row, c) for part in case.parts for row, c in zip(part.rows, part.constants, strict=True)]

    def values(point: np.ndarray) -> list[mpmath.mpf]:
        found = outputs_of(network.graph, point)
        return [dot(row, found) + precise(c) for row, c in rows]

    start = values(center)
    assert all(precise(a) <= v <= precise(b) for a, v, b in zip(bounds.at_centre[0], start, bounds.at_centre[1], strict=True))
    for part in (random_part(bounds, rng) for _ in range(3)):
        lower = bounds.by_forms([part]).lower[0]
        inside = points[_inside(part, bounds, points)]
        compared += len(inside) > 0
        for point in inside[:6]:
            assert all(precise(a) <= v for a, v in zip(lower, values(point), strict=True)), (seed, operator.name)
    point = rng.uniform(low, high)
    pixels = sorted(rng.choice(len(bounds.pixels), 2, replace=False).tolist())
    there = np.where(np.isin(np.arange(INPUTS), np.concatenate([bounds.pixels[p] for p in pixels])), point, center)
    alone = replace(bounds.single(0), forced=tuple(pixels), low=network.arithmetic.array(there), high=network.arithmetic.array(there))
    for lower, true in zip(bounds.by_forms([alone]).lower[0], values(there), strict=True):
        assert true - (1 + abs(true)) * mpmath.mpf(2) ** -30 < precise(lower) <= true
    return compared


def precise_floats(values: np.ndarray) -> np.ndarray:
    return np.asarray([float(x) for x in values])


WORLDS = [(operator, layers, scores) for operator in (nl.Sigmoid(), nl.Tanh()) for layers, scores in ((1, None), (2, None), (1, Scores()))]
WORLDS += [(nl.Relu(), 2, Scores()), (nl.Relu(), 1, Scores(logarithms=True)), (nl.Tanh(), 2, Scores(logarithms=True))]


@pytest.mark.parametrize(("operator", "layers", "scores"), WORLDS)
def test_no_bound_lies_above_a_value(operator: nl.Elementwise, layers: int, scores: Scores | None) -> None:
    assert sum(held(seed, operator, layers, scores) for seed in range(6)) > 6


@pytest.mark.parametrize(("operator", "layers", "scores"), WORLDS[1::3])
def test_nor_in_rational_arithmetic(operator: nl.Elementwise, layers: int, scores: Scores | None) -> None:
    assert sum(held(seed, operator, layers, scores, exact=True) for seed in range(20, 23)) > 2


# -- certificates ---------------------------------------------------------------------------------------------------------------------

CLAIMS: dict[str, tuple[Property, nl.Elementwise]] = {
    "logits": (Robustness(0, on=Scale.LOGITS), nl.Tanh()),
    "outputs": (Reachability(0, 0.0, on=Scale.OUTPUTS), nl.Sigmoid()),
    "probability": (Reachability(0, 0.5), nl.Sigmoid()),
    "above": (Reachability(1, 0.5, Direction.ABOVE), nl.Relu()),
    "robustness": (Robustness(0, 0.1), nl.Tanh()),
    "uncertainty": (Uncertainty(0.5), nl.Tanh()),
}


def attained(graph: Graph, about: Property, center: np.ndarray, wide: np.ndarray, changes: int) -> float:
    """The least s of the ball's points on a grid, a little more, by many digits."""
    least = mpmath.inf
    line = np.linspace(-1, 1, 9 if changes == 1 else 5)
    for pixels in product(range(INPUTS), repeat=changes):
        for steps in product(line, repeat=changes):
            point = center.copy()
            for pixel, step in zip(pixels, steps, strict=True):
                point[pixel] = center[pixel] + step * wide[pixel]
            least = min(least, margin(about, outputs_of(graph, np.clip(point, center - wide, center + wide))))
    return float(least)


def margin(about: Property, z: list[mpmath.mpf]) -> mpmath.mpf:
    p = softmax(z)
    if isinstance(about, Reachability):
        found = z[about.label] if about.on is Scale.OUTPUTS else p[about.label]
        return found if about.direction is Direction.BELOW else -found
    if isinstance(about, Uncertainty):
        return -sum(mpmath.log(x) for x in p) / 3 - mpmath.log(3)
    scores = z if isinstance(about, Robustness) and about.on is Scale.LOGITS else p
    return scores[0] - max(scores[1:])


def asked_at(about: Property, level: float) -> Property:
    """The property with the threshold at which the least s is exactly 0."""
    if isinstance(about, Reachability):
        return Reachability(about.label, level if about.direction is Direction.BELOW else -level, about.direction, on=about.on)
    return Uncertainty(level) if isinstance(about, Uncertainty) else Robustness(0, level, on=about.on)  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize("name", CLAIMS)
def test_true_claims_are_proved_and_false_ones_never(tmp_path: Path, name: str, changes: int) -> None:
    """What is a few percent below the least value that is attained has a certificate; what was passed by 1e-9 has none."""
    about, operator = CLAIMS[name]
    rng, path, tried = np.random.default_rng(5), tmp_path / "a.cert", 0
    for seed in range(30):
        graph, center = strip(seed, operator), rng.integers(-4, 5, INPUTS) / 4
        wide = np.full(INPUTS, 0.25)
        level = attained(graph, about, center, wide, changes)
        size = level if name not in ("above", "outputs") else 1.0
        if not (size > 0.05 and (name in ("logits", "outputs", "uncertainty") or abs(level) < 0.95)):
            continue
        ball = regions.Ball(center, changes, "l0", domain=Box(center - wide, center + wide))
        slack = 0.04 * changes
        true, false = (Problem(GraphOnly(graph), ball, asked_at(about, level + by)) for by in (-slack, 1e-9))
        statement, wrong = statement_of([true]), statement_of([false])
        assert produced(path, true, statement).complete
        records = body(path)
        assert {r.kind for r in records} <= {"case", "alone", "pixels"}
        assert checked(true, statement, records).accepted
        assert check_certificate(path, [graph], lambda _, s=statement: s).checked.accepted
        assert not checked(false, wrong, records).accepted
        calls = count()
        assert not produced(tmp_path / "b.cert", false, wrong, over=lambda c=calls: next(c) > 20).complete
        tried += 1
        if tried == 1 and changes == 1:
            assert checked(true, statement, records, exact=True).accepted
            assert not checked(false, wrong, records, exact=True).accepted
            no_damage_proves(true, statement, wrong, records, seed=1, rounds=MUTATIONS // 3) if name == "probability" else None
        if tried == 2:
            return
    assert tried


def test_pixels_that_share_no_smooth_number_add_up() -> None:
    """Of one hidden layer, with rows about outputs; through probabilities all pixels meet."""
    graph, statement = world(0, nl.Tanh(), 1, None, 2)
    plain = PixelBounds(*network_of(graph, statement, 0, Arithmetic()), strict=True)
    assert not plain.meets.all()
    about = replace(statement, scores=Scores())
    assert PixelBounds(*network_of(graph, about, 0, Arithmetic()), strict=True).meets.all()
