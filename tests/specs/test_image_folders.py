"""Folders of pictures: order, labels, layout, and every picture that is not what it should be."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.errors import DataError, UsageError
from netassay.models.scores import Meaning
from netassay.specs import image_folders
from netassay.specs.data_files import read_arrays
from netassay.specs.datasets import load_data
from shape_only import ShapeOnly

Image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed: extra 'images'")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(6)


def picture(path: Path, pixels: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)


@pytest.fixture
def pets(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, dict[str, Any]]:
    """Three cats, one dog, two emus: RGB, 4 pixels high and 5 wide."""
    folder = tmp_path / "pets"
    pixels = {f"{name}/{i}.png": rng.integers(0, 256, (4, 5, 3)) for name, n in (("emu", 2), ("cat", 3), ("dog", 1)) for i in range(n)}
    for name, values in pixels.items():
        picture(folder / name, values)
    return folder, pixels


def test_one_of_each_class_in_turn_with_labels_by_the_order_of_names(pets: tuple[Path, dict[str, Any]]) -> None:
    folder, pixels = pets
    data = load_data(str(folder), ShapeOnly((3, 4, 5)))
    order = ["cat/0.png", "dog/0.png", "emu/0.png", "cat/1.png", "emu/1.png", "cat/2.png"]
    np.testing.assert_array_equal(data.inputs, np.stack([pixels[name].transpose(2, 0, 1) / 255.0 for name in order]))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 0, 2, 0]
    assert data.label_names == ("cat", "dog", "emu")
    assert data.source_shape == (3, 4, 5)
    assert data.domain is not None
    assert (data.domain.lower.min(), data.domain.upper.max()) == (0, 1)
    said = " ".join(data.notes)
    assert "cat = 0, dog = 1, emu = 2" in said
    assert "scaled from 0..255" in said
    assert "channels-last inputs (4, 5, 3) are read as (3, 4, 5)" in said


def test_only_the_pictures_asked_for_are_decoded(pets: tuple[Path, dict[str, Any]]) -> None:
    folder, pixels = pets
    (folder / "emu/1.png").write_bytes(b"no picture at all")
    assert len(load_data(str(folder), ShapeOnly((3, 4, 5)), limit=4)) == 4
    one = load_data(str(folder), ShapeOnly((3, 4, 5)), index=5)
    np.testing.assert_array_equal(one.inputs[0], pixels["cat/2.png"].transpose(2, 0, 1) / 255.0)
    with pytest.raises(DataError, match=r"emu/1\.png: not a readable picture"):
        load_data(str(folder), ShapeOnly((3, 4, 5)))


def test_folders_named_by_numbers_are_those_labels(tmp_path: Path) -> None:
    for label in (10, 2, 0):
        picture(tmp_path / str(label) / "a.png", np.full((2, 2), label))
    data = load_data(str(tmp_path), ShapeOnly((1, 2, 2), outputs=11))
    assert data.labels is not None
    assert data.labels.tolist() == (data.inputs[:, 0, 0, 0] * 255).round().tolist()
    assert data.label_names == ()
    with pytest.raises(DataError, match="label 10 of input 1 is out of range"):
        load_data(str(tmp_path), ShapeOnly((1, 2, 2), outputs=3))


def test_two_folders_of_one_label_are_refused(tmp_path: Path) -> None:
    for name in ("1", "01"):
        picture(tmp_path / name / "a.png", np.zeros((2, 2)))
    with pytest.raises(DataError, match="two class folders name the same label"):
        read_arrays(str(tmp_path))


def test_too_few_class_folders_could_be_any_labels(pets: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"has 3 names; expected 4; every label needs its class folder, also one without pictures"):
        load_data(str(pets[0]), ShapeOnly((3, 4, 5), outputs=4))
    (pets[0] / "fox").mkdir()
    data = load_data(str(pets[0]), ShapeOnly((3, 4, 5), outputs=4))
    assert data.label_names == ("cat", "dog", "emu", "fox")


def test_a_network_of_values_takes_pictures_without_their_labels(pets: tuple[Path, dict[str, Any]]) -> None:
    data = load_data(str(pets[0]), ShapeOnly((3, 4, 5), 1, meaning=Meaning.VALUES))
    assert data.labels is None
    assert data.label_names == ()


def test_pictures_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        picture(tmp_path / name, np.full((2, 2), ord(name[0])))
    data = load_data(str(tmp_path), ShapeOnly((1, 2, 2)))
    assert data.labels is None
    assert (data.inputs[:, 0, 0, 0] * 255).round().tolist() == [ord("a"), ord("b")]


def test_a_network_that_takes_channels_last_gets_them(pets: tuple[Path, dict[str, Any]]) -> None:
    data = load_data(str(pets[0]), ShapeOnly((4, 5, 3)), limit=1)
    np.testing.assert_array_equal(data.inputs[0], pets[1]["cat/0.png"] / 255.0)


def test_nothing_is_resized(pets: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"shape \(4, 5, 3\) \(60 numbers\); the model takes \(3, 8, 8\)"):
        load_data(str(pets[0]), ShapeOnly((3, 8, 8)))


def test_files_that_are_no_pictures_are_left_out_and_said(pets: tuple[Path, dict[str, Any]]) -> None:
    (pets[0] / "cat" / "labels.txt").write_text("x")
    (pets[0] / "cat" / ".hidden.png").write_text("x")
    _, notes = read_arrays(str(pets[0]))
    assert any("1 files are no pictures and are left out, such as labels.txt" in note for note in notes)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda f: picture(f / "stray.png", np.zeros((4, 5, 3))), "1 pictures lie beside class folders, such as stray.png"),
        (lambda f: (f / "cat" / "more").mkdir(), "holds the folder 'more'"),
        (lambda f: picture(f / "cat" / "1.png", np.zeros((5, 4, 3))), r"1\.png: 4 x 5 pixels, RGB; 0\.png is 5 x 4 pixels, RGB"),
        (lambda f: picture(f / "cat" / "1.png", np.zeros((4, 5))), r"1\.png: 5 x 4 pixels, grey"),
        (lambda f: picture(f / "cat" / "1.png", np.full((4, 5, 4), 7)), "transparent in places"),
        (lambda f: picture(f / "cat" / "1.png", np.zeros((4, 5, 3)), transparency=(0, 0, 0)), "transparent colour"),
        (lambda f: Image.new("I;16", (5, 4)).save(f / "cat" / "1.png"), "deeper than 8 bits"),
        (lambda f: Image.new("CMYK", (5, 4)).save(f / "cat" / "1.jpg"), "kind 'CMYK'"),
        (
            lambda f: Image.new("RGB", (5, 4)).save(f / "cat" / "1.png", save_all=True, append_images=[Image.new("RGB", (5, 4), 9)]),
            "2 pict",
        ),
        (lambda f: Image.new("RGB", (5, 4)).save(f / "cat" / "1.jpg", exif=turned()), "EXIF data say that it is to be turned"),
        (lambda f: (f / "cat" / "1.png").write_bytes((f / "cat" / "1.png").read_bytes()[:60]), "not a readable picture"),
        (lambda f: (f / "cat" / "1.png").write_bytes(b""), "not a readable picture"),
    ],
)
def test_pictures_that_would_have_to_be_changed_are_refused(pets: tuple[Path, dict[str, Any]], prepare: Any, message: str) -> None:
    prepare(pets[0])
    with pytest.raises(DataError, match=message):
        load_data(str(pets[0]), ShapeOnly((3, 4, 5)))


def turned() -> Any:
    exif = Image.Exif()
    exif[image_folders.ORIENTATION] = 6
    return exif


def test_opaque_palettes_and_bits_are_what_they_show(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 2, (4, 5)) * 255
    Image.fromarray(pixels.astype(np.uint8)).convert("1").save(tmp_path / "a.png")
    picture(tmp_path / "b.png", np.stack([pixels, np.full((4, 5), 255)], axis=-1))
    data = load_data(str(tmp_path), ShapeOnly((1, 4, 5)))
    np.testing.assert_array_equal(data.inputs[:, 0], np.stack([pixels, pixels]) / 255.0)
    colours = tmp_path / "colours"
    picture(colours / "a.png", np.stack([pixels, 255 - pixels, pixels], axis=-1))
    with Image.open(colours / "a.png") as shown:
        shown.quantize(4).save(colours / "b.png")
    data = load_data(str(colours), ShapeOnly((3, 4, 5)))
    np.testing.assert_array_equal(data.inputs[0], data.inputs[1])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int = 8, rows: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(2**20, 2**20), (2**13, 2**13 + 1), (2**26 + 1, 1)])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    with pytest.raises(DataError, match=r"bomb\.png: (declares .* pixels; the limit is|not a readable picture \(Image size)"):
        read_arrays(str(tmp_path))


def test_sixteen_bits_of_colour_are_not_cut_to_eight(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(png(1, 1, 16, rows=b"\0" + b"\x12\x34" * 3))
    with pytest.raises(DataError, match="deeper than 8 bits"):
        read_arrays(str(tmp_path))


def test_more_pictures_than_fit_are_refused_before_they_are_decoded(pets: tuple[Path, dict[str, Any]]) -> None:
    arrays, _ = read_arrays(str(pets[0]), limit=8 * 60 * 3)
    assert arrays["x"][np.arange(3)].shape == (3, 4, 5, 3)
    with pytest.raises(DataError, match="take fewer: --limit N"):
        arrays["x"][np.arange(4)]


def test_a_folder_of_too_many_files_is_refused(pets: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folders, "FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        read_arrays(str(pets[0]))


@pytest.mark.parametrize("name", ["x.eps", "x.tiff", "x.psd"])
def test_other_formats_are_not_opened_under_any_name(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / name) if not name.endswith("psd") else (tmp_path / name).write_bytes(b"8BPS")
    (tmp_path / name).rename(tmp_path / "disguised.png")
    with pytest.raises(DataError, match="not a readable picture"):
        read_arrays(str(tmp_path))


@pytest.mark.parametrize("make", [lambda f: None, lambda f: (f / "cat").mkdir(), lambda f: (f / "a.txt").write_text("x")])
def test_a_folder_without_pictures_says_what_was_expected(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=r"no pictures; expected \.bmp, \.jpeg, \.jpg, \.png files, in one subfolder per class"):
        read_arrays(str(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="file names of any bytes are a POSIX matter")
def test_class_names_of_any_bytes_become_text(tmp_path: Path) -> None:
    for name in (b"b\xff", b"a"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    picture(tmp_path / "a" / "1.png", np.zeros((2, 2)))
    arrays, notes = read_arrays(str(tmp_path))
    assert arrays["label_names"].tolist() == ["a", "b\ufffd"]
    " ".join(notes).encode()


def test_without_pillow_it_says_what_to_install(pets: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"pip install 'netassay\[images\]'"):
        read_arrays(str(pets[0]))
