"""Figures as single numbers: what demands find under the same names, one side each, and nothing that is not known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from netassay.reports.metrics import metrics
from netassay.results.answer import Answer, RadiusAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.demands import decide, parse_demand
from netassay.results.statistics import figures
from netassay.results.summary import grouped
from reports.campaign_answers import campaign_answers

ANSWERS = campaign_answers(30)


def named(answers: list[Answer]) -> dict[str, float]:
    return metrics([figures(members) for members in grouped(answers)])


FOUND = named(ANSWERS)


def test_demands_find_the_same_numbers_under_the_same_names() -> None:
    assert len(FOUND) > 60
    for name, value in FOUND.items():
        (decision,) = decide(parse_demand(f"{name} >= 0"), ANSWERS)
        assert decision.lower == decision.upper == value, name


@pytest.mark.parametrize("subject", ["radius.l2", "radius.linf", "lipschitz.l2", "lipschitz.linf"])
@pytest.mark.parametrize("figure", ["min", "p05", "median", "mean", "max"])
def test_both_sides_are_there_and_in_order(subject: str, figure: str) -> None:
    proved, attained = (FOUND[f"robustness@logits:{subject}.{figure}.{side}"] for side in ("proved", "attained"))
    low, high = (attained, proved) if subject.startswith("lipschitz") else (proved, attained)
    assert low <= high


def test_ranges_and_estimates() -> None:
    reach = {name for name in FOUND if ":reach." in name}
    assert {name.split(".", 2)[2] for name in reach} <= {"min.proved", "min.attained", "max.proved", "max.attained"}
    assert {"min.attained", "max.attained"} <= {name.split(".", 2)[2] for name in reach}
    assert not any("d_prime" in name and "proved" not in name for name in FOUND)
    assert all(math.isfinite(value) for value in FOUND.values())


def test_what_is_not_known_has_no_number() -> None:
    radii = [a for a in ANSWERS if isinstance(a, RadiusAnswer)]
    unproved = named([replace(a, bracket=Bracket(End.UPPER, None, a.bracket.upper)) for a in radii])
    assert unproved
    assert not any(name.endswith(".proved") for name in unproved)
    assert {value for name, value in unproved.items() if ".certified@" in name} == {0.0}
    unseen = named([replace(a, witness=None, bracket=Bracket(End.UPPER, a.bracket.lower, None)) for a in radii])
    assert unseen
    assert not any(name.endswith(".attained") for name in unseen)


def test_balls_of_two_sizes_keep_apart() -> None:
    verdicts = [a for a in ANSWERS if a.question == "verify"]
    larger = [replace(a, region=replace(a.region, radius=0.5)) for a in verdicts]
    alone, both = named(verdicts), named([*verdicts, *larger])
    assert len(both) == 2 * len(alone)
    for name, value in alone.items():
        assert both[f"{name}.group1"] == both[f"{name}.group2"] == value
        assert name not in both
