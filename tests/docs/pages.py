"""Pages of the documentation that can be run: their files, their commands, and what the page shows as output.

A fenced block of ``python`` with a title is a file of that name. In a block of ``console`` a line that begins with ``$ `` is a
command, what follows is its output on stdout. ``python tests/docs/pages.py PAGE...`` runs pages and writes into them what
their commands print.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```(?P<kind>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_WORD = re.compile(r"[^\W_]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class Step:
    """One command, as it is written and in one line, and the output that the page shows."""

    written: str
    shown: str

    @property
    def command(self) -> str:
        return re.sub(r"\s*\\\n\s*", " ", self.written)


def runnable() -> list[Path]:
    """The pages that have commands with output."""
    return [path for path in sorted(DOCS.rglob("*.md")) if "```console" in path.read_text(encoding="utf-8")]


def files(text: str) -> dict[str, str]:
    """The files that a page defines."""
    titled = ((_TITLE.search(block["info"]), block["body"]) for block in _FENCE.finditer(text) if block["kind"] == "python")
    return {title[1]: body for title, body in titled if title is not None}


def steps(text: str) -> Iterator[Step]:
    """The commands of a page, in order."""
    for block in _FENCE.finditer(text):
        if block["kind"] == "console":
            for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
                ends = re.search(r"(?<!\\)\n", part)
                assert ends is not None
                yield Step(part[: ends.start()], part[ends.end() :])


def commands(text: str) -> list[str]:
    """Every line of a page, fenced or indented, that calls netassay."""
    text = re.sub(r"\s*\\\n\s*", " ", text)
    fenced = [line for block in _FENCE.finditer(text) if block["kind"] in ("console", "sh") for line in block["body"].splitlines()]
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line for line in (line.removeprefix("$ ") for line in [*fenced, *indented]) if line.startswith("netassay ")]


def masked(text: str) -> str:
    """The words and comparisons of an output, without numbers, drawings and the widths of columns, which change with the machine."""
    return " ".join(word for word in _NUMBER.sub("0", text).split() if _WORD.search(word) or word in (">=", "<=", "?"))


def _rewritten(path: Path) -> str:
    """The page with what its commands print now."""
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files(text).items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
        printed = iter(list(_printed(folder, text)))
        return _FENCE.sub(lambda block: _block(block, printed), text)


def _printed(folder: str, text: str) -> Iterator[str]:
    code = 0
    for step in steps(text):
        if step.command == "echo $?":
            yield f"{code}\n"
            continue
        done = subprocess.run(step.command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
        code = done.returncode
        print(f"$ {step.command}\n{done.stdout}{done.stderr}", file=sys.stderr)
        yield "".join(f"{line.rstrip()}\n" for line in done.stdout.strip("\n").splitlines())


def _block(block: re.Match[str], printed: Iterator[str]) -> str:
    if block["kind"] != "console":
        return block[0]
    return "```console\n" + "".join(f"$ {step.written}\n{next(printed)}" for step in steps(block[0])) + "```"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(_rewritten(page), encoding="utf-8")
