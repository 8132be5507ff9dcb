"""Verdicts as the neural network verification competition asks for them: a word, and the witness of a violation."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netassay.cli.specifications import competition_witness, competition_word, settled, violation
from netassay.cli.verdicts import spelled_out

if TYPE_CHECKING:
    from netassay.results.answer import VerifyAnswer
    from netassay.specs.problem import Problem
    from netassay.specs.vnnlib import Specification


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A specification, how many problems it makes, and what was found out about them."""

    specification: Specification
    asked: int
    answers: list[VerifyAnswer]


def verified(specification: Specification, problems: list[Problem], ask: Callable[[], list[VerifyAnswer]]) -> Verified:
    """The verdicts on a specification's problems, violations that it does not admit withdrawn."""
    return Verified(specification, len(problems), settled(ask(), problems, specification) if problems else [])


def compete(find: Callable[[], Verified], *, witness: str | None, standard: bool, debug: bool = False) -> None:
    """Prints the competition's word; in the standard's form the witness follows. What goes wrong is unknown, told on stderr.

    Args:
        find: Reads the files and verifies.
        witness: Where to write a violation.
        standard: Whether to print the witness too.
        debug: Whether to show the traceback of what went wrong.
    """
    try:
        word, text = _word(find(), witness)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exception(error)
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        word, text = "unknown", ""
    print(word)
    if standard and text:
        print(text.partition("\n")[2], end="")


def _word(found: Verified, target: str | None) -> tuple[str, str]:
    """The competition's word, and the witness as it is written (empty where there is none)."""
    from netassay.results.verdicts import conclude

    conclusion = conclude(found.answers, found.asked)
    word = competition_word(conclusion, found.specification.version)
    if word not in ("sat", "unsat"):
        print(spelled_out(conclusion), file=sys.stderr)
    return word, write_witness(found.answers, found.specification, target)


def write_witness(answers: Sequence[VerifyAnswer], specification: Specification, target: str | None) -> str:
    """The violation in the competition's form, also into the file ``target`` if one is named; empty where there is none."""
    violated = violation(answers)
    if violated is None:
        return ""
    text = competition_witness(violated, specification)
    if target is not None:
        from netassay.results.witness_files import write_atomically

        write_atomically(Path(target), text.encode("ascii"))
    return text
