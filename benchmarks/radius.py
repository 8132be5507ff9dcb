"""The nearest witness that a search finds: ours beside the attacks of Foolbox, on the same networks, inputs, norms and budgets.

A query is one point evaluated, with or without its gradient, counted by a wrapper around the network; what our answers are
confirmed and replayed with comes on top and is shown. Our distances are those of replayed witnesses; the peers' nearest points
are judged in float64 (``radius_peers``). Ratios are to the nearest witness known of each input, which large budgets of all
contenders have found and ``radius_references.json`` keeps.

    python benchmarks/radius.py [--families ...] [--contenders ...] [--queries ...] [--draw tuning|reporting] [--quick] [--references]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import netassay as na
import radius_peers
from direct_search_problems import CIFAR_MEAN, CIFAR_STD, REPORTING, TUNING, folder, limits
from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.falsifiers.registry import METHODS
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.results.answer import Question, RadiusAnswer
from netassay.specs.risks import parse_risk
from report import Row, show, stopwatch

QUERIES = (1000, 10_000)
"""Points per input."""

LARGE = 100_000
"""Points per input of a search for references."""

REFERENCES = Path(__file__).with_suffix("").parent / "radius_references.json"

Array = NDArray[np.float64]


class Counted(Network):
    """A network that counts the rows it is asked for.

    Attributes:
        rows: Points evaluated in the network's own dtype; gradients: those with a gradient; exact: points evaluated in float64.
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
        build: (seed) -> network and inputs (N, *shape), all decided as labelled where there are labels.
        norms: What is minimised.
        blind: Whether only contenders without gradients are asked.
        share: Of the queries, for networks that are slow.
    """

    build: Callable[[int, int], tuple[Network, Array]]
    norms: tuple[str, ...]
    blind: bool = False
    share: float = 1.0


def _right(network: Network, inputs: Array, labels: NDArray[np.int64], seed: int, count: int) -> Array:
    """``count`` inputs drawn from those that the network decides as labelled."""
    order = np.random.default_rng(seed).permutation(len(inputs))[: 4 * count]
    with torch.no_grad():
        scores = network.scores(torch.as_tensor(inputs[order], dtype=torch.float32), Scale.LOGITS)
    right = scores.argmax(dim=1).numpy() == labels[order]
    return inputs[order[right][:count]]


def _digits(name: str) -> Callable[[int, int], tuple[Network, Array]]:
    def build(seed: int, count: int) -> tuple[Network, Array]:
        network = builtin(name)
        images, labels = digits_test(flat=name.endswith("mlp"))
        return network, _right(network, images.astype(np.float64), labels, seed, count)

    return build


def _mnistfc(seed: int, count: int) -> tuple[Network, Array]:
    network = na.load(str(folder() / "vnncomp2021" / "mnistfc" / "onnx" / "mnist-net_256x2.onnx"), input_domain=(0, 1))
    data = np.load(folder() / "mnist" / "mnist_test_full.npz")
    return network, _right(network, data["images"].reshape(-1, *network.input_shape) / 255.0, data["labels"], seed, count)


def _cifar(seed: int, count: int) -> tuple[Network, Array]:
    path = folder() / "vnncomp2021" / "oval21" / "onnx" / "cifar_base_kw.onnx"
    network = na.load(str(path), input_domain=(0, 1), mean=CIFAR_MEAN, std=CIFAR_STD)
    data = np.load(folder() / "cifar10" / "cifar10_test_1000.npz")
    return network, _right(network, data["images"].transpose(0, 3, 1, 2) / 255.0, data["labels"], seed, max(1, count * 2 // 5))


def _acasxu(seed: int, count: int) -> tuple[Network, Array]:
    """One network; inputs from anywhere in its domain."""
    base = folder() / "vnncomp2021" / "acasxu"
    files = sorted((base / "onnx").glob("*.onnx"))
    domain = na.Box(*(side.reshape(1, 1, 5) for side in limits(base / "vnnlib" / "prop_5.vnnlib.gz")))
    rng = np.random.default_rng(seed)
    domain = na.Box(
        np.array([-0.328422877, -0.5, -0.5, -0.5, -0.5]).reshape(1, 1, 5), np.array([0.679857769, 0.5, 0.5, 0.5, 0.5]).reshape(1, 1, 5)
    )
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
    """Distances (N,), inf for none; points, gradients and float64 confirmations per input; seconds."""

    distances: Array
    points: float
    gradients: float
    confirmations: float
    seconds: float


def _ours(name: str, network: Network, inputs: Array, norm: str, queries: int, seed: int) -> Result:
    counted = (Blind if name.endswith("black box") else Counted)(network)
    batch = problems(counted, inputs, None, risk=parse_risk("robustness"), norm=norm)
    counted.count.clear()
    with stopwatch() as watch:
        answers = ask(Question.RADIUS, batch, method=name.partition(",")[0], budget=na.Budget(queries=queries), seed=seed)
    found = np.array([a.witness.distance if isinstance(a, RadiusAnswer) and a.witness is not None else np.inf for a in answers])
    count, n = counted.count, len(inputs)
    return Result(
        found,
        float(np.mean([a.provenance.queries for a in answers])),
        count.get("gradients", 0) / n,
        (sum(count.values()) - sum(a.provenance.queries for a in answers)) / n,
        watch.seconds,
    )


def _peer(name: str, network: Network, inputs: Array, norm: str, queries: int, seed: int) -> Result:
    batch = problems(network, inputs, None, risk=parse_risk("robustness"), norm=norm)
    with stopwatch() as watch:
        found, points, gradients = radius_peers.distances(radius_peers.PEERS[name], batch, queries, seed)
    return Result(found, points, gradients, 0.0, watch.seconds)


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
        """Takes in what was found; gives the nearest known, inf where none."""
        old = np.array(self.known.get(key, [np.inf] * len(distances)), dtype=np.float64)
        best = (
            np.minimum(old[: len(distances)], distances)
            if len(old) >= len(distances)
            else np.minimum(np.r_[old, [np.inf] * (len(distances) - len(old))], distances)
        )
        self.known[key] = [*best.tolist(), *old[len(distances) :].tolist()]
        return best

    def save(self) -> None:
        """Writes the file anew."""
        rounded = {key: [float(f"{d:.9g}") for d in row] for key, row in sorted(self.known.items())}
        text = json.dumps(rounded, indent=0)
        REFERENCES.with_suffix(".tmp").write_text(text)
        REFERENCES.with_suffix(".tmp").replace(REFERENCES)


def run(
    names: Iterable[str],
    *,
    only: Sequence[str] = (),
    budgets: Sequence[int] = QUERIES,
    draw: int = REPORTING,
    count: int = 10,
    seed: int = 0,
    references: References | None = None,
    norms: Sequence[str] = (),
) -> list[Row]:
    """One row per work, budget and contender."""
    known = references or References()
    rows: list[Row] = []
    for name in names:
        family = FAMILIES[name]
        network, inputs = family.build(draw, count)
        for norm in family.norms:
            if norms and norm not in norms:
                continue
            found: list[tuple[str, int, Result]] = []
            for contender in contenders(family, norm):
                if only and contender not in only:
                    continue
                for queries in budgets:
                    spend = int(queries * family.share)
                    ask_it = _peer if contender in radius_peers.PEERS else _ours
                    result = ask_it(contender, network, inputs, norm, spend, seed)
                    found.append((contender, spend, result))
                    print(f"  {name} {norm} {contender} {spend}: {result.seconds:.1f} s", flush=True)
            best = known.improve(f"{name} {norm} draw {draw}", np.min([r.distances for _, _, r in found], axis=0))
            rows += [_row(f"{name} {norm}, {spend} queries", who, result, best) for who, spend, result in sorted(found, key=lambda f: f[1])]
            known.save() if references is not None else None
    return rows


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
        "s": f"{result.seconds:.1f}",
    }
    return Row(work, who, figures)


def measure() -> list[Row]:
    """All families that are there, reporting draw."""
    names = list(FAMILIES) if os.environ.get("NETASSAY_BENCHMARKS") else list(WITHOUT_FOLDER)
    return run(names)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=None)
    parser.add_argument("--norms", nargs="+", default=[])
    parser.add_argument("--contenders", nargs="+", default=[])
    parser.add_argument("--queries", nargs="+", type=int, default=list(QUERIES))
    parser.add_argument("--draw", choices=["tuning", "reporting"], default="reporting")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the built-in networks, three inputs, 500 queries")
    parser.add_argument("--references", action="store_true", help="keep what is found in radius_references.json")
    given = parser.parse_args()
    names = given.families or (list(FAMILIES) if os.environ.get("NETASSAY_BENCHMARKS") and not given.quick else list(WITHOUT_FOLDER))
    if not radius_peers.INSTALLED:
        print("foolbox or numba is not installed: ours alone (pip install foolbox numba)")
    rows = run(
        names,
        only=given.contenders,
        budgets=[500] if given.quick else given.queries,
        draw=TUNING if given.draw == "tuning" else REPORTING,
        count=3 if given.quick else given.count,
        seed=given.seed,
        references=References() if given.references else None,
        norms=given.norms,
    )
    show(rows)


if __name__ == "__main__":
    main()
