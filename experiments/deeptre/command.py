"""The command: which figures, how many images, and where the pages go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from deepquant import setting
from deepquant.setting import Setting, Size
from deeptre import larger, two_changes
from deeptre.measure import Proved, UnavailableError, course, first_uppers, images, proofs
from netassay.falsifiers.sparse.deeptre import Estimate

RESULTS = Path(__file__).parent / "results"
FIGURES = ("fig3", "fig4", "fig6", "fig7", "fig9")
"""Names, which are also those of the modules; each page has a drawing."""

NAMES = ("fig1", "fig2", "proofs", *larger.SETTINGS, "two_changes", *FIGURES)
OK, MISSING, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what was asked for; gives 0, 1 if something was not at hand, 130 after Ctrl-C (finished pages stay)."""
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in NAMES if "all" in options.names else dict.fromkeys(options.names):
            if name in FIGURES:
                drawn(name, options)
                continue
            pages = {"fig1": fig1, "fig2": fig2, "proofs": proved, "two_changes": two}
            page = pages[name](options) if name in pages else brackets(name, options)
            (options.out / f"{name}.md").write_text(page, encoding="utf-8")
    except (UnavailableError, setting.UnavailableError) as missing:
        print(missing, file=sys.stderr)
        return MISSING
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


def drawn(name: str, options: argparse.Namespace) -> None:
    """Measures a figure of its own module, and writes its page and its drawings."""
    from deepquant.report import Result, write  # with matplotlib, which the other pages do not need

    kept = {"cache": options.cache} if options.cache else {}
    asked = Setting(Size.QUICK if options.quick else Size.FULL if options.full else Size.USUAL, seed=options.seed, **kept)
    asked.say(f"{name}:")
    begin = time.process_time()
    result: Result = import_module(f"deeptre.{name}").measure(asked)
    write(result, options.out, asked, time.process_time() - begin)


def fig1(options: argparse.Namespace) -> str:
    """The image whose first witness changes most pixels, at t = 1 and t = 2."""
    problems = images(options.images)
    first = first_uppers(problems, options.points)
    worst = int(first.argmax())
    rows = [_row(f"t = {e.size}", e, seconds, e.queries) for e, seconds in course([problems[worst]], 2, options.points)[1:]]
    return (
        "# Fig. 1 (left): an image whose first upper bound is large\n\n"
        f"Of {len(problems)} images, number {problems[worst].index} of the test set: its first witness at t = 1 changes {first[worst]} "
        f"pixels. {_grid(options.points)}\n\n{_table(rows)}\n\nThe paper's image begins at 27 and has U_r = 1 after t = 2.\n"
    )


def fig2(options: argparse.Namespace) -> str:
    """Global robustness at t = 1, and at t = 2 over fewer images."""
    parts = [f"# Fig. 1 (middle), Fig. 2: global robustness of sDNN\n\n{_grid(options.points)}"]
    for most, count in ((1, options.images), (2, options.pairs)):
        problems = images(count)
        rows = [_row(f"t = {e.size}", e, seconds / count, e.queries // count) for e, seconds in course(problems, most, options.points)[1:]]
        parts.append(f"**{count} images**\n\n{_table(rows)}")
    parts.append("The paper, over another sample of 5,300 images and with networks' own time: U_c = 1.97 at t = 1, 2.1 in the end.")
    return "\n\n".join(parts) + "\n"


def proved(options: argparse.Namespace) -> str:
    """How many brackets are closed by proof."""
    problems = images(options.proved)
    ((estimate, _),) = course(problems, 1, options.points)[1:]
    found: list[Proved] = []
    for each in proofs(problems, estimate, options.seconds, 2):
        found.append(each)
        print(each, file=sys.stderr, flush=True)
    closed = sum(each.closed for each in found)
    spread = "\n".join(f"| {t} | {sum(e.lower == t for e in found)} | {sum(e.lower == t and e.closed for e in found)} |" for t in range(3))
    return (
        "# Brackets closed by proof\n\n"
        f"{closed} of {len(found)} brackets are closed: t changes are proved safe, and a witness changes t + 1 pixels. Witnesses: DeepTRE "
        f"at t = 1 and counterexamples of the proofs. Up to t = 2, {options.seconds:g} s of time for a ball; mean "
        f"{sum(e.seconds for e in found) / len(found):.1f} s of processor time an image.\n\n"
        f"| proved t | images | of them closed |\n|---|---|---|\n{spread}\n"
    )


def brackets(name: str, options: argparse.Namespace) -> str:
    """Brackets on one of the larger networks."""
    points, queries, seconds = options.points, options.queries, options.seconds
    told = partial(print, file=sys.stderr, flush=True)
    found = larger.measured(name, options.larger, points=points, queries=queries, seconds=seconds, told=told)
    return larger.page(name, found, points=points, queries=queries, seconds=seconds)


def two(options: argparse.Namespace) -> str:
    """Two changes on the 28 x 28 networks."""
    lines = two_changes.measured(options.two, options.two_seconds, options.out / "two_changes.jsonl")
    return two_changes.page(lines, options.two_seconds)


def _grid(points: int) -> str:
    return (
        f"Grid: {points} values of each pixel, both ends of [0, 1] among them. The lower bounds are heuristic (nothing is known between "
        "grid points), the upper ones attained. l and u are the paper's: u counts the witness's changes, so that the radius itself is at "
        "most u - 1."
    )


def _row(name: str, estimate: Estimate, seconds: float, queries: int) -> str:
    low, high = float(estimate.lower.mean()), float(estimate.upper.mean()) + 1
    share = float((estimate.lower >= estimate.upper).mean())
    return (
        f"| {name} | {low:.3f} | {high:.3f} | {(low + high) / 2:.3f} | {(high - low) / 2:.3f} | {share:.0%} | {queries} | {seconds:.3f} |"
    )


def _table(rows: Sequence[str]) -> str:
    head = "| | l | u | U_c | U_r | l = u - 1 | queries an image | processor seconds an image |\n|---|---|---|---|---|---|---|---|\n"
    return head + "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Measures figures of the DeepTRE paper again.")
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME", help=f"{', '.join(NAMES)}, or all")
    parser.add_argument("--images", type=int, default=1000, help="images at t = 1 (default: 1000)")
    parser.add_argument("--pairs", type=int, default=200, help="images at t = 2 (default: 200)")
    parser.add_argument("--proved", type=int, default=200, help="images whose brackets are to be closed (default: 200)")
    parser.add_argument("--larger", type=int, default=20, help="images of each larger network (default: 20)")
    parser.add_argument("--queries", type=int, default=3000, help="queries of the search on the larger networks (default: 3000)")
    parser.add_argument("--points", type=int, default=3, help="grid points per pixel (default: 3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for the proof of one ball (default: 60)")
    parser.add_argument("--two", type=int, default=8, help="two_changes: images of each network (default: 8)")
    parser.add_argument("--two-seconds", type=float, default=900.0, help="two_changes: time for an image (default: 900)")
    parser.add_argument("--cache", type=Path, help="fig9: folder of trained networks (default: that of the DeepQuant experiments)")
    parser.add_argument("--seed", type=int, default=0, help="everything random in fig3 to fig9 comes from it")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fig3 to fig9: small networks that need no benchmark folder, seconds")
    size.add_argument("--full", action="store_true", help="fig3 to fig9: as much as the paper, hours")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the pages (default: results/ beside this script)")
    return parser
