"""Second differences of maxima: compiled, as plain Python, and against samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

from netassay.verifiers.sparse import pair_kernel
from netassay.verifiers.sparse.pair_kernel import second_differences

PAIRS, OUTPUTS = 40, 5

Ends = tuple[np.ndarray, np.ndarray]


def ends(rng: np.random.Generator, numbers: int, width: float) -> Ends:
    middle, half = rng.normal(size=(PAIRS, numbers)), width * rng.random((PAIRS, numbers))
    return (middle - half).astype(np.float32), (middle + half).astype(np.float32)


def plain(monkeypatch: pytest.MonkeyPatch, *replaced: tuple[str, str, str]) -> Callable[..., None]:
    """The kernel as Python, with some text of a function of it replaced."""
    changes = {name: (old, new) for name, old, new in replaced}
    space = dict(vars(pair_kernel), compiled=lambda function: function)
    for name in ("_second", "_unpacked", "_one", "_rise", "_in_turn", "_by_winners", "_largest", "second_differences"):
        function = getattr(pair_kernel, name)
        source = inspect.getsource(getattr(function, "py_func", function))
        old, new = changes.get(name, ("", ""))
        assert old in source
        exec(compile(source.replace(old, new) if old else source, "kernel", "exec"), space)
    found: Callable[..., None] = space["second_differences"]
    return found


class World:
    """Some outputs with so many gaps each, one change of each kind for each pair, interplay of their gaps or of the numbers they read."""

    def __init__(self, gaps: int, seed: int, *, boxed: bool = False, width: float = 0.5) -> None:
        rng = np.random.default_rng([gaps, seed, boxed])
        numbers = OUTPUTS * gaps
        self.gaps, self.boxed, self.rng = gaps, boxed, rng
        self.z = np.minimum(0, rng.normal(size=numbers) - 0.5)
        self.starts, self.choice, self.others = np.arange(OUTPUTS + 1) * gaps, np.full(OUTPUTS, numbers), np.arange(numbers)
        self.one, self.two = ends(rng, numbers, width), ends(rng, numbers, width)
        self.middle = rng.normal(size=(PAIRS, numbers)).astype(np.float32)
        self.radius = (0.4 * width * rng.random((PAIRS, numbers))).astype(np.float32)

    def found(self, kernel: Callable[..., None] = second_differences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the kernel writes."""
        middle, radius, largest = (np.zeros(shape, dtype=np.float32) for shape in ((PAIRS, OUTPUTS), (PAIRS, OUTPUTS), PAIRS))
        moved, opened = np.zeros((PAIRS, OUTPUTS), dtype=np.bool_), np.zeros(self.middle.shape, dtype=np.bool_)
        at = np.arange(PAIRS)
        before = [np.pad(side, ((0, 0), (0, 1))) if self.boxed else side for side in (self.middle, self.radius)]
        written = middle, radius, largest, moved, opened
        with np.errstate(all="ignore"):
            kernel(self.starts, self.choice, self.others, self.z, self.z, *self.one, at, *self.two, at, self.boxed, *before, *written)
        half = radius.astype(np.float64) * (1 + 1e-6)  # it is rounded to nearest
        low, high = middle - half, middle + half
        assert ((low != 0) | (high != 0) <= moved).all()
        assert not (np.maximum(np.abs(middle).max(axis=1), radius.max(axis=1)) > 2 * largest).any()
        return low, high, opened

    @property
    def both(self) -> Ends:
        """Ends of the interplay."""
        middle = self.middle.astype(np.float64)
        return middle - self.radius, middle + self.radius

    def sampled(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest second differences of points of the ranges, their ends among them."""
        least, most = np.full((PAIRS, OUTPUTS), np.inf), np.full((PAIRS, OUTPUTS), -np.inf)
        for _ in range(count):
            sides = [[side.astype(np.float64) for side in pair] for pair in (self.one, self.two, self.both)]
            a, b, e = (s[0] + (s[1] - s[0]) * self.rng.integers(0, 3, s[0].shape) / 2 for s in sides)
            values = [np.maximum(self.z + x, 0).reshape(PAIRS, OUTPUTS, -1).max(axis=2) for x in (a + b + e, a, b, np.zeros(a.shape))]
            found = values[0] - values[1] - values[2] + values[3]
            least, most = np.minimum(least, found), np.maximum(most, found)
        return least, most


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("gaps", [1, 3])
def test_second_differences_hold_every_sample(gaps: int, boxed: bool) -> None:
    world = World(gaps, 0, boxed=boxed)
    low, high, _ = world.found()
    least, most = world.sampled(400)
    assert (low <= least).all()
    assert (most <= high).all()
    assert (high - low).mean() < 4


def test_gaps_that_stay_closed_may_be_left_out() -> None:
    world = World(3, 1)
    world.z -= 2.5
    low, high, opened = world.found()
    assert 0 < opened.mean() < 1
    for pair in range(PAIRS):
        kept = opened[pair]
        alone = World(3, 1)
        alone.starts = np.append(0, np.cumsum(kept.reshape(OUTPUTS, -1).sum(axis=1)))
        alone.others, alone.z = world.others[kept], world.z[kept]
        alone.one, alone.two = ((np.ascontiguousarray(s[0][:, kept]), np.ascontiguousarray(s[1][:, kept])) for s in (world.one, world.two))
        alone.middle, alone.radius = np.ascontiguousarray(world.middle[:, kept]), np.ascontiguousarray(world.radius[:, kept])
        found = alone.found()
        np.testing.assert_allclose(found[0][pair], low[pair], atol=1e-12)
        np.testing.assert_allclose(found[1][pair], high[pair], atol=1e-12)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none_bound_nothing(number: float) -> None:
    for side in (lambda w: w.one[1], lambda w: w.two[0], lambda w: w.middle, lambda w: w.radius):
        world = World(2, 2)
        side(world)[3, 4] = number
        low, high, _ = world.found()
        assert not np.isfinite(low[3, 2])
        assert not np.isfinite(high[3, 2])
        assert np.isfinite(low[4]).all()


def test_the_compiled_kernel_is_the_python_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = plain(monkeypatch)
    for gaps, boxed in ((1, False), (3, True)):
        world = World(gaps, 3, boxed=boxed)
        for mine, theirs in zip(world.found(), world.found(kernel), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "bug",
    [
        ("_second", "for b in (b0, b1):", "for b in (b1, b1):"),
        ("_in_turn", "min(el, least), max(eh, most)", "least, most"),
        ("_in_turn", "al - first_high", "al"),
        ("_by_winners", "if top >= both:", "if top > 2 * both:"),
        ("_by_winners", "low if p == q else", "low if p == q or top_p >= 0 else"),
        ("_rise", "change >= 0", "change < 0"),
        ("_one", "max(e1, 0.0)", "0.0"),
        ("second_differences", "z + a1 + b1 + e1)\n", "z + a1 + b1)\n"),
    ],
    ids=["corner", "interplay before", "largest so far", "winner", "other winner", "rise", "interplay", "closed gap"],
)
def test_planted_bugs_are_caught(bug: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = plain(monkeypatch, bug)
    caught = 0
    for seed in range(4):
        world = World(3, seed, width=0.3)
        world.z -= 0.5
        low, high, _ = world.found(kernel)
        least, most = world.sampled(100)
        caught += not ((low <= least).all() and (most <= high).all())
    assert caught
