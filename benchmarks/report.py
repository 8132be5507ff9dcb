"""Rows, tables and watches that the benchmarks share."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Row:
    """One line of a table: the work, the contender, and what was measured."""

    work: str
    contender: str
    figures: dict[str, str]


@dataclass
class Watch:
    """Seconds that a block took."""

    seconds: float = field(default=0.0)


@contextmanager
def stopwatch() -> Iterator[Watch]:
    """Measures a block's wall-clock time."""
    watch, begin = Watch(), time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - begin


def table(rows: Sequence[Row]) -> str:
    """A Markdown table with the union of all figures as columns."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = ["| work | contender | " + " | ".join(names) + " |", "|---|---|" + "---:|" * len(names)]
    lines += [f"| {r.work} | {r.contender} | " + " | ".join(r.figures.get(n, "") for n in names) + " |" for r in rows]
    return "\n".join(lines)


def rows_of(text: str) -> list[Row]:
    """The rows of the first Markdown table of a text, as ``table`` writes it; cells that are empty are no figures."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    head, found = cells[0] if cells else [], cells[2:]
    return [Row(row[0], row[1], {name: cell for name, cell in zip(head[2:], row[2:], strict=True) if cell}) for row in found]


def show(rows: Sequence[Row]) -> None:
    """Prints a table."""
    print(table(rows))


def machine() -> str:
    """What the figures were measured on, in one line."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
