"""Models and data of other kinds through the command line: your own code, tables, normalised inputs, pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.results.codec import read_witness

Run = Callable[..., Any]

BLACK_BOX = """
import numpy as np

def margin(batch):
    x = np.asarray(batch, dtype=np.float64)
    score = x[:, 0] + 10 * x[:, 1] + 0.001 * x[:, 2]
    return np.stack([40 - score, score - 40], axis=1)

def make():
    return margin, (3,)
"""

TABLE = "age,visits,height,label\n12,1,170,0\n14,0,180,0\n20,3,165,1\n"


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_black_box.py").write_text(BLACK_BOX, encoding="utf-8")
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_black_box:make"
    sys.modules.pop("own_black_box", None)


def test_a_black_box_on_a_table_with_fixed_and_whole_features(run: Run, own_code: str) -> None:
    np.save("free.npy", np.array([True, True, False]))
    np.save("steps.npy", np.array([0.0, 1.0, 0.0]))
    done = run(
        *("radius", own_code, "table.csv", "--index", 0, "--domain", "data", "--norm", "linf", "--mask", "free.npy"),
        *("--granularity", "steps.npy", "--risk", "robustness@logits", "--queries", 4000, "--json"),
    )
    assert done.code == 0, done.err
    answer = done.json
    # the score is 22.17 and ties at 40: two visits more suffice, one would need 7.83 years more, so the nearest is at 2
    assert answer["outcome"] == "measured"
    point = read_witness(Path("netassay-out"), answer["witness"]["file"]).point.astype(np.float64)
    assert point[2] == 170
    assert point[1] == np.round(point[1])
    assert point[0] + 10 * point[1] + 0.17 >= 40
    assert answer["upper"]["value"] == 2
    assert answer["region"]["granular"] is True


def test_own_code_and_the_observed_domain_are_said(run: Run, own_code: str) -> None:
    done = run("radius", own_code, "table.csv", "--index", 0, "--domain", "data", "--queries", 200)
    assert done.code == 0, done.err
    assert "your own code" in done.err
    assert "range of each feature over the 3 inputs" in done.err


def test_a_gradient_method_on_a_black_box_is_refused(run: Run, own_code: str) -> None:
    done = run("radius", own_code, "table.csv", "--domain", "data", "--method", "gradient")
    assert done.code == 2
    assert "gradients" in done.err


def test_normalisation_is_put_inside_so_that_radii_are_in_plain_units(run: Run, classifier: str, points: str) -> None:
    plain = run("radius", classifier, points, "--index", 0, "--json").json
    normalised = run("radius", classifier, points, "--index", 0, "--mean", "0.5", "--std", "0.25", "--json").json
    assert 0.25 <= normalised["upper"]["value"] < 0.251
    assert normalised["model_sha256"] != plain["model_sha256"]
    shifted = run("radius", classifier, points, "--index", 0, "--mean", "0.25,0", "--std", "1", "--json").json
    assert 0.125 <= shifted["upper"]["value"] < 0.126


def test_costs_decide_by_the_smallest(run: Run, classifier: str, points: str) -> None:
    answer = run("radius", classifier, points, "--index", 0, "--decision", "argmin", "--json").json
    assert answer["outcome"] == "misclassified"
    assert answer["label"] == 1


def test_flat_models_of_digits_get_pictures_in_the_report(run: Run) -> None:
    done = run("radius", "digits-mlp", "digits", "--index", 0, "--queries", 300, "--report", "rep", "--quiet")
    assert done.code == 0, done.err
    page = Path("rep/report.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 3


def test_one_pixel_groups(run: Run) -> None:
    answer = run("radius", "digits-cnn", "digits", "--index", 3, "--norm", "l0", "--group", "pixel", "--queries", 2000, "--json").json
    assert answer["region"]["norm"] == "l0"
    assert answer["upper"]["value"] == answer["witness"]["distance"] - 1


def test_a_patch_leaves_everything_else_as_it_was(run: Run) -> None:
    answer = run("radius", "digits-cnn", "digits", "--index", 3, "--mask", "2,2,4,4", "--queries", 2000, "--json").json
    assert answer["region"]["free_features"] == 16
    stored = read_witness(Path("netassay-out"), answer["witness"]["file"])
    changed = stored.point != stored.center.astype(stored.point.dtype)
    outside = np.ones((1, 8, 8), dtype=bool)
    outside[:, 2:6, 2:6] = False
    assert not changed[outside].any()
    assert changed.any()


def test_a_factory_that_states_no_shape_takes_that_of_the_data(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = "torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))"
    source = f"import torch\n\ndef make():\n    torch.manual_seed(0)\n    return {made}\n"
    (tmp_path / "shapeless.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    np.savez("pictures.npz", x=np.full((2, 2, 2, 3), 0.5), lower=0.0, upper=1.0)
    done = run("reach", "shapeless:make", "pictures.npz", "--index", 0, "--radius", 0.1, "--output", 0, "--queries", 50, "--json")
    assert done.code == 0, done.err
    assert done.json["region"]["features"] == 12
    alone = run("reach", "shapeless:make", "--lower", "0", "--upper", "1", "--output", "0")
    assert alone.code == 2
    assert "input shape of Sequential is not known" in alone.err
    sys.modules.pop("shapeless", None)


def test_a_data_factory_is_run_once_and_gives_the_shape_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import numpy as np

calls = []

def network():
    return lambda batch: np.stack([batch.sum(axis=(1, 2, 3)), np.ones(len(batch))], axis=1)

def data():
    calls.append(1)
    return {"x": np.full((2, 2, 2, 3), 0.25).tolist(), "y": [1, 0], "lower": 0.0, "upper": 1.0}
"""
    (tmp_path / "own_shape.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = run(
        "radius", "own_shape:network", "own_shape:data", "--index", 1, "--domain", "data", "--radius", 0.1, "--queries", 50, "--json"
    )
    assert done.code == 2, done.out  # every feature has one value in the data, so its range is a point
    done = run("radius", "own_shape:network", "own_shape:data", "--index", 1, "--queries", 50, "--json")
    assert done.code == 0, done.err
    assert done.json["region"]["features"] == 12
    assert len(sys.modules["own_shape"].calls) == 2
    sys.modules.pop("own_shape", None)


def test_a_folder_of_pictures(run: Run) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: extra 'images'")
    from netassay.models.builtin import digits_test

    inputs, labels = digits_test()
    for i in range(4):
        folder = Path("pictures") / str(labels[i])
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray((inputs[i, 0] * 255).round().astype(np.uint8)).save(folder / f"{i}.png")
    done = run("verify", "digits-cnn", "pictures", "--norm", "linf", "--radius", 0.01, "--json")
    assert done.code == 0, done.err
    assert done.json["summary"]["holds"] == 4


def test_the_label_column_of_a_table(run: Run, own_code: str) -> None:
    Path("table.csv").write_text(TABLE.replace("label", "outcome"), encoding="utf-8")
    options = ("--index", 0, "--domain", "data", "--queries", 200, "--json")
    assert run("radius", own_code, "table.csv", *options).code == 2
    done = run("radius", own_code, "table.csv", "--label-column", "outcome", *options)
    assert done.code == 0, done.err
    assert done.json["region"]["features"] == 3
