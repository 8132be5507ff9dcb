"""Answers back from their JSON documents and witness files: what ``codec`` wrote, read without trusting it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError, InconsistentClaimsError
from netassay.numerics.norms import Norm
from netassay.results.answer import (
    Answer,
    LipschitzAnswer,
    Outcome,
    Provenance,
    Question,
    RadiusAnswer,
    ReachAnswer,
    RegionSummary,
    Risk,
    TargetResult,
    Verdict,
    VerifyAnswer,
)
from netassay.results.bracket import Bracket, End, Side
from netassay.results.codec import ANSWER_SCHEMA, Document
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.schema import current, validate
from netassay.results.trace import Trace, TracePoint
from netassay.results.witness import Replay, RiskClass, Witness
from netassay.results.witness_files import StoredWitness

Frames = Sequence[tuple[float, NDArray[np.floating]]]
Read = Callable[[str], StoredWitness]


def decode(content: Document, read: Read, *, center: NDArray[np.float64] | None = None, frames: Frames = ()) -> Answer:
    """The answer that a document of ``codec.document`` tells of.

    Args:
        content: The document, ``netassay/answer/2`` or 1; it is validated.
        read: Gives the arrays of a witness file by the name that the document has for it.
        center: The input; by default what a witness file says, so that a document without witnesses needs it.
        frames: The snapshots, which no document holds.
    Raises:
        DataError: If the document is not valid or no answer, a witness has no file or another point than the document says, or the
            input is not known.
    """
    validate(content, name="the answer")
    content = current(content)
    if content["schema"] != ANSWER_SCHEMA:
        raise DataError(f"one answer was expected; got a document of schema {content['schema']}, whose 'results' are answers")
    try:
        return _Decoding(content, read, center).answer(frames)
    except InconsistentClaimsError as error:
        raise DataError(f"the answer about input {content['index']} contradicts itself: {error}; it was damaged") from error


class _Decoding:
    """One document on its way back.

    Args:
        content: The valid document.
        read, center: As for ``decode``.
    """

    def __init__(self, content: Document, read: Read, center: NDArray[np.float64] | None) -> None:
        self._content, self._read, self._center = content, read, center

    def answer(self, frames: Frames) -> Answer:
        question = Question(self._content["question"])
        build = {
            Question.RADIUS: self._radius,
            Question.LIPSCHITZ: self._lipschitz,
            Question.REACH: self._reach,
            Question.VERIFY: self._verify,
        }[question]
        quantity = build()
        if self._center is None:
            raise DataError(f"the answer about input {self._content['index']} has no witness, so its input must be given beside it")
        cls = {
            Question.RADIUS: RadiusAnswer,
            Question.LIPSCHITZ: LipschitzAnswer,
            Question.REACH: ReachAnswer,
            Question.VERIFY: VerifyAnswer,
        }[question]
        found: Answer = cls(**self._shared(), **quantity, center=self._center, frames=frames)
        return found

    def _shared(self) -> dict[str, Any]:
        content = self._content
        region, risk = content["region"], content["risk"]
        norm, radius = region["norm"], region["radius"]
        about = {name: region[name] for name in ("features", "free_features", "scaled", "granular")}
        return {
            "outcome": Outcome(content["outcome"]),
            "index": content["index"],
            "risk": Risk(**risk),
            "region": RegionSummary(None if norm is None else Norm.of(norm), None if radius is None else float(radius), **about),
            "center_value": float(content["center_value"]),
            "label": content["label"],
            "true_label": content["true_label"],
            "provenance": _provenance(content),
            "notes": tuple(content["notes"]),
        }

    def _radius(self) -> dict[str, Any]:
        return self._bracketed(self._content, End.UPPER)

    def _lipschitz(self) -> dict[str, Any]:
        falling = self._bracketed(self._content["falling"], End.LOWER)
        d_prime = self._content["d_prime"]
        return {
            **self._bracketed(self._content, End.LOWER),
            "falling": falling["bracket"],
            "falling_witness": falling["witness"],
            "falling_trace": falling["trace"],
            "d_prime_lower": _side(d_prime["lower"]),
            "d_prime_upper": _side(d_prime["upper"]),
        }

    def _reach(self) -> dict[str, Any]:
        low = self._bracketed(self._content["minimum"], End.UPPER)
        high = self._bracketed(self._content["maximum"], End.LOWER)
        return {
            "minimum": low["bracket"],
            "minimum_witness": low["witness"],
            "minimum_trace": low["trace"],
            "maximum": high["bracket"],
            "maximum_witness": high["witness"],
            "maximum_trace": high["trace"],
        }

    def _verify(self) -> dict[str, Any]:
        verdict = self._content["verdict"]
        return {
            **self._bracketed(self._content, End.UPPER),
            "verdict": Verdict.UNKNOWN if verdict == Outcome.MISCLASSIFIED else Verdict(verdict),
            "reason": self._content["reason"],
            "targets": tuple(_target(target) for target in self._content["targets"]),
        }

    def _bracketed(self, part: Document, attained: End) -> dict[str, Any]:
        """Bracket, witness and trace of one quantity."""
        return {
            "bracket": Bracket(attained, _side(part["lower"]), _side(part["upper"])),
            "witness": None if part["witness"] is None else self._witness(part["witness"]),
            "trace": Trace(
                [TracePoint(p["queries"], float(p["seconds"]), _number(p["lower"]), _number(p["upper"])) for p in part["trace"]]
            ),
        }

    def _witness(self, told: Document) -> Witness:
        if told["file"] is None:
            raise DataError(f"the witness {told['sha256']} was not stored with its answer; ask again with its folder, or drop the answer")
        stored = self._read(told["file"])
        if self._center is None:
            self._center = np.asarray(stored.center, dtype=np.float64)
        if stored.center.shape != self._center.shape or not np.array_equal(stored.center, self._center):
            raise DataError(f"{told['file']} belongs to another input than the answer that names it; the store was mixed up")
        witness = Witness(
            point=stored.point,
            outputs=stored.outputs,
            distance=_number(told["distance"]),
            value=float(told["value"]),
            label=told["label"],
            risk=RiskClass(told["risk"]),
            replay=self._replay(told),
            marked=told["marked"],
        )
        if witness.sha256 != told["sha256"]:
            raise DataError(f"{told['file']} holds another point than its answer says (SHA-256 {told['sha256']}); the store was mixed up")
        return witness

    def _replay(self, told: Document) -> Replay:
        engines = told["engines"]
        values = {name: float(e["value"]) for name, e in engines.items() if e["value"] is not None}
        violated = {name: e["violated"] for name, e in engines.items() if e["violated"] is not None}
        shown = told["inside"] and bool(violated) and all(violated.values())
        of_violation = self._content["question"] in (Question.RADIUS, Question.VERIFY) and shown == told["replayed"]
        return Replay(values, told["inside"], violated, None if of_violation else told["replayed"])


def _side(told: Document | None) -> Side | None:
    if told is None:
        return None
    return Side(float(told["value"]), Guarantee(told["guarantee"]), told["source"], Arithmetic(told["arithmetic"]))


def _number(told: float | str | None) -> float | None:
    return None if told is None else float(told)


def _target(told: Document) -> TargetResult:
    return TargetResult(
        label=told["label"],
        upper=_number(told["upper"]),
        verdict=Verdict(told["verdict"]),
        discarded=told["discarded"],
        seconds=float(told["seconds"]),
        guarantee=None if told["guarantee"] is None else Guarantee(told["guarantee"]),
    )


def _provenance(content: Document) -> Provenance:
    told = {name: content[name] for name in Provenance.__slots__}
    return Provenance(**{**told, "options": dict(content["options"]), "seconds": float(content["seconds"])})
