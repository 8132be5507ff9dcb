"""Any function on a batch as a network: no graph, no gradient, only answers."""

from __future__ import annotations

import copy
import hashlib
import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.errors import ModelError, UsageError
from netassay.models.agreement import random_inputs
from netassay.models.heads import default_meaning
from netassay.models.network import Network
from netassay.models.operators import Shape
from netassay.models.scores import Decision, Meaning, OutputConvention
from netassay.models.torch_network import DTYPES, check_batch
from netassay.numerics.box import Box

Function = Callable[[Any], Any]


class BlackBox(Network):
    """A function that maps a batch of inputs to a batch of outputs.

    Its identity is weak: a hash of the function's qualified name and, where Python has it, its source code. What the
    function reads from elsewhere (weights in a file, a server) does not enter: give ``identity`` for that.

    Args:
        function: Takes (N, *input_shape) in float32, returns (N, m), or (N,) for one number per input: anything that
            ``numpy.asarray`` reads, or a tensor.
        domain: Valid inputs; its shape is the input shape.
        name: How reports call it; the function's name by default.
        outputs, decision: What the outputs mean; several are logits and a single one is a value by default.
        takes: Whether the function wants a numpy array or a torch tensor.
        float64: Declares that the function computes in float64 when given float64.
        identity: Names the version of the model behind the function, for instance a hash of its weights.
        device: Where the outputs go, and the tensors of a function that takes torch.
        notes: What its user should know.
    Raises:
        ModelError: If one evaluation, in the middle of the domain or at random, fails.
    """

    differentiable = False

    def __init__(
        self,
        function: Function,
        domain: Box,
        *,
        name: str | None = None,
        outputs: Meaning | None = None,
        decision: Decision = Decision.ARGMAX,
        takes: Literal["numpy", "torch"] = "numpy",
        float64: bool = False,
        identity: str | None = None,
        device: str = "cpu",
        notes: tuple[str, ...] = (),
    ) -> None:
        if takes not in ("numpy", "torch"):
            raise UsageError(f"a black box takes 'numpy' or 'torch'; got {takes!r}")
        label = name or str(getattr(function, "__name__", type(function).__name__))
        self._function = function
        self._takes = takes
        self._has_float64 = float64
        self._dtype = "float32"
        size = self._call(random_inputs(domain, 1, 0), label, device).shape[1]
        meaning = outputs or default_meaning(size)
        if meaning in (Meaning.BINARY_LOGIT, Meaning.SIGMOID) and size != 1:
            raise ModelError(f"{label}: outputs {meaning} mean one number per input; the function gives {size}")
        convention = OutputConvention(meaning, decision)
        sha = _identity(function, identity, domain.shape, convention)
        weak = (
            ()
            if identity is not None
            else ("the model's identity is the function's name and source only; give `identity` to tell versions apart",)
        )
        super().__init__(
            name=label,
            domain=domain,
            output_size=size,
            convention=convention,
            sha256=sha,
            device=device,
            notes=(*notes, "black box: no gradient, no proof", *weak),
        )

    @property
    def dtype(self) -> str:
        return self._dtype

    def outputs(self, inputs: Tensor) -> Tensor:
        check_batch(self, inputs)
        points = inputs.detach().clone() if self._takes == "torch" else np.array(inputs.detach().cpu().numpy())
        found = self._call(points, self.name, self.device)
        if found.shape[1] != self.output_size:
            raise ModelError(f"{self.name} returned {found.shape[1]} numbers per input; it gave {self.output_size} before")
        return found

    def _call(self, points: Any, label: str, device: str) -> Tensor:
        """The function's outputs (N, m), checked."""
        given = torch.as_tensor(points, device=device) if self._takes == "torch" else points
        try:
            with torch.no_grad(), redirect_stdout(sys.stderr):  # what the function prints must not mix with answers
                found = self._function(given)
        except Exception as error:
            raise ModelError(f"{label} failed on a batch of shape {tuple(points.shape)}: {type(error).__name__}: {error}") from error
        return torch.as_tensor(_checked(found, len(points), label), device=device).to(DTYPES[self._dtype])

    def in_float64(self) -> BlackBox | None:
        """The same function given float64, where it was declared to compute in it; None otherwise."""
        if not self._has_float64:
            return None
        other = copy.copy(self)
        other._dtype = "float64"
        return other


def _checked(found: Any, rows: int, label: str) -> NDArray[np.floating[Any]] | Tensor:
    """The function's result as (rows, m) floats."""
    if isinstance(found, Tensor):
        found = found.detach().cpu().numpy()
    try:
        outputs = np.asarray(found)
    except Exception as error:
        raise ModelError(f"{label} returned {type(found).__name__}, which is no array: {error}") from error
    if outputs.dtype.kind != "f":
        raise ModelError(
            f"{label} returned numbers of type {outputs.dtype}; expected floating-point scores, probabilities or values (not labels)"
        )
    if outputs.ndim == 0 or outputs.shape[0] != rows or outputs.size == 0:
        raise ModelError(f"{label} returned shape {outputs.shape} for a batch of {rows}; expected one row per input")
    return np.array(outputs.reshape(rows, prod(outputs.shape[1:])))


def _identity(function: Function, identity: str | None, shape: Shape, convention: OutputConvention) -> str:
    if identity is None:
        named = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
        try:
            source = inspect.getsource(named)
        except (OSError, TypeError):
            source = ""
        identity = repr((getattr(named, "__module__", ""), getattr(named, "__qualname__", ""), source))
    parts = ("netassay-black-box-1", identity, shape, str(convention.meaning), str(convention.decision))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
