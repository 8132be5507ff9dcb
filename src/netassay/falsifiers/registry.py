"""The table of search methods, under their command-line names. Imports no engine until one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netassay.errors import unknown_name

if TYPE_CHECKING:
    from netassay.falsifiers.base import Method


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table.

    Args:
        name: Command-line name.
        kind: "falsifier" (moves the attained side).
        needs: What it needs of a model.
        norms: Norms it serves.
        paper: Where it is defined.
        description: One sentence.
        build: Makes the method with its default options.
    """

    name: str
    kind: str
    needs: str
    norms: tuple[str, ...]
    paper: str
    description: str
    build: Callable[[], Method]


def _random() -> Method:
    from netassay.falsifiers.random_sampling import RandomSampling

    return RandomSampling()


def _tpmads() -> Method:
    from netassay.falsifiers.direct_search.tpmads import TpMads

    return TpMads()


def _mads() -> Method:
    from netassay.falsifiers.direct_search.mads import Mads

    return Mads()


def _gradient() -> Method:
    from netassay.falsifiers.gradient.projected_ascent import ProjectedAscent

    return ProjectedAscent()


def _auto() -> Method:
    from netassay.falsifiers.portfolio import Phase, Portfolio

    random, mads, gradient = _random(), _mads(), _gradient()
    return Portfolio(
        slopes=(Phase(random, 0.03), Phase(gradient, 0.8), Phase(mads, 1.0)),
        values=(Phase(gradient, 0.9), Phase(mads, 1.0)),
        small=(Phase(random, 0.05), Phase(gradient, 0.3), Phase(mads, 1.0)),
        black_box=(Phase(random, 0.05), Phase(mads, 1.0)),
    )


_ALL = ("l0", "l1", "l2", "linf")

METHODS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "auto",
            "falsifier",
            "any model",
            _ALL,
            "-",
            "random, gradient and mads in turn, by what the model offers and how many features are free",
            _auto,
        ),
        Entry("random", "falsifier", "any model", _ALL, "DeepQuant, section 6.1", "uniform sampling of the ball: the baseline", _random),
        Entry(
            "tpmads",
            "falsifier",
            "any model",
            _ALL,
            "DeepQuant, Algorithms 1 and 2",
            "tensor-parallel mesh adaptive direct search; augmented Lagrangian for L1 and L2",
            _tpmads,
        ),
        Entry(
            "mads",
            "falsifier",
            "any model",
            _ALL,
            "DeepQuant, sections 5.1 to 5.3; Audet and Dennis 2006",
            "mesh adaptive direct search with Householder polls, many incumbents, and secant models over tiles for many features",
            _mads,
        ),
        Entry(
            "gradient",
            "falsifier",
            "gradients",
            _ALL,
            "Madry et al. 2018; Dong et al. 2018",
            "multi-start projected ascent at a ladder of radii",
            _gradient,
        ),
    )
}


def method_entry(name: str) -> Entry:
    """The row of that name; a UsageError lists the known ones."""
    if name not in METHODS:
        raise unknown_name("method", name, list(METHODS))
    return METHODS[name]
