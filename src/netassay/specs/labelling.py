"""The labelling function with threshold (DeepQuant, Eq. 1) and the table of safety risks (Table 1, Definition 2).

Labels count from 0 here; ``NOT_CONFIDENT`` (-1) stands for the paper's label 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import PropertyError
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.numerics.arrays import array_namespace
from netassay.results.witness import RiskClass
from netassay.specs import expressions
from netassay.specs.property import Property
from netassay.specs.reachability import Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty

NOT_CONFIDENT = -1


def labelling(probabilities: Any, eps: float = 0.0) -> Any:
    """Eq. 1: the most probable label (N,) of each row of (N, m), or -1 where its lead over the second is at most ``eps``.

    A tie is not confident for any eps >= 0, and neither is a row with NaN. Works on numpy and torch arrays.
    """
    if not eps >= 0:
        raise PropertyError(f"the labelling threshold must be at least 0; got {eps!r}")
    xp = array_namespace(probabilities)
    best = xp.argmax(probabilities, axis=-1)
    confident = expressions.margin(probabilities, best) > eps
    return xp.where(confident, best, xp.full_like(best, NOT_CONFIDENT))


def risk_table(label: int, center_label: int, human_label: int) -> RiskClass:
    """Table 1: what the labels say about a point near x, where network and human agree on ``center_label`` at x.

    Args:
        label: The network's label at the point, -1 where it is not confident.
        center_label: Label of x, by network and human alike; -1 lies outside the table.
        human_label: The human's label of the point, -1 where the human cannot decide.
    """
    if center_label == NOT_CONFIDENT:
        return RiskClass.NOT_APPLICABLE
    if label == NOT_CONFIDENT:
        return RiskClass.NO_ERROR if human_label == NOT_CONFIDENT else RiskClass.UNCERTAINTY
    if human_label == NOT_CONFIDENT:
        return RiskClass.ADVERSARIAL
    if human_label == center_label:
        return RiskClass.NO_ERROR if label == center_label else RiskClass.ADVERSARIAL
    return RiskClass.INVARIANT if label == center_label else RiskClass.NO_ERROR


def risk_class(
    property: Property,
    network: Network,
    outputs: NDArray[np.floating],
    center_label: int | None,
    violated: bool,
    *,
    true_label: int | None = None,
    threshold: float | None = None,
) -> RiskClass:
    """The risk that a point inside the norm ball shows; the ball stands for the human, who sees the label of x in all of it.

    A violated ``Reachability`` is a reachability example (Definition 2), whatever the labels. A violated ``Uncertainty`` to the
    uniform distribution counts as "not confident" (section 4.2 expresses that by the divergence). Everything else is
    read from Table 1, with Eq. 1 on probabilities, so a violated gap that changes no label is ``NO_ERROR``.

    Args:
        property: What was asked.
        network: For its output convention.
        outputs: Raw outputs (m,) at the point.
        center_label: The network's label at x, -1 if not confident, None without labels.
        violated: Whether the property is violated at the point.
        true_label: Label of x in its data set, if known; unlike ``center_label``, Definition 1 does not apply.
        threshold: eps of Eq. 1; None for the eps of a ``Robustness`` on probabilities, else 0.
    """
    if violated and isinstance(property, Reachability):
        return RiskClass.REACHABILITY
    if not network.labels or center_label is None or (true_label is not None and true_label != center_label):
        return RiskClass.NOT_APPLICABLE
    probabilities = network.convention.scores(np.asarray(outputs, dtype=np.float64)[None], Scale.PROBABILITIES)
    if np.isnan(probabilities).any():
        return RiskClass.NOT_APPLICABLE
    unsure = violated and isinstance(property, Uncertainty) and property.reference is None
    label = NOT_CONFIDENT if unsure else int(labelling(probabilities, _threshold(property) if threshold is None else threshold)[0])
    return risk_table(label, center_label, human_label=center_label)


def _threshold(property: Property) -> float:
    return property.eps if isinstance(property, Robustness) and property.on is Scale.PROBABILITIES else 0.0
