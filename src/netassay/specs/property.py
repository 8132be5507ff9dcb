"""Property expressions s(x) (DeepQuant, Definition 3). Here, once and for all, the sign: s >= 0 is safe, s < 0 is risk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netassay.errors import PropertyError
from netassay.models.scores import OutputConvention, Scale
from netassay.numerics.arrays import array_namespace, device_of
from netassay.results.answer import Risk

Parameters = dict[str, NDArray[Any]]


class Property(ABC):
    """An expression s over the scores of one network; frozen dataclasses implement it.

    Attributes:
        name: The family, as in ``Risk.name``.
        zero_is_safe: Whether s = 0 counts as safe (for robustness a tie is an adversarial example: it does not).
        on: The scale that it is measured on.
    """

    name: str
    zero_is_safe: bool
    on: Scale

    @abstractmethod
    def parameters(self) -> Parameters:
        """The numbers of this property; arrays of one shape per family, without a row axis."""

    @abstractmethod
    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        """s for each row: scores (rows, m), every parameter with a leading axis of length rows (or 1).

        Works on numpy and torch arrays (array API) and keeps gradients. NaN scores give NaN.
        """

    def guide(self, logits: Any, parameters: Mapping[str, Any], targets: Any) -> Any | None:
        """A stand-in for s that rises and falls with it but does not saturate, for gradients only.

        Where a softmax is nearly 0 or 1, float32 gradients of probabilities vanish; their log-odds keep a slope.
        Takes logits (rows, labels), the parameters' rows, and targets (rows,) or (rows, T): a label that the search would like
        to see overtake, or -1 for any. Gives the targets' shape, or (rows,) where targets play no part. None where s itself is the
        best guide.
        """
        del logits, parameters, targets
        return None

    @abstractmethod
    def check(self, scores: int) -> None:
        """Raises PropertyError if it does not fit a network with that many scores."""

    @abstractmethod
    def describe(self) -> Risk:
        """The property in words, as reports print it."""

    def family(self) -> tuple[object, ...]:
        """Properties of equal family can be stacked into one batch."""
        return (type(self), self.on)

    def values(self, scores: Any) -> Any:
        """s for a batch of scores (N, m) of this one property."""
        xp = array_namespace(scores)
        device = device_of(scores)
        rows = {name: _as_rows(value, scores, xp, device) for name, value in self.parameters().items()}
        return self.expression(scores, rows)

    def is_violated(self, value: float) -> bool:
        """Whether s = value is a risk. NaN is neither safe nor a witness, so False: callers must test for NaN first."""
        return value < 0 or (value == 0 and not self.zero_is_safe)


class RiskTemplate(Protocol):
    """A risk before its input is known, e.g. "no label overtakes the one of x"."""

    @property
    def spec(self) -> str:
        """The command-line form, e.g. ``uncertainty:0.1``."""
        ...

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Property:
        """The property for the input whose raw outputs (m,) are given; raises PropertyError if it does not fit."""
        ...


class PropertyStack:
    """Properties of one family, evaluated together: row r of a batch belongs to property ``owners[r]``."""

    def __init__(self, properties: Sequence[Property]) -> None:
        if not properties:
            raise PropertyError("a stack needs at least one property")
        families = {p.family() for p in properties}
        if len(families) > 1:
            raise PropertyError(f"properties of {len(families)} families cannot share a batch; ask about one risk at a time")
        self._kind = type(properties[0])
        self._first = properties[0]
        self.on = properties[0].on
        columns = [p.parameters() for p in properties]
        self._parameters: Parameters = {name: np.stack([np.asarray(c[name]) for c in columns]) for name in columns[0]}
        self._placed: dict[tuple[str, str], dict[str, Any]] = {}

    def values(self, scores: Any, owners: Any) -> Any:
        """s of scores (N, m), where ``owners`` (N,) are integer positions in the stack (same library and device)."""
        return self._first.expression(scores, self._rows(scores, owners))

    def guide(self, logits: Any, owners: Any, targets: Any) -> Any | None:
        """``Property.guide`` of logits (N, labels), or None."""
        return self._first.guide(logits, self._rows(logits, owners), targets)

    def _rows(self, scores: Any, owners: Any) -> dict[str, Any]:
        xp = array_namespace(scores)
        device = device_of(scores)
        key = (str(device), str(scores.dtype))
        if key not in self._placed:
            self._placed[key] = {name: _as_array(v, scores, xp, device) for name, v in self._parameters.items()}
        return {name: xp.take(v, owners, axis=0) for name, v in self._placed[key].items()}


def _as_array(value: NDArray[Any], scores: Any, xp: Any, device: Any) -> Any:
    dtype = xp.int64 if np.issubdtype(value.dtype, np.integer) else scores.dtype
    return xp.asarray(value, dtype=dtype, device=device)


def _as_rows(value: NDArray[Any], scores: Any, xp: Any, device: Any) -> Any:
    return _as_array(np.asarray(value)[None], scores, xp, device)
