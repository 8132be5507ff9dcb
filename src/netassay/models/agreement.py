"""Replays random inputs on a network and on the model it was read from, and compares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import ModelError
from netassay.numerics.box import Box

TOLERANCE = 1e-5
"""Largest deviation allowed, as a share of the largest output."""

INPUTS = 100
Evaluate = Callable[[NDArray[np.floating[Any]]], NDArray[np.float64]]


@dataclass(frozen=True)
class Agreement:
    """How far a network and its source are apart.

    Args:
        deviation: Largest difference of any output over all inputs, divided by ``largest`` (absolute where that is 0).
        largest: Largest magnitude of the source's outputs.
        inputs: How many were compared.
        source: What the network was compared with.
    """

    deviation: float
    largest: float
    inputs: int
    source: str

    @property
    def within(self) -> bool:
        """Whether the deviation is allowed; NaN is not."""
        return self.deviation <= TOLERANCE

    def require(self, name: str) -> Agreement:
        """Itself; raises ModelError if the two are too far apart."""
        if not self.within:
            raise ModelError(
                f"{name}: read as an operator graph it deviates from its source ({self.source}) by {self.deviation:.3g} of the largest output "
                f"({self.largest:.3g}) on {self.inputs} random inputs; {TOLERANCE:g} is allowed. Please report the model."
            )
        return self


def random_inputs(domain: Box, count: int, seed: int) -> NDArray[np.float32]:
    """Points (count, *shape) in float32: uniform where a feature is bounded; elsewhere half uniform in [0, 1], half standard normal."""
    rng = np.random.default_rng(seed)
    uniform = rng.random((count, *domain.shape))
    free = uniform.copy()
    free[count // 2 :] = rng.standard_normal((count - count // 2, *domain.shape))
    bounded = np.isfinite(domain.lower) & np.isfinite(domain.upper)
    low, width = np.where(bounded, domain.lower, 0.0), np.where(bounded, domain.upper - domain.lower, 1.0)
    inside = np.clip(low + width * uniform, np.where(bounded, domain.lower, -np.inf), np.where(bounded, domain.upper, np.inf))
    return np.asarray(np.where(bounded, inside, np.clip(free, domain.lower, domain.upper)), dtype=np.float32)


def compare(network: Evaluate, source: Evaluate, domain: Box, *, name: str, inputs: int = INPUTS, seconds: float | None = None, seed: int = 0) -> Agreement:
    """Compares two evaluations on random inputs of ``domain``.

    Args:
        network, source: Points (N, *shape) to outputs (N, m).
        domain: Where the inputs come from; see ``random_inputs``.
        name: What the source is.
        inputs: How many to compare.
        seconds: Stop after this long, but not before 3 inputs; None for no limit.
        seed: Of the inputs.
    Raises:
        ModelError: If the two differ in shape, which no tolerance covers.
    """
    points = random_inputs(domain, inputs, seed)
    started, done = time.monotonic(), 0
    expected: list[NDArray[np.float64]] = []
    while done < inputs and (seconds is None or done < 3 or time.monotonic() - started < seconds):
        step = max(1, min(done, inputs - done)) if seconds is not None else inputs
        expected.append(source(points[done : done + step]))
        done += len(points[done : done + step])
    theirs = np.concatenate(expected)
    ours = network(points[:done])
    if ours.shape != theirs.shape:
        raise ModelError(f"the operator graph gives outputs of shape {ours.shape[1:]}, its source ({name}) {theirs.shape[1:]}")
    largest = float(np.max(np.abs(theirs)))
    with np.errstate(invalid="ignore"):
        difference = float(np.max(np.abs(ours - theirs)))
    return Agreement(difference / largest if largest > 0 else difference, largest, done, name)
