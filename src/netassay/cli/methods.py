"""``netassay methods``: what there is to search and to prove with, and the risks that can be asked about."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from netassay.cli.exit_codes import ExitCode

Rows = list[dict[str, str | list[str]]]


def methods(json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False) -> ExitCode:
    """Lists the search methods, the verifiers and the risks: what each needs or means, and where it is defined."""
    found = listing()
    if json:
        print(json_text.dumps(found, indent=2))
    else:
        for title, rows in found.items():
            _print(title, rows)
    return ExitCode.OK


def listing() -> dict[str, Rows]:
    """The registries as plain rows, by their titles: what is printed here, and what the documentation shows."""
    return {"methods": _methods(), "verifiers": _verifiers(), "risks": _risks()}


def _methods() -> Rows:
    from netassay.falsifiers.registry import METHODS

    return [
        {
            "name": entry.name,
            "kind": entry.kind,
            "needs": entry.needs,
            "norms": list(entry.norms),
            "paper": entry.paper,
            "description": entry.description,
        }
        for entry in METHODS.values()
    ]


def _verifiers() -> Rows:
    from netassay.verifiers.registry import VERIFIERS

    return [
        {
            "name": entry.name,
            "claims": entry.claims,
            "complete": "yes" if entry.complete else "no",
            "serves": entry.serves,
            "paper": entry.paper,
            "description": entry.description,
        }
        for entry in VERIFIERS.values()
    ]


def _risks() -> Rows:
    from netassay.specs.risks import RISKS

    return [
        {"name": name, "syntax": form.syntax, "expression": form.expression, "meaning": form.meaning, "paper": form.reference}
        for name, form in RISKS.items()
    ]


def _print(title: str, rows: Rows) -> None:
    """One paragraph per row: its name, what it says, then the rest."""
    print(f"{title}:\n")
    for row in rows:
        facts = {key: value if isinstance(value, str) else " ".join(value) for key, value in row.items()}
        print(f"  {facts.pop('name')}: {facts.pop('description', None) or facts.pop('meaning')}")
        for key, value in facts.items():
            print(f"      {key:<11} {value}")
        print()
