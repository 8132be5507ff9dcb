"""Answers and witnesses as the neural network verification competitions exchange them, for VNN-LIB 1.0 and 2.0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import DataError
from netassay.specs.vnnlib_cases import Variable

TO_VNNCOMP = {"holds": "unsat", "violated": "sat", "unknown": "unknown", "timeout": "timeout"}
"""The words of the competition's result files."""
TO_VNNLIB_2 = {**TO_VNNCOMP, "timeout": "timed-out"}
"""The words of the command-line interface in the VNN-LIB 2.0 standard."""

SAT = "sat"
DTYPES: dict[str, type[np.floating]] = {"real": np.float64, "float16": np.float16, "float32": np.float32, "float64": np.float64}

Floats = NDArray[np.float64]

_PAIR = re.compile(r"\s*+\(\s*+([XY])_(0|[1-9]\d*+)\s++([^\s()]++)\s*+\)", re.ASCII)
_HEADER = re.compile(r"(\S+)\s+(\S+)\s+\[([0-9,\s]*)\]", re.ASCII)


def format_witness(point: ArrayLike, outputs: ArrayLike) -> str:
    """``sat`` and the pairs ``((X_0 v) ... (Y_0 v))`` of version 1.0, one a line; the values read back exactly.

    Raises:
        DataError: If a value is not finite.
    """
    pairs = [f"({kind}_{i} {text})" for kind, values in (("X", point), ("Y", outputs)) for i, text in enumerate(_texts(kind, values))]
    return f"{SAT}\n(" + "\n ".join(pairs) + ")\n"


def parse_witness(text: str) -> tuple[Floats, Floats]:
    """Inputs (n,) and outputs (m,) of a witness of version 1.0, with or without its first line ``sat``.

    Raises:
        DataError: If it is not in the form of ``format_witness``.
    """
    body = text.strip().removeprefix(SAT).strip()
    if not (body.startswith("(") and body.endswith(")")):
        raise DataError("a witness is a list ((X_0 v) ... (Y_0 v)) in parentheses")
    values: dict[str, list[float]] = {"X": [], "Y": []}
    at, end = 1, len(body) - 1
    while body[at:end].strip():
        found = _PAIR.match(body, at, end)
        if found is None:
            raise DataError(f"a witness is made of pairs (X_0 v) and (Y_0 v); got {body[at : at + 40]!r}")
        kind, index, value = found.groups()
        if int(index) != len(values[kind]):
            raise DataError(f"a witness lists its values in order; expected {kind}_{len(values[kind])}, got {kind}_{index}")
        values[kind].append(_value(value, np.float64))
        at = found.end()
    return np.array(values["X"]), np.array(values["Y"])


def format_assignment(values: Sequence[tuple[Variable, ArrayLike]]) -> str:
    """``sat`` and the values of version 2.0: ``NAME type [dims]``, then one value a line in row-major order.

    Raises:
        DataError: If a shape is not the declared one, or a value is not finite.
    """
    lines = [SAT]
    for variable, array in values:
        if np.size(np.asarray(array)) != prod(variable.shape):
            raise DataError(f"{variable.name} has shape {list(variable.shape)}; got {np.size(np.asarray(array))} values")
        lines += [f"{variable.name} {variable.type} [{','.join(map(str, variable.shape))}]", *_texts(variable.name, array)]
    return "\n".join(lines) + "\n"


def parse_assignment(text: str) -> list[tuple[Variable, Floats]]:
    """Variables and values (of the declared shapes) of version 2.0, with or without the first line ``sat``.

    Raises:
        DataError: If it is not in the form of ``format_assignment``.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    at, found = int(lines[:1] == [SAT]), []
    while at < len(lines):
        variable = _header(lines[at])
        count = prod(variable.shape)
        given = lines[at + 1 : at + 1 + count]
        if len(given) < count:
            raise DataError(f"{variable.name} has {count} elements; only {len(given)} values follow")
        dtype = DTYPES[variable.type]
        found.append((variable, np.array([_value(each, dtype) for each in given], dtype=np.float64).reshape(variable.shape)))
        at += 1 + count
    return found


def _header(line: str) -> Variable:
    found = _HEADER.fullmatch(line)
    if found is None or found[2].lower() not in DTYPES:
        raise DataError(f"expected a line NAME type [dims] with a type of {', '.join(DTYPES)}; got {line[:60]!r}")
    try:
        shape = tuple(int(each) for each in found[3].split(",")) if found[3].strip() else ()
    except ValueError as error:
        raise DataError(f"ill-formed dimensions in {line[:60]!r}") from error
    return Variable(found[1], found[2].lower(), shape)


def _texts(name: str, values: ArrayLike) -> list[str]:
    """Every value in the shortest form that reads back as the same float64, which holds a float32 exactly."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(flat).all():
        raise DataError(f"a witness needs finite values; {name} holds NaN or infinity")
    return [repr(float(value)) for value in flat]


def _value(text: str, dtype: type[np.floating]) -> float:
    """A finite number as ``dtype`` reads it."""
    try:
        with np.errstate(over="ignore"):
            value = float(dtype(float(text)))
    except ValueError as error:
        raise DataError(f"expected a number, got {text[:40]!r}") from error
    if not np.isfinite(value):
        raise DataError(f"a witness needs finite values, got {text[:40]!r}")
    return value
