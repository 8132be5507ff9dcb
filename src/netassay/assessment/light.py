"""ONNX networks that numpy alone evaluates: their proofs begin without loading torch, which takes longer than most of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netassay.models.agreement import compare
from netassay.models.graph import Graph
from netassay.models.heads import settle
from netassay.models.network import Network
from netassay.models.onnx_evaluators import evaluators
from netassay.models.onnx_reader import read_onnx
from netassay.models.scores import Meaning, OutputConvention
from netassay.numerics.box import Box
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import bounded_graph

if TYPE_CHECKING:
    from torch import Tensor, nn

Evaluate = Callable[[NDArray[np.floating]], NDArray[np.float64]]

INPUTS = 20
"""Random inputs on which the network is compared with the file's own evaluation."""

LARGEST = 2_000_000
"""Parameters of the largest network that is taken: beyond, loading torch is the smaller part."""


class LightNetwork(Network):
    """A graph evaluated in float64 by numpy; torch is loaded when tensors are asked for.

    Args:
        graph: Affine operators and ReLUs.
        name: How reports call it.
        evaluate: Raw outputs (N, m) of points (N, *input_shape).
        originals: Independent evaluators of the file.
        notes: What its user should know.
    """

    differentiable = True

    def __init__(self, graph: Graph, name: str, evaluate: Evaluate, originals: dict[str, Evaluate], notes: tuple[str, ...]) -> None:
        super().__init__(
            name=name,
            domain=Box.unbounded(graph.input_shape),
            output_size=graph.output_size,
            convention=OutputConvention(Meaning.VALUES),
            sha256=graph.sha256,
            device="cpu",
            notes=notes,
        )
        self._graph, self._evaluate, self._originals = graph, evaluate, originals

    @property
    def graph(self) -> Graph:
        return self._graph

    @property
    def dtype(self) -> str:
        return "float64"

    @cached_property
    def _module(self) -> nn.Module:
        import torch

        from netassay.models.torch_graph import GraphModule

        return GraphModule(self._graph, torch.float64)

    def outputs(self, inputs: Tensor) -> Tensor:
        found: Tensor = self._module(inputs)
        return found

    def in_float64(self) -> Network:
        return self

    def by_numpy(self) -> Evaluate:
        return self._evaluate

    def originals(self) -> dict[str, Evaluate]:
        return self._originals


def light_network(path: str | Path) -> LightNetwork | None:
    """The network of an ONNX file with raw outputs, replayed against the file; None where numpy alone does not evaluate it.

    Raises:
        ModelError: If the file cannot be read, or its own evaluation gives something else.
    """
    source = read_onnx(path)
    head = settle(source.graph, Meaning.VALUES)
    if sum(prod(a.shape) for n in head.graph.nodes for a in n.operator.arrays().values()) > LARGEST:
        return None
    evaluator = Evaluator(bounded_graph(head.graph))
    if not evaluator.by_numpy:
        return None
    originals = evaluators(source)
    name, own = next(iter(originals.items()))
    network = LightNetwork(head.graph, Path(source.file.path).name, _in_double(evaluator), originals, (*source.notes, *head.notes))
    agreement = compare(network.by_numpy(), own, network.domain, name=name, inputs=INPUTS, seconds=0.5, in_float64=None)
    agreement.require(network.name)
    return network


def _in_double(evaluator: Evaluator) -> Evaluate:
    """Outputs of points of any floating type."""

    def call(points: NDArray[np.floating]) -> NDArray[np.float64]:
        return evaluator.outputs(np.asarray(points, dtype=np.float64))

    return call
