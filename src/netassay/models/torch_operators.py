"""How torch evaluates each operator of the graph: one row per operator, on batches (batch, *sample)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.operators import Operator, Shape

Weights = dict[str, Tensor]
Evaluator = Callable[[Any, Weights, tuple[Tensor, ...]], Tensor]
"""Takes the operator, its constants as tensors of the batch's dtype and device, and its inputs."""


def _dense(_: op.Dense, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    return F.linear(x[0], w["weight"], w["bias"])


def _edges(begins: Shape, ends: Shape) -> list[int]:
    """Padding in torch's order: last axis first, beginning before end."""
    return [n for pair in reversed(list(zip(begins, ends, strict=True))) for n in pair]


def _convolution(o: op.Convolution, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    run = (F.conv1d, F.conv2d, F.conv3d)[len(o.strides) - 1]
    if o.begins == o.ends:
        return run(x[0], w["weight"], w["bias"], o.strides, o.begins, o.dilations, o.groups)
    return run(F.pad(x[0], _edges(o.begins, o.ends)), w["weight"], w["bias"], o.strides, 0, o.dilations, o.groups)


def _transposed(o: op.TransposedConvolution, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(o.strides) - 1]
    full = run(x[0], w["weight"], None, o.strides, 0, 0, o.groups, o.dilations)
    cut = F.pad(full, _edges(tuple(-b for b in o.begins), tuple(a - e for a, e in zip(o.extra, o.ends, strict=True))))
    return cut + w["bias"].view(-1, *(1,) * len(o.strides))


def _average_pool(o: op.AveragePool, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    values = F.pad(x[0], _edges(o.begins, o.ends)) if any(o.begins) or any(o.ends) else x[0]
    if len(o.kernel) == 1:
        sums = F.avg_pool2d(values.unsqueeze(-1), (*o.kernel, 1), (*o.strides, 1), divisor_override=1).squeeze(-1)
    else:
        sums = (F.avg_pool2d, F.avg_pool3d)[len(o.kernel) - 2](values, o.kernel, o.strides, divisor_override=1)
    return sums / w["divisor"]


def _max_pool(o: nl.MaxPool, _: Weights, x: tuple[Tensor, ...]) -> Tensor:
    values = F.pad(x[0], _edges(o.begins, o.ends), value=-torch.inf) if any(o.begins) or any(o.ends) else x[0]
    run = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(o.kernel) - 1]
    pooled: Tensor = run(values, o.kernel, o.strides, 0, o.dilations)
    return pooled


def _leading(x: Tensor, rank: int) -> Tensor:
    """``x`` with its sample axes brought to ``rank`` by axes of length one after the batch axis."""
    missing = rank - (x.ndim - 1)
    return x if missing <= 0 else x.reshape(x.shape[0], *(1,) * missing, *x.shape[1:])


def _with_constant(run: Callable[[Tensor, Tensor], Tensor]) -> Evaluator:
    def evaluate(_: Operator, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
        return run(_leading(x[0], w["value"].ndim), w["value"])

    return evaluate


def _pairwise(run: Callable[[Tensor, Tensor], Tensor]) -> Evaluator:
    def evaluate(_: Operator, _w: Weights, x: tuple[Tensor, ...]) -> Tensor:
        rank = max(x[0].ndim, x[1].ndim) - 1
        return run(_leading(x[0], rank), _leading(x[1], rank))

    return evaluate


def _elementwise(run: Callable[[Tensor], Tensor]) -> Evaluator:
    return lambda _o, _w, x: run(x[0])


def _channel_affine(_: op.ChannelAffine, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    ones = (1,) * (x[0].ndim - 2)
    return torch.addcmul(w["shift"].view(-1, *ones), x[0], w["scale"].view(-1, *ones))


def _slice(o: op.Slice, _: Weights, x: tuple[Tensor, ...]) -> Tensor:
    return x[0][(slice(None), *(slice(a, b, s) for a, b, s in zip(o.starts, o.stops, o.steps, strict=True)))]


def _gather(o: op.Gather, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    picked = torch.index_select(x[0], o.axis + 1, w["indices"].reshape(-1))
    return picked.reshape(*x[0].shape[: o.axis + 1], *w["indices"].shape, *x[0].shape[o.axis + 2 :])


def _matmul(_: nl.MatMul, _w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    rank = max(x[0].ndim, x[1].ndim) - 1
    return torch.matmul(_leading(x[0], rank), _leading(x[1], rank))


def _lstm(o: nl.Lstm, w: Weights, x: tuple[Tensor, ...]) -> Tensor:
    def gate(values: Tensor) -> Tensor:
        if o.hard_sigmoid is None:
            return torch.sigmoid(values)
        return torch.clamp(o.hard_sigmoid[0] * values + o.hard_sigmoid[1], 0, 1)

    driven = F.linear(x[0], w["input_weight"], w["bias"])
    hidden, cell = (w[key].expand(x[0].shape[0], -1) for key in ("hidden", "cell"))
    recurrent = w["hidden_weight"].T
    states: list[Tensor] = []
    for t in range(x[0].shape[1])[:: -1 if o.reverse else 1]:
        i, f, g, out = torch.addmm(driven[:, t], hidden, recurrent).chunk(4, dim=-1)
        cell = gate(f) * cell + gate(i) * torch.tanh(g)
        hidden = gate(out) * torch.tanh(cell)
        states.append(hidden)
    return torch.stack(states[:: -1 if o.reverse else 1], dim=1)


EVALUATORS: dict[type[Operator], Evaluator] = {
    op.Dense: _dense,
    op.Convolution: _convolution,
    op.TransposedConvolution: _transposed,
    op.AveragePool: _average_pool,
    op.AddConstant: _with_constant(torch.add),
    op.MulConstant: _with_constant(torch.mul),
    op.DivConstant: _with_constant(torch.div),
    op.ChannelAffine: _channel_affine,
    op.Reshape: lambda o, _, x: x[0].reshape(x[0].shape[0], *o.shape),
    op.Transpose: lambda o, _, x: x[0].permute(0, *(a + 1 for a in o.axes)),
    op.Slice: _slice,
    op.Gather: _gather,
    op.Concat: lambda o, _, x: torch.cat(x, dim=o.axis + 1),
    op.Pad: lambda o, _, x: F.pad(x[0], _edges(o.begins, o.ends), value=o.value),
    op.Sum: lambda o, _, x: x[0].sum(dim=[a + 1 for a in o.axes], keepdim=o.keep),
    op.Mean: lambda o, _, x: x[0].mean(dim=[a + 1 for a in o.axes], keepdim=o.keep),
    op.Add: _pairwise(torch.add),
    op.Sub: _pairwise(torch.sub),
    nl.Relu: _elementwise(torch.relu),
    nl.LeakyRelu: lambda o, _, x: F.leaky_relu(x[0], o.slope),
    nl.Elu: lambda o, _, x: F.elu(x[0], o.alpha),
    nl.Sigmoid: _elementwise(torch.sigmoid),
    nl.Tanh: _elementwise(torch.tanh),
    nl.Softplus: lambda _o, _, x: torch.logaddexp(x[0], torch.zeros_like(x[0])),
    nl.Gelu: lambda o, _, x: F.gelu(x[0], approximate="tanh" if o.tanh else "none"),
    nl.Silu: _elementwise(F.silu),
    nl.HardSwish: _elementwise(F.hardswish),
    nl.Exp: _elementwise(torch.exp),
    nl.Log: _elementwise(torch.log),
    nl.Sqrt: _elementwise(torch.sqrt),
    nl.Power: lambda o, _, x: torch.pow(x[0], o.exponent),
    nl.Erf: _elementwise(torch.erf),
    nl.Sin: _elementwise(torch.sin),
    nl.Cos: _elementwise(torch.cos),
    nl.Abs: _elementwise(torch.abs),
    nl.Clip: lambda o, _, x: torch.clamp(x[0], o.lower, o.upper),
    nl.Softmax: lambda o, _, x: torch.softmax(x[0], dim=o.axis + 1),
    nl.LogSoftmax: lambda o, _, x: torch.log_softmax(x[0], dim=o.axis + 1),
    nl.MaxPool: _max_pool,
    nl.ReduceMax: lambda o, _, x: x[0].amax(dim=[a + 1 for a in o.axes], keepdim=o.keep),
    nl.LogSumExp: lambda o, _, x: torch.logsumexp(x[0], dim=[a + 1 for a in o.axes], keepdim=o.keep),
    nl.Mul: _pairwise(torch.mul),
    nl.Div: _pairwise(torch.div),
    nl.Maximum: _pairwise(torch.maximum),
    nl.Minimum: _pairwise(torch.minimum),
    nl.MatMul: _matmul,
    nl.Lstm: _lstm,
}
"""Every operator but Constant, which has no input and is expanded by ``torch_graph``."""
