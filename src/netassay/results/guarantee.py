"""How a value is known (survey, section 4) and in which arithmetic it holds."""

from __future__ import annotations

from enum import StrEnum


class Guarantee(StrEnum):
    """How one side of an answer is known.

    PROVED: no point of the region contradicts it, with every rounding bounded.
    ATTAINED: a replayed point shows it.
    STATISTICAL: holds with a stated confidence.
    SOLVER: a solver's or a plain float computation's word; its rounding is not bounded.
    HEURISTIC: an estimate that may be wrong in either direction.
    """

    PROVED = "proved"
    ATTAINED = "attained"
    STATISTICAL = "statistical"
    SOLVER = "solver"
    HEURISTIC = "heuristic"

    @property
    def strength(self) -> int:
        """Higher is stronger; PROVED and ATTAINED are equally strong, on opposite sides of a bracket."""
        return {"proved": 3, "attained": 3, "solver": 2, "statistical": 1, "heuristic": 0}[self.value]


class Arithmetic(StrEnum):
    """The arithmetic in which a value holds."""

    REAL = "real"
    FLOAT64 = "float64"
    FLOAT32 = "float32"
    UNCHECKED = "unchecked"
