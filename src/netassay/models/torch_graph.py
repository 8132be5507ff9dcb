"""The operator graph as a torch module."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netassay.errors import UnsupportedOperatorError
from netassay.models.graph import Graph
from netassay.models.operators import Constant
from netassay.models.torch_operators import EVALUATORS, Evaluator


def without_tf32(inputs: Tensor) -> AbstractContextManager[None]:
    """While it lasts, convolutions on CUDA use all of float32, whatever the process has set; nothing on other devices."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if inputs.is_cuda else nullcontext()


class _Step(nn.Module):
    """One node: its operator, its constants as buffers, where it reads, and what is not needed after it."""

    def __init__(self, graph: Graph, position: int, dtype: torch.dtype) -> None:
        super().__init__()
        node = graph.nodes[position]
        if not isinstance(node.operator, Constant) and type(node.operator) not in EVALUATORS:
            known = ", ".join(sorted(kind.__name__ for kind in EVALUATORS))
            raise UnsupportedOperatorError(f"node {node.name!r}: torch has no evaluation of {node.operator.name}; known: {known}")
        self.operator = node.operator
        self.inputs = node.inputs
        self.run: Evaluator | None = EVALUATORS.get(type(node.operator))
        self.done = tuple(v for v in set(node.inputs) if graph.last_use[v] == position)
        for name, array in node.operator.arrays().items():
            tensor = torch.from_numpy(np.array(array))
            self.register_buffer(name, tensor.to(dtype) if tensor.is_floating_point() else tensor)

    def forward(self, inputs: tuple[Tensor, ...], batch: int) -> Tensor:
        """The node's value for a batch."""
        weights: dict[str, Any] = self._buffers
        if self.run is None:
            value: Tensor = weights["value"]
            return value.expand(batch, *value.shape)
        return self.run(self.operator, weights, inputs)


class GraphModule(nn.Module):
    """Evaluates a graph on batches (N, *input_shape) to (N, m), differentiably; values are dropped after their last use.

    On CUDA, TF32 stays off in convolutions, whatever the process has set.

    Args:
        graph: The graph; its constants are copied into buffers of ``dtype``.
        dtype: torch.float32 or torch.float64.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.graph = graph
        self.steps = nn.ModuleList(_Step(graph, i, dtype) for i in range(len(graph.nodes)))
        self._plan: list[_Step] = [s for s in self.steps if isinstance(s, _Step)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (N, m) of inputs (N, *input_shape)."""
        with without_tf32(inputs):
            return self._run(inputs)

    def _run(self, inputs: Tensor) -> Tensor:
        batch = inputs.shape[0]
        values: dict[int, Tensor] = {0: inputs}
        for position, step in enumerate(self._plan):
            made = step.forward(tuple(values[i] for i in step.inputs), batch)
            for value in step.done:
                del values[value]
            values[position + 1] = made
        return values[len(self._plan)]
