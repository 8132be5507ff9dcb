"""The classifiers of grey images: the network of Table 3 and the six of Fig. 9, trained here, since none of them is published."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

import netassay as na
from deepquant.asking import decided
from deepquant.images import Images, grey_images
from deepquant.setting import Setting, Size
from deepquant.weights import Figures, remembered
from netassay.models.network import Network

Shape = tuple[int, ...]
Build = Callable[[Shape], nn.Sequential]

VERSION = 1
"""Part of the file names of kept weights; raised whenever an architecture or the training changes."""

LABELS = 10
MOMENTUM, DECAY = 0.9, 5e-4
"""Of the stochastic gradient descent with momentum that Table 5 names; the numbers are ours."""


@dataclass(frozen=True)
class Schooling:
    """How to train: on the first ``images`` of the training set, ``epochs`` times. Batches of 128 are those of Table 5.

    Args:
        images, epochs: How long.
        batch: Images per step.
        rate: The highest learning rate.
    """

    images: int
    epochs: int
    batch: int = 128
    rate: float = 0.05

    @property
    def text(self) -> str:
        """For readers."""
        return f"{self.images:,} images, {f'{self.epochs} epochs' if self.epochs > 1 else 'once'}, in batches of {self.batch}"

    @property
    def key(self) -> str:
        """Part of a file name that says it all."""
        return f"{self.images}x{self.epochs}-batch{self.batch}-rate{self.rate:g}"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network, its accuracy on the test set in percent, and how it was trained."""

    network: Network
    accuracy: float
    schooling: Schooling


TABLE3_SCHOOLING = {Size.USUAL: Schooling(12_000, 1, 64, 0.01), Size.FULL: Schooling(60_000, 35, 128, 0.01)}
FIG9_SCHOOLING = {Size.QUICK: Schooling(1347, 12), Size.USUAL: Schooling(10_000, 3), Size.FULL: Schooling(60_000, 35)}


def table3(shape: Shape) -> nn.Sequential:
    """Table 3: four 3x3 convolutions (16, 32, 64, 128 channels, stride 1), batch normalisation after three of them, 256, 10."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, padding=1),
        nn.ReLU(),
        *_normed(16, 32),
        *_normed(32, 64),
        *_normed(64, 128),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(128 * shape[1] * shape[2], 256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(256, LABELS),
    )


def dnn1(shape: Shape) -> nn.Sequential:
    """conv_1 - relu - fc."""
    return _headed([*_plain(shape[0], 32)], shape)


def dnn2(shape: Shape) -> nn.Sequential:
    """conv_1 - batchnorm - relu - fc."""
    return _headed([*_normed(shape[0], 32)], shape)


def dnn3(shape: Shape) -> nn.Sequential:
    """conv_1 - relu - conv_2 - relu - fc."""
    return _headed([*_plain(shape[0], 32), *_plain(32, 64, 2)], shape)


def dnn4(shape: Shape) -> nn.Sequential:
    """conv_1 and conv_2, each with batchnorm and relu - dropout - fc."""
    return _headed([*_normed(shape[0], 32), *_normed(32, 64, 2), nn.Dropout(0.5)], shape)


def dnn5(shape: Shape) -> nn.Sequential:
    """conv_1, conv_2 and conv_3, each with batchnorm and relu - dropout - fc."""
    return _headed([*_three(shape[0]), nn.Dropout(0.5)], shape)


def dnn6(shape: Shape) -> nn.Sequential:
    """conv_1, conv_2 and conv_3, each with batchnorm and relu - dropout - fc 256 - relu - dropout - fc."""
    body = [*_three(shape[0]), nn.Dropout(0.5), nn.Flatten()]
    return _headed([*body, nn.Linear(_features(body, shape), 256), nn.ReLU(), nn.Dropout(0.5)], shape)


FIG9: dict[str, Build] = {"DNN-1": dnn1, "DNN-2": dnn2, "DNN-3": dnn3, "DNN-4": dnn4, "DNN-5": dnn5, "DNN-6": dnn6}
"""From shallow to deep. conv_1, conv_2, conv_3 are 3x3 with 32, 64, 128 channels; the last two have stride 2."""


def _plain(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU()]


def _normed(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _three(inputs: int) -> list[nn.Module]:
    return [*_normed(inputs, 32), *_normed(32, 64, 2), *_normed(64, 128, 2)]


def _headed(body: list[nn.Module], shape: Shape) -> nn.Sequential:
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(_features(body, shape), LABELS))


def _features(body: list[nn.Module], shape: Shape) -> int:
    """Numbers per image that ``body`` gives."""
    with torch.no_grad():
        return prod(nn.Sequential(*body).eval()(torch.zeros(1, *shape)).shape[1:])


def main_classifier(setting: Setting) -> Classifier:
    """The network of Table 3; for a quick run the built-in ``digits-cnn``."""
    data = grey_images(setting)
    if not setting.quick:
        return trained(setting, "table3", table3, data, TABLE3_SCHOOLING[setting.size])
    network = na.load("digits-cnn")
    return Classifier(network, _accuracy(network, data), Schooling(len(data.train), 60))


def six_classifiers(setting: Setting) -> dict[str, Classifier]:
    """DNN-1 to DNN-6 of Fig. 9."""
    data = grey_images(setting)
    return {name: trained(setting, name, build, data, FIG9_SCHOOLING[setting.size]) for name, build in FIG9.items()}


def trained(setting: Setting, name: str, build: Build, data: Images, schooling: Schooling) -> Classifier:
    """A network trained with one seed, or the same from the folder of kept weights."""
    torch.manual_seed(setting.seed)
    module = build(data.shape)
    key = f"{name.lower()}-{data.name}-{schooling.key}-seed{setting.seed}-v{VERSION}.pt"

    def learn(module: nn.Module) -> Figures:
        setting.say(f"  training {name} on {schooling.text} (kept for the next time)")
        begin = time.perf_counter()
        train(module, data, schooling, setting.seed)
        accuracy = _accuracy(wrapped(module, data, name), data)
        setting.say(f"  {name}: {accuracy:.2f} % of the test images right, {time.perf_counter() - begin:.0f} s")
        return {"accuracy": accuracy}

    figures = remembered(setting.cache / key, module, learn)
    return Classifier(wrapped(module, data, name), figures["accuracy"], schooling)


def wrapped(module: nn.Module, data: Images, name: str) -> Network:
    """The module as a network on images in [0, 1]."""
    return na.Network(module, input_shape=data.shape, domain=(0, 1), name=name)


def train(module: nn.Module, data: Images, schooling: Schooling, seed: int) -> None:
    """Minimises the cross-entropy; the learning rate rises and falls once (Smith 2018, https://arxiv.org/abs/1803.09820)."""
    images, labels = (torch.from_numpy(part[: schooling.images]) for part in (data.train, data.train_labels))
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(module.parameters(), lr=schooling.rate, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True)
    steps = schooling.epochs * -(-len(images) // schooling.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, schooling.rate, total_steps=steps)
    module.train()
    for _ in range(schooling.epochs):
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(schooling.batch):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            loss: Tensor = nn.functional.cross_entropy(module(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    module.eval()


def _accuracy(network: Network, data: Images) -> float:
    """Share of the test images labelled rightly, in percent."""
    return 100 * float((decided(network, data.test) == data.test_labels).mean())


def one_of_each(classifier: Classifier, data: Images, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Positions of the first test image of each label 0, 1, ... that the network labels rightly, ``count`` in all."""
    some = slice(0, 500)
    right = np.flatnonzero(decided(classifier.network, data.test[some]) == data.test_labels[some])
    firsts = [right[data.test_labels[right] == k][:1] for k in range(LABELS)]
    return np.concatenate(firsts)[:count]
