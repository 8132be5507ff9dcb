"""What a certificate may claim of slopes (DeepQuant, Definition 6): how fast a minimum of maxima changes from one point on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netassay.errors import PropertyError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """``s(x0) - s(x) <= falling d(x)`` and ``s(x) - s(x0) <= rising d(x)``, with ``d(x) = ||(x - x0) / scale||``, and ``s(x0) >= least``.

    By DeepQuant's Theorem 1, s is then at least 0 where ``falling d(x) <= least``.

    Args:
        norm: 1 or 2; None for L-infinity.
        center: (n,) x0.
        scale: (n,) units of the distance, positive.
        falling: Not negative.
        rising: Not negative; None where nothing is claimed.
        least: None where nothing is claimed.
    Raises:
        PropertyError: If a number is none of these.
    """

    norm: int | None
    center: Floats
    scale: Floats
    falling: float
    rising: float | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        finite = all(np.isfinite(given).all() for given in self.arrays)
        if self.norm not in (None, 1, 2) or self.center.ndim != 1 or self.scale.shape != self.center.shape or not finite:
            raise PropertyError("a claim about slopes needs the norm 1, 2 or none, a flat centre, as many units, and finite numbers")
        if not (self.scale > 0).all() or not self.falling >= 0 or (self.rising is not None and not self.rising >= 0):
            raise PropertyError("a claim about slopes needs positive units, and bounds that are not negative")

    @property
    def arrays(self) -> tuple[Floats, ...]:
        """All its numbers; those that are not claimed are empty."""
        numbers = (self.falling, self.rising, self.least)
        return self.center, self.scale, *(np.array([] if x is None else [x], dtype=np.float64) for x in numbers)

    def radius(self, within: float | Fraction) -> Fraction | None:
        """The radius of Theorem 1, at most ``within``, exactly; None where s(x0) may be negative, or nothing is claimed of it."""
        if self.least is None or self.least < 0:
            return None
        reach = Fraction(within)
        return reach if self.falling == 0 else min(reach, Fraction(self.least) / Fraction(self.falling))

    def symbols(self, point: str) -> str:
        """The claim about s and the distance from the input that is named."""
        claims = [f"s(x0) - s(x) <= {self.falling!r} d(x)"]
        claims += [] if self.rising is None else [f"s(x) - s(x0) <= {self.rising!r} d(x)"]
        claims += [] if self.least is None else [f"s(x0) >= {self.least!r}"]
        distance = f"{'L-infinity' if self.norm is None else f'L{self.norm}'} distance from the input x0 = {point}"
        if not (self.scale == 1).all():
            distance += f" in units of {float(self.scale.min())!r} to {float(self.scale.max())!r}"
        return f"{' and '.join(claims)}, d(x) being the {distance}"
