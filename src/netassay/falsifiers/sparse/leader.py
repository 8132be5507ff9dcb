"""A search with gradients for the fewest changed groups of features that violate a property (L0): sets that lead, perturbed.

A chain expects some gain of every move, and asks about the set of the moves that lead. The gradient there says what each move is worth
beside the others of the set; the chain's expectations follow it by a share, so that its next set may differ in many moves. Chains begin
at the averages of all gradients so far, or at what the rival's best chain expected, with noise on either. The first averages are those
at random sets of moves: at the centre itself most moves seem worth nothing where functions are flat there, as ReLU and max pooling are.

Rivals are searched in turn, the more often the nearer their sets came. A point with its gradient is one query.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.allowance import Allowance
from netassay.falsifiers.sparse.moves import Moves

FIRST, FIRST_SHARE = 8, 0.12
"""Random sets for each rival, and the share of the queries that all of them may take."""

DENSITY = 0.03
"""Share of the groups that a random set changes."""

CHAINS, STEPS = 4, 12
"""Chains of one turn, and how many sets each asks about."""

FOLLOWED = 0.3
"""Weight of the newest gradient in what a chain expects."""

AVERAGED = 0.02
"""Weight of a step's gradients in the averages of a rival."""

NOISE, NEAR = 0.3, 0.1
"""Noise on the averages, and on what the best chain expected, relative to an entry and to the mean of the leading ones."""

MORE, AGAIN = 1.5, 1.4
"""While there is no witness, sets have so many times the moves that seem needed; a turn without success makes it so many times more."""

EASED = (0.125, 0.25, 0.5)
"""How far the changes that a turn's best set would be better without are taken back: values inside the range may be best."""

IDLE = 24
"""Turns in a row without a new set after which the search ends."""


@dataclass(slots=True, eq=False)
class Rival:
    """One guide, and what is known of its moves.

    Args:
        which: The guide, as ``Search.guide_slopes`` counts them.
        gains: (M,) averages of what each move takes off it.
        needed: Moves that would be enough if those gains added up.
        missing: How many were missing, by the gains, to the best set of the last turn.
        best: (M,) what the chain of that set expected.
        turns: So far.
    """

    which: int
    gains: Tensor
    needed: int
    missing: float = 0.0
    best: Tensor | None = None
    turns: int = 0


@dataclass(slots=True, eq=False)
class LeaderSearch:
    """The search of one problem; it can be continued.

    Args:
        search: Evaluates, counts, and keeps the nearest violations.
        b: The problem.
    """

    search: Search
    b: int
    moves: Moves = field(init=False)
    allowance: Allowance = field(init=False)
    rivals: list[Rival] = field(default_factory=list)
    asked: set[tuple[int, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.moves, self.allowance = Moves.of(self.search, self.b), Allowance(self.search, self.b)

    @property
    def movable(self) -> int:
        """Groups that have a move."""
        return len(torch.unique(self.moves.group))

    def run(self, queries: int, seconds: float | None = None) -> None:
        """Looks for nearer violations until the queries or the seconds are spent, or nothing new is found to ask."""
        allowance = self.allowance
        allowance.begin(queries, seconds)
        if not len(self.moves) or allowance.left < 1 or not self._sought:
            return
        if not self.rivals:
            self._begin()
        idle = 0
        while self.rivals and allowance.going and idle < IDLE and self._sought:
            rival, before = self._next(), allowance.left
            rival.turns += 1
            self._turn(rival, allowance.wanted or min(self.movable, max(2, int(MORE * rival.needed))))
            idle = idle + 1 if allowance.left == before else 0
        if self.allowance.too_large(len(self.asked), 2 * len(self.rivals) * len(self.moves)):
            self.asked.clear()
            self.rivals.clear()

    @property
    def _sought(self) -> bool:
        """Whether a smaller witness than the nearest known could be, or there is none."""
        return self.allowance.wanted > 0 or not self.allowance.found(self.search.space.group_count)

    def _begin(self) -> None:
        """The first averages of every guide, at the centre and at random sets of moves."""
        _, guides = self.search.guides(torch.tensor([self.b], device=self.moves.center.device), self.moves.center.unsqueeze(0))
        self.allowance.spend(1)
        whiches = list(range(1, guides.shape[1]) if guides.shape[1] > 1 else [0])[: self.allowance.left]
        each = max(1, min(FIRST, int(FIRST_SHARE * self.allowance.left / max(1, len(whiches)))))
        for which in whiches:
            rows = torch.cat([self.moves.center.unsqueeze(0)] + [self.moves.points(self._random_set()) for _ in range(each - 1)])
            found, gains = self._at(rows, which)
            mean = gains.mean(dim=0)
            self.rivals.append(Rival(which, mean, self._enough(mean, float(found[0]))))

    def _enough(self, gains: Tensor, start: float) -> int:
        """How many of the best moves (their gains: (M,)) take a guide from ``start`` to 0, if those add up."""
        best, _ = self.moves.best_of_groups(gains.unsqueeze(1), self.search.space.group_count)
        leading = best.clamp_min(0).sort(dim=0, descending=True).values
        return min(self.movable, int((leading.cumsum(dim=0) < start).sum()) + 1)

    def _random_set(self) -> Tensor:
        """(1, t) one random move of each of some random groups."""
        generator, device = self.search.generator, self.moves.center.device
        draws = torch.rand(len(self.moves), 1, generator=generator, device=device, dtype=self.moves.center.dtype)
        _, which = self.moves.best_of_groups(draws, self.search.space.group_count)
        groups = torch.unique(self.moves.group)
        chosen = groups[torch.randperm(len(groups), generator=generator, device=device)[: max(1, round(DENSITY * len(groups)))]]
        return which[chosen].T

    def _next(self) -> Rival:
        """The rival whose turn it is: the k-th nearest gets 1/k as many turns as the nearest; new ones stand where their moves add up."""
        size = self.allowance.wanted
        order = sorted(self.rivals, key=lambda r: r.missing if r.turns else r.needed - size)
        return min(enumerate(order, 1), key=lambda place: place[0] * (place[1].turns + 1))[1]

    def _turn(self, rival: Rival, size: int) -> None:
        """Some steps of some chains; a witness on the way makes their sets smaller."""
        chains, seen = self._chains(rival, size), dict[tuple[int, ...], Tensor]()
        nearest, best = torch.inf, tuple[int, ...]()
        for _ in range(STEPS):
            sets = self._leading(chains, size)
            fresh = [s for s in dict.fromkeys(sets) if s not in self.asked][: max(0, self.allowance.left)]
            if fresh:
                guides, gains = self._at(self.moves.points(torch.tensor(fresh, device=chains.device)), rival.which)
                self.asked.update(fresh)
                seen.update(zip(fresh, gains, strict=True))
                rival.gains = torch.lerp(rival.gains, gains.mean(dim=0), AVERAGED)
            chains = self._followed(chains, sets, seen, size, any_new=bool(fresh))
            if fresh and float(guides.min()) < nearest:
                nearest, best = float(guides.min()), fresh[int(guides.argmin())]
                rival.best, rival.missing = chains[sets.index(best)].clone(), nearest / self._scale(rival.gains, size)
            if self.allowance.found(size):
                size, nearest = self._fewer(), torch.inf
            if size < 1 or not self.allowance.going:
                return
        if best and nearest < torch.inf:
            self._ease(best, seen[best], rival.which)
        if not self.allowance.wanted:
            rival.needed = min(self.movable, int(AGAIN * rival.needed) + 1)

    def _ease(self, held: tuple[int, ...], gains: Tensor, which: int) -> None:
        """Asks about a set whose harmful moves, by the gains (M,) at it, are partly taken back."""
        chosen = torch.tensor(held, device=gains.device)
        harmful = chosen[gains[chosen] < 0]
        rows = self.moves.points(chosen.unsqueeze(0)).repeat(min(len(EASED), self.allowance.left), 1)
        if len(harmful) and len(rows):
            shares = torch.tensor(EASED, dtype=rows.dtype, device=rows.device)[: len(rows)].view(-1, 1, 1)
            eased = self.moves.values[harmful] - shares * self.moves.change[harmful]
            self._at(rows.scatter(1, self.moves.features[harmful].flatten().expand(len(rows), -1), eased.flatten(1)), which)

    def _fewer(self) -> int:
        """The size to try after a witness: one change fewer, or a tenth fewer where it has many."""
        nearest = int(self.search.records.nearest[self.b])
        return nearest - max(1, nearest // 10)

    def _chains(self, rival: Rival, size: int) -> Tensor:
        """(C, M) expectations to begin with."""
        fresh = self._perturbed(rival.gains.expand(CHAINS, -1), size, NOISE)
        if rival.best is not None:
            half = CHAINS // 2
            fresh[:half] = self._perturbed(rival.best.expand(half, -1), size, NEAR)
        return fresh

    def _perturbed(self, expected: Tensor, size: int, share: float) -> Tensor:
        """(C, M) with noise."""
        draws = torch.randn(2, *expected.shape, generator=self.search.generator, device=expected.device, dtype=expected.dtype)
        return expected * (1 + share * draws[0]) + share * self._scale(expected[0], size) * draws[1]

    def _scale(self, gains: Tensor, size: int) -> float:
        """Mean of the leading gains."""
        return max(float(gains.topk(min(size, len(gains))).values.mean()), 1e-30)

    def _leading(self, chains: Tensor, size: int) -> list[tuple[int, ...]]:
        """Of each chain the moves that lead, one a group."""
        best, which = self.moves.best_of_groups(chains.T, self.search.space.group_count)
        groups = best.topk(size, dim=0).indices
        return [tuple(column) for column in which.gather(0, groups).sort(dim=0).values.T.tolist()]

    def _followed(
        self, chains: Tensor, sets: list[tuple[int, ...]], seen: dict[tuple[int, ...], Tensor], size: int, *, any_new: bool
    ) -> Tensor:
        """The chains after a step: nearer the gradients at their sets; perturbed where no set, or not their own, was asked this turn."""
        known = torch.tensor([s in seen for s in sets], device=chains.device).unsqueeze(1)
        gains = torch.stack([seen[s] if s in seen else chains[i] for i, s in enumerate(sets)])
        moved = torch.lerp(chains, gains, FOLLOWED)
        return torch.where(known, moved, self._perturbed(moved, size, NEAR)) if any_new else self._perturbed(moved, size, NOISE / 2)

    def _at(self, rows: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """The guide (n,) at points (n, k), inf for what is not a number, and what each move takes off it by the gradient there (n, M)."""
        values, guides, slopes = self.search.guide_slopes(self.b, rows, torch.full((len(rows),), which, device=rows.device))
        self.allowance.spend(len(rows))
        self.allowance.offer(rows, values)
        return torch.nan_to_num(guides, nan=torch.inf), self.moves.gains(slopes)
