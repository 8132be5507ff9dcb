"""What verdicts say to the shell, in words and in exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from netassay.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from netassay.results.answer import Answer
    from netassay.results.verdicts import Conclusion

PROVED = "proved"


def verdict_code(answer: Answer) -> ExitCode:
    """OK for a proof, VIOLATION for a violation or a misclassified input, UNKNOWN for all else; OK for other questions."""
    from netassay.results.answer import VerifyAnswer

    if not isinstance(answer, VerifyAnswer):
        return ExitCode.OK
    return word_code(answer.word, answer.guarantee)


def word_code(word: str, guarantee: str | None) -> ExitCode:
    """The code of a verdict by its word: a solver's word that it holds is not a proof, so the matter remains unknown."""
    if word in ("violated", "misclassified"):
        return ExitCode.VIOLATION
    return ExitCode.OK if word == "holds" and guarantee == PROVED else ExitCode.UNKNOWN


def say_conclusion(answers: Sequence[Answer], asked: int | None) -> None:
    """Prints the verdict for all together, and how many there are of each, where there is more than one to sum up."""
    from netassay.results.answer import VerifyAnswer
    from netassay.results.verdicts import conclude, count_verdicts

    verified = [answer for answer in answers if isinstance(answer, VerifyAnswer)]
    if (verified or asked is not None) and (len(verified) != 1 or asked not in (None, 1)):
        counts = counted(asdict(count_verdicts(verified)))
        print(f"verdict: {spelled_out(conclude(verified, asked))}{f' ({counts})' if counts else ''}")


def counted(counts: dict[str, int]) -> str:
    """``7 holds, 1 holds (solver), 2 unknown``: the verdicts that occur."""
    return ", ".join(f"{number} {'holds (solver)' if word == 'holds_solver' else word}" for word, number in counts.items() if number)


def spelled_out(conclusion: Conclusion) -> str:
    """``holds`` for a proof, ``holds (solver)``, ``violated``, ``unknown: time-out``."""
    if conclusion.word == "holds" and conclusion.guarantee != PROVED:
        return f"{conclusion.word} ({conclusion.guarantee})"
    return f"{conclusion.word}: {conclusion.reason}" if conclusion.word == "unknown" else conclusion.word
