"""What a graph's last operator says about its outputs: a final softmax or sigmoid is recognised and taken off."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netassay.errors import ModelError
from netassay.models.builder import prune
from netassay.models.graph import Graph, Node
from netassay.models.nonlinear import Sigmoid, Softmax
from netassay.models.operators import Reshape
from netassay.models.scores import Decision, Meaning, OutputConvention


@dataclass(frozen=True)
class Head:
    """A graph with its outputs' meaning settled.

    Args:
        graph: Without a final softmax or sigmoid where its logits are taken.
        convention: What the outputs are.
        removed: Name of the node that was taken off; None where none was.
        notes: What was recognised.
    """

    graph: Graph
    convention: OutputConvention
    removed: str | None
    notes: tuple[str, ...]


def settle(graph: Graph, outputs: Meaning | None, decision: Decision = Decision.ARGMAX) -> Head:
    """Settles what a graph's outputs mean.

    Args:
        graph: As read.
        outputs: The user's word; None to go by the graph: a final softmax gives logits (recovered), a single output
            behind a sigmoid the logit of label 1, another single output a value, several outputs logits.
        decision: Which score wins.
    Raises:
        ModelError: If ``outputs`` does not fit the number of outputs.
    """
    last = _last(graph)
    size = graph.output_size
    _check(outputs, size)
    if last is not None and outputs in (None, Meaning.LOGITS, Meaning.PROBABILITIES) and _is_final_softmax(graph, last):
        note = "the model ends in a softmax: it gives probabilities; its logits are recovered"
        return Head(_without(graph, last), OutputConvention(Meaning.LOGITS, decision), graph.nodes[last].name, (note,))
    if (
        last is not None
        and size == 1
        and outputs in (None, Meaning.BINARY_LOGIT, Meaning.SIGMOID)
        and isinstance(graph.nodes[last].operator, Sigmoid)
    ):
        note = "the model ends in a single sigmoid: two labels; its logit is recovered"
        return Head(_without(graph, last), OutputConvention(Meaning.BINARY_LOGIT, decision), graph.nodes[last].name, (note,))
    notes: tuple[str, ...] = ()
    if last is not None and size > 1 and outputs is None and isinstance(graph.nodes[last].operator, Sigmoid):
        notes = ("the model ends in one sigmoid per output; the outputs are taken as scores of labels of which the largest wins",)
    return Head(graph, OutputConvention(outputs or default_meaning(size), decision), None, notes)


def default_meaning(outputs: int) -> Meaning:
    """A single output is a value, several are logits."""
    return Meaning.VALUES if outputs == 1 else Meaning.LOGITS


def _check(outputs: Meaning | None, size: int) -> None:
    single = outputs in (Meaning.BINARY_LOGIT, Meaning.SIGMOID)
    if single and size != 1:
        raise ModelError(f"outputs {outputs} mean one number per input; the model gives {size}")
    if outputs in (Meaning.LOGITS, Meaning.PROBABILITIES) and size == 1:
        raise ModelError(
            f"outputs {outputs} mean one score per label; the model gives a single number: say binary-logit, sigmoid or values"
        )


def _last(graph: Graph) -> int | None:
    """Position of the last node that computes something: reshapes after it do not count."""
    value = len(graph.nodes)
    while value and isinstance(graph.nodes[value - 1].operator, Reshape):
        value = graph.nodes[value - 1].inputs[0]
    return value - 1 if value else None


def _is_final_softmax(graph: Graph, position: int) -> bool:
    operator = graph.nodes[position].operator
    shape = graph.shapes[position + 1]
    return isinstance(operator, Softmax) and shape[operator.axis] == prod(shape) > 1


def _without(graph: Graph, position: int) -> Graph:
    """The graph up to the input of the node at ``position``, flat."""
    value = graph.nodes[position].inputs[0]
    nodes = list(graph.nodes[:value])
    if len(graph.shapes[value]) != 1:
        nodes.append(Node(Reshape((graph.output_size,)), (value,), "flatten output"))
        value = len(nodes)
    return prune(graph.input_shape, nodes, value)
