"""The drawings that several experiments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
"""Okabe and Ito's colours, which most colour-blind readers can tell apart."""

NARROWEST = 3.6
"""Inches that the name of a row takes."""

Picture = tuple[str, NDArray[np.floating]]
"""A caption, and an image (channels, height, width) in [0, 1]."""


def bars(axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float]], *, ylabel: str = "", log: bool = False) -> None:
    """Bars side by side: for each group one bar of each series; a value that is not finite leaves a gap."""
    width = 0.82 / len(series)
    for k, (name, values) in enumerate(series.items()):
        at = np.arange(len(groups)) + (k - (len(series) - 1) / 2) * width
        finite = np.array([v if np.isfinite(v) else np.nan for v in values])
        axes.bar(at, finite, 0.92 * width, label=name, color=COLOURS[k % len(COLOURS)])
    axes.set_xticks(np.arange(len(groups)), groups)
    axes.set_ylabel(ylabel)
    axes.grid(True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if log:
        axes.set_yscale("log")


def canvas(width: float, height: float) -> Figure:
    """An empty figure, inches, whose parts do not overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for the whole figure, under it."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)


def gallery(rows: Mapping[str, Sequence[Picture]], *, size: float = 1.25) -> Figure:
    """Images in rows, each row under its name, each image under its caption."""
    columns = max(len(row) for row in rows.values())
    lines = max(caption.count("\n") for row in rows.values() for caption, _ in row)
    figure = canvas(max(size * columns, NARROWEST), (size + 0.55) * len(rows))
    for part, (name, row) in zip(np.atleast_1d(np.asarray(figure.subfigures(len(rows), 1))), rows.items(), strict=True):
        part.suptitle(name, fontsize=9, x=0.01, ha="left", fontweight="bold")
        grid = part.subplots(1, columns, squeeze=False)[0]
        for axes in grid:
            axes.set_axis_off()
        for axes, (caption, image) in zip(grid, row, strict=False):
            show(axes, image)
            axes.set_title("\n" * (lines - caption.count("\n")) + caption, fontsize=7)  # so that all images get one size
    return figure


def show(axes: Axes, image: NDArray[np.floating]) -> None:
    """One image (channels, height, width) with values in [0, 1]: grey for one channel, colours for three."""
    pixels = np.clip(np.moveaxis(np.asarray(image, dtype=np.float64), 0, -1), 0, 1)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set_axis_off()
