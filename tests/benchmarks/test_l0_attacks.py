"""The benchmark of L0 attacks on networks whose fewest changes are known: its referee, its peers, its figures."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch

import l0_attacks
import l0_peers
from l0_attacks import Plan
from l0_peers import PEERS, Watch
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from radius import Result
from radius_peers import BudgetSpent
from tiny_networks import FunctionModule, TinyNetwork, linear, relu_network, robustness_problems

DOMAIN = Box.filled((6,), 0.0, 1.0)


def weighted() -> Problem:
    """Margin 3.5 - x . w at x = 0: the two largest weights, 2 and 1.75, are enough, no single one is."""
    half = np.array([0.25, 1.0, 0.0, 0.5, 0.875, 0.125])
    network = linear(np.stack([-half, half]), np.array([3.5, 0.0]), DOMAIN)
    return robustness_problems(network, np.zeros((1, 6)), 6, "l0")[0]


def small() -> list[Problem]:
    inputs = np.random.default_rng(1).integers(0, 9, (5, 6)) / 8
    return robustness_problems(relu_network(3, [6, 12, 4], DOMAIN), inputs, 6, "l0")


def fewest(problem: Problem) -> float:
    """Over the corners of all sets of features and a grid of eight values."""
    network, center = problem.network, problem.center
    assert isinstance(network, TinyNetwork)
    for size in range(1, 4):
        rows = np.repeat(center[None], 9**size * 20, axis=0)
        at = 0
        for chosen in combinations(range(6), size):
            ends = np.array(list(product(np.arange(9) / 8, repeat=size)))
            rows[at : at + len(ends), chosen] = ends
            at += len(ends)
        values = problem.property.values(network.module(torch.tensor(rows[:at], dtype=torch.float32)).detach())
        if bool((values <= 0).any()):
            return size
    return np.inf


def test_the_watch_counts_points_and_keeps_the_fewest_changes() -> None:
    watch = Watch([weighted()], 5)
    watch(torch.tensor([[0.0] * 6, [1.0] * 6, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]))
    assert watch.asked == 3
    assert watch.fewest.tolist() == [2]
    assert watch.points.tolist() == [[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]
    with pytest.raises(BudgetSpent):
        watch(torch.zeros((3, 6)))
    watch.charge(2)
    with pytest.raises(BudgetSpent):
        watch.charge(1)


def test_rows_of_a_batch_belong_to_the_problem_of_the_same_place() -> None:
    problems = small()
    watch = Watch(problems, 9)
    watch(watch.centers)
    assert watch.asked == 1
    assert torch.isinf(watch.fewest).all()
    assert torch.equal(watch.points, watch.centers)


def test_what_is_not_a_number_is_no_witness() -> None:
    module = FunctionModule(lambda x: torch.stack([torch.where((x == 0).all(dim=1), 1.0, torch.nan), torch.zeros(len(x))], dim=1))
    (problem,) = robustness_problems(TinyNetwork(module, DOMAIN, 2), np.zeros((1, 6)), 6, "l0")
    watch = Watch([problem], 9)
    watch(torch.ones((1, 6)))
    assert torch.isinf(watch.fewest).all()


def test_jsma_takes_the_most_salient_pair() -> None:
    (found,), points, gradients = l0_peers.distances(PEERS["JSMA"], [weighted()], 50, 0)
    assert found == 2
    assert gradients <= points <= 50


@pytest.mark.parametrize("name", list(PEERS))
@pytest.mark.parametrize("queries", [3, 200])
def test_peers_never_find_fewer_than_there_are_and_keep_to_their_points(name: str, queries: int) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"{PEERS[name].package} is not installed")
    problems = small()
    found, points, gradients = l0_peers.distances(PEERS[name], problems, queries, 0)
    assert points <= queries
    assert gradients <= points
    assert (found >= [fewest(problem) for problem in problems]).all()
    if queries == 200:
        assert np.isfinite(found).mean() >= 0.6


def test_a_table_of_all_who_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(seed: int, count: int) -> tuple[TinyNetwork, np.ndarray]:
        return relu_network(3, [6, 12, 4], DOMAIN), np.stack([p.center for p in small()[:count]])

    monkeypatch.setitem(l0_attacks.FAMILIES, "sdnn", l0_attacks.Family(build, 3))
    only = ["auto", "auto, black box", "DeepTRE, t = 1", "JSMA"]
    rows = l0_attacks.run(["sdnn"], Plan(budgets=(60,), only=only))
    assert [row.contender for row in rows] == only
    assert {row.work for row in rows} == {"sdnn, 60 queries"}
    best = np.mean([fewest(problem) for problem in small()[:3]])
    for row in rows:
        assert row.figures["found"] != "100%" or float(row.figures["mean pixels"]) >= best
        assert float(row.figures["points"]) <= 60
    assert rows[0].figures["found"] == "100%"
    assert rows[0].figures["pixels / ours"] == "1.00 (0, 3, 0)"
    assert rows[0].figures["inputs"] == "3"


def test_the_table_has_a_part_for_every_network_and_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], Plan]] = []
    monkeypatch.setenv("NETASSAY_BENCHMARKS", "somewhere")
    monkeypatch.setattr(l0_attacks, "run", lambda names, plan: asked.append((names, plan)) or [])
    for part in l0_attacks.parts().values():
        part()
    assert [(name, plan.budgets) for (name,), plan in asked] == [(n, (q,)) for n, f in l0_attacks.FAMILIES.items() for q in f.budgets]
    assert all(plan.only == l0_attacks.SECTION for _, plan in asked)


def test_pairs_are_compared_input_by_input() -> None:
    def result(*pixels: float) -> Result:
        return Result(np.array(pixels), 10.0, 0.0, 0.0, 1.0)

    row = l0_attacks._row("a", "JSMA", result(4, 2, np.inf, 1), {"auto": result(2, 2, 3, np.inf)})
    assert row.figures["pixels / ours"] == "1.50 (2, 1, 1)"
    assert row.figures["found"] == "75%"
    assert l0_attacks._row("a", "Pointwise", result(4), {"auto": result(2)}).figures["pixels / ours"] == ""
