"""The small interface of every search method: propose points, observe what they gave.

A method never evaluates the network and never decides what counts: the search (``search.Search``) evaluates,
refuses points outside the region, keeps the records and the budget. So no method can report too much.
State, randomness and budget are visible: a method can be stopped after any step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor

from netassay.falsifiers.space import Arms


class Objective(StrEnum):
    """What an arm drives in its direction (``Arms.sign``).

    SLOPE: (s(x) - s(center)) / ||x - center||, the two branches of DeepQuant's Eq. 4.
    VALUE: s(x) itself.
    """

    SLOPE = "slope"
    VALUE = "value"


@dataclass(frozen=True, eq=False)
class Task:
    """What a method is asked to do.

    Args:
        arms: The arms.
        objective: What each arm drives up (sign +1) or down (sign -1).
        queries: About how many points each arm can have, so that a method can choose how wide to search.
        starts: (A, w, k) unit points worth starting from, or None.
        generator: The only source of randomness.
        incumbents: Gives (A, k) the unit points of the best records so far (the centre where there is none),
            whoever found them.
        center_guides: (problems, T) the guides (``Proposal.guided``) at each centre.
        gradients: Whether the network offers gradients.
    """

    arms: Arms
    objective: Objective
    generator: torch.Generator
    incumbents: Callable[[], Tensor]
    center_guides: Tensor
    queries: int = 1_000_000
    starts: Tensor | None = None
    gradients: bool = False


@dataclass(frozen=True, eq=False)
class Proposal:
    """Points to evaluate: ``points`` (L, m, k) in unit coordinates, m for each of L lanes.

    Args:
        arms: (L,) the arm of each lane.
        lanes: (L,) the method's own number of each lane.
        points: Unit coordinates.
        gradient: Whether the gradient of sign * s is wanted at each point.
        variants: (L,) with gradients: 0 to follow the property as it is, v > 0 to make for the v-th most likely
            other label of the centre, so that climbs spread over labels.
        covered: (L,) how many points of each lane the budget covers, set by the search; None for all.
        guided: Whether the guides are wanted: what a search may climb where s itself is flat, read off the same outputs.
    """

    arms: Tensor
    lanes: Tensor
    points: Tensor
    gradient: bool = False
    variants: Tensor | None = None
    covered: Tensor | None = None
    guided: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a proposal gave; the search may have dropped lanes, and left points unevaluated, that the budget no longer covers.

    Args:
        space: The task's arms. arms, lanes: (L,) as in the proposal.
        free: (L, m, k) free features as evaluated: clipped, snapped, rounded.
        merit: (L, m) objective times sign, higher is better, whether or not the point is in the ball;
            -inf where it is undefined (at the centre, NaN) or was not evaluated.
        length: (L, m) distance from the centre as a share of the arm's radius.
        feasible: (L, m) inside ball and domain.
        gradient: (L, m, k) of sign * s with respect to unit coordinates, where asked for.
        guides: (L, m, T) sign * guide, where asked for: over all rivals, then over each of the likeliest; -inf where unknown.
    """

    space: Arms
    arms: Tensor
    lanes: Tensor
    free: Tensor
    merit: Tensor
    length: Tensor
    feasible: Tensor
    gradient: Tensor | None = None
    guides: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """(L, m) merit of feasible points, -inf elsewhere."""
        return torch.where(self.feasible, self.merit, -torch.inf)

    def best(self, ranks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Per lane the best of ``ranks`` (L, m), where it is, and its unit point (L, k); the first among equals."""
        value, at = ranks.max(dim=1)
        return value, at, self.chosen(torch.arange(len(at), device=at.device), at)

    def chosen(self, rows: Tensor, at: Tensor) -> Tensor:
        """(r, k) unit coordinates of the points at positions ``at`` (r,) of the lanes at ``rows`` (r,)."""
        return self.space.units(self.arms[rows], self.free[rows, at].unsqueeze(1)).squeeze(1)

    @property
    def units(self) -> Tensor:
        """(L, m, k) unit coordinates of all points."""
        return self.space.units(self.arms, self.free)


class Falsifier(Protocol):
    """A search method in progress."""

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        """The next points, for arms where ``active`` (A,) holds; about ``rows`` of them at most; None when done.

        Args:
            active: (A,) arms whose budget is not used up.
            rows: Points that memory allows in one batch.
            spent: Share of the budget used so far, 0 to 1.
        """
        ...

    def observe(self, outcome: Outcome) -> None:
        """Takes in what the last proposal gave."""
        ...


class Method(Protocol):
    """A way to search: starts a falsifier on a task. Its options are its frozen fields."""

    def start(self, task: Task) -> Falsifier:
        """Begins a search; everything random comes from ``task.generator``."""
        ...


def lanes_of(arms: int, each: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Lane numbers 0..arms*each-1 and the arm of each, ``each`` consecutive lanes per arm."""
    lanes = torch.arange(arms * each, device=device)
    return lanes, lanes // each
