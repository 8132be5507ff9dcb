"""Reachability of a probability (DeepQuant, Definition 2 and section 4.3), and a single output as an expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from netassay.errors import PropertyError
from netassay.models.scores import Scale
from netassay.results.answer import Risk
from netassay.specs import expressions
from netassay.specs.property import Parameters, Property


class Direction(StrEnum):
    """Which movement of the score is the risk: falling below a threshold, rising to one, or rising by an amount since the centre."""

    BELOW = "below"
    ABOVE = "above"
    RISE = "rise"


@dataclass(frozen=True)
class Reachability(Property):
    """Whether the score of one label can reach a threshold.

    The paper's two definitions point opposite ways. Section 4.3 takes ``s_R(x) = f_l(x) - eps``: the risk is that the
    probability falls below eps (``below``; s = 0 is safe, as Definition 3 counts s < 0 only). Definition 2 calls x' a
    reachability example if ``f_j(x') >= f_j(x) + eps``: the risk is that it rises (``rise``, with ``s = f_j(x) + eps - f_j(x')``;
    s = 0 is a risk). ``above`` is Definition 2 with a threshold of its own, ``s = eps - f_l(x')``.

    Args:
        label: l, counted from 0 (an output's position on raw outputs).
        eps: The threshold (below, above), or the rise since the centre; on probabilities strictly between 0 and 1.
        direction: Which movement is the risk.
        center_score: f_l at the centre; for ``rise`` and only there.
        on: The scale of f.
    Raises:
        PropertyError: If label, eps or center_score do not fit.
    """

    label: int
    eps: float
    direction: Direction = Direction.BELOW
    center_score: float | None = None
    on: Scale = Scale.PROBABILITIES
    zero_is_safe: bool = field(init=False, repr=False, compare=False)

    name = "reachability"

    def __post_init__(self) -> None:
        if self.direction not in list(Direction):
            raise PropertyError(f"the direction of reachability must be one of {', '.join(Direction)}; got {self.direction!r}")
        object.__setattr__(self, "direction", Direction(self.direction))
        object.__setattr__(self, "zero_is_safe", self.direction is Direction.BELOW)
        object.__setattr__(self, "on", expressions.scale(self.on, self.name))
        object.__setattr__(self, "label", expressions.checked_label(self.label, self.name))
        eps = expressions.finite(self.eps, f"eps of {self.name}")
        if self.on is Scale.PROBABILITIES and not 0 < eps < 1:
            raise PropertyError(f"eps of {self.name} on probabilities must lie strictly between 0 and 1; got {self.eps!r}")
        if self.direction is Direction.RISE and eps <= 0:
            raise PropertyError(f"a rise must be positive; got {self.eps!r}")
        object.__setattr__(self, "eps", eps)
        if (self.center_score is not None) is not (self.direction is Direction.RISE):
            raise PropertyError(f"center_score belongs to direction 'rise' and only there; got {self.center_score!r} with {self.direction}")
        if self.center_score is not None:
            object.__setattr__(self, "center_score", expressions.finite(self.center_score, f"center_score of {self.name}"))

    @property
    def threshold(self) -> float:
        """The score that must not be passed."""
        return self.eps + (self.center_score or 0.0)

    def parameters(self) -> Parameters:
        sign = 1.0 if self.direction is Direction.BELOW else -1.0
        return {"label": np.asarray(self.label), "threshold": np.asarray(self.threshold), "sign": np.asarray(sign)}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        above = expressions.score_of(scores, parameters["label"]) - parameters["threshold"]
        return expressions.poisoned(parameters["sign"] * above, scores)

    def guide(self, logits: Any, parameters: Mapping[str, Any], targets: Any) -> Any | None:
        """The log-odds of the label, with the sign of s; None on logits, where s itself does not saturate."""
        del targets
        if self.on is not Scale.PROBABILITIES or logits.shape[-1] < 2:
            return None
        return parameters["sign"] * expressions.log_odds(logits, parameters["label"])

    def family(self) -> tuple[object, ...]:
        return (type(self), self.on, self.direction)

    def check(self, scores: int) -> None:
        expressions.fits(self.label, scores, self.name)

    def describe(self) -> Risk:
        name, eps = f"{expressions.SYMBOLS[self.on]}_{self.label}", expressions.number(self.eps)
        text = {
            Direction.BELOW: f"{name} >= {eps}",
            Direction.ABOVE: f"{name} < {eps}",
            Direction.RISE: f"{name} < {name}(x) + {eps} = {expressions.number(self.threshold)}",
        }[self.direction]
        spec = f"reachability:{self.label}:{self.direction}:{eps}{expressions.on_suffix(self.on, Scale.PROBABILITIES)}"
        return Risk(self.name, text, str(self.on), spec)


@dataclass(frozen=True)
class Output(Property):
    """``s(x) = y_k(x)``: one score itself, for ``reach`` (its range over a region). Nothing is a risk unless it is negative.

    Args:
        index: k, counted from 0.
        on: Raw outputs, logits or probabilities.
    """

    index: int
    on: Scale = Scale.OUTPUTS

    name = "output"
    zero_is_safe = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", expressions.scale(self.on, self.name))
        object.__setattr__(self, "index", expressions.checked_label(self.index, self.name))

    def parameters(self) -> Parameters:
        return {"index": np.asarray(self.index)}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        return expressions.poisoned(expressions.score_of(scores, parameters["index"]), scores)

    def check(self, scores: int) -> None:
        expressions.fits(self.index, scores, self.name)

    def describe(self) -> Risk:
        return Risk(self.name, f"{expressions.SYMBOLS[self.on]}_{self.index}", str(self.on), "")
