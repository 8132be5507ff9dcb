"""Certificates of answers: what of an answer is proved, and the file from which an independent checker proves that again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from netassay._version import __version__
from netassay.assessment.rounding import representable_problem
from netassay.checking.certificates.container import Record, read_records, whole_file
from netassay.checking.certificates.records import header_record, statement_records
from netassay.checking.certificates.statement import Statement
from netassay.errors import NetassayError
from netassay.numerics.budget import Clock
from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.guarantee import Arithmetic
from netassay.results.summary import proved_value
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import range_statement, slope_statement, statement_of
from netassay.verifiers.certificates.produce import write_certificate

TOOL = f"netassay {__version__}"

SHARE = 0.2
"""Of the time that answers took, what their certificates may take where they are written by default."""

PATIENCE = 60.0
"""Seconds for all certificates of answers that had no time limit, and took less."""

SLACK = 1e-9
"""By how much the proved ends of a range are widened, relative to their size from 1 on: the checker rounds otherwise than verifiers do."""

_SHOWN = 3


class Certificates(StrEnum):
    """Of which answers certificates are written: of none; of those that take a fifth of the answers' time at most; of all proved ones."""

    NONE = "none"
    CHEAP = "cheap"
    ALL = "all"

    def seconds(self, spent: float, limit: float | None) -> float:
        """The time for the certificates of some answers together.

        Args:
            spent: Seconds that the answers took.
            limit: Seconds that they might take; None for no limit.
        """
        if self is Certificates.CHEAP:
            return SHARE * spent
        if self is Certificates.NONE:
            return 0.0
        return max(PATIENCE, spent) if limit is None else limit


@dataclass(frozen=True, slots=True)
class Slopes:
    """Proved bounds of slopes from the centre of a ball.

    Args:
        falling: Of the falling side.
        steepest: Of both; None where that is not proved.
        radius: What Theorem 1 makes of it; None for nothing.
    """

    falling: float
    steepest: float | None
    radius: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Proved:
    """What is proved of one input.

    Args:
        problem: Network, property and the region in which it holds.
        words: The same in words.
        ends: The range of s, where that is what is proved; None on a side that is not.
        slopes: The slopes of s, where these are what is proved.
        float32: Whether it is proved of the network as float32 evaluates it.
    """

    problem: Problem
    words: str
    ends: tuple[float | None, float | None] | None = None
    slopes: Slopes | None = None
    float32: bool = False

    def statement(self) -> Statement:
        """The same as an independent checker knows it.

        Raises:
            CapabilityError: If it has no form that certificates know.
        """
        if self.slopes is not None:
            return slope_statement(self.problem, self.slopes.falling, self.slopes.steepest, self.slopes.radius)
        found = statement_of([self.problem]) if self.ends is None else range_statement([self.problem], [self.ends])
        return replace(found, float32=self.float32)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, or why there is none.

    Args:
        statement: What it claims; None where there is no certificate.
        words: The same in words.
        content: The file.
        reason: Why there is none; empty where there is one.
        seconds: Spent on it.
    """

    statement: Statement | None
    words: str
    content: bytes
    reason: str
    seconds: float


def proved(problem: Problem, answer: Answer) -> Proved | None:
    """What a certificate of an answer is about; None where nothing is proved, or nothing that certificates know.

    Args:
        problem: The question.
        answer: Its answer.
    """
    if isinstance(answer, VerifyAnswer):
        side = answer.bracket.lower
        if answer.verdict is not Verdict.HOLDS or side is None or proved_value(side) is None:
            return None
        return Proved(representable_problem(problem), _words(problem), float32=side.arithmetic is Arithmetic.FLOAT32)
    if isinstance(answer, RadiusAnswer):
        radius = proved_value(answer.bracket.lower)
        if not radius:
            return None
        rounded = representable_problem(problem)
        return Proved(replace(rounded, region=rounded.ball.with_radius(radius)), _words(problem))
    if isinstance(answer, ReachAnswer):
        low, high = proved_value(answer.minimum.lower), proved_value(answer.maximum.upper)
        if low is None and high is None:
            return None
        ends = (None if low is None else low - _slack(low), None if high is None else high + _slack(high))
        return Proved(representable_problem(problem), f"{_words(problem)} lies in [{ends[0]}, {ends[1]}]", ends)
    return _slopes(problem, answer) if isinstance(answer, LipschitzAnswer) else None


def _slopes(problem: Problem, answer: LipschitzAnswer) -> Proved | None:
    falling, steepest = proved_value(answer.falling.upper), proved_value(answer.bracket.upper)
    if falling is None:
        return None
    words = f"{_words(problem)} falls by at most {falling} times the distance"
    if steepest is not None:
        words += f", and changes by at most {steepest} times the distance"
    slopes = Slopes(falling, steepest, proved_value(answer.d_prime_lower))
    return Proved(representable_problem(problem), words, slopes=slopes)


def _slack(end: float) -> float:
    return SLACK * max(1.0, abs(end))


def _words(problem: Problem) -> str:
    where = "" if problem.index is None else f"input {problem.index}: "
    return f"{where}{problem.property.describe().text}"


def certificates(asked: Sequence[Proved | None], seconds: float) -> list[Certificate | None]:
    """A certificate of each that is proved, None for the others; what one leaves of its share of the seconds, the next ones have."""
    clock, found = Clock(seconds), list[Certificate | None]()
    for i, one in enumerate(asked):
        left = sum(other is not None for other in asked[i:])
        found.append(None if one is None else certificate(one, max(0.0, (seconds - clock.elapsed) / left)))
    return found


def certificate(asked: Proved, seconds: float) -> Certificate:
    """The certificate of what is proved; it is proved once more for that, with the checker's own bounds.

    Args:
        asked: What is proved.
        seconds: For it.
    """
    clock = Clock(seconds)

    def without(reason: str) -> Certificate:
        return Certificate(None, asked.words, b"", reason, clock.elapsed)

    graph = asked.problem.network.graph
    if graph is None:
        return without("the network is a black box")
    if seconds <= 0:
        return without("no time was left for it")
    with tempfile.TemporaryDirectory(prefix="netassay-") as folder:
        path = Path(folder) / "certificate"
        try:
            statement = asked.statement()
            made = write_certificate(
                path,
                graph,
                statement,
                asked.words,
                TOOL,
                regions=[asked.problem.region],
                spelled_out=True,
                over=lambda: clock.expired,
            )
        except NetassayError as error:  # the answer stands without it
            return without(str(error))
        if not made.complete:
            return without(f"it was not found in time ({made.reason})")
        return Certificate(statement, asked.words, path.read_bytes(), "", clock.elapsed)


def joined(found: Sequence[Certificate], path: Path | str) -> int:
    """Writes certificates of one question about one network as one file, a case for each; gives its size in bytes.

    Args:
        found: At least one; all of them have a content.
        path: The file, which appears whole or not at all.
    """
    statements = [one.statement for one in found if one.statement is not None]
    # a proof that something is above 0 proves that it is not below: what is claimed of all is the least of what is proved
    claim = replace(statements[0], cases=tuple(c for s in statements for c in s.cases), strict=all(s.strict for s in statements))
    words = "; ".join(one.words for one in found[:_SHOWN])
    with whole_file(path) as writer, tempfile.TemporaryDirectory(prefix="netassay-") as folder:
        for record in (header_record(claim, words, TOOL, spelled_out=True), *statement_records(claim)):
            writer.write(record)
        source, before = Path(folder) / "one", 0
        for one, statement in zip(found, statements, strict=True):
            source.write_bytes(one.content)
            for record in read_records(source):
                if record.kind not in ("header", "region", "rows", "slopes"):
                    writer.write(_renumbered(record, before))
            before += len(statement.cases)
        writer.finish()
    return Path(path).stat().st_size


def _renumbered(record: Record, before: int) -> Record:
    """The record of a file whose cases come after so many others."""
    if record.kind != "case":
        return record
    return Record({**record.head, "case": record.integer("case") + before}, record.arrays)
