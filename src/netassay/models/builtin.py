"""Built-in networks, trained in seconds on scikit-learn's digits and cached; for demos, tests and first steps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from netassay.errors import NetassayError, unknown_name
from netassay.models.assembler import Assembler
from netassay.models.graph import Graph
from netassay.models.nonlinear import Relu
from netassay.models.scores import OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.models.windowed import convolution
from netassay.numerics.box import Box

Arrays = dict[str, NDArray[np.float32]]
VERSION = 1
"""Part of the cache's file name; raised whenever training changes."""

SEED = 1
NOISE = 0.1
"""Standard deviation of the noise on training inputs."""

TEST_SHARE = 450
"""Digits kept for testing, of 1,797; the split is fixed."""

WANTED_ACCURACY = 0.97


def digits_split() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Training inputs and labels, test inputs and labels: images (N, 1, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    bunch: Any = load_digits()
    images = np.asarray(bunch.images / 16, dtype=np.float32).reshape(-1, 1, 8, 8)
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(images))
    test, train = order[:TEST_SHARE], order[TEST_SHARE:]
    return images[train], labels[train], images[test], labels[test]


def digits_test(*, flat: bool = False) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The 450 test digits: images (450, 1, 8, 8) in [0, 1], or rows (450, 64) where ``flat``, and their labels."""
    _, _, images, labels = digits_split()
    return (images.reshape(len(images), -1) if flat else images), labels


def _mlp(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    hidden = F.relu(F.linear(x.flatten(1), w["w1"], w["b1"]))
    return F.linear(F.relu(F.linear(hidden, w["w2"], w["b2"])), w["w3"], w["b3"])


def _cnn(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    hidden = F.relu(F.conv2d(x, w["w1"], w["b1"], padding=1))
    hidden = F.relu(F.conv2d(hidden, w["w2"], w["b2"], stride=2, padding=1))
    return F.linear(F.relu(F.linear(hidden.flatten(1), w["w3"], w["b3"])), w["w4"], w["b4"])


def _mlp_graph(w: Arrays) -> Graph:
    a = Assembler((1, 64), 0)
    value = a.input
    for i in (1, 2, 3):
        a.name = f"layer {i}"
        value = a.linear(value if i == 1 else a.unary(Relu(), value), w[f"w{i}"], w[f"b{i}"])
    return a.build(value)


def _cnn_graph(w: Arrays) -> Graph:
    a = Assembler((1, 1, 8, 8), 0)
    ones = (1, 1)
    value = convolution(a, a.input, w["w1"], w["b1"], strides=ones, begins=ones, ends=ones, dilations=ones, groups=1)
    value = convolution(a, a.unary(Relu(), value), w["w2"], w["b2"], strides=(2, 2), begins=ones, ends=ones, dilations=ones, groups=1)
    value = a.reshape(a.unary(Relu(), value), (1, 256))
    value = a.linear(value, w["w3"], w["b3"])
    return a.build(a.linear(a.unary(Relu(), value), w["w4"], w["b4"]))


Forward = Callable[[Tensor, dict[str, Tensor]], Tensor]
MLP_SHAPES = {"w1": (64, 64), "b1": (64,), "w2": (64, 64), "b2": (64,), "w3": (10, 64), "b3": (10,)}
CNN_SHAPES = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (16, 8, 3, 3), "b2": (16,), "w3": (32, 256), "b3": (32,), "w4": (10, 32), "b4": (10,)}
KINDS: dict[str, tuple[dict[str, tuple[int, ...]], Forward, Callable[[Arrays], Graph]]] = {
    "digits-mlp": (MLP_SHAPES, _mlp, _mlp_graph),
    "digits-cnn": (CNN_SHAPES, _cnn, _cnn_graph),
}


def builtin(name: str, *, device: str = "cpu") -> GraphNetwork:
    """A built-in classifier of 8x8 digits, inputs in [0, 1].

    Args:
        name: ``digits-mlp``, inputs (64,), or ``digits-cnn``, inputs (1, 8, 8).
        device: Torch device.
    Raises:
        UsageError: For another name.
    """
    if name not in KINDS:
        raise unknown_name("built-in network", name, list(KINDS))
    graph = KINDS[name][2](_weights(name))
    return GraphNetwork(graph, name=name, convention=OutputConvention(), domain=Box.filled(graph.input_shape, 0.0, 1.0), device=device)


def cache_folder() -> Path:
    """Where trained built-ins are kept: ``$XDG_CACHE_HOME/netassay``, by default ``~/.cache/netassay``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "netassay"


def _weights(name: str) -> Arrays:
    """The cached weights; trained anew where there are none, or where they are not what was written."""
    path = cache_folder() / f"{name}-{VERSION}-torch-{torch.__version__.partition('+')[0]}.npz"
    cached = _read(path, KINDS[name][0])
    if cached is not None and accuracy(name, cached) >= WANTED_ACCURACY:
        return cached
    trained = train(name)
    _write(path, trained)
    return trained


def _read(path: Path, shapes: dict[str, tuple[int, ...]]) -> Arrays | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {key: np.asarray(stored[key]) for key in shapes}
    except Exception:  # missing, truncated or foreign: whatever is wrong with a cache, the answer is to train again
        return None
    fits = all(arrays[k].shape == shape and arrays[k].dtype == np.float32 and np.isfinite(arrays[k]).all() for k, shape in shapes.items())
    return arrays if fits else None


def _write(path: Path, arrays: Arrays) -> None:
    """Writes beside the target and renames, so that no reader sees half a file; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        Path(temporary).replace(path)
    except OSError:
        return


def accuracy(name: str, arrays: Arrays) -> float:
    """Share of the test digits that the weights label rightly."""
    images, labels = digits_test()
    with torch.no_grad():
        scores = KINDS[name][1](torch.from_numpy(images), {k: torch.from_numpy(v) for k, v in arrays.items()})
    return float((scores.argmax(dim=1).numpy() == labels).mean())


def train(name: str, *, epochs: int = 60) -> Arrays:
    """Trains a built-in on one thread, with one seed: the same weights on every run of one torch version on one kind of CPU.

    Raises:
        NetassayError: If it does not reach 97 % on the test digits.
    """
    shapes, forward, _ = KINDS[name]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        arrays = _trained(shapes, forward, epochs)
    finally:
        torch.set_num_threads(threads)
    reached = accuracy(name, arrays)
    if reached < WANTED_ACCURACY:
        raise NetassayError(
            f"training {name} reached {reached:.1%} on the test digits, below {WANTED_ACCURACY:.0%}; please report the torch build"
        )
    return arrays


def _trained(shapes: dict[str, tuple[int, ...]], forward: Forward, epochs: int) -> Arrays:
    images, labels, _, _ = digits_split()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(SEED)
    weights = {key: _initial(shape, generator) for key, shape in shapes.items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            noisy = x[batch] + NOISE * torch.randn(x[batch].shape, generator=generator)
            nn.functional.cross_entropy(forward(noisy, weights), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        schedule.step()
    return {key: w.detach().numpy().copy() for key, w in weights.items()}


def _initial(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """He's initialisation for weights, zeros for biases."""
    if len(shape) == 1:
        return torch.zeros(shape, requires_grad=True)
    fan_in = int(np.prod(shape[1:]))
    start: Tensor = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return start.requires_grad_()
