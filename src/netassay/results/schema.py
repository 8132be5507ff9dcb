"""What the JSON documents look like, as pydantic models and as a published JSON Schema.

The documents are closed: a key that is not listed is refused, so a misspelt side cannot pass for an unknown one.
A new key means a new schema number; ``current`` brings documents of an earlier number into today's form.
``validate`` also checks what a JSON Schema cannot say: which end of a bracket may be proved, that sides do not contradict
each other, that a witness bears out its side and a bracket its verdict, that traces only tighten.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from netassay.errors import DataError
from netassay.numerics.norms import Norm
from netassay.results.answer import Outcome, Verdict
from netassay.results.bracket import End
from netassay.results.global_schema import CampaignDocument, CampaignsDocument, ComparisonDocument
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.schema_parts import Closed, Count, IntervalDocument, Number, Sha256, VerdictWord
from netassay.results.witness import RiskClass

WitnessFile = Annotated[str, Field(pattern=r"^witnesses/[0-9a-f]{64}\.npz$")]


def as_float(number: float | str) -> float:
    """The float that a document's number stands for."""
    return float(number)


class SideDocument(Closed):
    """One side of a bracket."""

    value: Number
    guarantee: Guarantee
    source: str
    arithmetic: Arithmetic


class EngineDocument(Closed):
    """What one engine said of a witness: s there, and whether that violates the property."""

    value: Number | None
    violated: bool | None


class WitnessDocument(Closed):
    """A replayed point; ``replayed`` says that it lies inside and that every engine bears it out."""

    file: WitnessFile | None
    sha256: Sha256
    replayed: bool
    inside: bool
    distance: Number | None
    risk: RiskClass
    value: Number
    label: int | None
    marked: str
    engines: dict[str, EngineDocument]


class TracePointDocument(Closed):
    """The sides known after so many queries and seconds."""

    queries: Count
    seconds: Number
    lower: Number | None
    upper: Number | None


class BracketDocument(Closed):
    """A bracket, its witness and its trace; subclasses say which end witnesses move."""

    attained: ClassVar[End]
    lower: SideDocument | None
    upper: SideDocument | None
    witness: WitnessDocument | None
    trace: list[TracePointDocument]

    @model_validator(mode="after")
    def _sides_fit(self) -> Self:
        _check_ends(self.lower, self.upper, self.attained)
        _check_trace(self.trace)
        return self


class FromAbove(BracketDocument):
    """Witnesses lower the upper side; only proofs raise the lower one."""

    attained: ClassVar[End] = End.UPPER


class FromBelow(BracketDocument):
    """Witnesses raise the lower side; only proofs lower the upper one."""

    attained: ClassVar[End] = End.LOWER


class SidesDocument(Closed):
    """Two sides without a witness of their own."""

    lower: SideDocument | None
    upper: SideDocument | None


class RiskDocument(Closed):
    """The property: family, expression, scale, command-line form."""

    name: str
    text: str
    on: str
    spec: str


class RegionDocument(Closed):
    """The region; norm and radius are null for a box."""

    norm: Norm | None
    radius: Number | None
    features: Count
    free_features: Count
    scaled: bool
    granular: bool


class AnswerFields(Closed):
    """What every answer has, whatever the question."""

    schema_: Literal["netassay/answer/2"] = Field(alias="schema")
    index: int | None
    outcome: Outcome
    risk: RiskDocument
    region: RegionDocument
    label: int | None
    true_label: int | None
    center_value: Number
    notes: list[str]
    model: str
    model_sha256: str
    input_sha256: str
    method: str
    options: dict[str, str | int | float | bool | None]
    seed: int
    device: str
    dtype: str
    tool_version: str
    queries: Count
    batched_calls: Count
    seconds: Number
    interrupted: bool


class RadiusDocument(AnswerFields, FromAbove):
    """The maximum safe radius."""

    attained: ClassVar[End] = End.UPPER
    question: Literal["radius"]

    @model_validator(mode="after")
    def _witness_bears_out(self) -> Self:
        if any(side is not None and as_float(side.value) < 0 for side in (self.lower, self.upper)):
            raise ValueError("a radius cannot be negative")
        if self.upper is not None and self.upper.guarantee is Guarantee.ATTAINED:
            _check_distance(as_float(self.upper.value), self.witness, self.region.norm)
        return self


class LipschitzDocument(AnswerFields, FromBelow):
    """Q over the ball and on its falling side, and Theorem 1's radius d'."""

    attained: ClassVar[End] = End.LOWER
    question: Literal["lipschitz"]
    d_prime: SidesDocument
    falling: FromBelow


class ReachDocument(AnswerFields):
    """The range of an expression over a region."""

    question: Literal["reach"]
    minimum: FromAbove
    maximum: FromBelow


class TargetDocument(Closed):
    """One rival label: the bound that decided its place, and what became of it."""

    label: int
    upper: Number | None
    verdict: Verdict
    guarantee: Guarantee | None
    discarded: bool
    seconds: Number


class VerifyDocument(AnswerFields, FromAbove):
    """The verdict on s over the whole region, and the bracket of min s that decides it; ``guarantee`` says how it is known."""

    attained: ClassVar[End] = End.UPPER
    question: Literal["verify"]
    verdict: VerdictWord
    guarantee: Guarantee | None
    reason: str
    targets: list[TargetDocument]

    @model_validator(mode="after")
    def _verdict_is_borne_out(self) -> Self:
        _check_verdict(self.verdict, self.guarantee, self.reason)
        if (self.verdict == "misclassified") != (self.outcome is Outcome.MISCLASSIFIED):
            raise ValueError(f"the verdict {self.verdict} does not fit the outcome {self.outcome}")
        if self.verdict == "holds":
            self._check_holds()
        if self.verdict == "violated" and not _shows_violation(self.witness):
            raise ValueError("a violation needs a replayed witness inside the region that violates the property on every engine")
        return self

    def _check_holds(self) -> None:
        if self.lower is None or self.lower.guarantee is not self.guarantee or as_float(self.lower.value) < 0:
            raise ValueError("a property that holds needs a lower side of at least 0, with the guarantee of the verdict")
        if _shows_violation(self.witness):
            raise ValueError("a property that holds cannot have a witness of its violation")
        if any(target.verdict is not Verdict.HOLDS for target in self.targets):
            raise ValueError("a property that holds must hold for every target")


AnswerDocument = Annotated[RadiusDocument | LipschitzDocument | ReachDocument | VerifyDocument, Field(discriminator="question")]


class SurvivalDocument(Closed):
    """How many inputs are left at one radius."""

    radius: Number
    without_witness: Count
    right_without_witness: Count | None
    proved_safe: Count


class RadiusSummaryDocument(Closed):
    """Figures of the radius; ``treatment`` says how inputs without a witness count."""

    counted: Count
    censored: Count
    proved: Count
    minimum: IntervalDocument
    median: IntervalDocument
    mean: IntervalDocument
    at_radii: list[SurvivalDocument]
    survival: list[SurvivalDocument]
    treatment: str


class SlopeSummaryDocument(Closed):
    """Figures of Q; the upper side of ``smallest_d_prime`` is an estimate."""

    counted: Count
    largest: IntervalDocument
    median: IntervalDocument
    smallest_d_prime: IntervalDocument


class RangeSummaryDocument(Closed):
    """The least and the greatest value over all regions."""

    counted: Count
    minimum: IntervalDocument
    maximum: IntervalDocument


class VerdictCountsDocument(Closed):
    """How many answers ended in each way; ``holds`` counts proofs only."""

    holds: Count
    holds_solver: Count
    violated: Count
    unknown: Count
    misclassified: Count


class VerifySummaryDocument(Closed):
    """The verdicts, why some are unknown, and the least value of s over all regions."""

    counted: Count
    verdicts: VerdictCountsDocument
    reasons: dict[str, Count]
    least: IntervalDocument


class GroupDocument(Closed):
    """One question about one risk in one norm, over all inputs."""

    question: Literal["radius", "lipschitz", "reach", "verify"]
    risk: str
    spec: str
    on: str
    norm: Norm | None
    answers: Count
    outcomes: dict[Outcome, Count]
    witnessed: Count
    confirmed: Count
    marked: Count
    interrupted: Count
    queries: Count
    radius: RadiusSummaryDocument | None
    slope: SlopeSummaryDocument | None
    range: RangeSummaryDocument | None
    verify: VerifySummaryDocument | None


class SummaryDocument(Closed):
    """Counts and figures of all groups; the number of each verdict is null where none was asked for."""

    answers: Count
    groups: list[GroupDocument]
    holds: Count | None
    holds_solver: Count | None
    violated: Count | None
    unknown: Count | None
    misclassified: Count | None


class AssessmentDocument(Closed):
    """Many answers and their summary; the verdict is that of all together, null where none was asked for."""

    schema_: Literal["netassay/assessment/2"] = Field(alias="schema")
    command: str | None
    created: str | None
    verdict: VerdictWord | None
    guarantee: Guarantee | None
    reason: str | None
    results: list[AnswerDocument]
    summary: SummaryDocument

    @model_validator(mode="after")
    def _verdict_is_borne_out(self) -> Self:
        verified = [r for r in self.results if isinstance(r, VerifyDocument)]
        if self.verdict is None:
            if verified or self.guarantee is not None or self.reason is not None:
                raise ValueError("without a verdict there is no guarantee, no reason, and no result with a verdict")
        else:
            _check_verdict(self.verdict, self.guarantee, self.reason or "")
            _check_conclusion(self.verdict, self.guarantee, verified)
        return self


class InstanceDocument(Closed):
    """One row of ``netassay verify --instances``: an instance of a list, and its verdict."""

    schema_: Literal["netassay/instance/1"] = Field(alias="schema")
    model: str
    spec: str
    timeout: Number
    verdict: Literal["holds", "violated", "unknown"]
    guarantee: Guarantee | None
    reason: str
    lower: SideDocument | None
    upper: SideDocument | None
    witness: WitnessDocument | None
    cases: Count
    queries: Count
    seconds: Number
    tool_version: str

    @model_validator(mode="after")
    def _verdict_is_borne_out(self) -> Self:
        _check_ends(self.lower, self.upper, End.UPPER)
        _check_verdict(self.verdict, self.guarantee, self.reason)
        if self.verdict == "violated" and not _shows_violation(self.witness):
            raise ValueError("a violation needs a replayed witness inside the region that violates the property on every engine")
        if self.verdict == "holds" and self.cases and (self.lower is None or self.lower.guarantee is not self.guarantee):
            raise ValueError("a property that holds needs a lower side with the guarantee of the verdict")
        return self


_DOCUMENTS: TypeAdapter[Any] = TypeAdapter(
    AnswerDocument | AssessmentDocument | InstanceDocument | CampaignDocument | CampaignsDocument | ComparisonDocument
)
_KINDS: dict[str, TypeAdapter[Any]] = {
    "netassay/answer/2": TypeAdapter(AnswerDocument),
    "netassay/assessment/2": TypeAdapter(AssessmentDocument),
    "netassay/instance/1": TypeAdapter(InstanceDocument),
    "netassay/campaign/1": TypeAdapter(CampaignDocument),
    "netassay/campaigns/1": TypeAdapter(CampaignsDocument),
    "netassay/comparison/1": TypeAdapter(ComparisonDocument),
}
_EARLIER = {"netassay/answer/1": "netassay/answer/2", "netassay/assessment/1": "netassay/assessment/2"}
_SINCE_2: dict[str, None] = dict.fromkeys(("verdict", "guarantee", "reason"))
_COUNTS_SINCE_2: dict[str, None] = dict.fromkeys(("holds", "holds_solver", "violated", "unknown", "misclassified"))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every document keeps to; ``netassay schema`` prints it."""
    found = _DOCUMENTS.json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "netassay documents", **found}


def validate(content: object, *, name: str = "the document") -> None:
    """Checks a document against its schema and its sides against each other.

    Raises:
        DataError: If it is no valid document; the message names the first places that do not fit.
    """
    came = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(came, str) or came not in {*_KINDS, *_EARLIER}:
        known = ", ".join([*_KINDS, *_EARLIER])
        raise DataError(f"{name} has the schema {came!r}; this version reads {known}: use the version of netassay that wrote it")
    try:
        _KINDS[_EARLIER.get(came, came)].validate_json(json.dumps(current(content), allow_nan=False), strict=True)
    except ValidationError as error:
        raise DataError(f"{name} is no valid {came}: {_first_places(error)}; it was damaged or not written by netassay") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is no valid {came}: {error}; documents hold plain JSON data, and no NaN or infinite number") from error


def current(content: Any) -> Any:
    """A document in today's schema: one of schema 1, which knew no verdicts, gets the keys of schema 2 with nothing in them.

    Anything else is given back as it is. The document is not validated.

    Raises:
        ValueError: If a document of schema 1 has what only schema 2 knows.
    """
    came = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(came, str) or came not in _EARLIER:
        return content
    if content.get("question") == "verify":
        raise ValueError("schema 1 knows no question 'verify'")
    raised = {**content, "schema": _EARLIER[came]}
    if came == "netassay/answer/1":
        return raised
    results, summary = content.get("results"), content.get("summary")
    if isinstance(results, list):
        raised["results"] = [current(result) for result in results]
    if isinstance(summary, dict):
        groups = summary.get("groups")
        told = [_with(group, {"verify": None}) for group in groups] if isinstance(groups, list) else groups
        raised["summary"] = _with({**summary, "groups": told}, _COUNTS_SINCE_2)
    return _with(raised, _SINCE_2)


def _with(content: Any, keys: Mapping[str, None]) -> Any:
    """The object with further keys, none of which it may have."""
    if not isinstance(content, dict):
        return content
    strange = sorted(keys & content.keys())
    if strange:
        raise ValueError(f"schema 1 knows no {', '.join(strange)}")
    return {**content, **keys}


def _first_places(error: ValidationError, most: int = 3) -> str:
    found = [f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors(include_url=False, include_input=False)]
    more = f" (and {len(found) - most} more)" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def _check_ends(lower: SideDocument | None, upper: SideDocument | None, attained: End) -> None:
    for end, side in ((End.LOWER, lower), (End.UPPER, upper)):
        wrong = Guarantee.PROVED if end is attained else Guarantee.ATTAINED
        if side is not None and side.guarantee is wrong:
            raise ValueError(f"the {end} side cannot be {wrong}: that end is {'attained' if end is attained else 'proved'}")
    if lower is not None and upper is not None and as_float(lower.value) > as_float(upper.value):
        strong = {lower.guarantee, upper.guarantee} <= {Guarantee.PROVED, Guarantee.ATTAINED}
        if strong:
            raise ValueError(f"the lower side {lower.value} exceeds the upper side {upper.value}")


def _check_trace(trace: list[TracePointDocument]) -> None:
    for before, after in itertools.pairwise(trace):
        if after.queries < before.queries or as_float(after.seconds) < as_float(before.seconds):
            raise ValueError(f"the trace goes back in work after {before.queries} queries")
        fell = before.lower is not None and (after.lower is None or as_float(after.lower) < as_float(before.lower))
        rose = before.upper is not None and (after.upper is None or as_float(after.upper) > as_float(before.upper))
        if fell or rose:
            raise ValueError(f"the trace loosens after {before.queries} queries; sides only move inwards")


def _check_distance(upper: float, witness: WitnessDocument | None, norm: Norm | None) -> None:
    """An attained radius needs a witness no farther away; for L0, k changes say that k - 1 may be safe."""
    if witness is None or not witness.inside or witness.distance is None:
        raise ValueError("an attained upper side of the radius needs a witness inside the region, with its distance")
    if not any(engine.violated for engine in witness.engines.values()):
        raise ValueError("an attained upper side of the radius needs a witness that violates the property on at least one engine")
    distance = as_float(witness.distance)
    least = max(0.0, distance - 1) if norm is Norm.L0 else distance
    if upper < least:
        raise ValueError(f"the attained radius {upper} is below what its witness at distance {witness.distance} shows")


def _check_verdict(verdict: str, guarantee: Guarantee | None, reason: str) -> None:
    known = {"holds": (Guarantee.PROVED, Guarantee.SOLVER), "violated": (Guarantee.ATTAINED,)}.get(verdict, (None,))
    if guarantee not in known:
        raise ValueError(f"the verdict {verdict} cannot have the guarantee {guarantee}")
    if bool(reason) != (verdict in ("unknown", "misclassified")):
        raise ValueError(f"the verdict {verdict} {'has' if reason else 'lacks'} a reason; it belongs to unknown and misclassified only")


def _check_conclusion(verdict: str, guarantee: Guarantee | None, results: Sequence[VerifyDocument]) -> None:
    """The verdict for all results is no stronger than those of its parts."""
    words = {r.verdict for r in results}
    borne_out = {
        "holds": words <= {"holds", "misclassified"} and words != {"misclassified"},
        "violated": "violated" in words,
        "misclassified": words == {"misclassified"},
        "unknown": "violated" not in words,
    }[verdict]
    weaker = verdict == "holds" and guarantee is Guarantee.PROVED and any(r.guarantee is Guarantee.SOLVER for r in results)
    if weaker or not borne_out:
        raise ValueError(f"the verdict {verdict} for all results is not borne out by those of each")


def _shows_violation(witness: WitnessDocument | None) -> bool:
    if witness is None or not (witness.replayed and witness.inside):
        return False
    said = [engine.violated for engine in witness.engines.values() if engine.violated is not None]
    return bool(said) and all(said)
