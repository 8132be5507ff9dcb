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

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0

OK, MISSING, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; gives 0, 1 if something was not at hand, 130 after Ctrl-C (what was finished stays)."""
    options = _parser().parse_args(arguments)
    limit = options.seconds if options.seconds > 0 else None
    status = OK
    for method in dict.fromkeys(options.methods):
        file = options.out / f"{method}.jsonl"
        try:
            _run(method, options, limit, file)
        except UnavailableError as missing:
            _say(f"{method} left out: {missing}")
            status = MISSING
            continue
        except KeyboardInterrupt:
            _say(f"interrupted; run the same command to go on from {file}")
            return INTERRUPTED
        finally:
            _write(method, limit, file, options.out)
    return status


def _run(method: str, options: argparse.Namespace, limit: float | None, file: Path) -> None:
    tool, done = verifier(method), {line.key for line in lines(file) if line.has(options.ways)}
    for network in dict.fromkeys(options.networks):
        wanted = valid(network)[: options.images]
        for eps in dict.fromkeys(options.eps):
            missing = [i for i in wanted if (network, method, eps, i, limit) not in done]
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


def _write(method: str, limit: float | None, file: Path, folder: Path) -> None:
    found = [line for line in lines(file) if line.limit == limit]
    if found:
        (folder / f"{method}.md").write_text(page(method, found, limit), encoding="utf-8")
        _say(f"  {folder / f'{method}.md'}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Measures Tables 2 to 4 of the target-label paper again.")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS], default=[*METHODS], metavar="NAME", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS], metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--eps", nargs="+", type=int, choices=EPSILONS, default=[*EPSILONS], metavar="EPS", help="radii in grey levels")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for each verification; 0 for no limit (default: {SECONDS:g})")
    parser.add_argument("--images", type=int, default=100, help="how many of the valid images (default: all)")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=[*WAYS],
        metavar="WAY",
        help="plain (all rivals at once), each (one after the other), targeted (by target labels); default: all three",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder of the measurements and pages (default: results/ beside this script)"
    )
    return parser
