"""Which lines make a row of a page: those of one time limit, and those of lower limits whose answers did not depend on theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from target_labels.benchmark import EPSILONS, NETWORKS
from target_labels.measure import Line

Place = tuple[str, int, int]
"""Network, radius and image: what lines of one method and limit differ in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a page.

    Args:
        network, eps: What was verified.
        limit: Seconds that each verification was given; None for no limit.
        lines: One for each of the first valid images.
        valid: How many valid images there are.
    """

    network: str
    eps: int
    limit: float | None
    lines: tuple[Line, ...]
    valid: int


def standing(found: Iterable[Line], limit: float | None) -> dict[Place, Line]:
    """Of the lines of one method those that stand for a limit: measured with it, or with a lower one that they ended before.

    Of several for one image the one with the most ways, of equal ones the one with the highest limit.
    """
    best: dict[Place, Line] = {}
    for line in found:
        if line.limit == limit or (_longer(limit, line.limit) and line.ended):
            place = line.network, line.eps, line.image
            best[place] = max(best.get(place, line), line, key=lambda one: (one.ways, _seconds(one.limit)))
    return best


def rows(found: Sequence[Line], valid: Callable[[str], Sequence[int]]) -> list[Row]:
    """The rows of a method's page, each of the limit under which most images have a line, of equal limits the longest.

    Args:
        found: All lines of the method.
        valid: Network -> its valid images. A row is of the first N of them; images after one that has no line are left out, so that none
            is left out for what became of it.
    """
    made = [max(tried, key=_worth) for network in NETWORKS for eps in EPSILONS if (tried := _tried(found, network, eps, valid))]
    return [row for row in made if row.lines]


def _tried(found: Sequence[Line], network: str, eps: int, valid: Callable[[str], Sequence[int]]) -> list[Row]:
    """The row under each of the limits that it was measured with."""
    own = [line for line in found if (line.network, line.eps) == (network, eps)]
    return [_row(own, network, eps, limit, valid(network)) for limit in {line.limit for line in own}]


def _row(own: Sequence[Line], network: str, eps: int, limit: float | None, valid: Sequence[int]) -> Row:
    at = standing(own, limit)
    covered = takewhile(lambda image: (network, eps, image) in at, valid)
    return Row(network, eps, limit, tuple(at[network, eps, image] for image in covered), len(valid))


def _worth(row: Row) -> tuple[int, float]:
    return len(row.lines), _seconds(row.limit)


def _longer(one: float | None, other: float | None) -> bool:
    return _seconds(one) > _seconds(other)


def _seconds(limit: float | None) -> float:
    return float("inf") if limit is None else limit
