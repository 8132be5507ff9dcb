"""Trained weights, kept in a folder so that they are trained once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

Figures = dict[str, float]


def remembered(path: Path, module: nn.Module, train: Callable[[nn.Module], Figures]) -> Figures:
    """Puts the weights kept at ``path`` into ``module``, or trains it and keeps what came out.

    Args:
        path: A file whose name says all that the weights depend on.
        module: Gets the weights.
        train: Trains the module, and gives figures to keep beside the weights (its accuracy, say).
    Returns:
        Those figures.
    """
    kept = _read(path, module)
    if kept is not None:
        return kept
    figures = train(module)
    _write(path, {"weights": module.state_dict(), "figures": figures})
    return figures


def _read(path: Path, module: nn.Module) -> Figures | None:
    try:
        stored = torch.load(path, weights_only=True)
        module.load_state_dict(stored["weights"])
        return {str(name): float(value) for name, value in stored["figures"].items()}
    except Exception:  # missing, truncated or foreign: whatever is wrong with a cache, the answer is to train again
        return None


def _write(path: Path, content: dict[str, object]) -> None:
    """Writes beside the target and renames, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save(content, stream)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
