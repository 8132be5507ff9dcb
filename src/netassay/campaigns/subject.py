"""What a campaign asks about: a network and inputs, which every worker has for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.models.network import Network

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, inputs, and what may change around them.

    Args:
        network: With its domain settled.
        inputs: (N, *input_shape), in the model's units.
        labels: (N,) true labels, or None.
        indices: (N,) positions in the data set.
        region: mask, scale, granularity, one_hot, group, as ``Ball`` takes them.
    """

    network: Network
    inputs: Array
    labels: NDArray[np.int64] | None
    indices: NDArray[np.int64]
    region: dict[str, Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def network_identity(self) -> tuple[str, ...]:
        """What tells networks apart: structure and weights, what the outputs mean, the domain, and where it is evaluated."""
        network, domain = self.network, self.network.domain
        return (network.sha256, repr(network.convention), digest([domain.lower, domain.upper]), network.dtype, network.device)

    def region_identity(self) -> tuple[str, ...]:
        """What tells regions of one radius and norm apart."""
        return tuple(f"{name}={_text(value)}" for name, value in sorted(self.region.items()))

    def inputs_identity(self, start: int, stop: int) -> str:
        """What tells inputs apart: their numbers, labels and places in the data set, in their order."""
        labels = None if self.labels is None else self.labels[start:stop]
        return digest([self.inputs[start:stop], labels, self.indices[start:stop]])

    def identity(self) -> str:
        """Of everything: equal in the driver and in each worker."""
        parts = (*self.network_identity(), *self.region_identity(), self.inputs_identity(0, len(self)))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


Loader = Callable[[], Subject]
"""Loads the subject anew, in whichever process calls it; picklable."""


def digest(arrays: Iterable[NDArray[Any] | None]) -> str:
    """SHA-256 of arrays with their types and shapes."""
    found = hashlib.sha256()
    for array in arrays:
        if array is None:
            found.update(b"none;")
            continue
        found.update(f"{array.dtype.str}{array.shape};".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _text(value: object) -> str:
    return digest([value]) if isinstance(value, np.ndarray) else repr(value)
