"""The problems of the direct-search benchmark: real networks, inputs drawn by a seed, one slope to find for each.

Tuning and reporting draw from different seeds, so that no figure is given for an input that a design was chosen on.
Needs the benchmark networks (``NETASSAY_BENCHMARKS``).
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import netassay as na
from netassay.assessment.assess import problems
from netassay.checking.replay import Replayer
from netassay.falsifiers.search import Search
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk

TUNING, REPORTING = 1, 2
"""Seeds of the two draws."""

DRAWS = {"tuning": TUNING, "reporting": REPORTING}
"""The draws by name."""

CIFAR_MEAN, CIFAR_STD = (0.485, 0.456, 0.406), (0.225, 0.225, 0.225)
"""What the centres of the oval21 specifications are normalised by: with them they are whole multiples of 1/255."""

Groups = dict[str, list[Problem]]
"""Problems that can be searched together (one network, norm and kind of property), by a name that stays the same."""


def folder() -> Path:
    """The benchmark networks; SystemExit where the variable is not set."""
    place = os.environ.get("NETASSAY_BENCHMARKS")
    if not place:
        raise SystemExit("NETASSAY_BENCHMARKS is not set: it names the folder of the benchmark networks")
    return Path(place)


def limits(specification: Path) -> NDArray[np.float64]:
    """(2, n) lower and upper limits of the inputs in a VNN-LIB file."""
    with gzip.open(specification, "rt") as file:
        found = re.findall(r"\((<=|>=) X_(\d+) ([-+\d.eE]+)\)", file.read())
    size = 1 + max(int(i) for _, i, _ in found)
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    for relation, i, value in found:
        (high if relation == "<=" else low)[int(i)] = float(value)
    return np.stack([low, high])


@cache
def acasxu(seed: int) -> Groups:
    """Ten ACAS Xu networks, an input in each of the boxes of two of properties 1 to 4; three norms, two radii; costs, least is best."""
    base, rng = folder() / "vnncomp2021" / "acasxu", np.random.default_rng(seed)
    files = sorted((base / "onnx").glob("*.onnx"))
    boxes = {k: limits(base / "vnnlib" / f"prop_{k}.vnnlib.gz") for k in range(1, 5)}
    domain = na.Box(
        np.array([-0.328422877, -0.5, -0.5, -0.5, -0.5]).reshape(1, 1, 5), np.array([0.679857769, 0.5, 0.5, 0.5, 0.5]).reshape(1, 1, 5)
    )
    groups: Groups = {}
    for at in sorted(rng.choice(len(files), 10, replace=False)):
        network = na.load(str(files[at]), input_domain=domain, decision="argmin")
        inputs = np.stack([rng.uniform(*boxes[int(k)]) for k in rng.choice(4, 2, replace=False) + 1]).reshape(-1, 1, 1, 5)
        short = "-".join(files[at].stem.split("_")[2:4])
        for norm in ("linf", "l1", "l2"):
            for radius in (0.05, 0.2):
                groups[f"acasxu {short} {norm} {radius}"] = _slopes(network, inputs, norm, radius, Scale.LOGITS)
    return groups


def _mnist(seed: int, norm: str, radii: tuple[float, ...], scale: Scale, count: int = 10) -> Groups:
    network = na.load(str(folder() / "vnncomp2021" / "mnistfc" / "onnx" / "mnist-net_256x2.onnx"), input_domain=(0, 1))
    images = np.load(folder() / "mnist" / "mnist_test_full.npz")["images"]
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    inputs = images[chosen].reshape(count, *network.input_shape) / 255.0
    return {f"mnistfc {norm} {radius} {scale}": _slopes(network, inputs, norm, radius, scale) for radius in radii}


@cache
def mnistfc_linf(seed: int) -> Groups:
    """The 256x2 network of mnistfc, ten images, L-infinity, logits and probabilities."""
    radii = (0.05, 0.1, 0.3)
    return {**_mnist(seed, "linf", radii, Scale.LOGITS), **_mnist(seed, "linf", radii, Scale.PROBABILITIES)}


@cache
def mnistfc_l1(seed: int) -> Groups:
    """The same images in L1, logits."""
    return _mnist(seed, "l1", (5.0, 20.0), Scale.LOGITS)


@cache
def mnistfc_l2(seed: int) -> Groups:
    """The same images in L2, logits."""
    return _mnist(seed, "l2", (0.5, 2.0), Scale.LOGITS)


@cache
def cifar(seed: int) -> Groups:
    """``cifar_base_kw`` of oval21 behind its normalisation, eight images, L-infinity 8/255, logits."""
    path = folder() / "vnncomp2021" / "oval21" / "onnx" / "cifar_base_kw.onnx"
    network = na.load(str(path), input_domain=(0, 1), mean=CIFAR_MEAN, std=CIFAR_STD)
    images = np.load(folder() / "cifar10" / "cifar10_test_1000.npz")["images"]
    chosen = np.random.default_rng(seed).choice(len(images), 8, replace=False)
    inputs = images[chosen].transpose(0, 3, 1, 2) / 255.0
    return {"cifar_base_kw linf 8/255": _slopes(network, inputs, "linf", 8 / 255, Scale.LOGITS)}


def _slopes(network: Network, inputs: NDArray[np.float64], norm: str, radius: float, scale: Scale) -> list[Problem]:
    return problems(network, inputs, None, risk=parse_risk(f"robustness@{scale}"), norm=norm, radius=radius)


def slopes(problem: Problem, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """|s(x) - s(x0)| / ||x - x0|| (DeepQuant, Eq. 4) of points (N, *shape) in float64, each evaluated alone; NaN outside ball or domain."""
    exact, replayer = np.asarray(points, dtype=np.float64), Replayer(problem.network)
    change = np.abs(replayer.values(problem, exact) - replayer.value(problem, problem.center))
    distance = problem.ball.distance(exact)
    measurable = problem.ball.contains(exact) & (distance > 0)
    return np.where(measurable, change / np.where(measurable, distance, 1.0), np.nan)


def recorded_points(search: Search, b: int) -> NDArray[np.float64]:
    """(2, n) the steepest rising and the steepest falling point of problem ``b`` of a search; the centre where there is none."""
    points = search.space.centers_numpy[[b, b]].copy()
    points[:, search.space.free_numpy] = search.records.points[:, b].cpu().numpy()
    return points


def recorded_slope(search: Search, b: int) -> float:
    """The steeper of ``recorded_points``, as ``slopes`` evaluates it; 0 where there is none."""
    points = recorded_points(search, b).reshape(2, *search.space.shape)
    return float(np.nan_to_num(slopes(search.problems[b], points), nan=0.0).max())


FAMILIES: dict[str, Callable[[int], Groups]] = {
    "acasxu": acasxu,
    "mnistfc linf": mnistfc_linf,
    "mnistfc l1": mnistfc_l1,
    "mnistfc l2": mnistfc_l2,
    "cifar": cifar,
}
"""Families of problems: a seed gives their groups."""
