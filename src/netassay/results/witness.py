"""A witness: a point that anybody can replay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class RiskClass(StrEnum):
    """The cell of DeepQuant's Table 1 that a point falls in, and what lies outside the table."""

    NO_ERROR = "no-error"
    ADVERSARIAL = "adversarial"
    UNCERTAINTY = "uncertainty"
    INVARIANT = "invariant"
    REACHABILITY = "reachability"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Replay:
    """What replaying a point on the original model showed.

    Args:
        values: s(x) per engine and arithmetic, e.g. ``{"torch-float32": -0.01, "torch-float64": -0.01}``.
        inside: The point lies in region and domain, checked in float64 with zero tolerance.
        violated: Per engine, whether the property is violated there (for a tie as the property says).
        claim: Whether every engine bears out what the point is a witness of (a slope, a value reached);
            None where that is the violation itself.
    """

    values: dict[str, float]
    inside: bool
    violated: dict[str, bool]
    claim: bool | None = None

    @property
    def agreed(self) -> bool:
        return len(set(self.violated.values())) == 1

    @property
    def confirmed(self) -> bool:
        """Inside, and every engine bears out what the point is a witness of."""
        borne_out = bool(self.violated) and all(self.violated.values()) if self.claim is None else self.claim
        return self.inside and borne_out


@dataclass(frozen=True, eq=False)
class Witness:
    """A replayed point.

    Args:
        point: The input, with the model's input shape, in the dtype that the model was given.
        outputs: The network's outputs there (float64 where the model can, else float32).
        distance: The norm of point minus centre in the region's norm and scale, float64; None for a box.
        value: s(point) in the most exact arithmetic available.
        label: The decision there, or None for networks that do not classify.
        risk: The cell of the risk table.
        replay: What the replay showed.
        marked: Empty, or why the point is near the limit (float32 and float64 disagree on the sign, or
            no float64 evaluation exists and abs(s) is within float32 noise).
    """

    point: NDArray[np.floating]
    outputs: NDArray[np.floating]
    distance: float | None
    value: float
    label: int | None
    risk: RiskClass
    replay: Replay
    marked: str = ""
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(np.ascontiguousarray(self.point).tobytes())
        digest.update(f"{self.point.dtype.str}{self.point.shape}".encode())
        object.__setattr__(self, "sha256", digest.hexdigest())
