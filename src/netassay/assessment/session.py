"""What the searching questions share while they run: the search's float32 records, confirmed in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.assessment.settings import Progress, Settings
from netassay.assessment.starts import StartPoints
from netassay.assessment.stopping import passed, target_text
from netassay.checking.replay import Replayer
from netassay.falsifiers.search import FALLING, RISING, Search
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.specs.problem import Problem
from netassay.specs.property import PropertyStack

CHECKPOINT = 1.5
"""Records are confirmed in float64 each time the queries have grown by this factor."""

FRAMES = 6
"""Pictures kept of a search on its way."""


@dataclass
class Confirmed:
    """Per direction and problem, the best value that float64 confirms, and how it was approached.

    Attributes:
        value: (2, B) rising maximum and falling minimum of the objective; NaN where nothing was found.
        points: The points, model shape and dtype; None where nothing was found.
        history: Per direction and problem, (queries, seconds, value) as they came.
        frames: Per problem, (s, point) on the way of the falling direction.
    """

    value: NDArray[np.float64]
    points: list[list[NDArray[np.floating] | None]]
    history: list[list[list[tuple[int, float, float]]]]
    frames: list[list[tuple[float, NDArray[np.floating]]]]


@dataclass
class Session:
    """One batch of problems under one question.

    Attributes:
        centers: s at each centre, float64, evaluated alone as replays are.
        nearest: Distance of each problem's nearest confirmed violation (``radius``), inf where there is none.
        nearest_point: Confirms the search's own nearest violation of a problem, and gives the nearest confirmed one (``radius``).
        started: Per problem, the start points as the network takes them.
        reached: Per problem, whether it has been searched until its target.
    """

    question: Question
    problems: Sequence[Problem]
    settings: Settings
    search: Search
    replayer: Replayer
    slopes: bool
    confirmed: Confirmed = field(init=False)
    centers: NDArray[np.float64] = field(init=False)
    nearest: NDArray[np.float64] = field(init=False)
    nearest_point: Callable[[int], NDArray[np.floating] | None] = field(init=False, default=lambda _: None)
    started: list[list[NDArray[np.floating]]] = field(init=False)
    reached: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.problems)
        self.nearest = np.full(count, np.inf)
        self.started = [[] for _ in range(count)]
        self.reached = np.zeros(count, dtype=bool)
        self._moved = [0] * count
        self._kept: list[list[list[tuple[float, NDArray[np.floating]]]]] = [[[] for _ in range(count)] for _ in range(2)]
        self.confirmed = Confirmed(
            np.full((2, count), np.nan),
            [[None] * count, [None] * count],
            [[[] for _ in range(count)] for _ in range(2)],
            [[] for _ in range(count)],
        )
        self._stack = PropertyStack([p.property for p in self.problems])
        own = self.replayer.network
        self._exact = own if own.dtype == "float64" else (own.in_float64() or own)
        self.centers = np.array([self.replayer.value(p, p.center) for p in self.problems], dtype=np.float64)
        self._next_checkpoint = 0.0
        self._last_progress = 0.0
        self.search.on_step = self._on_step
        self.search.interrupted = self.settings.interrupted

    def start_from(self, starts: Sequence[StartPoints]) -> None:
        """Evaluates start points, one entry per problem, and confirms them in float64: the answers will not be worse than they are."""
        space = self.search.space
        flat = [s.points.reshape(len(s.points), space.size)[:, space.free_numpy] for s in starts]
        free = [torch.as_tensor(rows, dtype=space.dtype, device=space.device) for rows in flat]
        self.search.begin_with(free)
        self._moved = [s.moved for s in starts]
        self.started = [[self.full_point(b, row) for row in rows] for b, rows in enumerate(free)]
        for b, points in enumerate(self.started):
            values = self.exact_values(np.full(len(points), b), np.stack(points)) if points else np.zeros(0)
            for point, value in zip(points, values.tolist(), strict=True):
                self._take(RISING, b, point, value)
                self._take(FALLING, b, point, value)
            self._keep(b)
        self._end_where_reached()

    def candidates(self, direction: int, b: int) -> list[tuple[float, NDArray[np.floating]]]:
        """(objective, point) that a direction's answer may be, best first: replays may rank points apart that batches hardly tell apart."""
        best = self.confirmed.points[direction][b]
        own = [] if best is None else [(float(self.confirmed.value[direction, b]), best)]
        return own + [(value, point) for value, point in self._kept[direction][b] if point is not best]

    def _keep(self, b: int) -> None:
        """What is confirmed now stays a candidate, whatever is found later."""
        for direction in (RISING, FALLING):
            self._kept[direction][b] += [
                c for c in self.candidates(direction, b)[:1] if not any(c[1] is k for _, k in self._kept[direction][b])
            ]

    def exact_values(self, owners: NDArray[np.int64], points: NDArray[np.floating]) -> NDArray[np.float64]:
        """s at points (N, *shape) of problems ``owners``, batched, in the most exact arithmetic of the network."""
        dtype = torch.float32 if self._exact.dtype == "float32" else torch.float64
        found = []
        for i in range(0, len(points), 64):
            rows = torch.as_tensor(points[i : i + 64], dtype=dtype, device=self._exact.device)
            with torch.no_grad():
                scores = self._exact.scores(rows, self._stack.on)
                found.append(self._stack.values(scores, torch.as_tensor(owners[i : i + 64], device=rows.device)).double().cpu().numpy())
        return np.concatenate(found) if found else np.zeros(0)

    def full_point(self, owner: int, free: torch.Tensor) -> NDArray[np.floating]:
        """The whole input from the free features (k,) of a problem.

        In the network's dtype, unless that cannot hold a feature that does not move: then in float64.
        """
        space = self.search.space
        exact: NDArray[np.floating] = space.centers_numpy[owner].copy()
        exact[space.free_numpy] = free.cpu().numpy()
        narrow = exact.astype(self.replayer.network.dtype)
        return (narrow if np.array_equal(narrow, exact) else exact).reshape(space.shape)

    def _on_step(self, search: Search) -> None:
        done = float(search.used.mean())
        if done >= self._next_checkpoint:
            self.confirm()
            self._next_checkpoint = done * CHECKPOINT
        if self.settings.stop is not None or self._promising():
            self.confirm()
            found = search.records.nearest.cpu().numpy()
            for b in np.flatnonzero(found < self.nearest.astype(found.dtype)).tolist():
                self.nearest_point(b)
        self.report()
        self._ask_caller()

    def report(self, *, force: bool = False) -> None:
        """Ends what has reached its target, and tells the caller where things stand, at most four times a second."""
        self._end_where_reached()
        now = self.search.clock.elapsed
        if self.settings.progress is None or (not force and now - self._last_progress < 0.25):
            return
        self._last_progress = now
        try:
            self.settings.progress(self._standing())
        except KeyboardInterrupt:
            self.search.stopped = True

    def _standing(self) -> Progress:
        budget = self.settings.budget
        total = None if budget.queries is None else budget.queries * self.settings.problems
        done = self.settings.done + int(self.search.used.sum())
        return Progress(self.question, done, total, self.search.clock.elapsed, budget.seconds, tuple(self.lines()))

    def _ask_caller(self) -> None:
        """A caller who has seen enough ends the search of all problems."""
        if self.settings.stop is None:
            return
        try:
            if self.settings.stop(self._standing()):
                self.search.finished[:] = True
        except KeyboardInterrupt:
            self.search.stopped = True

    def _promising(self) -> bool:
        """Whether float32 has reached a target, so that float64 should be asked."""
        if self.settings.target is None:
            return False
        records = self.search.records
        rising, falling = records.merit.double().cpu().numpy()
        return bool((self._passed(rising, -falling, records.nearest.double().cpu().numpy()) & ~self.search.finished).any())

    def _passed(self, rising: NDArray[np.float64], falling: NDArray[np.float64], nearest: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self.settings.target is None:
            return np.zeros(len(self.problems), dtype=bool)
        return passed(self.question, self.settings.target, rising, falling, nearest - self._beyond)

    @property
    def _beyond(self) -> int:
        """How much farther a witness lies than the radius that it leaves: n changes leave n - 1 that may be safe."""
        return 1 if self.search.space.norm is Norm.L0 else 0

    def _end_where_reached(self) -> None:
        """Problems whose attained side has reached the target are finished, once a replay agrees."""
        rising, falling = self.confirmed.value
        for b in np.flatnonzero(self._passed(rising, falling, self.nearest) & ~self.search.finished).tolist():
            if self._replays(b):
                self.reached[b] = self.search.finished[b] = True
                self._keep(b)

    def _replays(self, b: int) -> bool:
        """Whether the points that have reached the target do so when they are evaluated alone, as the answer's will be."""
        if self.question is Question.RADIUS:
            point = self.nearest_point(b)
            return point is not None and self.replayer.replay(self.problems[b], point).confirmed
        alone = np.array([[self._alone(direction, b)] for direction in (RISING, FALLING)])
        return bool(self._passed(alone[0], alone[1], np.full(1, np.inf))[0])

    def _alone(self, direction: int, b: int) -> float:
        """The objective of a direction's best point, evaluated alone; NaN where there is none."""
        point = self.confirmed.points[direction][b]
        if point is None:
            return np.nan
        return self.objective(b, point, self.replayer.value(self.problems[b], point))

    def objective(self, b: int, point: NDArray[np.floating], value: float) -> float:
        """What is sought at a point where s is ``value``: that, or the slope from the centre; NaN at the centre itself."""
        if not self.slopes:
            return value
        distance = float(self.problems[b].ball.distance(np.asarray(point, dtype=np.float64)[None])[0])
        return (value - float(self.centers[b])) / distance if distance > 0 else np.nan

    def lines(self) -> list[tuple[int | None, float | None, float | None]]:
        """Best bounds so far, one line per problem."""
        if self.question is Question.RADIUS:
            least = np.maximum(0.0, self.nearest - self._beyond)
            return [(p.index, None, float(d) if np.isfinite(d) else None) for p, d in zip(self.problems, least, strict=True)]
        rising, falling = self.confirmed.value
        rows: list[tuple[int | None, float | None, float | None]] = []
        for i, problem in enumerate(self.problems):
            high, low = _known(rising[i]), _known(falling[i])
            if self.slopes:
                found = [abs(v) for v in (high, low) if v is not None]
                rows.append((problem.index, max(found, default=None), None))
            else:
                rows.append((problem.index, low, high))
        return rows

    def confirm(self) -> None:
        """Re-evaluates changed records in float64; only what survives counts."""
        records = self.search.records
        if self.question is Question.RADIUS:
            records.changed[RISING] = False  # only the falling side has pictures to keep
        pairs = np.argwhere(records.changed)
        records.changed[:] = False
        if not len(pairs):
            return
        points = np.stack([self.full_point(int(b), records.points[d, b]) for d, b in pairs])
        values = self.exact_values(pairs[:, 1], points)
        for (direction, b), point, value in zip(pairs.tolist(), points, values.tolist(), strict=True):
            self._take(direction, b, point, value)

    def _take(self, direction: int, b: int, point: NDArray[np.floating], value: float) -> None:
        region = self.problems[b].region
        wide = np.asarray(point, dtype=np.float64)[None]
        if not np.isfinite(value) or not region.contains(wide)[0]:
            return
        objective = self.objective(b, point, value)
        kept = self.confirmed.value[direction, b]
        better = not np.isnan(objective) and (np.isnan(kept) or (objective > kept if direction == RISING else objective < kept))
        if not better:
            return
        self.confirmed.value[direction, b] = objective
        self.confirmed.points[direction][b] = point
        self.confirmed.history[direction][b].append((int(self.search.used[b]), self.search.clock.elapsed, objective))
        if direction == FALLING and not self.slopes and len(self.problems) <= 256:
            self.confirmed.frames[b].append((value, point))

    def notes(self) -> tuple[str, ...]:
        """What a reader should know beside the numbers."""
        count = self.search.records.not_a_number
        said = f"the network gave NaN at {count:,} of the points searched in this batch: these are neither safe nor witnesses"
        return (said,) if count else ()

    def said_of(self, b: int) -> tuple[str, ...]:
        """What a reader should know of one problem: where it was begun, and why it was ended."""
        return tuple(text for text in (self._start_note(b), self._end_note(b)) if text)

    def _start_note(self, b: int) -> str:
        moved, count = self._moved[b], len(self.started[b])
        return f"{moved} of {count} start points lay outside the region and were moved to its nearest point" if moved else ""

    def _end_note(self, b: int) -> str:
        target, stop = self.settings.target, self.settings.stop
        if self.reached[b] and target is not None:
            return f"the search was stopped at its target ({target_text(target)}); with the rest of its budget it may find more"
        if stop is not None and stop.said:
            return "the search was stopped by the caller's rule; with the rest of its budget it may find more"
        if self.search.exhausted[b] and self.search.room[b] > 0:
            return "the search found no new point to evaluate and ended before its budget was spent"
        return ""

    def frames(self, b: int) -> tuple[tuple[float, NDArray[np.floating]], ...]:
        """A few pictures of the way down, from the centre to the best point."""
        way = [(float(self.centers[b]), self.problems[b].center), *self.confirmed.frames[b]]
        if len(way) <= FRAMES:
            return tuple(way)
        targets = np.linspace(way[0][0], way[-1][0], FRAMES)
        picked = sorted({int(np.argmin([abs(v - t) for v, _ in way])) for t in targets})
        return tuple(way[i] for i in picked)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
