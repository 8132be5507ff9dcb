"""Pictures of inputs as PNG data: grey or colour, and differences on a diverging colour scale."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError

Array = NDArray[np.float64]
Layout = tuple[int, int, int]

MOST_PIXELS = 160
"""Longest side of an embedded picture; larger ones are reduced block by block."""

NEGATIVE, NEUTRAL, POSITIVE = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Ends and middle of the diverging scale: distinguishable in grey and with the common colour-vision deficiencies."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG as a data URI, its size in pixels, and how many input pixels each side of one of its pixels stands for."""

    uri: str
    width: int
    height: int
    block: int = 1


@dataclass(frozen=True, slots=True)
class Difference:
    """The picture of a change: ``limit`` is the change that has full colour, ``magnified`` how much that exceeds the input's scale."""

    picture: Picture
    limit: float
    magnified: float


def check_layout(layout: Layout, size: int) -> None:
    """Raises DataError if inputs of ``size`` features are no pictures of that (channels, height, width)."""
    c, h, w = layout
    if min(layout) < 1 or c * h * w != size:
        raise DataError(
            f"inputs of {size} features are no pictures of {c} x {h} x {w} (channels, height, width); give their real layout, or None"
        )


def value_range(*inputs: NDArray[np.floating]) -> tuple[float, float]:
    """The values shown as black and white: 0 and 1 where all inputs lie between, else the least and greatest value."""
    low, high = min(float(np.min(x)) for x in inputs), max(float(np.max(x)) for x in inputs)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1.0)


def picture(values: NDArray[np.floating], layout: Layout, shown: tuple[float, float], *, longest: int = MOST_PIXELS) -> Picture:
    """One input as a picture.

    Args:
        values: The input, any shape with channels * height * width entries in that order.
        layout: (channels, height, width). Three channels are red, green and blue; otherwise the mean of the channels is shown in grey.
        shown: The values that are black and white.
        longest: Longest side in pixels; larger inputs are averaged block by block.
    """
    image = _image(values, layout)
    block = _block(layout, longest)
    image = _blocks(image, block).mean(axis=(2, 4))
    low, high = shown
    grey = (
        np.clip((image - low) / (high - low), 0, 1) if len(image) == 3 else np.clip((image.mean(axis=0) - low) / (high - low), 0, 1)[None]
    )
    return _png(np.rint(grey * 255).astype(np.uint8), block)


def difference(
    before: NDArray[np.floating], after: NDArray[np.floating], layout: Layout, shown: tuple[float, float], *, longest: int = MOST_PIXELS
) -> Difference:
    """``after - before``: red where a pixel rose, blue where it fell, full colour at the largest change.

    Of several channels, and of the pixels of a reduced block, the one that changed most is shown, so no change is averaged away.
    """
    change = _image(np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64), layout)
    block = _block(layout, longest)
    pixels = _blocks(change, block).transpose(1, 3, 0, 2, 4)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    strongest = np.take_along_axis(pixels, np.abs(pixels).argmax(axis=-1, keepdims=True), axis=-1)[..., 0]
    limit = float(np.abs(strongest).max())
    shares = strongest / limit if limit > 0 else strongest
    ratio = (shown[1] - shown[0]) / limit if limit > 0 else 1.0
    return Difference(_png(_diverging(shares), block), limit, ratio)


def _image(values: NDArray[np.floating], layout: Layout) -> Array:
    check_layout(layout, values.size)
    return np.asarray(values, dtype=np.float64).reshape(layout)


def _block(layout: Layout, longest: int) -> int:
    return -(-max(layout[1:]) // longest)


def _blocks(image: Array, block: int) -> Array:
    """(c, rows, block, columns, block); the last row and column of blocks repeat the edge."""
    c, h, w = image.shape
    padded = np.pad(image, ((0, 0), (0, -h % block), (0, -w % block)), mode="edge")
    return padded.reshape(c, padded.shape[1] // block, block, padded.shape[2] // block, block)


def _diverging(shares: Array) -> NDArray[np.uint8]:
    """Colours (3, h, w) of shares in [-1, 1]."""
    middle, low, high = (np.array(c, dtype=np.float64)[:, None, None] for c in (NEUTRAL, NEGATIVE, POSITIVE))
    weight = np.abs(shares)[None]
    ends = np.where(shares[None] < 0, low, high)
    return np.rint(middle + (ends - middle) * weight).astype(np.uint8)


def _png(pixels: NDArray[np.uint8], block: int) -> Picture:
    """Pixels (1 or 3, height, width) as a PNG (RFC 2083), eight bits, no filter."""
    c, h, w = pixels.shape
    rows = np.zeros((h, 1 + c * w), dtype=np.uint8)
    rows[:, 1:] = pixels.transpose(1, 2, 0).reshape(h, -1)
    header = struct.pack(">IIBBBBB", w, h, 8, 2 if c == 3 else 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data) for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    )
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}", w, h, block)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def legend(steps: int = 61) -> Picture:
    """The colours of ``difference`` from full fall to full rise, one pixel high."""
    return _png(_diverging(np.linspace(-1, 1, steps)[None]), 1)
