"""The ``netassay`` command: gathers the commands. Importing it is cheap; each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from netassay._version import __version__
from netassay.cli.assess import assess
from netassay.cli.check import check
from netassay.cli.compare import compare
from netassay.cli.demo import demo
from netassay.cli.doctor import doctor
from netassay.cli.edge import command
from netassay.cli.export import export
from netassay.cli.lipschitz import lipschitz
from netassay.cli.methods import methods
from netassay.cli.radius import radius
from netassay.cli.reach import reach
from netassay.cli.report import report
from netassay.cli.schema import schema
from netassay.cli.show import show
from netassay.cli.verify import verify

app = typer.Typer(
    name="netassay",
    help="Measures how safe a neural network is, with witnesses that anybody can replay.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _function in (assess, radius, lipschitz, reach, verify, check, report, export, show, compare, methods, doctor, demo, schema):
    app.command(_function.__name__)(command(_function))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"netassay {__version__}")
        raise typer.Exit


VersionOption = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")]


@app.callback()
def main(_version: VersionOption = False) -> None:
    """Measures how safe a neural network is, with witnesses that anybody can replay.

    Start with:  netassay demo
    """
