"""Builds the parts that every answer has."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netassay._version import __version__
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.results.answer import Outcome, Provenance, RegionSummary, Risk
from netassay.specs.problem import Problem

if TYPE_CHECKING:
    from netassay.assessment.session import Session
    from netassay.assessment.settings import Settings


def common(
    problem: Problem,
    settings: Settings,
    *,
    outcome: Outcome,
    center_value: float,
    label: int | None,
    queries: int,
    calls: int,
    interrupted: bool,
) -> dict[str, Any]:
    """The fields of ``Answer`` for one problem."""
    return {
        "outcome": outcome,
        "index": problem.index,
        "risk": risk(problem),
        "region": summary(problem),
        "center": problem.center,
        "center_value": center_value,
        "label": label,
        "true_label": problem.true_label,
        "provenance": provenance(problem, settings, queries=queries, calls=calls, interrupted=interrupted),
    }


def session_common(session: Session, b: int, *, outcome: Outcome, label: int | None) -> dict[str, Any]:
    """``common`` for problem ``b`` of a session that has searched."""
    search = session.search
    shared = common(
        session.problems[b],
        session.settings,
        outcome=outcome,
        center_value=float(session.centers[b]),
        label=label,
        queries=int(search.used[b]),
        calls=search.counter.calls,
        interrupted=search.stopped,
    )
    return {**shared, "notes": session.notes()}


def risk(problem: Problem) -> Risk:
    """The property in words, under the name it was asked for, so that all inputs of one risk are one group."""
    described = problem.property.describe()
    return replace(described, spec=problem.asked) if problem.asked else described


def summary(problem: Problem) -> RegionSummary:
    """The region as reports print it."""
    region = problem.region
    if isinstance(region, Box):
        return RegionSummary(None, None, region.lower.size, int((region.width > 0).sum()))
    return region.summary()


def provenance(problem: Problem, settings: Settings, *, queries: int, calls: int, interrupted: bool) -> Provenance:
    """Where the answer comes from."""
    network: Network = problem.network
    center = np.ascontiguousarray(problem.center)
    options: dict[str, str | int | float | bool | None] = {
        "queries": settings.asked.queries,
        "seconds": settings.asked.seconds,
        "tolerance": settings.tolerance,
    }
    return Provenance(
        model=network.name,
        model_sha256=network.sha256,
        input_sha256=hashlib.sha256(center.tobytes() + str(center.shape).encode()).hexdigest(),
        method=settings.method,
        options=options,
        seed=settings.seed,
        device=network.device,
        dtype=network.dtype,
        tool_version=__version__,
        queries=queries,
        batched_calls=calls,
        seconds=settings.clock.elapsed,
        interrupted=interrupted,
    )
