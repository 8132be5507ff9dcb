"""A certificate of a claim: found again with the checker's own bounds, and written down as it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.boxes import BoxProof
from netassay.checking.certificates.container import Record, whole_file
from netassay.checking.certificates.deployed import UNBOUNDED, in_real_arithmetic
from netassay.checking.certificates.forests import Choices
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.probabilities import network_of
from netassay.checking.certificates.records import header_record, statement_records, tree_arrays
from netassay.checking.certificates.statement import Statement
from netassay.models.graph import Graph
from netassay.specs.regions import Ball, Box
from netassay.verifiers.certificates.boxes import chooser, grown_tree
from netassay.verifiers.certificates.mixing import Mixing
from netassay.verifiers.certificates.pixels import prove_by_pixels
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.certificates.slopes import prove_slopes
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.region import Regions

FEW_INPUTS = 12
"""Up to so many inputs that move, regions are split; beyond, neurons are."""

NODES = 1_000_000
"""Nodes of a tree over boxes, at most."""


@dataclass(frozen=True, slots=True)
class Produced:
    """What came of it.

    Args:
        complete: Whether the file proves the claim; otherwise there is no file.
        reason: Why not.
        size: Bytes.
    """

    complete: bool
    reason: str = ""
    size: int = 0


def write_certificate(
    path: str | Path,
    graph: Graph,
    statement: Statement,
    claim: str,
    tool: str,
    *,
    regions: Sequence[Ball | Box],
    spelled_out: bool,
    over: Callable[[], bool],
) -> Produced:
    """Proves a statement anew and writes its certificate; a file that is not complete is taken away.

    Args:
        path: The file.
        graph: The statement's network.
        statement: What is claimed.
        claim: The same in words.
        tool: Name and version of what writes it.
        regions: Those of the statement's cases, as searches know them.
        spelled_out: Whether the file carries the statement itself; otherwise the checker takes it from a specification.
        over: Whether time is over.
    Raises:
        UnsupportedOperatorError: If the network has an operator that the checker does not know.
    """
    proving = in_real_arithmetic(statement, graph)
    if proving is None:
        return Produced(False, UNBOUNDED)
    with whole_file(path) as writer:
        writer.write(header_record(statement, claim, tool, spelled_out=spelled_out))
        for record in statement_records(statement) if spelled_out else []:
            writer.write(record)
        network = CheckedNetwork(graph, Arithmetic())
        if not all(_case(i, (graph, network), proving, regions[i], writer.write, over) for i in range(len(proving.cases))):
            return Produced(False, "time-out" if over() else "incomplete")
        writer.finish()
    return Produced(True, size=Path(path).stat().st_size)


def _case(
    number: int,
    networks: tuple[Graph, CheckedNetwork],
    statement: Statement,
    searched: Ball | Box,
    emit: Callable[[Record], None],
    over: Callable[[], bool],
) -> bool:
    (graph, network), case = networks, statement.cases[number]
    if statement.scores is not None:
        network, case = network_of(graph, statement, number, network.arithmetic)
    region = case.region
    emit(Record({"record": "case", "case": number}))
    if case.slopes is not None:
        return prove_slopes(network, case, emit, over)
    proof = CaseProof(number, case, Parts(network, region, region.lower[None], region.upper[None]), statement.strict, emit, over)
    if region.ball is not None and region.ball.norm == 0:
        return prove_by_pixels(proof)
    if (region.upper > region.lower).sum() > FEW_INPUTS:
        from netassay.verifiers.certificates.neurons import NeuronOptions, NeuronProof

        at_once(proof)
        if not proof.open:
            return True
        parts = tuple(Part(p.rows, p.constants) for p in case.parts)
        claim = Claim(network.graph, parts, strict=statement.strict)
        return NeuronProof(claim, Regions.of([searched]), proof, NeuronOptions()).run()
    return all(_by_boxes(proof, part) for part in sorted(proof.open))


def at_once(proof: CaseProof) -> None:
    """Parts that the usual slopes prove without any split."""
    parts: Sequence[int] = sorted(proof.open)
    proof.close_at_once(parts, Choices(), proof.best_rows(parts))


def _by_boxes(proof: CaseProof, part: int) -> bool:
    rows = proof.case.parts[part]
    search = BoxProof(proof.whole.network, proof.case.region, rows.rows, rows.constants, strict=proof.strict)
    mixing = Mixing()
    tree = grown_tree(search, chooser(search), mixing, proof.over, NODES)
    if tree is None:
        return False
    proof.emit(Record({"record": "boxes", "part": part}, tree_arrays(tree.arrays()) | mixing.arrays(tree)))
    proof.open.discard(part)
    return True
