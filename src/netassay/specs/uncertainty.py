"""Uncertainty: the network's distribution stays away from the uniform one, or from a given one (DeepQuant, Definition 7, Eqs. 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import PropertyError
from netassay.models.scores import Scale
from netassay.numerics.arrays import array_namespace
from netassay.results.answer import Risk
from netassay.specs import expressions
from netassay.specs.property import Parameters, Property

SUM_TOLERANCE = 1e-6
"""How far from 1 a reference distribution may sum before it is refused; within that it is normalised."""


@dataclass(frozen=True, init=False)
class Uncertainty(Property):
    """``s_U(x) = KL(q || f(x)) - eps``, with q uniform (Eq. 8) or a given distribution (Eq. 9); risk where s < 0.

    The divergence depends on log-probabilities only, so it is evaluated on logits z (the scale that results name): for uniform
    q it is ``logsumexp(z) - mean(z) - log m``, in general ``sum_l q_l (log q_l - z_l) + logsumexp(z)``, both taken
    relative to the largest logit, so nothing overflows and no probability is rounded to 0. eps is the smallest
    divergence of good behaviour: s = 0 is safe. Both are smooth and convex in z.

    Args:
        eps: In nats, positive.
        reference: q, one probability per label (sum 1 within 1e-6, then normalised); None for uniform.
    Raises:
        PropertyError: If eps or reference are not as said.
    """

    eps: float
    reference: tuple[float, ...] | None
    on: Scale = field(init=False)

    name = "uncertainty"
    zero_is_safe = True

    def __init__(self, eps: float, reference: ArrayLike | None = None) -> None:
        value = expressions.finite(eps, f"eps of {self.name}")
        if value <= 0:
            raise PropertyError(f"eps of {self.name} bounds a divergence from below and must be positive; got {eps!r}")
        object.__setattr__(self, "eps", value)
        object.__setattr__(self, "reference", None if reference is None else _distribution(reference))
        object.__setattr__(self, "on", Scale.LOGITS)

    def parameters(self) -> Parameters:
        if self.reference is None:
            return {"eps": np.asarray(self.eps)}
        q = np.asarray(self.reference)
        negative_entropy = float(np.sum(q[q > 0] * np.log(q[q > 0])))
        return {"eps": np.asarray(self.eps), "reference": q, "negative_entropy": np.asarray(negative_entropy)}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        xp = array_namespace(scores)
        below = xp.max(scores, axis=-1, keepdims=True) - scores
        log_total = xp.log(xp.sum(xp.exp(-below), axis=-1))
        if "reference" not in parameters:
            return xp.mean(below, axis=-1) + (log_total - float(np.log(scores.shape[-1]))) - parameters["eps"]
        q = parameters["reference"]
        counted = xp.where(q > 0, below, xp.zeros_like(below))  # 0 * log 0 = 0
        return xp.sum(q * counted, axis=-1) + (log_total + parameters["negative_entropy"]) - parameters["eps"]

    def family(self) -> tuple[object, ...]:
        return (type(self), self.on, None if self.reference is None else len(self.reference))

    def check(self, scores: int) -> None:
        expressions.two_labels(scores, self.name)
        if self.reference is not None and len(self.reference) != scores:
            count = len(self.reference)
            raise PropertyError(f"the reference distribution has {count} probabilities, the network {scores} labels; give one per label")

    def describe(self) -> Risk:
        q = "uniform" if self.reference is None else "q"
        eps = expressions.number(self.eps)
        return Risk(self.name, f"KL({q} || f) >= {eps}", str(self.on), f"uncertainty:{eps}" if self.reference is None else "")


def _distribution(reference: ArrayLike) -> tuple[float, ...]:
    try:
        q: NDArray[np.float64] = np.asarray(reference, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PropertyError(f"a reference distribution must be numbers, one per label; got {reference!r}") from error
    if q.ndim != 1 or len(q) < 2:
        raise PropertyError(f"a reference distribution needs one probability per label, shape (labels,); got shape {q.shape}")
    if not np.isfinite(q).all() or (q < 0).any() or abs(q.sum() - 1) > SUM_TOLERANCE:
        raise PropertyError(f"a reference distribution must be finite, not negative and sum to 1; got {q.tolist()} with sum {q.sum()!r}")
    return tuple((q / q.sum()).tolist())
