"""The figures of the DeepTRE paper, tiny: pages with drawings, and what they are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepquant.classifiers import Classifier, Schooling
from deepquant.setting import Setting, Size
from deeptre import fig3, fig4, fig6, fig7, fig9
from deeptre.command import FIGURES, OK, main
from deeptre.networks import balls, rightly_decided


def test_small_pages_need_no_benchmark_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    monkeypatch.setitem(fig6.PLANS, Size.QUICK, fig6.Plan(("digits-cnn",), 16, 1))
    assert main(["fig3", "fig6", "fig7", "--quick", "--out", str(tmp_path)]) == OK
    for name in ("fig3", "fig6", "fig7"):
        page = (tmp_path / f"{name}.md").read_text()
        assert f"python experiments/deeptre/run.py {name}" in page
        assert f"]({name}.svg)" in page
        assert "## What differs from the paper" in page
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
    assert set(FIGURES) >= {"fig3", "fig6", "fig7"}


def test_bounds_never_loosen_from_one_t_to_the_next() -> None:
    network, images, _ = rightly_decided("digits-cnn", 3)
    first, second = fig3._course(balls(network, images), 2)
    assert (first.lower <= second.lower).all()
    assert (second.upper <= first.upper).all()
    assert (second.lower <= second.upper - 1).all()
    assert ((second.queries > 0) == (first.lower < first.upper - 1)).all()
    assert (first.queries > 0).all()


def test_a_sample_of_subspaces_is_scaled_to_all() -> None:
    network, images, _ = rightly_decided("digits-cnn", 1)
    sample = fig3._sample(balls(network, images)[0], 3, 40, 0)
    assert sample.total == 64 * 63 * 62 // 6
    assert 40 * 8 <= sample.points <= 40 * 27 + 3 * 64
    assert fig3.Sample(1000, 10, 27, 36.0).whole() == pytest.approx(1)


def test_attacks_are_compared_on_one_network() -> None:
    plan = fig4.Plan({"digits-cnn": 300}, 2, 1, (fig4.PAPER_ATTACK, "auto"))
    result = fig4.measure(Setting(Size.QUICK, say=lambda _: None), plan)
    assert [row[0] for row in result.tables[0].rows] == ["`auto`", f"`{fig4.PAPER_ATTACK}`"]
    assert all(row[1] == "100%" for row in result.tables[0].rows)
    assert set(result.drawings) == set(result.captions) == {"", "images"}


def test_captions_count_pixels_not_channels() -> None:
    network, images, _ = rightly_decided("digits-cnn", 1)
    moved = images[0].copy()
    moved[0, :2, 3] = 1 - moved[0, :2, 3]
    ((caption, _),) = fig4._captioned(network, images, [moved])
    assert caption.startswith("2 pixels: ")


def test_points_of_the_complete_set_change_one_pixel() -> None:
    network, images, _ = rightly_decided("digits-cnn", 1)
    points = fig6.subspace_points(network, images[0].astype(np.float32), 3 * 64)
    changed = (points != torch.tensor(images[0], dtype=torch.float32)).flatten(1).sum(dim=1)
    assert int(changed.max()) == 1
    assert len(torch.unique(points, dim=0)) > 2 * 64
    assert fig6.gain({1: 2.0, 16: 0.5, 64: 1.0}) == 4


def test_hours_are_scaled_to_all_pixels() -> None:
    assert fig7.Cost(points=224 * 224 * 8, seconds=3600.0).whole() == pytest.approx(1)
    assert fig7.Cost(points=8, seconds=1.0).whole() == pytest.approx(224 * 224 / 3600)


def test_seven_networks_are_measured_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in network in place of all seven, so that none is trained."""

    def trained(setting: Setting, name: str, build: object, data: object, schooling: Schooling) -> Classifier:
        return Classifier(rightly_decided("digits-cnn", 1)[0], 90.0 + len(name), schooling)

    monkeypatch.setattr(fig9, "trained", trained)
    result = fig9.measure(Setting(Size.QUICK, say=lambda _: None), fig9.Plan(Schooling(1, 1), 3))
    rows = result.tables[0].rows
    assert [row[0] for row in rows] == list(fig9.ARCHITECTURES)
    assert len({tuple(row[1:8]) for row in rows}) == 1
    assert all(float(row[2]) <= float(row[4]) <= float(row[3]) for row in rows)
    assert "same 3 test images" in result.setup


def test_the_most_robust_come_first() -> None:
    def measured(lower: float, upper: float) -> fig9.Measured:
        return fig9.Measured(99.0, np.array([lower, lower]), np.array([upper, upper + 2]), 0.1)

    found = {"a": measured(1, 2), "b": measured(2, 5), "c": measured(1, 4)}
    assert fig9.ranked(found) == ["b", "c", "a"]
    assert found["b"].center.tolist() == [3.5, 4.5]
    assert found["b"].radius.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("name", list(fig9.ARCHITECTURES))
@pytest.mark.parametrize("side", [8, 14])
def test_architectures_give_ten_scores(name: str, side: int) -> None:
    network = fig9.ARCHITECTURES[name]((1, side, side)).eval()
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 10)
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in network)
    assert convolutions == dict(zip(fig9.ARCHITECTURES, (0, 1, 1, 2, 3, 4, 8), strict=True))[name]
