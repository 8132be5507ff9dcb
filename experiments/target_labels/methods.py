"""The verifiers of the experiment, under the names of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netassay.verifiers.base import Verifier
from target_labels.benchmark import UnavailableError


@dataclass(frozen=True, slots=True)
class Method:
    """A verifier, and what it stands for in the paper.

    Args:
        paper: The paper's tool whose table it belongs to; None for one that the paper does not have.
        table: Number of that table.
        build: Makes it; raises ImportError where a part is missing.
    """

    paper: str | None
    table: int | None
    build: Callable[[], Verifier]


def _milp() -> Verifier:
    from netassay.verifiers.milp import Milp

    return Milp()


def _zonotope() -> Verifier:
    from netassay.verifiers.bounding import Bounding
    from netassay.verifiers.propagation.zonotope import zonotope_bounds

    return Bounding(zonotope_bounds)


def _neurify() -> Verifier:
    from netassay.verifiers.neurify import Neurify

    return Neurify()


def _auto() -> Verifier:
    from netassay.verifiers.portfolio import Auto

    return Auto()


METHODS = {
    "milp": Method("MipVerify", 2, _milp),
    "zonotope": Method("DeepZ", 3, _zonotope),
    "neurify": Method("Neurify", 4, _neurify),
    "auto": Method(None, None, _auto),
}
"""In the order of the paper's tables; the last is what netassay does by default."""


def verifier(name: str) -> Verifier:
    """The verifier of that name; raises UnavailableError where it cannot be had."""
    try:
        return METHODS[name].build()
    except ImportError as missing:
        raise UnavailableError(f"{name} needs what is not installed here: {missing}") from missing
