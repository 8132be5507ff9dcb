"""The paper's three networks and its hundred images, from the benchmark folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import netassay as na
from netassay.models.graph import Graph
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph

EPSILONS = (1, 3, 5, 7, 9, 11)
"""Radii of the L-infinity balls, in grey levels (of 255)."""


class UnavailableError(Exception):
    """What the experiment needs is not at hand; the message says what."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of the paper's networks.

    Args:
        layers: As the paper writes them.
        path: In the benchmark folder.
        valid: How many of the first 100 test images it labels rightly, according to the paper.
    """

    layers: str
    path: str
    valid: int


NETWORKS = {
    "FNN_1": Source("784, 24, 24, 10", "neurify_mnist/mnist24.onnx", 99),
    "FNN_2": Source("784, 100, 100, 10", "eran_mnist_fc/mnist_relu_3_100.onnx", 98),
    "FNN_3": Source("784, 100, 100, 100, 100, 100, 10", "eran_mnist_fc/mnist_relu_6_100.onnx", 99),
}
"""Neurify's mnist24, and two networks of DeepZ."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images (N, 784) in [0, 1], and their labels (N,)."""

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]


def _file(path: str) -> Path:
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        raise UnavailableError("NETASSAY_BENCHMARKS is not set: it names the folder of the benchmark networks and images")
    if not (found := Path(folder) / path).exists():
        raise UnavailableError(f"{path} is not in the folder that NETASSAY_BENCHMARKS names")
    return found


@cache
def images() -> Images:
    """The first 100 test images of MNIST."""
    with np.load(_file("mnist/mnist_test_100.npz")) as data:
        return Images(data["images"].reshape(100, 784) / 255.0, data["labels"].astype(np.int64))


@cache
def network(name: str) -> Network:
    """One of the networks, for inputs in [0, 1]."""
    return na.load(str(_file(NETWORKS[name].path)), input_domain=(0, 1))


def graph(name: str) -> Graph:
    """The network's operators."""
    found = network(name).graph
    if found is None:
        raise UnavailableError(f"{name} is a black box here: its file cannot be read as a graph")
    return found


def outputs(name: str, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 10) outputs of inputs (N, 784), in float64."""
    return Evaluator(BoundedGraph(graph(name))).outputs(inputs)


@cache
def valid(name: str) -> tuple[int, ...]:
    """The images that the network labels rightly; the others are left out, as in the paper."""
    data = images()
    return tuple(np.flatnonzero(outputs(name, data.inputs).argmax(axis=1) == data.labels).tolist())


def problem(name: str, image: int, eps: int) -> Problem:
    """Is the image's label kept within eps grey levels of every pixel?"""
    data, asked = images(), network(name)
    ball = Ball(data.inputs[image], eps / 255, "linf", domain=asked.domain)
    return Problem(asked, ball, Robustness(int(data.labels[image]), on=Scale.LOGITS), image)
