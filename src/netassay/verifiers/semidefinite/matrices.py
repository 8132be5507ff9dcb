"""Symmetric matrices over v = (xi, b), b = (1, s), of which no entry between two inputs counts.

No constraint of the relaxation reads a product of two inputs, so its dual matrices have a diagonal block there, and of the primal matrix
only its other entries are needed: the completion of largest determinant stands for it (Fukuda et al., 2000, https://doi.org/10.1137/S1052623400366218).
Both kinds are ``diag(rest) + F block F'`` with F = (factor; I): everything costs products of N x (n + 1) matrices, not of N x N.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from netassay.verifiers.rounding import Array


@dataclass(frozen=True, slots=True, eq=False)
class Arrow:
    """The entries that count.

    Args:
        diagonal: (N,) of the inputs.
        side: (N, n + 1) between inputs and b.
        block: (n + 1, n + 1).
    """

    diagonal: Array
    side: Array
    block: Array

    def plus(self, factor: float, other: Arrow) -> Arrow:
        """``self + factor * other``."""
        return Arrow(self.diagonal + factor * other.diagonal, self.side + factor * other.side, self.block + factor * other.block)

    def dot(self, other: Arrow) -> float:
        """The inner product of two matrices, one of which is 0 elsewhere."""
        return float(self.diagonal @ other.diagonal + 2 * np.vdot(self.side, other.side) + np.vdot(self.block, other.block))

    def times(self, of_inputs: Array, of_block: Array) -> tuple[Array, Array]:
        """The product with columns, if the entries between inputs are 0."""
        return self.diagonal[:, None] * of_inputs + self.side @ of_block, self.side.T @ of_inputs + self.block @ of_block

    def schur(self) -> Array:
        """The block, less what the inputs take: as definite as the whole, if the entries between inputs are 0."""
        return self.block - (self.side / self.diagonal[:, None]).T @ self.side

    def inverse(self) -> Factored | None:
        """The inverse, if the entries between inputs are 0; None unless it is positive definite."""
        if not (self.diagonal > 0).all():
            return None
        block = _inverse(self.schur())
        return None if block is None else Factored(1 / self.diagonal, -self.side / self.diagonal[:, None], block)

    def completed(self) -> Factored | None:
        """The completion of largest determinant; None where there is none that is positive definite."""
        inverse = _inverse(self.block)
        if inverse is None:
            return None
        factor = self.side @ inverse
        rest = self.diagonal - np.einsum("ij,ij->i", factor, self.side)
        return Factored(rest, factor, self.block) if (rest > 0).all() else None


@dataclass(frozen=True, eq=False)
class Factored:
    """``diag(rest, 0) + F block F'`` with F = (factor; I), positive definite.

    Args:
        rest: (N,).
        factor: (N, n + 1).
        block: (n + 1, n + 1).
    """

    rest: Array
    factor: Array
    block: Array

    @cached_property
    def side(self) -> Array:
        """(N, n + 1) between inputs and b."""
        return np.asarray(self.factor @ self.block)

    @cached_property
    def diagonal(self) -> Array:
        """(N,) of the inputs."""
        return np.asarray(self.rest + np.einsum("ij,ij->i", self.side, self.factor))

    @property
    def arrow(self) -> Arrow:
        return Arrow(self.diagonal, self.side, self.block)

    def between(self, out: Array) -> Array:
        """(N, N) the entries between inputs, written to ``out``; the diagonal is another one."""
        return np.matmul(self.side, self.factor.T, out=out)

    def times(self, of_inputs: Array, of_block: Array) -> tuple[Array, Array]:
        """The product with columns."""
        inner = self.block @ (self.factor.T @ of_inputs + of_block)
        return self.rest[:, None] * of_inputs + self.factor @ inner, inner


def _inverse(matrix: Array) -> Array | None:
    """Of a symmetric matrix; None unless it is positive definite."""
    lower, failed = lapack.dpotrf(matrix.T, lower=1)
    if failed or not np.isfinite(lower).all():
        return None
    found, _ = lapack.dpotri(lower, lower=1)
    half = np.tril(found)
    return np.asarray(half + np.tril(half, -1).T)


def is_definite(matrix: Array) -> bool:
    """Whether a Cholesky factorisation ends."""
    lower, failed = lapack.dpotrf(matrix.T, lower=1)
    return not failed and bool(np.isfinite(lower).all())
