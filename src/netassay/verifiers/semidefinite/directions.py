"""What a step of the dual does to the primal matrix, to first and to second order, in the entries that count.

For the slack Z, its change -S, and the primal X of a primal-dual method with the direction of Helmberg et al. (1996,
https://doi.org/10.1137/0806020) and others: dX = sigma mu inverse(Z) - X + sym(X S inverse(Z)), less what the product of both changes
adds (Mehrotra, 1992).
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.rounding import Array
from netassay.verifiers.semidefinite.matrices import Arrow, Factored

Columns = tuple[Array, Array]
"""Rows of the inputs, and rows of b."""


class Move:
    """``Y = S Z``, for Z the inverse of the slack, and what it makes of X.

    X is ``diag(rest, 0) + F block F'``, so its columns of b are ``F block``: those of ``Y' X`` follow from ``Y' F``.

    Args:
        x, z: Of one iteration.
        s: A change of the slack, its sign turned.
    """

    def __init__(self, x: Factored, z: Factored, s: Arrow) -> None:
        self._x, self._z, self._s = x, z, s
        self._once = s.times(z.side, z.block)
        self._straight = x.times(*self._once)
        self._factor = self._backward((x.factor, np.eye(len(x.block))))
        self._turned = (self._factor[0] @ x.block, self._factor[1] @ x.block)
        self._scaled = s.diagonal * z.rest

    def _forward(self, columns: Columns) -> Columns:
        """Y times columns."""
        return self._s.times(*self._z.times(*columns))

    def _backward(self, columns: Columns) -> Columns:
        """Y' times columns."""
        return self._z.times(*self._s.times(*columns))

    def first(self) -> Arrow:
        """``sym(X Y)``."""
        x, z, s = self._x, self._z, self._s
        diagonal = x.rest * (s.diagonal * z.diagonal + _dots(s.side, z.side)) + _dots(x.side, self._factor[0])
        return _symmetric(diagonal, self._straight, self._turned)

    def second(self) -> Arrow:
        """``sym((sym(X Y) - X) Y)``: from the columns of b of ``X Y Y``, its transpose and ``Y' X Y``, and their diagonals."""
        x, z, s = self._x, self._z, self._s
        twice, both = x.times(*self._forward(self._once)), self._backward(self._straight)
        factor = self._backward(self._factor)
        reached = s.times(z.factor, np.eye(len(z.block)))
        weighted, scaled = reached[0] @ z.block, self._scaled
        own = _dots(weighted, z.factor)
        through = z.factor * scaled[:, None] + s.side * z.rest[:, None] + z.side @ (z.factor.T @ reached[0] + reached[1]).T
        squared = scaled * (scaled + own) + _dots(weighted, through)
        spread = reached[0].T @ (x.rest[:, None] * reached[0])
        diagonal = 0.5 * (x.rest * squared + _dots(x.side, factor[0])) - x.rest * (scaled + own) - _dots(x.side, self._factor[0])
        diagonal += 0.5 * (x.rest * scaled * (scaled + 2 * own) + _dots(z.side @ spread, z.side) + _dots(self._turned[0], self._factor[0]))
        ahead = tuple(0.5 * (t + b) - o for t, b, o in zip(twice, both, self._straight, strict=True))
        behind = tuple(0.5 * (f @ x.block + b) - o for f, b, o in zip(factor, both, self._turned, strict=True))
        return _symmetric(diagonal, (ahead[0], ahead[1]), (behind[0], behind[1]))


def _dots(one: Array, other: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", one, other))


def _symmetric(diagonal: Array, ahead: Columns, behind: Columns) -> Arrow:
    """Half the sum of a matrix and its transpose, from the columns of b of both."""
    block = ahead[1] + behind[1]
    return Arrow(diagonal, 0.5 * (ahead[0] + behind[0]), 0.25 * (block + block.T))
