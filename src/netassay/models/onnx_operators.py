"""How each ONNX operator becomes graph operators: one row per operator, opset 7 and later."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from netassay.models import nonlinear, windowed
from netassay.models.assembler import Operand, Value
from netassay.models.onnx_reader import Context, Handler
from netassay.models.operators import Operator, Shape

Array = NDArray[Any]


def _unary(make: type[Operator]) -> Handler:
    return lambda c: c.assembler.unary(make(), c.value())


def _pair(kind: str) -> Handler:
    return lambda c: c.assembler.pair(kind, _operand(c, 0), _operand(c, 1))


def _operand(c: Context, position: int) -> Operand:
    found = c.inputs[position] if position < len(c.inputs) else None
    return c.value(position) if found is None else found


def _folded(c: Context, kind: str) -> Operand:
    """All inputs, one after the other."""
    values = [i for i in range(len(c.inputs)) if isinstance(c.inputs[i], Value)]
    order = values[:1] + [i for i in range(len(c.inputs)) if i != values[0]]
    result = _operand(c, order[0])
    for position in order[1:]:
        result = c.assembler.pair(kind, result, _operand(c, position))
    return result


def _many(kind: str) -> Handler:
    return lambda c: _folded(c, kind)


def _mean(c: Context) -> Operand:
    total = _folded(c, "add")
    return c.assembler.pair("div", total, np.asarray(float(len(c.inputs)), dtype=np.float32))


def _power(c: Context) -> Operand:
    exponent = c.weight(1)
    if exponent.size != 1:
        raise c.refuse(f"an exponent of shape {exponent.shape}; expected one number")
    value = float(exponent.reshape(-1)[0])
    return c.assembler.pair("mul", c.value(), c.value()) if value == 2.0 else c.assembler.unary(nonlinear.Power(value), c.value())


def _clip(c: Context) -> Operand:
    lower, upper = (c.attributes.get(key, c.constant(position)) for key, position in (("min", 1), ("max", 2)))
    bounds = [float(np.asarray(v).reshape(-1)[0]) if v is not None else inf for v, inf in ((lower, -np.inf), (upper, np.inf))]
    return c.assembler.unary(nonlinear.Clip(*bounds), c.value())


def _hard_sigmoid(c: Context) -> Operand:
    slope, offset = c.attributes.get("alpha", 0.2), c.attributes.get("beta", 0.5)
    line = c.assembler.pair("add", c.assembler.scaled(c.value(), slope), np.asarray(offset, dtype=np.float32))
    return c.assembler.unary(nonlinear.Clip(0.0, 1.0), line)


def _prelu(c: Context) -> Operand:
    """max(x, 0) + slope * min(x, 0)."""
    slope = c.weight(1)
    if slope.size == 1:
        return c.assembler.unary(nonlinear.LeakyRelu(float(slope.reshape(-1)[0])), c.value())
    below = c.assembler.unary(nonlinear.Clip(-np.inf, 0.0), c.value())
    return c.assembler.pair("add", c.assembler.unary(nonlinear.Relu(), c.value()), c.assembler.pair("mul", below, slope))


def _selu(c: Context) -> Operand:
    alpha, gamma = c.attributes.get("alpha", 1.67326319217681884765625), c.attributes.get("gamma", 1.05070102214813232421875)
    return c.assembler.scaled(c.assembler.unary(nonlinear.Elu(alpha), c.value()), gamma)


def _gelu(c: Context) -> Operand:
    return c.assembler.unary(nonlinear.Gelu(c.attributes.get("approximate", "none") == "tanh"), c.value())


def _swish(c: Context) -> Operand:
    if c.attributes.get("alpha", 1.0) != 1.0:
        raise c.refuse(f"alpha = {c.attributes['alpha']}; expected 1")
    return c.assembler.unary(nonlinear.Silu(), c.value())


def _identity(c: Context) -> Operand:
    return c.value()


def _dropout(c: Context) -> list[Operand]:
    training = c.constant(2, default=False)
    if training is not None and bool(training.reshape(-1)[0]):
        raise c.refuse("dropout in training mode; export the model in evaluation mode")
    return [c.value()]


def _cast(c: Context) -> Operand:
    target = c.attributes.get("to")
    if target not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise c.refuse("casts a computed tensor to a type that is not float32 or float64")
    return c.value()


def _reshape(c: Context) -> Operand:
    wanted = [int(n) for n in c.weight(1).reshape(-1)] if len(c.inputs) > 1 else [int(n) for n in c.attributes["shape"]]
    return c.assembler.reshape(c.value(), c.assembler.target_shape(c.value(), wanted, zero_copies=not c.attributes.get("allowzero", 0)))


def _flatten(c: Context) -> Operand:
    shape = c.value().shape
    axis = c.attributes.get("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return c.assembler.reshape(c.value(), (prod(shape[:axis]), prod(shape[axis:])))


def _squeeze(c: Context) -> Operand:
    return c.assembler.squeeze(c.value(), c.integers("axes", 1))


def _unsqueeze(c: Context) -> Operand:
    return c.assembler.unsqueeze(c.value(), c.integers("axes", 1) or [])


def _transpose(c: Context) -> Operand:
    rank = len(c.value().shape)
    return c.assembler.transpose(c.value(), c.attributes.get("perm", list(range(rank))[::-1]))


def _slice(c: Context) -> Operand:
    starts, ends = c.integers("starts", 1) or [], c.integers("ends", 2) or []
    axes = c.integers("axes", 3) or list(range(len(starts)))
    steps = c.integers("steps", 4) or [1] * len(starts)
    shape = c.value().shape
    cuts: dict[int, tuple[int, int, int]] = {}
    for a, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = shape[c.assembler.axis(c.value(), a)]
        cuts[a] = (_clamped(start, size, step), _clamped(end, size, step), step)
    return c.assembler.slice(c.value(), {a: (s, e if e >= 0 else None, k) for a, (s, e, k) in cuts.items()})  # type: ignore[misc]


def _clamped(position: int, size: int, step: int) -> int:
    """ONNX's bounds: negative counts from the end, then clamped; -1 then means "before the first" for a negative step."""
    position = position + size if position < 0 else position
    return min(max(position, 0), size) if step > 0 else min(max(position, -1), size - 1)


def _gather(c: Context) -> Operand:
    return c.assembler.gather(c.value(), c.weight(1), c.attributes.get("axis", 0))


def _concat(c: Context) -> Operand:
    return c.assembler.concat([_operand(c, i) for i in range(len(c.inputs))], c.attributes["axis"])


def _split(c: Context) -> list[Operand]:
    axis = c.attributes.get("axis", 0)
    size = c.value().shape[c.assembler.axis(c.value(), axis)]
    count = c.attributes.get("num_outputs", len(c.node.output))
    even = -(-size // count)
    lengths = c.integers("split", 1) or [min(even, size - i * even) for i in range(count)]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
    return [c.assembler.slice(c.value(), {axis: (a, b, 1)}) for a, b in pairwise(starts)]


def _expand(c: Context) -> Operand:
    return c.assembler.expand(c.value(), tuple(int(n) for n in c.weight(1).reshape(-1)))


def _pad(c: Context) -> Operand:
    pads = c.integers("pads", 1) or []
    rank = len(c.value().shape)
    axes = [int(a) % rank for a in found.reshape(-1)] if (found := c.constant(3)) is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[position], pads[position + len(axes)]
    fill = c.constant(2, default=c.attributes.get("value", 0.0))
    return c.assembler.pad(
        c.value(), begins, ends, mode=c.attributes.get("mode", "constant"), fill=0.0 if fill is None else float(fill.reshape(-1)[0])
    )


def _reduce(kind: str) -> Handler:
    def handle(c: Context) -> Operand:
        axes = c.integers("axes", 1)
        if not axes and c.attributes.get("noop_with_empty_axes", 0):
            return c.value()
        return c.assembler.reduce(kind, c.value(), axes or None, keep=bool(c.attributes.get("keepdims", 1)))

    return handle


def _softmax(*, log: bool) -> Handler:
    def handle(c: Context) -> Operand:
        value = c.value()
        axis = c.attributes.get("axis", 1 if c.opset < 13 else -1)
        if c.opset >= 13 or c.assembler.axis(value, axis) == len(value.shape) - 1:
            return c.assembler.softmax(value, axis, log=log)
        at = c.assembler.axis(value, axis)  # older opsets flatten all axes from ``axis`` on
        flat = c.assembler.reshape(value, (prod(value.shape[:at]), prod(value.shape[at:])))
        return c.assembler.reshape(c.assembler.softmax(flat, 1, log=log), value.shape)

    return handle


def _gemm(c: Context) -> Operand:
    left, right = _operand(c, 0), _operand(c, 1)
    alpha, beta = float(c.attributes.get("alpha", 1.0)), float(c.attributes.get("beta", 1.0))
    bias = c.inputs[2] if len(c.inputs) > 2 else None
    if c.attributes.get("transA", 0):
        left = left.T if not isinstance(left, Value) else c.assembler.transpose(left, [1, 0])
    if isinstance(left, Value) and not isinstance(right, Value) and not isinstance(bias, Value):
        weight = right if c.attributes.get("transB", 0) else right.T
        weight = np.ascontiguousarray(_multiple(weight, alpha))
        offset = None if bias is None else _multiple(bias, beta)
        if offset is None or prod(offset.shape) in (1, weight.shape[0]):
            return c.assembler.linear(left, weight, None if offset is None else offset.reshape(-1))
    if c.attributes.get("transB", 0):
        right = right.T if not isinstance(right, Value) else c.assembler.transpose(right, [1, 0])
    product: Operand = c.assembler.matmul(left, right)
    if alpha != 1.0:
        product = c.assembler.pair("mul", product, np.asarray(alpha, dtype=np.float32))
    if bias is None:
        return product
    scaled = _multiple(bias, beta) if not isinstance(bias, Value) else bias if beta == 1.0 else c.assembler.scaled(bias, beta)
    return c.assembler.pair("add", product, scaled)


def _multiple(array: Array, factor: float) -> Array:
    """The constant times a factor: in float64, in which products of float32 numbers are exact; as it is for 1."""
    return array if factor == 1.0 else np.asarray(array.astype(np.float64) * factor)


def _matmul(c: Context) -> Operand:
    return c.assembler.matmul(_operand(c, 0), _operand(c, 1))


def _window(c: Context, kernel: Shape, spatial: Shape) -> dict[str, Shape]:
    """Strides, padding and dilations, defaults and ``auto_pad`` resolved."""
    ones = (1,) * len(kernel)
    strides, dilations = (tuple(c.attributes.get(key, ones)) for key in ("strides", "dilations"))
    pads = list(c.attributes.get("pads", [0] * (2 * len(kernel))))
    begins, ends = tuple(pads[: len(kernel)]), tuple(pads[len(kernel) :])
    automatic = c.attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = windowed.same_padding(spatial, kernel, strides, dilations, lower=automatic == "SAME_LOWER")
    elif automatic == "VALID":
        begins = ends = (0,) * len(kernel)
    return {"strides": strides, "begins": begins, "ends": ends, "dilations": dilations}


def _convolution(c: Context) -> Operand:
    weight = c.weight(1)
    window = _window(c, weight.shape[2:], c.value().shape[2:])
    return windowed.convolution(c.assembler, c.value(), weight, c.constant(2), groups=c.attributes.get("group", 1), **window)


def _transposed_convolution(c: Context) -> Operand:
    weight = c.weight(1)
    if "output_shape" in c.attributes or c.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise c.refuse("output_shape and auto_pad are not supported; write the padding as pads")
    window = _window(c, weight.shape[2:], c.value().shape[2:])
    extra = tuple(c.attributes.get("output_padding", (0,) * (weight.ndim - 2)))
    return windowed.transposed_convolution(
        c.assembler, c.value(), weight, c.constant(2), extra=extra, groups=c.attributes.get("group", 1), **window
    )


def _max_pool(c: Context) -> list[Operand]:
    kernel = tuple(c.attributes["kernel_shape"])
    window = _window(c, kernel, c.value().shape[2:])
    return [windowed.max_pool(c.assembler, c.value(), kernel, ceil=bool(c.attributes.get("ceil_mode", 0)), **window)]


def _average_pool(c: Context) -> Operand:
    kernel = tuple(c.attributes["kernel_shape"])
    window = _window(c, kernel, c.value().shape[2:])
    if any(d != 1 for d in window["dilations"]):
        raise c.refuse("dilated average pooling is not supported")
    return windowed.average_pool(
        c.assembler,
        c.value(),
        kernel,
        strides=window["strides"],
        begins=window["begins"],
        ends=window["ends"],
        ceil=bool(c.attributes.get("ceil_mode", 0)),
        count_padding=bool(c.attributes.get("count_include_pad", 0)),
    )


def _global(kind: str) -> Handler:
    return lambda c: c.assembler.reduce(kind, c.value(), range(2, len(c.value().shape)), keep=True)


def _batch_norm(c: Context) -> list[Operand]:
    if c.attributes.get("training_mode", 0) or not c.attributes.get("spatial", 1):
        raise c.refuse("batch normalisation in training mode, or not per channel; export the model in evaluation mode")
    scale, shift, mean, variance = (c.weight(i) for i in range(1, 5))
    return [c.assembler.batch_norm(c.value(), scale, shift, mean, variance, c.attributes.get("epsilon", 1e-5))]


def _layer_norm(c: Context) -> list[Operand]:
    value = c.value()
    axes = range(c.assembler.axis(value, c.attributes.get("axis", -1)), len(value.shape))
    scaled = c.assembler.pair("mul", c.assembler.normalise(value, axes, c.attributes.get("epsilon", 1e-5)), c.weight(1))
    shift = c.constant(2)
    return [scaled if shift is None else c.assembler.pair("add", scaled, shift)]


def _instance_norm(c: Context) -> Operand:
    value = c.value()
    per_channel = (-1, *(1,) * (len(value.shape) - 2))
    normal = c.assembler.normalise(value, range(2, len(value.shape)), c.attributes.get("epsilon", 1e-5))
    return c.assembler.pair("add", c.assembler.pair("mul", normal, c.weight(1).reshape(per_channel)), c.weight(2).reshape(per_channel))


def _lstm(c: Context) -> list[Operand]:
    """Y (time, directions, batch, h) and Y_h (directions, batch, h)."""
    layers = _lstm_layers(c)
    value = c.assembler.transpose(c.value(), [1, 0, 2]) if c.attributes.get("layout", 0) else c.value()
    states = windowed.lstm(c.assembler, value, layers)
    sequences: list[Operand] = [c.assembler.unsqueeze(s, [1]) for s in states]
    ends = [c.assembler.gather(s, np.array([0 if layer.reverse else -1]), 0) for s, layer in zip(states, layers, strict=True)]
    joined, last = c.assembler.concat(sequences, 1), c.assembler.concat(list(ends), 0)
    if c.attributes.get("layout", 0):
        joined, last = c.assembler.transpose(joined, [2, 0, 1, 3]), c.assembler.transpose(last, [1, 0, 2])
    if len(c.node.output) > 2 and c.node.output[2]:
        raise c.refuse("its third output, the last cell state, is not supported")
    return [joined, last]


def _lstm_layers(c: Context) -> list[nonlinear.Lstm]:
    if any(c.constant(i) is not None for i in (4, 7)) or c.attributes.get("clip") or c.attributes.get("input_forget", 0):
        raise c.refuse("sequence lengths, peepholes, clipping and coupled gates are not supported")
    weights, recurrent = c.weight(1), c.weight(2)
    count, size = recurrent.shape[0], recurrent.shape[2]
    zeros = np.zeros((count, 1, size), dtype=weights.dtype)
    bias = found.astype(np.float64) if (found := c.constant(3)) is not None else np.zeros((count, 8 * size))
    hidden, cell = (zeros if (found := c.constant(i)) is None else found for i in (5, 6))
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[c.attributes.get("direction", "forward")]
    layers = []
    for d, reverse in enumerate(backwards):
        both = bias[d, : 4 * size] + bias[d, 4 * size :]
        w, r, b = (_gates(part, size) for part in (weights[d], recurrent[d], both))
        start, kept = hidden[d].reshape(-1), cell[d].reshape(-1)
        layers.append(nonlinear.Lstm(w, r, b, start, kept, reverse=reverse, hard_sigmoid=_gate_function(c, d)))
    return layers


def _gates(array: Array, size: int) -> Array:
    """ONNX's gate order input, output, forget, cell as input, forget, cell, output."""
    i, o, f, g = (array[k * size : (k + 1) * size] for k in range(4))
    return np.concatenate([i, f, g, o])


def _gate_function(c: Context, direction: int) -> tuple[float, float] | None:
    chosen = [a.lower() for a in c.attributes.get("activations", ["Sigmoid", "Tanh", "Tanh"] * 2)][3 * direction : 3 * direction + 3]
    if chosen[1:] != ["tanh", "tanh"] or chosen[0] not in ("sigmoid", "hardsigmoid"):
        raise c.refuse(f"activations {chosen}; known: Sigmoid or HardSigmoid, Tanh, Tanh")
    if chosen[0] == "sigmoid":
        return None
    slopes, offsets = (list(c.attributes.get(key, [])) for key in ("activation_alpha", "activation_beta"))
    at = sum(a == "hardsigmoid" for a in [x.lower() for x in c.attributes["activations"]][: 3 * direction])
    return (slopes[at] if at < len(slopes) else 0.2, offsets[at] if at < len(offsets) else 0.5)


HANDLERS: dict[str, Handler] = {
    "Abs": _unary(nonlinear.Abs),
    "Add": _pair("add"),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Cos": _unary(nonlinear.Cos),
    "Div": _pair("div"),
    "Dropout": _dropout,
    "Elu": lambda c: c.assembler.unary(nonlinear.Elu(c.attributes.get("alpha", 1.0)), c.value()),
    "Erf": _unary(nonlinear.Erf),
    "Exp": _unary(nonlinear.Exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global("mean"),
    "GlobalMaxPool": _global("max"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(nonlinear.HardSwish),
    "Identity": _identity,
    "InstanceNormalization": _instance_norm,
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda c: c.assembler.unary(nonlinear.LeakyRelu(c.attributes.get("alpha", 0.01)), c.value()),
    "Log": _unary(nonlinear.Log),
    "LogSoftmax": _softmax(log=True),
    "MatMul": _matmul,
    "Max": _many("max"),
    "MaxPool": _max_pool,
    "Mean": _mean,
    "Min": _many("min"),
    "Mul": _pair("mul"),
    "Neg": lambda c: c.assembler.scaled(c.value(), -1.0),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _power,
    "Reciprocal": lambda c: c.assembler.pair("div", np.ones((), dtype=np.float32), c.value()),
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("mean"),
    "ReduceMin": _reduce("min"),
    "ReduceSum": _reduce("sum"),
    "Relu": _unary(nonlinear.Relu),
    "Reshape": _reshape,
    "Selu": _selu,
    "Sigmoid": _unary(nonlinear.Sigmoid),
    "Sin": _unary(nonlinear.Sin),
    "Slice": _slice,
    "Softmax": _softmax(log=False),
    "Softplus": _unary(nonlinear.Softplus),
    "Split": _split,
    "Sqrt": _unary(nonlinear.Sqrt),
    "Squeeze": _squeeze,
    "Sub": _pair("sub"),
    "Sum": _many("add"),
    "Swish": _swish,
    "Tanh": _unary(nonlinear.Tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
