"""``netassay report STORE DIR --model MODEL``: the campaign's own model gives maps, any other is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.conftest import Run, dense
from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.models.load import load_network
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Question
from netassay.results.bracket import Bracket, End
from netassay.specs.risks import parse_risk
from netassay.store import Presentation
from netassay.store.writer import open_writer
from store import stores

WEIGHT = (np.random.default_rng(0).integers(-8, 9, (2, 16)) / 8).tolist()
MAP = '<figure class="saliency">'
LAYOUT = (1, 4, 4)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A linear classifier of pictures with 4 x 4 pixels."""
    return dense(tmp_path / "model.onnx", WEIGHT, [0.5, 0])


def kept(
    model: str,
    norms: tuple[str, ...] = ("l0",),
    *,
    queries: int = 200,
    layout: tuple[int, int, int] | None = LAYOUT,
    told: Mapping[str, Any] | None = None,
    **options: Any,
) -> str:
    """A store with the radii of three inputs, as a campaign about the model would leave them; ``told`` changes its answers."""
    domain = Box.filled((16,), 0.0, 1.0)
    network = load_network(model, **options).with_domain(domain)
    inputs = np.random.default_rng(1).integers(0, 9, (3, 16)) / 8
    answers: list[Answer] = []
    for norm in norms:
        asked = problems(network, inputs, None, risk=parse_risk("robustness"), norm=Norm.of(norm), radius=None, indices=[0, 1, 2])
        answers += [replace(a, **told or {}) for a in ask(Question.RADIUS, asked, budget=Budget(queries=queries))]
    presentation = Presentation(
        input_shape=(16,),
        image_layout=layout,
        output_meaning=str(network.convention.meaning),
        decision=str(network.convention.decision),
        lower=domain.lower,
        upper=domain.upper,
    )
    heading = replace(stores.HEADING, command="netassay assess model.onnx", model_sha256=network.sha256, presentation=presentation)
    with open_writer("runs.db") as writer:
        writer.begin(heading, [(stores.JOB, len(answers))])
        assert writer.save(stores.attempt(stores.JOB), stores.packed(answers))
    return "runs.db"


def maps() -> dict[int, int]:
    """How many maps each page has."""
    return {int(path.stem): path.read_text(encoding="utf-8").count(MAP) for path in Path("out/inputs").iterdir()}


def test_the_campaigns_model_gives_the_pages_their_maps(run: Run, model: str) -> None:
    store = kept(model, ("l0", "linf"))
    assert run("report", store, "out").code == 0
    assert maps() == {0: 0, 1: 0, 2: 0}
    done = run("report", store, "out", "--model", model)
    assert done.code == 0, done.err
    assert maps() == {0: 1, 1: 1, 2: 1}, "beside the L0 witness, and no other"
    assert run("report", store, "out", "--model", model, "--pages", 0, "--input", 2).code == 0
    assert maps() == {2: 1}


def test_normalisation_belongs_to_the_model(run: Run, model: str) -> None:
    store = kept(model, mean=[0.5], std=[0.25])
    refused = run("report", store, "out", "--model", model)
    assert refused.code == 2
    assert "is not the network of campaign 1" in refused.err
    assert "netassay assess model.onnx" in refused.err
    assert not Path("out").exists()
    assert run("report", store, "out", "--model", model, "--mean", "0.5", "--std", "0.25").code == 0
    assert maps() == {0: 1, 1: 1, 2: 1}


def test_what_the_outputs_mean_is_known_from_the_store(run: Run, model: str) -> None:
    done = run("report", kept(model, decision="argmin"), "out", "--model", model)
    assert done.code == 0, done.err
    assert maps() == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "{other}"), "is not the network of campaign 1"),
        (("--model", "missing.onnx"), "no such file"),
        (("--mean", "0.5"), "name the model"),
    ],
)
def test_a_model_that_is_not_the_campaigns_is_refused(run: Run, model: str, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    other = dense(tmp_path / "other.onnx", WEIGHT, [0.25, 0])
    done = run("report", kept(model), "out", *(part.format(other=other) for part in options))
    assert done.code == 2
    assert said in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ({"norms": ("l2",)}, "no page shows an L0 radius"),
        ({"queries": 20}, "a map takes more points than the search did"),
        ({"layout": None}, "the inputs are no pictures"),
    ],
)
def test_why_there_is_none_is_told(run: Run, model: str, world: dict[str, Any], said: str) -> None:
    store = kept(model, **world)
    done = run("report", store, "out", "--model", model)
    assert done.code == 0
    assert said in done.err
    assert set(maps().values()) == {0}
    assert run("report", store, "out", "--model", model, "--quiet").err == ""


NOTHING = {"witness": None, "bracket": Bracket(End.UPPER)}


@pytest.mark.parametrize(
    "told", [{"label": 99}, {"label": -1}, {"center": np.full((4, 4), 0.5), **NOTHING}, {"center": np.full(16, 2.0), **NOTHING}]
)
def test_answers_that_do_not_fit_the_network_are_refused(run: Run, model: str, told: dict[str, Any]) -> None:
    done = run("report", kept(model, told=told), "out", "--model", model, *(part for i in range(3) for part in ("--input", i)))
    assert done.code == 2, done.err
    assert done.err.startswith("error: ")
