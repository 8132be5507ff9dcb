"""Other derivative-free optimisers on the problems of the direct-search benchmark: NOMAD 4 and CMA-ES, each where it is installed.

A peer sees a problem as a black box in unit coordinates v, x = x0 + radius * v: the bounds of v, and values of batches of points. It runs
twice, for the rising and for the falling slope, with half of the queries each. The box is the very search that netassay's methods run
in: the same float32 network and rounding, the same records of both slopes from every point, no slope within a thousandth of the radius.
L-infinity balls are bounds. In L1 and L2, NOMAD gets the norm as a constraint (progressive barrier), and CMA's points are clipped to
the domain and then shrunk towards the centre, as those of netassay's methods are.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from direct_search_problems import recorded_slope
from netassay.errors import BudgetSpentError
from netassay.falsifiers.base import Objective, Proposal
from netassay.falsifiers.search import Search
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem

Array = NDArray[np.float64]

NARROW = 50
"""Inputs up to which CMA-ES keeps a whole covariance matrix (and NOMAD builds quadratic models: that is its own rule)."""


@dataclass
class BlackBox:
    """One problem in unit coordinates; counts queries and batched calls.

    Attributes:
        direction: 0 while the rising slope is sought, 1 for the falling one.
        end: Queries after which this direction has had its share.
    """

    problem: Problem
    queries: int
    seed: int
    direction: int = field(default=0, init=False)
    end: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        budget = Budget(queries=self.queries)
        self.search = Search([self.problem], Objective.SLOPE, budget=budget, clock=Clock(), seed=self.seed)
        self.arms = self.search.both_directions()
        self.rng = np.random.default_rng(self.seed)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """(k,) lower and upper limits of a point."""
        return self.arms.low[0].double().numpy(), self.arms.high[0].double().numpy()

    @property
    def left(self) -> int:
        """Queries left for this direction."""
        return self.end - int(self.search.used[0])

    def begin(self, direction: int) -> None:
        """Starts a direction; its share is half of the queries."""
        self.direction, self.end = direction, (self.queries + 1) // 2 if direction == 0 else self.queries

    def start(self) -> tuple[Array, float]:
        """A random point (k,) of the ball, drawn in to a radius between 1 and 2^-8, and that radius."""
        share = float(2.0 ** -self.rng.uniform(0, 8))
        return self.arms.sample(torch.tensor([self.direction]), 1, self.search.generator)[0, 0].double().numpy() * share, share

    def pulled(self, points: Array) -> Array:
        """Points (m, k) clipped to the domain and shrunk into the ball."""
        units = torch.as_tensor(points, dtype=self.arms.low.dtype).unsqueeze(0)
        return self.arms.pull(torch.tensor([self.direction]), units)[0].double().numpy()

    def values(self, points: Array) -> tuple[Array, Array]:
        """What to minimise: minus the slope in this direction (m,), and the length as a share of the radius less 1 (m,).

        1e20 where the slope is undefined or the queries did not suffice.

        Raises:
            BudgetSpentError: If there is no query left at all.
        """
        if self.left <= 0:
            raise BudgetSpentError(f"the {self.queries} queries are used")
        count = min(self.left, len(points))
        units = torch.as_tensor(points[:count], dtype=self.arms.low.dtype).unsqueeze(0)
        outcome = self.search.evaluate(self.arms, Proposal(torch.tensor([self.direction]), torch.tensor([0]), units))
        objective, excess = np.full(len(points), 1e20), np.zeros(len(points))
        objective[:count] = np.nan_to_num(-outcome.merit[0].double().numpy(), posinf=1e20)
        excess[:count] = outcome.length[0].double().numpy() - 1
        return objective, excess

    def slope(self) -> float:
        """The steepest slope found, in float64; 0 where nothing was found."""
        return recorded_slope(self.search, 0)


def cma(box: BlackBox, population: int | None = None) -> None:
    """CMA-ES of the package ``cma``, restarted until the queries are spent; with a diagonal matrix where there are many inputs.

    Args:
        box: What to search. population: Points per generation; None for the package's own choice (8 for 5 inputs, 23 for 784).
    """
    low, high = box.bounds
    while box.left > 0:
        start, share = box.start()
        options = {
            "bounds": [low.tolist(), high.tolist()],
            "popsize": population or 4 + int(3 * math.log(len(low))),
            "CMA_diagonal": len(low) > NARROW,
            "seed": int(box.rng.integers(1, 2**31)),
            "verbose": -9,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own: about steps that outgrow its bounds
            _evolve(box, import_module("cma").CMAEvolutionStrategy(np.clip(start, low, high), 0.5 * share, options))


def _evolve(box: BlackBox, strategy: Any) -> None:
    while not strategy.stop() and box.left > 0:
        points = strategy.ask()
        strategy.tell(points, box.values(box.pulled(np.stack(points)))[0].tolist())


def nomad(box: BlackBox, options: tuple[str, ...] = (), block: int = 1) -> None:
    """NOMAD 4 with the given options on top of its defaults, restarted from other points until the queries are spent."""
    low, high = (bound.tolist() for bound in box.bounds)
    constrained = box.search.space.norm in (Norm.L1, Norm.L2)

    def evaluate(points: Sequence[Any]) -> None:
        objective, excess = box.values(np.array([[point.get_coord(j) for j in range(len(low))] for point in points]))
        for point, value, over in zip(points, objective, excess, strict=True):
            point.setBBO((f"{value:.17g} {over:.17g}" if constrained else f"{value:.17g}").encode())

    def evaluate_one(point: Any) -> bool:
        evaluate([point])
        return True

    def evaluate_block(points: Any) -> list[bool]:
        evaluate([points.get_x(i) for i in range(points.size())])
        return [True] * int(points.size())

    while box.left > 0:
        before = box.left
        settings = [
            f"DIMENSION {len(low)}",
            "BB_OUTPUT_TYPE OBJ PB" if constrained else "BB_OUTPUT_TYPE OBJ",
            f"MAX_BB_EVAL {box.left}",
            f"BB_MAX_BLOCK_SIZE {block}",
            f"SEED {int(box.rng.integers(1, 1000))}",  # NOMAD draws, and throws away, as many numbers as its seed says
            "DISPLAY_DEGREE 0",
            *options,
        ]
        start = np.clip(box.start()[0], low, high).tolist()
        import_module("PyNomad").optimize(evaluate_block if block > 1 else evaluate_one, start, low, high, settings)
        if box.left == before:  # nothing was evaluated: its cache held every point, and would again
            return


@dataclass(frozen=True, slots=True)
class Limit:
    """What is asked of a peer in one family: most problems, and most queries."""

    problems: int
    queries: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table of peers.

    Args:
        package: What is imported. run: Searches one direction of a black box.
        limits: What is bearable in each family of problems; it is left out of the others.
    """

    package: str
    run: Callable[[BlackBox], None]
    limits: Mapping[str, Limit]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def search(self, problem: Problem, queries: int, seed: int) -> BlackBox:
        """Both directions of one problem; the box knows what was found and spent."""
        box = BlackBox(problem, queries, seed)
        for direction in (0, 1):
            box.begin(direction)
            self.run(box)
        return box


_CMA = {"acasxu": Limit(40, 10_000)} | dict.fromkeys(("mnistfc linf", "mnistfc l1", "mnistfc l2", "cifar"), Limit(6, 10_000))
_ORTHO_2N = ("DIRECTION_TYPE ORTHO 2N", "QUAD_MODEL_SEARCH no")

PEERS = {
    "cma": Peer("cma", cma, _CMA),
    "cma-64": Peer("cma", partial(cma, population=64), _CMA),
    "nomad": Peer("PyNomad", nomad, {"acasxu": Limit(6, 2_000)}),
    "nomad-2n": Peer("PyNomad", partial(nomad, options=_ORTHO_2N), {"acasxu": Limit(6, 10_000), "mnistfc linf": Limit(2, 500)}),
}
"""Peers by name. NOMAD takes milliseconds per query in 5 dimensions; in 784, half a minute to lay out one poll, whatever its options."""
