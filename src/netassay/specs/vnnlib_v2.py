"""VNN-LIB 2.0, by the syntax tree of the standard's own package ``vnnlib`` (its conversion to boxes loses constraints: not used)."""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import Any

from netassay.errors import CapabilityError, DataError, UnsupportedSpecificationError
from netassay.specs import vnnlib_exact as exact
from netassay.specs.vnnlib_cases import Assembly, Specification, Variable
from netassay.specs.vnnlib_exact import INPUT, OUTPUT, Disjuncts, Linear
from netassay.specs.vnnlib_syntax import Limits

COMPARISONS = {"LessEqual": "<=", "GreaterEqual": ">=", "LessThan": "<", "GreaterThan": ">", "Equal": "=="}
TYPES = {"Real": "real", "Unknown": "real", "F16": "float16", "F32": "float32", "F64": "float64"}
"""Element types of the package, as witnesses name them."""
KINDS = {"Input": INPUT, "Output": OUTPUT}


def read_version_2(text: str, limits: Limits) -> Specification:
    """The specification in a text of version 2.0, over the row-major flat input and output of its one network.

    Raises:
        DataError: If it is no VNN-LIB 2.0, or exceeds the limits.
        UnsupportedSpecificationError: If it has several networks, inputs or outputs, hidden variables, numbers that are
            no floats, or is no union of bounded input boxes with output polyhedra.
        CapabilityError: If the package is not installed.
    """
    try:
        package = import_module("vnnlib")
    except ImportError as error:
        raise CapabilityError("version 2.0 of VNN-LIB needs the package vnnlib; pip install 'netassay[vnnlib]'") from error
    try:
        query = package.parse_query_string(text)
    except Exception as error:  # the parser raises its own class, and those of the C++ library
        raise DataError(f"not readable as VNN-LIB 2.0: {error}") from error
    source, target = _network(query)
    for each in (source, target):
        if not 0 < prod(each.shape) <= limits.variables:
            raise DataError(f"{each.name} has shape {list(each.shape)}; expected 1 to {limits.variables} elements")
    assembly = Assembly(limits)
    assembly.declare_inputs(prod(source.shape))
    for assertion in query.assertions:
        assembly.add(_formula(assertion.expr, limits))
    return assembly.finish(prod(target.shape), "2.0", (source, target))


def _network(query: Any) -> tuple[Variable, Variable]:
    networks = query.networks
    if len(networks) != 1:
        raise UnsupportedSpecificationError(f"{len(networks)} networks are declared; only one is supported")
    (network,) = networks
    if network.hidden or len(network.inputs) != 1 or len(network.outputs) != 1:
        counts = f"{len(network.inputs)} inputs, {len(network.hidden)} hidden variables and {len(network.outputs)} outputs"
        raise UnsupportedSpecificationError(f"network {network.name} declares {counts}; only one input and one output are supported")
    return _variable(network.inputs[0]), _variable(network.outputs[0])


def _variable(definition: Any) -> Variable:
    if definition.dtype.name not in TYPES:
        raise UnsupportedSpecificationError(f"{definition.name} is of type {definition.dtype.name}; known: {', '.join(TYPES.values())}")
    return Variable(definition.name, TYPES[definition.dtype.name], tuple(definition.shape))


def _formula(node: Any, limits: Limits) -> Disjuncts:
    kind = type(node).__name__
    if kind in COMPARISONS:
        return exact.compare(COMPARISONS[kind], _term(node.lhs), _term(node.rhs))
    if kind not in ("And", "Or"):
        raise UnsupportedSpecificationError(
            f"unsupported formula {kind}: {str(node)[:80]}; known: and, or, {', '.join(COMPARISONS.values())}"
        )
    parts = [_formula(each, limits) for each in node.args]
    if kind == "And":
        return exact.conjoin(parts, limits)
    union = [each for part in parts for each in part]
    exact.check_size(len(union), sum(map(len, union)), limits)
    return union


def _term(node: Any) -> Linear:
    kind = type(node).__name__
    if kind == "Var":
        return _element(node)
    if kind in ("Float", "Int"):
        return exact.constant(exact.number(node.lexeme))
    if kind == "Negate":
        return exact.subtract([_term(node.expr)])
    if kind == "Plus":
        return exact.add([_term(each) for each in node.args])
    if kind == "Minus":
        return exact.subtract([_term(each) for each in (node.head, *node.rest)])
    if kind == "Multiply":
        return exact.multiply([_term(each) for each in node.args])
    raise UnsupportedSpecificationError(f"unsupported term {kind}: {str(node)[:80]}")


def _element(node: Any) -> Linear:
    shape, indices = tuple(node.shape), tuple(node.indices)
    if len(shape) != len(indices) or any(not 0 <= at < length for at, length in zip(indices, shape, strict=True)):
        raise DataError(f"{node.name}{list(indices)} is no element of {node.name}, whose shape is {list(shape)}")
    flat = 0
    for at, length in zip(indices, shape, strict=True):
        flat = flat * length + at
    return exact.variable((KINDS[node.kind.name], flat))
