"""The best slope known of each problem of the direct-search benchmark, found with a large effort: ``direct_search_references.json``.

Every search here runs on the network in float64, with gradients, and far beyond the budgets that the benchmark compares: those of the
registry, covariance matrix adaptation in few dimensions, conditional gradients from many starts in many, and a polish from the best
points of all. The file keeps the maximum of what it held and what a run finds, and who found it, so that a run can be continued with
other seeds or methods; values are rounded down to nine digits. A reference is a slope attained, not a proved supremum.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from direct_search_problems import DRAWS, FAMILIES, Groups, recorded_points, recorded_slope
from netassay.falsifiers.base import Falsifier, Method, Objective, Outcome, Proposal, Task, lanes_of
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import Search
from netassay.falsifiers.space import Arms
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem

Array = NDArray[np.float64]

FILE = Path(__file__).with_suffix(".json")

INSET = 1e-12
"""Share of the radius left free, so that float64 rounding leaves no vertex of a ball outside it."""

Known = dict[str, tuple[float, str]]
"""Of each problem (``group #position``) the slope and the name of the method that found it."""


def read(file: Path = FILE) -> dict[str, Known]:
    """The references of each draw; empty where there is no file yet."""
    stored = json.loads(file.read_text()) if file.exists() else {}
    return {draw: {name: (float(q), str(by)) for name, (q, by) in stored.get(draw, {}).items()} for draw in DRAWS}


def keep(draw: str, found: Known, file: Path = FILE) -> None:
    """Raises the stored references to what was found; the file is replaced in one step."""
    stored = read(file)
    for name, (slope, by) in found.items():
        rounded = rounded_down(slope)
        if name not in stored[draw] or rounded > stored[draw][name][0]:
            stored[draw][name] = (rounded, by)
    lines = [
        f'"{d}": {{\n' + ",\n".join(f" {json.dumps(n)}: {json.dumps(stored[d][n])}" for n in sorted(stored[d])) + "\n}" for d in stored
    ]
    beside = file.with_suffix(".partial")
    beside.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    os.replace(beside, file)


def adopt(runs: Path, file: Path = FILE) -> None:
    """Raises the references to what contenders found in runs that ``direct_search.py --json`` kept: slopes attained too, in float64."""
    lines = [json.loads(line) for line in runs.read_text().splitlines()]
    for draw in DRAWS:
        best: Known = {}
        for line in lines:
            if line["draw"] == draw and line["slope"] > best.get(line["problem"], (0.0, ""))[0]:
                best[line["problem"]] = (line["slope"], line["contender"])
        keep(draw, best, file)


def rounded_down(value: float, digits: int = 9) -> float:
    """A number of so many significant digits that is not above ``value``, which is not negative."""
    if value <= 0:
        return 0.0
    near = float(f"{value:.{digits - 1}e}")
    return near if near <= value else float(f"{near - 10.0 ** (math.floor(math.log10(value)) - digits + 1):.{digits - 1}e}")


@dataclass(frozen=True, slots=True)
class CovarianceAdaptation:
    """CMA-ES (Hansen 2016, https://arxiv.org/abs/1604.00772), many runs side by side, for few dimensions.

    A run that has contracted or stalled starts again: one time in three at the best point known, else anywhere, at radii from 1 to 2^-8
    of the ball. Candidates are pulled into the region and judged there, with a penalty for how far they were pulled.

    Args:
        runs: Runs per arm. population: Points per generation. patience: Generations without progress.
    """

    runs: int = 16
    population: int = 16
    patience: int = 60

    def start(self, task: Task) -> Falsifier:
        return _Adaptation(task, self)


class _Adaptation:
    def __init__(self, task: Task, options: CovarianceAdaptation) -> None:
        self._task, self._arms, self._options = task, task.arms, options
        like = task.arms.low
        self._lanes, self._lane_arms = lanes_of(len(task.arms), options.runs, like.device)
        lanes, k = len(self._lanes), like.shape[1]
        parents = options.population // 2
        raw = math.log(parents + 0.5) - torch.arange(1, parents + 1, dtype=like.dtype, device=like.device).log()
        self._weights = raw / raw.sum()
        mass = float(1 / (self._weights**2).sum())
        self._mass = mass
        self._path_rate = (mass + 2) / (k + mass + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (k + 1)) - 1) + self._path_rate
        self._axis_rate = (4 + mass / k) / (k + 4 + 2 * mass / k)
        self._one = 2 / ((k + 1.3) ** 2 + mass)
        self._many = min(1 - self._one, 2 * (mass - 2 + 1 / mass) / ((k + 2) ** 2 + mass))
        self._expected = math.sqrt(k) * (1 - 1 / (4 * k) + 1 / (21 * k * k))
        self._mean, self._path, self._axis = (like.new_zeros(lanes, k) for _ in range(3))
        self._size = like.new_ones(lanes)
        self._covariance = torch.eye(k, dtype=like.dtype, device=like.device).repeat(lanes, 1, 1)
        self._moves = like.new_zeros(lanes, options.population, k)
        self._pulled = like.new_zeros(lanes, options.population)
        self._inverse_root = self._covariance.clone()
        self._best = like.new_full((lanes,), -torch.inf)
        self._waited = torch.zeros(lanes, dtype=torch.long, device=like.device)
        self._fresh = torch.ones(lanes, dtype=torch.bool, device=like.device)

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        lanes = self._lanes[active[self._lane_arms]]
        if not len(lanes):
            return None
        population = self._options.population
        if len(lanes) * population > rows:
            drawn = torch.randperm(len(lanes), generator=self._task.generator)
            lanes = lanes[drawn[: max(1, rows // population)]].sort().values
        self._begin(lanes[self._fresh[lanes]])
        squares, axes = torch.linalg.eigh(self._covariance[lanes])
        widths = squares.clamp_min(1e-20).sqrt().unsqueeze(1)
        self._inverse_root[lanes] = (axes / widths) @ axes.mT
        draws = torch.randn(len(lanes), population, axes.shape[1], generator=self._task.generator, dtype=axes.dtype)
        self._moves[lanes] = (draws * widths) @ axes.mT
        points = self._mean[lanes].unsqueeze(1) + self._size[lanes].view(-1, 1, 1) * self._moves[lanes]
        inside = self._arms.pull(self._lane_arms[lanes], points)
        self._pulled[lanes] = (points - inside).norm(dim=2) / (self._size[lanes].unsqueeze(1) * self._moves[lanes].norm(dim=2)).clamp_min(
            1e-30
        )
        return Proposal(self._lane_arms[lanes], lanes, inside)

    def _begin(self, lanes: Tensor) -> None:
        if not len(lanes):
            return
        arms = self._lane_arms[lanes]
        drawn = torch.rand(3, len(lanes), 1, generator=self._task.generator, dtype=self._mean.dtype)
        reach = 2.0 ** (-8 * drawn[0])
        anywhere = self._arms.sample(arms, 1, self._task.generator).squeeze(1) * reach
        known = drawn[1] < 1 / 3
        self._mean[lanes] = torch.where(known, self._task.incumbents()[arms], anywhere)
        self._size[lanes] = torch.where(known, 10.0 ** (-1 - 3 * drawn[2]), 0.4 * reach).squeeze(1)
        self._covariance[lanes] = torch.eye(self._mean.shape[1], dtype=self._mean.dtype)
        self._path[lanes], self._axis[lanes] = 0.0, 0.0
        self._best[lanes], self._waited[lanes], self._fresh[lanes] = -torch.inf, 0, False

    def observe(self, outcome: Outcome) -> None:
        lanes, width = outcome.lanes, outcome.free.shape[1]
        if width < self._options.population:
            return
        values = outcome.values
        known = torch.isfinite(values)
        worst = torch.where(known, values, torch.inf).amin(dim=1, keepdim=True)
        best = values.amax(dim=1, keepdim=True)
        spread = torch.nan_to_num(best - worst, nan=0.0, posinf=0.0, neginf=0.0)
        order = torch.where(known, values - spread * self._pulled[lanes], -torch.inf).argsort(dim=1, descending=True)
        self._adapt(lanes, order[:, : len(self._weights)])
        self._wait(lanes, best.squeeze(1))

    def _adapt(self, lanes: Tensor, chosen: Tensor) -> None:
        moves = self._moves[lanes].gather(1, chosen.unsqueeze(2).expand(-1, -1, self._mean.shape[1]))
        step = (self._weights.view(1, -1, 1) * moves).sum(dim=1)
        self._mean[lanes] += self._size[lanes].unsqueeze(1) * step
        rate, one, many = self._path_rate, self._one, self._many
        whitened = (self._inverse_root[lanes] @ step.unsqueeze(2)).squeeze(2)
        path = (1 - rate) * self._path[lanes] + math.sqrt(rate * (2 - rate) * self._mass) * whitened
        length = path.norm(dim=1)
        moving = (length < (1.4 + 2 / (self._mean.shape[1] + 1)) * self._expected * math.sqrt(2)).unsqueeze(1)
        axis = (1 - self._axis_rate) * self._axis[lanes] + moving * math.sqrt(self._axis_rate * (2 - self._axis_rate) * self._mass) * step
        outer = (self._weights.view(1, -1, 1) * moves).mT @ moves
        self._covariance[lanes] = (1 - one - many) * self._covariance[lanes] + one * axis.unsqueeze(2) * axis.unsqueeze(1) + many * outer
        self._size[lanes] *= torch.exp((rate / self._damping) * (length / self._expected - 1)).clamp(0.3, 3.0)
        self._path[lanes], self._axis[lanes] = path, axis

    def _wait(self, lanes: Tensor, best: Tensor) -> None:
        """Marks runs that have contracted, or found nothing better for long."""
        better = best > self._best[lanes] + 1e-10 * self._best[lanes].abs().nan_to_num(posinf=0.0)
        self._best[lanes] = torch.maximum(self._best[lanes], best)
        self._waited[lanes] = torch.where(better, 0, self._waited[lanes] + 1)
        width = self._size[lanes] * self._covariance[lanes].diagonal(dim1=1, dim2=2).amax(dim=1).sqrt()
        self._fresh[lanes] = (self._waited[lanes] > self._options.patience) | (width < 1e-9) | ~torch.isfinite(width)


@dataclass(frozen=True, slots=True)
class ConditionalAscent:
    """White box: conditional gradients (Frank and Wolfe 1956) on s from many starts, each in a ball of its own radius.

    A step makes for the point of the ball at which the last gradients' running mean is steepest, exactly for each norm: a vertex for
    L-infinity, the best coordinates for L1. Half of the climbs go all the way, half by shrinking steps. Radii lie between 1 and 1e-3 of
    the arm's; half of the climbs follow s, the others make for one label each; one in three begins at the best point known, near its
    radius, and one in three at a given start.

    Args:
        climbs: Climbs per arm, side by side. steps: Steps of one climb.
    """

    climbs: int = 16
    steps: int = 30

    def start(self, task: Task) -> Falsifier:
        return _ConditionalAscent(task, self)


class _ConditionalAscent:
    def __init__(self, task: Task, options: ConditionalAscent) -> None:
        self._task, self._arms, self._options = task, task.arms, options
        like = task.arms.low
        self._lanes, self._lane_arms = lanes_of(len(task.arms), options.climbs, like.device)
        count = len(self._lanes)
        self._position, self._mean = like.new_zeros(count, like.shape[1]), like.new_zeros(count, like.shape[1])
        self._radius = like.new_ones(count)
        self._momentum = like.new_zeros(count)
        self._whole = torch.zeros(count, dtype=torch.bool, device=like.device)
        self._age = torch.zeros(count, dtype=torch.long, device=like.device)
        self._variants = torch.zeros(count, dtype=torch.long, device=like.device)

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        lanes = self._lanes[active[self._lane_arms]]
        if not len(lanes):
            return None
        lanes = lanes[self._age[lanes].argsort(stable=True)[: max(1, rows)]].sort().values
        self._begin(lanes[self._age[lanes] % self._options.steps == 0])
        return Proposal(self._lane_arms[lanes], lanes, self._position[lanes].unsqueeze(1), gradient=True, variants=self._variants[lanes])

    def _begin(self, lanes: Tensor) -> None:
        if not len(lanes):
            return
        arms, climb = self._lane_arms[lanes], self._age[lanes] // self._options.steps
        drawn = torch.rand(7, len(lanes), generator=self._task.generator, dtype=self._radius.dtype)
        points = torch.where((drawn[0] < 0.5).unsqueeze(1), self._anywhere(arms), self._at_the_border(arms))
        radius = torch.where(drawn[1] < 0.4, 1.0, 10.0 ** (-3 * drawn[2]))
        told = self._told(arms, climb, drawn[3])
        is_told = (told != 0).any(dim=1)
        near = self._arms.space.lengths(told) * torch.exp(0.3 * (2 * drawn[2] - 1))
        self._radius[lanes] = torch.where(is_told, near, radius).clamp(1.1e-3, 1.0)
        self._position[lanes] = self._pull(lanes, torch.where(is_told.unsqueeze(1), told, points * self._radius[lanes].unsqueeze(1)))
        self._mean[lanes] = 0
        labels = torch.randint(1, 1 << 20, (len(lanes),), generator=self._task.generator)
        self._variants[lanes] = torch.where(drawn[4] < 0.5, 0, labels)
        self._whole[lanes] = drawn[5] < 0.5
        self._momentum[lanes] = 0.3 + 0.2 * (4 * drawn[6]).floor()

    def _anywhere(self, arms: Tensor) -> Tensor:
        return self._arms.sample(arms, 1, self._task.generator).squeeze(1)

    def _at_the_border(self, arms: Tensor) -> Tensor:
        """The farthest points of the balls in random directions: vertices, for L-infinity."""
        shape = (len(arms), self._mean.shape[1])
        directions = torch.randn(shape, generator=self._task.generator, dtype=self._mean.dtype)
        return steepest(self._arms, arms, directions, torch.ones(len(arms), dtype=self._mean.dtype))

    def _told(self, arms: Tensor, climb: Tensor, drawn: Tensor) -> Tensor:
        """(L, k) for one climb in three the best point known, for one in three a given start if there are any; 0 for the others."""
        best = torch.where((drawn < 1 / 3).unsqueeze(1) & (climb > 0).unsqueeze(1), self._task.incumbents()[arms], 0.0)
        starts = self._task.starts
        if starts is None:
            return best
        chosen = starts[arms, torch.randint(starts.shape[1], (len(arms),), generator=self._task.generator)]
        return torch.where((drawn > 2 / 3).unsqueeze(1), chosen, best)

    def _pull(self, lanes: Tensor, points: Tensor) -> Tensor:
        return self._arms.pull(self._lane_arms[lanes], points.unsqueeze(1), self._radius[lanes].unsqueeze(1)).squeeze(1)

    def observe(self, outcome: Outcome) -> None:
        lanes = outcome.lanes
        if outcome.gradient is None:
            return
        slope = outcome.gradient[:, 0]
        slope = slope / slope.abs().mean(dim=1, keepdim=True).clamp_min(1e-30)
        self._mean[lanes] = self._momentum[lanes].unsqueeze(1) * self._mean[lanes] + slope
        goal = steepest(self._arms, self._lane_arms[lanes], self._mean[lanes], self._radius[lanes])
        turn = (self._age[lanes] % self._options.steps).to(slope.dtype)
        share = torch.where(self._whole[lanes], 1.0, 2 / (turn + 2)).unsqueeze(1)
        self._position[lanes] = self._pull(lanes, torch.lerp(self._position[lanes], goal, share))
        self._age[lanes] += 1


def steepest(arms: Arms, which: Tensor, direction: Tensor, radius: Tensor) -> Tensor:
    """The unit points (L, k) at which ``direction`` (L, k) is largest over ball and domain of arms ``which`` (L,), radii as shares (L,)."""
    high, low, reach = arms.high[which], arms.low[which], radius.unsqueeze(1)
    caps = torch.minimum(torch.where(direction > 0, high, -low).clamp_min(0.0), reach)
    weights = torch.where(caps > 0, direction.abs(), 0.0)
    if arms.space.norm is Norm.L1:
        order = weights.argsort(dim=1, descending=True)
        sorted_caps = caps.gather(1, order)
        before = sorted_caps.cumsum(dim=1) - sorted_caps
        amounts = torch.zeros_like(caps).scatter_(1, order, torch.minimum(sorted_caps, (reach - before).clamp_min(0.0)))
    elif arms.space.norm is Norm.L2:
        low_factor, high_factor = torch.zeros_like(reach), (reach / weights[weights > 0].min().clamp_min(1e-12)).clamp_max(1e12)
        for _ in range(60):  # bisection of tau in |u_i| = min(cap_i, tau * weight_i)
            middle = (low_factor + high_factor) / 2
            short = torch.minimum(caps, middle * weights).norm(dim=1, keepdim=True) < reach
            low_factor, high_factor = torch.where(short, middle, low_factor), torch.where(short, high_factor, middle)
        amounts = torch.minimum(caps, low_factor * weights)
    else:
        amounts = torch.where(weights > 0, caps, 0.0)
    return amounts * direction.sign()


@dataclass(frozen=True, slots=True)
class CoordinatePolish:
    """From the best point known: moves of single coordinates to a bound, to the centre or a little way, then the best of them together.

    Args:
        points: Points per arm and batch.
    """

    points: int = 512

    def start(self, task: Task) -> Falsifier:
        return _CoordinatePolish(task, self.points)


class _CoordinatePolish:
    def __init__(self, task: Task, points: int) -> None:
        self._task, self._arms, self._points = task, task.arms, points
        count, k = task.arms.low.shape
        self._base = task.arms.low.new_zeros(count, k)
        self._changes = task.arms.low.new_zeros(count, points, k)
        self._together = False

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        arms = torch.arange(len(self._arms))[active]
        if not len(arms):
            return None
        if not self._together:
            self._base = self._task.incumbents()
            self._changes = self._singles(arms, max(8, min(self._points, rows // len(arms))))
        points = self._base[arms].unsqueeze(1) + self._changes
        return Proposal(arms, arms, self._arms.pull(arms, points))

    def _singles(self, arms: Tensor, count: int) -> Tensor:
        k = self._base.shape[1]
        coordinate = torch.randint(k, (len(arms), count, 1), generator=self._task.generator)
        at = self._base[arms].unsqueeze(1).expand(-1, count, -1).gather(2, coordinate)
        low, high = (bound[arms].unsqueeze(1).expand(-1, count, -1).gather(2, coordinate) for bound in (self._arms.low, self._arms.high))
        drawn = torch.rand(3, *at.shape, generator=self._task.generator, dtype=at.dtype)
        little = at + (2 * drawn[1] - 1) * 10.0 ** (-4 * drawn[2])
        targets = torch.where(drawn[0] < 0.25, low, torch.where(drawn[0] < 0.5, high, torch.where(drawn[0] < 0.7, 0.0, little)))
        return torch.zeros(len(arms), count, k, dtype=at.dtype).scatter_(2, coordinate, targets.clamp(low, high) - at)

    def observe(self, outcome: Outcome) -> None:
        self._together = not self._together and outcome.free.shape[:2] == self._changes.shape[:2]
        if self._together:
            order = outcome.values.argsort(dim=1, descending=True).unsqueeze(2).expand_as(self._changes)
            self._changes = self._changes.gather(1, order).cumsum(dim=1)[:, :64]


OWN: dict[str, Method] = {"cma": CovarianceAdaptation(), "conditional": ConditionalAscent(), "coordinates": CoordinatePolish()}
"""Searches that only this file has."""

EFFORTS: dict[str, dict[str, int]] = {
    "acasxu": {"random": 20_000, "gradient": 50_000, "tpmads": 200_000, "mads": 100_000, "cma": 500_000},
    "mnistfc linf": {"mads": 100_000, "gradient": 50_000, "conditional": 100_000, "coordinates": 50_000},
    "mnistfc l1": {"mads": 100_000, "tpmads": 50_000, "gradient": 50_000, "conditional": 100_000, "coordinates": 50_000},
    "mnistfc l2": {"mads": 100_000, "gradient": 50_000, "conditional": 100_000, "coordinates": 50_000},
    "cifar": {"mads": 20_000, "gradient": 10_000, "conditional": 20_000, "coordinates": 10_000},
}
"""Queries per problem of each search, in the order in which they run; names that the registry does not have yet are passed over."""


class Trail:
    """The points behind the references: the best points of a ball are start points for the other balls around the input.

    Args:
        file: An ``.npz`` file to begin from and to keep up to date, so that a later run goes on from there; None for this run only.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._points: dict[str, Array] = dict(np.load(file)) if file is not None and file.exists() else {}

    def starts(self, search: Search) -> Tensor | None:
        """(A, w, k) what is known, pulled into the balls of the two arms of each problem of ``search``; None where nothing is."""
        arms, space = search.both_directions(), search.space
        known = [[p for key, p in self._points.items() if key.startswith(_around(problem))] for problem in search.problems]
        count = min(len(k) for k in known)
        if not count:
            return None
        points = np.repeat(np.stack([np.concatenate(k[-count:]) for k in known]), 2, axis=0)[..., space.free_numpy]
        everyone = torch.arange(len(arms))
        return arms.pull(everyone, arms.units(everyone, torch.as_tensor(points, dtype=space.dtype)))

    def take(self, search: Search) -> None:
        """Keeps the best rising and the best falling point of each problem."""
        for b, problem in enumerate(search.problems):
            ball = f"{problem.ball.p} {problem.ball.radius:.6g} {problem.property.on}"
            self._points[f"{_around(problem)} {ball}"] = recorded_points(search, b)
        if self._file is not None:
            beside = self._file.with_suffix(".partial.npz")
            np.savez(beside, **self._points)  # type: ignore[arg-type]
            os.replace(beside, self._file)


def _around(problem: Problem) -> str:
    """What all balls around one input of a network share."""
    return f"{problem.network.sha256[:12]} {hashlib.sha256(problem.center.tobytes()).hexdigest()[:12]}"


def improve(group: Sequence[Problem], efforts: dict[str, int], seed: int, trail: Trail) -> list[tuple[float, str]]:
    """The best slope of each problem of a group, and who found it, after all efforts in turn."""
    network = group[0].network
    double = network.in_float64() if network.dtype == "float32" else network
    assert double is not None
    exact = [replace(problem, network=double, region=problem.ball.with_radius(problem.ball.radius * (1 - INSET))) for problem in group]
    search = Search(exact, Objective.SLOPE, budget=Budget(queries=1_000 + sum(efforts.values())), clock=Clock(), seed=seed)
    arms, starts = search.both_directions(), trail.starts(search)
    if starts is not None:
        everyone = torch.arange(len(arms))
        search.evaluate(arms, Proposal(everyone, everyone, starts))
    found = [(slope, "another ball" if slope > 0 else "nobody") for slope in (recorded_slope(search, b) for b in range(len(exact)))]
    for name, queries in efforts.items():
        search.run(OWN[name] if name in OWN else METHODS[name].build(), arms, queries=queries, starts=starts)
        slopes = [recorded_slope(search, b) for b in range(len(exact))]
        found = [(slope, name) if slope > old[0] * (1 + 1e-9) else old for slope, old in zip(slopes, found, strict=True)]
    trail.take(search)
    return found


def run(draw: str, families: Sequence[str], efforts: Sequence[str], *, seed: int, scale: float, trail: Trail, file: Path = FILE) -> None:
    """Improves the references of one draw with some of the efforts (all if empty), and writes after every group."""
    for family in families:
        chosen = {
            n: round(q * scale) for n, q in EFFORTS[family].items() if n in (efforts or EFFORTS[family]) and (n in OWN or n in METHODS)
        }
        groups: Groups = FAMILIES[family](DRAWS[draw])
        for name, group in groups.items():
            begin, before = time.perf_counter(), read(file)[draw]
            found = {f"{name} #{i}": best for i, best in enumerate(improve(group, chosen, seed, trail))}
            keep(draw, found, file)
            gains = [gain(before.get(n), q) for n, (q, _) in found.items()]
            print(f"{draw} {name}: {time.perf_counter() - begin:.1f} s; now / before {' '.join(gains)}", flush=True)


def gain(before: tuple[float, str] | None, now: float) -> str:
    """How a slope compares with the reference there was."""
    if before is None or before[0] == 0:
        return "new" if now > 0 else "0"
    return f"{now / before[0]:.5f}"


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", choices=list(DRAWS), default="reporting")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", default=[], help="some of the searches only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all queries")
    parser.add_argument(
        "--points", type=Path, help="a .npz file of the points behind the references: begins from it and keeps it up to date"
    )
    parser.add_argument("--adopt", type=Path, help="search nothing; take over what runs of the benchmark found, from its --json file")
    given = parser.parse_args()
    if given.adopt:
        adopt(given.adopt)
        return
    run(given.draw, given.families, given.methods, seed=given.seed, scale=given.scale, trail=Trail(given.points))


if __name__ == "__main__":
    main()
