"""What a sample of inputs says about the population it was drawn from: STATISTICAL statements, each with its confidence.

They assume that the inputs were drawn independently from that population, which no figure can check.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import UsageError

LEVEL = 0.95
RESAMPLES = 1000
LEAST_INPUTS = 10
"""Fewer inputs support no statement about a mean or a median of the population."""

Array = NDArray[np.float64]
_SLACK = 1e-9
"""Relative widening of quantiles of the beta distribution, far above the error of their computation (about 1e-12)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Two one-sided confidence limits, each at half the error: the population's figure lies between them with confidence ``level``.

    None where a side is not known. ``method`` says how: "clopper-pearson" and "order-statistics" are exact, "bootstrap" is approximate.
    """

    lower: float | None
    upper: float | None
    level: float
    method: str


def checked_level(level: float) -> float:
    """A confidence between 0 and 1; raises UsageError otherwise."""
    if not 0 < level < 1:
        raise UsageError(f"a confidence must lie between 0 and 1, both excluded; got {level:g}; 0.95 is usual")
    return level


def share_limits(surely: int, perhaps: int, total: int, level: float = LEVEL) -> Limits:
    """Clopper-Pearson limits of a share of the population that is known as a bracket only.

    Args:
        surely: Inputs of the sample known to have the property: their lower limit counts.
        perhaps: Inputs not known to lack it, at least ``surely``: their upper limit counts.
        total: Size of the sample.
        level: Confidence.
    References:
        Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26, 1934.
    """
    from scipy.special import betaincinv

    if not 0 <= surely <= perhaps <= total:
        raise UsageError(f"{surely} sure and {perhaps} possible of {total} is no bracket of a count")
    error = (1 - checked_level(level)) / 2
    low = float(betaincinv(surely, total - surely + 1, error)) if surely else 0.0
    high = float(betaincinv(perhaps + 1, total - perhaps, 1 - error)) if perhaps < total else 1.0
    return Limits(max(0.0, low - _SLACK * low), min(1.0, high + _SLACK * high), level, "clopper-pearson")


def median_limits(lower: Array | None, upper: Array | None, level: float = LEVEL) -> Limits:
    """Exact limits of the population's median, from order statistics: no assumption on the distribution.

    Args:
        lower: (n,) values at most those of the inputs, or None where that side is not known.
        upper: (n,) values at least those of the inputs, or None.
        level: Confidence.
    References:
        Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2 (quantile test).
    """
    size = len(lower) if lower is not None else len(upper) if upper is not None else 0
    rank = _median_rank(size, (1 - checked_level(level)) / 2) if size >= LEAST_INPUTS else None
    if rank is None:
        return Limits(None, None, level, "order-statistics")
    low = None if lower is None else _finite(float(np.sort(lower)[rank]))
    high = None if upper is None else _finite(float(np.sort(upper)[size - 1 - rank]))
    return Limits(low, high, level, "order-statistics")


def _median_rank(size: int, error: float) -> int | None:
    """The largest 0-based rank r with P(Binomial(size, 1/2) <= r) <= error; None if there is none."""
    from scipy.special import betainc

    def at_most(rank: int) -> float:
        return float(betainc(size - rank, rank + 1, 0.5)) * (1 + _SLACK)

    rank = bisect_right(range(size), error, key=at_most) - 1
    return rank if rank >= 0 else None


def mean_limits(lower: Array | None, upper: Array | None, *, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES) -> Limits:
    """Bootstrap (percentile) limits of the population's mean; both sides use the same resamples.

    Args:
        lower: (n,) values at most those of the inputs, or None where that side is not known.
        upper: (n,) values at least those of the inputs, or None; a side with an infinite value gives no limit.
        seed: Same seed, same limits.
        level: Confidence (approximate: the bootstrap is exact only for large samples).
        resamples: Number of resamples.
    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3.
    """
    error = (1 - checked_level(level)) / 2
    sides = [side if side is not None and len(side) >= LEAST_INPUTS and np.isfinite(side).all() else None for side in (lower, upper)]
    means = resampled_means([side for side in sides if side is not None], seed, resamples)
    low = None if sides[0] is None else float(np.quantile(means[0], error, method="lower"))
    high = None if sides[1] is None else float(np.quantile(means[-1], 1 - error, method="higher"))
    return Limits(low, high, level, "bootstrap")


def resampled_means(sides: list[Array], seed: int, resamples: int) -> list[Array]:
    """(resamples,) means of each side over the same draws with replacement."""
    if not sides:
        return []
    rng, size = np.random.default_rng(seed), len(sides[0])
    means = [np.empty(resamples) for _ in sides]
    for i in range(resamples):
        drawn = rng.integers(0, size, size, dtype=np.int32)
        for mean, side in zip(means, sides, strict=True):
            mean[i] = side[drawn].mean()
    return means


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
