"""Probes kept as the features that move, against the same probes written out in full; the points of models; the search's own sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.assessment.assess import problems
from netassay.falsifiers.base import Objective, Proposal
from netassay.falsifiers.direct_search.group_models import GroupModels
from netassay.falsifiers.direct_search.group_moves import GroupMoves
from netassay.falsifiers.direct_search.model_points import ModelPoints
from netassay.falsifiers.search import RISING, Search
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.specs import expressions
from netassay.specs.risks import parse_risk

FEATURES, LANES = 12, 5


def search(norm: str = "linf", count: int = LANES, radius: float = 0.2) -> Search:
    torch.manual_seed(0)
    network = from_module(torch.nn.Linear(FEATURES, 4), (FEATURES,), domain=Box.filled((FEATURES,), 0, 1), name="line")
    inputs = np.random.default_rng(0).random((count, FEATURES), dtype=np.float32).astype(np.float64)
    asked = problems(network, inputs, None, risk=parse_risk("robustness"), norm=Norm(norm), radius=radius)
    return Search(asked, Objective.SLOPE, budget=Budget(queries=1000), clock=Clock(), seed=0)


def groups(kind: str) -> torch.Tensor:
    """Three groups of different sizes in no order, or every feature alone."""
    return torch.arange(FEATURES) if kind == "single" else torch.tensor([2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 0, 2])


def moves_of(kind: str, generator: torch.Generator) -> tuple[GroupMoves, torch.Tensor]:
    """Moves, and the group (L, m) of each probe."""
    if kind == "block":
        return GroupMoves.of_block(groups("several"), 1, 3, LANES), torch.tensor([1, 2]).expand(LANES, -1)
    table = groups(kind)
    chosen = torch.stack([torch.randperm(int(table.max()) + 1, generator=generator)[:2] for _ in range(LANES)])
    return GroupMoves.of_chosen(table, chosen), chosen


@pytest.mark.parametrize("kind", ["single", "several", "block"])
@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
def test_probes_and_their_secants_are_those_of_groups_written_out(kind: str, norm: str) -> None:
    generator = torch.Generator().manual_seed(3)
    moves, chosen = moves_of(kind, generator)
    table = groups("single" if kind == "single" else "several")
    member = table == chosen.unsqueeze(2)
    running, lanes = search(norm), torch.arange(LANES)
    arms = running.arms(np.arange(LANES), np.ones(LANES), running.space.radii)
    position = 0.1 * torch.rand(LANES, FEATURES, generator=generator)
    step = 0.3 * torch.rand(LANES, FEATURES, generator=generator)
    size = member.sum(dim=2, keepdim=True) ** {"linf": 0.0, "l1": 1.0, "l2": 0.5}[norm]
    expected = position.unsqueeze(1) + step.unsqueeze(1) * member / size
    points = moves.applied(position, moves.evened(step.gather(1, moves.features), Norm(norm)))
    torch.testing.assert_close(points, expected)
    outcome = running.evaluate(arms, Proposal(lanes, lanes, points, guided=True))
    changes = torch.rand(LANES, 2, 3, generator=generator)
    changes[0, 1, 2] = torch.nan
    moved = (outcome.units - position.unsqueeze(1)) * member
    per = torch.nan_to_num(changes) / moved.square().sum(dim=2, keepdim=True).clamp_min(1e-20)
    models = torch.full((LANES, 3, FEATURES), 7.0)
    moves.put(models, lanes, moves.slopes(outcome, position, changes))
    touched = member.any(dim=1)
    estimate = torch.einsum("lmt,lmk->ltk", per, moved)
    torch.testing.assert_close(models, torch.where(touched.unsqueeze(1), estimate, 7.0))
    marked = torch.zeros(LANES, FEATURES)
    moves.mark(marked, lanes, torch.ones(LANES))
    assert torch.equal(marked > 0, touched)


@pytest.mark.parametrize("kind", ["single", "several", "block"])
def test_probes_that_were_cut_off_teach_nothing(kind: str) -> None:
    moves, chosen = moves_of(kind, torch.Generator().manual_seed(4))
    rows = torch.tensor([3, 1])
    kept = moves.kept(rows, 1)
    marked = torch.zeros(2, FEATURES)
    kept.mark(marked, torch.arange(2), torch.ones(2))
    table = groups("single" if kind == "single" else "several")
    assert torch.equal(marked > 0, table == chosen[rows, :1])


def test_parts_of_the_way_move_the_most_promising_features() -> None:
    generator = torch.Generator().manual_seed(5)
    running = search()
    arms = running.both_directions()
    points = ModelPoints(arms, torch.arange(len(arms)))
    slope = torch.randn(len(arms), FEATURES, generator=generator)
    position = arms.sample(torch.arange(len(arms)), 1, generator).squeeze(1)
    target = points.best(slope, torch.ones(len(arms), 1), position)
    gain = slope * (target - position)
    for part, found in zip((1.0, 0.5, 0.1), points.parts(position, target, slope, (1.0, 0.5, 0.1)), strict=True):
        moved = found != position
        assert torch.equal(torch.where(moved, target, position), found)
        assert torch.equal(moved.sum(dim=1), torch.ceil((gain > 0).sum(dim=1) * part).long())
        least = torch.where(moved, gain, torch.inf).amin(dim=1)
        assert (torch.where(moved, -torch.inf, gain).amax(dim=1) <= least).all()


def test_every_arm_begins_however_small_the_batches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rows in (60, 10_000):
        monkeypatch.setattr(Search, "rows", rows)
        running = search(count=40)
        running.run(GroupModels(), running.both_directions(), queries=400)
        found.append(running.records.merit)
    assert torch.isfinite(found[0]).all()
    assert float(found[0].mean()) > 0.97 * float(found[1].mean())


def test_arms_whose_budget_is_spent_before_they_begin_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of one arm, and a budget that the first arm of each problem uses up."""
    monkeypatch.setattr(Search, "rows", 8)
    running = search(count=3)
    running.run(GroupModels(), running.both_directions(), queries=24)
    assert (running.used - 1 <= 24).all()
    assert (running.used - 1 >= 20).all()


def test_the_best_of_several_lanes_of_a_problem_is_kept() -> None:
    running = search()
    owners = torch.tensor([0, 1, 0, 2, 1, 0])
    merit, points = torch.tensor([3.0, 1.0, 5.0, -1.0, 2.0, 4.0]), torch.arange(6.0).unsqueeze(1).expand(-1, FEATURES)
    running.records.merit[RISING] = 0.0
    running.records.changed[:] = False
    running.records.offer(RISING, owners, merit, points)
    assert running.records.merit[RISING].tolist() == [5.0, 2.0, 0.0, 0.0, 0.0]
    assert running.records.points[RISING, :2, 0].tolist() == [2.0, 4.0]
    assert running.records.changed[RISING].tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
def test_distances_are_the_norms_of_offsets(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netassay.falsifiers.space.CACHED", 3 * 4 * FEATURES)  # blocks of three lanes
    space = search(norm).space
    points = torch.rand(7, 4, FEATURES, generator=torch.Generator().manual_seed(1))
    owners = torch.tensor([0, 4, 1, 1, 3, 2, 0])
    order = {"linf": torch.inf, "l1": 1.0, "l2": 2.0}[norm]
    expected = torch.linalg.vector_norm(points - space.free_centers[owners].unsqueeze(1), order, dim=-1)
    torch.testing.assert_close(space.distances(owners, points), expected)


def test_guides_of_many_rivals_are_those_of_each() -> None:
    generator = np.random.default_rng(2)
    logits, labels = generator.standard_normal((9, 5)), generator.integers(0, 5, 9)
    targets = generator.integers(-1, 5, (9, 4))
    together = expressions.guided_margin(logits, labels, targets)
    for i in range(4):
        np.testing.assert_array_equal(together[:, i], expressions.guided_margin(logits, labels, targets[:, i]))
