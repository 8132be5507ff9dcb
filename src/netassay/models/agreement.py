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

EXACT_TOLERANCE = 1e-9
"""The same in float64, where rounding cannot hide a wrong operator."""

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
        exact: The deviation when both compute in float64. Measured only where the first exceeds the tolerance: outputs
            that are small against the numbers they are the difference of carry more float32 rounding.
        remark: What else the user should know of the comparison.
    """

    deviation: float
    largest: float
    inputs: int
    source: str
    exact: float | None = None
    remark: str = ""

    @property
    def within(self) -> bool:
        """Whether the network is its source: within tolerance in float32, or to 1e-9 in float64; NaN is not."""
        return self.deviation <= TOLERANCE or (self.exact is not None and self.exact <= EXACT_TOLERANCE)

    @property
    def note(self) -> str:
        """What the user should know of it, if anything."""
        if not self.deviation > TOLERANCE:
            return self.remark
        share = f"{self.deviation:.2g} of the largest output ({self.largest:.3g})"
        return f"float32 rounding alone reaches {share} in this network; in float64 it agrees with its source to {self.exact:.1g}"

    def require(self, name: str) -> Agreement:
        """Itself; raises ModelError if the two are too far apart."""
        if not self.within:
            raise ModelError(
                f"{name}: read as an operator graph it deviates from {self.source} by {self.deviation:.3g} of the largest output "
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


def compare(
    network: Evaluate,
    source: Evaluate,
    domain: Box,
    *,
    name: str,
    inputs: int = INPUTS,
    seconds: float | None = None,
    seed: int = 0,
    in_float64: Callable[[], tuple[Evaluate, Evaluate]] | None = None,
) -> Agreement:
    """Compares two evaluations on random inputs of ``domain``.

    Args:
        network, source: Points (N, *shape) to outputs (N, m).
        domain: Where the inputs come from; see ``random_inputs``.
        name: What the source is.
        inputs: How many to compare.
        seconds: Stop after this long, but not before 3 inputs; None for no limit.
        seed: Of the inputs.
        in_float64: Makes both evaluations in float64, asked for where float32 deviates too much.
    Raises:
        ModelError: If the two differ in shape, which no tolerance covers.
    """
    points = random_inputs(domain, inputs, seed)
    theirs = _within_time(source, points, seconds)
    points = points[: len(theirs)]
    deviation, largest = _deviation(network(points), theirs, name)
    exact = None
    if not deviation <= TOLERANCE and in_float64 is not None:
        ours, double = in_float64()
        exact, _ = _deviation(ours(points), double(points), name)
    return Agreement(deviation, largest, len(points), name, exact)


def _within_time(source: Evaluate, points: NDArray[np.float32], seconds: float | None) -> NDArray[np.float64]:
    """Outputs of as many points as time allows, at least 3, in batches that double."""
    started, found = time.monotonic(), [source(points[:1] if seconds is not None else points)]
    done = len(found[0])
    while done < len(points) and (done < 3 or seconds is None or time.monotonic() - started < seconds / 2):
        found.append(source(points[done : 2 * done]))
        done = min(2 * done, len(points))
    return np.concatenate(found)


def _deviation(ours: NDArray[np.float64], theirs: NDArray[np.float64], name: str) -> tuple[float, float]:
    """The largest difference as a share of the source's largest output, and that output; NaN where either has one."""
    if ours.shape != theirs.shape:
        raise ModelError(f"the operator graph gives outputs of shape {ours.shape[1:]}, its source ({name}) {theirs.shape[1:]}")
    largest = float(np.max(np.abs(theirs)))
    with np.errstate(invalid="ignore"):
        difference = float(np.max(np.abs(ours - theirs)))
    return (difference / largest if largest > 0 else difference), largest
