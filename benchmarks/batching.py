"""DeepQuant's Fig. 3: time and batched calls against the number of images, with and without tensor-parallel evaluation.

Three ways to run the same method (tpmads) on the same images: one point a call, the polls of one image batched, and all images
together. The paper reports 25 times on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import netassay as na
from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.models.black_box import BlackBox
from netassay.models.builtin import digits_test
from netassay.models.network import Network
from netassay.results.answer import Question
from netassay.specs.risks import parse_risk
from report import Row, stopwatch

QUERIES = 10_000


def one_point_a_call(network: Network) -> Network:
    """The same network, evaluated one point at a time."""

    def single(rows: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([network.outputs(rows[i : i + 1]) for i in range(len(rows))])

    return BlackBox(single, network.domain, takes="torch", name=f"{network.name}, one point a call", identity="one-by-one")


def _timed(network: Network, inputs: NDArray[np.float64], run: Callable[[list[Any]], int]) -> tuple[float, int]:
    batch = problems(network, inputs, None, risk=parse_risk("robustness"), norm="linf", radius=0.1)
    with stopwatch() as watch:
        calls = run(batch)
    return watch.seconds / len(inputs), calls


def _together(batch: list[Any]) -> int:
    return ask(Question.LIPSCHITZ, batch, method="tpmads", budget=na.Budget(queries=QUERIES))[0].provenance.batched_calls


def _one_by_one(batch: list[Any]) -> int:
    return sum(ask(Question.LIPSCHITZ, [p], method="tpmads", budget=na.Budget(queries=QUERIES))[0].provenance.batched_calls for p in batch)


def measure(counts: tuple[int, ...] = (1, 10, 100, 1000), figure: Path | None = None) -> list[Row]:
    """Seconds and batched calls per image; the slow ways measured on 3 and 10 images."""
    rows = []
    curves: dict[str, list[tuple[int, float]]] = {"one point a call": [], "polls batched": [], "all images together": []}
    for model in ("digits-mlp", "digits-cnn"):
        network = na.load(model)
        images = digits_test()[0].reshape(-1, *network.input_shape).astype(np.float64)
        inputs = np.resize(images, (max(counts), *network.input_shape))
        single, calls = _timed(one_point_a_call(network), inputs[:3], _one_by_one)
        single_calls = QUERIES
        batched, calls = _timed(network, inputs[:10], _one_by_one)
        rows.append(Row(model, "one point a call", _figures(single, single, single_calls)))
        rows.append(Row(model, "polls of one image batched", _figures(batched, single, calls / 10)))
        for count in counts:
            together, calls = _timed(network, inputs[:count], _together)
            rows.append(Row(model, f"{count} images together", _figures(together, single, calls / count)))
            curves["one point a call"].append((count, single * count))
            curves["polls batched"].append((count, batched * count))
            curves["all images together"].append((count, together * count))
        if figure is not None and model == "digits-cnn":
            _plot({name: points[-len(counts) :] for name, points in curves.items()}, figure)
    return rows


def _figures(seconds: float, single: float, calls: float) -> dict[str, str]:
    return {
        "ms per image": f"{1000 * seconds:.2f}",
        "calls per image": f"{calls:.1f}",
        "queries per image": str(QUERIES),
        "times faster": f"{single / seconds:.1f}",
    }


def _plot(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(6, 3.6), layout="constrained")).subplots()
    for name, points in curves.items():
        axes.loglog([c for c, _ in points], [s for _, s in points], marker="o", label=name)
    axes.set(xlabel="images", ylabel="seconds", title=f"tpmads, {QUERIES} queries per image, digits-cnn")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    from report import show

    show(measure())
