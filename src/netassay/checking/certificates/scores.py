"""What the rows of a claim may be about other than a network's outputs y: probabilities of labels, or their logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError


@dataclass(frozen=True, slots=True)
class Scores:
    """``softmax(z)`` or its logarithm, where the logits z are the outputs y or ``(0, y)`` of a single one, or the negatives of these.

    Args:
        logarithms: Whether rows are about logarithms of probabilities.
        binary: Whether z has a leading 0.
        negated: Whether the least output wins.
    """

    logarithms: bool = False
    binary: bool = False
    negated: bool = False

    @property
    def text(self) -> str:
        """The same in symbols; what headers say."""
        y = "-y" if self.negated else "y"
        return f"{'log ' if self.logarithms else ''}softmax({f'0, {y}' if self.binary else y})"

    @property
    def symbol(self) -> str:
        """Of a single one."""
        return "log p" if self.logarithms else "p"

    def labels(self, outputs: int) -> int:
        """How many there are of so many outputs; 0 where they do not fit."""
        return 2 * (outputs == 1) if self.binary else outputs * (outputs > 1)

    def logits(self, outputs: int) -> NDArray[np.float64]:
        """(labels, outputs) z as a linear form of the outputs."""
        found = np.array([[0.0], [1.0]]) if self.binary else np.eye(outputs)
        return -found if self.negated else found


_KNOWN = {
    s.text: s for s in (Scores(log, binary, negated) for log in (False, True) for binary in (False, True) for negated in (False, True))
}


def read_scores(given: object) -> Scores | None:
    """The scores that a header names; None for the outputs themselves.

    Raises:
        DataError: If it names others.
    """
    if given is None:
        return None
    if not isinstance(given, str) or given not in _KNOWN:
        raise DataError(f"a claim about {str(given)[:40]!r} is not known; known are the outputs and {', '.join(_KNOWN)}")
    return _KNOWN[given]
