"""The command: which experiments, how large, and where the pages go. Each page is written as soon as it is measured."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from deepquant.setting import Setting, Size, UnavailableError

EXPERIMENTS = {
    "table2": "reachability of ReLU and tanh networks",
    "fig5": "Q on ACAS Xu: tightness and evaluations",
    "fig6": "Q on MNIST in three norms, against random sampling",
    "fig7a": "targeted Q on CIFAR-10",
    "fig7b": "Q over a patch of an ImageNet-size image",
    "fig8": "the images that the searches return",
    "table6": "Q of six MNIST networks",
    "fig10": "uncertainty examples",
    "fig11": "the way to an uncertainty example",
}
"""Names, which are also those of the modules, and what they measure."""

RESULTS = Path(__file__).parent / "results"

OK, MISSING, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; gives 0, 1 if something was not at hand, 130 after Ctrl-C (what was finished stays)."""
    options = _parser().parse_args(arguments)
    size = Size.QUICK if options.quick else Size.FULL if options.full else Size.USUAL
    folder = options.out or (RESULTS / "quick" if options.quick else RESULTS)
    kept = {"cache": options.cache} if options.cache else {}
    setting = Setting(size, seed=options.seed, models=tuple(options.model), image=options.image, **kept)
    names = list(EXPERIMENTS) if "all" in options.names else list(dict.fromkeys(options.names))
    try:
        return _run(names, setting, folder)
    except KeyboardInterrupt:
        setting.say(f"interrupted; the finished pages are in {folder}")
        return INTERRUPTED


def _run(names: Sequence[str], setting: Setting, folder: Path) -> int:
    from deepquant.report import Result, write  # with torch and matplotlib, which a look at the options need not load

    status = OK
    for i, name in enumerate(names):
        setting.say(f"[{i + 1}/{len(names)}] {name}: {EXPERIMENTS[name]}")
        begin = time.process_time()
        try:
            result: Result = import_module(f"deepquant.{name}").measure(setting)
        except UnavailableError as missing:
            setting.say(f"  left out: {missing}")
            status = MISSING
            continue
        page = write(result, folder, setting, time.process_time() - begin)
        setting.say(f"  {page}, {time.process_time() - begin:.0f} s of processor time")
    return status


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:8}{what}" for name, what in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=f"Measures tables and figures of the DeepQuant paper again.\n\n{listed}\n  all     all of them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", choices=[*EXPERIMENTS, "all"], metavar="NAME", help="what to measure, or all")
    parser.add_argument("--out", type=Path, help="folder of the pages (default: results/ beside this script, results/quick/ with --quick)")
    parser.add_argument("--cache", type=Path, help="folder of trained networks (default: netassay/deepquant in the user's cache folder)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="tiny sizes, under three minutes for all of them")
    size.add_argument("--full", action="store_true", help="the sizes of the paper: hours on one core")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--model", action="append", default=[], help="fig7b: a network, as netassay takes it; may be repeated")
    parser.add_argument("--image", help="fig7b: data whose first image is taken, as netassay takes it")
    return parser
