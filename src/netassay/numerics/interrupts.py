"""Ctrl-C without losing what was found: noted at once, acted upon between steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

IMPATIENCE = 2.0
"""Seconds after which a further Ctrl-C is meant for what is still running."""


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C is only noted (the function given says so); one more after two seconds interrupts as usual.

    Only in the main thread and where nobody else handles the signal: elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    noted: float | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        now = time.monotonic()
        if noted is not None and now - noted > IMPATIENCE:
            signal.default_int_handler(number, frame)
        noted = noted or now

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted is not None
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
