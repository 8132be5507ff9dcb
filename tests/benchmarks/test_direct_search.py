"""The direct-search benchmark on a network whose steepest slope is known: its referee, its peers, its references, its figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import direct_search
import direct_search_peers
import direct_search_problems
import direct_search_references
import tiny_networks
from direct_search import Plan, Run
from direct_search_peers import PEERS, BlackBox
from netassay.errors import BudgetSpentError
from netassay.falsifiers.base import Objective
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import Search
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from tiny_networks import FunctionModule, TinyNetwork

NORMS = [Norm.LINF, Norm.L1, Norm.L2]
WEIGHTS = np.array([1.0, -3.0, 0.5, 2.0])


def linear(norm: Norm, radius: float = 0.25, center: float = 0.5) -> Problem:
    """s = WEIGHTS . x + 1 on logits, so Q is the dual norm of WEIGHTS where no wall is in the way."""
    network = tiny_networks.linear(np.stack([WEIGHTS, np.zeros(4)]), np.array([1.0, 0.0]), Box.filled((4,), 0, 1))
    ball = Ball(np.full(4, center), radius, norm, domain=network.domain)
    return Problem(network, ball, Robustness(0, on=Scale.LOGITS))


def dual(norm: Norm) -> float:
    return float(np.linalg.norm(WEIGHTS, {Norm.LINF: 1, Norm.L1: np.inf, Norm.L2: 2}[norm]))


@pytest.mark.parametrize("norm", NORMS)
def test_slopes_are_those_of_the_formula_and_nan_outside(norm: Norm) -> None:
    problem, rng = linear(norm), np.random.default_rng(0)
    points = problem.ball.sample(20, rng)
    expected = np.abs((points - 0.5) @ WEIGHTS) / norm.length(points - 0.5)
    assert direct_search_problems.slopes(problem, points) == pytest.approx(expected, rel=1e-12)
    outside = np.stack([np.full(4, 0.9), np.full(4, 1.5), problem.center])
    assert np.isnan(direct_search_problems.slopes(problem, outside)).all()


def test_recorded_slope_is_zero_before_anything_is_found() -> None:
    problem = linear(Norm.L2)
    search = Search([problem], Objective.SLOPE, budget=Budget(queries=10), clock=Clock(), seed=0)
    assert direct_search_problems.recorded_slope(search, 0) == 0.0
    search.run(METHODS["random"].build(), search.both_directions())
    assert 0 < direct_search_problems.recorded_slope(search, 0) <= dual(Norm.L2)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("direction", [0, 1])
def test_black_box_gives_the_slope_to_minimise_and_the_length(norm: Norm, direction: int) -> None:
    box = BlackBox(linear(norm), 100, 0)
    box.begin(direction)
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (7, 4))
    objective, excess = box.values(points)
    sign = -1.0 if direction == 0 else 1.0
    assert objective == pytest.approx(sign * points @ WEIGHTS / norm.length(points), rel=1e-4)
    assert excess == pytest.approx(norm.length(points) - 1, abs=1e-5)
    assert (norm.length(box.pulled(points)) <= 1 + 1e-6).all()


def test_black_box_refuses_points_beyond_the_share_of_a_direction() -> None:
    box = BlackBox(linear(Norm.LINF), 11, 0)
    box.begin(0)
    assert box.left == 5  # the centre is a query too
    objective, _ = box.values(np.full((8, 4), 0.5))
    assert (objective < 1e20).tolist() == [True] * 5 + [False] * 3
    with pytest.raises(BudgetSpentError):
        box.values(np.full((1, 4), 0.5))
    box.begin(1)
    assert box.left == 5


def test_black_box_counts_no_point_outside_the_ball() -> None:
    box = BlackBox(linear(Norm.L1), 20, 0)
    box.begin(0)
    box.values(np.ones((3, 4)))
    assert box.slope() == 0.0


@pytest.mark.parametrize("name", list(PEERS))
@pytest.mark.parametrize("norm", NORMS)
def test_peers_find_much_of_the_slope_within_their_queries(name: str, norm: Norm) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"{PEERS[name].package} is not installed")
    box = PEERS[name].search(linear(norm), 60, 0)
    assert box.search.used[0] <= 60
    assert 0.5 * dual(norm) <= box.slope() <= dual(norm) * (1 + 1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "queries"), [("cma", 25_000), ("conditional", 3_000), ("coordinates", 10_000)])
def test_searches_of_the_references_reach_the_known_slope(name: str, queries: int, norm: Norm) -> None:
    trail = direct_search_references.Trail(None)
    ((slope, by),) = direct_search_references.improve([linear(norm)], {name: queries}, 0, trail)
    assert by == name
    assert dual(norm) * 0.999 <= slope <= dual(norm) * (1 + 1e-12)


def test_vertices_count_where_float64_rounds_the_walls_of_a_ball_outwards() -> None:
    def logits(x: torch.Tensor) -> torch.Tensor:  # Q = 1, at the vertex where all features rise
        return torch.stack([torch.ones_like(x[:, 0]), torch.relu(x.sum(dim=1) - 2.55)], dim=1)

    network = TinyNetwork(FunctionModule(logits), Box.filled((4,), 0, 1), 2)
    ball = Ball(np.full(4, 0.6), 0.05, Norm.LINF, domain=network.domain)
    assert not ball.contains((ball.center + 0.05)[None]).any()
    problem = Problem(network, ball, Robustness(0, on=Scale.LOGITS))
    ((slope, _),) = direct_search_references.improve([problem], {"conditional": 2_000}, 0, direct_search_references.Trail(None))
    assert slope == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("radius", [0.3, 1.0])
def test_steepest_is_the_exact_maximiser_of_a_linear_form(norm: Norm, radius: float) -> None:
    problem = linear(norm, radius=0.6, center=0.3)  # walls on one side
    search = Search([problem], Objective.SLOPE, budget=Budget(queries=10), clock=Clock(), seed=0)
    arms, rng = search.both_directions(), np.random.default_rng(2)
    directions = rng.normal(size=(50, 4))
    which = torch.zeros(50, dtype=torch.long)
    share = torch.full((50,), radius)
    units = direct_search_references.steepest(arms, which, torch.as_tensor(directions, dtype=torch.float32), share).double().numpy()
    least, _ = problem.ball.with_radius(radius * 0.6).minimise_linear(-directions)
    assert (units * 0.6 * directions).sum(axis=1) == pytest.approx(-least - 0.3 * directions.sum(axis=1), rel=1e-5)


def test_points_of_one_ball_are_offered_to_another(tmp_path: Path) -> None:
    file = tmp_path / "points.npz"
    direct_search_references.improve([linear(Norm.L2, 0.1)], {"cma": 5_000}, 0, direct_search_references.Trail(file))
    again = direct_search_references.Trail(file)
    ((slope, by),) = direct_search_references.improve([linear(Norm.L2, 0.2)], {}, 0, again)
    assert by == "another ball"
    assert slope == pytest.approx(dual(Norm.L2), rel=1e-3)


@given(st.floats(1e-12, 1e12))
def test_references_are_rounded_down_to_nine_digits(value: float) -> None:
    rounded = direct_search_references.rounded_down(value)
    assert value * (1 - 1.1e-8) <= rounded <= value
    assert float(f"{rounded:.8e}") == rounded


def test_reference_file_keeps_the_maximum_and_who_found_it(tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    direct_search_references.keep("tuning", {"a #0": (1.5, "cma"), "a #1": (2.0, "random")}, file)
    direct_search_references.keep("tuning", {"a #0": (1.25, "mads"), "a #1": (2.5, "mads")}, file)
    direct_search_references.keep("reporting", {"a #0": (0.0, "another ball")}, file)
    stored = direct_search_references.read(file)
    assert stored["tuning"] == {"a #0": (1.5, "cma"), "a #1": (2.5, "mads")}
    assert stored["reporting"] == {"a #0": (0.0, "another ball")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["references.json"]


def test_what_the_benchmark_finds_can_become_a_reference(tmp_path: Path) -> None:
    file, runs = tmp_path / "references.json", tmp_path / "runs.jsonl"
    direct_search_references.keep("tuning", {"a #0": (1.5, "cma"), "a #1": (2.0, "random")}, file)
    lines = [
        ("tuning", "a #0", 1.75, "mads"),
        ("tuning", "a #0", 1.6, "cma"),
        ("tuning", "a #1", 1.0, "cma"),
        ("reporting", "b #0", 3.0, "cma"),
    ]
    runs.write_text("".join(json.dumps(dict(zip(("draw", "problem", "slope", "contender"), line, strict=True))) + "\n" for line in lines))
    direct_search_references.adopt(runs, file)
    stored = direct_search_references.read(file)
    assert stored == {"tuning": {"a #0": (1.75, "mads"), "a #1": (2.0, "random")}, "reporting": {"b #0": (3.0, "cma")}}


@pytest.mark.parametrize("contender", ["random", "cma"])
def test_a_measured_run_is_sound_and_shows_in_every_figure(
    contender: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if contender in PEERS and not PEERS[contender].installed:
        pytest.skip(f"{PEERS[contender].package} is not installed")
    monkeypatch.setenv("NETASSAY_BENCHMARKS", str(tmp_path))
    first = linear(Norm.LINF)
    second = Problem(first.network, Ball(np.full(4, 0.4), 0.25, Norm.LINF, domain=first.network.domain), first.property)
    monkeypatch.setattr(direct_search, "FAMILIES", {"acasxu": lambda seed: {"flat": [first], "steep": [first, second]}})
    references = {"flat #0": (0.0, "another ball"), "steep #0": (6.5, "cma"), "steep #1": (6.5, "cma")}
    monkeypatch.setattr(direct_search, "read", lambda: {"tuning": references, "reporting": {}})
    kept = tmp_path / "runs.jsonl"
    rows = direct_search.measure(["acasxu"], "tuning", Plan([contender], (60, 2_000)), kept)
    runs = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(run["problem"], run["queries"]) for run in runs] == [(f"steep #{i}", q) for q in (60, 2_000) for i in (0, 1)]
    assert all(run["sound"] and 0 < run["tightness"] <= 1 for run in runs)
    assert all(run["tightness"] == run["slope"] / 6.5 for run in runs)
    (row,) = rows
    assert (row.work, row.contender) == ("acasxu", contender)
    assert row.figures["reported too high"] == "0 of 4"
    assert row.figures["mean 2,000"] == f"{np.mean([run['tightness'] for run in runs[2:]]):.3f}"
    assert "2 of 3 problems have a reference above 0" in capsys.readouterr().out


def test_a_slope_reported_above_its_float64_value_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_search, "slopes", lambda problem, points: np.array([1.0]))
    ((slope, sound, _, _),) = direct_search.ours("random", [linear(Norm.LINF)], 100, 0)
    assert (slope, sound) == (0.0, False)


def test_pairs_are_compared_problem_by_problem() -> None:
    def run(problem: str, contender: str, slope: float) -> Run:
        return Run("f", problem, contender, 10_000, slope, slope / 4, True, 1, 0.0)

    mads = [run("a", "mads", 4.0), run("b", "mads", 1.0), run("c", "mads", 3.0), run("d", "mads", 2.0)]
    rows = direct_search.rows([*mads, run("a", "cma", 2.0), run("b", "cma", 2.0), run("c", "cma", 3.0)])
    figures = {row.contender: row.figures for row in rows}
    assert figures["mads"]["mean 10,000"] == "0.625"
    assert figures["mads"][">= .99 10,000"] == "0.25"
    assert figures["mads / cma"]["problems"] == "3"
    assert figures["mads / cma"]["median 10,000"] == "1"
    assert figures["mads / cma"][">= .99 10,000"] == "0.67"


def test_ratio_where_one_or_both_found_nothing() -> None:
    assert direct_search.ratio(1.0, 0.0) == math.inf
    assert direct_search.ratio(0.0, 0.0) == 1.0
    assert direct_search.ratio(0.0, 2.0) == 0.0


def test_a_subset_is_spread_over_all_groups() -> None:
    problem = linear(Norm.LINF)
    groups = {g: [(f"{g} #{i}", problem) for i in range(4)] for g in "abc"}
    chosen = [name for members in direct_search.spread(groups, 4).values() for name, _ in members]
    assert chosen == ["a #0", "b #0", "b #3", "c #3"]
    assert direct_search.spread(groups, None) == direct_search.spread(groups, 99) == groups


def test_budgets_respect_what_a_peer_can_bear() -> None:
    plan = Plan(["random", "nomad"])
    assert plan.budgets("acasxu", "random") == [(500, None), (2_000, None), (10_000, None)]
    limit = PEERS["nomad"].limits["acasxu"]
    assert plan.budgets("acasxu", "nomad") == [(q, limit.problems) for q in direct_search.BUDGETS if q <= limit.queries]
    assert plan.budgets("cifar", "nomad") == []
    assert plan.budgets("mnistfc l1", "gradient")[-1] == (100_000, direct_search.LONG_PROBLEMS)


def test_what_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(direct_search.PEERS, "gone", direct_search_peers.Peer("no_such_package_here", lambda box: None, {}))
    assert direct_search.available(["random", "gone", "unheard-of"]) == ["random"]
    said = capsys.readouterr().out
    assert "gone: left out, the package no_such_package_here is not installed" in said
    assert "unheard-of: left out" in said


def test_variants_are_asked_like_methods_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(direct_search.VARIANTS, "random-too", METHODS["random"].build())
    try:
        assert direct_search.available(["random-too"]) == ["random-too"]
        problem = linear(Norm.LINF)
        assert [s for s, *_ in direct_search.ours("random-too", [problem], 99, 0)] == [
            s for s, *_ in direct_search.ours("random", [problem], 99, 0)
        ]
    finally:
        METHODS.pop("random-too", None)


def test_nothing_is_measured_without_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert direct_search.measure() == []
