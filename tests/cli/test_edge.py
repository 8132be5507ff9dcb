"""The edge: errors become messages and exit codes, groups of options become parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

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
