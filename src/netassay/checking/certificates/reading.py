"""From a file to a verdict: header, claim, records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from netassay.checking.certificates.check import Checked, Checker
from netassay.checking.certificates.container import Record, read_records
from netassay.checking.certificates.deployed import UNBOUNDED, assumed, in_real_arithmetic
from netassay.checking.certificates.records import FORMAT, read_case, read_slopes
from netassay.checking.certificates.scores import read_scores
from netassay.checking.certificates.statement import Case, Statement
from netassay.errors import DataError
from netassay.models.graph import Graph

CASES, PARTS = 100_000, 1_000_000
"""Cases of a claim that is spelled out, and parts of all of them, at most."""

OTHER_CLAIM = "it is about another specification: the hashes of the claims differ"
OTHER_NETWORK = "it is about another network: the hashes of structure and weights differ"


@dataclass(frozen=True, slots=True, eq=False)
class CertificateOutcome:
    """What a certificate is worth.

    Args:
        claim: What its header says in words, which nothing has checked.
        statement: What was checked; None where it is about another network or specification.
        checked: What came of it.
        assumed: What the claim takes for granted that nothing can prove.
    """

    claim: str
    statement: Statement | None
    checked: Checked
    assumed: str = ""


def check_certificate(
    path: str | Path,
    graphs: Sequence[Graph],
    specified: Callable[[Graph], Statement] | None,
    *,
    exact: bool = False,
    told: Callable[[int], None] | None = None,
) -> CertificateOutcome:
    """Checks a certificate's claim about one of some networks.

    Args:
        path: The file.
        graphs: Forms of the model at hand: the one that the certificate names is taken.
        specified: The claim as a specification makes it; without one the claim has to be spelled out in the file.
        exact: Whether to compute in rational numbers.
        told: Called with the number of leaves so far.
    Raises:
        DataError: If the file is no certificate, or damaged, or spells no claim out where none is specified.
        InputError: If its contents fit nothing.
    """
    records = read_records(path)
    header = next(records, None)
    if header is None or header.kind != "header" or header.head.get("format") != FORMAT:
        raise DataError(f"{path} is no certificate of format {FORMAT}: its first record says something else")
    claim = str(header.head.get("claim"))[:1000]
    graph = next((g for g in graphs if g.sha256 == header.head.get("network_sha256")), None)
    if graph is None:
        return CertificateOutcome(claim, None, Checked(False, OTHER_NETWORK))
    rest: Iterator[Record] = records
    if header.head.get("spelled_out") is True:
        statement, rest = _spelled_out(header, records, graph)
        if specified is not None and replace(specified(graph), float32=statement.float32).sha256 != statement.sha256:
            return CertificateOutcome(claim, statement, Checked(False, OTHER_CLAIM))
    elif specified is None:
        raise DataError(f"{path} is about a specification: name it after the model")
    else:
        statement = replace(specified(graph), float32=header.head.get("float32") is True)
    if statement.sha256 != header.head.get("claim_sha256"):
        return CertificateOutcome(claim, None, Checked(False, OTHER_CLAIM))
    proving = in_real_arithmetic(statement, graph)
    if proving is None:
        return CertificateOutcome(claim, statement, Checked(False, UNBOUNDED))
    checked = Checker(graph, proving, exact=exact, told=told).check(rest)
    return CertificateOutcome(claim, statement, checked, assumed(statement, graph))


def _spelled_out(header: Record, records: Iterator[Record], graph: Graph) -> tuple[Statement, Iterator[Record]]:
    """The claim that follows the header, and the records behind it."""
    inputs = 1
    for n in graph.input_shape:
        inputs *= n
    strict, count = header.head.get("strict"), header.integer("cases")
    if not isinstance(strict, bool) or count > CASES:
        raise DataError(f"a header needs 'strict', true or false, and at most {CASES} cases")
    cases: list[Case] = []
    parts = 0
    for _ in range(count):
        region = _next(records, "region")
        number = region.integer("parts")
        parts += number
        if parts > PARTS:
            raise DataError(f"a claim of more than {PARTS} parts is not read")
        rows = [_next(records, "rows") for _ in range(number)]
        cases.append(read_case(region, rows, read_slopes(_next(records, "slopes")) if region.head.get("slopes") is True else None))
    float32, scores = header.head.get("float32") is True, read_scores(header.head.get("scores"))
    return Statement(graph.sha256, inputs, graph.output_size, tuple(cases), strict, float32, scores), chain(records)


def _next(records: Iterator[Record], kind: str) -> Record:
    record = next(records, None)
    if record is None or record.kind != kind:
        raise DataError(f"a record {kind!r} is missing in the claim")
    return record
