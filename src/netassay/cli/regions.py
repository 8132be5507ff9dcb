"""The region around an input, as options describe it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from netassay.cli import parsing
from netassay.cli.options import RegionOptions
from netassay.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from netassay.models.network import Network
    from netassay.numerics.norms import Norm

SHARE = 0.1
"""Radius where none is given, as a share of the domain's extent in the norm."""

GROUPS = ("feature", "pixel")


def region_arguments(options: RegionOptions, network: Network) -> dict[str, Any]:
    """What ``Ball`` takes beside centre, radius, norm and domain."""
    if options.group not in GROUPS:
        raise unknown_name("--group", options.group, list(GROUPS))
    shape = network.input_shape
    return {
        "mask": parsing.mask(options.mask, shape),
        "scale": parsing.scale(options.scale, network.domain),
        "granularity": parsing.granularity(options.granularity, shape),
        "one_hot": parsing.one_hot(options.one_hot),
        "group": options.group,
    }


def default_radius(network: Network, norm: Norm, region: dict[str, Any], notes: list[str]) -> float:
    """A tenth of the extent of the free features' domain in ``norm`` (L0: of their number, at least one); it is said in ``notes``.

    Raises:
        UsageError: If the domain is unbounded.
    """
    extent = _extent(network, norm, region)
    if not math.isfinite(extent):
        raise UsageError("the input domain is unbounded, so no radius can be chosen for you: give --radius, or --domain LO,HI")
    radius = float(max(1, round(SHARE * extent))) if norm == "l0" else SHARE * extent
    notes.append(f"no --radius for {norm}: {radius:.4g} is used, a tenth of the domain's extent in that norm")
    return radius


def _extent(network: Network, norm: Norm, region: dict[str, Any]) -> float:
    import numpy as np

    shape = network.input_shape
    free = np.ones(shape, dtype=np.bool_) if region["mask"] is None else region["mask"]
    if norm == "l0":
        pixels = region["group"] == "pixel" and len(shape) == 3
        return float(free.any(axis=0).sum() if pixels else free.sum())
    unit = np.ones(shape) if region["scale"] is None else region["scale"]
    return float(norm.length((network.domain.width / unit)[free][None])[0])
