"""The maximum safe radius from above (DeepQuant, Definition 4): the nearest witness of any property, in any norm."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.assessment.answers import session_common
from netassay.assessment.descent import Descent
from netassay.assessment.session import Session
from netassay.assessment.traces import clipped_trace
from netassay.falsifiers.base import Method
from netassay.falsifiers.search import FALLING, Search
from netassay.falsifiers.space import Arms, Space
from netassay.falsifiers.sparse.swaps import swap_once
from netassay.numerics.norms import Norm
from netassay.results.answer import Outcome, RadiusAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.witness import Witness
from netassay.specs.problem import Problem

LADDER = 8
"""Balls tried at once, each half as wide as the one before."""

OPENING, ROUND, DESCENT = (0.2, 1000), (0.08, 600), (0.6, 6000)
"""Share of the budget, and most queries, for the ladder and for the first of the rounds and of the descents that follow."""

L0_OPENING = (0.9, 6000)
"""The same for the beams that L0 searches begin with."""

GROWTH, DESCENT_GROWTH = 1.3, 2.0
"""By how much the most queries grow from one round or descent to the next, so that large budgets are searched in large pieces."""

BACK_OFF = (1 + 1e-6, 1 + 1e-5, 1 + 1e-4, 1 + 1e-3, 1 + 1e-2)
"""How far a witness on the boundary is moved outwards until every arithmetic sees the violation."""

IDLE_ROUNDS = 3
"""Rounds in a row without a new point, each between other radii, after which the search ends."""

GRID = 16
"""Points on the segment from the centre to a witness, per pass of the walk to the boundary."""


def radius(session: Session, method: Method, labels: list[int | None]) -> list[RadiusAnswer]:
    """Looks for violations in growing and shrinking balls at once.

    A ladder of balls is searched side by side; the smallest with a violation and the largest without one frame
    each problem's boundary. Descents (see ``descent``; for L0 they come before the ladder, too) then bring the nearest violations
    nearer, in turn with rounds between the two sides of the frame, which start from the witness pulled into the smaller balls.
    Every new witness is walked along its ray to the boundary (L0: its superfluous changes are undone). When the frame has closed,
    the ball just inside the witness is searched again with fresh random numbers.
    """
    walk = _Walk(session)
    search = session.search
    walk.begin()
    ladder, descent = walk.ladder(), Descent(session)
    descent.open(_queries(session, *L0_OPENING), _seconds(session, L0_OPENING[0]))
    walk.settle()
    queries, seconds = _queries(session, *OPENING), _seconds(session, OPENING[0])
    search.run(method, ladder, queries=queries, seconds=seconds, starts=search.starting_points(ladder))
    walk.settle()
    most, longest, idle = float(ROUND[1]), float(DESCENT[1]), 0
    while not search.stopped and not search.clock.expired and search.room.max() > 0 and idle < IDLE_ROUNDS:
        before = search.seen
        if walk.finished:
            break
        descent.run(_queries(session, DESCENT[0], longest), _seconds(session, DESCENT[0]))
        longest *= DESCENT_GROWTH
        walk.settle()
        arms, starts = walk.between()
        search.run(method, arms, queries=_queries(session, ROUND[0], most), seconds=_seconds(session, ROUND[0]), starts=starts)
        most *= GROWTH
        walk.settle()
        idle = idle + 1 if search.seen == before else 0
    return [_answer(session, walk, b, labels[b]) for b in range(len(session.problems))]


def _queries(session: Session, share: float, most: float) -> int:
    queries = session.settings.budget.queries
    return int(most if queries is None else max(1.0, min(most, queries * share)))


def _seconds(session: Session, share: float) -> float | None:
    seconds = session.settings.budget.seconds
    return None if seconds is None else seconds * share


class _Walk:
    """Each problem's frame: the largest radius without, the smallest with a violation."""

    def __init__(self, session: Session) -> None:
        self._session, self._search = session, session.search
        space = session.search.space
        self.discrete = space.norm is Norm.L0
        self.limit = space.radii.copy()
        self.found = np.full(len(self.limit), np.inf)
        self.points: list[NDArray[np.floating] | None] = [None] * len(self.limit)
        self.history: list[list[tuple[int, float, float]]] = [[] for _ in self.limit]
        self.clear = np.zeros(len(self.limit))
        self.begun: list[NDArray[np.floating] | None] = [None] * len(self.limit)
        self._tried: list[NDArray[np.float64]] = []
        session.nearest_point = self.nearest_point

    def begin(self) -> None:
        """Takes in the start points that are violations, and walks the nearest of them to the boundary."""
        for b, points in enumerate(self._session.started):
            if points:
                self._confirm(b, np.stack(points))
        self.begun = list(self.points)
        self._session.report()
        self.settle()

    def nearest_point(self, b: int) -> NDArray[np.floating] | None:
        """The nearest confirmed violation of problem b, the search's own record included."""
        self._take(b)
        return self.points[b]

    def ladder(self) -> Arms:
        """Falling arms at the limit and at halves of it."""
        rungs = self.limit[:, None] * 2.0 ** -np.arange(LADDER)[None]
        return self._falling(rungs)

    def _falling(self, radii: NDArray[np.float64]) -> Arms:
        if self.discrete:
            radii = np.maximum(1, np.ceil(radii))
        self._tried = list(radii)
        count = radii.shape[1]
        return self._search.arms(np.repeat(np.arange(len(radii)), count), np.full(radii.size, -1.0), radii.reshape(-1))

    def between(self) -> tuple[Arms, Tensor]:
        """Falling arms between the frame's two sides, and the witness as their start point."""
        upper = np.where(np.isfinite(self.found), self.found, self.limit)
        closed = upper - self.clear <= np.maximum(0.01 * upper, 1 if self.discrete else 0)
        self.clear[closed] = 0.5 * upper[closed]
        shares = np.array([0.5, 0.8, 0.95])
        radii = self.clear[:, None] + (upper - self.clear)[:, None] * shares
        radii[~np.isfinite(self.found)] = self.limit[~np.isfinite(self.found), None] * np.array([0.25, 0.5, 1.0])
        if self.discrete:
            radii = np.minimum(np.ceil(radii), np.maximum(1, upper - 1)[:, None])
        arms = self._falling(radii)
        return arms, self._starts(arms, radii.shape[1])

    def _starts(self, arms: Arms, each: int) -> Tensor:
        space = self._search.space
        free = self._search.records.points[FALLING].clone()  # without a witness: where s was least
        for b, point in enumerate(self.points):
            if point is not None:
                free[b] = torch.as_tensor(point.reshape(-1)[space.free_numpy], dtype=space.dtype, device=space.device)
        lanes = torch.arange(len(arms), device=space.device)
        return arms.pull(lanes, arms.units(lanes, free[lanes // each].unsqueeze(1)))

    @property
    def finished(self) -> bool:
        """Whether nothing can improve: L0 witnesses of a single change."""
        return self.discrete and bool((self.found <= 1).all())

    def settle(self) -> None:
        """Walks new witnesses to the boundary, confirms them in float64, and updates the frames."""
        records = self._search.records
        changed = np.flatnonzero(records.nearest_changed)
        if len(changed) and not self._search.stopped:
            self._approach(changed)
        for b in np.flatnonzero(records.nearest_changed).tolist():
            self._take(b)
        records.nearest_changed[:] = False
        for b, tried in enumerate(self._tried):
            failed = tried[tried < self.found[b] * (1 - 1e-6)]
            self.clear[b] = max(self.clear[b], failed.max(initial=0.0)) if self.found[b] > self.clear[b] else failed.max(initial=0.0)
        self._session.report()

    def _approach(self, changed: NDArray[np.int64]) -> None:
        if self.discrete:
            _undo_changes(self._search, changed)
            _swap_changes(self._search, changed)
        else:
            _walk_rays(self._search, changed)

    def _take(self, b: int) -> None:
        """Confirms the nearest violation of problem b, moving it outwards as little as needed."""
        session, records = self._session, self._search.records
        self._confirm(b, _outwards(session.problems[b], session.full_point(b, records.nearest_points[b]), self._search.space))
        records.nearest[b] = self.found[b]  # what float64 refuses does not stand in the way of others

    def _confirm(self, b: int, points: NDArray[np.floating]) -> None:
        """Accepts the nearest of the points (N, *shape) that float64 and the network itself confirm."""
        problem = self._session.problems[b]
        exact = self._session.exact_values(np.full(len(points), b), points)
        single = self._own_values(b, points)
        inside = problem.region.contains(points.astype(np.float64))
        for i in np.flatnonzero(inside):
            if problem.property.is_violated(float(exact[i])) and problem.property.is_violated(float(single[i])):
                self._accept(b, points[i])

    def _own_values(self, b: int, points: NDArray[np.floating]) -> NDArray[np.float64]:
        return self._session.replayer.values(self._session.problems[b], points, self._session.replayer.engines[0])

    def _accept(self, b: int, point: NDArray[np.floating]) -> None:
        distance = float(self._session.problems[b].ball.distance(point.astype(np.float64)[None])[0])
        if distance < self.found[b]:
            self.found[b], self.points[b] = distance, point
            self.history[b].append((int(self._search.used[b]), self._search.clock.elapsed, distance))
            self._session.nearest[b] = distance


def _outwards(problem: Problem, point: NDArray[np.floating], space: Space) -> NDArray[np.floating]:
    """The point, and the same a little further out (``BACK_OFF``) without leaving the domain; discrete points stay alone."""
    if space.norm is Norm.L0 or space.snaps:
        return point[None]
    center, box = problem.center.astype(point.dtype), problem.ball.domain
    moved = np.stack([center + (point - center) * factor for factor in BACK_OFF])
    clipped = np.clip(moved.astype(np.float64), box.lower, box.upper).astype(point.dtype)
    return np.concatenate([point[None], clipped])


def _walk_rays(search: Search, changed: NDArray[np.int64], passes: int = 4) -> None:
    """A grid on the segment from the centre to each witness, refined between its last safe and its first violating point."""
    space, records = search.space, search.records
    changed = changed[search.room[changed] >= passes * GRID]
    if not len(changed):
        return
    at = torch.as_tensor(changed, device=space.device)
    rows = torch.arange(len(at), device=space.device)
    center = space.free_centers[at]
    safe, far = center, records.nearest_points[at].clone()
    shares = torch.linspace(0.0, 1.0, GRID + 1, dtype=space.dtype, device=space.device)[1:].view(1, -1, 1)
    for _ in range(passes):
        points = torch.lerp(safe.unsqueeze(1), far.unsqueeze(1), shares)
        if space.snaps:
            points = space.snap(points, center.unsqueeze(1))
        violated, distance = _probe(search, at, points)
        first = torch.where(violated.any(dim=1), violated.int().argmax(dim=1), GRID - 1)
        safe = torch.where((first > 0).unsqueeze(1), points[rows, (first - 1).clamp(min=0)], safe)
        far = points[rows, first]
        best, i = torch.where(violated, distance, torch.inf).min(dim=1)
        records.offer_violations(at, best, points[rows, i])


def _probe(search: Search, at: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Violated (P, m) and distance (P, m) of free features (P, m, k); counted as queries."""
    count, width, _ = points.shape
    values, _ = search.values(at.repeat_interleave(width), points.reshape(count * width, -1))
    search.used[at.cpu().numpy()] += width
    violated = search.violated(values.reshape(count, width))
    offsets = (points - search.space.free_centers[at].unsqueeze(1)) / search.space.scale
    return violated, search.space.lengths(offsets)


def _undo_changes(search: Search, changed: NDArray[np.int64]) -> None:
    """L0: undoes every change of a witness that is not needed, least harmful first, in batches."""
    for b in changed.tolist():
        while search.room[b] > 0 and not search.clock.expired and not search.interrupted() and _undo_once(search, b):
            pass


def _swap_changes(search: Search, changed: NDArray[np.int64]) -> None:
    """L0: exchanges two changes of a witness for one other as long as that works; then undoes what is no longer needed."""
    for b in changed.tolist():
        while search.room[b] > 0 and not search.clock.expired and not search.interrupted() and swap_once(search, b):
            _undo_changes(search, np.array([b]))


def _undo_once(search: Search, b: int) -> bool:
    """Tries each single undoing, then growing sets of the least harmful ones; True if a change could be undone."""
    space, records = search.space, search.records
    center, point = space.free_centers[b], records.nearest_points[b]
    groups = _changed_groups(search, b)
    if len(groups) <= 1 or search.room[b] < 2 * len(groups):
        return False
    at = torch.tensor([b], device=space.device)
    singles = torch.where(groups, center, point)
    values, _ = search.values(at.expand(len(groups)), singles)
    search.used[b] += len(groups)
    order = torch.argsort(values)
    masks = groups[order].cumsum(dim=0, dtype=torch.uint8) > 0  # groups are disjoint: no sum exceeds 1
    violated, distance = _probe(search, at, torch.where(masks, center, point).unsqueeze(0))
    best, i = torch.where(violated, distance, torch.inf)[0].min(dim=0)
    if not bool(best < records.nearest[b]):
        return False
    records.offer_violations(at, best.unsqueeze(0), torch.where(masks[i], center, point).unsqueeze(0))
    return True


def _changed_groups(search: Search, b: int) -> Tensor:
    """Masks (g, k) of the changed features, pixels or blocks of the nearest witness, least moved first, as many as fit in memory."""
    space = search.space
    offset = (search.records.nearest_points[b] - space.free_centers[b]) / space.scale
    groups = torch.arange(space.dimension) if space.groups is None else torch.as_tensor(space.groups)
    groups = groups.to(offset.device)
    sizes = space.group_totals(offset.abs())
    changed = sizes.nonzero().squeeze(1)
    least = changed[sizes[changed].argsort(stable=True)][: search.rows]
    return (groups.unsqueeze(0) == least.unsqueeze(1)) & (offset != 0)


def _replayed(session: Session, b: int, point: NDArray[np.floating]) -> Witness | None:
    """The nearest form of the point that every engine confirms; failing that, the nearest that the exact one does, which is marked."""
    problem, replayer = session.problems[b], session.replayer
    doubtful = None
    for candidate in _outwards(problem, point, session.search.space):
        replay = replayer.replay(problem, candidate)
        if replay.confirmed:
            return replayer.witness(problem, candidate, replay)
        if doubtful is None and replay.inside and replay.violated[replayer.exact.name]:
            doubtful = replayer.witness(problem, candidate, replay)
    return doubtful


def _answer(session: Session, walk: _Walk, b: int, label: int | None) -> RadiusAnswer:
    found, begun = walk.points[b], walk.begun[b]
    replayed = [_replayed(session, b, p) for p in (found, None if begun is found else begun) if p is not None]
    bracket, outcome = Bracket(End.UPPER), Outcome.NO_WITNESS
    witness = min((w for w in replayed if w is not None), key=lambda w: w.distance or 0.0, default=None)
    if witness is not None:
        distance = float(witness.distance or 0.0)
        value = max(0.0, distance - 1) if walk.discrete else distance
        arithmetic = session.replayer.exact.arithmetic
        bracket = bracket.tighten(End.UPPER, Side(value, Guarantee.ATTAINED, session.settings.method, arithmetic))
        outcome = Outcome.MEASURED
    shown = [(q, t, v - 1 if walk.discrete else v) for q, t, v in walk.history[b]]
    return RadiusAnswer(
        **session_common(session, b, outcome=outcome, label=label),
        bracket=bracket,
        witness=witness,
        trace=clipped_trace(shown, End.UPPER, bracket.upper, session, b),
        frames=session.frames(b),
    )
