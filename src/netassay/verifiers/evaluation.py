"""The network itself at points of a region, and its gradients: what bounds are compared with and counterexamples come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netassay.models.nonlinear import LeakyRelu, Relu
from netassay.models.operators import Operator
from netassay.verifiers.affine import BY_NUMPY
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.rounding import Array

_NUMPY: dict[type[Operator], tuple[Callable[[Any, Array], Array], Callable[[Any, Array], Array]]] = {
    Relu: (lambda _o, x: np.maximum(x, 0), lambda _o, x: (x > 0).astype(np.float64)),
    LeakyRelu: (lambda o, x: np.where(x >= 0, x, o.slope * x), lambda o, x: np.where(x >= 0, 1.0, o.slope)),
}
"""Value and derivative of what numpy evaluates."""


class Evaluator:
    """Outputs and gradients of a graph in float64: by numpy where it has affine maps and ReLUs only, by torch otherwise."""

    def __init__(self, bounded: BoundedGraph) -> None:
        self._bounded = bounded
        nodes = bounded.graph.nodes
        self._numpy = all(bounded.maps[p] is not None or type(n.operator) in _NUMPY for p, n in enumerate(nodes))
        self._module: Any = None

    @property
    def by_numpy(self) -> bool:
        """Whether numpy alone evaluates the graph."""
        linear = (n.operator for p, n in enumerate(self._bounded.graph.nodes) if self._bounded.maps[p] is not None)
        return self._numpy and all(type(o) in BY_NUMPY for o in linear)

    def outputs(self, points: Array) -> Array:
        """(N, m) outputs of points (N, *shape)."""
        if not self._numpy:
            return self._by_torch(points, None)[0]
        return self._values(points)[-1]

    def gradients(self, points: Array, rows: Array) -> tuple[Array, Array]:
        """Outputs (N, m), and the gradients (N, *shape) of ``<rows[i], outputs>`` at each point; rows (N, m)."""
        if not self._numpy:
            return self._by_torch(points, rows)
        values = self._values(points)
        with np.errstate(all="ignore"):
            return values[-1], self._pulled(values, rows)

    def _pulled(self, values: list[Array], rows: Array) -> Array:
        pending: dict[int, Array] = {self._bounded.output: rows}
        for position in reversed(range(len(self._bounded.graph.nodes))):
            given = pending.pop(position + 1, None)
            if given is None:
                continue
            node, affine = self._bounded.graph.nodes[position], self._bounded.maps[position]
            if affine is not None:
                parts = affine.adjoint(given)
            else:
                parts = [given * _NUMPY[type(node.operator)][1](node.operator, values[node.inputs[0]])]
            for i, part in zip(node.inputs, parts, strict=True):
                pending[i] = pending[i] + part if i in pending else part
        return pending.get(0, np.zeros_like(values[0]))

    def _values(self, points: Array) -> list[Array]:
        values = [points]
        with np.errstate(all="ignore"):  # what overflows is infinite or NaN, and no violation
            for position, node in enumerate(self._bounded.graph.nodes):
                affine, inputs = self._bounded.maps[position], [values[i] for i in node.inputs]
                values.append(affine(inputs) if affine is not None else _NUMPY[type(node.operator)][0](node.operator, inputs[0]))
        return values

    def _by_torch(self, points: Array, rows: Array | None) -> tuple[Array, Array]:
        import torch

        from netassay.models.torch_graph import GraphModule

        if self._module is None:
            self._module = GraphModule(self._bounded.graph, torch.float64)
        given = torch.from_numpy(np.ascontiguousarray(points))
        if rows is None:
            with torch.no_grad():
                return self._module(given).numpy(), points
        given.requires_grad_(True)
        outputs = self._module(given)
        (gradient,) = torch.autograd.grad((outputs * torch.from_numpy(np.ascontiguousarray(rows))).sum(), given)
        return outputs.detach().numpy(), gradient.numpy()
