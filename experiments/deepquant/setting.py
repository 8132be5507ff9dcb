"""What every experiment is told: how much to measure, where trained networks are kept, and which methods stand for the paper's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

PAPER_METHOD = "mads"
"""The search that stands for DEEPQUANT: derivative-free, it sees nothing but outputs."""

PRINTED_METHOD = "tpmads"
"""The paper's Algorithms 1 and 2 as they are printed, where that says what to do; derivative-free too."""

OWN_METHOD = "auto"
"""What netassay does by default, beside it; where the network offers gradients, it uses them."""

BASELINE = "random"
"""Uniform sampling, the paper's RS."""

STAND_IN = (
    f"For the paper's DEEPQUANT stands `{PAPER_METHOD}`, a mesh adaptive direct search that sees nothing but outputs; `{OWN_METHOD}` uses "
    "gradients and is not black-box."
)
PRINTED_TOO = (
    f"`{PRINTED_METHOD}` follows Algorithms 1 and 2 as printed, except that the mesh shrinks when an iteration fails, as section 5.1 says "
    "and the print does not."
)
"""How every figure, or one with that method, differs from the paper's."""

EXPRESSION = "gap:runner-up"
"""The property of the slopes: Definition 5, case 1, on probabilities: the decision at x against the second best label there."""

Value = TypeVar("Value")


class UnavailableError(Exception):
    """What an experiment needs is not at hand; the message says what."""


class Size(StrEnum):
    """How much is measured: seconds to try it out, minutes on one core, or as much as the paper did."""

    QUICK = "quick"
    USUAL = "usual"
    FULL = "full"


def _kept() -> Path:
    """Where trained networks are kept by default."""
    from netassay.models.builtin import cache_folder  # with torch, which a look at the options need not load

    return cache_folder() / "deepquant"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Setting:
    """The circumstances of a run.

    Args:
        size: How much to measure.
        cache: Folder of trained networks.
        seed: Everything random comes from it.
        models: Networks for Fig. 7 (b), as ``na.load`` takes them; empty for random weights.
        image: Data for Fig. 7 (b), as ``na.load_data`` takes them: the first image is used; None for random pixels.
        say: Takes progress lines.
    """

    size: Size = Size.USUAL
    cache: Path = field(default_factory=_kept)
    seed: int = 0
    models: tuple[str, ...] = ()
    image: str | None = None
    say: Callable[[str], None] = _tell

    @property
    def quick(self) -> bool:
        return self.size is Size.QUICK

    def pick(self, quick: Value, usual: Value, full: Value) -> Value:
        """The one that belongs to this size."""
        return {Size.QUICK: quick, Size.USUAL: usual, Size.FULL: full}[self.size]
