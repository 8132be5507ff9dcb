"""Runs benchmarks and rewrites their tables in ``benchmarks/README.md``: all of them with one command, ``make bench``.

python benchmarks/run.py [NAME ...]

A table is written as soon as it is measured, so that an interrupt keeps those that are done.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import batching
import campaign
import certificates
import direct_search
import l0_attacks
import overhead
import radius
import resnet50
import table2
import verify
from report import Row, machine, table

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
MARK = "<!-- tables: written by `make bench` -->"


@dataclass(frozen=True)
class Section:
    """One table.

    Args:
        title: Its heading.
        measure: Gives its rows, none where the benchmark networks are missing.
    """

    title: str
    measure: Callable[[], Sequence[Row]]


SECTIONS = {
    "table2": Section("Range of the ReLU networks of DeepQuant's Table 2", table2.measure),
    "batching": Section("Batching (DeepQuant, Fig. 3)", lambda: batching.measure(figure=FOLDER / "batching.svg")),
    "direct_search": Section("Direct search: slopes found over the best known", direct_search.measure),
    "radius": Section("Minimal perturbations beside attack libraries", radius.measure),
    "l0_attacks": Section("Fewest changed pixels beside other attacks", l0_attacks.measure),
    "overhead": Section("Search overhead", overhead.measure),
    "resnet50": Section("A ResNet-50-size network", resnet50.measure),
    "bounds": Section("Bounds: tightness and time", verify.measure_bounds),
    "target_labels": Section("Target labels: time by order of the rival labels", verify.measure_target_labels),
    "verdicts": Section("Verdicts beside Marabou", verify.measure_verdicts),
    "campaign": Section("Campaigns: engine and store beside jobs of 50 ms", campaign.measure),
    "certificates": Section("Certificates: CPU seconds to prove, write and check", certificates.measure),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SECTIONS)}; all by default")
    names = parser.parse_args(arguments).names or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; known are {', '.join(SECTIONS)}")
    for name in names:
        print(f"{SECTIONS[name].title} ...", flush=True)
        rows = SECTIONS[name].measure()
        print(table(rows) if rows else "not measured: NETASSAY_BENCHMARKS is not set", flush=True)
        if rows:
            README.write_text(rewritten(README.read_text(encoding="utf-8"), SECTIONS[name].title, rows), encoding="utf-8")


def rewritten(text: str, title: str, rows: Sequence[Row]) -> str:
    """The README with one table replaced, or added where it belongs."""
    head, _, tables = text.partition(MARK)
    sections = dict(section.split("\n", 1) for section in tables.split("\n## ")[1:])
    sections[title] = f"\nMeasured {datetime.date.today().isoformat()} on {machine()}.\n\n{table(rows)}\n"
    known = [section.title for section in SECTIONS.values() if section.title in sections]
    return f"{head.rstrip()}\n\n{MARK}\n" + "".join(f"\n## {t}\n\n{sections[t].strip()}\n" for t in known)


if __name__ == "__main__":
    main()
