"""The command-line grammar of risks: what each form binds to, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netassay.errors import DataError, InputError, PropertyError, UsageError
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale, softmax
from netassay.specs.confidence_gap import ConfidenceGap, GapCase
from netassay.specs.distributions import LARGEST_FILE, read_distribution
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.risks import RISKS, parse_risk
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty

LOGITS = np.array([1.0, 3.0, -2.0, 2.0])
F = softmax(LOGITS)
L = OutputConvention()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("robustness", Robustness(1)),
        ("robustness:0.1", Robustness(1, 0.1)),
        ("robustness:2@logits", Robustness(1, 2.0, Scale.LOGITS)),
        ("robustness@probabilities", Robustness(1)),
        ("targeted:2", ConfidenceGap(1, 2, 0.0, GapCase.TARGET)),
        ("targeted:2:0.2", ConfidenceGap(1, 2, 0.2, GapCase.TARGET)),
        ("gap:3:0", ConfidenceGap(3, 0)),
        ("gap:own:0:0.5", ConfidenceGap(1, 0, 0.5)),
        ("gap:0:own@logits", ConfidenceGap(0, 1, on=Scale.LOGITS)),
        ("gap:runner-up", ConfidenceGap(1, 3, 0.0, GapCase.RUNNER_UP)),
        ("gap:smallest:0.3", ConfidenceGap(1, 2, 0.3, GapCase.SMALLEST)),
        ("uncertainty:0.4", Uncertainty(0.4)),
        ("uncertainty:0.4@logits", Uncertainty(0.4)),
        ("reachability:3:below:0.2", Reachability(3, 0.2)),
        ("reachability:own:below:0.4", Reachability(1, 0.4)),
        ("reachability:0:above:0.9", Reachability(0, 0.9, Direction.ABOVE)),
        ("reachability:2:rise:0.25", Reachability(2, 0.25, Direction.RISE, float(F[2]))),
        ("reachability:2:rise:7@outputs", Reachability(2, 7.0, Direction.RISE, -2.0, Scale.OUTPUTS)),
        ("reachability:0:above:12.5@outputs", Reachability(0, 12.5, Direction.ABOVE, on=Scale.OUTPUTS)),
    ],
)
def test_forms_bind_to_their_property(text: str, expected: Property) -> None:
    template = parse_risk(text)
    assert template.spec == text
    bound = template.bind(L, LOGITS)
    assert bound == expected
    assert parse_risk(bound.describe().spec).bind(L, LOGITS) == bound, "the described form asks for the same again"


def test_decisions_follow_the_output_convention() -> None:
    costs = OutputConvention(decision=Decision.ARGMIN)
    assert parse_risk("robustness").bind(costs, LOGITS) == Robustness(2)
    assert parse_risk("gap:smallest").bind(costs, LOGITS) == ConfidenceGap(2, 1, 0.0, GapCase.SMALLEST)
    sigmoid = OutputConvention(Meaning.SIGMOID)
    assert parse_risk("robustness").bind(sigmoid, np.array([0.3])) == Robustness(0)
    assert parse_risk("reachability:1:rise:0.2").bind(sigmoid, np.array([0.3])) == Reachability(1, 0.2, Direction.RISE, 0.3)
    values = OutputConvention(Meaning.VALUES)
    assert parse_risk("reachability:0:below:2@outputs").bind(values, np.array([5.0])) == Reachability(0, 2.0, on=Scale.OUTPUTS)


@pytest.mark.parametrize("name", [".npy", ".npz", ".csv"])
def test_reference_distributions_are_read_from_files(name: str, tmp_path: Path) -> None:
    q = np.array([0.1, 0.2, 0.3, 0.4])
    file = tmp_path / f"a@b{name}"
    if name == ".npy":
        np.save(file, q)
    elif name == ".npz":
        np.savez(file, q=q, other=np.zeros(3))
    else:
        file.write_text("0.1, 0.2\n0.3,0.4\n", encoding="utf-8")
    bound = parse_risk(f"uncertainty:0.5:{file}").bind(L, LOGITS)
    assert isinstance(bound, Uncertainty)
    assert bound.reference == pytest.approx(q)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("nonsense", UsageError, "robustness\\[:EPS\\]"),
        ("", UsageError, "unknown risk"),
        ("robustness:0.1:2", UsageError, "its form is robustness"),
        ("robustness:", UsageError, "its form is robustness"),
        ("robustness:abc", UsageError, "not a number"),
        ("robustness:-1", PropertyError, r"\[0, 1\]"),
        ("robustness:nan", PropertyError, "finite"),
        ("robustness@outputs", PropertyError, "probabilities or logits"),
        ("gap:1:0@outputs", PropertyError, "probabilities or logits"),
        ("targeted:1@outputs", PropertyError, "probabilities or logits"),
        ("gap:runner-up@outputs", PropertyError, "probabilities or logits"),
        ("reachability:own:below:2@outputs", UsageError, "not a raw output"),
        ("robustness@decibel", UsageError, "logits, outputs, probabilities"),
        ("targeted", UsageError, "its form is targeted"),
        ("targeted:own", UsageError, "not a label"),
        ("targeted:-1", UsageError, "not a label"),
        ("targeted:1.5", UsageError, "not a label"),
        ("gap:1", UsageError, "its form is gap"),
        ("gap:1:1", UsageError, "two different"),
        ("gap:own:own", UsageError, "two different"),
        ("gap:1:2:3:4", UsageError, "its form is gap"),
        ("gap:runner-up:1:2", UsageError, "its form is gap"),
        ("uncertainty", UsageError, "its form is uncertainty"),
        ("uncertainty:0", PropertyError, "positive"),
        ("uncertainty:0.1@probabilities", UsageError, "leave out @probabilities"),
        ("uncertainty:0.1:/no/such/file.npy", DataError, "no file"),
        ("reachability:1:below", UsageError, "its form is reachability"),
        ("reachability:1:sideways:0.5", UsageError, "above, below, rise"),
        ("reachability:x:below:0.5", UsageError, "not a label"),
        ("reachability:1:below:1.5", PropertyError, "strictly between"),
        ("reachability:1:rise:0", PropertyError, "strictly between"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, kind: type[InputError], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse_risk(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targeted:1", "differ from the decision"),
        ("targeted:4", "label 4"),
        ("gap:0:4", "label 4"),
        ("gap:own:1", "two different"),
        ("reachability:4:below:0.5", "label 4"),
        ("reachability:4:rise:0.5", "label 4"),
    ],
)
def test_labels_must_fit_the_input(text: str, words: str) -> None:
    with pytest.raises(PropertyError, match=words):
        parse_risk(text).bind(L, LOGITS)


def test_outputs_must_be_finite_and_of_one_input() -> None:
    for bad in (np.array([np.nan, 1.0]), np.array([np.inf, 1.0]), np.ones((1, 2))):
        for text in ("robustness", "gap:0:1", "uncertainty:0.1", "reachability:0:below:0.5"):
            with pytest.raises(PropertyError, match="finite outputs"):
                parse_risk(text).bind(L, bad)
    with pytest.raises(PropertyError, match="plain values"):
        parse_risk("robustness").bind(OutputConvention(Meaning.VALUES), LOGITS)
    with pytest.raises(PropertyError, match="4 labels"):
        Uncertainty(0.1, (0.5, 0.5)).check(4)


def test_the_table_of_risks_is_complete_and_readable() -> None:
    for name, form in RISKS.items():
        assert form.syntax.startswith(name)
        assert form.expression
        assert form.meaning
        assert "DeepQuant" in form.reference


def test_distribution_files_that_cannot_be_read(tmp_path: Path) -> None:
    pickled, wrong, text, big = (tmp_path / n for n in ("p.npy", "w.npz", "t.csv", "b.csv"))
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(wrong, a=np.ones(2), b=np.ones(2))
    text.write_text("0.5;half", encoding="utf-8")
    big.write_bytes(b"0" * (LARGEST_FILE + 1))
    broken = tmp_path / "z.npz"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, q=np.zeros(LARGEST_FILE // 8 + 1000))
    odd = tmp_path / "q.txt"
    odd.write_text("1", encoding="utf-8")
    cases = {pickled: "pickle", wrong: "call it 'q'", text: "cannot read", big: "larger", broken: "cannot read"}
    cases |= {bomb: "unpacks", odd: "read from"}
    for file, words in cases.items():
        with pytest.raises(DataError, match=words):
            read_distribution(file)
