"""Two changed pixels on the two 28 x 28 networks: which images are proved, and how long it takes. Finished images are kept in a file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from deeptre.larger import SETTINGS, problems
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse.pixel_splitting import PixelSplitting

NETWORKS = ("case3_cnn", "mnist_complicated")


@dataclass(frozen=True, slots=True)
class Line:
    """One image.

    Args:
        network, image, limit: What was asked; the limit in seconds.
        threads: How many worked on it.
        verdict: proved, broken (by a counterexample), or the reason why it is neither.
        seconds, processor: How long it took, and processor time of all threads.
        subproblems: Cells of single pixels, and pairs of ranges, that were bounded.
    """

    network: str
    image: int
    limit: float
    threads: int
    verdict: str
    seconds: float
    processor: float
    subproblems: int


def measured(count: int, seconds: float, file: Path) -> list[Line]:
    """The first ``count`` images that each network classifies as labelled.

    Those in the file, with this limit and as many threads, are not measured again.
    """
    known = {(line.network, line.image): line for line in _read(file) if (line.limit, line.threads) == (seconds, torch.get_num_threads())}
    found = []
    for name in NETWORKS:
        for problem in problems(SETTINGS[name], count):
            key = (name, problem.index or 0)
            if key not in known:
                known[key] = _one(name, problem, seconds)
                with file.open("a", encoding="utf-8") as target:
                    target.write(json.dumps(asdict(known[key])) + "\n")
                print(known[key], file=sys.stderr, flush=True)
            found.append(known[key])
    return found


def _one(name: str, problem: Problem, seconds: float) -> Line:
    begin, processor = time.perf_counter(), time.process_time()
    ball = replace(problem, region=problem.ball.with_radius(2))
    *_, final = PixelSplitting().verify(Task(claim_of(ball), Regions.of([ball.region]), Limits(Clock(seconds))))
    verdict = "proved" if final.proved else "broken" if final.point is not None else final.reason
    taken = time.perf_counter() - begin, time.process_time() - processor
    return Line(name, problem.index or 0, seconds, torch.get_num_threads(), verdict, *taken, final.subproblems)


def _read(file: Path) -> list[Line]:
    if not file.exists():
        return []
    return [Line(**json.loads(text)) for text in file.read_text(encoding="utf-8").splitlines()]


def page(lines: Sequence[Line], seconds: float) -> str:
    """What was measured as a page."""
    parts = [
        f"""# Two changes on the 28 x 28 networks

The first test images that each network classifies as labelled; any two pixels take any values in [0, 1] (`pixel-splitting`). At most \
{seconds:g} s an image; threads: {", ".join(str(n) for n in sorted({line.threads for line in lines}))}.
"""
    ]
    for name in NETWORKS:
        mine = [line for line in lines if line.network == name]
        if not mine:
            continue
        done = sorted(line.seconds for line in mine if line.verdict == "proved")
        spread = f", in {done[0]:.0f} to {done[-1]:.0f} s (median {np.median(done):.0f} s)" if done else ""
        rows = "\n".join(
            f"| {line.image} | {line.verdict} | {line.seconds:.0f} | {line.processor:.0f} | {line.subproblems:,} |" for line in mine
        )
        parts.append(
            f"## {name}\n\nProved on {len(done)} of {len(mine)} images{spread}; "
            f"{sum(v <= 60 for v in done)} of them within 60 s.\n\n"
            f"| image | verdict | seconds | processor seconds | cells and pairs bounded |\n|---:|---|---:|---:|---:|\n{rows}\n"
        )
    return "\n".join(parts)
