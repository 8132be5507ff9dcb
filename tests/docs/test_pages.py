"""The documentation is run: what its pages show is what the commands print, and every option that they name exists."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from netassay.cli.main import app

ROOT = Path(__file__).parents[2]
SLOW = ("radius", "assess", "lipschitz")
"""Commands whose proofs take seconds by default, but for L0: here one pass has to do, which says as much in words."""


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


pages = loaded(Path(__file__).with_name("pages.py"))
PAGES = [*sorted(pages.DOCS.rglob("*.md")), ROOT / "README.md"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    known = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[module]


def printed(command: str) -> tuple[int, str]:
    """Exit code and stdout of a command, run in this process."""
    program, *arguments = shlex.split(command)
    if program == "netassay":
        slow = arguments[0] in SLOW and not {"--prover", "l0"} & set(arguments)
        quick = ["--prover", "crown"] if slow else []
        done = CliRunner().invoke(app, [*arguments, *quick])
        assert done.exit_code in (0, 1, 3), done.stderr
        return done.exit_code, done.stdout
    assert program == "python", f"the test knows no {program}"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(arguments[0], run_name="__main__")
    return 0, out.getvalue()


def test_there_are_pages_to_run() -> None:
    assert "docs/tutorial.md" in [name(path) for path in pages.runnable()]


@pytest.mark.parametrize("path", pages.runnable(), ids=name)
def test_a_page_shows_what_its_commands_print(path: Path, folder: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file, content in pages.files(text).items():
        (folder / file).write_text(content, encoding="utf-8")
    code = 0
    for step in pages.steps(text):
        if step.command == "echo $?":
            assert step.shown.strip() == str(code), f"exit code {code} after the command before"
            continue
        code, out = printed(step.command)
        assert pages.masked(out) == pages.masked(step.shown), f"$ {step.command}\n{out}"


def options() -> dict[str, set[str]]:
    """The options of every command."""
    group: Any = typer.main.get_command(app)
    context = click.Context(group)
    return {
        name: {o for p in group.get_command(context, name).params for o in p.opts} | {"--help"} for name in group.list_commands(context)
    }


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_command_of_a_page_exists_with_its_options(path: Path) -> None:
    known = options()
    for command in pages.commands(path.read_text(encoding="utf-8")):
        words = [word for word in command.replace("[", " ").replace("]", " ").split() if not word.startswith("#")]
        if words[1] in ("COMMAND", "--version"):
            continue
        assert words[1] in known, command
        assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known[words[1]], command


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_the_python_of_a_page_is_python(path: Path) -> None:
    for block in pages._FENCE.finditer(path.read_text(encoding="utf-8")):
        if block["kind"] == "python":
            compile(block["body"], name(path), "exec")
