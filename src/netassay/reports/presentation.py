"""How answers are to be shown: names, picture layout, what outputs mean. Chosen by the caller, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import DataError, UsageError, unknown_name
from netassay.reports.images import Layout, check_layout
from netassay.reports.text import Labels
from netassay.results.answer import Answer

MEANINGS = ("logits", "probabilities", "binary-logit", "sigmoid", "values")
DECISIONS = ("argmax", "argmin")


@dataclass(frozen=True, eq=False, kw_only=True)
class Presentation:
    """What the report cannot know from the answers; see ``write_report`` for the arguments.

    ``most_rows`` is the length of tables of inputs; ``pages`` are the addresses of pages about single inputs, by index.
    """

    title: str
    image_layout: Layout | None = None
    feature_names: Sequence[str] | None = None
    label_names: Labels = None
    scale: ArrayLike | None = None
    output_meaning: str | None = None
    decision: str = "argmax"
    outputs_before: Mapping[int, NDArray[np.floating]] = field(default_factory=dict)
    saliency: Mapping[int, NDArray[np.floating]] = field(default_factory=dict)
    model_info: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None
    notes: Sequence[str] = ()
    proof_asked: bool = False
    most_cards: int = 12
    most_rows: int = 1000
    pages: Mapping[int, str] = field(default_factory=dict)

    def check(self, answers: Sequence[Answer]) -> None:
        """Raises InputError if these choices do not fit the answers."""
        if not answers:
            raise UsageError("a report needs at least one answer; got none")
        if self.output_meaning is not None and self.output_meaning not in MEANINGS:
            raise unknown_name("meaning of outputs", self.output_meaning, list(MEANINGS))
        if self.decision not in DECISIONS:
            raise unknown_name("decision", self.decision, list(DECISIONS))
        for size in {a.center.size for a in answers}:
            self._check_size(size)

    def _check_size(self, size: int) -> None:
        if self.image_layout is not None:
            check_layout(self.image_layout, size)
        if self.feature_names is not None and len(self.feature_names) != size:
            raise DataError(f"{len(self.feature_names)} feature names for inputs of {size} features; give one per feature")
        if self.scale is not None:
            scale = np.asarray(self.scale, dtype=np.float64)
            if scale.size not in (1, size) or not (scale > 0).all():
                raise DataError(f"a scale of {scale.size} entries for inputs of {size} features; give one positive number per feature")

    def scale_of(self, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
        """The scale per feature, flattened; None if there is none."""
        if self.scale is None:
            return None
        return np.broadcast_to(np.asarray(self.scale, dtype=np.float64).reshape(-1), (int(np.prod(shape)),))

    def feature_name(self, flat: int, shape: tuple[int, ...]) -> str:
        """The name of a feature, or its place in the input."""
        if self.feature_names is not None:
            return str(self.feature_names[flat])
        if len(shape) < 2:
            return f"feature {flat}"
        return "feature " + ", ".join(str(int(i)) for i in np.unravel_index(flat, shape))


def probabilities(outputs: NDArray[np.floating], meaning: str, decision: str) -> NDArray[np.float64] | None:
    """One probability per label from raw outputs (m,); None where outputs are plain values or not finite.

    For ``argmin`` networks (costs) the softmax is taken of the negated outputs.
    """
    raw = np.asarray(outputs, dtype=np.float64).reshape(-1)
    if meaning == "values" or not np.isfinite(raw).all():
        return None
    if meaning == "sigmoid":
        raw = np.array([1 - raw[0], raw[0]])
    if meaning == "binary-logit":
        raw = np.array([0.0, raw[0]])
    if meaning in ("probabilities", "sigmoid"):
        return raw if decision == "argmax" else _negated(raw)
    return _softmax(raw if decision == "argmax" else -raw)


def _negated(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return _softmax(-np.log(np.maximum(shares, 1e-38)))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())
