"""Runs benchmarks and rewrites their tables in ``benchmarks/README.md``: all of them with one command, ``make bench``.

python benchmarks/run.py [NAME ...] [--parts WORK ...] [--missing]

A table is written as soon as it is measured, so that an interrupt keeps those that are done; one that takes long part by part.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from report import Row, machine, rows_of, table

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
MARK = "<!-- tables: written by `make bench` -->"


@dataclass(frozen=True)
class Section:
    """One table.

    Args:
        title: Its heading.
        measure: Gives its rows, none where the benchmark networks are missing.
        parts: The same for each part by itself, under the work that its rows name; for tables that take long.
    """

    title: str
    measure: Callable[[], Sequence[Row]] | None = None
    parts: Mapping[str, Callable[[], Sequence[Row]]] = field(default_factory=dict)

    def asked(self, works: Sequence[str], there: Sequence[Row]) -> list[Callable[[], Sequence[Row]]]:
        """What to call for the parts whose work begins with one of ``works`` (all where there are none), but for those ``there``."""
        if self.measure is not None:
            return [self.measure]
        known = {row.work for row in there}
        return [part for work, part in self.parts.items() if work not in known and (not works or work.startswith(tuple(works)))]


SECTIONS = {
    "table2": Section("Range of the ReLU networks of DeepQuant's Table 2", table2.measure),
    "batching": Section("Batching (DeepQuant, Fig. 3)", lambda: batching.measure(figure=FOLDER / "batching.svg")),
    "direct_search": Section("Direct search: slopes found over the best known", direct_search.measure),
    "radius": Section("Minimal perturbations beside attack libraries", radius.measure),
    "l0_attacks": Section("Fewest changed pixels beside other attacks", parts=l0_attacks.parts()),
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
    parser.add_argument("--parts", nargs="+", default=[], metavar="WORK", help="only what begins so, of the tables that have parts")
    parser.add_argument("--missing", action="store_true", help="only what the table lacks, of the tables that have parts")
    given = parser.parse_args(arguments)
    names = given.names or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; known are {', '.join(SECTIONS)}")
    known = [work for name in names for work in SECTIONS[name].parts]
    if strange := [begin for begin in given.parts if not any(work.startswith(begin) for work in known)]:
        parser.error(f"no part begins with {strange[0]!r}; known are {'; '.join(known) or 'none of these tables'}")
    for name in names:
        _measure(SECTIONS[name], given.parts, missing=given.missing)


def _measure(section: Section, works: Sequence[str], *, missing: bool) -> None:
    """Measures a table, or the parts of it that are asked for, and writes after each."""
    print(f"{section.title} ...", flush=True)
    there = rows_of(_sections(README.read_text(encoding="utf-8")).get(section.title, "")) if missing else []
    found: list[Row] = []
    for measure in section.asked(works, there):
        rows = measure()
        print(table(rows) if rows else "not measured: NETASSAY_BENCHMARKS is not set", flush=True)
        if rows:
            found += rows
            README.write_text(rewritten(README.read_text(encoding="utf-8"), section.title, found, list(section.parts)), encoding="utf-8")


def rewritten(text: str, title: str, rows: Sequence[Row], works: Sequence[str] = ()) -> str:
    """The README with one table replaced, or added where it belongs.

    Args:
        text: The README. title: The table's. rows: What was measured.
        works: The table's parts: rows of those that ``rows`` lack stay, and each row says its day. Empty for a table of one part.
    """
    head, sections, today = text.partition(MARK)[0], _sections(text), datetime.date.today().isoformat()
    when, found = f"{today} on {machine()}", list(rows)
    if works:
        new = {row.work for row in rows}
        kept = [row for row in rows_of(sections.get(title, "")) if row.work in works and row.work not in new]
        dated = [replace(row, figures={**row.figures, "measured": today}) for row in rows]
        when, found = f"on {machine()}", sorted([*kept, *dated], key=lambda row: works.index(row.work))
    sections[title] = f"\nMeasured {when}.\n\n{table(found)}\n"
    known = [section.title for section in SECTIONS.values() if section.title in sections]
    return f"{head.rstrip()}\n\n{MARK}\n" + "".join(f"\n## {t}\n\n{sections[t].strip()}\n" for t in known)


def _sections(text: str) -> dict[str, str]:
    """What stands under each title, in the README's part of tables."""
    return dict(section.split("\n", 1) for section in text.partition(MARK)[2].split("\n## ")[1:])


if __name__ == "__main__":
    main()
