"""Maps are made for L0 radii over whole inputs where that takes no more points than the search did, and agree with linear algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netassay.assessment.ask import ask
from netassay.cli.saliency_maps import saliency_maps
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Question, RadiusAnswer
from netassay.specs.problem import Problem
from tiny_networks import FunctionModule, TinyNetwork, robustness_problems

WEIGHT = np.random.default_rng(0).integers(-8, 9, (2, 16)).astype(np.float64) / 8


def network(shape: tuple[int, ...]) -> TinyNetwork:
    rows = torch.tensor(WEIGHT[:, : int(np.prod(shape))], dtype=torch.float32)
    module = FunctionModule(lambda x: x.flatten(1) @ rows.to(x).T + torch.tensor([3.0, 0.0]).to(x))
    return TinyNetwork(module, Box.filled(shape, 0.0, 1.0), 2)


def answers(asked: list[Problem], queries: int = 200) -> list[RadiusAnswer]:
    found = ask(Question.RADIUS, asked, budget=Budget(queries=queries))
    return [replace(a, index=i) for i, a in enumerate(found) if isinstance(a, RadiusAnswer)]


def problems(asked: Network, count: int, group: str = "feature") -> list[Problem]:
    inputs = np.random.default_rng(1).integers(0, 9, (count, *asked.input_shape)) / 8
    return robustness_problems(asked, inputs, 16, "l0", group=group)


def drops(center: np.ndarray, label: int) -> np.ndarray:
    """How far each feature alone lowers a linear logit."""
    w = WEIGHT[label].reshape(center.shape)
    return np.asarray(np.maximum(w * center, w * (center - 1)))


def test_a_map_is_what_each_feature_takes_off_the_logit() -> None:
    found = answers(problems(network((1, 4, 4)), 3))
    maps = saliency_maps(network((1, 4, 4)), found, (1, 4, 4))
    assert sorted(maps) == [0, 1, 2]
    for answer in found:
        assert maps[answer.index or 0] == pytest.approx(drops(answer.center, answer.label or 0), abs=1e-5)


def test_channels_of_a_pixel_change_together() -> None:
    asked = network((3, 2, 2))
    found = answers(problems(asked, 1, "pixel"))
    (only,) = saliency_maps(asked, found, (3, 2, 2)).values()
    w = WEIGHT[found[0].label or 0, :12].reshape(3, 2, 2)
    x = found[0].center
    together = np.maximum(w * x, w * (x - 1)).sum(axis=0)
    assert only == pytest.approx(np.broadcast_to(together, (3, 2, 2)), abs=1e-5)


def test_there_is_none_where_it_would_cost_more_than_the_search() -> None:
    (answer,) = answers(problems(network((1, 4, 4)), 1))
    dear = replace(answer, provenance=replace(answer.provenance, queries=31))
    assert saliency_maps(network((1, 4, 4)), [dear], (1, 4, 4)) == {}
    cheap = replace(answer, provenance=replace(answer.provenance, queries=32))
    assert list(saliency_maps(network((1, 4, 4)), [cheap], (1, 4, 4))) == [0]


def test_there_is_none_for_a_part_of_the_features_other_norms_or_no_place() -> None:
    (answer,) = answers(problems(network((1, 4, 4)), 1))
    masked = replace(answer, region=replace(answer.region, free_features=15))
    granular = replace(answer, region=replace(answer.region, granular=True))
    (other,) = ask(
        Question.RADIUS,
        robustness_problems(network((1, 4, 4)), np.full((1, 1, 4, 4), 0.5), 0.5, "linf"),
        budget=Budget(queries=200),
    )
    assert saliency_maps(network((1, 4, 4)), [masked, granular, replace(other, index=0), replace(answer, index=None)], (1, 4, 4)) == {}


def test_an_answer_without_a_search_takes_no_map_from_the_others() -> None:
    found = answers(problems(network((1, 4, 4)), 3))
    unsearched = replace(found[1], provenance=replace(found[1].provenance, queries=1))
    assert sorted(saliency_maps(network((1, 4, 4)), [found[0], unsearched, found[2]], (1, 4, 4))) == [0, 2]


def test_an_input_has_one_map_and_each_the_finest_grid_that_it_can_have() -> None:
    found = answers(problems(network((1, 4, 4)), 3))
    coarse = replace(found[1], provenance=replace(found[1].provenance, queries=32))
    told: list[tuple[int, int]] = []
    maps = saliency_maps(network((1, 4, 4)), [found[0], coarse, found[2], found[0]], (1, 4, 4), told=lambda *state: told.append(state))
    assert sorted(maps) == [0, 1, 2]
    assert told == [(2, 3), (3, 3)]
    for answer in found:
        assert maps[answer.index or 0] == pytest.approx(drops(answer.center, answer.label or 0), abs=1e-5)
    assert len(saliency_maps(network((1, 4, 4)), found, (1, 4, 4), most=2)) == 2
