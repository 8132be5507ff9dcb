"""Help: complete, and without loading what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from netassay import __version__
from netassay.cli.main import app

ASKING = ("assess", "radius", "lipschitz", "reach", "verify", "check")
COMMANDS = (*ASKING, "report", "export", "show", "compare", "methods", "doctor", "demo", "schema")
SEARCHES = ("assess", "radius", "lipschitz", "reach")
SHARED = ("--json", "--seed", "--seconds", "--queries", "--memory", "--device", "--quiet", "--method", "--outputs", "--decision")
SHARED += ("--mean", "--std", "--domain", "--radius", "--scale", "--mask", "--granularity", "--one-hot", "--group", "--trust", "--out")
SHARED += ("--report", "--limit", "--index", "--norm", "--risk", "--debug", "--start", "--target", "--label-column")


def helped(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return result.stdout


def test_every_command_is_listed() -> None:
    text = helped()
    assert [name for name in COMMANDS if name not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(name: str) -> None:
    assert "--json" in helped(name)


@pytest.mark.parametrize("name", SEARCHES)
def test_searching_commands_share_their_options(name: str) -> None:
    text = helped(name)
    assert [option for option in SHARED if option not in text] == []


def test_verify_has_the_options_of_every_question() -> None:
    text = helped("verify")
    assert [o for o in SHARED if o not in text and o not in ("--start", "--target")] == []
    own = ("--timeout", "--order", "--witness", "--vnncomp", "--network", "--instances", "--json-lines")
    assert [option for option in own if option not in text] == []


@pytest.mark.parametrize("name", SEARCHES)
def test_no_text_is_lost_to_markup(name: str) -> None:
    assert "(default: 10000, or no limit with --seconds)" in helped(name)


def test_bare_netassay_shows_the_help() -> None:
    assert "demo" in CliRunner().invoke(app, []).output


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"netassay {__version__}"


@pytest.mark.parametrize("arguments", [["--help"], [], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["netassay", *{arguments!r}]
from netassay.cli.entry import run
try:
    run()
except SystemExit as end:
    assert end.code in (0, None, 2), end.code
loaded = [m for m in ("torch", "numpy", "scipy", "onnx", "matplotlib", "sklearn") if m in sys.modules]
assert loaded == [], loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_option_is_bad_usage() -> None:
    result = CliRunner().invoke(app, ["radius", "a", "b", "--nope"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--nope" in result.stderr
