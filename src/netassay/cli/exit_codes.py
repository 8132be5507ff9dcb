"""Exit codes, and which of several wins."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells the shell.

    OK: all that was asked holds, or was measured. VIOLATION: a violation, or a missed threshold (``--fail-under``).
    BAD_INPUT: bad usage or input; nothing was computed. UNKNOWN: neither shown nor proved. INTERNAL: a bug.
    INTERRUPTED: stopped by the user; what was found is printed and stored.
    """

    OK = 0
    VIOLATION = 1
    BAD_INPUT = 2
    UNKNOWN = 3
    INTERNAL = 4
    INTERRUPTED = 130


_WORST_FIRST = (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.BAD_INPUT, ExitCode.VIOLATION, ExitCode.UNKNOWN, ExitCode.OK)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code of several results: 130, then 4, 2, 1, 3, 0."""
    present = set(codes)
    return next((code for code in _WORST_FIRST if code in present), ExitCode.OK)
