"""``netassay schema``: the JSON Schema of the answers."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from netassay.cli.exit_codes import ExitCode


def schema(
    json: Annotated[bool, typer.Option("--json", help="Accepted for uniformity: the schema is JSON anyway.")] = False,  # noqa: ARG001
) -> ExitCode:
    """Prints the JSON Schema of answers: what assess, radius, lipschitz, reach, verify and demo print with --json."""
    from netassay.results.schema import json_schema

    print(json_text.dumps(json_schema(), indent=2))
    return ExitCode.OK
