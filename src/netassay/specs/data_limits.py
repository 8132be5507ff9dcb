"""What the readers of data sets share: the names of arrays, and a limit on how much a file may declare."""

from __future__ import annotations

from typing import Any

from netassay.errors import DataError

INPUT_KEYS = ("x", "inputs", "images")
LABEL_KEYS = ("y", "labels")
READ_KEYS = (*INPUT_KEYS, *LABEL_KEYS, "lower", "upper", "feature_names", "label_names")
LIMIT = 4 * 1024**3
"""Bytes that the arrays of one data set may declare together."""

Arrays = dict[str, Any]


def check_size(name: str, size: int, limit: int, remedy: str = "split the file") -> None:
    """A DataError if ``size`` bytes are more than ``limit``; asked before anything of that size is read."""
    if size > limit:
        raise DataError(f"{name}: declares {size / 1024**2:.0f} MiB of data; the limit is {limit / 1024**2:.0f} MiB; {remedy}")
