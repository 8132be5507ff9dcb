"""The parts that the experiments share: the dense reference search against exact answers, kept weights, images, numbers on pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepquant import asking, dense, images
from deepquant.asking import balls, decided, divergence, ranges, scores, slopes, steepness, uncertainty_balls
from deepquant.classifiers import FIG9, table3
from deepquant.report import number
from deepquant.setting import Setting, UnavailableError
from deepquant.table2 import PRINTED, as_seconds
from deepquant.tanh import target
from deepquant.weights import remembered
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from tiny_networks import TinyNetwork, relu_network

PLAN = dense.Plan(2_000, 8, 40, 16)


def linear(weights: list[list[float]]) -> TinyNetwork:
    layer = torch.nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight.data = torch.tensor(weights)
    return TinyNetwork(layer, Box.filled((len(weights[0]),), 0, 1), len(weights))


@pytest.mark.parametrize(("norm", "exact"), [("linf", 8.0), ("l1", 4.0), ("l2", (16 + 4 + 4) ** 0.5)])
def test_the_dense_search_finds_the_dual_norm_of_a_linear_gap(norm: str, exact: float) -> None:
    network = linear([[2.0, 1.0, -1.0], [-2.0, -1.0, 1.0]])
    (problem,) = balls(network, np.full((1, 3), 0.5), norm, 0.2, "gap:runner-up@logits")
    assert 0.98 * exact <= dense.slope(problem, PLAN, 0) <= exact * (1 + 1e-6)


def test_the_dense_search_finds_the_steep_spot_next_to_the_centre() -> None:
    """s rises by 1 within 0.02 of the centre and stays there: far points show a slope fifty times too small."""

    class Step(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rise = ((x[:, :1] - 0.5) / 0.02).clamp(0, 1)
            return torch.cat([1 + rise, torch.zeros_like(rise)], dim=1)

    (problem,) = balls(TinyNetwork(Step(), Box.filled((2,), 0, 1), 2), np.full((1, 2), 0.5), "linf", 0.4, "gap:0:1@logits")
    assert dense.slope(problem, PLAN, 0) == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("steps", [0, 40])
def test_the_dense_search_finds_both_ends_of_a_range(steps: int) -> None:
    network = linear([[3.0, -1.0, 0.5]])
    problem = Problem(network, Box.filled((3,), 0, 2), Output(0, Scale.OUTPUTS))
    assert dense.extremes(problem, dense.Plan(2_000, 8, steps, 16), 0) == (-2.0, 7.0)


def test_the_dense_search_climbs_where_no_corner_helps() -> None:
    class Bump(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (-(x - 0.37).square().sum(dim=1, keepdim=True) / 0.001).exp()

    network = TinyNetwork(Bump(), Box.filled((3,), 0, 1), 1)
    assert dense.extremes(Problem(network, Box.filled((3,), 0, 1), Output(0, Scale.OUTPUTS)), PLAN, 1)[1] == pytest.approx(1, abs=1e-4)


def test_dense_counts_what_it_spends() -> None:
    seen: list[int] = []

    class Counted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return x

    network = TinyNetwork(Counted(), Box.filled((2,), 0, 1), 2, double=True)
    (problem,) = balls(network, np.array([[0.2, 0.8]]), "linf", 0.1, "gap:runner-up@logits")
    seen.clear()
    dense.slope(problem, PLAN, 0)
    assert sum(seen) == PLAN.queries + 1  # and the centre


def test_slopes_and_ranges_agree_with_the_network() -> None:
    network = relu_network(3, [4, 12, 3], Box.filled((4,), 0, 1))
    inputs = np.random.default_rng(0).random((3, 4)).astype(np.float32).astype(np.float64)
    for answer in slopes(balls(network, inputs, "linf", 0.2, "gap:runner-up"), "tpmads", 400, 0):
        assert answer.witness is not None
        rise = abs(answer.witness.value - answer.center_value) / np.abs(answer.witness.point.astype(np.float64) - answer.center).max()
        assert steepness(answer) == pytest.approx(rise, rel=1e-6)
    for answer, x in zip(ranges(uncertainty_balls(network, inputs, [0.3]), "tpmads", 400, 0), inputs, strict=True):
        at_input, lowest = divergence(answer)
        assert at_input == pytest.approx(-np.mean(np.log(3 * scores(network, x[None])[0])), abs=1e-5)
        assert answer.minimum_witness is not None
        assert lowest == pytest.approx(-np.mean(np.log(3 * scores(network, answer.minimum_witness.point[None])[0])), abs=1e-5)


@pytest.mark.parametrize("cut", ["interrupted", "left out"])
def test_an_interrupted_search_goes_into_no_table(cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = balls(linear([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.2, 0.8], [0.7, 0.1]]), "linf", 0.1, "gap:runner-up")
    whole = slopes(batch, "random", 20, 0)
    assert len(whole) == 2
    stopped = replace(whole[1], provenance=replace(whole[1].provenance, interrupted=True))
    monkeypatch.setattr(asking, "ask", lambda *_, **__: [whole[0], stopped] if cut == "interrupted" else whole[:1])
    with pytest.raises(KeyboardInterrupt):
        slopes(batch, "random", 20, 0)


def test_weights_are_trained_once_and_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    runs: list[int] = []

    def learn(module: torch.nn.Module) -> dict[str, float]:
        runs.append(1)
        torch.nn.init.constant_(module.weight, 7.0)  # type: ignore[arg-type]
        return {"accuracy": 12.5}

    path = tmp_path / "deeper" / "some.pt"
    for expected in (1, 1):
        layer = torch.nn.Linear(2, 2)
        assert remembered(path, layer, learn) == {"accuracy": 12.5}
        assert bool((layer.weight == 7).all())
        assert len(runs) == expected
    path.write_bytes(b"no weights")
    assert remembered(path, torch.nn.Linear(2, 2), learn) == {"accuracy": 12.5}
    assert len(runs) == 2
    assert [p.name for p in path.parent.iterdir()] == ["some.pt"]


@pytest.mark.parametrize("name", [*FIG9, "Table 3"])
def test_architectures_give_ten_labels_for_both_image_sizes(name: str) -> None:
    build = FIG9.get(name, table3)
    for side in (8, 28):
        with torch.no_grad():
            assert build((1, side, side)).eval()(torch.zeros(2, 1, side, side)).shape == (2, 10)
    filters = [m.out_channels for m in build((1, 28, 28)) if isinstance(m, torch.nn.Conv2d)]
    assert filters == ([16, 32, 64, 128] if name == "Table 3" else [32, 64, 128][: len(filters)])


def test_radii_of_mnist_are_the_papers_and_scale_with_the_image() -> None:
    def of(side: int) -> dict[str, float]:
        pixels, labels = np.zeros((1, 1, side, side), dtype=np.float32), np.zeros(1, dtype=np.int64)
        return images.Images("some", pixels, labels, pixels, labels).radii()

    assert of(28) == {"linf": 0.3, "l1": 250.0, "l2": 8.0}
    assert of(14) == {"linf": 0.3, "l1": 62.5, "l2": 4.0}


def test_images_of_each_label_are_the_first_that_are_right() -> None:
    labels, decisions = np.array([0, 1, 1, 0, 1, 0]), np.array([0, 0, 1, 0, 1, 1])
    assert images.of_each_label(labels, decisions, 1) == {0: [0], 1: [2]}
    assert images.of_each_label(labels, decisions, 5) == {0: [0, 3], 1: [2, 4]}


def test_decisions_follow_the_scores() -> None:
    network = linear([[1.0, 0.0], [0.0, 1.0]])
    assert decided(network, np.array([[0.9, 0.1], [0.2, 0.3]])).tolist() == [0, 1]


def test_a_missing_folder_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    with pytest.raises(UnavailableError, match="NETASSAY_BENCHMARKS is not set"):
        images.benchmark("mnist/mnist_train.npz")
    monkeypatch.setenv("NETASSAY_BENCHMARKS", str(tmp_path))
    with pytest.raises(UnavailableError, match="is not in the folder"):
        images.benchmark("mnist/mnist_train.npz")


def test_printed_times_are_read_as_seconds() -> None:
    assert as_seconds("13m 58s") == 838
    assert as_seconds("7m 57.8s") == pytest.approx(477.8)
    assert as_seconds("0.4s") == 0.4
    assert np.isnan(as_seconds("N/A"))
    assert np.isnan(as_seconds("Timeout"))
    known = [as_seconds(cell) for row in PRINTED.values() for cell in row[1:]]
    assert np.isnan(known).sum() == 4 + 8  # Reluplex's time-outs; SHERLOCK and Reluplex on tanh


def test_numbers_keep_their_digits() -> None:
    assert [number(v) for v in (0.0, 12.345678, 1234.4, 0.00012345, 123456.0, float("inf"))] == [
        "0",
        "12.35",
        "1234",
        "1.23e-04",
        "1.23e+05",
        "-",
    ]
    assert number(0.6543, 3) == "0.654"


def test_the_target_function_is_what_its_docstring_says() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    expected = np.sin(0.7 + 1) + np.sin(1.4 + 2) + np.sin(2.8 + 3) + 0.3 * (np.cos(-0.5) + np.cos(-1.0) + np.cos(1.5))
    assert float(target(x)) == pytest.approx(expected, rel=1e-12)


def test_a_size_picks_its_value(setting: Setting) -> None:
    assert setting.quick
    assert setting.pick("a", "b", "c") == "a"
