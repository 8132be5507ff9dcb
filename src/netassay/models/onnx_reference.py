"""onnx's reference evaluator, with what it computes wrongly put right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_lstm import LSTM as ReferenceLstm  # noqa: N811

from netassay.errors import ModelError


class _Lstm(ReferenceLstm):
    """The reference LSTM with the gate function that the node asks for; onnx's own always takes the sigmoid."""

    op_domain = ""
    _hard: tuple[float, float] | None = None

    def f(self, x: NDArray[Any]) -> NDArray[Any]:
        """The gates' activation."""
        if self._hard is None:
            return np.asarray(super().f(x))
        slope, offset = (np.asarray(v, x.dtype) for v in self._hard)
        return np.asarray(np.clip(slope * x + offset, 0, 1))

    def _run(self, *inputs: Any, **attributes: Any) -> Any:
        names = [a.lower() for a in attributes.get("activations") or []]
        if len(set(zip(names[::3], names[1::3], names[2::3], strict=True))) > 1:
            raise ModelError("the reference evaluator computes both directions of an LSTM with one set of activations")
        if names and names[0] == "hardsigmoid":
            slopes, offsets = (list(attributes.get(key) or []) for key in ("activation_alpha", "activation_beta"))
            self._hard = (slopes[0] if slopes else 0.2, offsets[0] if offsets else 0.5)
        return super()._run(*inputs, **attributes)  # type: ignore[no-untyped-call]


_Lstm.__name__ = "LSTM"  # the evaluator finds replacements by this name


def reference_evaluator(model: ModelProto) -> ReferenceEvaluator:
    """The evaluator of a model; raises what onnx raises where it refuses the model."""
    return ReferenceEvaluator(model, new_ops=[_Lstm])
