"""Brackets on the larger networks: two MNIST networks with max pooling, and a CIFAR-10 network whose pixels change as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deeptre.measure import Proved, UnavailableError, course, proofs
from netassay.assessment.ask import ask
from netassay.models.load import load_network
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Question, RadiusAnswer
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness

MEAN, STD = (0.485, 0.456, 0.406), (0.225, 0.225, 0.225)
"""What oval21's CIFAR-10 networks are normalised by: the centres and widths of its specifications."""


@dataclass(frozen=True)
class Setting:
    """A network and its images.

    Args:
        network: File in the folder of benchmarks.
        data: File of 8-bit images.
        group: What counts as one change.
        most: Up to so many changes proofs are tried: two where pixels interplay so little that pairs of them can be added up.
        normalised: Whether ``MEAN`` and ``STD`` are composed into the network.
    """

    network: str
    data: str
    group: str
    most: int = 1
    normalised: bool = False


SETTINGS = {
    "case3_cnn": Setting("deeptre_mnist28/case3_cnn.onnx", "mnist/mnist_test_100.npz", "feature"),
    "mnist_complicated": Setting("deeptre_mnist28/mnist_complicated.onnx", "mnist/mnist_test_100.npz", "feature"),
    "cifar_base_kw": Setting(
        "vnncomp2021/oval21/onnx/cifar_base_kw.onnx", "cifar10/cifar10_test_100.npz", "pixel", most=2, normalised=True
    ),
}


def problems(setting: Setting, count: int) -> list[Problem]:
    """The first ``count`` images that the network classifies as labelled, each in the L0 ball of all its pixels."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        raise UnavailableError("set NETASSAY_BENCHMARKS to the folder of the benchmark networks and images")
    data = np.load(Path(folder) / setting.data)
    given = {"mean": MEAN, "std": STD} if setting.normalised else {}
    network = load_network(str(Path(folder) / setting.network), **given)
    domain = Box.filled(network.input_shape, 0.0, 1.0)
    network = network.with_domain(domain)
    inputs = _channels_first(data["images"]).astype(np.float32) / np.float32(255)
    with torch.no_grad():
        labels = network.outputs(torch.tensor(inputs)).argmax(dim=1).numpy()
    pixels = int(np.prod(network.input_shape[1:])) if setting.group == "pixel" else int(np.prod(network.input_shape))
    right = np.flatnonzero(labels == data["labels"])[:count].tolist()
    centers = inputs.astype(np.float64)
    return [
        Problem(network, Ball(centers[i], pixels, "l0", domain=domain, group=setting.group), Robustness(int(labels[i])), i) for i in right
    ]


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Brackets:
    """What was measured.

    Args:
        asked: The images.
        grid: Processor seconds of DeepTRE's bounds at t = 1, an image.
        first: Changes of its witnesses, 0 where there is none.
        nearest: Changes of the nearest witness of all, that of a search with reductions and swaps included.
        found: The proofs.
    """

    asked: Sequence[Problem]
    grid: float
    first: tuple[int, ...]
    nearest: tuple[int, ...]
    found: tuple[Proved, ...]


def measured(name: str, count: int, *, points: int, queries: int, seconds: float, told: Callable[[Proved], None]) -> Brackets:
    """Brackets of ``count`` images: witnesses on a grid and by a search of so many queries, and proofs."""
    asked = problems(SETTINGS[name], count)
    ((estimate, grid),) = course(asked, 1, points)[1:]
    first = tuple(int(u) + 1 if w is not None else 0 for u, w in zip(estimate.upper, estimate.witnesses, strict=True))
    answers = ask(Question.RADIUS, asked, budget=Budget(queries=queries))
    searched = [_changes(a) for a in answers]
    nearest = tuple(min((n for n in pair if n), default=0) for pair in zip(first, searched, strict=True))
    upper = np.array([n - 1 if n else u for n, u in zip(nearest, estimate.upper, strict=True)], dtype=np.float64)
    found = []
    for each in proofs(asked, replace(estimate, upper=upper), seconds, SETTINGS[name].most):
        found.append(each)
        told(each)
    return Brackets(asked, grid / count, first, nearest, tuple(found))


def _changes(answer: object) -> int:
    assert isinstance(answer, RadiusAnswer)
    return 0 if answer.witness is None or answer.witness.distance is None else int(answer.witness.distance)


def page(name: str, measured: Brackets, *, points: int, queries: int, seconds: float) -> str:
    """The measured brackets as a page."""
    count, found, most = len(measured.found), measured.found, SETTINGS[name].most
    what = "pixels (all channels of a pixel together)" if SETTINGS[name].group == "pixel" else "pixels"
    normalised = f" Its input normalisation (mean {MEAN}, std {STD}) is composed in." if SETTINGS[name].normalised else ""
    mean = float(np.mean([p.seconds for p in found]))
    return f"""# Brackets of {name}

The first {count} test images that it classifies as labelled; what changes are {what}, over the whole of [0, 1].{normalised}

- Bounds at t = 1 on a grid of {points} values a pixel: {measured.grid:.2f} s of processor time an image.
- Witnesses: mean {_mean(measured.first)} changed pixels after t = 1, {_mean(measured.nearest)} with a search of {queries} queries \
(superfluous changes undone, changes swapped), {_mean([p.changes for p in found])} with the counterexamples of proofs.
- Proofs up to t = {most}, {seconds:g} s of time for a ball: mean {mean:.1f} s of processor time an image; \
{sum(p.closed for p in found)} of {count} brackets are closed.

| proved t | images | of them closed |
|---|---|---|
{_spread(found, most)}

| image | proved t | changes of the nearest witness | of the first witness | processor seconds of the proofs |
|---|---|---|---|---|
{_lines(measured)}
"""


def _spread(found: Sequence[Proved], most: int) -> str:
    return "\n".join(
        f"| {t} | {sum(p.lower == t for p in found)} | {sum(p.lower == t and p.closed for p in found)} |" for t in range(most + 1)
    )


def _lines(measured: Brackets) -> str:
    pairs = zip(measured.found, measured.first, strict=True)
    return "\n".join(f"| {p.index} | {p.lower} | {p.changes} | {first} | {p.seconds:.1f} |" for p, first in pairs)


def _mean(changes: Sequence[int]) -> str:
    known = [n for n in changes if n]
    return f"{np.mean(known):.2f}" if known else "no"
