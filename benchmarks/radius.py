"""The nearest witness that a search finds: ours beside the attacks of Foolbox, on the same networks, inputs, norms and budgets.

A query is one point evaluated, with or without its gradient, counted by a wrapper around the network; what our answers are
confirmed and replayed with comes on top and is shown. Our distances are those of replayed witnesses; the peers' nearest points
are judged in float64 (``radius_peers``). Ratios are to the nearest witness known of each input, which large budgets of all
contenders have found and ``radius_references.json`` keeps.

    python benchmarks/radius.py [--families ...] [--norms ...] [--contenders ...] [--queries ...] [--draw tuning|reporting] [--count N]
                                [--slow] [--references] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import netassay as na
import radius_peers
from direct_search_problems import CIFAR_MEAN, CIFAR_STD, REPORTING, TUNING, folder
from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.falsifiers.registry import METHODS
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.numerics.norms import Norm
from netassay.results.answer import Question, RadiusAnswer
from netassay.specs.risks import parse_risk
from report import Row, show

QUERIES = (1000, 10_000)
"""Points per input."""

SLOW_QUERIES = 1000
"""Points that slow attacks are given at most, unless they are asked for."""

REFERENCES = Path(__file__).parent / "radius_references.json"

Array = NDArray[np.float64]


class Counted(Network):
    """A network that counts the rows it is asked for.

    Attributes:
        count: Points evaluated in the network's own dtype without ("values") and with a gradient ("gradients"), and in float64 ("exact").
    """

    differentiable = True

    def __init__(self, inner: Network, count: dict[str, int] | None = None) -> None:
        super().__init__(
            name=inner.name,
            domain=inner.domain,
            output_size=inner.output_size,
            convention=inner.convention,
            sha256=inner.sha256,
            device=inner.device,
        )
        self._inner, self.count = inner, {} if count is None else count

    @property
    def dtype(self) -> str:
        return self._inner.dtype

    def outputs(self, inputs: Tensor) -> Tensor:
        """The inner network's."""
        kind = "exact" if self.dtype == "float64" else "gradients" if inputs.requires_grad else "values"
        self.count[kind] = self.count.get(kind, 0) + len(inputs)
        return self._inner.outputs(inputs)

    def in_float64(self) -> Network | None:
        """The inner network's, counting too."""
        wide = self._inner.in_float64()
        return None if wide is None else type(self)(wide, self.count)

    def memory_per_point(self, *, gradient: bool = False) -> int:
        """The inner network's."""
        return self._inner.memory_per_point(gradient=gradient)


class Blind(Counted):
    """The same without gradients: a black box."""

    differentiable = False


@dataclass(frozen=True)
class Family:
    """Inputs of one network.

    Args:
        build: (seed, count) -> network and inputs (N, *shape), all decided as labelled where there are labels.
        norms: What is minimised.
        blind: Whether only contenders without gradients are asked.
        share: Of the queries, for networks that are slow.
    """

    build: Callable[[int, int], tuple[Network, Array]]
    norms: tuple[str, ...]
    blind: bool = False
    share: float = 1.0


def rightly_decided(network: Network, inputs: Array, labels: NDArray[np.int64], seed: int, count: int) -> Array:
    """``count`` inputs drawn from those that the network decides as labelled."""
    order = np.random.default_rng(seed).permutation(len(inputs))[: 4 * count]
    with torch.no_grad():
        scores = network.scores(torch.as_tensor(inputs[order], dtype=torch.float32), Scale.LOGITS)
    right = scores.argmax(dim=1).numpy() == labels[order]
    chosen: Array = inputs[order[right][:count]]
    return chosen


def _digits(name: str) -> Callable[[int, int], tuple[Network, Array]]:
    def build(seed: int, count: int) -> tuple[Network, Array]:
        network = builtin(name)
        images, labels = digits_test(flat=name.endswith("mlp"))
        return network, rightly_decided(network, images.astype(np.float64), labels, seed, count)

    return build


def _mnistfc(seed: int, count: int) -> tuple[Network, Array]:
    network = na.load(str(folder() / "vnncomp2021" / "mnistfc" / "onnx" / "mnist-net_256x2.onnx"), input_domain=(0, 1))
    data = np.load(folder() / "mnist" / "mnist_test_full.npz")
    return network, rightly_decided(network, data["images"].reshape(-1, *network.input_shape) / 255.0, data["labels"], seed, count)


def _cifar(seed: int, count: int) -> tuple[Network, Array]:
    path = folder() / "vnncomp2021" / "oval21" / "onnx" / "cifar_base_kw.onnx"
    network = na.load(str(path), input_domain=(0, 1), mean=CIFAR_MEAN, std=CIFAR_STD)
    data = np.load(folder() / "cifar10" / "cifar10_test_1000.npz")
    return network, rightly_decided(network, data["images"].transpose(0, 3, 1, 2) / 255.0, data["labels"], seed, max(1, count * 2 // 5))


def _acasxu(seed: int, count: int) -> tuple[Network, Array]:
    """One network; inputs from anywhere in its domain."""
    base = folder() / "vnncomp2021" / "acasxu"
    files = sorted((base / "onnx").glob("*.onnx"))
    rng = np.random.default_rng(seed)
    domain = na.Box(*(np.array([first, *[rest] * 4]).reshape(1, 1, 5) for first, rest in ((-0.328422877, -0.5), (0.679857769, 0.5))))
    network = na.load(str(files[int(rng.integers(len(files)))]), input_domain=domain, decision="argmin")
    return network, rng.uniform(domain.lower, domain.upper, (count, 1, 1, 5))


FAMILIES: dict[str, Family] = {
    "digits-mlp": Family(_digits("digits-mlp"), ("linf", "l2", "l1", "l0")),
    "digits-cnn": Family(_digits("digits-cnn"), ("linf", "l2", "l1")),
    "mnistfc": Family(_mnistfc, ("linf", "l2", "l1", "l0")),
    "cifar": Family(_cifar, ("linf", "l2"), share=0.2),
    "acasxu": Family(_acasxu, ("linf", "l2", "l1"), blind=True),
}
WITHOUT_FOLDER = ("digits-mlp", "digits-cnn")
OURS = ("auto", "gradient", "auto, black box", "mads, black box", "tpmads, black box")


@dataclass(frozen=True)
class Result:
    """Distances (N,), inf for none; points, gradients and float64 confirmations per input; processor seconds."""

    distances: Array
    points: float
    gradients: float
    confirmations: float
    seconds: float


def ask_ours(name: str, network: Network, inputs: Array, norm: str, queries: int, seed: int) -> Result:
    """One of our contenders on all inputs."""
    counted = (Blind if name.endswith("black box") else Counted)(network)
    batch = problems(counted, inputs, None, risk=parse_risk("robustness"), norm=norm)
    counted.count.clear()
    begin = time.process_time()
    answers = ask(Question.RADIUS, batch, method=name.partition(",")[0], budget=na.Budget(queries=queries), seed=seed)
    seconds = time.process_time() - begin
    found = np.array([a.witness.distance if isinstance(a, RadiusAnswer) and a.witness is not None else np.inf for a in answers])
    count, n = counted.count, len(inputs)
    return Result(
        found,
        float(np.mean([a.provenance.queries for a in answers])),
        count.get("gradients", 0) / n,
        (sum(count.values()) - sum(a.provenance.queries for a in answers)) / n,
        seconds,
    )


def ask_peer(name: str, network: Network, inputs: Array, norm: str, queries: int, seed: int) -> Result:
    """One of the peers on all inputs."""
    batch = problems(network, inputs, None, risk=parse_risk("robustness"), norm=norm)
    radius_peers.warm_up(name, Norm.of(norm))
    begin = time.process_time()
    found, points, gradients = radius_peers.distances(radius_peers.PEERS[name], batch, queries, seed)
    return Result(found, points, gradients, 0.0, time.process_time() - begin)


def contenders(family: Family, norm: str) -> list[str]:
    """Who can be asked about this family and norm."""
    ours = [name for name in OURS if name.partition(",")[0] in METHODS]
    peers = [name for name, peer in radius_peers.PEERS.items() if norm in peer.norms] if radius_peers.INSTALLED else []
    return [name for name in ours + peers if not (family.blind and _sees(name))]


def _sees(name: str) -> bool:
    """Whether a contender uses gradients."""
    return radius_peers.PEERS[name].gradients if name in radius_peers.PEERS else not name.endswith("black box")


class References:
    """The nearest witnesses known, by work, draw and input."""

    def __init__(self) -> None:
        self.known: dict[str, list[float]] = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}

    def improve(self, key: str, distances: Array) -> Array:
        """Takes in what was found for the first inputs of a draw; gives the nearest known of them, inf where none."""
        old = np.array(self.known.get(key, []), dtype=np.float64)
        size = max(len(old), len(distances))
        best, new = (np.pad(row, (0, size - len(row)), constant_values=np.inf) for row in (old, distances))
        self.known[key] = np.minimum(best, new).tolist()
        return np.array(self.known[key][: len(distances)])

    def save(self) -> None:
        """Writes the file anew."""
        rounded = {key: [float(f"{d:.9g}") for d in row] for key, row in sorted(self.known.items())}
        fresh = REFERENCES.with_suffix(".tmp")
        fresh.write_text("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rounded.items()) + "\n}\n")
        fresh.replace(REFERENCES)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        budgets: Points per input. draw, count, seed: Which inputs, how many (two fifths of that for cifar), and the searches' seed.
        norms, only: Norms and contenders; all where empty.
        slow: Whether slow attacks are given more than ``SLOW_QUERIES`` points.
        keep: Whether what is found improves the references.
    """

    budgets: Sequence[int] = QUERIES
    draw: int = REPORTING
    count: int = 10
    seed: int = 0
    norms: Sequence[str] = ()
    only: Sequence[str] = ()
    slow: bool = False
    keep: bool = False


def run(names: Iterable[str], plan: Plan) -> list[Row]:
    """One row per work, budget and contender."""
    references, rows = References(), []
    for name in names:
        network, inputs = FAMILIES[name].build(plan.draw, plan.count)
        for norm in [n for n in FAMILIES[name].norms if not plan.norms or n in plan.norms]:
            found = list(_contests(name, network, inputs, norm, plan))
            if not found:
                continue
            best = references.improve(f"{name} {norm} draw {plan.draw}", np.min([result.distances for _, _, result in found], axis=0))
            ordered = sorted(found, key=lambda contest: contest[1])
            rows += [_row(f"{name} {norm}, {spend} queries", who, result, best) for who, spend, result in ordered]
            if plan.keep:
                references.save()
    return rows


def _contests(name: str, network: Network, inputs: Array, norm: str, plan: Plan) -> Iterator[tuple[str, int, Result]]:
    """(contender, points per input, result) of one family and norm."""
    family = FAMILIES[name]
    for who in contenders(family, norm):
        if plan.only and who not in plan.only:
            continue
        for queries in plan.budgets:
            spend = int(queries * family.share)
            if not plan.slow and spend > SLOW_QUERIES and who in radius_peers.PEERS and radius_peers.PEERS[who].slow:
                continue
            ask_it = ask_peer if who in radius_peers.PEERS else ask_ours
            result = ask_it(who, network, inputs, norm, spend, plan.seed)
            print(f"  {name} {norm} {who} {spend}: {result.seconds:.1f} s", flush=True)
            yield who, spend, result


def _row(work: str, who: str, result: Result, best: Array) -> Row:
    possible = np.isfinite(best)
    ratio = result.distances[possible] / best[possible]
    figures = {
        "found": f"{np.isfinite(result.distances[possible]).mean():.0%}",
        "median ratio": f"{np.median(ratio):.3f}",
        "mean ratio": f"{ratio.mean():.3f}",
        "worst": f"{ratio.max():.3f}",
        "points": f"{result.points:.0f}",
        "gradients": f"{result.gradients:.0f}",
        "confirmations": f"{result.confirmations:.0f}",
        "CPU s": f"{result.seconds:.1f}",
    }
    return Row(work, who, figures)


def measure() -> list[Row]:
    """All families that are there, three inputs each (one for cifar) of the reporting draw, the smaller budget, without slow attacks."""
    quick = [*OURS, *(name for name, peer in radius_peers.PEERS.items() if not peer.slow)]
    return run(available(), Plan(QUERIES[:1], count=3, only=quick))


def available() -> list[str]:
    """The families whose networks are there."""
    return list(FAMILIES) if os.environ.get("NETASSAY_BENCHMARKS") else list(WITHOUT_FOLDER)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES))
    parser.add_argument("--norms", nargs="+", choices=["linf", "l2", "l1", "l0"], default=[])
    parser.add_argument("--contenders", nargs="+", choices=[*OURS, *radius_peers.PEERS], default=[])
    parser.add_argument("--queries", nargs="+", type=int, default=list(QUERIES))
    parser.add_argument("--draw", choices=["tuning", "reporting"], default="reporting")
    parser.add_argument("--count", type=int, default=10, help="inputs per family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", action="store_true", help=f"give slow attacks more than {SLOW_QUERIES} points, too")
    parser.add_argument("--references", action="store_true", help="keep what is found as references")
    parser.add_argument("--quick", action="store_true", help="the built-in networks, three inputs, 500 points")
    given = parser.parse_args()
    if not radius_peers.INSTALLED:
        print("foolbox and numba are not installed, so ours are measured alone: pip install foolbox numba")
    names = given.families or (list(WITHOUT_FOLDER) if given.quick else available())
    draw = TUNING if given.draw == "tuning" else REPORTING
    budgets, count = ([500], 3) if given.quick else (given.queries, given.count)
    show(run(names, Plan(budgets, draw, count, given.seed, given.norms, given.contenders, given.slow, given.references)))


if __name__ == "__main__":
    main()
