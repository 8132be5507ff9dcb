"""The semidefinite relaxation of one row over a box, and the linear algebra of its dual (Raghunathan, Steinhardt and Liang, 2018,
https://arxiv.org/abs/1811.01057; eliminating the inputs as their constraints leave them a diagonal block).

With v = (xi, 1, s) the row is ``<c, v>``, and what holds of every input is, for multipliers that are not negative,

    mu_j  * (1 - xi_j^2),    tau_i * s_i (1 - s_i),    nu_i * s_i (before_i - s_i),    beta_i * (s_i - before_i),    phi_k * fact_k.

Each is ``<A, v v'>``. If ``C - t E - sum y_a A_a`` is positive semidefinite (E is 1 at the entry of 1), then ``<c, v> >= t``.
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.rounding import Array
from netassay.verifiers.semidefinite.forms import Forms
from netassay.verifiers.semidefinite.matrices import Arrow, Factored

MU, TAU, NU, BETA, PHI = range(5)
"""Groups of multipliers: of inputs, ranges of neurons, their two pieces, the piece above, facts."""


def groups_of(forms: Forms) -> tuple[slice, ...]:
    """Where the groups stand among all multipliers."""
    neurons = len(forms.neurons)
    sizes = (forms.inputs, neurons, neurons, neurons, len(forms.facts.rows))
    ends = np.cumsum(sizes).tolist()
    return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))


class Program:
    """The relaxation of one row.

    Args:
        forms: The network.
        row: (D,) c.
    """

    def __init__(self, forms: Forms, row: Array) -> None:
        count, neurons = forms.inputs, len(forms.neurons)
        self.inputs, self.neurons, self.facts = count, neurons, len(forms.facts.rows)
        self.row_inputs, self.row_block = row[:count], row[count:]
        self._before_inputs, self._before_block = forms.before.rows[:, :count], forms.before.rows[:, count:]
        self._fact_inputs, self._fact_block = forms.facts.rows[:, :count], forms.facts.rows[:, count:]
        self._linear_inputs = np.ascontiguousarray(np.concatenate([self._before_inputs, self._fact_inputs]).T)
        self._linear_block = np.concatenate([self._before_block, self._fact_block]).T
        self.groups = groups_of(forms)
        self.multipliers = self.groups[PHI].stop
        self._products = (np.empty((count, count)), np.empty((count, count)))

    def combined(self, y: Array, t: float) -> Arrow:
        """``sum y_a A_a + t E``."""
        mu, tau, nu, beta, phi = (y[g] for g in self.groups)
        size = self.neurons + 1
        side, block = np.empty((self.inputs, size)), np.zeros((size, size))
        side[:, 0] = 0.5 * (phi @ self._fact_inputs - beta @ self._before_inputs)
        np.multiply(self._before_inputs.T, 0.5 * nu, out=side[:, 1:])
        half = (0.5 * nu)[:, None] * self._before_block
        block[1:] += half
        block[:, 1:] += half.T
        own = np.arange(1, size)
        block[own, own] -= tau + nu
        first = 0.5 * (phi @ self._fact_block - beta @ self._before_block)
        first[1:] += 0.5 * (tau + beta)
        block[0] += first
        block[:, 0] += first
        block[0, 0] += mu.sum() + t
        return Arrow(-mu, side, block)

    def slack(self, y: Array, t: float) -> Arrow:
        """``C - t E - sum y_a A_a``."""
        found = self.combined(-y, -t)
        found.side[:, 0] += 0.5 * self.row_inputs
        found.block[0] += 0.5 * self.row_block
        found.block[:, 0] += 0.5 * self.row_block
        return found

    def value(self, x: Arrow) -> float:
        """``<C, X>``."""
        return float(self.row_inputs @ x.side[:, 0] + self.row_block @ x.block[0])

    def best(self, y: Array) -> float:
        """The largest t for these multipliers, up to rounding; -inf if there is none."""
        slack = self.slack(y, 0.0)
        if not (slack.diagonal > 0).all():
            return -np.inf
        schur = slack.schur()
        try:
            lower = np.linalg.cholesky(schur[1:, 1:])
        except np.linalg.LinAlgError:
            return -np.inf
        solved = np.linalg.solve(lower, schur[1:, 0])
        found = float(schur[0, 0] - solved @ solved)
        return found if np.isfinite(found) else -np.inf

    def constraints(self, x: Arrow) -> Array:
        """(m,) every ``<A_a, X>``."""
        own, squares = np.arange(self.neurons), np.diag(x.block)[1:]
        mean = x.block[0, 1:]
        before = self._before_inputs @ x.side + self._before_block @ x.block
        facts = self._fact_inputs @ x.side[:, 0] + self._fact_block @ x.block[:, 0]
        return np.concatenate([x.block[0, 0] - x.diagonal, mean - squares, before[own, own + 1] - squares, mean - before[:, 0], facts])

    def curvature(self, x: Factored, z: Factored, out: Array) -> None:
        """(m + 1, m + 1) ``<A_a, X A_b Z>`` made symmetric, E last: how the constraints move with the multipliers."""
        count, m = self.inputs, self.multipliers
        between, other = self._products
        x.between(between)
        between *= z.between(other)
        between[np.arange(count), np.arange(count)] = x.diagonal * z.diagonal
        corner, crossing = x.block[0, 0] * z.block[0, 0], x.side[:, 0] * z.side[:, 0]
        between -= crossing
        np.add(between, (corner - crossing)[:, None], out=out[:count, :count])
        inner_x, cross_x = self._basis(x)
        inner_z, cross_z = self._basis(z)
        first = np.concatenate([np.tile(np.arange(1, self.neurons + 1), 2), np.zeros(self.neurons + self.facts, dtype=np.intp)])
        px, pz, qx, qz = inner_x[first], inner_z[first], self._second(inner_x), self._second(inner_z)
        mixed = self._second(px.T).T * self._second(pz.T)
        found = px[:, first] * self._second(qz.T)
        found += self._second(qx.T) * pz[:, first]
        found += mixed
        found += mixed.T
        out[count:m, count:m] = 0.125 * (found + found.T)
        ones = 0.5 * (px[:, 0] * qz[:, 0] + qx[:, 0] * pz[:, 0])
        crossed = cross_x[first] * self._second(cross_z)
        crossed += self._second(cross_x) * cross_z[first]
        np.subtract(ones[:, None], 0.5 * crossed, out=out[count:m, :count])
        out[:count, count:m] = out[count:m, :count].T
        out[m, :count] = out[:count, m] = corner - crossing
        out[m, count:m] = out[count:m, m] = ones
        out[m, m] = corner

    def _basis(self, x: Factored) -> tuple[Array, Array]:
        """X between the vectors 1, s, before and facts (1 + 2n + k of them), and between these and the inputs."""
        inner = x.factor.T @ self._linear_inputs + self._linear_block
        weighted = x.block @ inner
        inputs = x.rest[:, None] * self._linear_inputs + x.factor @ weighted
        linear = self._linear_inputs.T @ inputs + self._linear_block.T @ weighted
        return np.block([[x.block, weighted], [weighted.T, linear]]), np.concatenate([x.side, inputs], axis=1).T

    def _second(self, rows: Array) -> Array:
        """The rows of the second factor of every A, where the first is s, s, 1, 1: 1 - s, before - s, s - before, fact."""
        n = self.neurons
        s, before = rows[1 : n + 1], rows[n + 1 : 2 * n + 1]
        return np.concatenate([rows[0] - s, before - s, s - before, rows[2 * n + 1 :]])
