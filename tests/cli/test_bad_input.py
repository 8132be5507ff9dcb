"""Bad input: exit code 2, a message that names what came and what is known, nothing on stdout."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def refused(done: Any, *told: str) -> None:
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    for text in told:
        assert text in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--norm", "l3"], ["unknown norm 'l3'", "l0, l1, l2, linf"]),
        (["--risk", "sadness"], ["unknown risk 'sadness'", "robustness", "uncertainty"]),
        (["--method", "magic"], ["unknown method 'magic'", "auto, gradient, mads, random, tpmads"]),
        (["--radius", "0"], ["--radius must be a positive number; got 0"]),
        (["--radius", "-1"], ["--radius", "-1"]),
        (["--radius", "nan"], ["--radius", "nan"]),
        (["--index", "9"], ["no input at index 9", "3 inputs, 0 to 2"]),
        (["--index", "-1"], ["no input at index -1"]),
        (["--limit", "0"], ["--limit must be at least 1"]),
        (["--outputs", "words"], ["'words'", "binary-logit, logits, probabilities, sigmoid, values"]),
        (["--decision", "vote"], ["'vote'", "argmax, argmin"]),
        (["--device", "quantum"], ["--device 'quantum'", "try cpu"]),
        (["--memory", "much"], ["--memory", "2GiB"]),
        (["--queries", "0"], ["at least 1; got 0"]),
        (["--seconds", "-1"], ["positive", "-1"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--domain", "1,0"], ["--domain", "LO below HI"]),
        (["--scale", "big"], ["unknown --scale 'big'", "none"]),
        (["--group", "row"], ["unknown --group 'row'", "feature, pixel"]),
        (["--mask", "0,0,1,1"], ["--mask X,Y,W,H is for images"]),
        (["--one-hot", "a,b"], ["--one-hot", "3,4,5;6,7"]),
        (["--granularity", "-2"], ["--granularity", "negative"]),
        (["--risk", "targeted:7"], ["7"]),
        (["--risk", "uncertainty"], ["uncertainty:EPS"]),
        (["--fail-under", "nan"], ["--fail-under must be a positive radius"]),
        (["--fail-under", "-1"], ["--fail-under must be a positive radius"]),
    ],
)
def test_bad_options(run: Run, classifier: str, points: str, arguments: list[str], told: list[str]) -> None:
    refused(run("radius", classifier, points, *arguments), *told)


def test_a_report_folder_that_cannot_be_made_is_refused_before_anything_is_searched(run: Run) -> None:
    Path("taken").write_text("a file")
    refused(run("demo", "--report", "taken/below"), "--report taken/below", "cannot be made")


def test_a_factory_cannot_end_the_program(run: Run, points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("leaving_models.py").write_text("import sys\n\n\ndef make():\n    sys.exit(7)\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    refused(run("radius", "leaving_models:make", points), "leaving_models:make", "failed", "SystemExit")


@pytest.mark.parametrize("name", ["assess", "lipschitz"])
def test_the_other_commands_refuse_alike(run: Run, classifier: str, points: str, name: str) -> None:
    refused(run(name, classifier, points, "--norm", "l3"), "unknown norm 'l3'")
    refused(run(name, classifier, points, "--risk", "sadness"), "unknown risk")
    refused(run(name, classifier, points, "--method", "magic"), "unknown method")
    refused(run(name, classifier, points, "--radius", "0"), "--radius")


def test_an_l0_radius_is_a_whole_number(run: Run, classifier: str, points: str) -> None:
    refused(run("radius", classifier, points, "--norm", "l0", "--radius", "1.5"), "1.5")


def test_unbounded_domains_need_a_radius(run: Run, classifier: str) -> None:
    np.savez("free.npz", x=np.array([[0.75, 0.25]]))
    refused(run("radius", classifier, "free.npz"), "--radius", "--domain LO,HI")
    refused(run("lipschitz", classifier, "free.npz"), "--radius", "--domain LO,HI")
    refused(run("radius", classifier, "free.npz", "--scale", "domain", "--radius", "0.1"), "--scale domain needs a bounded")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((2, 3))}, ["shape (3,)", "takes (2,)"]),
        ({"x": np.zeros((0, 2))}, ["the data set is empty"]),
        ({"x": np.array([[0.5, np.nan]])}, ["finite"]),
        ({"x": np.array([[0.5, 0.5]]), "y": np.array([2])}, ["label 2", "0 to 1"]),
        ({"x": np.array([[0.5, 0.5]]), "y": np.array([0, 1])}, ["1 inputs need 1 labels"]),
        ({"x": np.array([[0.5, 1.5]]), "lower": 0.0, "upper": 1.0}, ["outside the domain", "1.5"]),
    ],
)
def test_bad_data(run: Run, classifier: str, arrays: dict[str, Any], told: list[str]) -> None:
    np.savez("bad.npz", **arrays)
    refused(run("radius", classifier, "bad.npz", "--radius", "0.1"), *told)


def test_outside_the_domain_of_the_options(run: Run, classifier: str) -> None:
    np.savez("wide.npz", x=np.array([[0.5, 7.0]]))
    refused(run("radius", classifier, "wide.npz", "--domain", "0,1"), "outside the domain", "7")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.onnx", None, ["none.onnx"]),
        ("broken.onnx", b"\x08\x08\x12", ["broken.onnx"]),
        ("evil.pkl", pickle.dumps(print), ["evil.pkl"]),
        ("evil.pt", pickle.dumps(print), ["evil.pt"]),
        ("model.h5", b"x", ["model.h5"]),
    ],
)
def test_bad_models(run: Run, points: str, name: str, content: bytes | None, told: list[str]) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    refused(run("radius", name, points), *told)


def test_a_truncated_model(run: Run, classifier: str, points: str) -> None:
    content = Path(classifier).read_bytes()
    Path("cut.onnx").write_bytes(content[: len(content) // 2])
    refused(run("radius", "cut.onnx", points), "cut.onnx")


def test_a_folder_that_cannot_be_made_is_refused_before_the_search(run: Run, classifier: str, points: str) -> None:
    Path("taken").write_text("a file", encoding="utf-8")
    refused(run("radius", classifier, points, "--out", "taken"), "--out taken")
    refused(run("radius", classifier, points, "--report", "taken"), "--report taken")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ["--lower A,B,... and --upper"]),
        (["--lower", "0,0"], ["--upper"]),
        (["--lower", "0,0,0", "--upper", "1,1,1"], ["--lower needs one number or 2"]),
        (["--lower", "1,1", "--upper", "0,0"], ["empty"]),
        (["--lower", "0,0", "--upper", "0,0"], ["single point"]),
        (["--lower", "0,0", "--upper", "1,1", "--output", "1"], ["no output 1", "0 to 0"]),
        (["--lower", "0,0", "--upper", "1,1", "--risk", "robustness"], ["--risk needs an input"]),
        (["--lower", "0,0", "--upper", "2,2", "--domain", "0,1"], ["the box leaves the input domain", "0 to 2"]),
        (["--lower", "0,0", "--upper", "1,1", "--tolerance", "0"], ["--tolerance"]),
        (["points.npz", "--lower", "0,0", "--upper", "1,1"], ["not both"]),
    ],
)
def test_bad_regions_of_reach(run: Run, regression: str, points: str, arguments: list[str], told: list[str]) -> None:
    refused(run("reach", regression, *arguments), *told)


def test_reach_asks_which_of_several_outputs(run: Run, classifier: str) -> None:
    refused(run("reach", classifier, "--lower", "0,0", "--upper", "1,1"), "--output K, 0 to 1")


def test_a_risk_without_labels(run: Run, regression: str, points: str) -> None:
    refused(run("radius", regression, points), "--outputs")


def test_doctor_wants_a_folder_of_networks(run: Run) -> None:
    refused(run("doctor", "--models", "nowhere"), "nowhere")
    Path("empty").mkdir()
    refused(run("doctor", "--models", "empty"), "no network")
