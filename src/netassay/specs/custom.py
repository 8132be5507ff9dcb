"""A property that the user writes as a function (DeepQuant, Definition 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from netassay.errors import PropertyError
from netassay.models.scores import Scale
from netassay.results.answer import Risk
from netassay.specs import expressions
from netassay.specs.property import Parameters, Property


@dataclass(frozen=True)
class Custom(Property):
    """``s(x) = fn(scores)``: any function of a batch of scores (N, m) that gives one value per row (N,); risk where s < 0.

    Args:
        fn: Takes numpy or torch arrays, keeps their library, and gradients where gradient methods are to work. Rows
            with a NaN score count as NaN whatever it returns for them.
        name: How reports call it.
        on: The scale of the scores it is given.
        zero_is_safe: Whether s = 0 counts as safe.
    Raises:
        PropertyError: If fn is not callable; on evaluation, if it returns another shape than (N,).
    """

    fn: Callable[[Any], Any]
    name: str
    on: Scale = Scale.PROBABILITIES
    zero_is_safe: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", expressions.scale(self.on, "a custom property"))
        if not callable(self.fn):
            raise PropertyError(f"a custom property needs a function of the scores (N, m); got {type(self.fn).__name__}")

    def parameters(self) -> Parameters:
        return {}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        del parameters
        values = self.fn(scores)
        shape = getattr(values, "shape", None)
        if shape is None or tuple(shape) != (scores.shape[0],):
            found = f"shape {tuple(shape)}" if shape is not None else type(values).__name__
            raise PropertyError(f"the custom property {self.name!r} must give one value per row, shape ({scores.shape[0]},); got {found}")
        return expressions.poisoned(values, scores)

    def family(self) -> tuple[object, ...]:
        return (type(self), self.on, self.fn, self.zero_is_safe)

    def check(self, scores: int) -> None:
        """Any number of scores may fit: only fn knows."""
        if scores < 1:
            raise PropertyError(f"the custom property {self.name!r} needs scores; the network gives {scores}")

    def describe(self) -> Risk:
        return Risk("custom", f"{self.name} {'>=' if self.zero_is_safe else '>'} 0", str(self.on), "")
