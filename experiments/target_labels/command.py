"""The command: which methods, networks and radii. Every finished image is kept at once, and a later run goes on from there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from target_labels.benchmark import EPSILONS, NETWORKS, UnavailableError, valid
from target_labels.measure import WAYS, Line, append, lines, measure
from target_labels.methods import METHODS, verifier
from target_labels.page import page
from target_labels.rows import rows, standing

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0

OK, MISSING, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; gives 0, 1 if something was not at hand, 130 after Ctrl-C (what was finished stays)."""
    options = _parser().parse_args(arguments)
    status = OK
    for method in dict.fromkeys(options.methods):
        file = options.out / f"{method}.jsonl"
        try:
            _run(method, options, file)
        except UnavailableError as missing:
            _say(f"{method} left out: {missing}")
            status = MISSING
        except KeyboardInterrupt:
            _say(f"interrupted; run the same command to go on from {file}")
            return INTERRUPTED
    return status


def _run(method: str, options: argparse.Namespace, file: Path) -> None:
    try:
        if not options.pages_only:
            _measure(method, options, file)
    finally:
        _write(method, file, options.out)


def _measure(method: str, options: argparse.Namespace, file: Path) -> None:
    tool, limit = verifier(method), options.seconds if options.seconds > 0 else None
    done = standing((line for line in lines(file) if line.has(options.ways)), limit)
    for network in dict.fromkeys(options.networks):
        wanted = valid(network)[: options.images]
        for eps in dict.fromkeys(options.eps):
            missing = [i for i in wanted if (network, eps, i) not in done]
            found: list[Line] = []
            for image in missing:
                found.append(measure(network, method, eps, image, limit, tool, options.ways))
                append(found[-1], file)
            if missing:
                _say(f"{method}, {network}, eps {eps}: {_summary(found)}")


def _summary(found: Sequence[Line]) -> str:
    words = []
    for way, name in zip(WAYS, ("", "rival by rival ", "by target labels "), strict=True):
        runs = [run for line in found for run in [getattr(line, way)] if run is not None]
        if runs:
            words.append(
                f"{name}{sum(run.verdict == 'holds' for run in runs)} of {len(runs)} robust in {sum(r.seconds for r in runs):.1f} s"
            )
    return ", ".join(words)


def _write(method: str, file: Path, folder: Path) -> None:
    if made := rows(lines(file), valid):
        (folder / f"{method}.md").write_text(page(method, made), encoding="utf-8")
        _say(f"  {folder / f'{method}.md'}")
    else:
        _say(f"  no page of {method}: nothing is measured in {file}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Measures Tables 2 to 4 of the target-label paper again.")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS], default=[*METHODS], metavar="NAME", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS], metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--eps", nargs="+", type=int, choices=EPSILONS, default=[*EPSILONS], metavar="EPS", help="radii in grey levels")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"for each verification; 0 for no limit (default: {SECONDS:g}). What ended before a lower limit is not measured again",
    )
    parser.add_argument("--images", type=int, default=100, help="how many of the valid images (default: all)")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=[*WAYS],
        metavar="WAY",
        help="plain (all rivals at once), each (one after the other), targeted (by target labels); default: all three",
    )
    parser.add_argument("--pages-only", action="store_true", help="measure nothing: write the pages again, from all that is measured")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder of the measurements and pages (default: results/ beside this script)"
    )
    return parser
