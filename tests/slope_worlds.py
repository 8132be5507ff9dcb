"""Claims about slopes whose truth is known exactly, and certificates of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from certificate_worlds import graph_of, never
from exact_planar import planar, steepest
from exact_radii import fractions
from netassay.checking.certificates.statement import Statement
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.certificates.claims import slope_statement
from netassay.verifiers.certificates.produce import Produced, write_certificate
from random_graphs import GraphOnly

RADIUS = Fraction(1, 2)


def slope_problem(seed: int, norm: str) -> tuple[Problem, tuple[Fraction, Fraction]]:
    """A planar network, and the exact falling and rising slopes of its least margin in a ball (L1 or L-infinity)."""
    network, graph = planar(seed)
    rng = np.random.default_rng([seed, 3])
    center, label = rng.integers(-4, 5, 2) / 4 + np.array([1 / 64, 3 / 128]), int(rng.integers(3))
    exact = steepest(network, norm, fractions(center), RADIUS, label)
    ball = Ball(center, float(RADIUS), norm, domain=Box.filled((2,), -4, 4))
    return Problem(GraphOnly(graph), ball, Robustness(label, on=Scale.LOGITS)), exact


def slope_claim(problem: Problem, falling: Fraction | float, rising: Fraction | float | None) -> Statement:
    """Exactly these slopes, at most: fractions have to be float64 numbers."""
    statement = slope_statement(problem, 0.0, None, None)
    (case,) = statement.cases
    assert case.slopes is not None
    claimed = replace(case.slopes, falling=float(falling), rising=None if rising is None else float(rising))
    return replace(statement, cases=(replace(case, slopes=claimed),))


def above(slope: Fraction, share: Fraction) -> float:
    """A float64 number so much above it, at least."""
    return float(np.nextafter(float(slope * (1 + share)), np.inf))


def below(slope: Fraction, share: Fraction) -> float:
    """A float64 number that is surely less."""
    return float(np.nextafter(float(slope * (1 - share)), -np.inf))


def written(path: Path, problem: Problem, statement: Statement, over: Callable[[], bool] = never) -> Produced:
    return write_certificate(path, graph_of(problem), statement, "slopes", "a test", regions=[problem.region], spelled_out=True, over=over)
