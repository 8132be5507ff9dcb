"""The table of verifiers, under their command-line names. Imports no engine until one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netassay.errors import unknown_name

if TYPE_CHECKING:
    from netassay.verifiers.base import Verifier
    from netassay.verifiers.bounding import PartBounds


@dataclass(frozen=True, slots=True)
class VerifierEntry:
    """One row of the table.

    Args:
        name: Command-line name.
        claims: What its HOLDS is: "proved", "solver", or "proved or solver".
        complete: Whether it decides every question, given time (and apart from rounding).
        serves: The networks and regions that it serves.
        paper: Where it is defined.
        description: One sentence.
        build: Makes it with its default options.
    """

    name: str
    claims: str
    complete: bool
    serves: str
    paper: str
    description: str
    build: Callable[[], Verifier]


def _bounding(load: Callable[[], PartBounds]) -> Callable[[], Verifier]:
    def build() -> Verifier:
        from netassay.verifiers.bounding import Bounding

        return Bounding(load())

    return build


def _interval() -> PartBounds:
    from netassay.verifiers.bounding import interval_bounds

    return interval_bounds


def _symbolic() -> PartBounds:
    from netassay.verifiers.propagation.symbolic import symbolic_bounds

    return symbolic_bounds


def _zonotope() -> PartBounds:
    from netassay.verifiers.propagation.zonotope import zonotope_bounds

    return zonotope_bounds


def _crown() -> PartBounds:
    from netassay.verifiers.bounding import linear_bounds

    return linear_bounds


def _alpha_crown() -> Verifier:
    from netassay.verifiers.propagation.optimised import AlphaCrown

    return AlphaCrown()


def _decomposition() -> Verifier:
    from netassay.verifiers.decomposition import Decomposition

    return Decomposition()


def _input_splitting() -> Verifier:
    from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting

    return InputSplitting()


def _neuron_splitting() -> Verifier:
    from netassay.verifiers.branch_and_bound.neuron_splitting import NeuronSplitting

    return NeuronSplitting()


def _pixel_splitting() -> Verifier:
    from netassay.verifiers.sparse.pixel_splitting import PixelSplitting

    return PixelSplitting()


def _neurify() -> Verifier:
    from netassay.verifiers.neurify import Neurify

    return Neurify()


def _milp() -> Verifier:
    from netassay.verifiers.milp import Milp

    return Milp()


def _deepgo() -> Verifier:
    from netassay.verifiers.deepgo import DeepGo

    return DeepGo()


def _sherlock() -> Verifier:
    from netassay.verifiers.sherlock import Sherlock

    return Sherlock(_milp())


def _marabou() -> Verifier:
    from netassay.verifiers.marabou import Marabou

    return Marabou()


def _semidefinite() -> Verifier:
    from netassay.verifiers.semidefinite.method import Semidefinite

    return Semidefinite()


def _auto() -> Verifier:
    from netassay.verifiers.portfolio import Auto

    return Auto()


_GRAPHS = "any operator graph; boxes and balls of every norm"
_RELU = "affine and ReLU operators; boxes and L-infinity balls"

VERIFIERS: dict[str, VerifierEntry] = {
    entry.name: entry
    for entry in (
        VerifierEntry(
            "auto",
            "proved",
            False,
            _GRAPHS,
            "-",
            "cheap bounds first, then branch and bound over the inputs or the neurons, whichever suits",
            _auto,
        ),
        VerifierEntry(
            "interval",
            "proved",
            False,
            _GRAPHS,
            "survey, section 4.2.3",
            "the range of every value from those it is computed from",
            _bounding(_interval),
        ),
        VerifierEntry(
            "symbolic",
            "proved",
            False,
            _GRAPHS,
            "target-label paper, section 2; Wang et al. 2018 (ReluVal, Neurify)",
            "linear forms of the input below and above every value, pushed forwards",
            _bounding(_symbolic),
        ),
        VerifierEntry(
            "zonotope",
            "proved",
            False,
            _GRAPHS,
            "Singh et al. 2018 (DeepZ)",
            "affine forms with shared error symbols, pushed forwards",
            _bounding(_zonotope),
        ),
        VerifierEntry(
            "crown",
            "proved",
            False,
            _GRAPHS,
            "Zhang et al. 2018 (CROWN); Singh et al. 2019 (DeepPoly)",
            "linear forms pushed back to the input, all layers and all labels in one pass",
            _bounding(_crown),
        ),
        VerifierEntry(
            "alpha-crown", "proved", False, _GRAPHS, "Xu et al. 2021 (alpha-CROWN)", "the same with optimised slopes", _alpha_crown
        ),
        VerifierEntry(
            "decomposition",
            "proved",
            False,
            "one layer of ReLUs that each read a few inputs (a convolution); bounded regions",
            "Guignard and Kim 1987; Bunel et al. 2020",
            "the ReLUs that read the same inputs bounded together, the groups tied by multipliers",
            _decomposition,
        ),
        VerifierEntry(
            "input-splitting",
            "proved",
            True,
            "any operator graph of few inputs; bounded regions",
            "Wang et al. 2018 (ReluVal); survey, section 4.1.2",
            "branch and bound over boxes of inputs with linear bounds",
            _input_splitting,
        ),
        VerifierEntry(
            "neuron-splitting",
            "proved",
            True,
            "networks of ReLUs, or of smooth operators by intervals of neurons",
            "Bunel et al. 2018; Wang et al. 2021 (beta-CROWN)",
            "branch and bound over neurons' phases with optimised multipliers",
            _neuron_splitting,
        ),
        VerifierEntry(
            "semidefinite",
            "proved",
            True,
            "affine and ReLU operators, few ReLUs of them undecided; boxes and L-infinity balls (of others, the box around them)",
            "Raghunathan et al. 2018; Dathathri et al. 2020",
            "semidefinite relaxations by an interior-point method, and branch and bound over neurons' phases where they do not suffice",
            _semidefinite,
        ),
        VerifierEntry(
            "pixel-splitting",
            "proved",
            False,
            "any operator graph; L0 balls in a bounded domain",
            "DeepTRE (the ball); Calzone, CoVerD (its covering)",
            "L0 balls: drops of small clusters of features added up, or branch and bound over which features change",
            _pixel_splitting,
        ),
        VerifierEntry(
            "neurify",
            "proved",
            False,
            _RELU,
            "Wang et al. 2018 (Neurify)",
            "zonotopes, directed refinement, linear programs whose multipliers are checked",
            _neurify,
        ),
        VerifierEntry(
            "milp",
            "proved or solver",
            True,
            "affine, piecewise-linear and maximum operators; boxes, L1 and L-infinity balls",
            "Tjeng et al. 2019 (MIPVerify)",
            "a mixed-integer program: branching of our own with checked leaves, HiGHS where that takes long",
            _milp,
        ),
        VerifierEntry(
            "deepgo",
            "proved",
            True,
            "any operator graph of which at most six inputs move; boxes and L-infinity balls",
            "Ruan et al. 2018 (DeepGO)",
            "nested searches along the inputs with proved Lipschitz constants",
            _deepgo,
        ),
        VerifierEntry(
            "sherlock",
            "proved or solver",
            True,
            _RELU,
            "Dutta et al. 2018 (Sherlock)",
            "gradient descent to a local minimum, then a mixed-integer program that looks below it, in turns",
            _sherlock,
        ),
        VerifierEntry(
            "marabou",
            "solver",
            True,
            _RELU,
            "Katz et al. 2019; Wu et al. 2024 (Marabou)",
            "simplex with case splits over ReLUs in a process of its own; needs the extra 'marabou'",
            _marabou,
        ),
    )
}


def verifier_entry(name: str) -> VerifierEntry:
    """The row of that name; raises UsageError listing the known ones."""
    if name not in VERIFIERS:
        raise unknown_name("verifier", name, list(VERIFIERS))
    return VERIFIERS[name]
