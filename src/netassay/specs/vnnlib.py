"""VNN-LIB specification files, versions 1.0 and 2.0, as input boxes with unsafe outputs.

Version 1.0 (Barrett et al., the SMT-LIB subset of the neural network verification competitions) is read here; 2.0 in ``vnnlib_v2``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netassay.errors import DataError, InputError, UnsupportedSpecificationError
from netassay.specs import vnnlib_exact as exact
from netassay.specs.vnnlib_cases import Assembly, Case, Specification, Variable
from netassay.specs.vnnlib_exact import INPUT, OUTPUT, Disjuncts, Linear
from netassay.specs.vnnlib_syntax import INDEX, NUMBER, SYMBOL, Limits, Source, check_nesting, pattern, pieces

__all__ = ["Case", "Limits", "Specification", "Variable", "read_vnnlib"]

COMPARISONS = ("<=", ">=", "<", ">", "=", "==")
IGNORED = ("set-logic", "set-info", "set-option")
LAST = ("check-sat", "get-model", "exit")
VERSION_2 = ("vnnlib-version", "declare-network")

_TERMS: dict[str, Callable[[list[Linear]], Linear]] = {"+": exact.add, "-": exact.subtract, "*": exact.multiply}
_NUMBER = re.compile(NUMBER, re.ASCII)
_VARIABLE = re.compile(rf"([{INPUT}{OUTPUT}])_({INDEX})", re.ASCII)
_SIDES = {"<=": (True, False), "<": (True, True), ">=": (False, False), ">": (False, True)}
"""Operators with the side and the strictness of the bound that they set."""
_DECLARATION = pattern(rf"\(\s*+declare-const\s++([{INPUT}{OUTPUT}])_({INDEX})\s++Real\s*+\)")
_BOUND = pattern(rf"\(\s*+assert\s*+\(\s*+([<>]=)\s++{INPUT}_({INDEX})\s++({NUMBER})\s*+\)\s*+\)")
_SIDE = pattern(rf"\(\s*+([<>]=?)\s++{INPUT}_({INDEX})\s++({NUMBER})\s*+\)")
_COMPARISON = pattern(rf"\(\s*+(<=|>=|<|>|==?)\s++({SYMBOL})\s++({SYMBOL})\s*+\)")


def read_vnnlib(path: str | Path, *, limits: Limits | None = None) -> Specification:
    """The specification in a VNN-LIB file, plain or compressed with gzip.

    Version 1.0: constants X_i (inputs) and Y_i (outputs) of sort Real, assertions of ``and``, ``or`` and comparisons
    (<=, <, >=, >, =, ==) of linear expressions (+, -, *); inputs are compared with constants only. Version 2.0 needs the
    package ``vnnlib``. What is neither is refused.

    Args:
        path: The file; in version 1.0 its forms are read one at a time, so that memory does not grow with its length.
        limits: What the file may cost.
    Raises:
        DataError: If the file cannot be read, is no VNN-LIB, or exceeds the limits.
        UnsupportedSpecificationError: If it is VNN-LIB but no union of bounded input boxes with output polyhedra.
        CapabilityError: If it is of version 2.0 and the package ``vnnlib`` is not installed.
    """
    path, limits = Path(path), limits or Limits()
    found = _Reader(str(path), Source(pieces(path, limits.bytes)), limits).read()
    if found is not None:
        return found
    from netassay.specs.vnnlib_v2 import read_version_2

    with _placed(lambda: str(path)):
        text = "".join(pieces(path, limits.tree)).replace("\r", "\n")  # the package's comments end with a line feed only
        check_nesting(text, limits.depth)
        return read_version_2(text, limits)


@contextmanager
def _placed(place: Callable[[], str]) -> Iterator[None]:
    """Puts a place in front of the message of an error."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{place()}: {error}") from error


class _Reader:
    """Reads one file of version 1.0."""

    def __init__(self, name: str, source: Source, limits: Limits) -> None:
        self._name = name
        self._source = source
        self._limits = limits
        self._assembly = Assembly(limits)
        self._declared = {INPUT: bytearray(), OUTPUT: bytearray()}
        self._closed = False

    def read(self) -> Specification | None:
        """The specification; None if the file is of version 2.0."""
        with _placed(lambda: f"{self._name}, line {self._source.line}"):
            if not self._source.takes("("):
                raise DataError(f"expected a form in parentheses, got {self._source.token()!r}")
            head = self._source.token()
            if head in VERSION_2:
                return None
            self._command(head)
            while self._form():
                pass
        with _placed(lambda: self._name):
            counts = {kind: self._count(kind) for kind in (INPUT, OUTPUT)}
            variables = tuple(Variable(kind, "real", (count,)) for kind, count in counts.items())
            return self._assembly.finish(counts[OUTPUT], "1.0", variables)

    def _form(self) -> bool:
        """Reads one form; False at the end. The usual forms are recognised at a glance, here and in formulas, only for speed."""
        if not self._closed and (found := self._source.match(_DECLARATION)):
            self._declare(found[1], found[2])
            return True
        if not self._closed and (found := self._source.match(_BOUND)):
            self._bound(found[1], int(found[2]), found[3])
            return True
        came = self._source.token()
        if came:
            if came != "(":
                raise DataError(f"expected a form in parentheses, got {came!r}")
            self._command(self._source.token())
        return bool(came)

    def _command(self, command: str) -> None:
        if self._closed and command not in LAST:
            raise DataError(f"{command!r} after {' or '.join(LAST)}; these end a specification")
        if command == "assert":
            self._assertion()
        elif command in ("declare-const", "declare-fun"):
            self._declaration(command)
        elif command in (*IGNORED, *LAST):
            self._source.skip(self._limits.depth)
            self._closed = self._closed or command in LAST
        else:
            raise UnsupportedSpecificationError(
                f"unknown command {command!r}; known: assert, declare-const, declare-fun, {', '.join((*IGNORED, *LAST))}"
            )

    def _declaration(self, command: str) -> None:
        name = self._source.token()
        if command == "declare-fun":
            self._source.expect("(")
            self._source.expect(")")
        sort = self._source.token()
        if sort != "Real":
            raise UnsupportedSpecificationError(f"{name!r} is of sort {sort!r}; only Real is supported")
        self._source.expect(")")
        found = _VARIABLE.fullmatch(name)
        if found is None:
            raise UnsupportedSpecificationError(f"the variable {name!r} is neither an input X_i nor an output Y_i")
        self._declare(found[1], found[2])

    def _declare(self, kind: str, digits: str) -> None:
        if int(digits) >= self._limits.variables:
            raise DataError(f"{kind}_{digits}: more than {self._limits.variables} variables; raise the limit")
        declared, index = self._declared[kind], int(digits)
        declared.extend(bytes(max(0, index + 1 - len(declared))))
        if declared[index]:
            raise DataError(f"{kind}_{index} is declared twice")
        declared[index] = 1
        if kind == INPUT:
            self._assembly.declare_inputs(len(declared))

    def _count(self, kind: str) -> int:
        declared = self._declared[kind]
        what = "inputs X_i" if kind == INPUT else "outputs Y_i"
        if not declared:
            raise DataError(f"no {what} are declared")
        if 0 in declared:
            raise DataError(f"{kind}_{declared.index(0)} is not declared, but {kind}_{len(declared) - 1} is; declare all {what}")
        return len(declared)

    def _bound(self, operator: str, index: int, text: str) -> None:
        self._known(INPUT, index)
        self._assembly.bound(exact.bound(index, operator == "<=", exact.rounded_text(text), False))

    def _known(self, kind: str, index: int) -> None:
        if index >= len(self._declared[kind]) or not self._declared[kind][index]:
            raise DataError(f"{kind}_{index} is not declared (before this line)")

    def _assertion(self) -> None:
        formula = self._formula(1)
        self._source.expect(")")
        self._assembly.add(formula)

    def _formula(self, depth: int) -> Disjuncts:
        if found := self._source.match(_SIDE):
            return self._side(found[1], int(found[2]), found[3])
        if found := self._source.match(_COMPARISON):
            return exact.compare(found[1], self._operand(found[2]), self._operand(found[3]))
        self._open(depth, "a formula")
        head = self._source.token()
        if head in ("and", "or"):
            return self._connective(head, depth)
        if head in COMPARISONS:
            left, right = self._term(depth + 1), self._term(depth + 1)
            self._source.expect(")")
            return exact.compare(head, left, right)
        raise UnsupportedSpecificationError(f"unknown function {head!r} in a formula; known: and, or, {', '.join(COMPARISONS)}")

    def _side(self, operator: str, index: int, text: str) -> Disjuncts:
        """A bound ``(<= X_0 0.5)`` within a formula."""
        self._known(INPUT, index)
        upper, strict = _SIDES[operator]
        return [(exact.bound(index, upper, exact.rounded_text(text), strict),)]

    def _connective(self, head: str, depth: int) -> Disjuncts:
        parts: list[Disjuncts] = []
        disjuncts = atoms = 0
        while not self._source.takes(")"):
            part = self._formula(depth + 1)
            parts.append(part)
            disjuncts, atoms = disjuncts + len(part), atoms + sum(map(len, part))
            exact.check_size(disjuncts if head == "or" else 0, atoms, self._limits)
        if not parts:
            raise DataError(f"({head}) without arguments")
        return [each for part in parts for each in part] if head == "or" else exact.conjoin(parts, self._limits)

    def _open(self, depth: int, what: str) -> None:
        came = self._source.token()
        if came != "(":
            raise DataError(f"expected {what}, got {came!r}" if came else f"the file ends where {what} is missing")
        if depth > self._limits.depth:
            raise DataError(f"parentheses nest deeper than {self._limits.depth}")

    def _term(self, depth: int) -> Linear:
        came = self._source.token()
        if came != "(":
            return self._operand(came)
        if depth > self._limits.depth:
            raise DataError(f"parentheses nest deeper than {self._limits.depth}")
        head, parts = self._source.token(), []
        if head not in _TERMS:
            raise UnsupportedSpecificationError(f"unknown function {head!r} in a term; known: {', '.join(_TERMS)}")
        while not self._source.takes(")"):
            parts.append(self._term(depth + 1))
            if len(parts) > self._limits.arguments:
                raise DataError(f"({head} ...) has more than {self._limits.arguments} arguments; raise the limit")
        if not parts:
            raise DataError(f"({head}) without arguments")
        return _TERMS[head](parts)

    def _operand(self, text: str) -> Linear:
        if _NUMBER.fullmatch(text):
            return exact.constant(exact.number(text))
        found = _VARIABLE.fullmatch(text)
        if found is None:
            raise UnsupportedSpecificationError(f"{text[:40]!r} is neither a number nor a variable X_i or Y_i")
        self._known(found[1], int(found[2]))
        return exact.variable((found[1], int(found[2])))
