"""Pictures: decoded by another reader they are what was put in; differences keep sign, size and every change."""

from __future__ import annotations

import base64
import io

import matplotlib.image
import numpy as np
import pytest

from netassay.errors import DataError
from netassay.reports.images import MOST_PIXELS, NEGATIVE, NEUTRAL, POSITIVE, difference, legend, picture, value_range


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")
    return np.rint(np.asarray(pixels) * 255).astype(int)


def test_grey_pictures_are_exact() -> None:
    values = np.arange(12.0).reshape(1, 3, 4) / 11
    found = picture(values, (1, 3, 4), (0.0, 1.0))
    assert (found.width, found.height, found.block) == (4, 3, 1)
    assert np.array_equal(decoded(found.uri), np.rint(values[0] * 255))


def test_colours_keep_their_order() -> None:
    values = np.random.default_rng(0).random((3, 5, 7))
    pixels = decoded(picture(values.reshape(-1), (3, 5, 7), (0.0, 1.0)).uri)
    assert np.array_equal(pixels, np.rint(values.transpose(1, 2, 0) * 255))


def test_values_beyond_the_range_are_clipped() -> None:
    pixels = decoded(picture(np.array([-3.0, 0.5, 9.0]), (1, 1, 3), (0.0, 1.0)).uri)[0]
    assert pixels.tolist() == [0, 128, 255]


def test_the_range_is_unit_or_that_of_the_data() -> None:
    assert value_range(np.array([0.2, 0.9]), np.array([0.1])) == (0.0, 1.0)
    assert value_range(np.array([0.2, 5.0]), np.array([-1.0])) == (-1.0, 5.0)
    assert value_range(np.array([7.0, 7.0])) == (7.0, 8.0)


def test_differences_have_full_colour_at_the_largest_change() -> None:
    before = np.zeros((1, 1, 4))
    after = np.array([0.2, -0.4, 0.0, 0.4]).reshape(1, 1, 4)
    found = difference(before, after, (1, 1, 4), (0.0, 1.0))
    assert found.limit == pytest.approx(0.4)
    assert found.magnified == pytest.approx(2.5)
    pixels = decoded(found.picture.uri)[0]
    assert [tuple(p) for p in pixels[1:]] == [NEGATIVE, NEUTRAL, POSITIVE]
    assert pixels[0].tolist() == [round((n + p) / 2) for n, p in zip(NEUTRAL, POSITIVE, strict=True)]


def test_no_change_is_neutral_everywhere() -> None:
    found = difference(np.ones((1, 2, 2)), np.ones((1, 2, 2)), (1, 2, 2), (0.0, 1.0))
    assert found.limit == 0
    assert {tuple(p) for p in decoded(found.picture.uri).reshape(-1, 3)} == {NEUTRAL}


def test_reducing_a_picture_never_hides_a_change() -> None:
    shape = (3, 400, 410)
    rng = np.random.default_rng(1)
    for _ in range(5):
        c, i, j = (int(rng.integers(n)) for n in shape)
        after = np.zeros(shape)
        after[c, i, j] = -0.1
        found = difference(np.zeros(shape), after, shape, (0.0, 1.0))
        assert max(found.picture.width, found.picture.height) <= MOST_PIXELS
        assert (found.picture.block, found.limit) == (3, pytest.approx(0.1))
        assert tuple(decoded(found.picture.uri)[i // 3, j // 3]) == NEGATIVE


def test_a_wrong_layout_is_refused() -> None:
    with pytest.raises(DataError, match="12 features are no pictures of 1 x 3 x 5"):
        picture(np.zeros(12), (1, 3, 5), (0.0, 1.0))


def test_the_legend_runs_from_fall_to_rise() -> None:
    pixels = decoded(legend().uri)[0]
    assert (tuple(pixels[0]), tuple(pixels[30]), tuple(pixels[-1])) == (NEGATIVE, NEUTRAL, POSITIVE)
