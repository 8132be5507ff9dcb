"""Small claims whose truth is known exactly, certificates of them, and damaged certificates."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from exact_planar import planar_problem
from netassay.checking.certificates.check import Checked, Checker
from netassay.checking.certificates.container import MAGIC, Record, Writer, read_records
from netassay.checking.certificates.records import header_record
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import InputError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Box
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.produce import Produced, write_certificate
from random_graphs import GraphOnly


def never() -> bool:
    return False


def graph_of(problem: Problem) -> Graph:
    assert problem.network.graph is not None
    return problem.network.graph


def moved(statement: Statement, by: float) -> Statement:
    """Every row's constant changed, so that the claim is about a least value of ``by`` more or less."""
    cases = tuple(Case(c.region, tuple(Part(p.rows, p.constants + by) for p in c.parts)) for c in statement.cases)
    return replace(statement, cases=cases)


def planar_claim(seed: int, slack: Fraction) -> tuple[Problem, Statement, Statement]:
    """A problem, its claim ``margin > least - slack``, which is true, and ``margin > least``, which is just false."""
    problem, exact = planar_problem(seed)
    statement = statement_of([problem])
    return problem, moved(statement, -float(exact - slack)), moved(statement, -float(exact))


def produced(path: Path, problem: Problem, statement: Statement, over: Callable[[], bool] = never) -> Produced:
    return write_certificate(
        path, graph_of(problem), statement, "a claim", "a test", regions=[problem.region], spelled_out=False, over=over
    )


def body(path: Path) -> list[Record]:
    """The records of a file behind its header."""
    return list(read_records(path))[1:]


def checked(problem: Problem, statement: Statement, records: list[Record], *, exact: bool = False) -> Checked:
    return Checker(graph_of(problem), statement, exact=exact).check(records)


def rewritten(path: Path, statement: Statement, records: list[Record]) -> Path:
    with Writer(path) as writer:
        writer.write(header_record(statement, "a claim", "a test", spelled_out=False))
        for record in records:
            writer.write(record)
        writer.finish()
    return path


def wide_network(seed: int, hidden: int = 8) -> Graph:
    """Sixteen inputs, two hidden layers: too many inputs to be split."""
    rng = np.random.default_rng(seed)
    builder, value = GraphBuilder((16,)), 0
    for rows, columns in ((hidden, 16), (hidden, hidden)):
        value = builder.add(op.Dense(rng.integers(-4, 5, (rows, columns)) / 8, rng.integers(-2, 3, rows) / 4), value)
        value = builder.add(nl.Relu(), value)
    return builder.build(builder.add(op.Dense(rng.integers(-4, 5, (3, hidden)) / 4, rng.integers(-2, 3, 3) / 4), value))


def smooth_network(seed: int, operator: nl.Elementwise, inputs: int = 2, outputs: int = 3) -> Graph:
    """Two hidden layers of smooth neurons."""
    rng = np.random.default_rng(seed)
    builder, value, before = GraphBuilder((inputs,)), 0, inputs
    for size in (5, 4):
        value = builder.add(op.Dense(rng.integers(-8, 9, (size, before)) / 4, rng.integers(-2, 3, size) / 4), value)
        value, before = builder.add(operator, value), size
    return builder.build(builder.add(op.Dense(rng.integers(-8, 9, (outputs, before)) / 2, rng.integers(-2, 3, outputs) / 4), value))


def least_seen(asked: Problem, rng: np.random.Generator) -> float:
    """The least s of some points of a box: the truth lies at or below."""
    box = asked.region
    assert isinstance(box, Box)
    points = np.where(rng.random((4000, *box.shape)) < 0.5, box.lower, box.upper)
    with torch.no_grad():
        outputs = GraphModule(graph_of(asked), torch.float64)(torch.from_numpy(points)).numpy()
    return float(asked.property.values(outputs).min())


def halfspaces_problem(graph: Graph, seed: int, size: float) -> Problem:
    rng = np.random.default_rng([seed, 1])
    center = rng.integers(-4, 5, graph.input_shape) / 4
    matrices = [rng.integers(-2, 3, (rows, graph.output_size)) / 1.0 for rows in (1, 2)]
    return Problem(GraphOnly(graph), Box(center - size, center + size), OutputHalfspaces(matrices, [np.zeros(1), np.zeros(2)]))


MUTATIONS = int(os.environ.get("NETASSAY_MUTATIONS", "120"))
"""How many damaged certificates a test tries."""

STRANGE = (np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0, -0.0, 1e30, -1.0)


def damaged(records: list[Record], rng: np.random.Generator) -> list[Record]:
    """The records with one to three changes: entries, shapes, heads, order, whole records."""
    found = list(records)
    for _ in range(int(rng.integers(1, 4))):
        if not found:
            return found
        at = int(rng.integers(len(found)))
        change = rng.integers(8)
        if change == 0:
            found.pop(at)
        elif change == 1:
            found.insert(int(rng.integers(len(found) + 1)), found[at])
        elif change == 2:
            found[at] = Record({**found[at].head, **_head(found[at], rng)}, found[at].arrays)
        elif found[at].arrays:
            found[at] = _with_array(found[at], rng)
    return found


def _head(record: Record, rng: np.random.Generator) -> dict[str, object]:
    name = str(rng.choice(list(record.head)))
    return {name: [-1, 0, 1, 7, 10**9, 0.5, None, "case", True, [], {}][int(rng.integers(11))]}


def _with_array(record: Record, rng: np.random.Generator) -> Record:
    name = str(rng.choice(list(record.arrays)))
    array = np.array(record.arrays[name])
    change = rng.integers(5)
    if change == 0 and array.size:
        array = array[: int(rng.integers(len(array) + 1))]
    elif change == 1 and array.size:
        array = np.concatenate([array, array[:1]])
    elif change == 2:
        return Record(record.head, {n: a for n, a in record.arrays.items() if n != name})
    elif array.size:
        flat = array.reshape(-1)
        where = int(rng.integers(len(flat)))
        with np.errstate(all="ignore"):
            if array.dtype.kind == "f":
                flat[where] = rng.choice(STRANGE)
            else:
                info = np.iinfo(array.dtype)
                flat[where] = int(rng.choice([info.min, info.max, 0, 1, 2, int(flat[where]) ^ 1]) if info.bits < 64 else 0)
    return Record(record.head, {**record.arrays, name: array})


def no_damage_proves(
    problem: Problem, true: Statement, false: Statement, records: list[Record], seed: int, rounds: int = MUTATIONS
) -> None:
    """Damaged records, each against a true and a false claim: no crash, and the false one is never accepted.

    Some changes are harmless: a true claim may have many proofs.
    """
    rng, seen = np.random.default_rng(seed), {"refused": 0, "rejected": 0, "accepted": 0}
    for _ in range(rounds):
        bad = damaged(records, rng)
        for statement in (true, false):
            try:
                found = checked(problem, statement, bad)
            except InputError:
                seen["refused"] += 1
                continue
            assert statement is true or not found.accepted
            seen["accepted" if found.accepted else "rejected"] += 1
    assert min(seen.values()) > 0, seen


def damaged_bytes(path: Path, rng: np.random.Generator) -> Iterator[bytes]:
    """The file with bytes changed: of the compressed stream, and of what is in it."""
    packed = path.read_bytes()
    yield _changed(packed, rng)
    yield packed[: int(rng.integers(len(packed)))]
    plain = gzip.decompress(packed)
    yield gzip.compress(_changed(plain, rng), 1)
    yield gzip.compress(plain[: int(rng.integers(len(MAGIC), len(plain)))], 1)


def _changed(data: bytes, rng: np.random.Generator) -> bytes:
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        found[int(rng.integers(len(found)))] = int(rng.integers(256))
    return bytes(found)
