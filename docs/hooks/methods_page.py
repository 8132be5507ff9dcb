"""Writes the page of methods when the site is built: the registries, and the papers that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netassay.cli.methods import listing

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

PAGE = "methods.md"

INTRODUCTION = """# Methods and their papers

This page is made from the registries of this version, as `netassay methods` prints them. `--method NAME` chooses a search
method (or, for `verify`, how a property is proved), `--prover NAME` the verifier that proves the other side after a search,
`--risk` a risk.
"""

SECTIONS = {
    "methods": ("Search methods", "They move the attained side: what they find counts once it is replayed."),
    "verifiers": (
        "Verifiers",
        "They move the proved side. *Complete* ones decide every question that they serve, given time and apart from rounding.",
    ),
    "risks": ("Risks", "Safe is where the expression is at least 0. f are the network's outputs, k is its decision at the input x."),
}

PAPERS = Path(__file__).with_name("papers.txt")
"""One paper a line: what the registries call it, and what it is called in a library."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page to the site."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The page as markdown."""
    found = listing()
    parts = [INTRODUCTION]
    for key, (title, said) in SECTIONS.items():
        parts += [f"## {title}\n\n{said}\n", *(_entry(dict(row)) for row in found[key])]
    parts.append("## Papers\n\n" + "\n".join(f"- **{name}**: {reference}." for name, reference in papers().items()) + "\n")
    return "\n".join(parts)


def papers() -> dict[str, str]:
    """The references, by the names that the registries use."""
    rows = (line.partition(" | ") for line in PAPERS.read_text(encoding="utf-8").splitlines())
    return {name: reference for name, _, reference in rows}


def _entry(row: dict[str, str | list[str]]) -> str:
    """A heading, a sentence, and the facts as a list."""
    name, said = row.pop("name"), row.pop("description", None) or row.pop("meaning")
    facts = {key: value if isinstance(value, str) else ", ".join(value) for key, value in row.items() if key != "kind"}
    code = {"syntax", "expression"}
    lines = [f"- {key}: {f'`{value}`' if key in code else value}" for key, value in facts.items() if value != "-"]
    return f"### `{name}`\n\n{str(said)[0].upper()}{str(said)[1:]}.\n\n" + "\n".join(lines) + "\n"
