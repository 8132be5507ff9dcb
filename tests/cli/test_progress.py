"""Progress: what is shown, where, and where nothing is."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from netassay.cli import progress as shown


@dataclass(frozen=True)
class State:
    question: str = "radius"
    done_queries: int = 1200
    total_queries: int | None = 10000
    seconds: float = 3.25
    limit_seconds: float | None = None
    lines: list[tuple[int | None, float | None, float | None]] = field(default_factory=lambda: [(7, None, 0.25), (8, None, None)])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_quiet_gives_no_callback() -> None:
    with shown.progress(quiet=True) as callback:
        assert callback is None


def test_the_line_names_spending_and_bounds() -> None:
    assert shown.summary(State()) == "radius: 1,200 of 10,000 queries, 3.2 s; 1 of 2 inputs have bounds; input 7 in [?, 0.250]"
    alone = State(lines=[(None, 1.0, 2.0)], total_queries=None, limit_seconds=30)
    assert shown.summary(alone) == "radius: 1,200 queries, 3.2 of 30 s; [1.00, 2.00]"
    assert shown.summary(State(lines=[(0, None, None)])) == "radius: 1,200 of 10,000 queries, 3.2 s"


@pytest.mark.parametrize(("question", "text"), [("radius", "[0.123, 0.988]"), ("lipschitz", "[0.123, 0.988]"), ("reach", "[0.124, 0.987]")])
def test_figures_claim_no_more_than_was_found(question: str, text: str) -> None:
    assert shown.bounds(question, 0.12345, 0.98765) == text


def test_plain_lines_come_at_intervals() -> None:
    stream, now = io.StringIO(), 0.0
    callback = shown.plain(stream, interval=5, clock=lambda: now)
    for now in (1.0, 4.9, 5.0, 6.0, 9.9, 10.5):  # noqa: B007 - the clock reads it
        callback(State())
    assert stream.getvalue().count("\n") == 2


def test_a_stream_that_is_no_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(shown, "INTERVAL", 0.0)
    with shown.progress(quiet=False, stream=stream) as callback:
        assert callback is not None
        callback(State())
    assert stream.getvalue() == shown.summary(State()) + "\n"


def test_a_terminal_gets_a_live_table() -> None:
    stream = Terminal()
    with shown.progress(quiet=False, stream=stream) as callback:
        assert callback is not None
        callback(State())
    assert "input" in stream.getvalue()


def test_the_live_table_is_cut_where_it_is_long() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(shown.table(State(lines=[(i, 0.5, None) for i in range(30)])))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "and 18 more" in text
    assert "0.5" in text
    assert "Ctrl-C" in text
