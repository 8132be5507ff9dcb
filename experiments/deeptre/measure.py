"""What is measured: DeepTRE's bounds of one image and of many, and proofs beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import netassay as na
from netassay.falsifiers.sparse.deeptre import Estimate, accumulated, deeptre
from netassay.falsifiers.sparse.subspaces import BATCH, Inputs, sensitivities
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse.pixel_splitting import PixelSplitting


class UnavailableError(Exception):
    """What an experiment needs is not at hand; the message says what."""


@dataclass(frozen=True)
class Proved:
    """One image: the largest t proved, the changes of its best witness, and the processor seconds of the proofs."""

    index: int
    lower: int
    changes: int
    seconds: float

    @property
    def closed(self) -> bool:
        return self.lower == self.changes - 1


def images(count: int) -> list[Problem]:
    """The first ``count`` test images that sDNN classifies as labelled, each in the L0 ball of all its pixels."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        raise UnavailableError("set NETASSAY_BENCHMARKS to the folder of the benchmark networks and images")
    data = np.load(Path(folder) / "mnist14" / "mnist14_test.npz")
    domain = Box.filled((1, 14, 14), 0.0, 1.0)
    network = na.load(str(Path(folder) / "deeptre_mnist14" / "sdnn.onnx")).with_domain(domain)
    inputs = data["images"][: 2 * count].reshape(-1, 1, 14, 14).astype(np.float64)
    with torch.no_grad():
        labels = network.outputs(torch.tensor(inputs, dtype=torch.float32)).argmax(dim=1).numpy()
    right = np.flatnonzero(labels == data["labels"][: 2 * count])[:count].tolist()
    return [Problem(network, Ball(inputs[i], 196, "l0", domain=domain), Robustness(int(labels[i])), i) for i in right]


def course(problems: Sequence[Problem], most: int, points: int) -> list[tuple[Estimate, float]]:
    """DeepTRE's estimates, the last one of every t, with the processor seconds up to each."""
    begin, found = time.process_time(), dict[int, tuple[Estimate, float]]()
    for estimate in deeptre(problems, most=most, points=points):
        found[estimate.size] = (estimate, time.process_time() - begin)
    return [found[t] for t in sorted(found)]


def first_uppers(problems: Sequence[Problem], points: int) -> NDArray[np.int64]:
    """Changes of every image's first witness at t = 1, before it is tightened; 0 where there is none."""
    found = []
    for i in range(0, len(problems), 16):
        inputs = Inputs(problems[i : i + 16], BATCH)
        sensed = sensitivities(inputs, 1, points)
        if sensed is None:
            raise KeyboardInterrupt
        for k, witness in enumerate(accumulated(inputs, sensed)):
            found.append(0 if witness is None else int((torch.as_tensor(witness) != inputs.center[k]).sum()))
    return np.array(found)


def proofs(problems: Sequence[Problem], estimate: Estimate, seconds: float, most: int) -> Iterator[Proved]:
    """Balls of t = 1, 2, ... proved one after the other, each within ``seconds`` of time; counterexamples lower the witness's changes."""
    for i, problem in enumerate(problems):
        begin, lower, changes = time.process_time(), 0, int(estimate.upper[i]) + 1
        while lower + 1 < changes and lower < most:
            ball = replace(problem, region=problem.ball.with_radius(lower + 1))
            final = list(PixelSplitting().verify(Task(claim_of(ball), Regions.of([ball.region]), Limits(Clock(seconds)))))[-1]
            if final.point is not None:
                changes = min(changes, int(problem.ball.distance(final.point[None])[0]))
            if not final.proved:
                break
            lower += 1
        yield Proved(problem.index or 0, lower, changes, time.process_time() - begin)
