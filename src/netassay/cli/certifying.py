"""``--certificate FILE``: after a proof, the certificate that ``netassay check`` proves it again from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from netassay._version import __version__
from netassay.errors import CapabilityError, UnsupportedOperatorError, UsageError

if TYPE_CHECKING:
    from netassay.checking.certificates.statement import Statement
    from netassay.results.answer import Answer, VerifyAnswer
    from netassay.specs.problem import Problem
    from netassay.specs.vnnlib import Specification

TOOL = f"netassay {__version__}"

PATIENCE = 60.0
"""Seconds for a certificate where the question had no time limit."""

CertificateOption = Annotated[
    str | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Write what is proved into FILE, for 'netassay check'; it is proved once more for that, in as much time again.",
        show_default=False,
    ),
]


def certify_verdicts(
    path: str, problems: Sequence[Problem], answers: Sequence[VerifyAnswer], specification: Specification | None, seconds: float | None
) -> None:
    """Writes the certificate of what holds: of a specification as a whole, or of the inputs that are proved safe."""
    from netassay.assessment.rounding import representable_problem
    from netassay.results.answer import Verdict
    from netassay.results.guarantee import Guarantee

    held = [
        representable_problem(problem)
        for problem, answer in zip(problems, answers, strict=False)
        if answer.verdict is Verdict.HOLDS and answer.bracket.lower is not None and answer.bracket.lower.guarantee is Guarantee.PROVED
    ]
    if not held or (specification is not None and len(held) < len(problems)):
        _say(path, "nothing is proved that it could be about" if not held else "not every case of the specification is proved")
        return
    if specification is None:
        from netassay.verifiers.certificates.claims import statement_of

        _write(path, held, lambda: statement_of(held), "; ".join(_words(p) for p in held[:3]), seconds, spelled_out=True)
        return
    from netassay.checking.certificates.specification import of_specification

    graph = held[0].network.graph
    if graph is not None:
        words = f"the network satisfies the specification {held[0].asked}"
        _write(path, held, lambda: of_specification(graph, specification), words, seconds, spelled_out=False)


def certify_radii(path: str, problems: Sequence[Problem], answers: Sequence[Answer], seconds: float | None) -> None:
    """Writes the certificate of the proved lower sides of radii: the property holds in the balls of that radius."""
    from dataclasses import replace

    from netassay.assessment.rounding import representable_problem
    from netassay.results.answer import RadiusAnswer
    from netassay.results.guarantee import Guarantee
    from netassay.verifiers.certificates.claims import statement_of

    held = []
    for problem, answer in zip(problems, answers, strict=False):
        lower = answer.bracket.lower if isinstance(answer, RadiusAnswer) else None
        if lower is not None and lower.guarantee is Guarantee.PROVED and lower.value > 0:
            rounded = representable_problem(problem)
            held.append(replace(rounded, region=rounded.ball.with_radius(lower.value)))
    if not held:
        _say(path, "no radius above 0 is proved")
        return
    _write(path, held, lambda: statement_of(held), "; ".join(_words(p) for p in held[:3]), seconds, spelled_out=True)


def certify_ranges(path: str, problems: Sequence[Problem], answers: Sequence[Answer], seconds: float | None) -> None:
    """Writes the certificate of the proved ends of ranges, a billionth wider, since the checker's rounding differs from the verifiers'."""
    from netassay.assessment.rounding import representable_problem
    from netassay.results.answer import ReachAnswer
    from netassay.results.guarantee import Guarantee
    from netassay.verifiers.certificates.claims import range_statement

    held, ends = [], []
    for problem, answer in zip(problems, answers, strict=False):
        sides = (answer.minimum.lower, answer.maximum.upper) if isinstance(answer, ReachAnswer) else ()
        low, high = [s.value if s is not None and s.guarantee is Guarantee.PROVED else None for s in sides] or (None, None)
        if low is not None or high is not None:
            held.append(representable_problem(problem))
            ends.append((None if low is None else low - _slack(low), None if high is None else high + _slack(high)))
    if not held:
        _say(path, "no end of a range is proved")
        return
    words = "; ".join(f"{p.property.describe().text} lies in [{low}, {high}]" for p, (low, high) in list(zip(held, ends, strict=True))[:3])
    _write(path, held, lambda: range_statement(held, ends), words, seconds, spelled_out=True)


def _slack(end: float) -> float:
    return 1e-9 * max(1.0, abs(end))


def checked_path(path: str | None, model: str, *, float32: bool = False) -> None:
    """Refuses what no certificate can be checked for, before anything is computed: claims about float32 arithmetic are among that."""
    from pathlib import Path

    if path is None:
        return
    if float32:
        raise UsageError(
            "--certificate does not go with --float32: a certificate is about the network in real arithmetic; leave one of them out"
        )
    if not model.lower().endswith(".onnx"):
        raise UsageError(f"--certificate needs a .onnx model, which 'netassay check' can read; got {model!r}")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"--certificate {path}: its folder does not exist; make it first")


def _write(
    path: str, problems: Sequence[Problem], make: Callable[[], Statement], words: str, seconds: float | None, *, spelled_out: bool
) -> None:
    from netassay.numerics.budget import Clock
    from netassay.verifiers.certificates.produce import write_certificate

    clock, graph = Clock(seconds or PATIENCE), problems[0].network.graph
    try:
        statement, regions = make(), [p.region for p in problems]
        if graph is None:
            return
        made = write_certificate(path, graph, statement, words, TOOL, regions=regions, spelled_out=spelled_out, over=lambda: clock.expired)
    except (CapabilityError, UnsupportedOperatorError) as error:
        _say(path, str(error))
        return
    if made.complete:
        print(f"certificate: {path} ({made.size} bytes)", file=sys.stderr)
    else:
        _say(path, f"it was not found in time ({made.reason})")


def _words(problem: Problem) -> str:
    where = "" if problem.index is None else f"input {problem.index}: "
    return f"{where}{problem.property.describe().text}"


def _say(path: str, why: str) -> None:
    print(f"no certificate is written into {path}: {why}", file=sys.stderr)
