"""torch.nn.Module to operator graph, by way of ``torch.export``: undecomposed ATen operators, constants folded."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from netassay.errors import ModelError, UnsupportedOperatorError
from netassay.models.assembler import Assembler, Operand, Value
from netassay.models.graph import Graph
from netassay.models.operators import Shape

FOLD_LIMIT = 64 * 1024**2
"""Largest constant, in numbers, that folding may make."""

ARITHMETIC: dict[Any, Callable[..., Any]] = {
    f: f
    for f in (
        operator.add,
        operator.sub,
        operator.mul,
        operator.floordiv,
        operator.truediv,
        operator.mod,
        operator.neg,
        operator.eq,
        operator.ge,
        operator.gt,
        operator.le,
        operator.lt,
    )
}
"""What programs do with lengths; computed while reading."""

PASSED_ON = frozenset({"dropout", "feature_dropout", "alpha_dropout"})
"""Operators that, in evaluation mode, hand on the very tensor that they are given, and whose schema does not say so."""

NO_EFFECT = frozenset({"_assert_scalar", "_assert_async", "_assert_tensor_metadata", "sym_constrain_range_for_size", "sym_constrain_range"})


@dataclass(frozen=True)
class Exported:
    """A module as a graph.

    Args:
        graph: One sample in, flat output.
        program: What ``torch.export`` made of the module.
        dynamic: Whether the program takes any batch; otherwise it was traced for one sample.
    """

    graph: Graph
    program: ExportedProgram
    dynamic: bool


class Call:
    """What an operator's row in the table sees of its call.

    Attributes:
        assembler: The graph in progress.
        label: The call, for messages.
        arguments: By schema name, defaults filled in; tensors that depend on the input are ``Value``, others ``Tensor``.
    """

    def __init__(self, assembler: Assembler, label: str, arguments: dict[str, Any]) -> None:
        self.assembler = assembler
        self.label = label
        self.arguments = arguments

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or ``default`` where the operator has no such argument or it was left out as None."""
        found = self.arguments.get(name)
        return default if found is None else found

    def value(self, name: str = "self") -> Value:
        """A tensor argument as a value."""
        found = self.arguments[name]
        return found if isinstance(found, Value) else self.assembler.constant(as_array(found))

    def operand(self, name: str) -> Operand:
        """A tensor or number as a value or a constant."""
        found = self.arguments[name]
        return found if isinstance(found, Value) else as_array(found)

    def weight(self, name: str) -> NDArray[Any] | None:
        """A constant, None where left out; raises UnsupportedOperatorError for a computed tensor."""
        found = self.arguments.get(name)
        if isinstance(found, Value):
            raise self.refuse(f"{name} depends on the network's input; expected a constant")
        return None if found is None else as_array(found)

    def integers(self, name: str, count: int) -> Shape:
        """A list of ``count`` integers; a single one is repeated."""
        found = [int(v) for v in self.arguments[name]]
        return tuple(found * count if len(found) == 1 else found)

    def refuse(self, why: str) -> UnsupportedOperatorError:
        """The error for a form of the operator that is not supported."""
        return UnsupportedOperatorError(f"{self.label}: {why}")


Handler = Callable[[Call], Any]


def as_array(found: Any) -> NDArray[Any]:
    """A constant tensor or number as a numpy array."""
    if isinstance(found, Tensor):
        if found.dtype in (torch.float16, torch.bfloat16):
            raise ModelError(f"weights of type {found.dtype} are not supported; convert the module with .float() first")
        return np.array(found.detach().cpu().numpy())
    return np.asarray(found)


class _Reader:
    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.values: dict[fx.Node, Any] = {}
        self._owners: dict[fx.Node, fx.Node] = {}
        """Of a view the node whose numbers it shows."""
        self._places = {node: place for place, node in enumerate(program.graph.nodes)}

    def read(self) -> Graph:
        assembler = self._inputs()
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                assembler.name = node.name
                self._call(assembler, node)
            elif node.op == "output":
                return assembler.build(self._output(node))
        raise ModelError("the exported program has no output")

    def _inputs(self) -> Assembler:
        specs = self.program.graph_signature.input_specs
        holders = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        state = {**self.program.state_dict, **self.program.constants}
        assembler: Assembler | None = None
        for spec, node in zip(specs, holders, strict=True):
            if spec.kind is InputKind.USER_INPUT:
                if assembler is not None:
                    raise ModelError("the module takes more than one input; wrap it so that it takes one tensor")
                shape = _shape_at_one(node)
                assembler = Assembler(shape, 0)
                self.values[node] = assembler.input
            else:
                self.values[node] = state.get(spec.target)
        if assembler is None:
            raise ModelError("the module takes no tensor input")
        return assembler

    def _output(self, node: fx.Node) -> Value:
        found: Any = node.args[0]
        while isinstance(found, tuple | list) and len(found) == 1:
            found = found[0]
        value = self.values.get(found) if isinstance(found, fx.Node) else None
        if not isinstance(value, Value):
            raise ModelError("the module must return one tensor that depends on its input; wrap it so that it does")
        return value

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            if argument not in self.values:
                raise ModelError(f"the program reads {argument.name!r}, which nothing before it computes")
            return self.values[argument]
        if isinstance(argument, list | tuple):
            return [self._resolve(a) for a in argument]
        return argument

    def _call(self, assembler: Assembler, node: fx.Node) -> None:
        from netassay.models.aten_operators import HANDLERS  # the table's rows take a Call, defined here

        target: Any = node.target
        args, kwargs = self._resolve(list(node.args)), {k: self._resolve(v) for k, v in node.kwargs.items()}
        if target is operator.getitem:
            self.values[node] = args[0][args[1]]
            self._views(node)
            return
        if target in ARITHMETIC and not any(isinstance(a, Value) for a in args):
            self.values[node] = ARITHMETIC[target](*args)
            return
        if not isinstance(target, torch._ops.OpOverload):
            raise UnsupportedOperatorError(
                f"call {node.name!r}: {getattr(target, '__name__', target)} is not an ATen operator; known: {_known(HANDLERS)}"
            )
        name = target._schema.name.removeprefix("aten::")
        if name in NO_EFFECT:
            return
        arguments = _bind(target, args, kwargs)
        if target._schema.is_mutable or any(r.alias_info is not None for r in target._schema.returns) or name in PASSED_ON:
            self._views(node)
        if target._schema.is_mutable:
            self._check_views(node, name)
        if not _depends(arguments):
            self.values[node] = _fold(target, arguments, node.name)
            return
        plain = name if name in HANDLERS else name.removesuffix("_")
        if plain not in HANDLERS or not target._schema.name.startswith("aten::"):
            raise UnsupportedOperatorError(f"call {node.name!r}: unknown operator {target._schema.name}; known: {_known(HANDLERS)}")
        result = HANDLERS[plain](Call(assembler, f"call {node.name!r} ({name})", arguments))
        self.values[node] = result
        if target._schema.is_mutable and isinstance(node.args[0], fx.Node):
            self.values[node.args[0]] = result  # in place: later readers of the argument see the result

    def _views(self, node: fx.Node) -> None:
        """Notes that a call's result shares the numbers of its first argument."""
        if node.args and isinstance(node.args[0], fx.Node):
            self._owners[node] = self._owners.get(node.args[0], node.args[0])

    def _check_views(self, node: fx.Node, name: str) -> None:
        """Refuses to change numbers in place that are read again under another name: only the argument is known to be changed."""
        changed = node.args[0] if node.args else None
        if not isinstance(changed, fx.Node):
            return
        owner = self._owners.get(changed, changed)
        for other in (owner, *(view for view, of in self._owners.items() if of is owner)):
            if other not in (changed, node) and any(self._places[user] > self._places[node] for user in other.users):
                raise UnsupportedOperatorError(
                    f"call {node.name!r} ({name}): it changes numbers in place that {other.name!r} shows too, and is read later; clone them"
                )


def _known(handlers: dict[str, Handler]) -> str:
    return ", ".join(sorted(handlers))


def _shape_at_one(node: fx.Node) -> Shape:
    shape = list(node.meta["val"].shape)
    if not shape:
        raise ModelError("the module's input has no batch axis; expected (batch, ...)")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"the program was exported for a fixed batch of {shape[0]}; export it with a dynamic batch, or with a batch of 1")
    if not all(isinstance(n, int) for n in shape[1:]):
        raise ModelError(f"the program's input has shape {tuple(map(str, shape))}; only the first axis, the batch, may be dynamic")
    return (1, *(int(n) for n in shape[1:]))


def _bind(target: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by schema name, defaults filled in."""
    bound: dict[str, Any] = {}
    for position, argument in enumerate(target._schema.arguments):
        if position < len(args) and not argument.kwarg_only:
            bound[argument.name] = args[position]
        else:
            bound[argument.name] = kwargs.get(argument.name, argument.default_value if argument.has_default_value() else None)
    return bound


def _depends(arguments: Any) -> bool:
    if isinstance(arguments, dict):
        return any(_depends(v) for v in arguments.values())
    if isinstance(arguments, list):
        return any(_depends(v) for v in arguments)
    return isinstance(arguments, Value)


def _fold(target: Any, arguments: dict[str, Any], name: str) -> Any:
    """Runs an operator on constants; the sizes that it is told to make are checked first."""
    sizes = [v for key in ("size", "repeats") if isinstance(v := arguments.get(key), list)]
    if any(abs(float(np.prod([float(n) for n in s]))) > FOLD_LIMIT for s in sizes):
        raise ModelError(f"call {name!r}: its constant result of size {sizes} is larger than the limit of {FOLD_LIMIT} numbers")
    if arguments.get("device") is not None:
        arguments = arguments | {"device": torch.device("cpu")}
    with torch.no_grad():
        return target(**arguments)


def read_program(program: ExportedProgram) -> Graph:
    """The operator graph of an exported program.

    Raises:
        UnsupportedOperatorError: Naming the call, its operator and the known ones.
        ModelError: If it takes more than one input, has a fixed batch above one, or holds NaN or infinite weights.
    """
    return _Reader(program).read()


def graph_from_module(module: nn.Module, input_shape: Shape) -> Exported:
    """Exports a module in evaluation mode and reads the program as a graph.

    Args:
        module: Takes (batch, *input_shape), returns one tensor. It must already be in evaluation mode.
        input_shape: Without the batch axis.
    Raises:
        UnsupportedOperatorError, ModelError: As ``read_program``; also where ``torch.export`` fails.
    """
    parameter = next(module.parameters(), None)
    dtype = parameter.dtype if parameter is not None and parameter.is_floating_point() else torch.float32
    device = parameter.device if parameter is not None else torch.device("cpu")
    try:
        program = _export(module, torch.zeros(2, *input_shape, dtype=dtype, device=device), dynamic=True)
        dynamic = True
    except Exception:
        try:
            program = _export(module, torch.zeros(1, *input_shape, dtype=dtype, device=device), dynamic=False)
        except Exception as error:
            raise ModelError(f"torch.export cannot follow this module: {type(error).__name__}: {first_line(error)}") from error
        dynamic = False
    return Exported(read_program(program), program, dynamic)


def _export(module: nn.Module, example: Tensor, *, dynamic: bool) -> ExportedProgram:
    shapes: Any = ({0: Dim("batch", min=1)},) if dynamic else None
    with torch.no_grad(), quiet():
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch.export's own log records and warnings from the user: its failures are raised and said in notes."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx", "torch._dynamo")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def first_line(error: Exception) -> str:
    """The error's first line of text, shortened."""
    return next((line for line in str(error).splitlines() if line.strip()), "no message")[:300]
