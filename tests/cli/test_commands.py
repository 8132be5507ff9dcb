"""The commands that search, on networks whose answers are known exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from netassay.results.codec import read_document, read_witness
from netassay.results.schema import json_schema

Run = Callable[..., Any]
SCHEMA = json_schema()


def valid(content: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(content, SCHEMA)
    return content


def test_radius_is_attained_by_a_stored_witness(run: Run, classifier: str, points: str) -> None:
    done = run("radius", classifier, points, "--index", 0, "--norm", "linf", "--json", "--queries", 3000)
    assert done.code == 0, done.err
    answer = valid(done.json)
    assert answer["question"] == "radius"
    assert answer["index"] == 0
    assert answer["lower"]["guarantee"] == "proved"
    assert 0.2499 < answer["lower"]["value"] < 0.25
    assert answer["upper"]["guarantee"] == "attained"
    assert 0.25 <= answer["upper"]["value"] < 0.2503
    witness = answer["witness"]
    assert witness["replayed"] is True
    assert witness["risk"] in ("adversarial", "uncertainty"), "another label, or a tie to the last bit"
    stored = read_witness(Path("netassay-out"), witness["file"])
    moved = np.abs(stored.point.astype(np.float64) - [0.75, 0.25]).max()
    assert moved == answer["upper"]["value"]
    assert stored.point[1] >= stored.point[0]
    assert read_document("netassay-out/answer.json") == answer


def test_the_provenance_is_complete(run: Run, classifier: str, points: str) -> None:
    answer = run("radius", classifier, points, "--index", 0, "--json", "--queries", 500, "--seed", 7, "--method", "random").json
    assert answer["seed"] == 7
    assert answer["method"] == "random"
    assert 0 < answer["queries"] <= 500
    assert len(answer["model_sha256"]) == len(answer["input_sha256"]) == 64
    assert answer["dtype"] == "float32"
    assert answer["device"] == "cpu"


@pytest.mark.parametrize(("norm", "exact"), [("linf", 0.25), ("l2", 0.5 / np.sqrt(2)), ("l1", 0.5), ("l0", 0)])
def test_the_radius_of_every_norm(run: Run, classifier: str, points: str, norm: str, exact: float) -> None:
    answer = run("radius", classifier, points, "--index", 0, "--norm", norm, "--json", "--queries", 4000).json
    assert exact <= answer["upper"]["value"] <= exact * 1.01


def test_same_seed_same_answer(run: Run, classifier: str, points: str) -> None:
    def found() -> dict[str, Any]:
        answer: dict[str, Any] = run(
            "lipschitz", classifier, points, "--index", 0, "--radius", 0.1, "--json", "--queries", 400, "--seed", 3
        ).json
        return {key: answer[key] for key in ("lower", "d_prime", "witness", "queries")}

    assert found() == found()


def test_lipschitz_is_a_slope_from_below_a_proved_one_above_and_theorem_1_of_each(run: Run, classifier: str, points: str) -> None:
    answer = valid(run("lipschitz", classifier, points, "--index", 0, "--radius", 0.1, "--risk", "robustness@logits", "--json").json)
    assert 1.9 < answer["lower"]["value"] <= 2.0000001
    assert answer["lower"]["guarantee"] == "attained"
    assert answer["upper"]["guarantee"] == "proved"
    assert 2 <= answer["upper"]["value"] < 2.000001
    assert answer["d_prime"]["lower"]["guarantee"] == "proved"
    assert answer["d_prime"]["lower"]["value"] <= 0.1
    assert answer["d_prime"]["upper"]["guarantee"] == "heuristic"
    searched = ("lipschitz", classifier, points, "--index", 0, "--radius", 0.1, "--prover", "none", "--json")
    assert run(*searched).json["upper"] is None


def test_scale_measures_in_shares_of_the_domain(run: Run, classifier: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.array([[75.0, 25.0]]), y=np.array([0]), lower=0.0, upper=100.0)
    scaled = run("radius", classifier, "wide.npz", "--index", 0, "--scale", "domain", "--json", "--risk", "robustness@logits").json
    plain = run("radius", classifier, "wide.npz", "--index", 0, "--json", "--risk", "robustness@logits").json
    assert 0.25 <= scaled["upper"]["value"] < 0.26
    assert scaled["region"]["scaled"] is True
    assert 25 <= plain["upper"]["value"] < 26


def test_a_mask_keeps_features_fixed(run: Run, classifier: str, points: str) -> None:
    np.save("only_second.npy", np.array([False, True]))
    answer = run("radius", classifier, points, "--index", 0, "--mask", "only_second.npy", "--json").json
    assert 0.5 <= answer["upper"]["value"] < 0.51
    stored = read_witness(Path("netassay-out"), answer["witness"]["file"])
    assert stored.point[0] == np.float32(0.75)


def test_a_ball_without_a_violation_has_no_upper_side(run: Run, classifier: str, points: str) -> None:
    answer = valid(run("radius", classifier, points, "--index", 0, "--radius", 0.2, "--json", "--queries", 500).json)
    assert answer["outcome"] == "no-witness"
    assert answer["upper"] is None
    assert answer["witness"] is None


def test_a_misclassified_input_is_its_own_outcome(run: Run, classifier: str, points: str) -> None:
    answer = valid(run("radius", classifier, points, "--index", 1, "--json").json)
    assert answer["outcome"] == "misclassified"
    assert (answer["label"], answer["true_label"]) == (1, 0)
    assert answer["upper"] is None


def test_many_inputs_give_an_assessment(run: Run, classifier: str, points: str) -> None:
    done = run("radius", classifier, points, "--json", "--queries", 1000)
    content = valid(done.json)
    assert [r["outcome"] for r in content["results"]] == ["measured", "misclassified", "measured"]
    assert 0.125 <= content["results"][2]["upper"]["value"] < 0.126


def test_assess_crosses_questions_risks_and_norms(run: Run, classifier: str, points: str) -> None:
    done = run(
        *("assess", classifier, points, "--norm", "linf", "--norm", "l2", "--risk", "robustness", "--risk", "uncertainty:0.001"),
        *("--question", "radius", "--question", "lipschitz", "--question", "reach", "--radius", "0.1", "--queries", 200, "--json"),
        *("--prover", "none"),
    )
    assert done.code == 0, done.err
    content = valid(done.json)
    seen = {(r["question"], r["risk"]["name"], r["region"]["norm"], r["index"]) for r in content["results"]}
    assert len(content["results"]) == len(seen) == 3 * 2 * 2 * 3
    assert content["summary"]
    assert read_document("netassay-out/assessment.json") == content


def test_assess_takes_a_tenth_of_the_domain_and_says_so(run: Run, classifier: str, points: str) -> None:
    done = run("assess", classifier, points, "--limit", 1, "--question", "lipschitz", "--queries", 100)
    assert done.code == 0, done.err
    assert "0.1 is used, a tenth of the domain" in done.err


def test_json_is_all_there_is_on_stdout(run: Run, classifier: str, points: str) -> None:
    done = run("radius", classifier, points, "--index", 0, "--queries", 100, "--json", "--report", "rep")
    json.loads(done.out)
    assert "report: rep" in done.err
    assert list(Path("rep").glob("*.html"))


def test_the_table_names_the_bounds_and_quiet_is_quiet(run: Run, classifier: str, points: str) -> None:
    done = run("radius", classifier, points, "--index", 0, "--queries", 500)
    assert "<= 0.25" in done.out
    assert "answers and witnesses: netassay-out" in done.out
    assert "note:" in done.err
    quiet = run("radius", classifier, points, "--index", 0, "--queries", 500, "--quiet")
    assert "<= 0.25" in quiet.out
    assert quiet.err == ""


@pytest.mark.parametrize(("demanded", "prover", "code"), [(0.3, "auto", 1), (0.25, "auto", 3), (0.2, "none", 3), (0.2, "auto", 0)])
def test_fail_under_fails_on_a_witness_and_never_passes_without_a_proof(
    run: Run, classifier: str, points: str, demanded: float, prover: str, code: int
) -> None:
    asked = ("radius", classifier, points, "--index", 0, "--fail-under", demanded, "--queries", 2000, "--json")
    assert run(*asked, "--prover", prover).code == code


def test_an_unknown_prover_is_refused_before_anything_is_loaded(run: Run, classifier: str, points: str) -> None:
    refused = run("radius", classifier, points, "--prover", "oracle")
    assert refused.code == 2
    assert "crown" in refused.err


def test_reach_over_a_box_attains_the_exact_range(run: Run, regression: str) -> None:
    done = run("reach", regression, "--lower", "0,0", "--upper", "10,10", "--json", "--queries", 2000, "--tolerance", 0.01)
    assert done.code == 0, done.err
    answer = valid(done.json)
    assert answer["question"] == "reach"
    assert answer["index"] is None
    assert -9 <= answer["minimum"]["upper"]["value"] < -8.99
    assert 20.99 < answer["maximum"]["lower"]["value"] <= 21
    assert answer["minimum"]["lower"]["value"] == pytest.approx(-9, abs=0.011)
    assert answer["minimum"]["lower"]["value"] <= -9
    assert answer["maximum"]["upper"]["value"] == pytest.approx(21, abs=0.011)
    assert answer["maximum"]["upper"]["value"] >= 21
    for end in ("minimum", "maximum"):
        point = read_witness(Path("netassay-out"), answer[end]["witness"]["file"]).point
        side = answer[end]["upper" if end == "minimum" else "lower"]
        assert 2 * float(point[0]) - float(point[1]) + 1 == pytest.approx(side["value"], abs=1e-5)


def test_reach_over_balls_of_data(run: Run, classifier: str, points: str) -> None:
    answer = valid(run("reach", classifier, points, "--index", 0, "--radius", 0.1, "--output", 1, "--json", "--queries", 1000).json)
    assert 0.15 <= answer["minimum"]["upper"]["value"] < 0.151
    assert 0.349 < answer["maximum"]["lower"]["value"] <= 0.3500001
    margin = valid(run("reach", classifier, points, "--index", 0, "--radius", 0.1, "--risk", "robustness@logits", "--json").json)
    assert 0.3 <= margin["minimum"]["upper"]["value"] < 0.301


@pytest.mark.parametrize("name", ["radius", "lipschitz", "assess"])
def test_an_interrupt_keeps_what_was_found(run: Run, classifier: str, points: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from netassay.falsifiers import search

    steps = iter(range(1000))

    def interrupted(self: Any, *arguments: Any, **options: Any) -> Any:
        if next(steps) >= 3:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    original = search.Search.evaluate
    monkeypatch.setattr(search.Search, "evaluate", interrupted)
    done = run(name, classifier, points, "--index", 0, "--radius", 0.9, "--json", "--queries", 5000)
    assert done.code == 130
    content = valid(done.json)
    answer = content["results"][-1] if name == "assess" else content
    assert answer["interrupted"] is True
    assert 0 < answer["queries"] < 5000


def test_methods_and_schema_are_json(run: Run) -> None:
    listed = run("methods", "--json").json
    assert {"auto", "random", "tpmads", "gradient"} <= {row["name"] for row in listed["methods"]}
    assert "robustness" in {row["name"] for row in listed["risks"]}
    assert "uncertainty" in run("methods").out
    jsonschema.Draft202012Validator.check_schema(run("schema").json)
