"""``--start`` and ``--target``: a run goes on from an earlier one, and ends as soon as it has found enough."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.cli.starts import read_starts
from netassay.results.codec import read_witness

Run = Callable[..., Any]
FULL, FEW = ("--queries", 3000, "--prover", "none"), ("--queries", 3, "--seed", 5, "--prover", "none")


@pytest.fixture
def earlier(run: Run, classifier: str, points: str) -> dict[str, Any]:
    """An earlier run about all three inputs; its answers and witnesses are in ``first``, its report in ``page``."""
    done = run("radius", classifier, points, "--norm", "linf", *FULL, "--out", "first", "--report", "page", "--json")
    assert done.code == 0, done.err
    content: dict[str, Any] = done.json
    return content


@pytest.mark.parametrize("start", ["first/assessment.json", "page/report.json", "first", "first/witnesses", "page"])
def test_a_run_goes_on_from_an_earlier_one(run: Run, classifier: str, points: str, earlier: dict[str, Any], start: str) -> None:
    again = run("radius", classifier, points, "--norm", "linf", *FEW, "--start", start, "--json")
    assert again.code == 0, again.err
    assert "--start" not in again.err
    plain = run("radius", classifier, points, "--norm", "linf", *FEW, "--json").json
    for old, new, without in zip(earlier["results"], again.json["results"], plain["results"], strict=True):
        if old["upper"] is None:
            assert new["outcome"] == "misclassified"
            continue
        assert new["upper"]["value"] <= old["upper"]["value"]
        assert without["upper"] is None or without["upper"]["value"] > old["upper"]["value"]
        assert new["queries"] <= 3
        assert "points, SHA-256" in new["options"]["starts"]


def test_a_single_witness_and_a_single_answer_are_starts_too(run: Run, classifier: str, points: str, earlier: dict[str, Any]) -> None:
    file = earlier["results"][2]["witness"]["file"]
    one = ("radius", classifier, points, "--index", 2, *FEW, "--json")
    again = run(*one, "--start", f"first/{file}").json
    assert again["upper"]["value"] <= earlier["results"][2]["upper"]["value"]
    run("radius", classifier, points, "--index", 2, *FULL, "--out", "single")
    assert run(*one, "--start", "single/answer.json").json["upper"]["value"] <= earlier["results"][2]["upper"]["value"] * 1.001


def test_witnesses_of_other_inputs_are_left_alone(run: Run, classifier: str, points: str, earlier: dict[str, Any]) -> None:
    shutil.copytree("first", "part")
    for kept in Path("part/witnesses").glob("*.npz"):
        if kept.name not in earlier["results"][2]["witness"]["file"]:
            kept.unlink()
    for start in ("part", "part/witnesses"):
        done = run("radius", classifier, points, "--index", 0, *FEW, "--start", start)
        assert done.code == 0, done.err
        assert f"note: --start {start}: no witness there belongs to the inputs asked about" in done.err


def test_every_question_takes_a_document(run: Run, classifier: str, points: str) -> None:
    asked = ("--question", "radius", "--question", "lipschitz", "--question", "reach", "--radius", 0.3, "--json")
    first = run("assess", classifier, points, *asked, *FULL, "--out", "first").json["results"]
    again = run("assess", classifier, points, *asked, *FEW, "--start", "first/assessment.json").json["results"]
    assert len(first) == len(again) == 9
    for old, new in zip(first, again, strict=True):
        for part, side, sign in (
            (None, "upper", -1),
            (None, "lower", 1),
            ("minimum", "upper", -1),
            ("maximum", "lower", 1),
            ("falling", "lower", 1),
        ):
            a, b = (r if part is None else r.get(part) for r in (old, new))
            if a and a.get(side) is not None and (part, old["question"]) != (None, "reach"):
                assert sign * b[side]["value"] >= sign * a[side]["value"], (old["question"], part)


def test_all_witnesses_of_a_document_are_taken(run: Run, classifier: str, points: str) -> None:
    """Of the steepest slope and of the falling side, which are other points, and of both ends of a range."""
    asked = ("--question", "lipschitz", "--question", "reach", "--risk", "reachability:own:above:0.9", "--radius", 0.4)
    run("assess", classifier, points, "--index", 0, *asked, *FULL, "--out", "first")
    stored = {read_witness("first", f"witnesses/{p.name}").point.tobytes() for p in Path("first/witnesses").glob("*.npz")}
    notes: list[str] = []
    (found,) = read_starts("first/assessment.json", [0], [], (2,), notes).values()
    assert {point.astype(np.float32).tobytes() for point in found} == stored
    assert len(stored) >= 3
    assert notes == []


def test_arrays_hold_points_of_one_input_or_one_entry_per_input(run: Run, classifier: str, points: str) -> None:
    np.savez("one.npz", x=np.array([[0.5, 0.5], [0.75, 0.25]]))
    np.save("one.npy", np.array([0.5, 0.5]))
    np.save("each.npy", np.array([[0.5, 0.5], [0.3, 0.3], [0.5, 0.5]]))
    np.save("pairs.npy", np.array([[[0.5, 0.5], [0.6, 0.4]], [[0.3, 0.3], [0.2, 0.2]], [[0.5, 0.5], [0.4, 0.6]]]))
    for name in ("one.npz", "one.npy"):
        answer = run("radius", classifier, points, "--index", 0, *FEW, "--start", name, "--json").json
        assert answer["upper"]["value"] == 0.25
    for name in ("each.npy", "pairs.npy"):
        results = run("radius", classifier, points, *FEW, "--start", name, "--json").json["results"]
        assert [r["upper"] and r["upper"]["value"] for r in results] == [0.25, None, 0.125]


def test_a_range_over_a_box_has_starts_too(run: Run, regression: str) -> None:
    box = ("reach", regression, "--lower", "0,0", "--upper", "10,10", "--json")
    np.save("corners.npy", np.array([[10.0, 0.0], [0.0, 10.0]]))
    answer = run(*box, *FEW, "--start", "corners.npy").json
    assert (answer["minimum"]["upper"]["value"], answer["maximum"]["lower"]["value"]) == (-9, 21)
    assert run(*box, *FEW, "--start", "netassay-out/answer.json").json["maximum"]["lower"]["value"] == 21


def test_points_outside_the_ball_are_moved_and_outside_the_domain_refused(run: Run, classifier: str, points: str) -> None:
    np.save("far.npy", np.array([1.0, 1.0]))
    np.save("out.npy", np.array([0.5, 1.5]))
    done = run("lipschitz", classifier, points, "--index", 0, "--radius", 0.1, *FEW, "--start", "far.npy")
    assert "note: 1 of 1 start points lay outside the region and were moved to its nearest point" in done.err
    refused = run("lipschitz", classifier, points, "--index", 0, "--radius", 0.1, *FEW, "--start", "out.npy")
    assert refused.code == 2
    assert refused.out == ""
    assert "start point 0 lies outside the input domain: feature (1,) is 1.5, allowed are 0 to 1" in refused.err


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("none.npz", "none.npz: no such file"),
        ("none.json", "none.json"),
        ("nowhere", "no such file or folder; known: FILE.npz with x"),
        ("points.txt", "unknown kind of file"),
        ("wide.npy", "--start wide.npy: start points of shape (1, 3) do not fit a network of input shape (2,)"),
        ("two.npy", "--start two.npy: starts for 2 inputs were given and 3 inputs are asked about"),
        ("labels.npz", "--start labels.npz: no points; expected an array under x"),
        ("other.json", "other.json"),
    ],
)
def test_starts_that_cannot_be_used(run: Run, classifier: str, points: str, start: str, told: str) -> None:
    Path("points.txt").write_text("0.5 0.5")
    Path("other.json").write_text('{"schema": "something else"}')
    np.save("wide.npy", np.zeros((3, 1, 3)))
    np.save("two.npy", np.zeros((2, 2)))
    np.savez("labels.npz", y=np.zeros(2))
    done = run("radius", classifier, points, "--start", start)
    assert done.code == 2, done.err
    assert done.out == ""
    assert told in done.err
    assert "internal error" not in done.err


def test_a_changed_witness_is_refused(run: Run, classifier: str, points: str, earlier: dict[str, Any]) -> None:
    for file in Path("first/witnesses").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    for start in ("first", "first/assessment.json"):
        done = run("radius", classifier, points, *FEW, "--start", start)
        assert done.code == 2
        assert "was changed since it was written" in done.err


def test_targets_end_the_search(run: Run, classifier: str, regression: str, points: str) -> None:
    radius = run("radius", classifier, points, "--index", 0, "--target", 0.4, *FULL, "--json").json
    assert radius["upper"]["value"] <= 0.4
    assert radius["queries"] < 1500
    assert radius["options"]["target"] == "0.4"
    assert any("stopped at its target (0.4)" in note for note in radius["notes"])
    slope = run("lipschitz", classifier, points, "--index", 0, "--radius", 0.1, "--target", 0.1, *FULL, "--json").json
    assert slope["lower"]["value"] >= 0.1
    assert slope["queries"] < 1500
    for text, low, high in (("0,15", 0, 15), (",15", 99, 15), ("-5,", -5, -99)):
        found = run("reach", regression, "--lower", "0,0", "--upper", "10,10", "--target", text, *FULL, "--json").json
        assert found["minimum"]["upper"]["value"] <= low
        assert found["maximum"]["lower"]["value"] >= high
        assert found["queries"] < 1500
    done = run("assess", classifier, points, "--target", "radius=0.4", "--radius", 0.1, *FULL, "--json")
    said = [any("stopped at its target" in note for note in r["notes"]) for r in done.json["results"]]
    assert said == [True, False, True, False, False, False], "the second input is misclassified, the others are slopes"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("radius", "--target", "-1"), "--target must not be negative for radius"),
        (("lipschitz", "--target", "nan"), "--target needs a finite number; got 'nan'"),
        (("radius", "--target", "0,1"), "--target needs a finite number; got '0,1'"),
        (("reach", "--radius", "0.1", "--output", "0", "--target", "5"), "--target needs LO,HI for reach"),
        (("reach", "--radius", "0.1", "--output", "0", "--target", ","), "--target needs LO,HI for reach"),
        (("assess", "--target", "0.1"), "--target needs QUESTION=V where several are asked"),
        (("assess", "--target", "verify=0.1"), "unknown --target value 'verify'; known: lipschitz, radius, reach"),
        (("assess", "--target", "reach=0,1"), "--target names reach, but --question asks for radius, lipschitz only"),
    ],
)
def test_targets_of_another_form(run: Run, classifier: str, points: str, arguments: tuple[str, ...], told: str) -> None:
    done = run(arguments[0], classifier, points, *arguments[1:])
    assert done.code == 2, done.err
    assert done.out == ""
    assert told in done.err
