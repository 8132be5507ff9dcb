"""The networks and images of the figures, each as L0 problems: decided as labelled, the whole domain free, a pixel's channels together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import netassay as na
from deepquant.images import benchmark, cifar
from netassay.assessment.assess import problems
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk

Images = NDArray[np.float64]
Labels = NDArray[np.int64]

SCRIPT = "experiments/deeptre/run.py"

POINTS = 3
"""Grid points of each feature, both ends of [0, 1] among them."""

GRID = (
    f"Grid: {POINTS} values of each pixel, both ends of [0, 1] among them. Lower bounds are heuristic (nothing is known between grid "
    "points), upper ones attained."
)
COUNTED = "l and u are the paper's: u counts the witness's changes, so that the radius itself is at most u - 1."
"""What figures with bounds have to say."""


@dataclass(frozen=True)
class Source:
    """A network with images.

    Args:
        title: For readers.
        load: Gives network, images (N, *shape) and labels.
    """

    title: str
    load: Callable[[], tuple[Network, Images, Labels]]


def _digits() -> tuple[Network, Images, Labels]:
    images, labels = digits_test(flat=False)
    return builtin("digits-cnn"), images.astype(np.float64), labels


def _sdnn() -> tuple[Network, Images, Labels]:
    network = na.load(str(benchmark("deeptre_mnist14/sdnn.onnx")), input_domain=(0, 1))
    with np.load(benchmark("mnist14/mnist14_test.npz")) as data:
        return network, data["images"].reshape(-1, *network.input_shape).astype(np.float64), data["labels"]


def _case3() -> tuple[Network, Images, Labels]:
    network = na.load(str(benchmark("deeptre_mnist28/case3_cnn.onnx")), input_domain=(0, 1))
    with np.load(benchmark("mnist/mnist_test_full.npz")) as data:
        return network, data["images"].reshape(-1, *network.input_shape) / 255.0, data["labels"]


SOURCES: dict[str, Source] = {
    "digits-cnn": Source("digits-cnn (8 x 8, built in)", _digits),
    "sdnn": Source("sDNN (MNIST, 14 x 14)", _sdnn),
    "case3_cnn": Source("case3_cnn (MNIST, 28 x 28)", _case3),
    "cifar": Source("cifar_base_kw (CIFAR-10, 32 x 32 x 3)", cifar),
}


def rightly_decided(name: str, count: int) -> tuple[Network, Images, Labels]:
    """The network, and the first ``count`` test images that it decides as labelled, with their labels."""
    network, images, labels = SOURCES[name].load()
    some = slice(0, 2 * count + 10)
    with torch.no_grad():
        decided = network.outputs(torch.tensor(images[some], dtype=torch.float32)).argmax(dim=1).numpy()
    right = np.flatnonzero(decided == labels[some])[:count]
    return network, images[right], labels[right]


def balls(network: Network, images: Images, *, logits: bool = False) -> list[Problem]:
    """One problem per image: no label overtakes, however many pixels change.

    Sensitivities are drops of the label's probability, or of its logit: where float32 rounds a probability to 1, only logits move.
    """
    group = "pixel" if network.input_shape[0] > 1 else "feature"
    return problems(network, images, None, risk=parse_risk("robustness@logits" if logits else "robustness"), norm="l0", group=group)
