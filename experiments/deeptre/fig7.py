"""Figs. 7 and 8: saliency maps, and what t = 1 costs on an ImageNet-size network."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepquant.drawing import canvas, show
from deepquant.fig7b import RANDOM, SHAPE, random_network
from deepquant.report import Result, Table, number
from deepquant.setting import Setting, Size
from deeptre.networks import POINTS, SCRIPT, SOURCES, balls, rightly_decided
from netassay.falsifiers.sparse.saliency import saliency
from netassay.falsifiers.sparse.subspaces import BATCH, Inputs, sensitivities

ENDS = 2
"""Values of each channel on the ImageNet-size network: the ends of [0, 1]; eight colours of a pixel."""


@dataclass(frozen=True)
class Plan:
    """Networks, images of each, and pixels of the ImageNet-size image (0: leave that out)."""

    networks: tuple[str, ...]
    images: int
    pixels: int


PLANS = {
    Size.QUICK: Plan(("digits-cnn",), 2, 0),
    Size.USUAL: Plan(("sdnn", "case3_cnn", "cifar"), 4, 16),
    Size.FULL: Plan(("sdnn", "case3_cnn", "cifar"), 8, 224 * 224),
}

Maps = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Images (N, *shape) and saliency maps (N, height, width) by network."""


@dataclass(frozen=True)
class Cost:
    """What a part of t = 1 took on the ImageNet-size network."""

    points: int
    seconds: float

    def whole(self) -> float:
        """Hours for all pixels at this speed."""
        return float(SHAPE[1] * SHAPE[2] * ENDS ** SHAPE[0]) / self.points * self.seconds / 3600


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Maps of a few images of every network; some pixels of the large one."""
    plan = plan or PLANS[setting.size]
    maps: Maps = {}
    rows = []
    for name in plan.networks:
        setting.say(f"  {name}: {plan.images} images")
        network, images, _ = rightly_decided(name, plan.images)
        begin = time.process_time()
        maps[name] = images, saliency(balls(network, images, logits=True), points=POINTS)[:, 0]  # a pixel's channels share one number
        seconds = (time.process_time() - begin) / len(images)
        least = [float(np.quantile(m, 0.99) / m.max()) if m.max() > 0 else 0.0 for m in maps[name][1]]
        rows.append(
            [SOURCES[name].title, number(float(maps[name][1].max(axis=(1, 2)).mean()), 3), f"{np.mean(least):.2f}", number(seconds, 3)]
        )
    tables = [Table("Saliency maps", ["network", "mean largest drop", "99 % of the pixels below, as a share of it", "s an image"], rows)]
    if plan.pixels:
        setting.say(f"  {RANDOM}: {plan.pixels} pixels")
        tables.append(_cost_table(_large(plan.pixels, setting.seed)))
    return Result(
        "fig7",
        "Figs. 7 and 8: saliency maps, and the cost on an ImageNet-size network",
        f"How far each pixel alone can lower the logit of the label (section 5.3), {POINTS} values of each channel. Below, "
        f"{plan.pixels} pixels of a 224 x 224 image, at the {ENDS ** SHAPE[0]} corners of their colours, on a network of ResNet-50's "
        "size with **random weights: this shows the cost only**.",
        "Images of AlexNet, VGG-16, VGG-19, ResNet-50 and ResNet-101 on one photo, and their bounds at t = 1 as bars: AlexNet "
        "converges at 2 pixels; VGG-16 is the most robust (15).",
        tables,
        {"": _draw(maps)},
        {
            "": "Inputs, and under each its saliency map: the brighter a pixel, the further it alone can lower the logit (each "
            "map in its own scale)."
        },
        [
            "ImageNet weights are not among the benchmark files, so the bounds of Fig. 8 are not measured again; saliency maps are "
            "those of MNIST and CIFAR-10 networks.",
            "Drops of the logit, not of the probability: that of case3_cnn is rounded to 1 in float32, and no pixel alone moves it.",
            "The paper says neither its grid nor which photo it took.",
        ],
        _seen(tables),
        script=SCRIPT,
    )


def _large(pixels: int, seed: int) -> Cost:
    """Sensitivities of a few pixels, drawn at random, of a random image."""
    network, rng = random_network(), np.random.default_rng(seed)
    inputs = Inputs(balls(network, rng.random((1, *SHAPE), dtype=np.float32).astype(np.float64)), 16 * BATCH)
    chosen = np.sort(rng.choice(len(inputs.members), pixels, replace=False))[:, None]
    begin, before = time.process_time(), inputs.counter.points
    if sensitivities(inputs, 1, ENDS, chosen=chosen) is None:
        raise KeyboardInterrupt
    return Cost(inputs.counter.points - before, time.process_time() - begin)


def _cost_table(cost: Cost) -> Table:
    speed = f"{cost.points / cost.seconds:.1f}"
    row = [RANDOM, str(cost.points), number(cost.seconds, 3), speed, f"{cost.whole():.1f}"]
    return Table("Cost of t = 1", ["network", "points", "processor s", "points a second", "hours for all 50,176 pixels"], [row])


def _draw(maps: Maps) -> Figure:
    count = max(len(images) for images, _ in maps.values())
    figure = canvas(1.15 * count * len(maps), 2.7)
    for part, (name, (images, found)) in zip(np.atleast_1d(np.asarray(figure.subfigures(1, len(maps)))), maps.items(), strict=True):
        part.suptitle(SOURCES[name].title, fontsize=9)
        grid = part.subplots(2, count, squeeze=False)
        for above, below, image, heat in zip(grid[0], grid[1], images, found, strict=False):
            show(above, image)
            below.imshow(heat, cmap="inferno", vmin=0, interpolation="none")
            below.set_axis_off()
    return figure


def _seen(tables: list[Table]) -> list[str]:
    found = [f"{row[0]}: the most salient pixel alone takes {row[1]} off the logit in the mean." for row in tables[0].rows]
    return found + [
        f"{row[0]}: {row[3]} points a second, so t = 1 for one image would take {row[4]} h." for t in tables[1:] for row in t.rows
    ]
