"""Texts of options: what they mean, and how wrong ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.assessment.ask import SEARCHED
from netassay.cli import parsing
from netassay.errors import InputError
from netassay.models.scores import Meaning
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.results.answer import Question


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 2**20), ("512MiB", 2**29), ("2GiB", 2**31), ("4g", 2**32), ("1.5 kb", 1536), ("1T", 2**40)]
)
def test_memory_sizes(text: str, size: int) -> None:
    assert parsing.memory(text) == size


def test_norms_are_named_once_and_default_to_linf() -> None:
    assert parsing.norms(None) == [Norm.LINF]
    assert parsing.norms(["l2", "inf", "L2"]) == [Norm.L2, Norm.LINF]


def test_a_radius_for_all_norms_yields_to_one_for_its_own() -> None:
    assert parsing.radii(["l2=1.5", "0.1"], [Norm.LINF, Norm.L2]) == {Norm.LINF: 0.1, Norm.L2: 1.5}
    assert parsing.radii(["l2=1.5"], [Norm.LINF, Norm.L2]) == {Norm.L2: 1.5}
    assert parsing.radii(None, [Norm.LINF]) == {}


def test_targets_take_the_form_of_their_question() -> None:
    assert parsing.target(None, Question.RADIUS) is None
    assert parsing.target("0.5", Question.RADIUS) == 0.5
    assert parsing.target("0", Question.LIPSCHITZ) == 0
    assert parsing.target("-1,2.5", Question.REACH) == (-1, 2.5)
    assert parsing.target("-1,", Question.REACH) == (-1, None)
    assert parsing.target(" ,2", Question.REACH) == (None, 2)


def test_targets_name_their_question_unless_there_is_one_only() -> None:
    assert parsing.targets(None, [Question.RADIUS]) == {}
    assert parsing.targets(["0.5"], [Question.RADIUS]) == {Question.RADIUS: 0.5}
    assert parsing.targets(["reach=,2", "radius=0.5"], list(SEARCHED)) == {Question.RADIUS: 0.5, Question.REACH: (None, 2)}


def test_a_domain_is_one_interval_for_all_features() -> None:
    box = parsing.domain("-1,2.5", (2, 2))
    assert (box.lower == -1).all()
    assert (box.upper == 2.5).all()


def test_a_corner_is_one_number_or_one_per_feature() -> None:
    np.testing.assert_array_equal(parsing.corner("3", (2, 1), "--lower"), [[3], [3]])
    np.testing.assert_array_equal(parsing.corner("3,-4", (2, 1), "--lower"), [[3], [-4]])


def test_a_patch_frees_its_pixels_in_all_channels() -> None:
    mask = parsing.mask("1,0,2,3", (2, 4, 5))
    assert mask is not None
    expected = np.zeros((2, 4, 5), dtype=bool)
    expected[:, 0:3, 1:3] = True
    np.testing.assert_array_equal(mask, expected)


def test_arrays_from_files_fit_the_input(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    file = str(tmp_path / "a.npy")
    np.testing.assert_array_equal(parsing.mask(file, (2, 2)), [[False, True], [True, True]])
    np.testing.assert_array_equal(parsing.granularity(file, (4,)), [0, 1, 2, 3])
    np.testing.assert_array_equal(parsing.scale(file, Box.filled((1, 4), 0, 1)), [[0, 1, 2, 3]])
    np.save(tmp_path / "plane.npy", np.eye(2))
    np.testing.assert_array_equal(parsing.mask(str(tmp_path / "plane.npy"), (3, 2, 2)), np.broadcast_to(np.eye(2) > 0, (3, 2, 2)))


def test_the_domains_ranges_are_the_scale_and_a_fixed_feature_has_unit_one() -> None:
    box = Box(np.array([0.0, -1, 3]), np.array([10.0, 1, 3]))
    np.testing.assert_array_equal(parsing.scale("domain", box), [10, 2, 1])
    assert parsing.scale("none", box) is None


def test_one_hot_blocks_and_steps() -> None:
    assert parsing.one_hot("3,4,5;6,7") == ((3, 4, 5), (6, 7))
    assert parsing.one_hot(None) == ()
    np.testing.assert_array_equal(parsing.granularity("0.5", (2,)), [0.5, 0.5])
    assert parsing.granularity(None, (2,)) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parsing.number("x", "--a"), "--a needs a finite number; got 'x'"),
        (lambda: parsing.number("nan", "--a"), "finite"),
        (lambda: parsing.numbers("1,,2", "--a"), "--a needs a finite number; got ''"),
        (lambda: parsing.positive(0.0, "--radius"), "--radius must be a positive number; got 0"),
        (lambda: parsing.positive(float("nan"), "--radius"), "positive"),
        (lambda: parsing.positive(float("inf"), "--radius"), "positive"),
        (lambda: parsing.memory("lots"), "--memory needs a size"),
        (lambda: parsing.norms(["l3"]), "unknown norm 'l3'; known: l0, l1, l2, linf"),
        (lambda: parsing.radii(["l2=1"], [Norm.LINF]), "names l2"),
        (lambda: parsing.radii(["-1"], [Norm.LINF]), "positive"),
        (lambda: parsing.radii(["l9=1"], [Norm.LINF]), "unknown norm"),
        (lambda: parsing.domain("1,0", (2,)), "LO below HI"),
        (lambda: parsing.domain("1", (2,)), "LO,HI"),
        (lambda: parsing.corner("1,2,3", (2,), "--upper"), "--upper needs one number or 2"),
        (lambda: parsing.mask("0,0,2,2", (5,)), "for images"),
        (lambda: parsing.mask("0,0,9,2", (1, 4, 4)), "leaves the image of 4 x 4 pixels"),
        (lambda: parsing.mask("0,0,0,2", (1, 4, 4)), "empty"),
        (lambda: parsing.mask("0,0,1.5,2", (1, 4, 4)), "whole pixels"),
        (lambda: parsing.mask("none.npy", (4,)), "no such file"),
        (lambda: parsing.scale("wide", Box.filled((2,), 0, 1)), "known: FILE.npy, domain, none"),
        (lambda: parsing.scale("domain", Box.unbounded((2,))), "--domain LO,HI"),
        (lambda: parsing.granularity("-1", (2,)), "negative"),
        (lambda: parsing.one_hot("1;b"), "--one-hot needs blocks"),
        (lambda: parsing.choice("softmax", Meaning, "--outputs"), "known: binary-logit, logits"),
    ],
)
def test_wrong_texts_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"--mask: the array has shape \(3, 3\); the model's input is \(4,\)"):
        parsing.mask(str(tmp_path / "a.npy"), (4,))
    np.save(tmp_path / "b.npy", np.array(["a"]))
    with pytest.raises(InputError, match="expected numbers"):
        parsing.mask(str(tmp_path / "b.npy"), (1,))
