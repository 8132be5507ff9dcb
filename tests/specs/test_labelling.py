"""Eq. 1, every cell of Table 1, and the risk class of points inside the ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from netassay.errors import PropertyError
from netassay.models.scores import Meaning, OutputConvention
from netassay.results.witness import RiskClass
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.labelling import NOT_CONFIDENT, labelling, risk_class, risk_table
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty


@dataclass
class Convention:
    """All that the risk table asks of a network."""

    convention: OutputConvention
    labels: int


PROBABILITIES = Convention(OutputConvention(Meaning.PROBABILITIES), 3)
VALUES = Convention(OutputConvention(Meaning.VALUES), 0)
SURE_0, SURE_1, NEAR_TIE = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.8, 0.1]), np.array([0.42, 0.40, 0.18])


def test_labels_need_a_lead_above_the_threshold() -> None:
    rows = np.array([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4], [0.0, 0.0, 1.0], [0.3, 0.45, 0.25]])
    assert labelling(rows).tolist() == [0, NOT_CONFIDENT, 2, 1]
    assert labelling(rows, 0.25).tolist() == [NOT_CONFIDENT, NOT_CONFIDENT, 2, NOT_CONFIDENT], "a lead of exactly eps is not confident"
    assert labelling(torch.tensor(rows), 0.1).tolist() == [0, NOT_CONFIDENT, 2, 1]


def test_nan_is_not_confident_and_the_threshold_is_checked() -> None:
    assert labelling(np.array([[np.nan, 0.9, 0.1], [0.9, np.nan, 0.1]])).tolist() == [NOT_CONFIDENT] * 2
    for bad in (-0.1, float("nan")):
        with pytest.raises(PropertyError, match="at least 0"):
            labelling(np.array([[0.5, 0.5]]), bad)


@pytest.mark.parametrize(
    ("label", "human", "expected"),
    [
        (-1, -1, RiskClass.NO_ERROR),
        (-1, 4, RiskClass.UNCERTAINTY),
        (-1, 7, RiskClass.UNCERTAINTY),
        (4, -1, RiskClass.ADVERSARIAL),
        (4, 4, RiskClass.NO_ERROR),
        (4, 7, RiskClass.INVARIANT),
        (7, -1, RiskClass.ADVERSARIAL),
        (7, 4, RiskClass.ADVERSARIAL),
        (7, 7, RiskClass.NO_ERROR),
        (8, 7, RiskClass.NO_ERROR),
    ],
)
def test_every_cell_of_table_1(label: int, human: int, expected: RiskClass) -> None:
    assert risk_table(label, 4, human) is expected
    assert risk_table(label, NOT_CONFIDENT, human) is RiskClass.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("asked", "outputs", "violated", "expected"),
    [
        (Robustness(0), SURE_1, True, RiskClass.ADVERSARIAL),
        (Robustness(0), SURE_0, False, RiskClass.NO_ERROR),
        (Robustness(0), np.array([0.4, 0.4, 0.2]), True, RiskClass.UNCERTAINTY),
        (Robustness(0), NEAR_TIE, False, RiskClass.NO_ERROR),
        (Robustness(0, 0.1), NEAR_TIE, True, RiskClass.UNCERTAINTY),
        (Robustness(0, 0.1), SURE_1, True, RiskClass.ADVERSARIAL),
        (ConfidenceGap(0, 1, 0.1), NEAR_TIE, True, RiskClass.NO_ERROR),
        (Uncertainty(0.2), NEAR_TIE, True, RiskClass.UNCERTAINTY),
        (Uncertainty(0.2), SURE_0, False, RiskClass.NO_ERROR),
        (Uncertainty(0.2, (0.1, 0.8, 0.1)), SURE_1, True, RiskClass.ADVERSARIAL),
        (Reachability(1, 0.5, Direction.ABOVE), SURE_1, True, RiskClass.REACHABILITY),
        (Reachability(0, 0.5), SURE_1, True, RiskClass.REACHABILITY),
        (Reachability(0, 0.5), SURE_0, False, RiskClass.NO_ERROR),
    ],
)
def test_points_of_the_ball_are_classified(asked: Property, outputs: np.ndarray, violated: bool, expected: RiskClass) -> None:
    assert risk_class(asked, PROBABILITIES, outputs, 0, violated) is expected  # type: ignore[arg-type]


def test_the_threshold_can_be_given() -> None:
    assert risk_class(Robustness(0), PROBABILITIES, NEAR_TIE, 0, False, threshold=0.05) is RiskClass.UNCERTAINTY  # type: ignore[arg-type]
    assert risk_class(Robustness(0, 0.1), PROBABILITIES, NEAR_TIE, 0, True, threshold=0.0) is RiskClass.NO_ERROR  # type: ignore[arg-type]


def test_what_lies_outside_the_table() -> None:
    asked = Robustness(0)
    for center, true in ((None, None), (NOT_CONFIDENT, None), (0, 2)):
        assert risk_class(asked, PROBABILITIES, SURE_1, center, True, true_label=true) is RiskClass.NOT_APPLICABLE  # type: ignore[arg-type]
    assert risk_class(asked, PROBABILITIES, SURE_1, 0, True, true_label=0) is RiskClass.ADVERSARIAL  # type: ignore[arg-type]
    assert risk_class(asked, PROBABILITIES, SURE_1 * np.nan, 0, True) is RiskClass.NOT_APPLICABLE  # type: ignore[arg-type]
    assert risk_class(asked, VALUES, SURE_1, None, True) is RiskClass.NOT_APPLICABLE  # type: ignore[arg-type]
    assert risk_class(Reachability(0, 0.5), VALUES, SURE_1, None, True) is RiskClass.REACHABILITY  # type: ignore[arg-type]
