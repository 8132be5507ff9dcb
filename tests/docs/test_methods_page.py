"""The page of methods: everything that the registries hold is on it, and every paper that they name has its reference."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netassay.cli.methods import listing

HOOKS = Path(__file__).parents[2] / "docs" / "hooks"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods_page", HOOKS / "methods_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> list[dict[str, Any]]:
    return [dict(row) for rows in listing().values() for row in rows]


def papers() -> list[str]:
    """Every paper that an entry names; what stands behind a semicolon at a risk is about the same one."""
    engines = [part for title in ("methods", "verifiers") for row in listing()[title] for part in str(row["paper"]).split("; ")]
    return sorted({*engines, *(str(row["paper"]) for row in listing()["risks"])} - {"-"})


def test_every_entry_has_its_heading(hook: ModuleType) -> None:
    lines = hook.page().splitlines()
    assert [line for line in lines if line.startswith("### ")] == [f"### `{row['name']}`" for row in rows()]


@pytest.mark.parametrize("paper", papers())
def test_every_paper_has_its_reference(hook: ModuleType, paper: str) -> None:
    named = [reference for name, reference in hook.papers().items() if name in paper]
    assert named, f"add a line to docs/hooks/papers.txt for {paper!r}"
    assert all(reference in hook.page() for reference in named)


def test_no_reference_is_left_over(hook: ModuleType) -> None:
    said = " ".join(row["paper"] for row in rows())
    assert [name for name in hook.papers() if name not in said] == []
