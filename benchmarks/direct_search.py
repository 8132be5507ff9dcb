"""How tight direct search is: slopes found over the best slopes known, at equal numbers of queries, beside other optimisers.

The question is DeepQuant's Eq. 4, Q = max of |s(x) - s(x0)| / ||x - x0|| over a ball; tightness is the Q found over the reference of
``direct_search_references.json``. netassay's methods are asked as a user asks (``Question.LIPSCHITZ``), the problems of a group together;
every Q counts as evaluated again in float64 at the witness, in ball and domain. A method plans by its budget, so each budget is a run.
Problems whose reference is 0 (dead units: s is constant as far as anyone knows) are left out.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

import netassay as na
from direct_search_peers import PEERS, Limit, Peer
from direct_search_problems import DRAWS, FAMILIES, Groups, slopes
from direct_search_references import read
from netassay.assessment.ask import ask
from netassay.falsifiers.base import Method
from netassay.falsifiers.registry import METHODS, Entry
from netassay.results.answer import LipschitzAnswer, Question
from netassay.specs.problem import Problem
from report import Row, show, stopwatch

VARIANTS: dict[str, Method] = {}
"""Methods with options of their own, by a name that ``--methods`` takes like those of the registry."""

OURS = ("mads", "tpmads", "gradient", "random")
"""Methods of the registry; the first contender of a run is the one that the others are compared with, problem by problem."""

BUDGETS, LONG = (500, 2_000, 10_000), 100_000
LONG_PROBLEMS = 8
"""Problems per family with 784 inputs that are also searched with ``LONG`` queries, by every method in ``AT_LENGTH``."""

AT_LENGTH = ("mads", "tpmads", "gradient")

Named = dict[str, list[tuple[str, Problem]]]
"""Groups of problems, each with its name in the references."""


@dataclass(frozen=True, slots=True)
class Run:
    """One contender on one problem with one budget.

    Args:
        tightness: Slope in float64 over the reference. sound: Whether the slope reported is no more than that in float64.
        calls: Batched network calls of the run, which the problems of a group share.
        seconds: Time of the run, shared out evenly over its problems.
    """

    family: str
    problem: str
    contender: str
    queries: int
    slope: float
    tightness: float
    sound: bool
    calls: int
    seconds: float


def ours(method: str, group: Sequence[Problem], queries: int, seed: int) -> Iterator[tuple[float, bool, int, float]]:
    """(slope in float64, sound, calls, seconds) of each problem of a group."""
    with stopwatch() as watch:
        answers = ask(Question.LIPSCHITZ, group, method=method, budget=na.Budget(queries=queries), seed=seed)
    for problem, answer in zip(group, answers, strict=True):
        assert isinstance(answer, LipschitzAnswer)
        reported = answer.bracket.lower.value if answer.bracket.lower else 0.0
        exact = 0.0 if answer.witness is None else float(slopes(problem, answer.witness.point[None])[0])
        sound = reported <= exact * (1 + 1e-9)  # never true of NaN, which a point outside the ball gives
        yield exact if sound else 0.0, sound, answer.provenance.batched_calls, watch.seconds / len(group)


def peers(peer: Peer, group: Sequence[Problem], queries: int, seed: int) -> Iterator[tuple[float, bool, int, float]]:
    """The same of a peer, problem by problem."""
    for problem in group:
        with stopwatch() as watch:
            box = peer.search(problem, queries, seed)
        yield box.slope(), True, box.search.counter.calls, watch.seconds


def spread(groups: Named, count: int | None) -> Named:
    """``count`` of the problems, evenly over all groups; all of them if None."""
    every = [(group, i) for group, members in groups.items() for i in range(len(members))]
    if count is None or count >= len(every):
        return groups
    chosen = [every[round(at)] for at in np.linspace(0, len(every) - 1, count)]
    return {group: [groups[group][i] for g, i in chosen if g == group] for group in dict.fromkeys(g for g, _ in chosen)}


def searched(groups: Groups, references: dict[str, tuple[float, str]]) -> Named:
    """The problems that have a reference above 0, by name."""
    named = {group: [(f"{group} #{i}", problem) for i, problem in enumerate(members)] for group, members in groups.items()}
    kept = {group: [(name, p) for name, p in members if references.get(name, (0.0, ""))[0] > 0] for group, members in named.items()}
    return {group: members for group, members in kept.items() if members}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Args:
        contenders: Names of methods and peers. queries: Budgets; None for those of each family. problems: Most problems per family.
    """

    contenders: Sequence[str]
    queries: Sequence[int] | None = None
    problems: int | None = None
    seed: int = 0

    def budgets(self, family: str, contender: str) -> list[tuple[int, int | None]]:
        """(queries, most of the plan's problems) of a contender in a family."""
        long = LONG if family.startswith("mnistfc") and contender in (*AT_LENGTH, *VARIANTS) else 0
        asked = self.queries or (BUDGETS if not long else (*BUDGETS, LONG))
        peer = PEERS.get(contender)
        if peer is None:
            return [(q, LONG_PROBLEMS if q >= LONG and not self.queries else None) for q in asked]
        limit = peer.limits.get(family, Limit(0, 0))
        return [(q, limit.problems) for q in asked if q <= limit.queries]


def available(names: Sequence[str]) -> list[str]:
    """Those of the names that can be run here; says why the others cannot. Variants are entered into the registry of this process."""
    found = []
    for name in names:
        if name in VARIANTS:
            METHODS[name] = Entry(name, "falsifier", "any model", ("l0", "l1", "l2", "linf"), "-", name, partial(_variant, name))
        if name in PEERS and not PEERS[name].installed:
            print(f"{name}: left out, the package {PEERS[name].package} is not installed", flush=True)
        elif name not in METHODS and name not in PEERS:
            print(f"{name}: left out, no method or peer of that name", flush=True)
        else:
            found.append(name)
    return found


def _variant(name: str) -> Method:
    return VARIANTS[name]


def measured(families: Sequence[str], draw: str, plan: Plan) -> Iterator[Run]:
    """Every run, as it is done."""
    references = read()[draw]
    for family in families:
        groups = FAMILIES[family](DRAWS[draw])
        named = searched(groups, references)
        kept, named = sum(len(members) for members in named.values()), spread(named, plan.problems)
        print(f"{family}: {kept} of {sum(len(m) for m in groups.values())} problems have a reference above 0", flush=True)
        for contender in plan.contenders:
            for queries, most in plan.budgets(family, contender):
                found = list(_runs(family, contender, queries, spread(named, most), references, plan.seed))
                print(f"  {contender} {queries:,}: {progress(found)}", flush=True)
                yield from found


def _runs(family: str, contender: str, queries: int, groups: Named, references: dict[str, tuple[float, str]], seed: int) -> Iterator[Run]:
    run: Callable[[Sequence[Problem], int, int], Iterator[tuple[float, bool, int, float]]]
    run = partial(peers, PEERS[contender]) if contender in PEERS else partial(ours, contender)
    for members in groups.values():
        for (name, _), (slope, sound, calls, seconds) in zip(members, run([p for _, p in members], queries, seed), strict=True):
            yield Run(family, name, contender, queries, slope, slope / references[name][0], sound, calls, seconds)


def progress(runs: Sequence[Run]) -> str:
    """One line on runs of one contender and budget."""
    tightness, seconds = np.array([run.tightness for run in runs]), sum(run.seconds for run in runs)
    beyond = f"; up to {tightness.max():.4f} of the reference" if tightness.max() > 1.0001 else ""
    return f"{len(runs)} problems, tightness mean {tightness.mean():.3f}, median {np.median(tightness):.3f}; {seconds:.0f} s{beyond}"


def rows(runs: Sequence[Run]) -> list[Row]:
    """One row per family and contender, then one per family and pair of the first contender with another."""
    kinds = dict.fromkeys((run.family, run.contender) for run in runs)
    single = [Row(family, contender, _figures(_of(runs, family, contender))) for family, contender in kinds]
    pairs = [
        Row(family, f"{first} / {second}", figures)
        for family in dict.fromkeys(family for family, _ in kinds)
        for first, *others in [[contender for f, contender in kinds if f == family]]
        for second in others
        if (figures := _compared(_of(runs, family, first), _of(runs, family, second)))
    ]
    return single + pairs


def _of(runs: Sequence[Run], family: str, contender: str) -> list[Run]:
    return [run for run in runs if run.family == family and run.contender == contender]


def _budgets(runs: Sequence[Run]) -> dict[int, list[Run]]:
    return {queries: [r for r in runs if r.queries == queries] for queries in sorted({r.queries for r in runs})}


def _problems(queries: int) -> str:
    """The name of the column that counts problems; ``LONG`` has fewer of them."""
    return "problems" if queries < LONG else f"problems {queries:,}"


def _figures(runs: Sequence[Run]) -> dict[str, str]:
    """Mean and median tightness per budget, the share at .99 and more, cost with the standard budget, and the two checks."""
    figures = {}
    for queries, some in _budgets(runs).items():
        tightness = np.array([r.tightness for r in some])
        figures[_problems(queries)] = str(len(some))
        figures[f"mean {queries:,}"] = f"{tightness.mean():.3f}"
        figures[f"median {queries:,}"] = f"{np.median(tightness):.3f}"
        if queries >= BUDGETS[-1]:
            figures[f">= .99 {queries:,}"] = f"{np.mean(tightness >= 0.99):.2f}"
        if queries == BUDGETS[-1]:
            figures["calls"] = f"{np.mean([r.calls for r in some]):.0f}"
            figures["seconds"] = f"{np.mean([r.seconds for r in some]):.2f}"
    figures["reported too high"] = f"{sum(not r.sound for r in runs)} of {len(runs)}"
    figures["above reference"] = str(sum(r.tightness > 1 + 1e-6 for r in runs))
    return figures


def _compared(first: Sequence[Run], second: Sequence[Run]) -> dict[str, str]:
    """Per budget, over the problems that both had: the median of the ratios of slopes, and the share of at least .99."""
    figures = {}
    for queries, some in _budgets(second).items():
        other = {run.problem: run.slope for run in some}
        both = [(run.slope, other[run.problem]) for run in first if run.queries == queries and run.problem in other]
        if not both:
            continue
        ratios = np.array([ratio(mine, theirs) for mine, theirs in both])
        figures[_problems(queries)] = str(len(both))
        figures[f"median {queries:,}"] = f"{np.median(ratios):.3g}"
        if queries >= BUDGETS[-1]:
            figures[f">= .99 {queries:,}"] = f"{np.mean(ratios >= 0.99):.2f}"
    return figures


def ratio(mine: float, theirs: float) -> float:
    """mine / theirs; 1 where neither found anything, infinite where only the other did not."""
    return mine / theirs if theirs > 0 else (np.inf if mine > 0 else 1.0)


def measure(
    families: Sequence[str] | None = None, draw: str = "reporting", plan: Plan | None = None, kept: Path | None = None
) -> list[Row]:
    """Runs and tabulates; appends every run to ``kept`` as a line of JSON; empty without the networks."""
    if not os.environ.get("NETASSAY_BENCHMARKS"):
        return []
    plan = plan or Plan(available([*OURS, *VARIANTS, *PEERS]))
    runs = []
    for run in measured(families or list(FAMILIES), draw, plan):
        runs.append(run)
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps({"draw": draw, **asdict(run)}) + "\n")
    return rows(runs)


def main() -> None:
    """Reads the command line, runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", default=[*OURS, *VARIANTS, *PEERS], help="names of the registry, of variants and of peers")
    parser.add_argument("--queries", nargs="+", type=int, help="budgets; by default 500, 2,000, 10,000, and 100,000 for mnistfc")
    parser.add_argument("--draw", choices=list(DRAWS), default="reporting")
    parser.add_argument("--problems", type=int, help="most problems per family, evenly spread")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="four problems per family, 500 and 2,000 queries")
    parser.add_argument("--json", type=Path, help="append every run to this file, one JSON object a line")
    given = parser.parse_args()
    queries, problems = ((500, 2_000), 4) if given.quick else (given.queries, given.problems)
    show(measure(given.families, given.draw, Plan(available(given.methods), queries, problems, given.seed), given.json))


if __name__ == "__main__":
    main()
