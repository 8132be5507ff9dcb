"""Comparisons of VNN-LIB files in exact arithmetic, and their disjunctive normal form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from netassay.errors import DataError, UnsupportedSpecificationError
from netassay.specs.vnnlib_syntax import Limits

INPUT, OUTPUT = "X", "Y"
Name = tuple[str, int]
"""``(INPUT or OUTPUT, flat index)``."""
LONGEST_NUMBER = 800
MOST_BITS = 20_000
"""Bits of a numerator or denominator; products of a few longest numbers stay below."""


class Rounded(NamedTuple):
    """A real number between its neighbours in float64: ``below <= number <= above``, equal if it is one."""

    below: float
    nearest: float
    above: float


class Bound(NamedTuple):
    """``x[feature] <= number`` if ``upper``, else ``x[feature] >= number``; strict (< or >) if ``strict``.

    The number is held as its nearest float64, and rounded outward: up for an upper bound, else down.
    """

    feature: int
    upper: bool
    outward: float
    nearest: float
    strict: bool


class Row(NamedTuple):
    """``sum of coefficient * y[index] <= offset``; strict (<) if ``strict``."""

    terms: tuple[tuple[int, Fraction], ...]
    offset: Fraction
    strict: bool


Atom = Bound | Row
Conjunction = tuple[Atom, ...]
Disjuncts = list[Conjunction]
"""A disjunctive normal form: [] is false, [()] is true."""


class Linear(NamedTuple):
    """A linear expression; coefficients may be zero."""

    terms: dict[Name, Fraction]
    constant: Fraction


def number(text: str) -> Fraction:
    """A decimal constant, exactly; raises DataError if it is unreasonably long."""
    if len(text) > LONGEST_NUMBER:
        raise DataError(f"the constant {text[:30]}... has more than {LONGEST_NUMBER} characters")
    return Fraction(text)


def rounded(exact: Fraction) -> Rounded:
    """Its neighbours in float64; raises DataError beyond the range of float64."""
    try:
        nearest = exact.numerator / exact.denominator
    except OverflowError:
        nearest = math.inf
    return _neighbours(nearest, (Fraction(nearest) > exact) - (Fraction(nearest) < exact) if math.isfinite(nearest) else 0)


def rounded_text(text: str) -> Rounded:
    """``rounded(number(text))``, faster."""
    if len(text) > LONGEST_NUMBER:
        return rounded(number(text))
    nearest, exact = float(text), Decimal(text)
    return _neighbours(nearest, (exact < nearest) - (exact > nearest))


def _neighbours(nearest: float, side: int) -> Rounded:
    """``side``: 1 if ``nearest`` lies above the number, -1 if below, 0 if it is the number."""
    if side == 0 and abs(nearest) < math.inf:
        return Rounded(nearest, nearest, nearest)
    below, above = (math.nextafter(nearest, -math.inf), nearest) if side > 0 else (nearest, math.nextafter(nearest, math.inf))
    if math.isinf(below) or math.isinf(above):
        raise DataError("a constant is beyond the range of float64; leave out bounds that do not bind")
    return Rounded(below, nearest, above)


def bound(feature: int, upper: bool, at: Rounded, strict: bool) -> Bound:
    """A bound of one input."""
    return Bound(feature, upper, at.above if upper else at.below, at.nearest, strict)


def constant(value: Fraction) -> Linear:
    """A number as an expression."""
    return Linear({}, value)


def variable(name: Name) -> Linear:
    """A variable as an expression."""
    return Linear({name: Fraction(1)}, Fraction(0))


def add(parts: Iterable[Linear]) -> Linear:
    """The sum."""
    terms: dict[Name, Fraction] = {}
    total = Fraction(0)
    for part in parts:
        total += part.constant
        for name, factor in part.terms.items():
            terms[name] = terms.get(name, 0) + factor
    return Linear(terms, total)


def times(linear: Linear, factor: Fraction) -> Linear:
    """``factor * linear``."""
    product = Linear({name: c * factor for name, c in linear.terms.items()}, linear.constant * factor)
    for value in (*product.terms.values(), product.constant):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
            raise DataError("a product of constants is unreasonably long")
    return product


def multiply(parts: Iterable[Linear]) -> Linear:
    """The product; raises UnsupportedSpecificationError if two factors hold variables."""
    product = constant(Fraction(1))
    for part in parts:
        if product.terms and part.terms:
            raise UnsupportedSpecificationError("a product of variables is not linear; only constants times variables are supported")
        product = times(product, part.constant) if product.terms else times(part, product.constant)
    return product


def subtract(parts: list[Linear]) -> Linear:
    """The first less the others; of one part, its negative."""
    negatives = [times(part, Fraction(-1)) for part in (parts[1:] if len(parts) > 1 else parts)]
    return add([*parts[:1], *negatives]) if len(parts) > 1 else negatives[0]


def compare(operator: str, left: Linear, right: Linear) -> Disjuncts:
    """``left operator right`` for <=, <, >=, >, = or ==.

    Raises:
        UnsupportedSpecificationError: If it relates inputs to inputs or to outputs.
    """
    if operator in ("=", "=="):
        return [low + high for low in compare("<=", left, right) for high in compare(">=", left, right)]
    if operator in (">", ">="):
        left, right = right, left
    difference = subtract([left, right])
    terms = {name: c for name, c in difference.terms.items() if c}
    strict, offset = operator in ("<", ">"), -difference.constant
    if not terms:
        return [()] if offset > 0 or (offset == 0 and not strict) else []
    if all(kind == OUTPUT for kind, _ in terms):
        return [(Row(tuple(sorted((index, c) for (_, index), c in terms.items())), offset, strict),)]
    if len(terms) > 1:
        mixed = any(kind == OUTPUT for kind, _ in terms)
        what = "inputs with outputs" if mixed else "inputs with each other; only bounds of single inputs are supported"
        raise UnsupportedSpecificationError(f"one comparison relates {what}: {_names(terms)}")
    (((_, index), factor),) = terms.items()
    return [(bound(index, factor > 0, rounded(offset / factor), strict),)]


def _names(terms: dict[Name, Fraction]) -> str:
    names = [f"{kind}_{index}" for kind, index in sorted(terms)]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def conjoin(parts: list[Disjuncts], limits: Limits) -> Disjuncts:
    """The conjunction, multiplied out.

    Raises:
        DataError: If there are more disjuncts or atoms than ``limits`` allow.
    """
    common = tuple(atom for part in parts if len(part) == 1 for atom in part[0])
    product: Disjuncts = [common]
    for part in parts:
        if len(part) != 1:
            atoms = sum(map(len, product)) * len(part) + sum(map(len, part)) * len(product)
            check_size(len(product) * len(part), atoms, limits)
            product = [mine + more for mine in product for more in part]
    return product


def check_size(disjuncts: int, atoms: int, limits: Limits) -> None:
    """Raises DataError if a disjunctive normal form is larger than ``limits`` allow."""
    if disjuncts > limits.disjuncts:
        raise DataError(f"more than {limits.disjuncts} disjuncts once the formula is multiplied out; split the file, or raise the limit")
    if atoms > limits.atoms:
        raise DataError(f"more than {limits.atoms} comparisons once the formula is multiplied out; split the file, or raise the limit")
