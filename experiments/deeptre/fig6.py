"""Fig. 6: what evaluating all points as one tensor gains over one point after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from deepquant.drawing import COLOURS, canvas
from deepquant.report import Result, Table, number
from deepquant.setting import Setting, Size
from deeptre.networks import POINTS, SCRIPT, SOURCES, rightly_decided
from netassay.models.network import Network

PAPER = {"sdnn": 38, "case3_cnn": 38, "cifar": 93}
"""Times faster on the paper's MNIST and CIFAR-10 networks: a graphics card with tensors beside a processor."""

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
"""Points to a call."""


@dataclass(frozen=True)
class Plan:
    """Networks, and how many points are evaluated in calls of every size; times are scaled to a complete set at t = 1."""

    networks: tuple[str, ...]
    points: int
    repeats: int


PLANS = {
    Size.QUICK: Plan(("digits-cnn",), 64, 1),
    Size.USUAL: Plan(("sdnn", "case3_cnn", "cifar"), 2048, 2),
    Size.FULL: Plan(("sdnn", "case3_cnn", "cifar"), 16384, 5),
}

Times = dict[str, dict[int, float]]
"""Processor seconds of a point, by network and points to a call."""


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """The least of a few timings for every size of call."""
    plan = plan or PLANS[setting.size]
    largest = max(size for size in BATCHES if size <= plan.points)
    times: Times = {}
    sizes: dict[str, int] = {}
    for name in plan.networks:
        setting.say(f"  {name}: {plan.points} points in calls of up to {largest}")
        network, images, _ = rightly_decided(name, 1)
        points = subspace_points(network, images[0].astype(np.float32), plan.points)
        times[name] = {n: min(_seconds(network, points, n) for _ in range(plan.repeats)) / len(points) for n in BATCHES if n <= len(points)}
        sizes[name] = network.input_shape[-1] * network.input_shape[-2] * POINTS ** network.input_shape[0]
    return Result(
        "fig6",
        "Fig. 6: the gain of batches",
        f"Time to evaluate the complete set of subspaces of one image at t = 1 ({POINTS} values of each feature; all channels of a pixel "
        f"together), in calls of 1 to {largest:,} points. {plan.points:,} points are timed for every size, the fastest of "
        f"{plan.repeats} runs, {torch.get_num_threads()} thread(s), and scaled to the complete set.",
        "Bars in log scale. The text prints the gains: 38 times on the MNIST network and 93 times on the CIFAR-10 network, an NVIDIA GTX "
        "TITAN with tensors beside an i5-4690S without.",
        [Table("Processor seconds for an image at t = 1", HEAD, [_row(name, times[name], sizes[name]) for name in times])],
        {"": _draw(times)},
        {"": "Processor time of one point against the number of points in a call."},
        [
            "Here both sides run on the same processor, whose own time is counted: the figure is what batching alone gains; the "
            "paper's is batching and a graphics card.",
            "The paper's two networks are not published; these are other MNIST and CIFAR-10 networks.",
        ],
        [f"{SOURCES[name].title}: {gain(by_size):.1f} times faster than one point a call." for name, by_size in times.items()],
        script=SCRIPT,
    )


HEAD = ["network", "points", "1 a call", "16 a call", "256 a call", "best", "points a call", "times faster", "paper"]


def subspace_points(network: Network, image: np.ndarray, count: int) -> torch.Tensor:
    """The first ``count`` points of the complete set at t = 1: one pixel after the other, all channels at one of the grid's values."""
    rows = torch.tensor(image).unsqueeze(0).repeat(count, 1, 1, 1)
    pixels = network.input_shape[-2] * network.input_shape[-1]
    flat, at = rows.view(count, network.input_shape[0], pixels), torch.arange(count)
    values = torch.linspace(0.0, 1.0, POINTS)[at % POINTS]
    flat[at, :, (at // POINTS) % pixels] = values.unsqueeze(1)
    return rows


def _seconds(network: Network, points: torch.Tensor, size: int) -> float:
    begin = time.process_time()
    with torch.no_grad():
        for block in points.split(size):  # type: ignore[no-untyped-call]
            network.outputs(block)
    return time.process_time() - begin


def gain(by_size: dict[int, float]) -> float:
    """How many times faster the best size of call is than one point a call."""
    return by_size[1] / min(by_size.values())


def _row(name: str, by_size: dict[int, float], points: int) -> list[str]:
    best = min(by_size, key=lambda size: by_size[size])
    shown = [number(by_size[size] * points, 3) if size in by_size else "-" for size in (1, 16, 256)]
    paper = f"{PAPER[name]}" if name in PAPER else "-"
    return [SOURCES[name].title, f"{points:,}", *shown, number(by_size[best] * points, 3), f"{best:,}", f"{gain(by_size):.1f}", paper]


def _draw(times: Times) -> Figure:
    figure = canvas(6, 3.6)
    axes = figure.subplots()
    for colour, (name, by_size) in zip(COLOURS, times.items(), strict=False):
        axes.loglog(list(by_size), [1e6 * s for s in by_size.values()], marker="o", color=colour, label=SOURCES[name].title)
    axes.set(xlabel="points in a call", ylabel="microseconds a point")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure
