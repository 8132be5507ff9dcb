"""The characters of a VNN-LIB file: decompression, tokens and positions, in bounded memory."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netassay.errors import DataError

PIECE = 1 << 20
"""Bytes read at a time."""
LONGEST = 1 << 16
"""Characters that one name, number or string may have."""
GZIP = b"\x1f\x8b"

BLANK = r"\s*+(?:;[^\n\r]*+[\n\r]\s*+)*+"
"""White space and comments, which end with a line feed or a carriage return (SMT-LIB 2.6, section 3.1)."""

SYMBOL = r'[^\s()";|]++'
NUMBER = r"[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d{1,3}+)?+"
INDEX = r"(?:0|[1-9]\d{0,17}+)"


def pattern(text: str) -> re.Pattern[str]:
    """A compiled pattern that skips blanks and comments first; digits and blanks are ASCII."""
    return re.compile(BLANK + text, re.ASCII)


_TOKEN = pattern(rf'([()]|"[^"]*+"|\|[^|]*+\||{SYMBOL})')
_BLANK = pattern("")
_NESTING = re.compile(r';[^\n\r]*+|"[^"]*+"|[()]')


@dataclass(frozen=True)
class Limits:
    """What a specification file may cost; beyond any of them it is refused with DataError.

    Attributes:
        bytes: Size after decompression.
        tree: The same for version 2.0, whose syntax tree is held in memory as a whole.
        depth: Nested parentheses.
        variables: Inputs, and outputs.
        arguments: Of one sum, difference or product.
        disjuncts, atoms: Conjunctions of the disjunctive normal form, and comparisons in all of them together.
        numbers: Entries of all the arrays of the result together.
    """

    bytes: int = 1 << 30
    tree: int = 1 << 28
    depth: int = 100
    variables: int = 10_000_000
    arguments: int = 100_000
    disjuncts: int = 100_000
    atoms: int = 10_000_000
    numbers: int = 1 << 27


def pieces(path: Path, limit: int) -> Iterator[str]:
    """The decompressed text piece by piece; latin-1, so that every byte has its place (only comments may be other than ASCII).

    Raises:
        DataError: If the file cannot be read or decompressed, or is longer than ``limit`` bytes.
    """
    total = 0
    try:
        with path.open("rb") as file:
            stream: gzip.GzipFile | io.BufferedReader = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == GZIP else file
            while piece := stream.read(PIECE):
                total += len(piece)
                if total > limit:
                    raise DataError(f"more than {limit / 1024**2:g} MiB of text after decompression; raise the limit if you trust it")
                yield piece.decode("latin-1")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})") from error


def check_nesting(text: str, depth: int) -> None:
    """Raises DataError if parentheses nest deeper than ``depth``; strings and comments do not count."""
    level = 0
    for found in _NESTING.finditer(text):
        level = max(level + {"(": 1, ")": -1}.get(found[0], 0), 0)
        if level > depth:
            raise DataError(f"parentheses nest deeper than {depth}")


class Source:
    """Tokens of a text that arrives in pieces; what has been read is let go."""

    def __init__(self, text: Iterator[str]) -> None:
        self._pieces = text
        self._text = ""
        self._at = 0
        self._lines = 1
        self._ended = False

    def match(self, whole: re.Pattern[str]) -> re.Match[str] | None:
        """Steps over ``whole`` if it comes next and is in memory; it has to end with a parenthesis. None says nothing about what comes."""
        found = whole.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def token(self) -> str:
        """The next parenthesis, string or symbol; empty at the end."""
        while True:
            found = _TOKEN.match(self._text, self._at)
            if found is not None and (found.end() < len(self._text) or found[1] in "()"):
                self._at = found.end()
                return found[1]
            if not self._refill():
                if self._at < len(self._text):
                    raise DataError('a string or a quoted name (" or |) does not end')
                return ""

    def takes(self, wanted: str) -> bool:
        """Steps over the next token if it is ``wanted``."""
        came = self.token()
        if came != wanted:
            self._at -= len(came)
        return came == wanted

    def expect(self, wanted: str) -> None:
        """Steps over the token ``wanted``; raises DataError if another one comes."""
        came = self.token()
        if came != wanted:
            raise DataError(f"expected {wanted!r}, got {came!r}" if came else f"the file ends where {wanted!r} is missing")

    def skip(self, depth: int) -> None:
        """Steps over the rest of a form whose opening parenthesis has been read."""
        level = 1
        while level:
            came = self.token()
            if not came:
                raise DataError("the file ends inside of a form: a closing parenthesis is missing")
            level += {"(": 1, ")": -1}.get(came, 0)
            if level > depth:
                raise DataError(f"parentheses nest deeper than {depth}")

    @property
    def line(self) -> int:
        """The line of what comes next, from 1."""
        return self._lines + self._text.count("\n", 0, self._at)

    def _refill(self) -> bool:
        """Drops what has been read, appends a piece; False once the text has ended (with a line feed, whatever came)."""
        skipped = _BLANK.match(self._text, self._at)
        self._at = skipped.end() if skipped else self._at
        self._lines += self._text.count("\n", 0, self._at)
        rest = self._text[self._at :]
        rest = ";" if rest.startswith(";") else rest
        if len(rest) > LONGEST:
            raise DataError(f"a name, number or string is longer than {LONGEST} characters")
        piece = next(self._pieces, None)
        self._text, self._at = rest + ("" if piece is None and self._ended else piece or "\n"), 0
        more = piece is not None or not self._ended
        self._ended = piece is None
        return more
