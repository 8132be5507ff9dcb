"""Numbers as reports print them: three significant digits, rounded so that the printed claim is still true.

An upper bound is rounded up, a lower bound down, from the exact binary value. Settings that a user chose are
printed as given, and values that bound nothing are rounded to nearest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum

DIGITS = 3
_PLAIN = range(-4, 6)
"""Powers of ten printed without an exponent."""


class Rounding(StrEnum):
    """Where rounding may move a printed number."""

    UP = ROUND_CEILING
    DOWN = ROUND_FLOOR
    NEAREST = ROUND_HALF_EVEN


def figure(value: float, rounding: Rounding = Rounding.NEAREST, digits: int = DIGITS) -> str:
    """``value`` with ``digits`` significant digits: ``figure(0.03041, UP)`` is ``0.0305``.

    Infinities are ``inf`` and ``-inf``; NaN raises ValueError.
    """
    if math.isnan(value):
        raise ValueError("NaN cannot be printed as a figure")
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    return _written(_rounded(Decimal(value), rounding, digits), digits)


def _rounded(exact: Decimal, rounding: Rounding, digits: int) -> Decimal:
    return Context(prec=digits, rounding=rounding.value).create_decimal(exact)


def _written(rounded: Decimal, digits: int) -> str:
    power = rounded.adjusted()
    if power not in _PLAIN:
        mantissa = f"{rounded.scaleb(-power):.{digits - 1}f}"
        return f"{mantissa}e{power:+d}".replace("e+", "e")
    return f"{rounded:.{max(0, digits - 1 - power)}f}"


def upper(value: float) -> str:
    """An upper bound, rounded up."""
    return figure(value, Rounding.UP)


def lower(value: float) -> str:
    """A lower bound, rounded down."""
    return figure(value, Rounding.DOWN)


def estimate(value: float, rounding: Rounding = Rounding.UP) -> str:
    """A number that bounds nothing for certain: rounded from its shortest decimal form, so that 0.1 is ``0.100``."""
    if value == 0 or not math.isfinite(value):
        return figure(value)
    return _written(_rounded(Decimal(repr(float(value))), rounding, DIGITS), DIGITS)


def setting(value: float) -> str:
    """A number that the user chose, as short as it can be written exactly."""
    if math.isfinite(value) and value == int(value):
        return f"{value:.0f}" if abs(value) < 1e6 else f"{value:g}"
    return repr(float(value))


def count(value: float) -> str:
    """A whole number with thousands separated by narrow spaces: ``12 345``."""
    return f"{int(value):,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Seconds or minutes, readable: ``0.42 s``, ``3 min 05 s``."""
    if seconds < 60:
        return f"{figure(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def percent(part: int, whole: int) -> str:
    """A share in per cent, rounded to nearest; never rounded to 0 % or 100 % unless it is exactly that."""
    if whole == 0:
        return "none"
    share = 100 * part / whole
    if 0 < part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.0f} %" if share == round(share) else f"{share:.1f} %"


def share(value: float, *, up: bool) -> str:
    """A share in [0, 1] as per cent with one decimal, rounded up or down."""
    exact = (Decimal(value) * 100).quantize(Decimal("0.1"), rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return f"{exact.normalize():f} %" if exact == exact.to_integral_value() else f"{exact} %"


def aligned(cells: Sequence[str]) -> list[str]:
    """The cells padded on the right with figure spaces, so that decimal points line up in a right-aligned column."""
    tails = [len(_tail(cell)) for cell in cells]
    widest = max(tails, default=0)
    return [cell + _padding(tail, widest) for cell, tail in zip(cells, tails, strict=True)]


def _tail(cell: str) -> str:
    numeric = cell and cell[-1].isdigit() and "e" not in cell
    return cell[cell.rindex(".") :] if numeric and "." in cell else ""


def _padding(tail: int, widest: int) -> str:
    point = "\u2008" if tail == 0 and widest else ""  # punctuation space: as wide as a point
    return point + "\u2007" * (widest - tail - len(point))
