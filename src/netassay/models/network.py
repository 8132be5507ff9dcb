"""What every other layer may ask of a model."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, ClassVar, Self

from netassay.errors import RegionError
from netassay.models.scores import OutputConvention, Scale
from netassay.numerics.box import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from netassay.models.graph import Graph


def identity(graph_sha256: str, convention: OutputConvention) -> str:
    """What tells networks with operator graphs apart: structure and weights, and what the outputs mean."""
    return hashlib.sha256(repr((graph_sha256, str(convention.meaning), str(convention.decision))).encode()).hexdigest()


class Network(ABC):
    """A function on batches of inputs, with a domain, an output convention and an identity.

    Args:
        name: How reports call it.
        domain: Valid inputs; its shape is the input shape without the batch axis. May be unbounded.
        output_size: Raw outputs per input.
        convention: What the outputs mean.
        sha256: Identity of structure and weights (or of the black box as far as it can be known).
        device: Torch device on which it evaluates.
        notes: What its user should know about how it was read, one sentence each.
    Attributes:
        recovered: Whether the model's last operator, a softmax or sigmoid, was taken off: the outputs are not the model's own then.
    """

    differentiable: ClassVar[bool]
    recovered: bool = False

    def __init__(
        self,
        *,
        name: str,
        domain: Box,
        output_size: int,
        convention: OutputConvention,
        sha256: str,
        device: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.domain = domain
        self.output_size = output_size
        self.convention = convention
        self.sha256 = sha256
        self.device = device
        self.notes = notes

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.domain.shape

    @property
    def labels(self) -> int:
        """Number of labels; 0 for a network that does not classify."""
        return self.convention.labels(self.output_size)

    @property
    def graph(self) -> Graph | None:
        """The operator graph, which verifiers follow; None for a black box."""
        return None

    @property
    @abstractmethod
    def dtype(self) -> str:
        """The dtype that ``outputs`` takes and gives: "float32" or "float64"."""

    @abstractmethod
    def outputs(self, inputs: Tensor) -> Tensor:
        """Raw outputs (batch, output_size) for inputs (batch, *input_shape) in ``dtype`` on ``device``.

        Differentiable in ``inputs`` where ``differentiable`` says so.
        """

    @abstractmethod
    def in_float64(self) -> Network | None:
        """The same network evaluated in float64, or None where it cannot be."""

    def with_domain(self, domain: Box) -> Self:
        """The same network on other valid inputs; raises RegionError if their shape is not the input shape."""
        if domain.shape != self.input_shape:
            raise RegionError(f"{self.name}: the domain has shape {domain.shape}, the network takes inputs of shape {self.input_shape}")
        other = copy.copy(self)
        other.domain = domain
        return other

    def memory_per_point(self, *, gradient: bool = False) -> int:
        """Bytes that evaluating one more point takes at its peak; a generous guess unless the kind of network knows better."""
        width = 4 if self.dtype == "float32" else 8
        return 64 * width * (prod(self.input_shape) + self.output_size) * (2 if gradient else 1)

    def originals(self) -> dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]]:
        """Independent evaluators of the model that was handed over, by name (e.g. ``onnxruntime-float32``).

        Each maps points (N, *input_shape) to raw outputs (N, output_size) in this network's convention, one point at a
        time. Witnesses are replayed on all of them; empty where the network itself is all there is.
        """
        return {}

    def by_numpy(self) -> Callable[[NDArray[np.floating]], NDArray[np.float64]] | None:
        """An evaluator in ``dtype`` that needs no torch, of the form of ``originals``, for a network that has one."""
        return None

    def scores(self, inputs: Tensor, scale: Scale) -> Tensor:
        """Scores (batch, labels) on ``scale``, higher wins; raw outputs for Scale.OUTPUTS."""
        scored: Tensor = self.convention.scores(self.outputs(inputs), scale)
        return scored
