"""Plain tables: aligned columns that never wrap, for terminals and log files alike."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Lines of columns as wide as their widest cell; those named in ``right`` are aligned right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(_line(cells, headers, widths, right) for cells in lines)


def _line(cells: Sequence[str], headers: Sequence[str], widths: Sequence[int], right: Sequence[str]) -> str:
    placed = (cell.rjust(w) if header in right else cell.ljust(w) for cell, header, w in zip(cells, headers, widths, strict=True))
    return "  ".join(placed).rstrip()
