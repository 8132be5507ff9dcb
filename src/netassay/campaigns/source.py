"""Which netassay gave a result: its version, and a hash of the source that results depend on."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import netassay
from netassay._version import __version__

DECIDING = ("assessment", "campaigns", "checking", "falsifiers", "models", "numerics", "results", "specs", "verifiers", "errors.py")
"""What results depend on; commands and reports only show them, and the store only keeps them."""

NUMERICAL = ("numpy", "scipy", "torch", "highspy", "onnx", "onnxruntime")
"""Packages whose versions may change a result."""


@cache
def tool() -> tuple[str, ...]:
    """Version, hash of the deciding source, and versions of the numerical packages."""
    root = Path(netassay.__file__).parent
    found = hashlib.sha256()
    for name in DECIDING:
        place = root / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(f"{path.relative_to(root).as_posix()};".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return (__version__, found.hexdigest(), *(f"{name}=={_version(name)}" for name in NUMERICAL))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
