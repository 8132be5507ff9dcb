"""Which answers are about the same input, whatever model gave them."""

from __future__ import annotations

import hashlib

import numpy as np

from netassay.results.answer import Answer

InputKey = tuple[int | None, str]


def input_key(answer: Answer) -> InputKey:
    """The position of the input in its data set, and a hash of its values without their order.

    Models want inputs flat, channels first or last: the same input has another shape for each, and the same values.
    """
    values = np.sort(np.asarray(answer.center, dtype=np.float64).reshape(-1)) + 0.0  # -0.0 is 0.0
    return answer.index, hashlib.sha256(values.tobytes()).hexdigest()
