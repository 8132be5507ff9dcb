"""Saliency maps stand beside L0 witnesses whose inputs are pictures, and nowhere else; the darkest pixel lowers the logit furthest."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from netassay.errors import DataError
from netassay.numerics.norms import Norm
from netassay.reports.html import write_report
from netassay.reports.presentation import Presentation
from netassay.reports.saliency import saliency_map
from netassay.results.answer import RadiusAnswer
from reports import sample_answers

RADII = [a for a in sample_answers.image_answers(5) if isinstance(a, RadiusAnswer)]
L0 = next(a for a in RADII if a.region.norm is Norm.L0 and a.witness is not None)
OTHER = next(a for a in RADII if a.region.norm is not Norm.L0)


def shown(drops: NDArray[np.float64], layout: tuple[int, int, int] | None = (1, 8, 8), index: int | None = L0.index) -> Presentation:
    return Presentation(title="x", image_layout=layout, saliency={} if index is None else {index: drops})


def grey(uri: str, width: int) -> NDArray[np.uint8]:
    """Pixels of a grey PNG without filters."""
    data = base64.b64decode(uri.split(",")[1])
    begin = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompress(data[begin:]), dtype=np.uint8).reshape(-1, 1 + width)
    return rows[:, 1:]


def test_the_darkest_pixel_lowers_the_logit_furthest() -> None:
    drops = np.random.default_rng(0).uniform(0, 2, (1, 8, 8))
    drops[0, 2, 5] = 4.0
    found = saliency_map(L0, shown(drops))
    assert found is not None
    pixels = grey(found.picture.uri, found.picture.width)
    assert pixels[2, 5] == 0
    assert (pixels == np.rint(255 * (1 - drops[0] / 4))).all()
    assert float(found.most) == 4.0


def test_of_several_channels_the_strongest_is_shown() -> None:
    drops = np.zeros((3, 8, 8))
    drops[1, 4, 4], drops[2, 0, 0] = 2.0, 1.0
    found = saliency_map(L0, shown(drops, (3, 8, 8)))
    assert found is not None
    pixels = grey(found.picture.uri, 8)
    assert (pixels[4, 4], pixels[7, 7]) == (0, 255)
    assert 126 <= pixels[0, 0] <= 129


def test_there_is_none_without_a_drop_a_picture_or_l0() -> None:
    drops = np.ones((1, 8, 8))
    assert saliency_map(L0, shown(0 * drops)) is None
    assert saliency_map(L0, shown(np.nan * drops)) is None
    assert saliency_map(L0, shown(drops, None)) is None
    assert saliency_map(L0, shown(drops, index=None)) is None
    assert saliency_map(replace(L0, index=None), shown(drops)) is None
    assert saliency_map(OTHER, shown(drops, index=OTHER.index)) is None
    assert saliency_map(L0, shown(drops)) is not None


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="63"):
        saliency_map(L0, shown(np.ones(63)))


def test_it_stands_in_the_card_of_the_l0_radius_only(tmp_path: Path) -> None:
    maps = {a.index: np.ones((1, 8, 8)) for a in RADII if a.index is not None}
    text = write_report([L0, OTHER], tmp_path, title="x", image_layout=(1, 8, 8), saliency=maps).read_text(encoding="utf-8")
    assert text.count('<figure class="saliency">') == 1
    bare = write_report([L0, OTHER], tmp_path, title="x", image_layout=(1, 8, 8)).read_text(encoding="utf-8")
    assert '<figure class="saliency">' not in bare
