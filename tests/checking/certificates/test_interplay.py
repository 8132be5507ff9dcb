"""Second differences of maxima against samples that float64 computes without rounding."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.checking.certificates import interplay as module
from netassay.checking.certificates.interplay import second_differences

Ends = tuple[np.ndarray, np.ndarray]


def excess(seed: int, gaps: int, *, together: bool = True) -> tuple[float, float]:
    """By how much a second difference lies outside its bounds at most, and the mean width of these."""
    rng, pairs, outputs = np.random.default_rng([seed, gaps]), 30, 6
    gap, off = np.minimum(0, rng.integers(-12, 3, (gaps, outputs)) / 8), rng.integers(0, 2, outputs) / 64

    def ends(width: int) -> Ends:
        low, wide = rng.integers(-8, 7, (pairs, gaps, outputs)) / 8, rng.integers(0, width, (pairs, gaps, outputs)) / 4
        still = rng.random((pairs, 1, outputs)) < 0.2
        return np.where(still, 0.0, low), np.where(still, 0.0, low + wide)

    one, other, both = ends(4), ends(4), ends(2) if together else None
    low, high = second_differences(gap, off, one, other, both)
    worst = -np.inf
    for _ in range(150):
        g = gap + off * rng.integers(-1, 2, gap.shape)
        a, b, e = (
            np.zeros((pairs, gaps, outputs)) if s is None else s[0] + (s[1] - s[0]) * rng.integers(0, 5, s[0].shape) / 4
            for s in (one, other, both)
        )
        values = [np.maximum(g + x, 0).max(axis=1) for x in (a + b + e, a, b, np.zeros(a.shape))]
        found = values[0] - values[1] - values[2] + values[3]
        worst = max(worst, float((low - found).max()), float((found - high).max()))
    return worst, float((high - low).mean())


@pytest.mark.parametrize("gaps", [1, 2, 4])
def test_second_differences_hold_every_sample(gaps: int) -> None:
    found = [excess(seed, gaps, together=seed % 3 > 0) for seed in range(12)]
    assert max(worst for worst, _ in found) <= 0
    assert np.mean([width for _, width in found]) < 2.5


def test_what_one_change_alone_moves_has_none() -> None:
    ends = np.full((3, 2, 4), -1.0), np.full((3, 2, 4), 2.0)
    none = np.zeros((3, 2, 4)), np.zeros((3, 2, 4))
    low, high = second_differences(np.zeros((2, 4)), np.full(4, 1e-9), ends, none, None)
    assert not low.any()
    assert not high.any()


def test_ranges_that_are_not_known_prove_nothing() -> None:
    for bad in (np.nan, np.inf):
        one, other = (np.full((1, 1, 1), -0.5), np.full((1, 1, 1), bad)), (np.full((1, 1, 1), -1.0), np.full((1, 1, 1), 1.0))
        with np.errstate(invalid="ignore"):
            low, _ = second_differences(np.zeros((1, 1)), np.zeros(1), one, other, None)
        assert not low > -10


@pytest.mark.parametrize("bug", ["corners", "slope", "off"])
def test_planted_bugs_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "corners":
        own = module._corners
        monkeypatch.setattr(module, "_corners", lambda g, a, b: own(g, (a[1], a[1]), b))
    elif bug == "slope":
        take = module._State.take
        none = np.zeros(1)
        monkeypatch.setattr(module._State, "take", lambda self, at, g, a, b, e: take(self, at, g, a, b, (0 * e[0] + none, 0 * e[1] + none)))
    else:
        found = module._State.found
        monkeypatch.setattr(module._State, "found", lambda self, off, gaps: found(self, 0 * off, gaps))
    assert max(excess(seed, 2)[0] for seed in range(6)) > 0
