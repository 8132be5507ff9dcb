"""A torch module as a network: by its operator graph where torch.export can follow it, else as it is."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from netassay.errors import DataError, ModelError, UsageError
from netassay.models.agreement import Agreement, compare, random_inputs
from netassay.models.heads import default_meaning, settle
from netassay.models.network import Network
from netassay.models.operators import Shape
from netassay.models.scores import Decision, Meaning, OutputConvention
from netassay.models.torch_export import Exported, first_line, graph_from_module, read_program
from netassay.models.torch_graph import without_tf32
from netassay.models.torch_network import DTYPES, GraphNetwork, as_function, check_batch, checked_device
from netassay.numerics.box import Box

Evaluate = Callable[[NDArray[np.floating[Any]]], NDArray[np.float64]]
GraphMode = Literal["auto", "required", "never"]
CHECK_SECONDS = 2.0


class ModuleNetwork(Network):
    """A torch module without an operator graph: differentiable, for falsifiers and statistics; verifiers cannot follow it.

    Args:
        module: In evaluation mode, on ``device``; takes (batch, *shape), returns one tensor with a row per input.
        name, convention, domain, notes: As for every network.
        output_size: Numbers per input.
        device: Torch device.
    """

    differentiable = True

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        convention: OutputConvention,
        domain: Box,
        output_size: int,
        device: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            name=name,
            domain=domain,
            output_size=output_size,
            convention=convention,
            sha256=_module_hash(module, convention),
            device=device,
            notes=notes,
        )
        self._module = module
        self._double: nn.Module | None = None
        self._bytes: int | None = None

    @property
    def dtype(self) -> str:
        return module_dtype(self._module)

    def outputs(self, inputs: Tensor) -> Tensor:
        check_batch(self, inputs)
        with without_tf32(inputs):
            return flat_outputs(self._module(inputs), len(inputs), self.name)

    def in_float64(self) -> ModuleNetwork | None:
        """A float64 copy of the module; None where it does not run in float64."""
        if self.dtype == "float64":
            return self
        if self._double is None:
            self._double = copy.deepcopy(self._module).double()
        other = copy.copy(self)
        other._module = self._double
        try:
            with torch.no_grad():
                other.outputs(torch.zeros(1, *self.input_shape, dtype=torch.float64, device=self.device))
        except Exception:  # a module may do anything with a dtype it does not expect; then there is no float64 form
            return None
        return other

    def memory_per_point(self, *, gradient: bool = False) -> int:
        """Bytes of all submodules' results for one point: an upper estimate, measured once."""
        if self._bytes is None:
            self._bytes = _measured_bytes(self._module, self.input_shape, DTYPES[self.dtype], self.device)
        return self._bytes * (2 if gradient else 1)


def from_module(
    module: nn.Module,
    input_shape: Shape | None = None,
    *,
    domain: Box | None = None,
    outputs: Meaning | None = None,
    decision: Decision = Decision.ARGMAX,
    name: str | None = None,
    device: str = "cpu",
    graph: GraphMode = "auto",
    notes: tuple[str, ...] = (),
) -> Network:
    """A network from a torch module.

    The module is copied, the copy put in evaluation mode and moved to ``device``; the user's own is not changed.

    Args:
        module: Takes (batch, *input_shape), returns one tensor (batch, ...).
        input_shape: Without the batch axis; may be left out where ``domain`` has it.
        domain: Valid inputs; unbounded by default.
        outputs, decision: What the outputs mean; see ``heads.settle``.
        name: How reports call it; the class name by default.
        device: Torch device.
        graph: "auto": by operator graph where that is possible, else the module itself, which ``notes`` then say;
            "required": raise where it is not possible; "never": the module itself.
        notes: Further notes.
    Raises:
        UsageError: If no shape is given, or ``graph`` is unknown.
        ModelError: If the module does not evaluate; with "required", if it cannot be exported or the graph deviates.
    """
    if graph not in ("auto", "required", "never"):
        raise UsageError(f"unknown graph mode {graph!r}; known: auto, required, never")
    shape = _shape(input_shape, domain)
    box = domain or Box.unbounded(shape)
    label = name or type(module).__name__
    copied = _evaluation_copy(module, checked_device(device))
    size = _probe(copied, box, label)
    if graph == "never":
        return _plain(
            copied,
            label,
            box,
            size,
            outputs,
            decision,
            device,
            (*notes, "the module itself is evaluated, as asked: verifiers cannot follow it"),
        )
    try:
        return _by_graph(copied, graph_from_module(copied, shape), label, box, outputs, decision, device, notes)
    except ModelError as error:
        if graph == "required":
            raise
        why = f"no operator graph ({error}): the module itself is evaluated, and verifiers that need a graph cannot follow it"
        return _plain(copied, label, box, size, outputs, decision, device, (*notes, why))


def from_program(
    program: ExportedProgram,
    *,
    name: str,
    outputs: Meaning | None = None,
    decision: Decision = Decision.ARGMAX,
    device: str = "cpu",
    notes: tuple[str, ...] = (),
) -> GraphNetwork:
    """A network from a program of ``torch.export``; the program says its input shape.

    Raises:
        UnsupportedOperatorError, ModelError: As ``torch_export.read_program``, or if the graph deviates from the program.
    """
    graph = read_program(program)
    module = cast(nn.Module, program.module()).to(checked_device(device))
    exported = Exported(graph, program, dynamic=True)
    return _by_graph(module, exported, name, Box.unbounded(graph.input_shape), outputs, decision, device, notes)


def _plain(
    module: nn.Module, label: str, box: Box, size: int, outputs: Meaning | None, decision: Decision, device: str, notes: tuple[str, ...]
) -> ModuleNetwork:
    convention = OutputConvention(outputs or default_meaning(size), decision)
    return ModuleNetwork(module, name=label, convention=convention, domain=box, output_size=size, device=device, notes=notes)


def _by_graph(
    module: nn.Module,
    exported: Exported,
    label: str,
    box: Box,
    outputs: Meaning | None,
    decision: Decision,
    device: str,
    notes: tuple[str, ...],
) -> GraphNetwork:
    head = settle(exported.graph, outputs, decision)
    whole = GraphNetwork(
        exported.graph, name=label, convention=OutputConvention(Meaning.VALUES), domain=box, dtype=module_dtype(module), device=device
    )
    found = module_agreement(whole, module, seconds=CHECK_SECONDS).require(label)
    return GraphNetwork(
        head.graph,
        name=label,
        convention=head.convention,
        domain=box,
        dtype=module_dtype(module),
        device=device,
        originals=partial(_originals, module, exported, head.removed),
        notes=(*notes, *head.notes, *((found.note,) if found.note else ())),
        recovered=head.removed is not None,
    )


def module_agreement(network: Network, module: nn.Module, *, inputs: int = 100, seconds: float | None = None) -> Agreement:
    """How far a network is from the module it was made of, on random inputs of its domain, in batches."""

    def in_float64() -> tuple[Evaluate, Evaluate]:
        double = network.in_float64()
        if double is None:
            raise ModelError(f"{network.name}: it has no float64 form")
        return as_function(double), _in_double(module, network)

    source = _batched(module, network.device)
    return compare(
        as_function(network), source, network.domain, name="the torch module", inputs=inputs, seconds=seconds, in_float64=in_float64
    )


def _in_double(module: nn.Module, network: Network) -> Evaluate:
    """A module's float64 form; raises ModelError where it does not run in float64."""
    evaluate = _batched(copy.deepcopy(module).double(), network.device)

    def call(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        try:
            return evaluate(points)
        except Exception as error:  # a module may do anything with a dtype it does not expect
            raise ModelError(f"{network.name}: it does not run in float64 ({type(error).__name__}: {error})") from error

    return call


def _originals(module: nn.Module, exported: Exported, removed: str | None) -> Mapping[str, Evaluate]:
    """The module itself, or, where its final softmax is taken off, torch's own run of its program up to there."""
    dtype = module_dtype(module)
    device = str(next((p.device for p in module.parameters()), torch.device("cpu")))
    if removed is None:
        return {f"torch-module-{dtype}": _singly(module, device)}
    program: fx.GraphModule = exported.program.module()
    nodes = {n.name: n for n in program.graph.nodes}
    output = next(n for n in program.graph.nodes if n.op == "output")
    if removed not in nodes:
        return {}
    output.args = (nodes[removed].args[0],)
    program.graph.eliminate_dead_code()
    program.graph._codegen = fx.graph.CodeGen()  # the program's own would wrap the single output again
    program.recompile()
    return {f"torch-program-{dtype}": _singly(program, device)}


def _batched(module: nn.Module, device: str) -> Evaluate:
    dtype = DTYPES[module_dtype(module)]

    def call(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        rows = torch.as_tensor(np.asarray(points), dtype=dtype, device=device)
        with torch.no_grad():
            try:
                found = [flat_outputs(module(rows), len(rows), "the module")]
            except Exception:  # a module that takes one input at a time is evaluated so
                found = [flat_outputs(module(rows[i : i + 1]), 1, "the module") for i in range(len(rows))]
        return np.asarray(torch.cat(found).cpu().numpy(), dtype=np.float64)

    return call


def _singly(module: nn.Module, device: str) -> Evaluate:
    evaluate = _batched(module, device)

    def call(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        return np.concatenate([evaluate(points[i : i + 1]) for i in range(len(points))])

    return call


def flat_outputs(found: Any, rows: int, name: str) -> Tensor:
    """A module's result as (rows, m); raises ModelError if it is no tensor with a row per input."""
    if not isinstance(found, Tensor):
        raise ModelError(f"{name} returns {type(found).__name__}; expected one tensor: wrap the module so that it returns its logits")
    if found.ndim == 0 or found.shape[0] != rows:
        raise ModelError(f"{name} returns shape {tuple(found.shape)} for a batch of {rows}; expected one row per input")
    if not found.is_floating_point():
        raise ModelError(f"{name} returns {found.dtype}; expected floating-point outputs (scores, not labels)")
    return found.reshape(rows, -1)


def module_dtype(module: nn.Module) -> str:
    """The dtype of the first floating-point weight, float32 without any; raises ModelError for half precision."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            if tensor.dtype not in (torch.float32, torch.float64):
                raise ModelError(f"the module has weights of type {tensor.dtype}; convert it with .float() first")
            return str(tensor.dtype).removeprefix("torch.")
    return "float32"


def _shape(input_shape: Shape | None, domain: Box | None) -> Shape:
    if input_shape is None and domain is None:
        raise UsageError("a torch module does not say its input shape: give input_shape, or a domain of that shape")
    if input_shape is not None and domain is not None and tuple(input_shape) != domain.shape:
        raise UsageError(f"input_shape {tuple(input_shape)} and the domain's shape {domain.shape} differ")
    return tuple(int(n) for n in input_shape) if input_shape is not None else domain.shape if domain is not None else ()


def _evaluation_copy(module: nn.Module, device: str) -> nn.Module:
    try:
        copied = copy.deepcopy(module)
    except Exception as error:
        raise ModelError(f"the module cannot be copied: {type(error).__name__}: {error}") from error
    for name, tensor in copied.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"weight {name!r} holds NaN or infinity; nothing can be measured with it")
    return copied.eval().requires_grad_(False).to(device)


def _probe(module: nn.Module, box: Box, label: str) -> int:
    """Outputs per input, from one evaluation; raises ModelError if the module does not take its input."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    point = torch.as_tensor(random_inputs(box, 1, 0), dtype=DTYPES[module_dtype(module)], device=device)
    try:
        with torch.no_grad():
            return flat_outputs(module(point), 1, label).shape[1]
    except (ModelError, DataError):
        raise
    except Exception as error:
        raise ModelError(f"{label} fails on a batch of shape {tuple(point.shape)}: {type(error).__name__}: {first_line(error)}") from error


def _module_hash(module: nn.Module, convention: OutputConvention) -> str:
    """Hash of the module's printed structure and all its weights; code inside ``forward`` does not enter."""
    digest = hashlib.sha256(repr((repr(module), type(module).__qualname__, str(convention.meaning), str(convention.decision))).encode())
    for name, tensor in module.state_dict().items():
        array = tensor.detach().cpu().contiguous()
        digest.update(repr((name, str(array.dtype), tuple(array.shape))).encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b"")
    return digest.hexdigest()


def _measured_bytes(module: nn.Module, shape: Shape, dtype: torch.dtype, device: str) -> int:
    total = 0

    def count(_module: nn.Module, _inputs: Any, result: Any) -> None:
        nonlocal total
        total += sum(
            t.numel() * t.element_size() for t in (result if isinstance(result, tuple | list) else [result]) if isinstance(t, Tensor)
        )

    hooks = [m.register_forward_hook(count) for m in module.modules()]
    try:
        with torch.no_grad():
            point = torch.zeros(1, *shape, dtype=dtype, device=device)
            module(point)
    finally:
        for hook in hooks:
            hook.remove()
    return max(2 * total, 16 * point.numel() * point.element_size())
