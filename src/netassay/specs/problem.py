"""A problem: network x region x property, about which questions are asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from netassay.errors import PropertyError, RegionError
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.property import Property
from netassay.specs.regions import Ball


@dataclass(frozen=True, eq=False)
class Problem:
    """One network, one region, one property.

    Args:
        network: The network.
        region: A ball around an input, or a plain box (``reach`` only).
        property: s(x), bound to the input.
        index: Position of the input in its data set, if it has one.
        true_label: The input's label from the data set, if known.
        asked: The risk as it was asked for, before it was bound to the input (``targeted:3``); empty if the property is all there is.
    Raises:
        PropertyError: If the property is about the model's own outputs, and the network gives logits that were recovered from them.
    """

    network: Network
    region: Ball | Box
    property: Property
    index: int | None = None
    true_label: int | None = None
    asked: str = ""

    def __post_init__(self) -> None:
        if self.network.recovered and self.property.on is Scale.OUTPUTS:
            raise PropertyError(
                f"{self.network.name} is asked about its raw outputs, but its last softmax or sigmoid was taken off to recover its logits: "
                "load it with outputs='values' (--outputs values), or ask about its logits or probabilities"
            )

    @cached_property
    def ball(self) -> Ball:
        """The region as a ball; raises RegionError if it is a plain box."""
        if not isinstance(self.region, Ball):
            raise RegionError("this needs a ball around an input; a plain box serves 'reach' only")
        return self.region

    @cached_property
    def center(self) -> NDArray[np.float64]:
        """The input (model shape), or the midpoint of a box."""
        return np.asarray(self.region.center)
