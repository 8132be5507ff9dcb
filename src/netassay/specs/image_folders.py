"""Folders of pictures, one subfolder per class, decoded by Pillow (extra ``images``) when they are asked for.

Only formats that hold plain pixels are decoded. A picture's size is checked against its header before anything is
decoded; nothing is resized, rotated or made opaque: a picture that would need it is refused by its name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError, NetassayError, UsageError
from netassay.specs.data_limits import LIMIT, Arrays, check_size

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
FORMATS = ("PNG", "JPEG", "BMP")
PIXELS = 2**26
"""Pixels that one picture may declare, 8192 x 8192: one of more is taken for a decompression bomb."""

FILES = 1_000_000
"""Files that one folder may hold."""

CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3}
"""Channels that a Pillow mode becomes; an alpha channel must be opaque."""

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright."""


class Pictures:
    """Pictures of one size, decoded when they are asked for: ``pictures[indices]`` is (n, height, width, channels) uint8.

    Args:
        files: One picture each, at least one; the first one's header gives the size that all must have.
        limit: Bytes that the pictures asked for at once may take as float64.
    Raises:
        DataError: For a picture that cannot be read, or that is not as the first one is.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Sequence[Path], limit: int = LIMIT) -> None:
        self.files = tuple(files)
        self._limit = limit
        with _opened(self.files[0]) as picture:
            self._one = _shape(self.files[0], picture)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As if all were decoded."""
        return (len(self.files), *self._one)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        check_size(str(self.files[0].parent), 8 * len(indices) * int(np.prod(self._one)), self._limit, "take fewer: --limit N")
        decoded = np.empty((len(indices), *self._one), dtype=np.uint8)
        for row, index in enumerate(indices):
            decoded[row] = self._decoded(self.files[index])
        return decoded

    def _decoded(self, path: Path) -> NDArray[np.uint8]:
        with _opened(path) as picture:
            shape = _shape(path, picture)
            if shape != self._one:
                raise DataError(f"{path}: {_size(shape)}; {self.files[0].name} is {_size(self._one)}: give all pictures one size and kind")
            if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema() != (255, 255):
                raise DataError(f"{path}: it is transparent in places; paste it onto the background that the network was trained with")
            return np.asarray(picture.convert("L" if shape[2] == 1 else "RGB"), dtype=np.uint8).reshape(shape)


def read_folder(folder: Path, limit: int = LIMIT) -> tuple[Arrays, list[str]]:
    """Pictures and labels of a folder, and notes about them.

    A subfolder is a class: labels follow the order of the folders' names, or are the names where all of them are whole
    numbers. The pictures come one of each class in turn, each class in the order of its file names, so that the first N
    are of all classes. A folder of pictures without subfolders has no labels.

    Raises:
        DataError: For a folder without pictures, pictures beside class folders, and folders within class folders.
    """
    folders, files, others = _content(folder)
    if folders and files:
        raise DataError(
            f"{folder}: {len(files)} pictures lie beside class folders, such as {files[0].name}; put each into its class's folder"
        )
    classes = [_class(inner, others) for inner in folders]
    labels, notes = _labels(folder, folders)
    if folders:
        turns = [(file, label) for row in zip_longest(*classes) for file, label in zip(row, labels, strict=True) if file is not None]
        files = [file for file, _ in turns]
    if not files:
        raise DataError(f"{folder}: no pictures; expected {', '.join(sorted(SUFFIXES))} files, in one subfolder per class")
    if others:
        notes.append(f"{folder}: {len(others)} files are no pictures and are left out, such as {others[0].name}")
    arrays: Arrays = {"x": Pictures(files, limit)}
    if folders:
        arrays["y"] = np.array([label for _, label in turns], dtype=np.int64)
        if not _numbered(folders):
            arrays["label_names"] = np.array([_text(inner) for inner in folders])
    return arrays, notes


def _class(folder: Path, others: list[Path]) -> list[Path]:
    """The pictures of a class folder; what else it holds is added to ``others``."""
    deeper, pictures, unread = _content(folder)
    if deeper:
        raise DataError(f"{folder}: a class folder holds pictures only; it holds the folder {deeper[0].name!r}")
    others += unread
    return pictures


def _content(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Folders, pictures and other files, each in the order of their names; hidden ones are passed over."""
    folders: list[Path] = []
    pictures: list[Path] = []
    others: list[Path] = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries, start=1):
            if count > FILES:
                raise DataError(f"{folder}: more than {FILES} files; split the folder")
            if entry.name.startswith("."):
                continue
            picture = entry.is_file() and Path(entry.name).suffix.lower() in SUFFIXES
            (folders if entry.is_dir() else pictures if picture else others).append(Path(entry.path))
    return sorted(folders), sorted(pictures), sorted(others)


def _numbered(folders: Sequence[Path]) -> bool:
    """Whether all folders are named by labels."""
    return all(f.name.isascii() and f.name.isdigit() and len(f.name) < 10 for f in folders)


def _labels(folder: Path, classes: list[Path]) -> tuple[list[int], list[str]]:
    """The label of each class folder, and what there is to say about them."""
    if not classes:
        return [], []
    if not _numbered(classes):
        shown = ", ".join(f"{_text(inner)} = {label}" for label, inner in enumerate(classes[:10])) + (", ..." if len(classes) > 10 else "")
        return list(range(len(classes))), [f"{folder}: labels follow the order of the class folders' names: {shown}"]
    labels = [int(inner.name) for inner in classes]
    if len(set(labels)) < len(labels):
        raise DataError(f"{folder}: two class folders name the same label ({', '.join(inner.name for inner in classes)}); join them")
    return labels, [f"{folder}: the class folders are named by their labels"]


def _text(path: Path) -> str:
    """A file's name as text that can be written anywhere."""
    return os.fsencode(path.name).decode("utf-8", errors="replace")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("folders of pictures are read by Pillow, which is not installed: pip install 'netassay[images]'") from error
    return Image


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The picture behind its header; whatever a broken one makes Pillow raise, also while it is decoded, is a DataError."""
    image = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with image.open(path, formats=FORMATS) as picture:
                yield picture
    except NetassayError:
        raise
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a readable picture ({said}); known: {', '.join(FORMATS)}") from error


def _shape(path: Path, picture: Any) -> tuple[int, int, int]:
    """(height, width, channels); the number of pixels is checked before anything is decoded."""
    width, height = picture.size
    if width * height > PIXELS:
        raise DataError(f"{path}: declares {width} x {height} pixels; the limit is {PIXELS}; give the picture as the network takes it")
    if picture.mode not in CHANNELS or (picture.format == "PNG" and _png_depth(path) > 8):
        raise DataError(f"{path}: its pixels are of kind {picture.mode!r} or deeper than 8 bits; convert it to 8-bit grey or RGB")
    if getattr(picture, "n_frames", 1) > 1:
        raise DataError(f"{path}: holds {picture.n_frames} pictures; expected one; save the one that is meant")
    if "transparency" in picture.info:
        raise DataError(f"{path}: has a transparent colour; paste it onto the background that the network was trained with")
    if picture.getexif().get(ORIENTATION, 1) != 1:
        raise DataError(f"{path}: its EXIF data say that it is to be turned; turn the pixels and drop the tag, or only drop it")
    return height, width, CHANNELS[picture.mode]


def _png_depth(path: Path) -> int:
    """Bits per channel, of which Pillow keeps eight without a word: byte 24 of the file, in its first chunk."""
    with path.open("rb") as stream:
        return stream.read(25)[24]


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels, {'grey' if shape[2] == 1 else 'RGB'}"
