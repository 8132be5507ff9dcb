"""Unsafe output sets as unions of polyhedra, as in VNN-LIB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import PropertyError
from netassay.models.scores import Scale
from netassay.numerics.arrays import array_namespace
from netassay.results.answer import Risk
from netassay.specs.expressions import number, scale
from netassay.specs.property import Parameters, Property

SPELLED_OUT = 6
"""Up to this many half-spaces are written out in reports."""


@dataclass(frozen=True, eq=False, init=False)
class OutputHalfspaces(Property):
    """``s(y) = min over d of max over rows r of (A_dr y - b_dr)``; safe where s > 0.

    The unsafe set is the union over d of the polyhedra ``A_d y <= b_d``. They are closed, so s = 0 is not safe. |s| depends
    on how the rows are scaled; its sign does not.

    Args:
        matrices: One matrix (rows_d, m) per disjunct; row counts may differ.
        offsets: One vector (rows_d,) per disjunct.
        on: What y is: raw outputs (VNN-LIB), or logits or probabilities.
    Attributes:
        matrix, offset: (disjuncts, most rows, m) and (disjuncts, most rows), the shorter ones filled with their own last row.
        rows: Number of rows each disjunct came with.
    Raises:
        PropertyError: If shapes disagree, a disjunct is empty, or a number is not finite.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    rows: tuple[int, ...]
    on: Scale

    name = "halfspaces"
    zero_is_safe = False

    def __init__(self, matrices: Sequence[ArrayLike], offsets: Sequence[ArrayLike], on: Scale = Scale.OUTPUTS) -> None:
        on = scale(on, self.name)
        disjuncts = _disjuncts(matrices, offsets)
        most = max(len(b) for _, b in disjuncts)
        matrix = np.stack([_filled(a, most) for a, _ in disjuncts])
        offset = np.stack([_filled(b, most) for _, b in disjuncts])
        matrix.flags.writeable = offset.flags.writeable = False
        for name, value in {"matrix": matrix, "offset": offset, "rows": tuple(len(b) for _, b in disjuncts), "on": on}.items():
            object.__setattr__(self, name, value)

    def parameters(self) -> Parameters:
        return {"matrix": self.matrix.copy(), "offset": self.offset.copy()}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        xp = array_namespace(scores)
        matrix, offset = parameters["matrix"], parameters["offset"]
        products = xp.matmul(matrix, scores[:, None, :, None])[..., 0]
        return xp.min(xp.max(products - offset, axis=-1), axis=-1)

    def family(self) -> tuple[object, ...]:
        return (type(self), self.on, self.matrix.shape)

    def check(self, scores: int) -> None:
        if self.matrix.shape[-1] != scores:
            raise PropertyError(f"the half-spaces are over {self.matrix.shape[-1]} outputs, the network has {scores}")

    def describe(self) -> Risk:
        if sum(self.rows) > SPELLED_OUT:
            text = f"y outside {len(self.rows)} polyhedra of {sum(self.rows)} half-spaces in all"
        else:
            unsafe = (" and ".join(_row(a, b) for a, b in self._disjunct(d)) for d in range(len(self.rows)))
            text = "not (" + " or ".join(f"({each})" for each in unsafe) + ")"
        return Risk(self.name, text, str(self.on), "")

    def _disjunct(self, d: int) -> list[tuple[NDArray[np.float64], float]]:
        return [(self.matrix[d, r], float(self.offset[d, r])) for r in range(self.rows[d])]


def _disjuncts(matrices: Sequence[ArrayLike], offsets: Sequence[ArrayLike]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if len(matrices) != len(offsets) or not len(matrices):
        raise PropertyError(f"half-spaces need one offset vector per matrix, and at least one; got {len(matrices)} and {len(offsets)}")
    pairs = [(np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)) for a, b in zip(matrices, offsets, strict=True)]
    for a, b in pairs:
        if a.ndim != 2 or b.shape != a.shape[:1] or a.size == 0 or a.shape[1] != pairs[0][0].shape[1]:
            raise PropertyError(f"each disjunct needs a matrix (rows, outputs) and offsets (rows,), not empty; got {a.shape} and {b.shape}")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise PropertyError("a half-space has a coefficient or offset that is NaN or infinite; give finite numbers")
    return pairs


def _filled(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])


def _row(coefficients: NDArray[np.float64], offset: float) -> str:
    terms = [(float(c), i) for i, c in enumerate(coefficients) if c != 0]
    text = "".join(f"{' - ' if c < 0 else ' + '}{'' if abs(c) == 1 else number(abs(c)) + ' '}y_{i}" for c, i in terms)
    text = text[3:] if text.startswith(" + ") else "-" + text[3:] if text else "0"
    return f"{text} <= {number(offset)}"
