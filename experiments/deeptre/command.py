"""The command: which figures, how many images, and where the pages go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deeptre.measure import Proved, UnavailableError, course, first_uppers, images, proofs
from netassay.falsifiers.sparse.deeptre import Estimate

RESULTS = Path(__file__).parent / "results"
NAMES = ("fig1", "fig2", "proofs")
OK, MISSING, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what was asked for; gives 0, 1 if something was not at hand, 130 after Ctrl-C (finished pages stay)."""
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in NAMES if "all" in options.names else dict.fromkeys(options.names):
            page = {"fig1": fig1, "fig2": fig2, "proofs": proved}[name](options)
            (options.out / f"{name}.md").write_text(page, encoding="utf-8")
    except UnavailableError as missing:
        print(missing, file=sys.stderr)
        return MISSING
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


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
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME", help="fig1, fig2, proofs, or all")
    parser.add_argument("--images", type=int, default=1000, help="images at t = 1 (default: 1000)")
    parser.add_argument("--pairs", type=int, default=200, help="images at t = 2 (default: 200)")
    parser.add_argument("--proved", type=int, default=200, help="images whose brackets are to be closed (default: 200)")
    parser.add_argument("--points", type=int, default=3, help="grid points per pixel (default: 3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for the proof of one ball (default: 60)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the pages (default: results/ beside this script)")
    return parser
