"""Figs. 4 and 5: changed pixels and time of L0 attacks, and images of the witnesses."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import netassay as na
from deepquant.asking import decided
from deepquant.drawing import COLOURS, Picture, canvas, gallery
from deepquant.report import Result, Table, number
from deepquant.setting import Setting, Size
from deeptre.networks import POINTS, SCRIPT, SOURCES, Images, balls, rightly_decided
from netassay.assessment.ask import ask
from netassay.falsifiers.sparse.deeptre import deeptre
from netassay.models.network import Network
from netassay.results.answer import Question, RadiusAnswer

PAPER_ATTACK = "DeepTRE, t = 1"
LEFT_OUT = ("gradient", "mads, black box")
"""Contenders of the benchmark that say nothing more here."""


@dataclass(frozen=True)
class Plan:
    """Points per image by network, images of each, how many are shown as pictures, and which contenders (all where empty)."""

    queries: Mapping[str, int]
    images: int
    shown: int
    only: tuple[str, ...] = ()


PLANS = {
    Size.QUICK: Plan({"digits-cnn": 300}, 2, 2, (PAPER_ATTACK, "auto", "JSMA")),
    Size.USUAL: Plan({"sdnn": 1000, "case3_cnn": 2500}, 4, 4),
    Size.FULL: Plan({"sdnn": 10_000, "case3_cnn": 10_000}, 1000, 5),
}

Found = dict[str, dict[str, Any]]
"""By network and contender, the benchmark's ``Result``."""


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Every contender of the benchmark on the first images."""
    plan = plan or PLANS[setting.size]
    found: Found = {}
    pictures: dict[str, list[Picture]] = {}
    for name, queries in plan.queries.items():
        network, images, labels = rightly_decided(name, plan.images)
        found[name] = {}
        for who, contender in _contenders().items():
            if who not in LEFT_OUT and (not plan.only or who in plan.only):
                setting.say(f"  {name}: {who}, {queries} points, {len(images)} images")
                found[name][who] = contender(network, images, queries, setting.seed)
        pictures |= _pictures(name, network, images[: plan.shown], labels[: plan.shown], queries, setting.seed)
    return Result(
        "fig4",
        "Figs. 4 and 5: L0 attacks",
        f"Changed pixels of the best witness, and processor time, on the first {plan.images} test images that each network labels "
        f"rightly; at most {', '.join(f'{q:,} points an image on {SOURCES[n].title}' for n, q in plan.queries.items())}. A point with "
        f"its gradient counts once. `{PAPER_ATTACK}` is the paper's attack ({POINTS} values of each pixel, drops of the logit), where "
        "that fits in the points; `auto` is netassay's search, with gradients and as a black box.",
        "Bars without printed numbers against JSMA, C&W, DLV, SafeCV and DeepGame, 1,000 images each. The text says: on MNIST fewer "
        "pixels than JSMA, DLV and SafeCV and about as many as C&W and DeepGame; 18 times faster than JSMA, 100 than C&W, 1,050 than "
        "DLV, 357 than SafeCV; 2.62 pixels in the mean on CIFAR-10.",
        [Table(SOURCES[name].title, HEAD, [_row(who, r) for who, r in by_who.items()]) for name, by_who in found.items()],
        {"": _draw(found), "images": gallery(pictures)},
        {
            "": "Mean and standard deviation of changed pixels (left), and processor seconds for an image (right, log scale).",
            "images": "Inputs, and the witnesses of the paper's attack and of netassay's, with their changed pixels and the label there.",
        },
        [
            "C&W, DLV, SafeCV and DeepGame are left out; L0 attacks that came later stand in for them: sigma-zero, VFGA and FMN (see "
            "`benchmarks/l0_attacks.py`). JSMA is written after its paper.",
            "All attacks get the same number of points; the paper lets each run as it is.",
            "Attacks of others that run on all images at once share their cost; VFGA, JSMA and Pointwise take one image at a time.",
            "Sensitivities are drops of the logit: the probabilities of case3_cnn are rounded to 1 in float32.",
            "Other networks and fewer images; no CIFAR-10.",
        ],
        _seen(found),
        script=SCRIPT,
    )


HEAD = ["attack", "found", "mean pixels", "standard deviation", "median", "points", "gradients", "s an image"]


def _contenders() -> dict[str, Any]:
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks")
    if folder not in sys.path:
        sys.path.append(folder)
    contenders: dict[str, Any] = import_module("l0_attacks").contenders()
    return contenders


def _row(who: str, result: Any) -> list[str]:
    pixels = result.distances[np.isfinite(result.distances)]
    spread = [f"{pixels.mean():.2f}", f"{pixels.std():.2f}", f"{np.median(pixels):.1f}"] if len(pixels) else ["-"] * 3
    share = f"{len(pixels) / len(result.distances):.0%}"
    cost = [f"{result.points:.0f}", f"{result.gradients:.0f}", number(result.seconds / len(result.distances), 3)]
    return [f"`{who}`", share, *spread, *cost]


def _pictures(name: str, network: Network, images: Images, labels: NDArray[np.int64], queries: int, seed: int) -> dict[str, list[Picture]]:
    """Rows of inputs and of both witnesses."""
    batch = balls(network, images)
    estimate = list(deeptre(balls(network, images, logits=True), most=1, points=POINTS))[-1]
    theirs = [x if w is None else w.reshape(x.shape) for w, x in zip(estimate.witnesses, images, strict=True)]
    answers = ask(Question.RADIUS, batch, method="auto", budget=na.Budget(queries=queries), seed=seed)
    ours = [a.witness.point if isinstance(a, RadiusAnswer) and a.witness is not None else x for a, x in zip(answers, images, strict=True)]
    inputs: list[Picture] = [(f"label {k}", x) for k, x in zip(labels, images, strict=True)]
    return {
        f"{SOURCES[name].title}: inputs": inputs,
        f"{PAPER_ATTACK} ({name})": _captioned(network, images, theirs),
        f"netassay's auto ({name})": _captioned(network, images, ours),
    }


def _captioned(network: Network, images: Images, points: list[NDArray[np.floating]]) -> list[Picture]:
    there = decided(network, np.stack(points))
    changes = [
        int((np.asarray(p, dtype=np.float32) != x.astype(np.float32)).any(axis=0).sum()) for p, x in zip(points, images, strict=True)
    ]
    return [(f"{c} pixel{'s' * (c != 1)}: {k}", p) for c, k, p in zip(changes, there, points, strict=True)]


def _draw(found: Found) -> Figure:
    figure = canvas(9, 0.36 * sum(len(by_who) + 2 for by_who in found.values()) + 0.6)
    parts = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), (name, by_who) in zip(parts, found.items(), strict=True):
        pixels = {who: r.distances[np.isfinite(r.distances)] for who, r in by_who.items()}
        means = [float(p.mean()) if len(p) else np.nan for p in pixels.values()]
        _bars(left, list(by_who), means, [float(p.std()) if len(p) else 0.0 for p in pixels.values()])
        left.set(title=SOURCES[name].title, xlabel="changed pixels")
        left.set_xlim(left=0)
        _bars(right, list(by_who), [r.seconds / len(r.distances) for r in by_who.values()], None)
        right.set(xscale="log", xlabel="processor seconds an image", yticklabels=[])
    return figure


def _bars(axes: Axes, names: list[str], values: list[float], spread: list[float] | None) -> None:
    colours = [COLOURS[5] if who == PAPER_ATTACK else COLOURS[0] if who.startswith("auto") else COLOURS[4] for who in names]
    axes.barh(names, values, xerr=spread, color=colours, height=0.7, error_kw={"linewidth": 0.8})
    axes.invert_yaxis()
    axes.grid(True, axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _seen(found: Found) -> list[str]:
    sentences = []
    for name, by_who in found.items():
        means = {who: float(r.distances.mean()) for who, r in by_who.items() if np.isfinite(r.distances).all()}
        order = ", ".join(f"`{who}` {means[who]:.2f}" for who in sorted(means, key=lambda w: means[w]))
        sentences.append(f"{SOURCES[name].title}, mean changed pixels of those that found a witness of every image: {order}.")
    return sentences
