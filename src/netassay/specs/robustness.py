"""Robustness: no label overtakes the one of x (DeepQuant, Definitions 4 and 5 with every rival label at once)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from netassay.models.scores import Scale
from netassay.results.answer import Risk
from netassay.specs import expressions
from netassay.specs.property import Parameters, Property

if TYPE_CHECKING:
    from netassay.models.network import Network


@dataclass(frozen=True)
class Robustness(Property):
    """``s(x) = f_k(x) - max over j != k of f_j(x) - eps``; safe where s > 0.

    The only risk that may claim the robustness radius of Definition 4: the minimum over all rivals, where Definition
    5's case 1 fixes one rival and a third label may overtake. A tie (s = 0) is an adversarial example: not safe.

    Args:
        label: k, the label to keep, counted from 0.
        eps: Confidence gap to keep, at least 0; with ``eps = 0`` the sign of s is the same on logits and probabilities.
        on: The scale of f, probabilities or logits.
    Raises:
        PropertyError: If label, scale or eps are out of range.
    """

    label: int
    eps: float = 0.0
    on: Scale = Scale.PROBABILITIES

    name = "robustness"
    zero_is_safe = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", expressions.checked_label(self.label, self.name))
        object.__setattr__(self, "on", expressions.checked_scale(self.on, self.name))
        object.__setattr__(self, "eps", expressions.checked_eps(self.eps, self.on, self.name))

    @classmethod
    def of(cls, network: Network, x: ArrayLike, eps: float = 0.0, on: Scale = Scale.PROBABILITIES) -> Robustness:
        """The property that keeps the network's own decision at the input ``x`` (the network's input shape).

        Raises:
            PropertyError: If the network does not classify, or its outputs at x are not finite.
        """
        outputs = expressions.outputs_at(network, x)
        scores = network.convention.scores(outputs[None], Scale.LOGITS)
        bound = cls(int(np.argmax(scores[0])), eps, on)
        bound.check(scores.shape[-1])
        return bound

    def parameters(self) -> Parameters:
        return {"label": np.asarray(self.label), "eps": np.asarray(self.eps)}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        return expressions.margin(scores, parameters["label"]) - parameters["eps"]

    def guide(self, logits: Any, parameters: Mapping[str, Any], targets: Any) -> Any:
        """The margin between logits, over all rivals or over the target alone."""
        return expressions.guided_margin(logits, parameters["label"], targets)

    def check(self, scores: int) -> None:
        expressions.two_labels(scores, self.name)
        expressions.fits(self.label, scores, self.name)

    def describe(self) -> Risk:
        f, k = expressions.SYMBOLS[self.on], self.label
        gap = f" - {expressions.number(self.eps)}" if self.eps else ""
        eps = f":{expressions.number(self.eps)}" if self.eps else ""
        spec = f"robustness{eps}{expressions.on_suffix(self.on, Scale.PROBABILITIES)}"
        return Risk(self.name, f"{f}_{k} - max over j != {k} of {f}_j{gap} > 0", str(self.on), spec)
