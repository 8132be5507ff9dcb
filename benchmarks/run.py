"""Runs every benchmark and rewrites the tables of ``benchmarks/README.md``: one command, ``make bench``."""

from __future__ import annotations

import datetime
from pathlib import Path

import batching
import direct_search
import overhead
import radius
import resnet50
import table2
from report import machine, table

FOLDER = Path(__file__).parent
MARK = "<!-- tables: written by `make bench` -->"


def main() -> None:
    """Measures and writes."""
    sections = {
        "Range of the ReLU networks of DeepQuant's Table 2": table2.measure,
        "Batching (DeepQuant, Fig. 3)": lambda: batching.measure(figure=FOLDER / "batching.svg"),
        "Direct search: slopes found over the best known": direct_search.measure,
        "Minimal perturbations beside attack libraries": radius.measure,
        "Search overhead": overhead.measure,
        "A ResNet-50-size network": resnet50.measure,
    }
    parts = [f"Measured {datetime.date.today().isoformat()} on {machine()}."]
    for title, measure in sections.items():
        print(f"{title} ...", flush=True)
        rows = measure()
        text = table(rows) if rows else "Not measured: NETASSAY_BENCHMARKS is not set."
        print(text, flush=True)
        parts.append(f"## {title}\n\n{text}")
    readme = FOLDER / "README.md"
    head = readme.read_text().split(MARK)[0].rstrip()
    readme.write_text(f"{head}\n\n{MARK}\n\n" + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
