"""The edge: errors become messages and exit codes, groups of options become parameters."""

from __future__ import annotations

import errno
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from netassay.cli.edge import command
from netassay.cli.exit_codes import ExitCode, worst
from netassay.errors import DataError, InconsistentClaimsError, InputError


@dataclass(frozen=True)
class Group:
    colour: Annotated[str, typer.Option(help="A colour.")] = "red"
    debug: Annotated[bool, typer.Option("--debug")] = False


def paint(name: Annotated[str, typer.Argument()], group: Group, times: Annotated[int, typer.Option("--times")] = 1) -> ExitCode:
    """Paints."""
    print(name, group.colour, times)
    return ExitCode.OK


def invoke(function: Callable[..., ExitCode], *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command("only")(command(function))
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_groups_are_spread_and_gathered_again() -> None:
    assert list(inspect.signature(command(paint)).parameters) == ["name", "colour", "debug", "times"]
    assert invoke(paint, "wall", "--colour", "blue", "--times", "2") == (0, "wall blue 2\n", "")
    assert invoke(paint, "wall")[1] == "wall red 1\n"


def raising(error: BaseException) -> Callable[..., ExitCode]:
    def fails(group: Group) -> ExitCode:
        raise error

    fails.__annotations__ = {"group": Group, "return": ExitCode}
    return fails


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("no such thing"), 2, "error: no such thing\n"),
        (DataError("label 12"), 2, "error: label 12\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: No space left on device; free space there"),
        (PermissionError(errno.EACCES, "Permission denied", "out/x.json"), 2, "error: out/x.json: Permission denied; free space there"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/x"),
            2,
            "error: /proc/x: No such file or directory; name a file",
        ),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/x"), 2, "error: file/x: Not a directory; name a file"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", ".part", None, "folder"), 2, "error: folder: Is a directory; name a file"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), 4, "internal error: FileNotFoundError: [Errno 2] No such file"),
        (OSError(errno.EBADF, "Bad file descriptor"), 4, "internal error: OSError: [Errno 9] Bad file descriptor\n"),
        (InconsistentClaimsError("0.3 above 0.2"), 4, "internal error: 0.3 above 0.2\n"),
        (ZeroDivisionError("by zero"), 4, "internal error: ZeroDivisionError: by zero\n"),
    ],
)
def test_errors_become_messages_and_exit_codes(error: BaseException, code: int, told: str) -> None:
    got, out, err = invoke(raising(error))
    assert got == code
    assert out == ""
    assert err.startswith(told)
    assert "Traceback" not in err


def test_debug_adds_the_traceback() -> None:
    code, out, err = invoke(raising(ZeroDivisionError("by zero")), "--debug")
    assert code == 4
    assert out == ""
    assert "Traceback" in err
    assert "internal error: ZeroDivisionError: by zero" in err


def test_a_functions_own_code_is_the_exit_code() -> None:
    def unknown() -> ExitCode:
        return ExitCode.UNKNOWN

    assert invoke(unknown)[0] == 3


def test_the_worst_code_wins() -> None:
    order = [130, 4, 2, 1, 3, 0]
    for i, code in enumerate(order):
        assert worst(ExitCode(c) for c in order[i:]) == code
    assert worst([]) is ExitCode.OK


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, which is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["methods"], ["schema"]])
def test_a_full_disk_behind_stdout_is_told_and_no_bug(arguments: list[str], unbuffered: str) -> None:
    """Python meets it at the first line if stdout is not buffered, else when the buffer is emptied, and once more when it exits."""
    with Path("/dev/full").open("w") as full:
        code = [sys.executable, "-m", "netassay", *arguments]
        done = subprocess.run(
            code,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device; free space there, or write elsewhere (--out, --report, stdout)\n"


@pytest.mark.parametrize("name", ["write_witness", "write_document"])
def test_answers_that_cannot_be_stored_are_printed_all_the_same(
    run: Any, classifier: str, points: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"netassay.results.codec.{name}", full)
    done = run("radius", classifier, points, "--index", 0, "--queries", 2000, "--out", "there", "--json")
    assert done.code == 2
    assert 0.25 <= json.loads(done.out)["upper"]["value"] < 0.26
    assert done.err.startswith("error: there: No space left on device; free space there")
    shown = run("radius", classifier, points, "--index", 0, "--queries", 2000, "--out", "there")
    assert shown.code == 2
    assert "<= 0.25" in shown.out
    assert "answers and witnesses" not in shown.out
