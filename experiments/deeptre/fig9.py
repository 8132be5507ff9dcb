"""Figs. 9 and 10: seven architectures trained alike, ranked by their global robustness."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from deepquant.asking import decided
from deepquant.classifiers import LABELS, Build, Classifier, Schooling, Shape, trained
from deepquant.drawing import COLOURS, canvas
from deepquant.images import Images, Labels, benchmark, grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import Setting, Size, UnavailableError
from deeptre.networks import COUNTED, GRID, POINTS, SCRIPT, balls
from netassay.falsifiers.sparse.deeptre import deeptre


@dataclass(frozen=True)
class Plan:
    """How to train, and how many images are measured."""

    schooling: Schooling
    images: int


PLANS = {
    Size.QUICK: Plan(Schooling(640, 4), 3),
    Size.USUAL: Plan(Schooling(10_000, 3), 40),
    Size.FULL: Plan(Schooling(60_000, 20), 1000),
}


@dataclass(frozen=True, eq=False)
class Measured:
    """A network's accuracy in percent; the paper's l and u (N,) of the images; processor seconds an image."""

    accuracy: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    seconds: float

    @property
    def center(self) -> NDArray[np.float64]:
        """U_c of each image."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> NDArray[np.float64]:
        """U_r of each image."""
        return (self.upper - self.lower) / 2


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Trains the seven, and measures the same images on all of them."""
    plan = plan or PLANS[setting.size]
    data = grey_images(setting) if setting.quick else halved_mnist()
    networks = {name: trained(setting, f"deeptre-{name}", build, data, plan.schooling) for name, build in ARCHITECTURES.items()}
    images = _common(networks, data, plan.images)
    found = {}
    for name, classifier in networks.items():
        setting.say(f"  {name}: {len(images)} images")
        found[name] = _measured(classifier, images)
    order = ranked(found)
    rows = [[name, *_row(m, order.index(name) + 1)] for name, m in found.items()]
    return Result(
        "fig9",
        "Figs. 9 and 10: seven architectures",
        f"Seven networks trained alike on {data.name}, {plan.schooling.text}, and the bounds of DeepTRE at t = 1 on the same "
        f"{len(images)} test images: the first that all seven label rightly. {GRID} {COUNTED}",
        "Bars without printed numbers at t = 1 and t = 2 over 1,000 images. The text says: very deep networks (DNN-7) are less robust; one "
        "convolution more makes DNN-6 much less robust than DNN-5; batch normalisation makes DNN-3 more robust than DNN-2; more accurate "
        "networks are not more robust.",
        [
            Table("Bounds at t = 1, means over the images", HEAD, rows),
            Table("Architectures", ["network", "layers"], [[name, str(build.__doc__)] for name, build in ARCHITECTURES.items()], words=2),
        ],
        {"": _draw(found)},
        {"": "Left (Fig. 9): l, U_c and u in the mean. Right (Fig. 10): mean and standard deviation over the images of U_c and of U_r."},
        [
            "The paper's architectures are in an appendix that is not at hand: these seven follow what its text says of them.",
            "Images of 14 x 14 (means of 2 x 2 pixels of MNIST) and a training that is far shorter, so that all seven are trained in "
            "minutes.",
            "t = 1 only.",
        ],
        _seen(found),
        script=SCRIPT,
    )


HEAD = ["network", "accuracy %", "l", "u", "U_c", "sd of U_c", "U_r", "sd of U_r", "rank by U_c", "s an image"]


def dnn1(shape: Shape) -> nn.Sequential:
    """two dense layers of 128"""
    size = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, LABELS))


def dnn2(shape: Shape) -> nn.Sequential:
    """one convolution, dense 64"""
    return _convolutional(shape, (16,), normed=False)


def dnn3(shape: Shape) -> nn.Sequential:
    """one convolution with batch normalisation, dense 64"""
    return _convolutional(shape, (16,), normed=True)


def dnn4(shape: Shape) -> nn.Sequential:
    """two convolutions with batch normalisation, dense 64"""
    return _convolutional(shape, (16, 32), normed=True)


def dnn5(shape: Shape) -> nn.Sequential:
    """three convolutions with batch normalisation, dense 64"""
    return _convolutional(shape, (16, 32, 32), normed=True)


def dnn6(shape: Shape) -> nn.Sequential:
    """four convolutions with batch normalisation, dense 64"""
    return _convolutional(shape, (16, 32, 32, 32), normed=True)


def dnn7(shape: Shape) -> nn.Sequential:
    """eight convolutions with batch normalisation, dense 64"""
    return _convolutional(shape, (16,) + (32,) * 7, normed=True)


ARCHITECTURES: dict[str, Build] = {
    "DNN-1": dnn1,
    "DNN-2": dnn2,
    "DNN-3": dnn3,
    "DNN-4": dnn4,
    "DNN-5": dnn5,
    "DNN-6": dnn6,
    "DNN-7": dnn7,
}


def _convolutional(shape: Shape, channels: tuple[int, ...], *, normed: bool) -> nn.Sequential:
    """3 x 3 convolutions, the second of stride 2, then two dense layers."""
    layers: list[nn.Module] = []
    inputs, side = shape[0], shape[1]
    for k, outputs in enumerate(channels):
        stride = 2 if k == 1 else 1
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), *([nn.BatchNorm2d(outputs)] if normed else []), nn.ReLU()]
        inputs, side = outputs, -(-side // stride)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side * side, 64), nn.ReLU(), nn.Linear(64, LABELS))


@cache
def halved_mnist() -> Images:
    """MNIST with the mean of every 2 x 2 pixels."""
    parts: list[tuple[NDArray[np.float32], Labels]] = []
    for path in ("mnist/mnist_train.npz", "mnist/mnist_test_full.npz"):
        with np.load(benchmark(path)) as data:
            images = data["images"].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32)[:, None] / np.float32(255)
            parts.append((images, data["labels"].astype(np.int64)))
    return Images("mnist-14x14", *parts[0], *parts[1])


def _common(networks: dict[str, Classifier], data: Images, count: int) -> NDArray[np.float64]:
    """The first test images that all networks label rightly."""
    some = slice(0, 3 * count + 30)
    right = np.all([decided(c.network, data.test[some]) == data.test_labels[some] for c in networks.values()], axis=0)
    if not right.any():
        raise UnavailableError("the seven networks label no test image rightly together: train them longer")
    return data.test[some][right][:count].astype(np.float64)


def _measured(classifier: Classifier, images: NDArray[np.float64]) -> Measured:
    begin = time.process_time()
    estimate = list(deeptre(balls(classifier.network, images), most=1, points=POINTS))[-1]
    seconds = (time.process_time() - begin) / len(images)
    return Measured(classifier.accuracy, estimate.lower, estimate.upper + 1, seconds)


def ranked(found: dict[str, Measured]) -> list[str]:
    """The names, the most robust first."""
    return sorted(found, key=lambda name: -float(found[name].center.mean()))


def _row(m: Measured, rank: int) -> list[str]:
    spread = [f"{v:.3f}" for part in (m.center, m.radius) for v in (part.mean(), part.std())]
    return [f"{m.accuracy:.2f}", f"{m.lower.mean():.3f}", f"{m.upper.mean():.3f}", *spread, str(rank), number(m.seconds, 3)]


def _draw(found: dict[str, Measured]) -> Figure:
    figure = canvas(9, 3.4)
    left, right = figure.subplots(1, 2)
    at, names = np.arange(len(found)), list(found)
    for k, (label, side) in enumerate((("l", "lower"), ("U_c", "center"), ("u", "upper"))):
        left.bar(at + 0.27 * (k - 1), [getattr(m, side).mean() for m in found.values()], 0.25, label=label, color=COLOURS[(0, 2, 5)[k]])
    for k, (label, side) in enumerate((("U_c", "center"), ("U_r", "radius"))):
        values = [getattr(m, side) for m in found.values()]
        means, spread = [v.mean() for v in values], [v.std() for v in values]
        right.errorbar(at + 0.16 * (k - 0.5), means, spread, fmt="o", capsize=3, label=label, color=COLOURS[(2, 3)[k]])
    for axes in (left, right):
        axes.set_xticks(at, names)
        axes.set_ylabel("changed pixels")
        axes.grid(True, axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _seen(found: dict[str, Measured]) -> list[str]:
    order = ranked(found)
    accurate = sorted(found, key=lambda name: -found[name].accuracy)
    error = max(float(m.center.std()) / len(m.center) ** 0.5 for m in found.values())
    return [
        f"The standard error of a mean U_c is up to {error:.2f}: networks that differ by less are not told apart.",
        f"From the most robust by U_c: {', '.join(f'{n} ({found[n].center.mean():.2f})' for n in order)}.",
        f"From the most accurate: {', '.join(f'{n} ({found[n].accuracy:.2f} %)' for n in accurate)}.",
        f"DNN-3 beside DNN-2 (batch normalisation added): U_c {_pair(found, 'DNN-3', 'DNN-2')}; DNN-6 beside DNN-5 (a convolution more): "
        f"{_pair(found, 'DNN-6', 'DNN-5')}; DNN-7 beside DNN-6 (twice as deep): {_pair(found, 'DNN-7', 'DNN-6')}.",
    ]


def _pair(found: dict[str, Measured], first: str, second: str) -> str:
    return " against ".join(number(float(found[name].center.mean()), 3) for name in (first, second))
