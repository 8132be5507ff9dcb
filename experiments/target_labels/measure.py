"""One image: verified at once, label by label, and by target labels; what came out, as one line of a file that a later run goes on from."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.verifiers.base import Finding, Limits, Task, Verifier
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.target_labels import TargetLabels
from target_labels import benchmark

WAYS = ("plain", "each", "targeted")
"""Fields of a line that hold a verification."""


@dataclass(frozen=True, slots=True)
class Run:
    """One verification.

    Args:
        verdict: holds, violated (by a counterexample that was evaluated), or unknown.
        guarantee: Of holds: proved, or solver.
        reason: Of unknown.
        seconds: In all, ranking included.
    """

    verdict: str
    guarantee: str
    reason: str
    seconds: float

    def ended(self, limit: float | None) -> bool:
        """Whether more seconds than this limit would have changed nothing: it decided, or gave up for another reason and in time."""
        return self.verdict != "unknown" or (self.reason != "time-out" and (limit is None or self.seconds < limit))


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured of one image.

    Args:
        network, method, eps, image: What was asked.
        limit: Seconds that each verification was given; None for no limit.
        plain: All rivals at once, in whatever way the verifier has for that. None where it was not asked for, as below.
        each: One rival after the other, in the order of their numbers, until a counterexample is found.
        targeted: By target labels.
        sorting: Seconds that the ranking took, part of ``targeted.seconds``.
        discarded: Rivals that the ranking proved impossible, of nine.
        asked: Rivals that the verifier was asked about.
    """

    network: str
    method: str
    eps: int
    image: int
    limit: float | None
    plain: Run | None
    each: Run | None
    targeted: Run | None
    sorting: float = 0.0
    discarded: int = 0
    asked: int = 0

    @property
    def key(self) -> tuple[str, str, int, int, float | None]:
        """What must agree for a line to stand for a measurement."""
        return self.network, self.method, self.eps, self.image, self.limit

    def has(self, ways: Collection[str]) -> bool:
        """Whether it was verified in all these ways."""
        return all(getattr(self, way) is not None for way in ways)

    @property
    def ways(self) -> int:
        """In how many ways it was verified."""
        return sum(self.has([way]) for way in WAYS)

    @property
    def ended(self) -> bool:
        """Whether every verification that it has ended before its limit, so that it stands for longer ones, too."""
        runs: list[Run | None] = [getattr(self, way) for way in WAYS]
        return all(run.ended(self.limit) for run in runs if run is not None)


@dataclass(frozen=True, slots=True)
class Each:
    """Proposition 1 alone: every part of the claim by itself, neither ranked nor discarded."""

    verifier: Verifier

    def verify(self, task: Task) -> Iterator[Finding]:
        """The findings of all parts, and one that sums them up."""
        proved, lasts = True, []
        for i in range(len(task.claim.parts)):
            last = Finding(-float("inf"), reason="time-out")
            for last in self.verifier.verify(replace(task, claim=task.claim.only([i]))):
                yield replace(last, proved=False)
            if last.point is not None:
                return
            proved = proved and last.proved
            lasts.append(last)
        weakest = min(lasts, key=lambda found: (found.guarantee.strength, found.lower))
        reason = next((found.reason for found in lasts if not found.proved), "")
        yield replace(weakest, proved=proved, reason=reason)


def measure(network: str, method: str, eps: int, image: int, limit: float | None, verifier: Verifier, ways: Collection[str] = WAYS) -> Line:
    """Verifies one image in the ways that are asked for, of ``WAYS``."""
    problem = benchmark.problem(network, image, eps)
    plain = _verified(network, problem, verifier, limit)[0] if "plain" in ways else None
    each = _verified(network, problem, Each(verifier), limit)[0] if "each" in ways else None
    if "targeted" not in ways:
        return Line(network, method, eps, image, limit, plain, each, None)
    targeted, sorting, last = _verified(network, problem, TargetLabels(verifier), limit)
    discarded = sum(t.discarded for t in last.targets)
    return Line(network, method, eps, image, limit, plain, each, targeted, sorting, discarded, len(last.targets) - discarded)


def _verified(network: str, problem: Problem, verifier: Verifier, limit: float | None) -> tuple[Run, float, Finding]:
    """The verification, the seconds until its first finding, and its last one."""
    begin = time.perf_counter()
    task = Task(claim_of(problem), Regions.of([problem.region]), Limits(Clock(limit)))
    findings = verifier.verify(task)
    last = next(findings)
    first = time.perf_counter() - begin
    for found in findings:
        last = found
    seconds = time.perf_counter() - begin
    if last.proved:
        return Run("holds", last.guarantee.value, "", seconds), first, last
    if last.point is not None and _breaks(network, problem, last):
        return Run("violated", "", "", seconds), first, last
    return Run("unknown", "", last.reason or "not confirmed", seconds), first, last


def _breaks(network: str, problem: Problem, finding: Finding) -> bool:
    """Whether the point is in the region, and another label is at least as high there in float64."""
    assert finding.point is not None
    inside = problem.ball.project(finding.point[None])
    return bool(problem.property.is_violated(float(problem.property.values(benchmark.outputs(network, inside))[0])))


def lines(file: Path) -> list[Line]:
    """The measurements of a file: of those of one image the one with the most ways, of equal ones the last."""
    found: dict[tuple[str, str, int, int, float | None], Line] = {}
    for line in _written(file):
        before = found.get(line.key)
        if before is None or line.ways >= before.ways:
            found[line.key] = line
    return list(found.values())


def _written(file: Path) -> Iterator[Line]:
    """The lines of a file; a last one that was cut off is left out."""
    if not file.exists():
        return
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            continue
        yield Line(**{**found, **{way: found[way] and Run(**found[way]) for way in WAYS}})


def append(line: Line, file: Path) -> None:
    """Adds a measurement."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = not file.exists() or file.read_bytes()[-1:] in (b"\n", b"")
    with file.open("a", encoding="utf-8") as target:
        target.write(("" if whole else "\n") + json.dumps(asdict(line)) + "\n")
