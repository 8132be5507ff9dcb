"""Every experiment on a tiny case, from end to end, and what its tables must satisfy whatever was measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from deepquant import command, dense, fig5, fig6, fig7a, fig7b, fig8, fig10, fig11, imagenet, table2, table6
from deepquant.report import Result, Table
from deepquant.setting import Setting, Size
from netassay.results.trace import Trace

needs_benchmarks = pytest.mark.skipif(
    "NETASSAY_BENCHMARKS" not in os.environ, reason="NETASSAY_BENCHMARKS is not set: the benchmark networks are not at hand"
)
SMALL = dense.Plan(2_000, 8, 20, 8)


def columns(table: Table) -> dict[str, list[str]]:
    return {name: [row[i] for row in table.rows] for i, name in enumerate(table.head)}


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.replace(",", "")) for cell in cells]


def well_formed(result: Result) -> Result:
    for table in result.tables:
        assert table.rows
        assert all(len(row) == len(table.head) for row in table.rows)
    assert set(result.drawings) == set(result.captions)
    assert result.differs
    return result


def test_fig6_has_one_row_per_image_and_their_mean(setting: Setting) -> None:
    result = well_formed(fig6.measure(setting, fig6.Plan(2, (60, 120), 200, 60)))
    assert len(result.tables) == 3
    for table in result.tables:
        for name, cells in list(columns(table).items())[1:]:
            values = numbers(cells)
            assert len(values) == 3, name
            assert min(values) > 0
            assert values[-1] == pytest.approx(np.mean(values[:-1]), rel=1e-3)


def test_table6_quotes_the_paper_beside_what_was_measured(setting: Setting) -> None:
    result = well_formed(table6.measure(setting, table6.Plan(3, 60, 30)))
    images, means, layers = result.tables
    assert [row[0] for row in layers.rows] == list(table6.PRINTED)
    for here, paper in zip(images.rows[::2], images.rows[1::2], strict=True):
        name = paper[0].removesuffix(", paper")
        assert here[0] == f"{name}, here"
        assert numbers(paper[1:]) == [*table6.PRINTED[name][:3], table6.PRINTED[name][table6.SHOWN]]
        assert float(here[-1]) == pytest.approx(np.mean(numbers(here[1:-1])), rel=1e-3)
    measured = columns(means)
    assert all(0 < float(cell.rstrip(" %")) <= 100 for cell in measured["test accuracy"])
    assert measured["mean Q, paper"] == [f"{row[table6.SHOWN]:.2f}" for row in table6.PRINTED.values()]
    slope_columns = [values for name, values in measured.items() if name.startswith("mean Q, `")]
    assert len(slope_columns) == 3
    assert min(numbers([cell for column in slope_columns for cell in column])) > 0


def test_fig10_divergences_fall_with_the_radius(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    result = well_formed(fig10.measure(setting, fig10.Plan(2, 100, (0.1, 0.3), 2, 60)))
    examples, curves = result.tables
    assert set(result.drawings) == {"a", "b", "c"}
    for row in examples.rows:
        before, *after = numbers(row[1:])
        assert 0 <= max(after) < before
    assert len(curves.rows) == 12
    for row in curves.rows:
        values = numbers(row[1:])
        assert values == sorted(values, reverse=True)
        assert 0 <= values[-1] < values[0]


def test_a_point_of_a_smaller_ball_counts_in_the_larger_ones() -> None:
    found = [(4.0, 3.0), (4.0, 3.5), (4.0, 1.0), (2.0, 2.0), (2.0, 1.0), (2.0, 1.5)]
    assert fig10._curve(found, 3) == [3.0, 2.5, 2.0, 1.0]


def test_fig11_shows_the_way_down(setting: Setting) -> None:
    result = well_formed(fig11.measure(setting, fig11.Plan(1, 150)))
    for row in result.tables[0].rows:
        values = numbers([cell for cell in row[1:] if cell])
        assert len(values) >= 2
        assert values == sorted(values, reverse=True)


def test_fig8_returns_points_of_the_balls(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    result = well_formed(fig8.measure(setting, fig8.Plan(2, 60)))
    table = columns(result.tables[0])
    assert table["norm"] == ["L-inf", "L1", "L2"] * 2
    limits = {"L-inf": 0.3, "L1": 250 * 64 / 784, "L2": 8 * (64 / 784) ** 0.5}
    for norm, distance in zip(table["norm"], numbers(table["distance"]), strict=True):
        assert 0 < distance <= limits[norm] * 1.001


@needs_benchmarks
def test_fig8_slopes_never_fall_with_the_radius(setting: Setting) -> None:
    result = well_formed(fig8.measure(setting, fig8.Plan(1, 30)))
    table = columns(result.tables[1])
    assert numbers(table["d"]) == list(fig8.RADII)
    assert numbers(table["Q found"]) == sorted(numbers(table["Q found"]))
    assert all(x <= d * 1.001 for x, d in zip(numbers(table["distance"]), numbers(table["d"]), strict=True))


def test_table2_comes_within_the_tolerance_on_a_small_tanh_network(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    result = well_formed(table2.measure(setting, table2.Plan((2,), 24, 150, SMALL)))
    (row,) = result.tables[0].rows
    assert (row[1], *row[3:7]) == table2.PRINTED["tanh-NN-6"]
    assert all(float(seconds) >= 0 for seconds in row[7:]), "all reach the tolerance"
    least, greatest = numbers(result.tables[2].rows[0][2:])
    assert least < greatest


def test_table2_takes_the_first_note_at_which_both_ends_are_near() -> None:
    low, high = Trace(), Trace()
    for queries, end in ((10, 2.0), (20, 1.005), (40, 1.0)):
        low.append(queries, queries / 100, upper=end)
    for queries, end in ((10, 3.0), (20, 3.5), (40, 3.995)):
        high.append(queries, queries / 100, lower=end)
    answer = SimpleNamespace(minimum_trace=low, maximum_trace=high)
    assert table2._when(answer, table2.Case("some", None, 1.0, 4.0, "")) == (0.4, 40)  # type: ignore[arg-type]
    assert table2._when(answer, table2.Case("some", None, 1.0, 5.0, "")) == (np.inf, np.inf)  # type: ignore[arg-type]


@needs_benchmarks
def test_table2_reaches_an_exactly_known_range(setting: Setting) -> None:
    case = next(table2._published())
    run = table2.search(case, "auto", 0)
    assert run.error <= table2.TOLERANCE
    assert run.queries <= run.total_queries
    assert run.seconds <= run.total_seconds


@needs_benchmarks
def test_fig5_shares_are_those_of_the_dense_search(setting: Setting) -> None:
    result = well_formed(fig5.measure(setting, fig5.Plan(2, (100, 300), 500, SMALL)))
    shares, first = result.tables
    assert shares.rows[-1][0] == "dense search"
    assert numbers(shares.rows[-1][2:]) == [1.0] * 4
    q = {row[0]: numbers(row[1:]) for row in first.rows}
    assert all(value > 0 for row in q.values() for value in row)
    assert all(0 < share < 1.2 for row in shares.rows for share in numbers(row[2:]))


@needs_benchmarks
def test_fig5_starts_with_the_papers_input() -> None:
    _, inputs, rows = fig5.acasxu(4)
    assert rows[0] == fig5.PAPER_ROW
    assert len(set(rows)) == len(rows) == len(inputs) == 4


@needs_benchmarks
def test_fig7a_asks_for_nine_labels(setting: Setting) -> None:
    result = well_formed(fig7a.measure(setting, fig7a.Plan(1, 40)))
    assert [row[0].split()[0] for row in result.tables[0].rows] == [f"L{k}" for k in range(2, 11)]
    assert all(value > 0 for row in result.tables[0].rows for value in numbers(row[1:]))


class Tiny(torch.nn.Module):
    """Colours' means as scores: an ImageNet-size network in three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(50.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.mean(dim=(2, 3))


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for torchvision that notes which networks and weights are asked of it."""
    asked: list[str] = []

    def maker(name: str) -> Callable[[str], torch.nn.Module]:
        def make(weights: str) -> torch.nn.Module:
            asked.append(f"{name} {weights}")
            return Tiny()

        return make

    models = ModuleType("torchvision.models")
    for name in ("alexnet", "vgg16", "vgg19", "resnet50", "resnet101"):
        setattr(models, name, maker(name))
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return asked


def test_fig7b_measures_the_networks_given_over_the_patch_only(setting: Setting, torchvision: list[str]) -> None:
    names = ("deepquant.imagenet:alexnet", "deepquant.imagenet:resnet101")
    result = well_formed(fig7b.measure(Setting(Size.QUICK, setting.cache, models=names, say=setting.say), fig7b.Plan(24)))
    assert torchvision == ["alexnet DEFAULT", "resnet101 DEFAULT"]
    table = columns(result.tables[0])
    assert table["network"] == [name for name in names for _ in range(2)]
    assert min(numbers(table["Q found"])) > 0
    assert "random weights" not in result.setup


def test_fig7b_leaves_the_rest_of_the_image_alone(torchvision: list[str]) -> None:
    network = imagenet.vgg16()
    image = np.random.default_rng(0).random(network.input_shape)
    outside = np.ones(network.input_shape, dtype=bool)
    outside[:, fig7b.PATCH, fig7b.PATCH] = False
    mask_of = fig7b.patch(network)
    assert np.array_equal(mask_of, ~outside)
    assert mask_of.sum() == 7_500
    assert fig7b.search(network, image, "tpmads", 24, 0).steepness > 0


def test_every_name_is_a_module_that_measures() -> None:
    modules = {name: getattr(sys.modules[f"deepquant.{name}"], "measure", None) for name in command.EXPERIMENTS if name != "fig3"}
    assert all(callable(measure) for measure in modules.values())
