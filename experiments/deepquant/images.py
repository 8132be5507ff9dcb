"""The images of the experiments: MNIST and CIFAR-10 from the benchmark folder, scikit-learn's digits for a quick run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import netassay as na
from deepquant.setting import Setting, UnavailableError
from netassay.models.builtin import digits_split
from netassay.models.network import Network

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]

CIFAR_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_MEAN, CIFAR_STD = (0.485, 0.456, 0.406), (0.225, 0.225, 0.225)
"""What the centres of the oval21 specifications are normalised by: with them they are whole multiples of 1/255."""

MNIST_RADII = {"linf": 0.3, "l1": 250.0, "l2": 8.0}
"""The paper's balls around MNIST images (section 6.2.2)."""


@dataclass(frozen=True, eq=False)
class Images:
    """Grey images (N, 1, height, width) in [0, 1] with their labels, to train on and to test on."""

    name: str
    train: Pixels
    train_labels: Labels
    test: Pixels
    test_labels: Labels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.test.shape[1:]

    def radii(self) -> dict[str, float]:
        """The paper's radii; for images of another size scaled so that the same change of every pixel reaches them."""
        share = float(np.prod(self.shape)) / 784
        return {"linf": MNIST_RADII["linf"], "l1": MNIST_RADII["l1"] * share, "l2": MNIST_RADII["l2"] * share**0.5}


def benchmark(path: str) -> Path:
    """A file of the benchmark folder; raises UnavailableError where there is none."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        raise UnavailableError("NETASSAY_BENCHMARKS is not set: it names the folder of the benchmark networks and images")
    if not (found := Path(folder) / path).exists():
        raise UnavailableError(f"{path} is not in the folder that NETASSAY_BENCHMARKS names")
    return found


def grey_images(setting: Setting) -> Images:
    """MNIST; for a quick run the digits that come with scikit-learn."""
    return _digits() if setting.quick else _mnist()


@cache
def _mnist() -> Images:
    with np.load(benchmark("mnist/mnist_train.npz")) as train, np.load(benchmark("mnist/mnist_test_full.npz")) as test:
        parts = [(p["images"][:, None].astype(np.float32) / np.float32(255), p["labels"].astype(np.int64)) for p in (train, test)]
    return Images("mnist", *parts[0], *parts[1])


@cache
def _digits() -> Images:
    return Images("digits", *digits_split())


@cache
def cifar() -> tuple[Network, NDArray[np.float64], Labels]:
    """``cifar_base_kw`` of oval21 behind its normalisation, and the first 1,000 test images (N, 3, 32, 32) in [0, 1] with labels."""
    path = benchmark("vnncomp2021/oval21/onnx/cifar_base_kw.onnx")
    network = na.load(str(path), input_domain=(0, 1), mean=CIFAR_MEAN, std=CIFAR_STD)
    with np.load(benchmark("cifar10/cifar10_test_1000.npz")) as data:
        return network, data["images"].transpose(0, 3, 1, 2) / 255.0, data["labels"].astype(np.int64)


def of_each_label(labels: Labels, decided: Labels, count: int) -> dict[int, list[int]]:
    """Positions of the first ``count`` images of each label that the network labels rightly."""
    right = np.flatnonzero(labels == decided)
    return {k: right[labels[right] == k][:count].tolist() for k in range(int(labels.max()) + 1)}
