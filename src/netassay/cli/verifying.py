"""Asking for verdicts from the command line: options, time limits, one call or one per input."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli import parsing
from netassay.cli.specifications import DEFAULT_TIMEOUT, LEAST_SECONDS
from netassay.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from netassay.cli.progress import Callback
    from netassay.numerics.budget import Budget
    from netassay.results.answer import VerifyAnswer
    from netassay.specs.problem import Problem

ORDERS = ("bounds", "confidence", "none")


@dataclass(frozen=True)
class VerifyOptions:
    """How verdicts are sought, and what they may cost."""

    method: Annotated[str, typer.Option(help="Method of verification; 'netassay methods' lists them.", rich_help_panel="Verification")] = (
        "auto"
    )
    order: Annotated[
        str,
        typer.Option(
            metavar="bounds|confidence|none",
            help="Rival labels one by one, those with the largest bound or output first, or all at once.",
            rich_help_panel="Verification",
        ),
    ] = "none"
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Time limit in seconds for each input or specification (default: 60, or no limit with --queries or --seconds).",
            rich_help_panel="Verification",
            show_default=False,
        ),
    ] = None
    seconds: Annotated[
        float | None, typer.Option(help="Time limit for all inputs together.", rich_help_panel="Verification", show_default=False)
    ] = None
    queries: Annotated[
        int | None,
        typer.Option(help="Network evaluations per input, in search of violations.", rich_help_panel="Verification", show_default=False),
    ] = None
    memory: Annotated[str, typer.Option(help="Memory for a batch, e.g. 512MiB or 2GiB.", rich_help_panel="Verification")] = "2GiB"
    seed: Annotated[int, typer.Option(help="Same seed, same search.", rich_help_panel="Verification")] = 0
    float32: Annotated[
        bool,
        typer.Option(
            "--float32",
            help="HOLDS only if it is true of the float32 network too, its rounding in any order of summation included.",
            rich_help_panel="Verification",
        ),
    ] = False

    def check(self) -> None:
        """Refuses what cannot be meant, before anything is loaded."""
        from netassay.verifiers.registry import verifier_entry

        verifier_entry(self.method)
        if self.order not in ORDERS:
            raise unknown_name("--order", self.order, list(ORDERS))
        for name, value in (("--timeout", self.timeout), ("--seconds", self.seconds)):
            if value is not None:
                parsing.positive(value, name)
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed must be from 0 to 2^63 - 1; got {self.seed}")
        self.budget(None)

    @property
    def limit(self) -> float | None:
        """Seconds for one question: ``--timeout``, else 60 where nothing else limits it."""
        unlimited = self.timeout is None and self.seconds is None and self.queries is None
        return DEFAULT_TIMEOUT if unlimited else self.timeout

    def given(self, questions: int) -> float | None:
        """Seconds for so many questions together: ``--timeout`` for each, and no more than ``--seconds``."""
        limits = [limit for limit in (None if self.limit is None else self.limit * questions, self.seconds) if limit is not None]
        return min(limits, default=None)

    def budget(self, seconds: float | None) -> Budget:
        """The budget of one call that may take so many seconds."""
        from netassay.numerics.budget import Budget

        unlimited = seconds is None and self.queries is None
        return Budget(queries=self.queries, seconds=DEFAULT_TIMEOUT if unlimited else seconds, memory=parsing.memory(self.memory))


def ask_together(
    problems: Sequence[Problem], options: VerifyOptions, callback: Callback | None, *, started: float | None = None
) -> list[VerifyAnswer]:
    """One call about all problems; its time runs from ``started`` (``time.monotonic``), so that loading counts."""
    from netassay.assessment.verify import verify

    given, spent = options.given(1), 0.0 if started is None else time.monotonic() - started
    seconds = None if given is None else max(LEAST_SECONDS, given - spent)
    how: dict[str, Any] = {
        "method": options.method,
        "seed": options.seed,
        "order": options.order,
        "float32": options.float32,
        "progress": callback,
    }
    return verify(problems, budget=options.budget(seconds), **how)


def ask_each(problems: Sequence[Problem], options: VerifyOptions, callback: Callback | None) -> list[VerifyAnswer]:
    """The verdict of every problem: in calls of their own where each has a time limit, else in one call.

    Ctrl-C ends it; what is finished comes back, so that fewer answers than problems mean an interrupt or no time left.
    """
    if options.limit is None:
        return ask_together(problems, options, callback)
    started = time.monotonic()
    found: list[VerifyAnswer] = []
    for problem in problems:
        left = None if options.seconds is None else options.seconds - (time.monotonic() - started)
        alone = options if left is None else _within(options, max(LEAST_SECONDS, left))
        try:
            found += ask_together([problem], alone, callback)
        except KeyboardInterrupt:
            return found
        if found and found[-1].provenance.interrupted:
            break
    return found


def _within(options: VerifyOptions, seconds: float) -> VerifyOptions:
    return replace(options, seconds=seconds)
