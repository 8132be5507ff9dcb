"""What a certificate claims: for all inputs of some regions, one linear form of the outputs in each of some groups is positive.

Or how fast the least of the groups, each of them as great as its greatest form, changes from an input on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.slope_claims import Slopes
from netassay.errors import PropertyError

SHOWN = 6
"""Numbers, rows or parts that are spelled out."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """At least one of the rows ``<row, y> + constant`` is positive, y being the outputs, or the scores that the statement names.

    Args:
        rows: (r, m), r >= 1.
        constants: (r,).
    """

    rows: Floats
    constants: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All parts hold on the whole region; with slopes nothing of the sort, but that s changes no faster there.

    Args:
        region: The region.
        parts: What holds, or of what s is made: the least part, each being its greatest row.
        slopes: What is claimed of s.
    """

    region: Region
    parts: tuple[Part, ...]
    slopes: Slopes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """All cases hold, for the network in real arithmetic or as float32 evaluates it.

    Args:
        network_sha256: Identity of the network's operator graph, weights included.
        inputs, outputs: Numbers that it takes and gives.
        cases: What is claimed.
        strict: Whether "positive" means above 0; else at least 0.
        float32: Whether the outputs are those of any float32 evaluation at float32 inputs; else those of real arithmetic.
        scores: What the rows are about; None for the outputs.
    Raises:
        PropertyError: If rows do not fit the outputs, regions do not fit the inputs, or a number is not finite.
    """

    network_sha256: str
    inputs: int
    outputs: int
    cases: tuple[Case, ...]
    strict: bool
    float32: bool = False
    scores: Scores | None = None

    def __post_init__(self) -> None:
        width = self.outputs if self.scores is None else self.scores.labels(self.outputs)
        for case in self.cases:
            if case.region.lower.shape != (self.inputs,):
                raise PropertyError(f"a region of {case.region.lower.size} inputs does not fit a network of {self.inputs}")
            given = case.slopes
            if given is not None and (self.float32 or not case.parts or given.center.shape != (self.inputs,)):
                raise PropertyError("a claim about slopes is about linear forms in real arithmetic, at an input that fits")
            for part in case.parts:
                r = len(part.constants)
                finite = bool(np.isfinite(part.rows).all() and np.isfinite(part.constants).all())
                if r < 1 or part.rows.shape != (r, width) or not width or not finite:
                    raise PropertyError(f"rows of shape {part.rows.shape} do not fit {self.outputs} outputs, or hold NaN or infinity")

    @property
    def sha256(self) -> str:
        """Hash of everything that is claimed."""
        digest = hashlib.sha256(repr(("netassay-claim-1", self.network_sha256, self.inputs, self.outputs, self.strict)).encode())
        if self.float32:
            digest.update(b"float32")
        if self.scores is not None:
            digest.update(self.scores.text.encode())
        for case in self.cases:
            ball = case.region.ball
            told = () if case.slopes is None else ("slopes", case.slopes.norm, [len(x) for x in case.slopes.arrays])
            digest.update(repr(("case", len(case.parts), None if ball is None else ball.norm, *told)).encode())
            arrays = [case.region.lower, case.region.upper]
            if ball is not None:
                arrays += [ball.center, ball.scale, np.array([ball.radius])]
            for part in case.parts:
                arrays += [np.array([len(part.constants)]), part.rows, part.constants]
            if case.slopes is not None:
                arrays += case.slopes.arrays
            for array in arrays:
                digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()

    def symbols(self) -> list[str]:
        """The claim in symbols, one line for each case; what is long is cut short."""
        sign = ">" if self.strict else ">="
        symbol = "y" if self.scores is None else self.scores.symbol
        lines = [] if self.scores is None else [f"with {symbol} = {self.scores.text} of the outputs y"]
        for i, case in enumerate(self.cases[:SHOWN]):
            if case.slopes is not None:
                lines.append(f"case {i}: {_least(case, symbol)}; for all x with {_region(case.region)}: {_from_center(case.slopes)}")
                continue
            parts = [" or ".join(f"{_form(r, c, symbol)} {sign} 0" for r, c in _rows(part)) for part in case.parts[:SHOWN]]
            more = "" if len(case.parts) <= SHOWN else f" and {len(case.parts) - SHOWN} more like these"
            lines.append(f"case {i}: for all x with {_region(case.region)}: " + " and ".join(f"({p})" for p in parts) + more)
        return lines + ([f"and {len(self.cases) - SHOWN} more cases"] if len(self.cases) > SHOWN else [])


def _least(case: Case, symbol: str) -> str:
    """s in symbols."""
    parts = [[_form(row, c, symbol) for row, c in _rows(part)] for part in case.parts[:SHOWN]]
    least = ", ".join(part[0] if len(part) == 1 else f"max({', '.join(part)})" for part in parts)
    more = "" if len(case.parts) <= SHOWN else f", and {len(case.parts) - SHOWN} more like these"
    return f"with s = min({least}{more})"


def _from_center(slopes: Slopes) -> str:
    return slopes.symbols(_identity(slopes.center))


def _rows(part: Part) -> list[tuple[Floats, float]]:
    return [(row, float(c)) for row, c in list(zip(part.rows, part.constants, strict=True))[:SHOWN]]


def _form(row: Floats, constant: float, symbol: str) -> str:
    terms = [f"{_factor(float(row[j]))}{symbol}[{j}]" for j in np.flatnonzero(row)[:SHOWN]]
    more = " + ..." if (row != 0).sum() > SHOWN else ""
    shift = "" if constant == 0 and terms else f" {'-' if constant < 0 else '+'} {abs(constant)!r}"
    text = " ".join(terms) + more + shift
    return text.strip().removeprefix("+").strip()


def _factor(value: float) -> str:
    sign = "-" if value < 0 else "+"
    return f"{sign} " if abs(value) == 1 else f"{sign} {abs(value)!r} "


def _region(region: Region) -> str:
    sides = list(zip(region.lower.tolist(), region.upper.tolist(), strict=True))
    box = ", ".join(f"{low!r} <= x[{i}] <= {high!r}" for i, (low, high) in enumerate(sides[:SHOWN]))
    if len(sides) > SHOWN:
        width = region.upper - region.lower
        least, most = float(width.min()), float(width.max())
        box += f", ... (a box of {len(sides)} inputs, identity {_identity(region.lower, region.upper)}, sides {least!r} to {most!r})"
    if region.ball is None:
        return box
    ball = region.ball
    if ball.norm == 0:
        of = len(np.unique(ball.scale))
        pixels = f"{of} inputs" if of == len(ball.scale) else f"{of} groups of inputs"
        return f"at most {int(ball.radius)} of {pixels} other than in the input {_identity(ball.center)}, and {box}"
    scaled = "" if (ball.scale == 1).all() else f" in units of {float(ball.scale.min())!r} to {float(ball.scale.max())!r}"
    return f"L{ball.norm} distance{scaled} at most {ball.radius!r} from the input {_identity(ball.center)}, and {box}"


def _identity(*arrays: Floats) -> str:
    """The beginning of a hash of numbers."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays)).hexdigest()[:16]
