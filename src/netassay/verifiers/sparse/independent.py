"""The greatest sum of so many numbers of which no two interact."""

from __future__ import annotations

import numpy as np

from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.local_forms import Groups
from netassay.verifiers.sparse.reach import Bools


def independent_sums(drops: Array, interacts: Bools, most: int) -> list[float]:
    """For k = 0 .. ``most`` the greatest sum of k of the numbers (g,), none negative, no two of which interact; exact search.

    Where fewer can be chosen, the sum of those.
    """
    return [independent_set(drops, interacts, k)[0] for k in range(most + 1)]


def independent_set(drops: Array, interacts: Bools, count: int) -> tuple[float, Groups]:
    """The greatest such sum, and which numbers it is of.

    Depth-first, the greatest numbers first; a branch ends where its next numbers cannot make it better than the best.
    """
    order = np.argsort(-drops, kind="stable")
    value, allowed = drops[order], ~interacts[np.ix_(order, order)]
    best: tuple[float, Groups] = (0.0, ())
    stack: list[tuple[float, Groups, int, Bools]] = [(0.0, (), 0, np.ones(len(value), dtype=np.bool_))]
    while stack:
        total, chosen, begin, free = stack.pop()
        if total > best[0]:
            best = (total, chosen)
        left = count - len(chosen)
        rest = np.flatnonzero(free[begin:]) + begin
        if left and len(rest) and total + float(value[rest[:left]].sum()) > best[0]:
            i = int(rest[0])
            stack.append((total, chosen, i + 1, free))
            stack.append((total + float(value[i]), (*chosen, i), i + 1, free & allowed[i]))
    return best[0], tuple(int(order[i]) for i in best[1])
