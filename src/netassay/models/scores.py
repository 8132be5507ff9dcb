"""What a network's outputs mean, and how they become labels' scores.

Every classifier is brought to one convention, higher score wins: logits (defined up to a shift)
or probabilities, one per label. Functions work on numpy and torch arrays alike and keep gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from netassay.errors import PropertyError
from netassay.numerics.arrays import array_namespace


class Meaning(StrEnum):
    """What the raw outputs of a network are.

    LOGITS: one unnormalised score per label. PROBABILITIES: one probability per label.
    BINARY_LOGIT: one logit, of label 1 against label 0. SIGMOID: one probability of label 1.
    VALUES: numbers without labels (regression).
    """

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    BINARY_LOGIT = "binary-logit"
    SIGMOID = "sigmoid"
    VALUES = "values"


class Decision(StrEnum):
    """Which label a classifier decides for (ACAS Xu's costs: the smallest)."""

    ARGMAX = "argmax"
    ARGMIN = "argmin"


class Scale(StrEnum):
    """The scale that a property is measured on."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    OUTPUTS = "outputs"


_TINY = 1e-38  # smallest probability whose logarithm is taken, so that a black box's exact 0 stays finite in float32


@dataclass(frozen=True, slots=True)
class OutputConvention:
    """How the raw outputs (batch, m) of a network become scores (batch, labels), higher wins."""

    meaning: Meaning = Meaning.LOGITS
    decision: Decision = Decision.ARGMAX

    def labels(self, outputs: int) -> int:
        """Number of labels for ``outputs`` raw outputs; 0 where outputs carry no labels."""
        if self.meaning is Meaning.VALUES:
            return 0
        return 2 if self.meaning in (Meaning.BINARY_LOGIT, Meaning.SIGMOID) else outputs

    def scores(self, outputs: Any, scale: Scale) -> Any:
        """Scores on ``scale``; raises PropertyError for labels of a network that has none."""
        scale = Scale(scale)
        if scale is Scale.OUTPUTS:
            return outputs
        if self.meaning is Meaning.VALUES:
            raise PropertyError(f"the network's outputs are plain values, {scale} need a classifier: say --outputs logits if it is one")
        return self._logits(outputs) if scale is Scale.LOGITS else self._probabilities(outputs)

    def _logits(self, outputs: Any) -> Any:
        xp = array_namespace(outputs)
        if self.meaning is Meaning.BINARY_LOGIT:
            outputs = xp.concat([xp.zeros_like(outputs), outputs], axis=-1)
        elif self.meaning is Meaning.SIGMOID:
            outputs = xp.concat([1 - outputs, outputs], axis=-1)
        if self.meaning in (Meaning.PROBABILITIES, Meaning.SIGMOID):
            outputs = xp.log(xp.clip(outputs, min=_TINY))
        return -outputs if self.decision is Decision.ARGMIN else outputs

    def _probabilities(self, outputs: Any) -> Any:
        if self.meaning is Meaning.PROBABILITIES and self.decision is Decision.ARGMAX:
            return outputs
        xp = array_namespace(outputs)
        if self.meaning is Meaning.SIGMOID and self.decision is Decision.ARGMAX:
            return xp.concat([1 - outputs, outputs], axis=-1)
        return softmax(self._logits(outputs))


def softmax(logits: Any) -> Any:
    """Probabilities of ``logits`` along the last axis."""
    xp = array_namespace(logits)
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def logsumexp(logits: Any) -> Any:
    """log(sum(exp(logits))) along the last axis, without overflow."""
    xp = array_namespace(logits)
    top = xp.max(logits, axis=-1, keepdims=True)
    return xp.squeeze(top, axis=-1) + xp.log(xp.sum(xp.exp(logits - top), axis=-1))
