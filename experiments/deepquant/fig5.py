"""Fig. 5: how tight Q is found on the ACAS Xu network, and with how many network evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import netassay as na
from deepquant import dense
from deepquant.asking import NORM_NAMES, NORMS, decided, slopes, steepness
from deepquant.drawing import bars, canvas, legend_below
from deepquant.images import benchmark
from deepquant.report import Result, Table, number
from deepquant.setting import BASELINE, EXPRESSION, OWN_METHOD, PAPER_METHOD, PRINTED_METHOD, PRINTED_TOO, STAND_IN, Setting, Size
from netassay.assessment.assess import problems
from netassay.models.network import Network
from netassay.specs.problem import Problem
from netassay.specs.regions import domain_scale
from netassay.specs.risks import parse_risk

PAPER_ROW = 1199
"""The input of the paper's scripts (row 1200 in MATLAB, which counts from 1)."""

RADIUS = 0.1
"""Of the balls, in shares of each input's range."""


@dataclass(frozen=True)
class Plan:
    """How many inputs, and how many evaluations each way of searching may use."""

    inputs: int
    queries: tuple[int, int]
    random: int
    reference: dense.Plan


PLANS = {
    Size.QUICK: Plan(1, (500, 2_000), 20_000, dense.Plan(20_000, 16, 30, 16)),
    Size.USUAL: Plan(5, (2_000, 13_000), 500_000, dense.Plan(100_000)),
    Size.FULL: Plan(25, (2_000, 13_000), 500_000, dense.Plan(1_000_000, 256, 100, 32)),
}

Table5 = dict[str, dict[str, list[float]]]
"""Q by norm and by way of searching, one for each input."""


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Q in three norms by every way of searching."""
    plan = plan or PLANS[setting.size]
    network, inputs, rows = acasxu(plan.inputs)
    spent = ways(plan)
    found: Table5 = {}
    for norm in NORMS:
        setting.say(f"  {NORM_NAMES[norm]}, {len(inputs)} inputs")
        found[norm] = _searched(_problems(network, inputs, norm), plan, setting.seed)
    return Result(
        "fig5",
        "Fig. 5: tightness on ACAS Xu",
        f"Q (Definition 6) of the published 5-input network in balls of radius {RADIUS:g}, measured in shares of each input's range (the "
        f"inputs have units of metres, radians and metres per second), at {len(inputs)} of the published inputs (rows "
        f"{', '.join(map(str, rows))}, counted from 0; {PAPER_ROW} is the one of the paper's scripts, the others are the next ones that "
        "are labelled rightly, one label after the other). The dense search stands for the ground truth: half of its points uniform in "
        f"the ball, half drawn towards the centre, then {plan.reference.kept} local searches of {plan.reference.steps} steps of "
        f"{plan.reference.tries} points, all in float64 (`dense.py`). It is a search, no proof: a share above 1 says that it was beaten.",
        "Bars without printed numbers, for one input. The text says: DEEPQUANT almost reaches DeepGO's value, with about 2,000 evaluations "
        "where DeepGO takes about 13,000; random sampling (500,000 points) stays well below.",
        [_table(found, spent), _first_input(found)],
        {"": _draw(found, spent)},
        {"": f"(a) Q at row {PAPER_ROW}, three norms; (b) network evaluations per norm."},
        [
            "The paper prints no radius and no units for its balls; radius and scale here are ours.",
            "DeepGO was not run: the dense search is the reference.",
            "The property is the gap to the runner-up in probabilities (Definition 5, case 1), as the paper defines it; the paper's "
            "published script measures something else (its expression reduces to the change of one output, over the whole input domain).",
            STAND_IN,
            PRINTED_TOO,
        ],
        _seen(found, spent),
    )


def acasxu(count: int) -> tuple[Network, NDArray[np.float64], list[int]]:
    """The published network on its box, ``count`` inputs of the published ones (float32 values), and their rows."""
    with np.load(benchmark("deepquant_acasxu/inputs.npz")) as data:
        inputs, labels, box = data["x"].astype(np.float32).astype(np.float64), data["labels"], na.Box(data["lower"], data["upper"])
    network = na.load(str(benchmark("deepquant_acasxu/net.onnx"))).with_domain(box)
    inputs = inputs.clip(box.lower, box.upper)
    later = np.arange(PAPER_ROW + 1, len(inputs))
    right = later[decided(network, inputs[later]) == labels[later]]
    others = [right[labels[right] == k] for k in np.unique(labels)]
    rows = [PAPER_ROW, *(int(column[turn]) for turn in range(min(map(len, others))) for column in others)][:count]
    return network, inputs[rows], rows


def ways(plan: Plan) -> dict[str, int]:
    """The ways of searching, and the evaluations of each."""
    low, high = plan.queries
    return {
        f"{PRINTED_METHOD}, {low:,}": low,
        f"{PAPER_METHOD}, {low:,}": low,
        f"{PAPER_METHOD}, {high:,}": high,
        f"{OWN_METHOD}, {high:,}": high,
        f"random, {plan.random:,}": plan.random,
        "dense search": plan.reference.queries,
    }


def _problems(network: Network, inputs: NDArray[np.float64], norm: str) -> list[Problem]:
    scale = domain_scale(network.domain)
    return problems(network, inputs, None, risk=parse_risk(EXPRESSION), norm=norm, radius=RADIUS, scale=scale)


def _searched(batch: list[Problem], plan: Plan, seed: int) -> dict[str, list[float]]:
    low, high = plan.queries
    asked = [(PRINTED_METHOD, low), (PAPER_METHOD, low), (PAPER_METHOD, high), (OWN_METHOD, high), (BASELINE, plan.random)]
    columns = [[steepness(a) for a in slopes(batch, method, queries, seed)] for method, queries in asked]
    return dict(zip(ways(plan), [*columns, [dense.slope(p, plan.reference, seed) for p in batch]], strict=True))


def _table(found: Table5, spent: dict[str, int]) -> Table:
    reference = list(spent)[-1]
    shares = {w: [np.array(found[n][w]) / np.array(found[n][reference]) for n in NORMS] for w in spent}
    rows = [[w, f"{spent[w]:,}", *(f"{s.mean():.3f}" for s in shares[w]), f"{min(s.min() for s in shares[w]):.3f}"] for w in spent]
    head = ["search", "evaluations", *(f"{NORM_NAMES[n]}: share" for n in NORMS), "worst"]
    return Table("Q found as a share of the dense search's Q, mean over the inputs", head, rows)


def _first_input(found: Table5) -> Table:
    rows = [[way, *(number(found[norm][way][0]) for norm in NORMS)] for way in found[NORMS[0]]]
    return Table(f"Q at row {PAPER_ROW}, per unit of the ball's norm", ["search", *(NORM_NAMES[n] for n in NORMS)], rows)


def _draw(found: Table5, spent: dict[str, int]) -> Figure:
    figure = canvas(9, 4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    groups = [NORM_NAMES[norm] for norm in NORMS]
    bars(left, groups, {way: [found[norm][way][0] for norm in NORMS] for way in spent}, ylabel="Q (probability per share of the range)")
    left.set_title("(a) Q found", fontsize=10)
    bars(right, ["per input and norm"], {way: [count] for way, count in spent.items()}, ylabel="network evaluations", log=True)
    right.set_title("(b) evaluations", fontsize=10)
    legend_below(figure, left, 3)
    return figure


def _seen(found: Table5, spent: dict[str, int]) -> list[str]:
    *searches, reference = spent
    sentences = []
    for way in searches:
        shares = np.concatenate([np.array(found[norm][way]) / np.array(found[norm][reference]) for norm in NORMS])
        sentences.append(f"{way} evaluations: {shares.mean():.1%} of the dense search's Q on average, at worst {shares.min():.1%}.")
    return sentences
