"""Subproblems that wait in branch and bound over neurons, in arrays that grow and reuse their places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.verifiers.propagation.steered import Rows
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array


@dataclass(slots=True, eq=False)
class Nodes:
    """N subproblems, each a part of the claim on the inputs at which every split neuron lies in its range.

    Args:
        rows: Their forms, splits, and the best slopes and multipliers known.
        part: (N,) which part of the claim.
        proved: (N,) a proved lower bound.
        estimate: (N,) the bound that the search believes in.
    """

    rows: Rows
    part: Positions
    proved: Array
    estimate: Array

    def __len__(self) -> int:
        return len(self.part)

    def take(self, positions: Positions) -> Nodes:
        return Nodes(self.rows.take(torch.from_numpy(positions)), self.part[positions], self.proved[positions], self.estimate[positions])


class Pool:
    """Nodes by their estimates; slopes are kept in half precision, since they only start the next ascent.

    Args:
        neurons: Columns of every row.
        outputs: Coefficients of every row.
        ranged: Whether splits have ends other than 0.
    """

    def __init__(self, neurons: int, outputs: int, *, ranged: bool) -> None:
        types: dict[str, tuple[type[np.generic], int]] = {
            "part": (np.intp, -1), "proved": (np.float64, -1), "start": (np.float32, outputs),
            "slope": (np.float16, neurons), "code": (np.int8, neurons), "multiplier": (np.float32, neurons),
        }  # fmt: skip
        if ranged:
            types |= {"low": (np.float32, neurons), "high": (np.float32, neurons)}
        self._types = types
        self._estimate = np.full(0, np.inf)
        self._kept: dict[str, NDArray[np.generic]] = {name: np.empty((0, n) if n >= 0 else 0, dtype) for name, (dtype, n) in types.items()}
        self._free: list[int] = []
        self.bytes_per_node = 8 + sum(np.dtype(dtype).itemsize * max(n, 1) for dtype, n in types.values())

    def __len__(self) -> int:
        return len(self._estimate) - len(self._free)

    @property
    def bytes(self) -> int:
        """What the arrays take, free places included."""
        return self.bytes_per_node * len(self._estimate)

    @property
    def proved(self) -> float:
        """The least proved bound of all nodes; inf where none waits."""
        return float(self._kept["proved"][np.isfinite(self._estimate)].min(initial=np.inf))

    @property
    def parts(self) -> Positions:
        """The parts that still have nodes."""
        return np.unique(self._kept["part"][np.isfinite(self._estimate)]).astype(np.intp)

    @property
    def estimate(self) -> float:
        """The least estimate."""
        return float(self._estimate.min(initial=np.inf))

    def add(self, nodes: Nodes) -> None:
        """Keeps nodes."""
        count = len(nodes)
        if count > len(self._free):
            self._grow(max(count - len(self._free), len(self._estimate) // 2, 256))
        places = np.array([self._free.pop() for _ in range(count)], dtype=np.intp)
        rows = nodes.rows
        self._estimate[places] = np.nan_to_num(nodes.estimate, nan=-1e30, neginf=-1e30, posinf=1e30)
        given = {"part": nodes.part, "proved": nodes.proved, "start": rows.start, "slope": rows.slope, "code": rows.code,
                 "multiplier": rows.multiplier, "low": rows.low, "high": rows.high}  # fmt: skip
        for name, array in self._kept.items():
            array[places] = np.asarray(given[name])

    def _grow(self, more: int) -> None:
        begin = len(self._estimate)
        self._estimate = np.concatenate([self._estimate, np.full(more, np.inf)])
        for name, array in self._kept.items():
            self._kept[name] = np.concatenate([array, np.empty((more, *array.shape[1:]), array.dtype)])
        self._free.extend(range(begin + more - 1, begin - 1, -1))

    def pop(self, count: int, *, deepest: bool = False) -> Nodes:
        """Takes out up to ``count`` nodes: those with the least estimates, or those nearest to being closed."""
        waiting = np.flatnonzero(np.isfinite(self._estimate))
        estimate = self._estimate[waiting]
        if count < len(waiting):
            order = np.argpartition(-estimate if deepest else estimate, count - 1)[:count]
            waiting = waiting[order]
        return self._taken(waiting)

    def pop_loosest(self, count: int) -> Nodes:
        """Takes out up to ``count`` nodes: those with the least proved bounds."""
        waiting = np.flatnonzero(np.isfinite(self._estimate))
        proved = np.asarray(self._kept["proved"][waiting], dtype=np.float64)
        return self._taken(waiting[np.argsort(proved, kind="stable")[:count]])

    def _taken(self, waiting: Positions) -> Nodes:
        taken = {name: array[waiting] for name, array in self._kept.items()}
        found = Nodes(self._rows(taken), taken["part"].astype(np.intp), taken["proved"].astype(np.float64), self._estimate[waiting])
        self._estimate[waiting] = np.inf
        self._free.extend(int(i) for i in waiting)
        return found

    def _rows(self, taken: dict[str, NDArray[np.generic]]) -> Rows:
        floats = {name: torch.from_numpy(np.asarray(a, dtype=np.float32)) for name, a in taken.items() if a.ndim == 2 and name != "code"}
        code = torch.from_numpy(np.asarray(taken["code"], dtype=np.int8))
        return Rows(floats["start"], floats["slope"], code, floats.get("low"), floats.get("high"), floats["multiplier"])
