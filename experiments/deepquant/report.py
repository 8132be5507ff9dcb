"""What an experiment found, as a Markdown page with drawings beside it."""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from deepquant.setting import Setting, Size

SIZES = {
    Size.QUICK: "`--quick`: a try-out, too small to conclude from",
    Size.USUAL: "the default size",
    Size.FULL: "`--full`: as much as the paper",
}


@dataclass(frozen=True)
class Table:
    """A table of the page, whose first ``words`` columns are text and the others numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Result:
    """What one experiment found.

    Args:
        name: File name without ending, and name on the command line.
        title: What of the paper it is.
        setup: What was measured here, in one paragraph.
        paper: What the paper shows, and which of its numbers can be quoted.
        tables: The figures measured, beside the paper's where it prints them.
        drawings: By a suffix to the name (empty for the only one) what is drawn.
        captions: By the same suffix, one sentence for each.
        differs: How this differs from the paper's experiment.
        seen: What to read from it.
        script: What measures it, as named on the page.
    """

    name: str
    title: str
    setup: str
    paper: str
    tables: Sequence[Table]
    drawings: Mapping[str, Figure]
    captions: Mapping[str, str]
    differs: Sequence[str]
    seen: Sequence[str] = field(default=())
    script: str = "experiments/deepquant/run.py"


def number(value: float, digits: int = 4) -> str:
    """``value`` with so many significant digits; a dash for what is not known."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.{digits}g}" if value == 0 or 1e-3 <= abs(value) < 10**digits else f"{value:.{max(0, digits - 2)}e}"


def write(result: Result, folder: Path, setting: Setting, seconds: float) -> Path:
    """Writes ``NAME.md`` and, for every drawing, ``NAME[-SUFFIX].svg`` and ``.png``; gives the page. ``seconds`` is what it took."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, figure in result.drawings.items():
        _draw(figure, folder / _stem(result, suffix))
    page = folder / f"{result.name}.md"
    page.write_text(_page(result, setting, seconds), encoding="utf-8")
    return page


def _draw(figure: Figure, stem: Path) -> None:
    with mpl.rc_context({"svg.hashsalt": stem.name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=110)


def _stem(result: Result, suffix: str) -> str:
    return f"{result.name}-{suffix}" if suffix else result.name


def _page(result: Result, setting: Setting, seconds: float) -> str:
    parts = [f"# {result.title}", result.setup]
    parts += [f"**{table.title}**\n\n{_table(table)}" for table in result.tables]
    for suffix in result.drawings:
        caption = result.captions[suffix]
        parts.append(f"![{caption}]({_stem(result, suffix)}.svg)\n\n{caption}")
    if result.seen:
        parts.append("## What it shows\n\n" + _list(result.seen))
    parts += [f"## The paper\n\n{result.paper}", "## What differs from the paper\n\n" + _list(result.differs)]
    parts.append(f"---\n\n`python {result.script} {result.name}`, {_circumstances(setting, seconds)}")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * table.words + "---:|" * (len(table.head) - table.words)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in table.rows)])


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _circumstances(setting: Setting, seconds: float) -> str:
    threads = torch.get_num_threads()
    machine = f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}, torch {torch.__version__}"
    return f"{SIZES[setting.size]}, seed {setting.seed}; {datetime.date.today().isoformat()}, {machine}, {seconds:.0f} s of processor time."
