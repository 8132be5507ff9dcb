"""Reads every network of a folder and reports how each was read and how well it agrees with its file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netassay.errors import ModelError, NetassayError
from netassay.models.agreement import INPUTS
from netassay.models.onnx_network import source_agreement
from netassay.models.onnx_reader import read_onnx
from netassay.models.operators import Shape
from netassay.numerics.box import Box


@dataclass(frozen=True)
class ModelRow:
    """One network of a folder.

    Args:
        path: Relative to the folder.
        operators: Kinds of operators in the file, sorted.
        input_shape, outputs: Of one sample, as the graph has them.
        parameters: Numbers in its weights.
        opset: Of the file.
        domain: Where the inputs came from: "declared" in a manifest, or "[0, 1]".
        deviation: Largest deviation from the reference evaluator in float32, as a share of the largest output.
        exact: The same in float64; measured only where float32 deviates by more than 1e-5.
        inputs: How many inputs were compared.
        agrees: Whether the deviation is allowed.
        error: Why it could not be read or compared; empty where it could.
    """

    path: str
    operators: tuple[str, ...] = ()
    input_shape: Shape = ()
    outputs: int = 0
    parameters: int = 0
    opset: int = 0
    domain: str = ""
    deviation: float | None = None
    exact: float | None = None
    inputs: int = 0
    agrees: bool = False
    error: str = ""


def model_table(folder: str | Path, *, inputs: int = INPUTS, progress: Callable[[ModelRow], None] | None = None) -> list[ModelRow]:
    """A row for every ``.onnx`` file below ``folder``, sorted by path; nothing is raised for a file that is bad.

    Args:
        folder: Searched with its subfolders. A ``MANIFEST.json`` in it may declare input boxes: entries of ``files`` with
            ``path`` and ``input_box`` (a pair per feature) or ``input_range`` (one pair).
        inputs: Random inputs per network, from its declared box, else from [0, 1].
        progress: Called with each row as it is made.
    Raises:
        ModelError: If the folder is not there, or its manifest is no JSON.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ModelError(f"{folder}: no such folder")
    declared = _declared(root)
    rows = []
    for path in _files(root):
        rows.append(_row(root, path, declared.get(path.relative_to(root).as_posix()), inputs))
        if progress is not None:
            progress(rows[-1])
    return rows


def _files(root: Path) -> Iterator[Path]:
    yield from sorted(p for p in root.rglob("*.onnx") if p.is_file())


def _declared(root: Path) -> dict[str, Any]:
    """The manifest's boxes by path: a pair per feature, or one pair."""
    path = root / "MANIFEST.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text("utf-8"))["files"]
        return {e["path"]: e.get("input_box") or e.get("input_range") for e in entries if isinstance(e, dict) and "path" in e}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: expected JSON with a list `files` of entries with a `path`; {error}") from error


def _box(declared: Any, shape: Shape) -> tuple[Box, str]:
    """The declared box in the input's shape; [0, 1] where none is declared or it does not fit."""
    try:
        pairs = np.asarray(declared, dtype=np.float64)
    except (TypeError, ValueError):
        pairs = np.zeros(0)
    if pairs.shape == (2,):
        return Box.filled(shape, float(pairs[0]), float(pairs[1])), "declared"
    if pairs.shape == (int(np.prod(shape)), 2):
        return Box(pairs[:, 0].reshape(shape), pairs[:, 1].reshape(shape)), "declared"
    return Box.filled(shape, 0.0, 1.0), "[0, 1]"


def _row(root: Path, path: Path, declared: Any, inputs: int) -> ModelRow:
    name = path.relative_to(root).as_posix()
    try:
        source = read_onnx(path)
        box, domain = _box(declared, source.graph.input_shape)
        found = source_agreement(source, box, inputs=inputs)
    except NetassayError as error:
        return ModelRow(name, error=str(error))
    return ModelRow(
        name,
        operators=tuple(sorted({n.op_type for n in source.file.graph.node})),
        input_shape=source.graph.input_shape,
        outputs=source.graph.output_size,
        parameters=source.graph.parameters,
        opset=source.file.opset,
        domain=domain,
        deviation=found.deviation,
        exact=found.exact,
        inputs=found.inputs,
        agrees=found.within,
    )
