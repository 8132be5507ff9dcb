"""Where certificates are written to while proofs are found: only what the checker's own bounds have borne out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Choices, Means, Splits, Units, leaf_bounds
from netassay.checking.certificates.records import choice_arrays, tree_arrays
from netassay.checking.certificates.statement import Case
from netassay.checking.certificates.trees import LEAF, Arrays
from netassay.verifiers.certificates.recorded import joined
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array


@dataclass(slots=True, eq=False)
class CaseProof:
    """One case of a claim on its way to a proof.

    Args:
        number: Of the case.
        case: What is claimed.
        whole: The checker's bounds of the whole region; everything that is written may rely on what they are then.
        strict: Whether 0 is not enough.
        emit: Takes records.
        over: Whether time is over.
    """

    number: int
    case: Case
    whole: Parts
    strict: bool
    emit: Callable[[Record], None]
    over: Callable[[], bool]
    open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open = set(range(len(self.case.parts)))

    def holds(self, bounds: Array) -> NDArray[np.bool_]:
        """Bounds that prove what they are about."""
        return np.asarray(bounds > 0 if self.strict else bounds >= 0)

    def means(self, parts: Sequence[int], weights: Sequence[NDArray[np.float32]]) -> Means:
        """Weighted sums of the rows of parts."""
        rows = [self.case.parts[p] for p in parts]
        return Means(
            self.whole.network.output, [p.rows for p in rows], [p.constants for p in rows], [w.astype(np.float64) for w in weights]
        )

    def close(self, parts: Sequence[int], trees: Sequence[Arrays], choices: Choices, weights: Sequence[NDArray[np.float32]]) -> None:
        """Writes down trees that prove parts.

        Args:
            parts: Which.
            trees: One for each.
            choices: Of all leaves.
            weights: Of the rows, leaf by leaf.
        """
        arrays = tree_arrays(joined(trees)) | choice_arrays(choices)
        arrays |= {"part": np.array(parts, dtype=np.uint32), "weights": np.concatenate(weights).astype(np.float32)}
        self.emit(Record({"record": "parts"}, arrays))
        self.open -= set(parts)

    def close_at_once(self, parts: Sequence[int], choices: Choices, weights: Sequence[NDArray[np.float32]]) -> None:
        """Bounds parts without any split, and writes down those that hold."""
        if not parts:
            return
        bounds = leaf_bounds(self.whole, unsplit(len(parts)), choices, self.means(parts, weights))
        held = np.flatnonzero(self.holds(bounds)).tolist()
        if held:
            chosen = {v: (index, slopes[held]) for v, (index, slopes) in choices.slopes.items()}
            self.close([parts[i] for i in held], [LEAF_ALONE] * len(held), Choices(chosen), [weights[i] for i in held])

    def narrow_at_once(self, value: int, unit: Positions, sign: NDArray[np.int8], choices: Choices) -> None:
        """Bounds numbers of a value without any split, writes that down and takes it in."""
        target = Units(value, unit, sign, self.whole.network.sizes[value])
        bounds = leaf_bounds(self.whole, unsplit(len(unit)), choices, target)
        self.narrow(value, unit, sign, bounds, joined([LEAF_ALONE] * len(unit)), choices)

    def narrow(self, value: int, unit: Positions, sign: NDArray[np.int8], bounds: Array, trees: Arrays, choices: Choices) -> None:
        """Takes in bounds of numbers of a value, and writes down the trees that prove them.

        Args:
            value: Which value.
            unit, sign: (T,) which number each tree bounds, from below (1) or above (-1).
            bounds: (T,) the checker's bounds of the numbers, or of their negatives.
            trees, choices: One tree after the other.
        """
        low, high = (side[0].copy() for side in self.whole.ranges[value])
        up = sign > 0
        np.maximum.at(low, unit[up], bounds[up])
        np.minimum.at(high, unit[~up], -bounds[~up])
        self.whole.tighten(value, np.arange(len(low)), low, high)
        arrays = tree_arrays(trees) | choice_arrays(choices) | {"unit": unit.astype(np.uint32), "sign": sign}
        self.emit(Record({"record": "range", "of": value}, arrays))

    def best_rows(self, parts: Sequence[int]) -> list[NDArray[np.float32]]:
        """For each part the weight 1 for its row of the greatest bound."""
        found = []
        for p in parts:
            part = self.case.parts[p]
            count = len(part.constants)
            bounds = self.whole.minimum(self.whole.network.output, part.rows, np.zeros(count, dtype=np.intp), part.constants).lower
            found.append((np.arange(count) == np.argmax(bounds)).astype(np.float32))
        return found


LEAF_ALONE: Arrays = (np.array([LEAF], dtype=np.int32), np.zeros(1, dtype=np.uint32), np.zeros(1))
"""A tree that is a leaf."""


def unsplit(count: int) -> Splits:
    """So many leaves without any split."""
    none = np.zeros(0, dtype=np.intp)
    return Splits(count, none, none, none, none, np.zeros(0))
