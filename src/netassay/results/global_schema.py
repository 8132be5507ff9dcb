"""The documents about many answers: a campaign's figures, a list of campaigns, a comparison."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.results.guarantee import Guarantee
from netassay.results.schema_parts import Closed, Count, IntervalDocument, Number


class LimitsDocument(Closed):
    """Confidence limits of a figure of the population; STATISTICAL."""

    lower: Number | None
    upper: Number | None
    level: Number
    method: Literal["clopper-pearson", "order-statistics", "bootstrap"]


class PercentileDocument(Closed):
    """The value that ``share`` per cent of the inputs do not exceed."""

    share: Count
    value: IntervalDocument


class DistributionDocument(Closed):
    """One quantity over the inputs that count."""

    quantity: str
    counted: Count
    lower_known: Count
    upper_known: Count
    lower_guarantee: Guarantee
    upper_guarantee: Guarantee
    least: IntervalDocument
    percentiles: list[PercentileDocument]
    mean: IntervalDocument
    greatest: IntervalDocument
    population_median: LimitsDocument
    population_mean: LimitsDocument


class AccuracyDocument(Closed):
    """How many of ``total`` inputs are right and safe: at least ``certified``, at most ``attacked``."""

    radius: Number | None
    certified: Count
    attacked: Count
    total: Count
    labelled: bool
    population: LimitsDocument

    @model_validator(mode="after")
    def _is_a_bracket(self) -> Self:
        if not self.certified <= self.attacked <= self.total:
            raise ValueError(f"{self.certified} certified, {self.attacked} attacked of {self.total} is no bracket of a count")
        return self


class ClassDocument(Closed):
    """The inputs of one class."""

    label: int | None
    inputs: Count
    misclassified: Count
    violated: Count
    proved: Count
    median: IntervalDocument
    mean: IntervalDocument


class GroupFiguresDocument(Closed):
    """All figures of one question about one risk in one norm."""

    question: Question
    risk: str
    spec: str
    on: str
    norm: Norm | None
    radius: Number | None
    answers: Count
    misclassified: Count
    distributions: list[DistributionDocument]
    accuracies: list[AccuracyDocument]
    classes: list[ClassDocument]
    worst: list[int]


class CampaignFacts(Closed):
    """One campaign, and how far it has come."""

    id: Count
    title: str
    command: str
    created: str
    model: str
    model_sha256: str
    data: str
    tool_version: str
    asked: Count
    finished: Count
    left_out: Count
    failed: Count


class DecisionDocument(Closed):
    """A demand and what became of it; ``lower`` and ``upper`` are what is known of its figure."""

    demand: str
    risk: str
    lower: Number
    upper: Number
    finding: Literal["met", "missed", "undecided"]
    reason: str


class CampaignDocument(Closed):
    """A campaign's figures; ``results`` holds one column per fact, with one entry per answer in each."""

    schema_: Literal["netassay/campaign/1"] = Field(alias="schema")
    tool_version: str
    created: str
    campaign: CampaignFacts
    treatment: str
    groups: list[GroupFiguresDocument]
    demands: list[DecisionDocument]
    results: dict[str, list[str | bool | int | Number | None]]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> Self:
        lengths = {len(column) for column in self.results.values()}
        if len(lengths) > 1:
            raise ValueError(f"the columns of the results have lengths {sorted(lengths)[:5]}; each has one entry per answer")
        return self


class RankDocument(Closed):
    """One model in a ranking: its global robustness, and how many models are surely better and surely worse."""

    model: str
    model_sha256: str
    campaign: Count
    inputs: Count
    mean: IntervalDocument
    surely_better: Count
    surely_worse: Count


class RankingDocument(Closed):
    """The models that were asked one question about the same inputs, best first."""

    question: Question
    spec: str
    norm: Norm | None
    quantity: str
    models: list[RankDocument]


class CampaignsDocument(Closed):
    """The campaigns of a store, and a ranking where there are several models."""

    schema_: Literal["netassay/campaigns/1"] = Field(alias="schema")
    campaigns: list[CampaignFacts]
    rankings: list[RankingDocument]


class SideChangeDocument(Closed):
    """How one side of a quantity changed from A to B; ``p`` values are None where nothing changed."""

    side: Literal["lower", "upper"]
    guarantee: Guarantee
    known: Count
    larger: Count
    smaller: Count
    equal: Count
    unknown: Count
    sign_p: Number | None
    wilcoxon_pairs: Count
    wilcoxon_p: Number | None
    mean_difference: Number | None
    population: LimitsDocument


class ComparedDocument(Closed):
    """One question about one risk in one norm, for the inputs that A and B share."""

    question: Question
    spec: str
    norm: Norm | None
    radius: Number | None
    quantity: str
    pairs: Count
    only_a: Count
    only_b: Count
    newly_misclassified: list[int]
    no_longer_misclassified: list[int]
    misclassified_in_both: Count
    surely_worse: list[int]
    surely_better: list[int]
    undecided: Count
    sides: list[SideChangeDocument]
    conditions: list[str]


class ComparisonDocument(Closed):
    """Two models or versions on the same inputs."""

    schema_: Literal["netassay/comparison/1"] = Field(alias="schema")
    a: CampaignFacts
    b: CampaignFacts
    groups: list[ComparedDocument]
