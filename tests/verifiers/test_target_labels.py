"""Target labels: the ranking, what is discarded, Algorithm 1's outcomes with verifiers that answer as they are told, time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from netassay.errors import UsageError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.answer import Verdict
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.bounding import Bounding, linear_bounds
from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.target_labels import LEEWAY, TargetLabels, ranking

HOLDS, FAILS = Finding(0.5, proved=True), Finding(-1.0, point=np.array([0.25, 0.5]), least=-0.5)
GIVES_UP = Finding(-2.0, reason="incomplete")


@dataclass
class Told:
    """Answers every part by its label, and notes what it was asked."""

    answers: dict[int | None, Finding]
    asked: list[int | None] = field(default_factory=list)
    limits: list[float | None] = field(default_factory=list)

    def verify(self, task: Task) -> Iterator[Finding]:
        (part,) = task.claim.parts
        self.asked.append(part.label)
        self.limits.append(task.limits.clock.limit)
        yield Finding(-5.0)
        yield self.answers[part.label]


def linear(weight: list[list[float]], bias: list[float]) -> Graph:
    builder = GraphBuilder((2,))
    return builder.build(builder.add(op.Dense(np.array(weight, dtype=np.float64), np.array(bias)), 0))


def claim(graph: Graph, label: int = 0) -> Claim:
    """The label's output exceeds all others."""
    rows = np.eye(graph.output_size)
    rivals = [j for j in range(graph.output_size) if j != label]
    return Claim(graph, tuple(Part((rows[label] - rows[j])[None], np.zeros(1), j) for j in rivals), strict=True, label=label)


def task(graph: Graph, label: int = 0, seconds: float | None = None) -> Task:
    return Task(claim(graph, label), Regions.of([Box.filled((2,), 0.0, 1.0)]), Limits(Clock(seconds)))


OPEN = linear([[0, 0], [1, 0], [3, 0], [2, 0]], [0.0, 0.0, 0.0, 0.0])
"""Every rival of label 0 may get ahead: by up to 3 (label 2), 2 (label 3) and 1 (label 1)."""


def last(findings: Iterator[Finding]) -> Finding:
    return list(findings)[-1]


def test_rivals_are_ranked_by_how_far_they_may_get_ahead() -> None:
    found = ranking(task(OPEN), "bounds")
    assert [task(OPEN).claim.parts[i].label for i in found.order] == [2, 3, 1]
    np.testing.assert_allclose(found.lower, [-1.0, -3.0, -2.0], atol=1e-12)
    assert not found.discarded


def test_confidence_ranks_by_the_middle_and_proves_nothing() -> None:
    """Label 1 leads in the middle by its bias, though label 2 can get further ahead."""
    graph = linear([[0, 0], [0, 0], [4, 0]], [0.0, -0.5, -3.0])
    assert [claim(graph).parts[i].label for i in ranking(task(graph), "bounds").order] == [2, 1]
    found = ranking(task(graph), "confidence")
    assert [claim(graph).parts[i].label for i in found.order] == [1, 2]
    assert not found.discarded
    assert (found.lower == -np.inf).all()


def test_what_is_proved_by_the_ranking_is_not_asked() -> None:
    graph = linear([[0, 0], [1, 0], [1, 0], [0, 1]], [0.0, -2.0, 0.5, 0.0])
    told = Told({2: HOLDS, 3: HOLDS})
    found = last(TargetLabels(told).verify(task(graph)))
    assert told.asked == [2, 3]
    assert found.proved
    assert found.lower == 0.5
    assert [(t.label, t.verdict, t.discarded) for t in found.targets] == [
        (2, Verdict.HOLDS, False),
        (3, Verdict.HOLDS, False),
        (1, Verdict.HOLDS, True),
    ]
    assert found.targets[2].upper == pytest.approx(-1.0)
    assert found.targets[2].upper >= -1.0


def test_true_goes_on_and_robust_is_returned() -> None:
    told = Told(dict.fromkeys((1, 2, 3), HOLDS))
    findings = list(TargetLabels(told).verify(task(OPEN)))
    assert told.asked == [2, 3, 1]
    assert findings[-1].proved
    assert not any(f.proved for f in findings[:-2])
    assert [f.lower for f in findings] == sorted(f.lower for f in findings)


def test_false_returns_the_counterexample_at_once() -> None:
    told = Told({2: HOLDS, 3: FAILS, 1: HOLDS})
    found = last(TargetLabels(told).verify(task(OPEN)))
    assert told.asked == [2, 3]
    assert found.point is FAILS.point
    assert not found.proved
    assert found.least == -0.5
    assert [(t.label, t.verdict) for t in found.targets] == [(2, Verdict.HOLDS), (3, Verdict.VIOLATED)]


def test_unknown_is_flagged_and_the_next_is_tried() -> None:
    told = Told({2: GIVES_UP, 3: HOLDS, 1: HOLDS})
    found = last(TargetLabels(told).verify(task(OPEN)))
    assert told.asked == [2, 3, 1]
    assert not found.proved
    assert found.reason == "incomplete"
    assert found.point is None
    assert found.lower == pytest.approx(-2.0)
    assert [t.verdict for t in found.targets] == [Verdict.UNKNOWN, Verdict.HOLDS, Verdict.HOLDS]


def test_unknown_then_false_returns_the_counterexample() -> None:
    found = last(TargetLabels(Told({2: GIVES_UP, 3: FAILS, 1: HOLDS})).verify(task(OPEN)))
    assert found.point is FAILS.point


def test_the_weakest_guarantee_counts() -> None:
    by_solver = Finding(0.5, proved=True, guarantee=Guarantee.SOLVER)
    found = last(TargetLabels(Told({2: HOLDS, 3: by_solver, 1: HOLDS})).verify(task(OPEN)))
    assert found.proved
    assert found.guarantee is Guarantee.SOLVER
    assert {t.label: t.guarantee for t in found.targets} == {2: Guarantee.PROVED, 3: Guarantee.SOLVER, 1: Guarantee.PROVED}


def test_none_leaves_the_claim_whole() -> None:
    @dataclass
    class Whole:
        parts: int = 0

        def verify(self, task: Task) -> Iterator[Finding]:
            self.parts = len(task.claim.parts)
            yield HOLDS

    whole = Whole()
    assert list(TargetLabels(whole, "none").verify(task(OPEN))) == [HOLDS]
    assert whole.parts == 3


def test_time_is_divided_and_what_is_left_over_flows_on() -> None:
    told = Told(dict.fromkeys((1, 2, 3), HOLDS))
    last(TargetLabels(told).verify(task(OPEN, seconds=300.0)))
    first, second, third = ((limit or 0.0) / LEEWAY for limit in told.limits)
    assert first <= 15.0 < second <= 22.5 < third <= 45.0  # of 45 seconds, 0.15 of all


def test_what_ran_out_of_time_is_tried_once_more() -> None:
    late = Finding(-2.0, reason="time-out")
    told = Told({2: late, 3: HOLDS, 1: HOLDS})
    found = last(TargetLabels(told).verify(task(OPEN, seconds=300.0)))
    assert told.asked == [2, 3, 1, 2]
    assert (told.limits[-1] or 0.0) > 250.0
    assert found.reason == "time-out"
    assert len(found.targets) == 3


def test_without_time_nothing_is_asked() -> None:
    told = Told({})
    found = last(TargetLabels(told).verify(task(OPEN, seconds=1e-9)))
    assert told.asked == []
    assert found.reason == "time-out"
    assert [t.verdict for t in found.targets] == [Verdict.UNKNOWN] * 3


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UsageError, match="bounds, confidence, none"):
        TargetLabels(Told({}), "alphabet")


def random_classifier(seed: int) -> Graph:
    """Four labels of two inputs, one hidden layer; small dyadic weights."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((2,))
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(rng.integers(-8, 9, (5, 2)) / 8, rng.integers(-4, 5, 5) / 8), 0))
    return builder.build(builder.add(op.Dense(rng.integers(-8, 9, (4, 5)) / 8, rng.integers(-8, 9, 4) / 8), hidden))


def grid(steps: int = 64) -> np.ndarray:
    axis = np.arange(steps + 1) / steps
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def margins(graph: Graph, label: int) -> np.ndarray:
    """(points, rivals), exact: all numbers are small multiples of a power of two."""
    outputs = Evaluator(BoundedGraph(graph)).outputs(grid())
    return np.stack([outputs[:, label] - outputs[:, j] for j in range(4) if j != label], axis=1)


def test_discarded_labels_are_impossible() -> None:
    discarded = 0
    for seed in range(40):
        graph = random_classifier(seed)
        label = int(Evaluator(BoundedGraph(graph)).outputs(np.full((1, 2), 0.5)).argmax())
        found = ranking(task(graph, label), "bounds")
        least = margins(graph, label).min(axis=0)
        assert (found.lower <= least).all(), seed
        assert all(least[i] > 0 for i in found.discarded), seed
        discarded += len(found.discarded)
    assert discarded > 10


@pytest.mark.parametrize("order", ["bounds", "confidence"])
def test_verdicts_are_those_of_the_points(order: str) -> None:
    verdicts = []
    for seed in range(20):
        graph = random_classifier(seed)
        label = int(Evaluator(BoundedGraph(graph)).outputs(np.full((1, 2), 0.5)).argmax())
        found = last(TargetLabels(InputSplitting(), order).verify(task(graph, label, 60.0)))
        least = float(margins(graph, label).min())
        assert not (found.proved and least <= 0), seed
        assert found.proved or found.point is not None, seed
        assert found.lower <= least, seed
        verdicts.append(found.proved)
    assert {True, False} == set(verdicts)


@pytest.mark.parametrize("verifier", [Bounding(linear_bounds)])
def test_a_tight_memory_limit_ranks_by_backward_bounds(verifier: Bounding, monkeypatch: pytest.MonkeyPatch) -> None:
    from netassay.verifiers import target_labels

    def refuse(*_arguments: object) -> np.ndarray:
        raise AssertionError("symbolic intervals do not fit")

    monkeypatch.setattr(target_labels, "symbolic_bounds", refuse)
    asked = task(OPEN)
    small = Task(asked.claim, asked.region, Limits(memory=1))
    assert [asked.claim.parts[i].label for i in ranking(small, "bounds").order] == [2, 3, 1]
    assert not last(TargetLabels(verifier).verify(small)).proved


def test_parts_without_labels_are_verified_part_by_part() -> None:
    unlabelled = Claim(OPEN, (Part(np.array([[0.0, 1.0, 0.0, 0.0]]), np.ones(1)), Part(np.eye(4)[:1], -np.ones(1))), strict=True)
    asked: list[int] = []

    class Noting:
        def verify(self, task: Task) -> Iterator[Finding]:
            asked.append(len(task.claim.parts))
            yield GIVES_UP

    found = last(TargetLabels(Noting()).verify(Task(unlabelled, Regions.of([Box.filled((2,), 0.0, 1.0)]))))
    assert asked == [1]
    assert found.targets == ()
    assert found.reason == "incomplete"


def test_a_single_open_rival_has_all_the_time() -> None:
    graph = linear([[0, 0], [1, 0], [0, 1]], [0.0, -2.0, 0.0])
    told = Told({2: HOLDS})
    last(TargetLabels(told).verify(task(graph, seconds=300.0)))
    (limit,) = told.limits
    assert 250.0 < (limit or 0.0) <= 300.0


def test_without_a_limit_nothing_is_asked_twice() -> None:
    told = Told({2: Finding(-2.0, reason="time-out"), 3: HOLDS, 1: HOLDS})
    assert last(TargetLabels(told).verify(task(OPEN))).reason == "time-out"
    assert told.asked == [2, 3, 1]
    assert told.limits == [None] * 3


def test_a_search_that_is_laid_aside_goes_on() -> None:
    """Each search takes 0.2 s, more than the first round has for it: the others come in between, and none is begun twice."""
    begun: list[int | None] = []
    reports: list[int | None] = []

    class Slow:
        def verify(self, task: Task) -> Iterator[Finding]:
            label = task.claim.parts[0].label
            begun.append(label)
            for _ in range(100):
                time.sleep(0.002)
                reports.append(label)
                yield Finding(-1.0)
            yield HOLDS

    found = last(TargetLabels(Slow()).verify(task(OPEN, seconds=2.0)))
    assert begun == [2, 3, 1]
    assert reports.index(3) < len(reports) - 1 - reports[::-1].index(2)
    assert found.proved or found.reason == "time-out"
