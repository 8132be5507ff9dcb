"""Work for engines that loads nothing heavy: it answers, raises, is slow, or dies, as its content says."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Scripted:
    """Squares numbers and follows orders; it counts in files, which outlive its process.

    Args:
        folder: For the files.
        broken: Whether it cannot be prepared.
    """

    folder: str
    broken: bool = False
    prepared: int = 0

    def prepare(self) -> None:
        if self.broken:
            raise ValueError("nothing to load")
        self.prepared += 1
        self._mark("prepared")

    def __call__(self, content: tuple[str, int]) -> tuple[int, int, int]:
        """(square, process, how often this process was prepared), unless the order is another one."""
        order, number = content
        self._mark(f"{order}{number}")
        if order == "raise":
            raise ValueError(f"no {number}")
        if order == "memory":
            raise MemoryError
        if order == "sleep":
            time.sleep(60)
        if order == "die" or (order == "die once" and self._marks(f"{order}{number}") == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2, os.getpid(), self.prepared

    def _mark(self, name: str) -> None:
        (Path(self.folder) / f"{name}-{time.monotonic_ns()}-{os.getpid()}").touch()

    def _marks(self, name: str) -> int:
        return sum(path.name.rsplit("-", 2)[0] == name for path in Path(self.folder).iterdir())
