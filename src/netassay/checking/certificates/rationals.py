"""Arrays of rational numbers multiplied as whole ones over a common denominator, which takes a small part of the time of fractions."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LONGEST = 1 << 14
"""Bits of a common denominator, at most."""


def product(one: Array, other: Array) -> Array:
    """``one @ other``, exactly; infinite numbers stay."""
    left, right = whole(one), whole(other)
    if left is None or right is None:
        return np.asarray(one @ other, dtype=object)
    return quotients(left[0] @ right[0], left[1] * right[1])


def whole(values: Array) -> tuple[Array, int] | None:
    """Whole numbers and what they are to be divided by; None where there is an infinite number, or that would be too long."""
    if not are_rational(values).all():
        return None
    divisor = 1
    for each in set(_DENOMINATOR(values).reshape(-1).tolist()):
        divisor = lcm(divisor, each)
        if divisor.bit_length() > LONGEST:
            return None
    return np.asarray(np.frompyfunc(lambda x: int(x.numerator) * (divisor // int(x.denominator)), 1, 1)(values), dtype=object), divisor


def quotients(numbers: Array, divisor: int) -> Array:
    """Whole numbers, divided."""
    return np.asarray(np.frompyfunc(lambda n: Fraction(n, divisor), 1, 1)(numbers), dtype=object)


def are_rational(values: Array) -> NDArray[np.bool_]:
    """Which numbers are fractions or whole; floats have crept in."""
    return np.asarray(_RATIONAL(values), dtype=np.bool_)


def _is_rational(number: Any) -> bool:
    return type(number) is Fraction or isinstance(number, Fraction | int)


_DENOMINATOR = np.frompyfunc(lambda x: int(x.denominator), 1, 1)
_RATIONAL = np.frompyfunc(_is_rational, 1, 1)
