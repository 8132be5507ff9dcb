"""Running a question from the command line: budget, method and progress from options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netassay.cli import parsing
from netassay.cli.options import OutputOptions, SearchOptions
from netassay.cli.progress import progress
from netassay.cli.starts import read_starts
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.assessment.stopping import Target
    from netassay.numerics.budget import Budget
    from netassay.results.answer import Answer, Question
    from netassay.specs.problem import Problem

DEFAULT_QUERIES = 10_000


def budget(options: SearchOptions) -> Budget:
    """Queries and seconds as given; 10,000 queries per input where neither is."""
    from netassay.numerics.budget import Budget

    queries = options.queries
    if queries is None and options.seconds is None:
        queries = DEFAULT_QUERIES
    return Budget(queries=queries, seconds=options.seconds, memory=parsing.memory(options.memory))


def checked(options: SearchOptions, output: OutputOptions) -> None:
    """Refuses an unknown method, a bad budget or seed, and folders that cannot be made, before anything is loaded."""
    from netassay.falsifiers.registry import method_entry

    method_entry(options.method)
    prover(options)
    budget(options)
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"--seed must be from 0 to 2^63 - 1; got {options.seed}")
    for option, name in (("--out", output.out), ("--report", output.report)):
        if name is not None:
            folder(option, name)


def prover(options: SearchOptions) -> str | None:
    """The verifier for the proved sides; None for none."""
    from netassay.verifiers.registry import verifier_entry

    return None if options.prover == "none" else verifier_entry(options.prover).name


def folder(option: str, name: str) -> Path:
    """The folder of that name, made if it is missing."""
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {name}: the folder cannot be made ({error.strerror}); name another") from error
    return path


def search(
    question: Question,
    problems: Sequence[Problem],
    options: SearchOptions,
    output: OutputOptions,
    notes: list[str],
    *,
    tolerance: float | None = None,
    target: Target | None = None,
) -> list[Answer]:
    """Asks, with live progress unless it is not wanted; what is to be said of ``--start`` is added to ``notes``."""
    from netassay.assessment.ask import ask

    shape = problems[0].network.input_shape if problems else ()
    known = read_starts(options.start, [p.index for p in problems], [p.center for p in problems], shape, notes)
    with progress(quiet=output.quiet or output.json) as callback:
        return ask(
            question,
            problems,
            method=options.method,
            budget=budget(options),
            seed=options.seed,
            progress=callback,
            tolerance=tolerance,
            starts=[known.get(p.index) for p in problems],
            target=target,
            prover=prover(options),
        )
