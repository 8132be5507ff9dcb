"""Builds an operator graph value by value, checking shapes as it grows."""

from __future__ import annotations

from netassay.models.graph import Graph, Node, checked_shape
from netassay.models.operators import Operator, Reshape, Shape


class GraphBuilder:
    """Collects nodes; values are numbered as in ``Graph``: 0 is the input.

    Args:
        input_shape: Shape of one sample.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self._nodes: list[Node] = []
        self._shapes: list[Shape] = [input_shape]

    def shape(self, value: int) -> Shape:
        """Shape of a value."""
        return self._shapes[value]

    def add(self, operator: Operator, *inputs: int, name: str = "") -> int:
        """Appends a node and returns its value; reshapes of reshapes become one, and those without effect none."""
        if isinstance(operator, Reshape):
            source = self._before_reshape(inputs[0])
            if operator.shape == self._shapes[source]:
                return source
            inputs = (source,)
        label = f"node {name or len(self._nodes)!r} ({operator.name})"
        shape = checked_shape(operator, [self._shapes[i] for i in inputs], label)
        self._nodes.append(Node(operator, inputs, name))
        self._shapes.append(shape)
        return len(self._nodes)

    def _before_reshape(self, value: int) -> int:
        while value and isinstance(self._nodes[value - 1].operator, Reshape):
            value = self._nodes[value - 1].inputs[0]
        return value

    def node(self, value: int) -> Node | None:
        """The node that computes a value; None for the input."""
        return self._nodes[value - 1] if value else None

    def build(self, output: int) -> Graph:
        """The graph that computes ``output``, flattened, without nodes that it does not need."""
        shape = self._shapes[output]
        if len(shape) != 1:
            size = 1
            for n in shape:
                size *= n
            output = self.add(Reshape((size,)), output, name="flatten output")
        return prune(self.input_shape, self._nodes, output)


def prune(input_shape: Shape, nodes: list[Node] | tuple[Node, ...], output: int) -> Graph:
    """The graph of the nodes that ``output`` needs, in their order, the output last."""
    needed = {output}
    for value in range(output, 0, -1):
        if value in needed:
            needed.update(nodes[value - 1].inputs)
    number = {0: 0}
    kept: list[Node] = []
    for value in range(1, output + 1):
        if value in needed:
            node = nodes[value - 1]
            kept.append(Node(node.operator, tuple(number[i] for i in node.inputs), node.name))
            number[value] = len(kept)
    return Graph(input_shape, tuple(kept))


def append_before(graph: Graph, *operators: Operator) -> Graph:
    """The graph that applies one-input ``operators`` to the input first (preprocessing), then ``graph``."""
    builder = GraphBuilder(graph.input_shape)
    value = 0
    for operator in operators:
        value = builder.add(operator, value, name="preprocessing")
    shift = {0: value}
    for position, node in enumerate(graph.nodes):
        shift[position + 1] = builder.add(node.operator, *(shift[i] for i in node.inputs), name=node.name)
    return builder.build(shift[len(graph.nodes)])
