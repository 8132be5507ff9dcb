"""What the property expressions share: scores of labels, margins, checks and words. Works on numpy and torch arrays alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import PropertyError
from netassay.models.scores import Scale, logsumexp
from netassay.numerics.arrays import array_namespace, device_of

if TYPE_CHECKING:
    from netassay.models.network import Network

SYMBOLS = {Scale.PROBABILITIES: "f", Scale.LOGITS: "z", Scale.OUTPUTS: "y"}


def score_of(scores: Any, labels: Any) -> Any:
    """The score (rows,) of label ``labels`` (rows,) or (1,) in each row of (rows, m)."""
    xp = array_namespace(scores)
    index = xp.broadcast_to(xp.expand_dims(labels, axis=-1), (scores.shape[0], 1))
    return xp.squeeze(xp.take_along_axis(scores, index, axis=-1), axis=-1)


def others(scores: Any, labels: Any) -> Any:
    """Scores (rows, m) with the entry of ``labels`` (rows,) or (1,) set to -infinity."""
    xp = array_namespace(scores)
    positions = xp.arange(scores.shape[-1], device=device_of(scores))
    mine = positions[None, :] == xp.expand_dims(labels, axis=-1)
    return xp.where(mine, xp.asarray(-math.inf, dtype=scores.dtype, device=device_of(scores)), scores)


def margin(scores: Any, labels: Any) -> Any:
    """Score of ``labels`` minus the best other score, per row; NaN where any score of the row is NaN."""
    xp = array_namespace(scores)
    return score_of(scores, labels) - xp.max(others(scores, labels), axis=-1)


def guided_margin(logits: Any, labels: Any, targets: Any) -> Any:
    """``margin``, but over the target alone where the target, of (rows,) or (rows, T), is a label other than ``labels`` and not -1."""
    xp = array_namespace(logits)
    if targets.ndim == 1:
        return guided_margin(logits, labels, xp.expand_dims(targets, axis=-1))[..., 0]
    own, whole, labels = (xp.expand_dims(values, axis=-1) for values in (score_of(logits, labels), margin(logits, labels), labels))
    single = (targets >= 0) & (targets != labels)
    rivals = xp.take_along_axis(logits, xp.where(single, targets, xp.zeros_like(targets)), axis=-1)
    return xp.where(single, own - rivals, whole)


def log_odds(logits: Any, labels: Any) -> Any:
    """log(p / (1 - p)) of the probability p of ``labels``, per row, from logits."""
    return score_of(logits, labels) - logsumexp(others(logits, labels))


def poisoned(value: Any, scores: Any) -> Any:
    """``value`` (rows,), but NaN wherever a row of scores holds NaN, also in scores that the value does not use."""
    xp = array_namespace(scores)
    bad = xp.any(xp.isnan(scores), axis=-1)
    return xp.where(bad, xp.asarray(math.nan, dtype=scores.dtype, device=device_of(scores)), value)


def number(value: float) -> str:
    """The shortest decimal that reads back as the same float, without a trailing ``.0``."""
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text


def on_suffix(on: Scale, default: Scale) -> str:
    """The ``@scale`` suffix of a risk's command-line form; empty for the family's default scale."""
    return "" if on is default else f"@{on}"


def scale(on: Scale | str, family: str) -> Scale:
    """The scale of that name; raises PropertyError for another."""
    try:
        return Scale(on)
    except ValueError:
        raise PropertyError(f"{family} is measured on {', '.join(Scale)}; got {on!r}") from None


def checked_scale(on: Scale | str, family: str) -> Scale:
    """A scale on which higher wins: logits or probabilities; raw outputs may be costs, or one output for two labels."""
    on = scale(on, family)
    if on not in (Scale.LOGITS, Scale.PROBABILITIES):
        raise PropertyError(f"{family} compares labels and is measured on {Scale.PROBABILITIES} or {Scale.LOGITS}; got {on}")
    return on


def checked_eps(eps: float, on: Scale, family: str) -> float:
    """A confidence gap as a float: at least 0, and at most 1 between probabilities."""
    value = _number(eps, family)
    if value < 0 or (on is Scale.PROBABILITIES and value > 1):
        limit = "in [0, 1] on probabilities" if on is Scale.PROBABILITIES else "at least 0"
        raise PropertyError(f"eps of {family} must be {limit}; got {eps!r}")
    return value


def finite(value: float, what: str) -> float:
    """``value`` as a finite float; raises PropertyError otherwise."""
    return _number(value, what)


def _number(value: float, what: str) -> float:
    try:
        result = float(value)
    except (TypeError, ValueError) as error:
        raise PropertyError(f"{what} needs a number; got {value!r}") from error
    if not math.isfinite(result):
        raise PropertyError(f"{what} needs a finite number; got {value!r}")
    return result


def checked_label(label: int, family: str) -> int:
    """A label as a plain int, at least 0."""
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or label < 0:
        raise PropertyError(f"{family} needs labels counted from 0; got {label!r}")
    return int(label)


def fits(label: int, scores: int, family: str) -> None:
    """Raises PropertyError unless ``label`` is one of ``scores`` labels."""
    if label >= scores:
        raise PropertyError(f"{family} asks for label {label}, but the network has {scores} (0 to {scores - 1}); labels count from 0")


def two_labels(scores: int, family: str) -> None:
    """Raises PropertyError unless there are two labels to compare."""
    if scores < 2:
        hint = "for one sigmoid output say --outputs sigmoid"
        raise PropertyError(f"{family} compares labels, but the network gives {scores} score(s); {hint}")


def outputs_at(network: Network, point: ArrayLike) -> NDArray[np.float64]:
    """Raw outputs (m,) of ``network`` at one input, evaluated in float64 where it can be.

    Raises:
        PropertyError: If the input has another shape than the network's, or the outputs are not finite.
    """
    import torch  # a network evaluates tensors; nothing else here needs torch

    values = np.asarray(point, dtype=np.float64)
    if values.shape != network.input_shape:
        raise PropertyError(f"a property is bound to one input of shape {network.input_shape}; got shape {values.shape}")
    exact = network if network.dtype == "float64" else network.in_float64() or network
    with torch.no_grad():
        outputs = exact.outputs(torch.as_tensor(values[None], dtype=getattr(torch, exact.dtype), device=exact.device))
    found = np.asarray(outputs[0].cpu().numpy(), dtype=np.float64)
    if not np.isfinite(found).all():
        raise PropertyError(f"the network's outputs at the input are not finite: {found}; no property can be bound to it")
    return found
