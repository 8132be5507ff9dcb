"""How each ATen operator becomes graph operators: one row per operator; in-place forms share the row."""

from __future__ import annotations

import math
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netassay.models import nonlinear, windowed
from netassay.models.assembler import Operand, Value
from netassay.models.operators import Operator, Shape
from netassay.models.torch_export import Call, Handler, as_array

LEAST_THRESHOLD = 20.0
"""From here on (torch's default) a softplus is its input as far as float32 can tell."""


def _unary(make: type[Operator]) -> Handler:
    return lambda c: c.assembler.unary(make(), c.value())


def _identity(c: Call) -> Value:
    return c.value()


def _dropout(c: Call) -> Value:
    if c["train"]:
        raise c.refuse("dropout in training mode; put the module in evaluation mode")
    return c.value("input")


def _to(c: Call) -> Value:
    dtype = c.get("dtype")
    if dtype is not None and dtype not in (torch.float32, torch.float64):
        raise c.refuse(f"casts a computed tensor to {dtype}")
    return c.value()


def _sum_of(sign: str) -> Handler:
    """self + alpha * other."""

    def handle(c: Call) -> Value:
        other, alpha = c.operand("other"), c.get("alpha", 1)
        if alpha != 1:
            other = c.assembler.scaled(other, float(alpha)) if isinstance(other, Value) else other * alpha
        return c.assembler.pair(sign, c.operand("self"), other)

    return handle


def _pair(kind: str) -> Handler:
    def handle(c: Call) -> Value:
        if c.get("rounding_mode") is not None:
            raise c.refuse("rounds its result")
        return c.assembler.pair(kind, c.operand("self"), c.operand("other"))

    return handle


def _reverse_sub(c: Call) -> Value:
    return c.assembler.pair("sub", c.operand("other"), c.operand("self"))


def _pow(c: Call) -> Value:
    exponent = c.weight("exponent")
    if exponent is None or exponent.size != 1:
        raise c.refuse("an exponent that is not one number")
    value = float(exponent.reshape(-1)[0])
    return c.assembler.pair("mul", c.value(), c.value()) if value == 2.0 else c.assembler.unary(nonlinear.Power(value), c.value())


def _linear(c: Call) -> Value:
    weight = c.weight("weight")
    return c.assembler.linear(c.value("input"), _present(c, weight, "weight"), c.weight("bias"))


def _present(c: Call, found: Any, name: str) -> Any:
    if found is None:
        raise c.refuse(f"{name} is missing")
    return found


def _addmm(c: Call) -> Value:
    if c.get("alpha", 1) != 1 or c.get("beta", 1) != 1:
        raise c.refuse("alpha or beta other than 1")
    return c.assembler.pair("add", c.assembler.matmul(c.operand("mat1"), c.operand("mat2")), c.operand("self"))


def _matmul(c: Call) -> Value:
    return c.assembler.matmul(c.operand("self"), c.operand("mat2" if "mat2" in c.arguments else "other"))


def _convolution(c: Call) -> Value:
    weight = _present(c, c.weight("weight"), "weight")
    axes = weight.ndim - 2
    strides, dilations = c.integers("stride", axes), c.integers("dilation", axes)
    if isinstance(c["padding"], str):
        same = c["padding"] == "same"
        spatial = c.value("input").shape[2:]
        zeros = (0,) * axes
        begins, ends = windowed.same_padding(spatial, weight.shape[2:], strides, dilations, lower=False) if same else (zeros, zeros)
    else:
        begins = ends = c.integers("padding", axes)
    return windowed.convolution(
        c.assembler,
        c.value("input"),
        weight,
        c.weight("bias"),
        strides=strides,
        begins=begins,
        ends=ends,
        dilations=dilations,
        groups=c["groups"],
    )


def _transposed_convolution(c: Call) -> Value:
    weight = _present(c, c.weight("weight"), "weight")
    axes = weight.ndim - 2
    padding = c.integers("padding", axes)
    return windowed.transposed_convolution(
        c.assembler,
        c.value("input"),
        weight,
        c.weight("bias"),
        strides=c.integers("stride", axes),
        begins=padding,
        ends=padding,
        extra=c.integers("output_padding", axes),
        dilations=c.integers("dilation", axes),
        groups=c["groups"],
    )


def _pool_window(c: Call, axes: int) -> tuple[Shape, Shape, Shape]:
    """Kernel, strides (the kernel by default), padding."""
    kernel = c.integers("kernel_size", axes)
    strides = c.integers("stride", axes) if c.get("stride") else kernel
    return kernel, strides, c.integers("padding", axes)


def _max_pool(axes: int) -> Handler:
    def handle(c: Call) -> Value:
        kernel, strides, padding = _pool_window(c, axes)
        dilations = c.integers("dilation", axes)
        return windowed.max_pool(
            c.assembler, c.value(), kernel, strides=strides, begins=padding, ends=padding, dilations=dilations, ceil=bool(c["ceil_mode"])
        )

    return handle


def _average_pool(axes: int) -> Handler:
    def handle(c: Call) -> Value:
        kernel, strides, padding = _pool_window(c, axes)
        return windowed.average_pool(
            c.assembler,
            c.value(),
            kernel,
            strides=strides,
            begins=padding,
            ends=padding,
            ceil=bool(c["ceil_mode"]),
            count_padding=bool(c["count_include_pad"]),
            divisor=c.get("divisor_override"),
        )

    return handle


def _adaptive_average(axes: int) -> Handler:
    return lambda c: windowed.adaptive_average(c.assembler, c.value(), c.integers("output_size", axes))


def _adaptive_max(axes: int) -> Handler:
    def handle(c: Call) -> list[Any]:
        if set(c.integers("output_size", axes)) != {1}:
            raise c.refuse("adaptive max pooling to a size other than 1")
        return [c.assembler.reduce("max", c.value(), range(-axes, 0), keep=True), None]

    return handle


def _batch_norm(c: Call) -> Value:
    if c["training"] or c.get("running_mean") is None:
        raise c.refuse("batch normalisation with the batch's own statistics; put the module in evaluation mode")
    mean, variance = as_array(c["running_mean"]), as_array(c["running_var"])
    scale, shift = c.weight("weight"), c.weight("bias")
    scale = np.ones_like(mean) if scale is None else scale
    return c.assembler.batch_norm(c.value("input"), scale, np.zeros_like(mean) if shift is None else shift, mean, variance, c["eps"])


def _scaled_and_shifted(c: Call, normal: Value, shape: Shape | None = None) -> Value:
    for name, kind in (("weight", "mul"), ("bias", "add")):
        constant = c.weight(name)
        if constant is not None:
            normal = c.assembler.pair(kind, normal, constant if shape is None else constant.reshape(shape))
    return normal


def _layer_norm(c: Call) -> Value:
    value = c.value("input")
    return _scaled_and_shifted(c, c.assembler.normalise(value, range(-len(c["normalized_shape"]), 0), c["eps"]))


def _group_norm(c: Call) -> Value:
    value = c.value("input")
    groups = c["num_groups"]
    split = c.assembler.reshape(value, (value.shape[0], groups, prod(value.shape[1:]) // groups))
    normal = c.assembler.reshape(c.assembler.normalise(split, [2], c["eps"]), value.shape)
    return _scaled_and_shifted(c, normal, (-1, *(1,) * (len(value.shape) - 2)))


def _view(c: Call) -> Value:
    wanted = c["size"] if "size" in c.arguments else c["shape"]
    return c.assembler.reshape(c.value(), c.assembler.target_shape(c.value(), wanted, zero_copies=False))


def _flatten(c: Call) -> Value:
    value = c.value()
    first, last = c.assembler.axis(value, c["start_dim"]), c.assembler.axis(value, c["end_dim"])
    return c.assembler.reshape(value, (*value.shape[:first], prod(value.shape[first : last + 1]), *value.shape[last + 1 :]))


def _unflatten(c: Call) -> Value:
    value = c.value()
    at = c.assembler.axis(value, c["dim"])
    wanted = [*value.shape[:at], *c["sizes"], *value.shape[at + 1 :]]
    return c.assembler.reshape(value, c.assembler.target_shape(value, wanted, zero_copies=False))


def _squeeze(c: Call) -> Value:
    value = c.value()
    if c.get("dim") is None:
        return c.assembler.squeeze(value, None)
    axes = c["dim"] if isinstance(c["dim"], list) else [c["dim"]]
    return c.assembler.squeeze(value, [a for a in axes if value.shape[c.assembler.axis(value, a)] == 1])


def _transpose(c: Call) -> Value:
    value = c.value()
    order = list(range(len(value.shape)))
    if "dim0" in c.arguments:
        a, b = c.assembler.axis(value, c["dim0"]), c.assembler.axis(value, c["dim1"])
        order[a], order[b] = b, a
    else:
        order = order[::-1]
    return c.assembler.transpose(value, order)


def _slice(c: Call) -> Value:
    return c.assembler.slice(c.value(), {c["dim"]: (c.get("start", 0), c.get("end", 2**62), c["step"])})


def _select(c: Call) -> Value:
    return c.assembler.gather(c.value(), np.array(int(c["index"])), c["dim"])


def _index_select(c: Call) -> Value:
    return c.assembler.gather(c.value(), _present(c, c.weight("index"), "index"), c["dim"])


def _concat(c: Call) -> Value:
    parts = [p if isinstance(p, Value) else as_array(p) for p in c["tensors"]]
    return c.assembler.concat(parts, c["dim"])


def _stack(c: Call) -> Value:
    parts = [p if isinstance(p, Value) else c.assembler.constant(as_array(p)) for p in c["tensors"]]
    rank = len(parts[0].shape) + 1
    return c.assembler.concat([c.assembler.unsqueeze(p, [c["dim"] % rank]) for p in parts], c["dim"] % rank)


def _pieces(c: Call, lengths: list[int], axis: int) -> list[Value]:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
    return [c.assembler.slice(c.value(), {axis: (a, b, 1)}) for a, b in pairwise(starts)]


def _chunk(c: Call) -> list[Value]:
    size = c.value().shape[c.assembler.axis(c.value(), c["dim"])]
    step = -(-size // c["chunks"])
    return _pieces(c, [min(step, size - a) for a in range(0, size, step)], c["dim"])


def _split(c: Call) -> list[Value]:
    size = c.value().shape[c.assembler.axis(c.value(), c["dim"])]
    given = c["split_sizes"] if "split_sizes" in c.arguments else c["split_size"]
    return _pieces(c, given if isinstance(given, list) else [min(given, size - a) for a in range(0, size, given)], c["dim"])


def _unbind(c: Call) -> list[Value]:
    size = c.value().shape[c.assembler.axis(c.value(), c["dim"])]
    return [c.assembler.gather(c.value(), np.array(i), c["dim"]) for i in range(size)]


def _expand(c: Call) -> Value:
    value = c.value()
    lead = len(c["size"]) - len(value.shape)
    return c.assembler.expand(value, tuple(value.shape[i - lead] if n == -1 else int(n) for i, n in enumerate(c["size"])))


def _pad(c: Call) -> Value:
    value = c.value()
    begins, ends = [0] * len(value.shape), [0] * len(value.shape)
    for position in range(len(c["pad"]) // 2):
        begins[-1 - position], ends[-1 - position] = c["pad"][2 * position], c["pad"][2 * position + 1]
    return c.assembler.pad(value, begins, ends, mode=c.get("mode", "constant"), fill=float(c.get("value", 0.0)))


def _reduce(kind: str) -> Handler:
    def handle(c: Call) -> Value:
        axes = c.get("dim")
        axes = [axes] if isinstance(axes, int) else axes or None
        return c.assembler.reduce(kind, c.value(), axes, keep=bool(c.get("keepdim", False)))

    return handle


def _extremum(kind: str) -> Handler:
    """max/min of two tensors, of all entries, or along an axis (values and, unknown, positions)."""

    def handle(c: Call) -> Any:
        if c.get("other") is not None:
            return c.assembler.pair(kind, c.operand("self"), c.operand("other"))
        reduced = _reduce(kind)(c)
        return reduced if c.get("dim") is None else [reduced, None]

    return handle


def _softmax(*, log: bool) -> Handler:
    return lambda c: c.assembler.softmax(c.value(), c["dim"], log=log)


def _clamp(c: Call) -> Value:
    low, high = (c.get(n) for n in (("min", "max") if "min" in c.arguments else ("min_val", "max_val")))
    if any(isinstance(b, Value | Tensor) for b in (low, high)):
        raise c.refuse("bounds that are tensors")
    return c.assembler.unary(nonlinear.Clip(-math.inf if low is None else float(low), math.inf if high is None else float(high)), c.value())


def _hard_sigmoid(c: Call) -> Value:
    line = c.assembler.pair("div", c.assembler.pair("add", c.value(), np.asarray(3.0)), np.asarray(6.0))
    return c.assembler.unary(nonlinear.Clip(0.0, 1.0), line)


def _elu(c: Call) -> Value:
    if c.get("input_scale", 1) != 1:
        raise c.refuse("input_scale other than 1")
    made = c.assembler.unary(nonlinear.Elu(float(c["alpha"])), c.value())
    return made if c.get("scale", 1) == 1 else c.assembler.scaled(made, float(c["scale"]))


def _selu(c: Call) -> Value:
    made = c.assembler.unary(nonlinear.Elu(1.6732632423543772848170429916717), c.value())
    return c.assembler.pair("mul", made, np.asarray(1.0507009873554804934193349852946))


def _softplus(c: Call) -> Value:
    beta = float(c["beta"])
    if float(c["threshold"]) < LEAST_THRESHOLD:
        raise c.refuse(f"a threshold of {c['threshold']}: it is no softplus beyond; expected {LEAST_THRESHOLD:g} or more")
    if beta == 1.0:
        return c.assembler.unary(nonlinear.Softplus(), c.value())
    return c.assembler.pair("div", c.assembler.unary(nonlinear.Softplus(), c.assembler.scaled(c.value(), beta)), np.asarray(beta))


def _prelu(c: Call) -> Value:
    slope = _present(c, c.weight("weight"), "weight")
    if slope.size == 1:
        return c.assembler.unary(nonlinear.LeakyRelu(float(slope.reshape(-1)[0])), c.value())
    below = c.assembler.unary(nonlinear.Clip(-math.inf, 0.0), c.value())
    scaled = c.assembler.pair("mul", below, slope.reshape(-1, *(1,) * (len(c.value().shape) - 2)))
    return c.assembler.pair("add", c.assembler.unary(nonlinear.Relu(), c.value()), scaled)


def _attention(c: Call) -> Value:
    """softmax(query @ key.T * scale + mask) @ value."""
    query, key = c.value("query"), c.value("key")
    axes = [*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2]
    scale = c.get("scale", 1 / math.sqrt(query.shape[-1]))
    scores = c.assembler.scaled(c.assembler.matmul(query, c.assembler.transpose(key, axes)), float(scale))
    mask = c.weight("attn_mask")
    if c.get("is_causal", False):
        mask = np.tril(np.ones((query.shape[-2], key.shape[-2]), dtype=bool))
    if mask is not None:
        penalty = np.where(mask, 0.0, -1e30) if mask.dtype == bool else np.maximum(mask, -1e30)
        scores = c.assembler.pair("add", scores, penalty.astype(np.float32))
    return c.assembler.matmul(c.assembler.softmax(scores, -1), c.value("value"))


def _lstm(c: Call) -> list[Any]:
    """Output (time, batch, directions * h) and last hidden states; the last cell states are not known."""
    value = c.assembler.transpose(c.value("input"), [1, 0, 2]) if c["batch_first"] else c.value("input")
    hidden, cell = (as_array(h) for h in c["hx"])
    directions = 2 if c["bidirectional"] else 1
    per = 4 if c["has_biases"] else 2
    if len(c["params"]) != per * directions * c["num_layers"] or hidden.shape[2] != cell.shape[2]:
        raise c.refuse("projections are not supported")
    last: list[Operand] = []
    for level in range(c["num_layers"]):
        layers = [_layer(c, level * directions + d, per, hidden, cell, reverse=d == 1) for d in range(directions)]
        states = windowed.lstm(c.assembler, value, layers)
        last += [c.assembler.gather(s, np.array([0 if d else -1]), 0) for d, s in enumerate(states)]
        value = c.assembler.concat(list(states), 2) if directions == 2 else states[0]
    ends = c.assembler.concat(last, 0)
    return [c.assembler.transpose(value, [1, 0, 2]) if c["batch_first"] else value, ends, None]


def _layer(c: Call, at: int, per: int, hidden: Any, cell: Any, *, reverse: bool) -> nonlinear.Lstm:
    arrays = [as_array(p) for p in c["params"][at * per : at * per + per]]
    bias = arrays[2].astype(np.float64) + arrays[3].astype(np.float64) if per == 4 else np.zeros(len(arrays[0]))
    return nonlinear.Lstm(arrays[0], arrays[1], bias, hidden[at].reshape(-1), cell[at].reshape(-1), reverse=reverse)


def _length(c: Call) -> int:
    return c.value().shape[c.assembler.axis(c.value(), c["dim"])]


HANDLERS: dict[str, Handler] = {
    "abs": _unary(nonlinear.Abs),
    "adaptive_avg_pool1d": _adaptive_average(1),
    "adaptive_avg_pool2d": _adaptive_average(2),
    "adaptive_max_pool2d": _adaptive_max(2),
    "add": _sum_of("add"),
    "addmm": _addmm,
    "alias": _identity,
    "alpha_dropout": _dropout,
    "amax": _reduce("max"),
    "amin": _reduce("min"),
    "avg_pool1d": _average_pool(1),
    "avg_pool2d": _average_pool(2),
    "avg_pool3d": _average_pool(3),
    "batch_norm": _batch_norm,
    "bmm": _matmul,
    "cat": _concat,
    "chunk": _chunk,
    "clamp": _clamp,
    "clamp_max": lambda c: c.assembler.unary(nonlinear.Clip(-math.inf, float(c["max"])), c.value()),
    "clamp_min": lambda c: c.assembler.unary(nonlinear.Clip(float(c["min"]), math.inf), c.value()),
    "clone": _identity,
    "contiguous": _identity,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": _transposed_convolution,
    "conv_transpose2d": _transposed_convolution,
    "conv_transpose3d": _transposed_convolution,
    "cos": _unary(nonlinear.Cos),
    "detach": _identity,
    "div": _pair("div"),
    "dropout": _dropout,
    "elu": _elu,
    "erf": _unary(nonlinear.Erf),
    "exp": _unary(nonlinear.Exp),
    "expand": _expand,
    "feature_dropout": _dropout,
    "flatten": _flatten,
    "gelu": lambda c: c.assembler.unary(nonlinear.Gelu(c["approximate"] == "tanh"), c.value()),
    "group_norm": _group_norm,
    "hardsigmoid": _hard_sigmoid,
    "hardswish": _unary(nonlinear.HardSwish),
    "hardtanh": _clamp,
    "index_select": _index_select,
    "layer_norm": _layer_norm,
    "leaky_relu": lambda c: c.assembler.unary(nonlinear.LeakyRelu(float(c["negative_slope"])), c.value()),
    "lift_fresh_copy": _identity,
    "linear": _linear,
    "log": _unary(nonlinear.Log),
    "log_softmax": _softmax(log=True),
    "lstm": _lstm,
    "matmul": _matmul,
    "max": _extremum("max"),
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "max_pool3d": _max_pool(3),
    "maximum": _pair("max"),
    "mean": _reduce("mean"),
    "min": _extremum("min"),
    "minimum": _pair("min"),
    "mm": _matmul,
    "mul": _pair("mul"),
    "neg": lambda c: c.assembler.scaled(c.value(), -1.0),
    "pad": _pad,
    "permute": lambda c: c.assembler.transpose(c.value(), c["dims"]),
    "pow": _pow,
    "prelu": _prelu,
    "reciprocal": lambda c: c.assembler.pair("div", np.ones(()), c.value()),
    "relu": _unary(nonlinear.Relu),
    "relu6": lambda c: c.assembler.unary(nonlinear.Clip(0.0, 6.0), c.value()),
    "reshape": _view,
    "rsqrt": lambda c: c.assembler.pair("div", np.ones(()), c.assembler.unary(nonlinear.Sqrt(), c.value())),
    "rsub": _reverse_sub,
    "scaled_dot_product_attention": _attention,
    "select": _select,
    "selu": _selu,
    "sigmoid": _unary(nonlinear.Sigmoid),
    "silu": _unary(nonlinear.Silu),
    "sin": _unary(nonlinear.Sin),
    "slice": _slice,
    "softmax": _softmax(log=False),
    "softplus": _softplus,
    "split": _split,
    "split_with_sizes": _split,
    "sqrt": _unary(nonlinear.Sqrt),
    "square": lambda c: c.assembler.pair("mul", c.value(), c.value()),
    "squeeze": _squeeze,
    "stack": _stack,
    "sub": _sum_of("sub"),
    "sum": _reduce("sum"),
    "sym_size": _length,
    "t": _transpose,
    "tanh": _unary(nonlinear.Tanh),
    "to": _to,
    "transpose": _transpose,
    "unbind": _unbind,
    "unflatten": _unflatten,
    "unsqueeze": lambda c: c.assembler.unsqueeze(c.value(), [c["dim"]]),
    "view": _view,
}
