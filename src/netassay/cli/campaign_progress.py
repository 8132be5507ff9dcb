"""Where a campaign stands, on stderr: one line that moves on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from netassay.cli.progress import now_and_then

if TYPE_CHECKING:
    from netassay.campaigns.campaign import Standing

Callback = Callable[["Standing"], None]


@contextmanager
def campaign_progress(*, quiet: bool, stream: TextIO | None = None) -> Iterator[Callback | None]:
    """Gives a callback that shows where a campaign stands, for as long as the block lasts."""
    stream = stream or sys.stderr
    if quiet:
        yield None
    elif stream.isatty():
        from rich.console import Console

        with Console(file=stream).status("starting workers") as status:
            yield lambda standing: status.update(summary(standing))
    else:
        yield _plain(stream)


def _plain(stream: TextIO) -> Callback:
    due = now_and_then()

    def callback(standing: Standing) -> None:
        if due():
            print(summary(standing), file=stream, flush=True)

    return callback


def summary(standing: Standing) -> str:
    """One line: how many answers there are of those asked for, and how long the others may take at the same pace."""
    known, left = standing.reused + standing.done, standing.asked - standing.reused - standing.done - standing.failed
    text = f"{known:,} of {standing.asked:,} answers"
    text += f" ({standing.reused:,} reused)" if standing.reused else ""
    text += f", {standing.failed:,} failed" if standing.failed else ""
    text += f"; {standing.seconds:.0f} s"
    return text + (f", about {left * standing.seconds / standing.done:.0f} s left" if standing.done and left else "")
