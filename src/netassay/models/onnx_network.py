"""An ONNX file as a network: read, its head settled, replayed against the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from netassay.errors import ModelError
from netassay.models.agreement import INPUTS, Agreement, compare
from netassay.models.heads import Head, settle
from netassay.models.onnx_evaluators import Evaluate, evaluators, onnxruntime, reference
from netassay.models.onnx_reader import Source, read_onnx
from netassay.models.scores import Decision, Meaning
from netassay.models.torch_network import GraphNetwork, as_function
from netassay.numerics.box import Box

REFERENCE = "onnx's reference evaluator"
CHECK_SECONDS = 2.0
"""How long the replay of a file may take when it is loaded; ``agreement`` has no limit."""


def load_onnx(
    path: str | Path,
    *,
    outputs: Meaning | None = None,
    decision: Decision = Decision.ARGMAX,
    device: str = "cpu",
    domain: Box | None = None,
    check: bool = True,
) -> GraphNetwork:
    """Reads an ONNX file and replays random inputs on it and on the network made of it.

    Args:
        path: The file.
        outputs, decision: What the outputs mean; see ``heads.settle``.
        device: Torch device.
        domain: Valid inputs; unbounded by default, as the file says nothing of them.
        check: Whether to replay 100 inputs (fewer where they take more than 2 s; a note says how many).
    Raises:
        ModelError: If it cannot be read, or deviates from the file by more than 1e-5 of the largest output.
    """
    source = read_onnx(path)
    head = settle(source.graph, outputs, decision)
    network = _network(source, head, device, domain)
    if check:
        found = _compare(source, head, network, network.domain, INPUTS, CHECK_SECONDS).require(network.name)
        if found.note:
            network.notes = (*network.notes, found.note)
        if found.inputs < INPUTS:
            network.notes = (
                *network.notes,
                f"replayed against the file on {found.inputs} random inputs only, as each takes long; `doctor` replays {INPUTS}",
            )
    return network


def _network(source: Source, head: Head, device: str, domain: Box | None) -> GraphNetwork:
    return GraphNetwork(
        head.graph,
        name=Path(source.file.path).name,
        convention=head.convention,
        domain=domain,
        dtype=source.dtype,
        device=device,
        originals=partial(evaluators, source, _tensor_before(source, head)),
        notes=(*source.notes, *head.notes),
        recovered=head.removed is not None,
    )


def _tensor_before(source: Source, head: Head) -> str | None:
    """The file's tensor that the graph computes, where it is not the file's output."""
    if head.removed is None:
        return None
    (node,) = [n for n in source.file.graph.node if head.removed in n.output]
    return str(node.input[0])


def _compare(source: Source, head: Head, network: GraphNetwork, domain: Box, inputs: int, seconds: float | None) -> Agreement:
    """Against the reference evaluator; where that cannot run the file or is alone in its result, against onnxruntime.

    The reference evaluator is known to be wrong for some operators (onnx 1.23: grouped transposed convolutions, softmax
    before opset 13, global max pooling in one dimension).
    """
    tensor = _tensor_before(source, head)

    def in_float64() -> tuple[Evaluate, Evaluate]:
        return as_function(network.in_float64()), reference(source, tensor, double=True)

    def against(evaluate: Evaluate, name: str, doubles: Callable[[], tuple[Evaluate, Evaluate]] | None) -> Agreement:
        return compare(as_function(network), evaluate, domain, name=name, inputs=inputs, seconds=seconds, in_float64=doubles)

    try:
        found: Agreement | ModelError = against(reference(source, tensor), REFERENCE, in_float64)
    except ModelError as error:
        found = error
    if isinstance(found, Agreement) and found.within:
        return found
    fast = onnxruntime(source, tensor)
    second = None if fast is None else against(fast, "onnxruntime", None)
    if second is not None and second.within:
        why = str(found) if isinstance(found, ModelError) else f"it differs by {found.deviation:.2g} of the largest output"
        return replace(second, remark=f"replayed against onnxruntime, with which it agrees, as {REFERENCE} does not fit: {why}")
    if isinstance(found, ModelError):
        raise found
    return found


def source_agreement(source: Source, domain: Box | None = None, *, inputs: int = INPUTS) -> Agreement:
    """How far the network made of a file is from onnx's reference evaluator on random inputs of ``domain``, in float32.

    Raises:
        ModelError: If the file cannot be evaluated; a deviation is returned, not raised.
    """
    head = settle(source.graph, None)
    network = _network(source, head, "cpu", domain)
    return _compare(source, head, network, network.domain, inputs, None)
