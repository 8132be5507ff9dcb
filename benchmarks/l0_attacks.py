"""The fewest changed pixels that a search finds: ours beside attacks made for that, on the same networks and inputs, at equal queries.

A query is one point evaluated, with or without its gradient (see ``l0_peers``). Ours are counted by a wrapper around the network;
what our answers are confirmed and replayed with comes on top, as in ``radius.py``, whose Foolbox attacks for L0 are asked, too. Every
witness counts only if float64 decides otherwise there, ours and theirs.

    python benchmarks/l0_attacks.py [--families ...] [--contenders ...] [--queries ...] [--draw tuning|reporting] [--count N] [--quick]

prints what is asked for. The table of ``benchmarks/README.md`` is made of parts, a network and a budget each, measured one by one:

    python benchmarks/run.py l0_attacks [--parts NETWORK ...] [--missing]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

import l0_peers
import netassay as na
import radius_peers
from direct_search_problems import REPORTING, TUNING, folder
from netassay.assessment.assess import problems
from netassay.falsifiers.sparse.deeptre import deeptre
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.specs.risks import parse_risk
from radius import Counted, Result, ask_ours, ask_peer, rightly_decided
from report import Row, show

QUERIES = (1000, 10_000)
"""Points per input."""

Array = NDArray[np.float64]
Contender = Callable[[Network, Array, int, int], Result]
"""(network, inputs, points per input, seed) -> what was found."""


@dataclass(frozen=True)
class Family:
    """Inputs of one network.

    Args:
        build: (seed, count) -> network and inputs (N, *shape), decided as labelled.
        count: Inputs.
        budgets: Points per input in the table.
    """

    build: Callable[[int, int], tuple[Network, Array]]
    count: int
    budgets: tuple[int, ...] = (1000,)


def _digits(seed: int, count: int) -> tuple[Network, Array]:
    network, (images, labels) = builtin("digits-cnn"), digits_test(flat=False)
    return network, rightly_decided(network, images.astype(np.float64), labels, seed, count)


def _small(seed: int, count: int) -> tuple[Network, Array]:
    """DeepTRE's sDNN on 14 x 14 images."""
    network = na.load(str(folder() / "deeptre_mnist14" / "sdnn.onnx"), input_domain=(0, 1))
    data = np.load(folder() / "mnist14" / "mnist14_test.npz")
    return network, rightly_decided(
        network, data["images"].reshape(-1, *network.input_shape).astype(np.float64), data["labels"], seed, count
    )


def _large(seed: int, count: int) -> tuple[Network, Array]:
    """The convolutional network of DeepTRE's third case study on 28 x 28 images."""
    return _full_size("case3_cnn", seed, count)


def _complicated(seed: int, count: int) -> tuple[Network, Array]:
    """Another convolutional network of DeepTRE's on 28 x 28 images."""
    return _full_size("mnist_complicated", seed, count)


def _full_size(name: str, seed: int, count: int) -> tuple[Network, Array]:
    network = na.load(str(folder() / "deeptre_mnist28" / f"{name}.onnx"), input_domain=(0, 1))
    data = np.load(folder() / "mnist" / "mnist_test_full.npz")
    return network, rightly_decided(network, data["images"].reshape(-1, *network.input_shape) / 255.0, data["labels"], seed, count)


FAMILIES: dict[str, Family] = {
    "digits-cnn": Family(_digits, 20),
    "sdnn": Family(_small, 20),
    "case3_cnn": Family(_large, 10, (1000, 2500)),
    "mnist_complicated": Family(_complicated, 10, (1000, 2500)),
}
WITHOUT_FOLDER = ("digits-cnn",)


def _ours(name: str, network: Network, inputs: Array, queries: int, seed: int) -> Result:
    return ask_ours(name, network, inputs, "l0", queries, seed)


def _foolbox(name: str, network: Network, inputs: Array, queries: int, seed: int) -> Result:
    return ask_peer(name, network, inputs, "l0", queries, seed)


def _other(name: str, network: Network, inputs: Array, queries: int, seed: int) -> Result:
    begin = time.process_time()
    batch = problems(network, inputs, None, risk=parse_risk("robustness"), norm="l0")
    found, points, gradients = l0_peers.distances(l0_peers.PEERS[name], batch, queries, seed)
    return Result(found, points, gradients, 0.0, time.process_time() - begin)


def _deeptre(network: Network, inputs: Array, queries: int, seed: int) -> Result:
    """The paper's upper bounds at t = 1, three values of each pixel; all or nothing: inf where that takes more points than there are.

    By drops of the logit: the probabilities of some networks are rounded to 1, and no pixel alone moves them.
    """
    begin, counted = time.process_time(), Counted(network)
    batch = problems(counted, inputs, None, risk=parse_risk("robustness@logits"), norm="l0")
    counted.count.clear()
    estimate = list(deeptre(batch, most=1, points=3))[-1]
    spent = counted.count.get("values", 0) / len(inputs)
    found = np.array([np.inf if w is None or spent > queries else u + 1 for w, u in zip(estimate.witnesses, estimate.upper, strict=True)])
    return Result(found, spent, 0.0, 0.0, time.process_time() - begin)


OURS = ("auto", "gradient", "auto, black box", "mads, black box")
BLIND = ("auto, black box", "mads, black box", "DeepTRE, t = 1", "Pointwise")
"""Who sees nothing but outputs."""


def contenders() -> dict[str, Contender]:
    """All who can be asked here, by name."""
    found: dict[str, Contender] = {name: partial(_ours, name) for name in OURS}
    found["DeepTRE, t = 1"] = _deeptre
    found |= {name: partial(_other, name) for name, peer in l0_peers.PEERS.items() if peer.installed}
    if radius_peers.INSTALLED:
        found |= {name: partial(_foolbox, name) for name, peer in radius_peers.PEERS.items() if "l0" in peer.norms and not peer.slow}
    return found


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        budgets: Points per input. draw, count, seed: Which inputs, how many (None: as many as the family says), the searches' seed.
        only: Contenders; all where empty.
    """

    budgets: Sequence[int] = QUERIES
    draw: int = REPORTING
    count: int | None = None
    seed: int = 0
    only: Sequence[str] = ()


def run(names: Iterable[str], plan: Plan) -> list[Row]:
    """One row per network, budget and contender."""
    rows = []
    for name in names:
        family = FAMILIES[name]
        network, inputs = family.build(plan.draw, plan.count or family.count)
        for queries in sorted(set(plan.budgets)):
            results = {}
            for who, contender in contenders().items():
                if not plan.only or who in plan.only:
                    results[who] = contender(network, inputs, queries, plan.seed)
                    print(f"  {name} {queries} {who}: {results[who].seconds:.1f} s", flush=True)
            rows += [_row(_work(name, queries), who, result, results) for who, result in results.items()]
    return rows


def _work(name: str, queries: int) -> str:
    return f"{name}, {queries} queries"


def _row(work: str, who: str, result: Result, results: dict[str, Result]) -> Row:
    found = np.isfinite(result.distances)
    pixels = result.distances[found]
    figures = {
        "inputs": str(len(found)),
        "found": f"{found.mean():.0%}",
        "mean pixels": f"{pixels.mean():.2f}" if len(pixels) else "-",
        "median pixels": f"{np.median(pixels):.1f}" if len(pixels) else "-",
        "pixels / ours": _beside(result, results.get("auto, black box" if who in BLIND else "auto")),
        "points": f"{result.points:.0f}",
        "gradients": f"{result.gradients:.0f}",
        "CPU s": f"{result.seconds:.1f}",
    }
    return Row(work, who, figures)


def _beside(result: Result, own: Result | None) -> str:
    """Mean ratio of the pixels to those of ``auto`` (blind where the contender is), and on how many inputs ours are fewer, equal, more.

    The ratio is over the inputs where both found a witness; in the counts none is more than any.
    """
    if own is None:
        return ""
    both = np.isfinite(result.distances) & np.isfinite(own.distances)
    ratio = f"{(result.distances[both] / own.distances[both]).mean():.2f}" if both.any() else "-"
    ours, theirs = own.distances, result.distances
    return f"{ratio} ({(ours < theirs).sum()}, {(ours == theirs).sum()}, {(ours > theirs).sum()})"


SECTION = ("auto", "auto, black box", "DeepTRE, t = 1", "sigma-zero", "VFGA", "JSMA", "FMN")
"""Who is asked for the table."""


def parts() -> dict[str, Callable[[], list[Row]]]:
    """The table in parts of minutes, by their rows' work: a network, a budget, all of ``SECTION`` in one run. No rows without networks."""
    return {_work(name, queries): partial(_part, name, queries) for name, family in FAMILIES.items() for queries in family.budgets}


def _part(name: str, queries: int) -> list[Row]:
    return run([name], Plan((queries,), only=SECTION)) if name in available() else []


def available() -> list[str]:
    """The families whose networks are there."""
    return list(FAMILIES) if os.environ.get("NETASSAY_BENCHMARKS") else list(WITHOUT_FOLDER)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES))
    parser.add_argument("--contenders", nargs="+", choices=list(contenders()), default=[])
    parser.add_argument("--queries", nargs="+", type=int, default=list(QUERIES))
    parser.add_argument("--draw", choices=["tuning", "reporting"], default="reporting")
    parser.add_argument("--count", type=int, help="inputs per network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the built-in network, three inputs, 300 points")
    given = parser.parse_args()
    if missing := [name for name, peer in l0_peers.PEERS.items() if not peer.installed]:
        print(f"{', '.join(missing)}: left out, adv-lib is not installed: pip install --no-deps adv-lib")
    plan = Plan(given.queries, TUNING if given.draw == "tuning" else REPORTING, given.count, given.seed, given.contenders)
    plan = replace(plan, budgets=[300], count=3) if given.quick else plan
    show(run(given.families or (list(WITHOUT_FOLDER) if given.quick else available()), plan))


if __name__ == "__main__":
    main()
