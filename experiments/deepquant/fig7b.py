"""Fig. 7 (b): Q over a 50 x 50 patch of an ImageNet-size image: with your own weights, or what it costs with random ones."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import netassay as na
from deepquant.asking import balls, slopes, steepness
from deepquant.drawing import bars, canvas, legend_below
from deepquant.report import Result, Table, number
from deepquant.setting import EXPRESSION, OWN_METHOD, PAPER_METHOD, STAND_IN, Setting, Size
from netassay.models.network import Network
from netassay.models.torch_module import from_module

RADIUS = 0.1
PATCH = slice(80, 130)
"""Rows and columns that may change: 50 of each."""

SHAPE = (3, 224, 224)
RANDOM = "ResNet-50, random weights"


@dataclass(frozen=True)
class Plan:
    """Evaluations per network and method."""

    queries: int


PLANS = {Size.QUICK: Plan(24), Size.USUAL: Plan(128), Size.FULL: Plan(20_000)}


@dataclass(frozen=True)
class Run:
    """One search: Q, its cost, and the evaluations that were spent."""

    steepness: float
    seconds: float
    queries: int
    batches: int


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Q over the patch, for every network given; for random weights if none is."""
    plan = plan or PLANS[setting.size]
    image: NDArray[np.float64] | None = None
    runs: dict[str, dict[str, Run]] = {}
    for name in setting.models or (RANDOM,):
        setting.say(f"  {name}: reading")
        network = na.load(name) if setting.models else random_network()
        image = _image(setting, network)
        runs[name] = {}
        for method in (PAPER_METHOD, OWN_METHOD):
            setting.say(f"  {name}: {method}, {plan.queries} evaluations")
            runs[name][method] = search(network, image, method, plan.queries, setting.seed)
    return _result(setting, plan, runs)


def random_network() -> Network:
    """The ResNet-50 of the cost benchmark, ``benchmarks/resnet50.py``: 25.6 million random weights."""
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks")
    if folder not in sys.path:
        sys.path.append(folder)
    return from_module(import_module("resnet50").resnet50(), SHAPE, domain=na.Box.filled(SHAPE, 0, 1), name="resnet50-random")


def _image(setting: Setting, network: Network) -> NDArray[np.float64]:
    if setting.image is None:
        return np.random.default_rng(setting.seed).random(network.input_shape, dtype=np.float32).astype(np.float64)
    return np.asarray(na.load_data(setting.image, network, limit=1).inputs[0])


def patch(network: Network) -> NDArray[np.bool_]:
    """Which of the network's inputs (channels, height, width) may change."""
    mask = np.zeros(network.input_shape, dtype=bool)
    mask[:, PATCH, PATCH] = True
    return mask


def search(network: Network, image: NDArray[np.float64], method: str, queries: int, seed: int) -> Run:
    """Q of the gap to the runner-up over the patch of one image (channels, height, width)."""
    batch = balls(network, image[None], "linf", RADIUS, EXPRESSION, mask=patch(network))
    begin = time.perf_counter()
    (answer,) = slopes(batch, method, queries, seed)
    return Run(steepness(answer), time.perf_counter() - begin, answer.provenance.queries, answer.provenance.batched_calls)


def _result(setting: Setting, plan: Plan, runs: dict[str, dict[str, Run]]) -> Result:
    own = bool(setting.models)
    rows = [
        [
            name,
            f"`{m}`",
            number(run.steepness),
            str(run.queries),
            str(run.batches),
            f"{run.seconds:.1f}",
            f"{run.queries / run.seconds:.1f}",
        ]
        for name, by_method in runs.items()
        for m, run in by_method.items()
    ]
    head = ["network", "method", "Q found", "evaluations", "batched calls", "seconds", "evaluations/s"]
    which = (
        "the networks given with `--model`"
        if own
        else "a network of the size of ResNet-50 with **random weights: this shows the cost only**"
    )
    return Result(
        "fig7b",
        "Fig. 7 (b): a patch of an ImageNet-size image",
        f"Q of the gap to the runner-up in probabilities over an L-inf ball of radius {RADIUS:g} in which only a patch of 50 x 50 pixels "
        f"(7,500 numbers) may change, {plan.queries:,} evaluations of {which}.",
        "Bars without printed numbers for AlexNet, VGG-16, VGG-19, ResNet-50 and ResNet-101 on one image, over a square of 50 x 50. The "
        "text says that ResNet-50 is the most robust and AlexNet the least.",
        [Table("Q over the patch, and what it costs", head, rows, words=2)],
        {"": _draw(runs, own)},
        {"": "Q found over the patch." if own else "Network evaluations per second, random weights (cost only)."},
        [
            "ImageNet weights are not among the benchmark files. With torchvision installed, this measures the paper's networks on your "
            "image: `python experiments/deepquant/run.py fig7b --model deepquant.imagenet:resnet50 --model deepquant.imagenet:alexnet "
            "--image PHOTO.npz` (`imagenet.py` has all five; `PHOTO.npz` holds `images`, (1, 224, 224, 3) bytes or numbers in [0, 1]).",
            "The paper says neither the radius, nor which image, nor where the patch lies; here it is rows and columns 80 to 129.",
            STAND_IN,
        ],
    )


def _draw(runs: dict[str, dict[str, Run]], own: bool) -> Figure:
    figure = canvas(5.5, 3)
    axes = figure.subplots()
    series = {
        m: [runs[n][m].steepness if own else runs[n][m].queries / runs[n][m].seconds for n in runs] for m in (PAPER_METHOD, OWN_METHOD)
    }
    bars(
        axes,
        [name.rpartition(":")[2] for name in runs],
        series,
        ylabel="Q (probability / pixel value)" if own else "evaluations per second",
    )
    legend_below(figure, axes, 2)
    return figure
