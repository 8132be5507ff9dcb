"""What single pixels do, cell by cell, against values in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certificate_pairs import pixel_bounds
from certificate_worlds import graph_of
from netassay.checking.certificates import single_changes
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.local import Centre
from netassay.checking.certificates.maxima import maxima_of, unit_begins
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pairs import PairBounds
from netassay.checking.certificates.single_changes import BASE, Singles, Table
from netassay.errors import DataError
from netassay.verifiers.certificates.claims import statement_of
from pair_worlds import asked, pooled


def outside(seed: int) -> int:
    """How many changes lie outside their ranges, or rows below their bounds."""
    problem = asked(pooled(seed), seed)
    graph, case = graph_of(problem), statement_of([problem]).cases[0]
    bounds, rng = pixel_bounds(graph, case), np.random.default_rng(seed)
    maxima = maxima_of(bounds.centre)
    exact = CheckedNetwork(graph, Arithmetic(exact=True))
    at, count = Centre(exact, exact.arithmetic.array(bounds.center)), 0
    for pixel in rng.choice(len(bounds.pixels), 4, replace=False).tolist():
        table = Singles(bounds, maxima).single(pixel, 2).cells[2]
        units = Singles(bounds, maxima).single(pixel, 0).units
        for eighth in (-8, -5, -4, 1, 3, 8):
            point = bounds.center.copy()
            point[pixel] = eighth / 8
            there = Centre(exact, exact.arithmetic.array(point))
            read = np.concatenate([there.values[m.value] - at.values[m.value] for m in maxima])
            rows = exact.arithmetic.array(bounds.rows) @ there.values[-1] + exact.arithmetic.array(bounds.constants)
            still = np.ones(len(read), dtype=np.bool_)
            still[units] = False
            assert not read[still].any()
            for cell in {min((eighth + 8) // 4, 3), max((eighth + 7) // 4, 0)}:
                count += int((read[units] < _fractions(table.low[cell])).sum() + (read[units] > _fractions(table.high[cell])).sum())
                count += int((rows < _fractions(table.least[cell])).sum())
    return count


def _fractions(values: np.ndarray) -> np.ndarray:
    return np.array([Fraction(float(v)) for v in values], dtype=object)


@pytest.mark.parametrize("seed", range(4))
def test_every_change_lies_in_its_range(seed: int) -> None:
    assert outside(seed) == 0


@pytest.mark.parametrize("bug", ["low", "high"])
def test_planted_bugs_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = single_changes.row_bounds_and_ranges

    def narrower(*args: object) -> object:
        found, ranges = own(*args)  # type: ignore[arg-type]
        other = {v: (high, high) if bug == "low" else (low, low) for v, (low, high) in ranges.items()}
        return found, other

    monkeypatch.setattr(single_changes, "row_bounds_and_ranges", narrower)
    assert outside(0) > 0


def test_finer_cells_leave_coarser_ones_as_they_are() -> None:
    problem = asked(pooled(1), 1)
    bounds = pixel_bounds(graph_of(problem), statement_of([problem]).cases[0])
    maxima = maxima_of(bounds.centre)
    coarse, fine = (Singles(bounds, maxima).single(3, depth) for depth in (BASE, BASE + 2))
    assert (coarse.depth, fine.depth) == (BASE, BASE + 2)
    again = Singles(bounds, maxima).single(3, BASE + 2, coarse)
    assert again.cells[BASE] is coarse.cells[BASE]
    for name in ("low", "high", "least"):
        np.testing.assert_array_equal(getattr(coarse.finest, name), getattr(fine.cells[BASE], name))
        np.testing.assert_array_equal(getattr(coarse.whole, name), getattr(fine.whole, name))
    assert len(fine.finest) == 1 << BASE + 2


def test_halves_hold_both_of_their_cells() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 8):
        low, high = np.sort(rng.normal(size=(2, count, 3)), axis=0).astype(np.float32)
        table = Table(low, high, rng.normal(size=(count, 2)))
        halved = table.halved()
        assert len(halved) == (count + 1) // 2
        for i in range(count):
            assert (halved.low[i // 2] <= low[i]).all()
            assert (halved.high[i // 2] >= high[i]).all()
            assert (halved.least[i // 2] <= table.least[i]).all()


def test_what_is_too_fine_or_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = asked(pooled(1), 1)
    bounds = pixel_bounds(graph_of(problem), statement_of([problem]).cases[0])
    with pytest.raises(DataError, match="at most 2\\^8"):
        Singles(bounds, maxima_of(bounds.centre)).single(0, 9)
    assert unit_begins(bounds.network, maxima_of(bounds.centre))[0] == 0
    monkeypatch.setattr("netassay.checking.certificates.pairs.HELD", 1000)
    pairs = PairBounds(bounds, np.arange(30), 1)
    pairs.cut(0, 0)
    with pytest.raises(DataError, match="fewer cells"):
        pairs.cut(0, 7)
