"""Centres that the network can be given exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netassay.numerics.box import Box
from netassay.specs.problem import Problem


def representable(center: NDArray[np.floating], domain: Box, dtype: str) -> NDArray[np.float64]:
    """The centre rounded to the network's dtype, towards the inside of the domain where rounding would leave it.

    Nothing else can be evaluated, so this is the point that radii and slopes are measured from. A feature whose domain
    holds no number of that dtype stays as it is: it cannot move, and is rounded only when it is evaluated.
    """
    exact = np.asarray(center, dtype=np.float64)
    if dtype == "float64":
        return exact
    near = exact.astype(np.float32)
    near = np.where(near > domain.upper, np.nextafter(near, np.float32(-np.inf)), near)
    near = np.where(near < domain.lower, np.nextafter(near, np.float32(np.inf)), near).astype(np.float64)
    inside = (near >= domain.lower) & (near <= domain.upper)
    return np.where(inside, near, exact)


def representable_problem(problem: Problem) -> Problem:
    """The problem with its centre rounded to the network's dtype, without leaving the domain."""
    region = problem.region
    if isinstance(region, Box):
        return problem
    center = representable(region.center, region.domain, problem.network.dtype)
    return problem if np.array_equal(center, region.center) else replace(problem, region=replace(region, center=center))
