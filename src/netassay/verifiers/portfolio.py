"""The verifier that picks: cheap bounds, then the branch and bound that suits the network, and it says which one decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Elementwise, Relu
from netassay.numerics.budget import Clock
from netassay.numerics.norms import Norm
from netassay.verifiers.base import Finding, Task, Verifier
from netassay.verifiers.bounding import Bounding, interval_bounds, linear_bounds
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import probe
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import verifier_entry

FEW_INPUTS = 12
"""Up to so many inputs that move, regions are split; beyond, neurons are."""


SPECIAL = ("decomposition", "semidefinite")
"""Verifiers that serve a few networks only, and say so at once."""


@dataclass(frozen=True, slots=True)
class Auto:
    """Interval bounds, a small attack, linear bounds, a decomposition, branch and bound; each finding says whose it is.

    Args:
        first: Stop before any branch and bound: what decides easy questions at once.
        begun: Leave out what ``first`` does.
    """

    first: bool = False
    begun: bool = False

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings of one method after the other, none worse than those before."""
        best, last = Finding(-np.inf), "incomplete"
        for name, verifier in self._stages(task):
            for finding in _served(name, verifier, task):
                best = replace(
                    finding,
                    lower=max(best.lower, finding.lower),
                    least=min(best.least, finding.least),
                    reason="",
                    source=finding.source or name,
                )
                last = finding.reason
                yield best
                if best.proved or best.point is not None:
                    return
            if task.limits.over:
                last = "time-out"
                break
        yield replace(best, reason=last)

    def _stages(self, task: Task) -> Iterator[tuple[str, Verifier]]:
        if not self.begun:
            yield "interval", Bounding(interval_bounds)
        if few_inputs(task.region) and not _is_sparse(task.region):
            if not self.first:
                yield _named("input-splitting")
            return
        if self.first:
            yield "attack", Probing()
        if _is_sparse(task.region):
            if not self.first:
                yield _named("pixel-splitting")
            return
        if not self.begun:
            yield "crown", Bounding(linear_bounds)
        if not self.first:
            yield _named("decomposition")
        if not self.first and _splits_neurons(task):
            yield ("neuron-splitting", Neurons())


@dataclass(frozen=True, slots=True)
class Neurons:
    """Neuron splitting; where that takes long and the network is small, semidefinite relaxations, as long as they promise an end.

    Args:
        turn: Seconds of neuron splitting before.
        relus: Most ReLUs of a network whose relaxations are tried.
        promise: What they may leave of the gap of linear bounds, as a share.
    """

    turn: float = 2.0
    relus: int = 1000
    promise: float = 0.1

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings of the one, of the other, and of the first again."""
        splitting = _named("neuron-splitting")[1].verify(task)
        begun = task.limits.clock.elapsed
        for finding in splitting:
            yield finding
            if task.limits.clock.elapsed - begun > self.turn and not finding.reason and self._relaxes(task):
                for relaxed in self._relaxed(task):
                    yield relaxed
                    if relaxed.proved or relaxed.point is not None:
                        return
                break
        yield from splitting

    def _relaxed(self, task: Task) -> Iterator[Finding]:
        from netassay.verifiers.semidefinite.method import Semidefinite

        for finding in _served("semidefinite", Semidefinite(attack=0, promise=self.promise), task):
            yield replace(finding, reason="", source="semidefinite")

    def _relaxes(self, task: Task) -> bool:
        graph, region = task.claim.graph, task.region
        relus = sum(prod(graph.shapes[i + 1]) for i, node in enumerate(graph.nodes) if isinstance(node.operator, Relu))
        return relus <= self.relus and (region.ball is None or bool((region.ball < 0).all()))


@dataclass(frozen=True, slots=True)
class Probing:
    """The small attack alone: it proves nothing.

    Args:
        points: Points attacked from, over all parts of the claim.
        seconds: Enough.
    """

    points: int = 240
    seconds: float = 1.0

    def verify(self, task: Task) -> Iterator[Finding]:
        """One finding: the least value seen, and the point if the claim fails there."""
        evaluator = Evaluator(bounded_graph(task.claim.graph))
        clock = Clock(self.seconds)
        over = partial(_over, clock, task)
        found = probe(task.claim, evaluator, task.region, np.random.default_rng(task.seed), points=self.points, over=over)
        broken = found.value < 0 or (found.value == 0 and task.claim.strict)
        yield Finding(-np.inf, point=found.point if broken else None, least=found.value)


def _served(name: str, verifier: Verifier, task: Task) -> Iterator[Finding]:
    """A verifier's findings; none of one that is for special networks, and does not serve this one."""
    try:
        yield from verifier.verify(task)
    except CapabilityError:
        if name not in SPECIAL:
            raise


def _over(clock: Clock, task: Task) -> bool:
    return clock.expired or task.limits.over


@dataclass(frozen=True, slots=True)
class Range:
    """Lower bounds of s that come as near to its least value as time allows; never a verdict.

    Args:
        tolerance: Near enough.
    """

    tolerance: float

    def verify(self, task: Task) -> Iterator[Finding]:
        """Interval and linear bounds, then branch and bound over the inputs where there are few of them."""
        best = -np.inf
        for name, bounds in (("interval", interval_bounds), ("crown", linear_bounds)):
            best = max(best, float(bounds(task.claim, task.region).min(initial=np.inf)))
            yield Finding(best, source=name)
        if few_inputs(task.region):
            from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting

            for finding in InputSplitting(tolerance=self.tolerance).verify(task):
                best = max(best, finding.lower)
                yield replace(finding, lower=best, proved=False, point=None, source="input-splitting")


def few_inputs(region: Regions) -> bool:
    """Whether so few features of a single region move that splitting them pays."""
    return bool((region.upper > region.lower).sum() <= FEW_INPUTS)


def _splits_neurons(task: Task) -> bool:
    return any(isinstance(n.operator, Elementwise) for n in task.claim.graph.nodes)


def _is_sparse(region: Regions) -> bool:
    """Whether a region is an L0 ball, which is proved by what may change rather than over its hull."""
    return region.bounded and len(region) == 1 and len(region.balls) == 1 and region.balls[0].norm is Norm.L0


def _named(name: str) -> tuple[str, Verifier]:
    return name, verifier_entry(name).build()
