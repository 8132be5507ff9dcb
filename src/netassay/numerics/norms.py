"""The norms of the four questions, on flattened rows."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np

from netassay.errors import unknown_name
from netassay.numerics.arrays import array_namespace


class Norm(StrEnum):
    """L0 (changed features or pixels), L1, L2 and L-infinity, under their command-line names."""

    L0 = "l0"
    L1 = "l1"
    L2 = "l2"
    LINF = "linf"

    @classmethod
    def of(cls, p: Norm | str | float) -> Norm:
        """Reads a norm from its name or from p in {0, 1, 2, inf}."""
        if isinstance(p, Norm):
            return p
        if isinstance(p, str):
            name = p.lower().replace("_", "").replace("-", "")
            known = {str(n): n for n in cls} | {"inf": cls.LINF, "linfinity": cls.LINF}
            if name in known:
                return known[name]
        elif p in _BY_ORDER:
            return _BY_ORDER[float(p)]
        raise unknown_name("norm", str(p), [str(n) for n in cls])

    @property
    def order(self) -> float:
        return next(p for p, norm in _BY_ORDER.items() if norm is self)

    def length(self, rows: Any) -> Any:
        """The norm of each row of ``rows`` (N, n), numpy or torch; L0 counts the entries that are not zero."""
        xp = array_namespace(rows)
        if self is Norm.L0:
            return xp.sum(xp.astype(rows != 0, rows.dtype), axis=-1)
        if self is Norm.L1:
            return xp.sum(xp.abs(rows), axis=-1)
        if self is Norm.L2:
            return xp.linalg.vector_norm(rows, axis=-1)
        return xp.max(xp.abs(rows), axis=-1)


_BY_ORDER = {0.0: Norm.L0, 1.0: Norm.L1, 2.0: Norm.L2, math.inf: Norm.LINF, np.inf: Norm.LINF}
