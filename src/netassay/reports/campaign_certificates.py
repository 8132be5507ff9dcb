"""What a campaign's report says of certificates: how many there are, what checking them found, and the files beside the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from netassay.errors import InputError
from netassay.numerics.norms import Norm
from netassay.reports.figures import count, lower, upper
from netassay.reports.rows import Value
from netassay.reports.tables import Cell, Column, Grid
from netassay.reports.text import side_figure
from netassay.reports.wording import QUESTIONS, norm_name, printable
from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import End
from netassay.results.proofs import is_proved
from netassay.results.summary import proved_value, question_of
from netassay.results.witness_files import write_atomically
from netassay.store.certificates import Check, Kept
from netassay.store.files import digest_of

FOLDER = "certificates"
"""Of the files, beside the report."""
MOST_ROWS = 25
"""Certificates that the page lists."""

Read = Callable[[str], bytes]
"""The content of a file of the store by its name; raises InputError where it is damaged."""


class State(StrEnum):
    """What is known of a certificate, the worst first."""

    REJECTED = "rejected"
    UNCHECKED = "not checked"
    ACCEPTED = "accepted"
    MISSING = "none"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of one proved answer.

    Args:
        state: What is known of it.
        reason: Why it was rejected, or why there is none.
        path: Its file, relative to the report; empty where there is none that is whole.
        size: Bytes.
        check: The check that says so, if one does.
    """

    state: State
    reason: str = ""
    path: str = ""
    size: int = 0
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Certification:
    """What the page says of certificates.

    Args:
        short: For readers in a hurry.
        sentences: The same with what belongs to it.
        limit: What is not shown by them; empty where all proved answers have one that was accepted.
        table: Some of them, the worst first; None where there are none.
        reasons: Why some of these were rejected.
        listed, files: How many the table has, and how many files there are.
    """

    short: str
    sentences: tuple[str, ...]
    limit: str
    table: Grid | None
    reasons: tuple[str, ...]
    listed: int
    files: int


def copied(answers: Sequence[Answer], kept: Sequence[Kept | None], read: Read, target: Path) -> list[Certificate | None]:
    """The certificate of each answer, None where nothing is proved; their files are copied into the report's folder.

    A file gets the hash of its content for a name, whatever the store calls it.

    Args:
        answers: The answers.
        kept: What the store says of the certificate of each; none at all for a store without certificates.
        read: Reads a file of the store.
        target: Folder of the report.
    """
    return _known(answers, kept, read, lambda _, content: _beside(target, content))


def seen(answers: Sequence[Answer], kept: Sequence[Kept | None], read: Read, place: Callable[[str], str]) -> list[Certificate | None]:
    """The same, and no file is copied.

    Args:
        answers, kept, read: As for ``copied``.
        place: Where a file of the store lies, by its name; empty where it is no file of its own.
    """
    return _known(answers, kept, read, lambda name, _: place(name))


def _known(
    answers: Sequence[Answer], kept: Sequence[Kept | None], read: Read, path: Callable[[str, bytes], str]
) -> list[Certificate | None]:
    told = kept or [None] * len(answers)
    return [_certificate(one, read, path) if is_proved(a) or one is not None else None for a, one in zip(answers, told, strict=True)]


def _certificate(kept: Kept | None, read: Read, path: Callable[[str, bytes], str]) -> Certificate:
    if kept is None or kept.file is None:
        return Certificate(State.MISSING, "" if kept is None else kept.reason)
    try:
        content = read(kept.file)
    except InputError as error:
        return Certificate(State.REJECTED, str(error))
    place, check = path(kept.file, content), kept.check
    if check is None:
        return Certificate(State.UNCHECKED, path=place, size=len(content))
    return Certificate(State.ACCEPTED if check.accepted else State.REJECTED, check.reason, place, len(content), check)


def _beside(target: Path, content: bytes) -> str:
    """Puts a certificate beside the report; gives its path from there."""
    path = f"{FOLDER}/{digest_of(content)}.cert"
    place = target / path
    if not place.is_file() or place.read_bytes() != content:
        write_atomically(place, content)
    return path


def columns(found: Sequence[Certificate | None]) -> dict[str, list[Value]]:
    """One entry for each answer: the file of its certificate, what is known of it, and why."""
    return {
        "certificate": [c.path or None if c is not None else None for c in found],
        "certificate_state": [str(c.state) if c is not None else None for c in found],
        "certificate_reason": [c.reason or None if c is not None else None for c in found],
    }


def certification(answers: Sequence[Answer], found: Sequence[Certificate | None]) -> Certification | None:
    """What the page says; None where nothing is proved.

    Args:
        answers: The answers.
        found: As ``copied`` gives them.
    """
    pairs = [(a, c) for a, c in zip(answers, found, strict=True) if c is not None]
    if not pairs:
        return None
    states = Counter(c.state for _, c in pairs)
    files = [(a, c) for a, c in pairs if c.state is not State.MISSING]
    worst = sorted(files, key=lambda pair: list(State).index(pair[1].state))[:MOST_ROWS]
    resting = len(pairs) - states[State.ACCEPTED]
    return Certification(
        short=_short(len(pairs), states),
        sentences=tuple(s for s in (*_counts(len(answers), len(pairs), states), _checkers([c for _, c in files]), _why(pairs)) if s),
        limit=(
            f"{_answers(resting)} proved, but {'has' if resting == 1 else 'have'} no certificate that was checked and accepted: "
            f"{'it rests' if resting == 1 else 'they rest'} on the verifiers alone."
            if resting
            else ""
        ),
        table=_table(worst) if worst else None,
        reasons=tuple(_rejected(a, c) for a, c in worst if c.state is State.REJECTED),
        listed=len(worst),
        files=sum(bool(c.path) for _, c in files),
    )


def counted(answers: Sequence[Answer], found: Sequence[Certificate | None]) -> tuple[str, ...]:
    """How many answers are proved, have a certificate, and were checked; nothing where nothing is proved."""
    pairs = [(a, c) for a, c in zip(answers, found, strict=True) if c is not None]
    states = Counter(c.state for _, c in pairs)
    said = (*_counts(len(answers), len(pairs), states), _checkers([c for _, c in pairs]), _why(pairs)) if pairs else ()
    return tuple(s for s in said if s)


def explained(answers: Sequence[Answer], found: Sequence[Certificate | None]) -> tuple[str, ...]:
    """What belongs to the certificates of a few answers: who checked them, why one was rejected, why there is none."""
    pairs = [(a, c) for a, c in zip(answers, found, strict=True) if c is not None]
    rejected = [f"Rejected: {_rejected(a, c)}" for a, c in pairs if c.state is State.REJECTED]
    return tuple(s for s in (_checkers([c for _, c in pairs]), *rejected, _why(pairs)) if s)


def _short(proved: int, states: Counter[State]) -> str:
    have, rejected = proved - states[State.MISSING], states[State.REJECTED]
    if not have:
        return f"None of {count(proved)} proved answers has a certificate."
    return (
        f"{count(have)} of {count(proved)} proved answers have a certificate; {count(states[State.ACCEPTED])} of these were checked by an "
        f"independent program and accepted{f', and {count(rejected)} were rejected' if rejected else ''}."
    )


def _rejected(answer: Answer, found: Certificate) -> str:
    return printable(f"Input {answer.index}, {_question(answer)}: {found.reason}")


def _answers(number: int) -> str:
    return "1 answer is" if number == 1 else f"{count(number)} answers are"


def _counts(asked: int, proved: int, states: Counter[State]) -> list[str]:
    have = proved - states[State.MISSING]
    if not have:
        return [f"{count(proved)} of {count(asked)} answers are proved; none of them has a certificate."]
    return [
        f"{count(proved)} of {count(asked)} answers are proved; {count(have)} of these have a certificate, from which a program that "
        f"shares no code with the verifiers proves them again. {count(states[State.ACCEPTED])} of {count(have)} certificates were checked "
        "and accepted.",
        f"{count(states[State.REJECTED])} rejected: what these claim is not borne out." if states[State.REJECTED] else "",
        f"{count(states[State.UNCHECKED])} not checked yet: netassay check STORE MODEL.onnx does." if states[State.UNCHECKED] else "",
    ]


def _checkers(found: Sequence[Certificate]) -> str:
    """Who checked, in which numbers, and when last."""
    checks = [c.check for c in found if c.check is not None]
    if not checks:
        return ""
    who = ", ".join(sorted({f"{printable(c.checker)} ({printable(c.arithmetic)})" for c in checks})[:3])
    return f"Checked by {who}, last on {printable(max(c.checked for c in checks)[:10])}, as the store records it."


def _why(pairs: Sequence[tuple[Answer, Certificate]]) -> str:
    """Why proved answers have no certificate, the commonest reason first."""
    reasons = Counter(c.reason for _, c in pairs if c.state is State.MISSING and c.reason).most_common(3)
    return "" if not reasons else f"Why answers have none: {'; '.join(f'{printable(reason)} ({count(n)})' for reason, n in reasons)}."


def _table(found: Sequence[tuple[Answer, Certificate]]) -> Grid:
    return Grid(
        "Certificates, the worst first",
        (
            Column("Input", tuple(Cell("" if a.index is None else str(a.index)) for a, _ in found), numeric=True),
            Column("Check", tuple(Cell(str(c.state)) for _, c in found)),
            Column("File", tuple(Cell(f"{count(c.size)}\u00a0bytes" if c.path else "none", link=c.path) for _, c in found)),
            Column("Leaves", tuple(Cell("" if c.check is None else count(c.check.leaves)) for _, c in found), numeric=True),
            Column("Proved", tuple(Cell(_proved(a)) for a, _ in found)),
            Column("Question", tuple(Cell(_question(a)) for a, _ in found)),
        ),
    )


def _question(answer: Answer) -> str:
    norm = "" if answer.region.norm is None else f", {norm_name(answer.region.norm)}"
    return printable(f"{QUESTIONS[question_of(answer)]}, {answer.risk.spec or answer.risk.text}{norm}")


def _proved(answer: Answer) -> str:
    if isinstance(answer, RadiusAnswer) and answer.bracket.lower is not None:
        return f"\u2265 {side_figure(answer.bracket.lower, End.LOWER, whole=answer.region.norm is Norm.L0)}"
    if isinstance(answer, LipschitzAnswer):
        steepest, falling = proved_value(answer.bracket.upper), proved_value(answer.falling.upper)
        return f"\u2264 {upper(steepest)}" if steepest is not None else f"falling \u2264 {upper(falling)}" if falling is not None else ""
    if isinstance(answer, ReachAnswer):
        ends = (answer.minimum.lower, answer.maximum.upper)
        low, high = ("" if end is None else show(end.value) for end, show in zip(ends, (lower, upper), strict=True))
        return f"from {low} to {high}" if low and high else f"\u2265 {low}" if low else f"\u2264 {high}"
    return answer.word if isinstance(answer, VerifyAnswer) else ""
