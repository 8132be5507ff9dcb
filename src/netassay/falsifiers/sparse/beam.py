"""A beam search for the fewest changed groups of features that violate a property (L0), with or without gradients.

Every group is moved alone to the corners of its range, as far as the queries go (DeepTRE's sensitivities at t = 1); where they do
not go far enough, gradients choose which. What a move takes off the guides (the margins over each rival label) is taken to add up.
So with one change fewer than the best witness has, sets grow move by move, those first whose guide would fall lowest if
the best moves were added that are left to them. What a set really gives replaces what was expected, for it and for all sets that
grow from it. A beam that finds nothing is tried again twice as wide.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.allowance import Allowance
from netassay.falsifiers.sparse.moves import Moves

SINGLES = 0.7
"""Share of the queries that single moves may take."""

WIDTH, BRANCHES = 4, 8
"""Sets kept of the first beam, and how many children of each are tried in the mean."""

TRUST = 0.5
"""Weight of the gradient at a set, beside what was measured at its ancestors and their children."""

SOON = 0.1
"""Weight of what a set gives at once, beside what it would give with the best moves added: else the orders of the same moves would tie."""

NUMBERS = 2_000_000
"""Most expected gains of one beam: no beam gets wider than that."""

LOOKED = 3
"""Of so many times the children that are wanted, those that repeat a set are left out."""

Sets = list[tuple[int, ...]]


@dataclass(slots=True, eq=False)
class Beam:
    """N sets of moves, their guides (N, T), and what each of the M moves is expected to take off those: (N, M, T)."""

    sets: Sets
    guides: Tensor
    gains: Tensor


@dataclass(slots=True, eq=False)
class BeamSearch:
    """The search of one problem; it can be continued.

    Args:
        search: Evaluates, counts, and keeps the nearest violations.
        b: The problem.
        gradients: Whether gradients may be used.
    """

    search: Search
    b: int
    gradients: bool
    moves: Moves = field(init=False)
    root: Beam | None = None
    width: int = WIDTH
    allowance: Allowance = field(init=False)
    known: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moves, self.allowance = Moves.of(self.search, self.b), Allowance(self.search, self.b)

    def run(self, queries: int, seconds: float | None = None) -> None:
        """Looks for nearer violations until the queries, the seconds or the widest beam are spent."""
        self.allowance.begin(queries, seconds)
        if not len(self.moves) or self.allowance.left < 1:
            return
        if self.root is None:
            self.root = self._begun()
        if not self.allowance.found(self.search.space.group_count):
            self._add_up(self.root)
        widest = max(WIDTH, NUMBERS // self.root.gains.numel())
        while self.allowance.going and self.width <= widest and (size := self.allowance.wanted) >= 1:
            if not self._descend(self.root, size):
                self.width *= 2
        if self.allowance.too_large(len(self.known)):
            self.known.clear()

    def _begun(self) -> Beam:
        """The empty set, and the gains of single moves: measured, expected by the gradients, or 0 where neither was affordable."""
        (rivals,), count = self._evaluated([()]), len(self.moves)
        gains, order = rivals.new_zeros(count, len(rivals)), torch.randperm(count, generator=self.search.generator, device=rivals.device)
        affordable = int(SINGLES * self.allowance.left)
        if count > affordable and self.gradients and self.allowance.left > 4 * len(rivals):
            gains = self._expected(self.moves.center.expand(len(rivals), -1), torch.arange(len(rivals))).T.contiguous()
            order = (gains / rivals.abs().clamp_min(1e-30)).amax(dim=1).argsort(descending=True)
            affordable //= 2
        singles = order[:affordable].sort().values
        measured = self._evaluated([(m,) for m in singles.tolist()])
        if len(measured):
            gains[singles[: len(measured)]] = rivals - measured
        return Beam([()], rivals.unsqueeze(0), gains.unsqueeze(0))

    def _add_up(self, root: Beam) -> None:
        """The best moves of every group, applied one after the other, for each rival; the shortest runs of all rivals come first."""
        best, at = self._best_of_groups(root.gains[0])
        order = best.argsort(dim=0, descending=True, stable=True)
        needed = (best.gather(0, order).cumsum(dim=0) < root.guides[0]).sum(dim=0)
        sizes = sorted({min(len(best), int(2 ** (k / 2))) for k in range(2 * len(best).bit_length() + 1)})
        ranked = needed.argsort(stable=True).tolist()
        runs = [(r, size) for r in ranked[:3] for size in sizes if size >= int(needed[r]) / 4] + [(r, len(best)) for r in ranked[3:]]
        moves = at.gather(0, order)
        self._evaluated([tuple(sorted(moves[:size, r].tolist())) for r, size in sorted(runs, key=lambda run: run[1])])

    def _descend(self, root: Beam, size: int) -> bool:
        """Grows sets of ``size`` moves; True if one of them, or of their subsets, is a violation."""
        beam = root
        for left in reversed(range(size)):
            sets, parents, moves = self._children(beam, left)
            guides = self._evaluated(sets)
            if self.allowance.found(size):
                return True
            if not self.allowance.going or not len(guides):
                return False
            beam = self._grown(beam, sets[: len(guides)], parents[: len(guides)], moves[: len(guides)], guides, left)
        return False

    def _children(self, beam: Beam, left: int) -> tuple[Sets, Tensor, Tensor]:
        """The most promising sets of one move more, their parents in the beam, and those moves; at the end only sets not known yet."""
        wanted = max(BRANCHES, min(self.width * BRANCHES, self.allowance.left // (2 * (left + 1))))
        after = beam.guides.unsqueeze(1) - beam.gains
        score = (after - self._rest(beam, left) + SOON * after).amin(dim=2)
        for i, held in enumerate(beam.sets):
            if held:
                score[i, torch.isin(self.moves.group, self.moves.group[list(held)])] = torch.inf
        flat = score.flatten()
        order = flat.topk(min(len(flat), LOOKED * wanted), largest=False).indices
        chosen: dict[tuple[int, ...], int] = {}
        for place in order[torch.isfinite(flat[order])].tolist():
            child = tuple(sorted((*beam.sets[place // len(self.moves)], place % len(self.moves))))
            if len(chosen) < wanted and child not in chosen and (left or child not in self.known):
                chosen[child] = place
        places = torch.tensor(list(chosen.values()), dtype=torch.long, device=flat.device)
        return list(chosen), places // len(self.moves), places % len(self.moves)

    def _rest(self, beam: Beam, left: int) -> Tensor:
        """(N, M, T) what the best ``left`` moves of further groups would take off after each move."""
        if left == 0:
            return torch.zeros_like(beam.gains)
        best = torch.stack([self._best_of_groups(gains)[0] for gains in beam.gains])  # (N, g, T)
        for i, held in enumerate(beam.sets):
            best[i, self.moves.group[list(held)]] = 0
        top = best.topk(min(left + 1, best.shape[1]), dim=1).values
        own = best[:, self.moves.group]
        among = own >= top[:, -2 if top.shape[1] > left else -1].unsqueeze(1)
        after = top[:, -1].unsqueeze(1) if top.shape[1] > left else torch.zeros_like(top[:, :1])
        return top[:, :left].sum(dim=1, keepdim=True) - torch.where(among, own - after, 0.0)

    def _best_of_groups(self, gains: Tensor) -> tuple[Tensor, Tensor]:
        """(g, T) the best gain of each group's moves (M, T), never negative, and (g, T) which move that is."""
        best, which = self.moves.best_of_groups(gains, self.search.space.group_count)
        return best.clamp_min(0), which

    def _grown(self, beam: Beam, sets: Sets, parents: Tensor, moves: Tensor, guides: Tensor, left: int) -> Beam:
        """The children that are kept; what was measured for their siblings is expected of their own children."""
        beam.gains[parents, moves] = beam.guides[parents] - guides
        best = torch.stack([self._best_of_groups(gains)[0] for gains in beam.gains])
        rest = best.topk(min(left, best.shape[1]), dim=1).values.sum(dim=1)
        score, rival = (guides - rest[parents]).min(dim=1)
        kept = score.argsort(stable=True)[: self.width]
        chosen, gains = [sets[i] for i in kept.tolist()], beam.gains[parents[kept]]
        if self.gradients and len(kept) < self.allowance.left:
            rows, of = torch.arange(len(kept), device=kept.device), rival[kept]
            expected = self._expected(self.moves.points(torch.tensor(chosen, device=kept.device)), of)
            gains[rows, :, of] = (1 - TRUST) * gains[rows, :, of] + TRUST * expected
        return Beam(chosen, guides[kept], gains)

    def _expected(self, points: Tensor, rivals: Tensor) -> Tensor:
        """(N, M) what every move would take off the guide of one rival each (N,) at points (N, k), by its gradient there."""
        which = rivals.to(points.device) + (1 if self.search.has_guides else 0)
        self.allowance.spend(len(points))
        return self.moves.gains(self.search.guide_slopes(self.b, points, which)[2])

    def _evaluated(self, sets: Sets) -> Tensor:
        """Guides (n, T) of the first n sets: as many as the queries cover; violations are recorded, known sets are not asked again."""
        fresh = [moves for moves in dict.fromkeys(sets) if moves not in self.known][: max(0, self.allowance.left)]
        for size in sorted({len(moves) for moves in fresh}):
            self._evaluate([moves for moves in fresh if len(moves) == size])
        covered = next((i for i, moves in enumerate(sets) if moves not in self.known), len(sets))
        return torch.stack([self.known[moves] for moves in sets[:covered]]) if covered else self.moves.center.new_zeros(0, 1)

    def _evaluate(self, sets: Sets) -> None:
        rows = self.moves.points(torch.tensor(sets, dtype=torch.long, device=self.moves.center.device))
        at = torch.full((len(sets),), self.b, device=rows.device)
        values, guides = self.search.guides(at, rows)
        self.allowance.spend(len(rows))
        rivals = torch.nan_to_num(guides[:, 1:] if guides.shape[1] > 1 else guides, nan=torch.inf)
        self.known.update(zip(sets, rivals, strict=True))
        self.allowance.offer(rows, values)
