"""``netassay doctor``: what this installation can do, and whether networks import as their files mean them."""

from __future__ import annotations

import json as json_text
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from netassay._version import __version__
from netassay.cli.exit_codes import ExitCode
from netassay.cli.options import JsonOption
from netassay.cli.tables import aligned
from netassay.errors import UsageError

REQUIRED = ("numpy", "torch", "onnx", "scikit-learn", "pydantic", "jinja2")
COLUMNS = ("path", "input_shape", "outputs", "parameters", "opset", "domain", "deviation", "exact", "inputs", "agrees", "operators")
OPTIONAL = {"onnxruntime": "a second engine that replays witnesses on ONNX models"}

ModelsOption = Annotated[
    str | None, typer.Option("--models", metavar="DIR", help="Import every network below this folder and compare.", show_default=False)
]


def doctor(models: ModelsOption = None, json: JsonOption = False) -> ExitCode:
    """Shows versions, devices and optional parts; with --models, checks every network below a folder.

    Each network is imported and compared with the reference evaluator of its format on random inputs.
    Exit code 1 if any fails.
    """
    facts = environment()
    rows = [] if models is None else _models(models)
    if json:
        print(json_text.dumps({**facts, "models": rows} if models is not None else facts, indent=2))
    else:
        _print_facts(facts)
        _print_models(rows)
    return ExitCode.OK if all(row["agrees"] for row in rows) else ExitCode.VIOLATION


def environment() -> dict[str, Any]:
    """Versions of what is used, threads, devices and folders."""
    import torch

    from netassay.models.builtin import cache_folder

    return {
        "netassay": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in REQUIRED},
        "optional": {name: _version(name) for name in OPTIONAL},
        "devices": ["cpu", *(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))],
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "cache": str(cache_folder()),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _models(folder: str) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from netassay.models.doctor import model_table

    if not Path(folder).is_dir():
        raise UsageError(f"--models {folder}: no such folder")
    rows = [asdict(row) for row in model_table(folder, progress=lambda row: print(row.path, file=sys.stderr))]
    if not rows:
        raise UsageError(f"--models {folder}: no network found below it; expected .onnx files")
    return rows


def _print_facts(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            for package, version in value.items():
                note = f"  ({OPTIONAL[package]})" if package in OPTIONAL else ""
                print(f"{package:>14}  {version or 'not installed'}{note}")
        else:
            print(f"{name:>14}  {', '.join(value) if isinstance(value, list) else value}")
    sys.stdout.flush()


def _print_models(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    headers = [name.replace("_", " ") for name in COLUMNS]
    numbers = [name.replace("_", " ") for name in ("outputs", "parameters", "opset", "deviation", "exact", "inputs")]
    print("\n" + aligned(headers, [[_cell(row[name]) for name in COLUMNS] for row in rows], numbers) + "\n")
    failed = [row for row in rows if not row["agrees"]]
    for row in failed:
        print(f"{row['path']}: {row['error'] or 'deviates from the reference evaluator'}")
    print(f"{len(rows) - len(failed)} of {len(rows)} networks import and agree with the reference evaluator")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2g}"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, tuple):
        return (" x " if all(isinstance(v, int) for v in value) else ", ").join(map(str, value))
    return str(value)
