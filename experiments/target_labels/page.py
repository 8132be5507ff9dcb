"""The page of one method: its measurements as the paper's table, beside the paper's numbers."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Sequence

import numpy as np

from target_labels.benchmark import EPSILONS, NETWORKS
from target_labels.measure import WAYS, Line, Run
from target_labels.methods import METHODS
from target_labels.paper import SORTING, TABLES
from target_labels.rows import Row

HEAD = (
    "eps",
    "limit",
    "images",
    "t_sort",
    "T",
    "T each",
    "T*",
    "ACC",
    "ACC each",
    "RST",
    "RST*",
    "violated",
    "violated*",
    "late",
    "late*",
    "discarded",
)
PAPER_HEAD = ("t_sort", "T", "T*", "ACC", "RST", "RST*")

DIFFERS = (
    "The verifiers are netassay's own: mixed-integer programs for MipVerify, zonotopes for DeepZ, and the same, "
    "refined neuron by neuron with linear programs, for Neurify.",
    "What is counted as robust is proved in real arithmetic, unless the page says otherwise.",
    "Regions are cut by the domain [0, 1] of the pixels, which the paper does not say of its own.",
    "Labels are ranked, and discarded, by the symbolic upper bound of `f_j - f_k` rather than of `f_j` alone.",
    "netassay's bounds treat all rivals in one pass; the paper's times (T close to T* where nothing is discarded) are those of one pass "
    "for each rival, which is T each here.",
    "A verification that runs out of its seconds counts as unknown; the paper gives each execution three hours.",
    "Where the paper's tools see no counterexample (DeepZ), unknown images are tried for every label, as Algorithm 1 says.",
)


def page(method: str, rows: Sequence[Row]) -> str:
    """The Markdown page of a method, from all its rows."""
    known = METHODS[method]
    title = f"Table {known.table}: {known.paper}, here `{method}`" if known.table else f"`{method}`, which the paper does not have"
    parts = [
        f"# {title}",
        "The first 100 test images of MNIST, without those that a network mislabels; L-infinity balls of eps/255 within [0, 1]; every "
        "verification has the seconds of its row. T and RST: the whole claim at once. T each: one rival after the other, in the order of "
        "their numbers. T* and RST*, by target labels: rivals ranked and discarded by symbolic intervals, then one after the other. Times "
        "are sums over the images, in seconds.",
    ]
    for name, source in NETWORKS.items():
        if own := [[*_measured(row), *_printed(method, name, row.eps)] for row in rows if row.network == name]:
            parts.append(f"## {name} ({source.layers})\n\n{_table(method, own)}")
    parts += [
        _legend(method),
        "## What differs from the paper\n\n" + "\n".join(f"- {sentence}" for sentence in DIFFERS),
        _circumstances(method, rows),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(row: Row) -> list[str]:
    """The cells of a row; a way that not all images were verified in has none."""
    found = row.lines
    plain, each, whole = (_runs(found, way) for way in WAYS)
    sorting = sum(line.sorting for line in found)
    seconds = [None if side is None else sum(run.seconds for run in side) for side in (plain, each, whole)]
    saved = [None if t is None or seconds[2] is None else 100 * (t - seconds[2]) / t for t in seconds[:2]]
    ranked = None if seconds[2] is None else seconds[2] - sorting
    counts = ["-" if side is None else str(_count(side, word)) for word in ("holds", "violated", "time-out") for side in (plain, whole)]
    return [
        str(row.eps),
        "none" if row.limit is None else f"{row.limit:g} s",
        f"{len(found)}" if len(found) == row.valid else f"{len(found)} of {row.valid}",
        *(_cell(t) for t in (None if whole is None else sorting, *seconds[:2], ranked)),
        *(_cell(percent, ".1f", " %") for percent in saved),
        *counts,
        _cell(None if whole is None else float(np.mean([line.discarded for line in found])), ".1f"),
    ]


def _runs(found: Sequence[Line], way: str) -> list[Run] | None:
    return [getattr(line, way) for line in found] if all(line.has([way]) for line in found) else None


def _cell(value: float | None, form: str = ".2f", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _count(runs: Iterable[Run], what: str) -> int:
    return sum(what in (run.verdict, run.reason) for run in runs)


def _printed(method: str, name: str, eps: int) -> list[str]:
    if method not in TABLES:
        return []
    at = EPSILONS.index(eps)
    row = TABLES[method][name][at]
    if row is None:
        return [f"{SORTING[name][at]:.2f}", "out of time", "out of time", "-", "-", "-"]
    times = [f"{t:.2f}" for t in (SORTING[name][at], row.plain, row.targeted)]
    return [*times, f"{row.saved:.1f} %", str(row.robust), str(row.robust_targeted)]


def _table(method: str, rows: Sequence[Sequence[str]]) -> str:
    head = [*HEAD, *(f"{name}, paper" for name in PAPER_HEAD if method in TABLES)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _legend(method: str) -> str:
    fewer = ", while the paper's are of all" if method in TABLES else ""
    return (
        "`limit`: seconds that each verification was given. A row is of the limit under which most images are measured; what had ended "
        "before a lower limit counts as measured under longer ones, too. `images`: those that the network labels rightly; where it says "
        f"37 of 98, the row's times and counts are of the first 37 of them{fewer}. `t_sort`: ranking the labels. `ACC` = (T - T* - t_sort) "
        "/ T, and `ACC each` the same of T each. `RST`: proved robust. `violated`: a counterexample was found and evaluated. `late`: "
        "stopped at the limit, which the times contain, and might be decided with a longer one. Images that are none of these three: the "
        "method gave up before the limit. `discarded`: rivals per image, of nine, that the ranking proves impossible. A star is with "
        "target labels, a dash is what was not measured for every image of the row."
    )


def _circumstances(method: str, rows: Sequence[Row]) -> str:
    runs = [run for row in rows for line in row.lines for way in WAYS for run in [getattr(line, way)] if run is not None]
    solver = sum(run.verdict == "holds" and run.guarantee != "proved" for run in runs)
    words = f"{solver} of the verifications that hold rest on a solver's word." if solver else "All that holds is proved."
    limits = {f"{row.limit or 0:g}" for row in rows}
    seconds = f"{limits.pop()}`" if len(limits) == 1 else "LIMIT`, with the limit of each row"
    machine = f"{platform.machine()}, numpy {np.__version__}"
    command = f"`python experiments/target_labels/run.py --methods {method} --seconds {seconds}"
    return f"---\n\n{words} {command}; written {datetime.date.today().isoformat()}, {machine}."
