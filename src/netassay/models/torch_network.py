"""A network given as an operator graph, evaluated by torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netassay.errors import DataError, ModelError, UsageError
from netassay.models.builder import append_before
from netassay.models.graph import Graph
from netassay.models.network import Network, identity
from netassay.models.operators import AddConstant, DivConstant, Operator, Shape
from netassay.models.scores import OutputConvention
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box

DTYPES = {"float32": torch.float32, "float64": torch.float64}
Evaluate = Callable[[NDArray[np.floating[Any]]], NDArray[np.float64]]


class GraphNetwork(Network):
    """A differentiable network with an operator graph, in float32 or float64.

    Args:
        graph: The graph, preprocessing included.
        name: How reports call it.
        convention: What the outputs mean.
        domain: Valid inputs; unbounded by default.
        dtype: "float32" or "float64".
        device: Torch device.
        originals: Makes the independent evaluators of ``originals()``; called once, when they are first asked for.
        notes: What its user should know.
        recovered: Whether the model's last operator was taken off, see ``heads.settle``.
    Raises:
        UsageError: If the device is not there.
    """

    differentiable = True

    def __init__(
        self,
        graph: Graph,
        *,
        name: str,
        convention: OutputConvention,
        domain: Box | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        originals: Callable[[], Mapping[str, Evaluate]] = dict,
        notes: tuple[str, ...] = (),
        recovered: bool = False,
    ) -> None:
        super().__init__(
            name=name,
            domain=domain or Box.unbounded(graph.input_shape),
            output_size=graph.output_size,
            convention=convention,
            sha256=identity(graph.sha256, convention),
            device=checked_device(device),
            notes=notes,
        )
        if self.domain.shape != graph.input_shape:
            raise ModelError(f"{name}: the domain has shape {self.domain.shape}, the network takes inputs of shape {graph.input_shape}")
        self.recovered = recovered
        self._graph = graph
        self._dtype = dtype
        self._make_originals = originals
        self._originals: dict[str, Evaluate] | None = None
        self._modules: dict[str, GraphModule] = {}

    @property
    def graph(self) -> Graph:
        """The operator graph."""
        return self._graph

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def module(self) -> GraphModule:
        """The graph as a torch module, in this network's dtype and on its device; shared by its float32 and float64 forms."""
        if self._dtype not in self._modules:
            self._modules[self._dtype] = GraphModule(self._graph, DTYPES[self._dtype]).to(self.device).eval()
        return self._modules[self._dtype]

    def outputs(self, inputs: Tensor) -> Tensor:
        check_batch(self, inputs)
        outputs: Tensor = self.module(inputs)
        return outputs

    def in_float64(self) -> GraphNetwork:
        """The same graph evaluated in float64; weights given in float32 are taken exactly."""
        if self._dtype == "float64":
            return self
        other = copy.copy(self)
        other._dtype = "float64"
        return other

    def with_preprocessing(self, mean: ArrayLike | None = None, std: ArrayLike | None = None) -> GraphNetwork:
        """The network that applies (x - mean) / std first; a bounded domain is carried over into the new inputs' units.

        Args:
            mean, std: One number, one per channel (inputs of shape (c, ...)), or one per feature; None for 0 and 1.
        Raises:
            UsageError: If a number is NaN or infinite, std is not positive, or their count does not fit.
        """
        if mean is None and std is None:
            return self
        m = _per_feature(mean, 0.0, self.input_shape, "mean")
        s = _per_feature(std, 1.0, self.input_shape, "std")
        if (s <= 0).any():
            raise UsageError(f"std must be positive; got {s.min():g}")
        steps: list[Operator] = [AddConstant(-m)] if mean is not None else []
        if std is not None:
            steps.append(DivConstant(s))
        originals = partial(_normalised_originals, self.originals, m, s)
        return GraphNetwork(
            append_before(self._graph, *steps),
            name=self.name,
            convention=self.convention,
            domain=Box(self.domain.lower * s + m, self.domain.upper * s + m),
            dtype=self._dtype,
            device=self.device,
            originals=originals,
            notes=(*self.notes, "inputs are normalised inside the network: (x - mean) / std"),
            recovered=self.recovered,
        )

    def memory_per_point(self, *, gradient: bool = False) -> int:
        """Bytes of the largest set of values alive at once; with a gradient, of all values and their gradients.

        What single operators take beside that is added (``Graph.workspace_values``); convolutions unfold their input in float64.
        """
        graph, width = self._graph, 4 if self._dtype == "float32" else 8
        values = 2 * graph.total_values if gradient else graph.peak_values
        return width * (values + graph.workspace_values + (graph.unfolded_values if self._dtype == "float64" else 0))

    def originals(self) -> dict[str, Evaluate]:
        if self._originals is None:
            self._originals = dict(self._make_originals())
        return self._originals


def checked_device(device: str) -> str:
    """The device's name; raises UsageError if torch does not know it or it is not there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device {device!r} cannot be used: {reason}; known here: cpu{', cuda' if torch.cuda.is_available() else ''}"
        ) from error
    return device


def check_batch(network: Network, inputs: Tensor) -> None:
    """Raises DataError unless ``inputs`` is a batch of the network's inputs."""
    if tuple(inputs.shape[1:]) != network.input_shape or inputs.ndim < 1:
        raise DataError(
            f"{network.name}: a batch of shape {tuple(inputs.shape)} came, expected (N, {', '.join(map(str, network.input_shape))})"
        )


def _per_feature(given: ArrayLike | None, default: float, shape: Shape, what: str) -> NDArray[np.float64]:
    """``given`` in a shape that broadcasts to the input."""
    values = np.asarray(default if given is None else given, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UsageError(f"{what} holds NaN or infinity")
    if values.ndim == 0 or values.size == 1:
        return values.reshape(())
    if values.shape == shape:
        return values
    if values.size == prod(shape) and values.ndim == 1:
        return values.reshape(shape)
    if values.ndim == 1 and len(shape) > 1 and len(values) == shape[0]:
        return values.reshape(-1, *(1,) * (len(shape) - 1))
    raise UsageError(f"{what} has shape {values.shape}; expected 1 number, one per channel or one per feature of inputs of shape {shape}")


def _normalised_originals(
    originals: Callable[[], Mapping[str, Evaluate]], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> dict[str, Evaluate]:
    def normalised(evaluate: Evaluate, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        return evaluate((np.asarray(points, dtype=np.float64) - mean) / std)

    return {name: partial(normalised, evaluate) for name, evaluate in originals().items()}


def as_function(network: Network) -> Evaluate:
    """The network on numpy arrays: points (N, *shape) to raw outputs (N, m), in its own dtype, 64 at a time."""

    def call(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        rows = torch.as_tensor(np.asarray(points), dtype=DTYPES[network.dtype], device=network.device)
        with torch.no_grad():
            found = torch.cat([network.outputs(rows[i : i + 64]) for i in range(0, len(rows), 64)])
        return np.asarray(found.cpu().numpy(), dtype=np.float64)

    return call
