"""Live progress on stderr: a table on a terminal, a line now and then elsewhere, nothing where it is not wanted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 12
"""Inputs shown at most in the live table."""

INTERVAL = 5.0
"""Seconds between plain lines."""


class Progress(Protocol):
    """What a question reports on its way: see ``netassay.assessment``."""

    @property
    def question(self) -> Any: ...
    @property
    def done_queries(self) -> int: ...
    @property
    def total_queries(self) -> int | None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def limit_seconds(self) -> float | None: ...
    @property
    def lines(self) -> Any: ...


Callback = Callable[[Any], None]


@contextmanager
def progress(*, quiet: bool, stream: TextIO | None = None) -> Iterator[Callback | None]:
    """Gives a callback that shows where a question stands, for as long as the block lasts."""
    stream = stream or sys.stderr
    if quiet:
        yield None
    elif stream.isatty():
        with _live(stream) as callback:
            yield callback
    else:
        yield plain(stream, INTERVAL)


@contextmanager
def _live(stream: TextIO) -> Iterator[Callback]:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=4, transient=True) as live:
        yield lambda state: live.update(table(state))


def now_and_then(interval: float | None = None, clock: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Gives a function that says whether so many seconds (default: ``INTERVAL``) have passed since it last said so, or was made."""
    last, least = clock(), INTERVAL if interval is None else interval

    def due() -> bool:
        nonlocal last
        if clock() - last < least:
            return False
        last = clock()
        return True

    return due


def plain(stream: TextIO, interval: float, clock: Callable[[], float] = time.monotonic) -> Callback:
    """Writes one line at most every ``interval`` seconds."""
    due = now_and_then(interval, clock)

    def callback(state: Progress) -> None:
        if due():
            print(summary(state), file=stream, flush=True)

    return callback


def summary(state: Progress) -> str:
    """One line: what was spent of what is allowed, and the best bounds of the first input that has any."""
    known = [line for line in state.lines if line[1] is not None or line[2] is not None]
    best = f"; {len(known)} of {len(state.lines)} inputs have bounds" if len(state.lines) > 1 else ""
    best += f"; {_named(known[0][0])}{bounds(state.question, known[0][1], known[0][2])}" if known else ""
    return f"{state.question}: {spent(state)}{best}"


def spent(state: Progress) -> str:
    """Queries and seconds, each with its limit where there is one."""
    queries = f"{state.done_queries:,}" + (f" of {state.total_queries:,}" if state.total_queries is not None else "")
    seconds = f"{state.seconds:.1f}" + (f" of {state.limit_seconds:g}" if state.limit_seconds is not None else "")
    return f"{queries} queries, {seconds} s"


def bounds(question: str, lower: float | None, upper: float | None) -> str:
    """``[0.1, 0.5]``, with a question mark for a side that is not known; see ``figures``."""
    return f"[{', '.join(figures(question, lower, upper))}]"


def figures(question: str, lower: float | None, upper: float | None) -> tuple[str, str]:
    """Both values, rounded so that what they claim stays true: outwards, but inwards for a range reached."""
    from netassay.reports import figures as rounded

    down, up = (rounded.upper, rounded.lower) if question == "reach" else (rounded.lower, rounded.upper)
    return "?" if lower is None else down(lower), "?" if upper is None else up(upper)


def table(state: Progress) -> Table:
    """The live table: one row per input with its best bounds so far."""
    from rich.table import Table

    shown = Table(title=f"{state.question}: {spent(state)}", title_justify="left", caption="Ctrl-C stops and keeps what was found")
    for header in ("input", "lower", "upper"):
        shown.add_column(header, justify="right")
    for index, lower, upper in list(state.lines)[:SHOWN]:
        shown.add_row("-" if index is None else str(index), *figures(state.question, lower, upper))
    if len(state.lines) > SHOWN:
        shown.add_row(f"and {len(state.lines) - SHOWN} more", "", "")
    return shown


def _named(index: int | None) -> str:
    return "" if index is None else f"input {index} in "
