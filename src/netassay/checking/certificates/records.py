"""What the records of a certificate say, as objects; the one place that knows their names.

============  ==================================================================================================================
``header``    Versions, what the claim is in words, hashes of network and claim, how many cases it has; whether it is spelled out
``region``    A case of a claim that is spelled out: its region
``rows``      A part of that case
``slopes``    What is claimed of slopes in that case, where that is what it is about
``case``      What follows is about this case
``range``     Trees that bound numbers of a value from below (sign 1) or above (sign -1)
``parts``     Trees that prove parts of the case
``boxes``     A tree that proves one part, with ranges computed anew at each of its nodes
``squares``   Trees that prove parts of the case by semidefinite relaxations: what is left of a form is a sum of squares
``groups``    Groups of ReLUs that read the same few inputs, and a linear form for each, which prove a part of the case
``alone``     Trees over the values of each pixel of an L0 ball, which bound the rows where that pixel changes alone
``pixels``    A tree over the pixels of an L0 ball and their values, which proves all parts of the case
``shells``    Radii around the centre and a tree over the inputs for each shell, which prove what is claimed of slopes
============  ==================================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.combining import Weights
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Choices
from netassay.checking.certificates.groups import Groups
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.semidefinite import Duals
from netassay.checking.certificates.slope_claims import Slopes
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.checking.certificates.trees import Arrays, Forest, forest
from netassay.errors import DataError

FORMAT = 2


def header_record(statement: Statement, claim: str, tool: str, *, spelled_out: bool) -> Record:
    """The header; ``spelled_out`` says whether the claim follows it, rather than coming from a specification."""
    return Record(
        {
            "record": "header",
            "format": FORMAT,
            "tool": tool,
            "claim": claim,
            "network_sha256": statement.network_sha256,
            "claim_sha256": statement.sha256,
            "strict": statement.strict,
            "float32": statement.float32,
            "scores": None if statement.scores is None else statement.scores.text,
            "cases": len(statement.cases),
            "spelled_out": spelled_out,
        }
    )


def statement_records(statement: Statement) -> list[Record]:
    """A claim that is spelled out."""
    found = []
    for case in statement.cases:
        arrays = {"lower": case.region.lower, "upper": case.region.upper}
        ball = case.region.ball
        if ball is not None:
            arrays |= {"center": ball.center, "scale": ball.scale, "radius": np.array([ball.radius])}
        head = {"record": "region", "parts": len(case.parts), "norm": None if ball is None else ball.norm}
        found.append(Record(head if case.slopes is None else head | {"slopes": True}, arrays))
        found += [Record({"record": "rows"}, {"rows": p.rows, "constants": p.constants}) for p in case.parts]
        if case.slopes is not None:
            numbers = dict(zip(_SLOPES, case.slopes.arrays, strict=True))
            found.append(Record({"record": "slopes", "norm": case.slopes.norm}, numbers))
    return found


_SLOPES = ("center", "scale", "falling", "rising", "least")
"""The numbers of a claim about slopes."""


def read_slopes(record: Record) -> Slopes:
    """What is claimed of slopes."""
    center, scale, *numbers = (record.array(name, "<f8") for name in _SLOPES)
    if len(numbers[0]) != 1 or any(len(x) > 1 for x in numbers):
        raise DataError("a claim about slopes has one number for each side, and one at the centre")
    norm = None if record.head.get("norm") is None else record.integer("norm")
    return Slopes(norm, center, scale, *(float(x[0]) if len(x) else None for x in numbers))  # type: ignore[arg-type]


def read_case(region: Record, rows: Sequence[Record], slopes: Slopes | None = None) -> Case:
    """A case of a claim that is spelled out."""
    lower, upper = region.array("lower", "<f8"), region.array("upper", "<f8")
    ball = None
    if region.head.get("norm") is not None:
        radius = region.array("radius", "<f8")
        if len(radius) != 1:
            raise DataError("a ball has one radius")
        ball = Ball(region.integer("norm"), region.array("center", "<f8"), region.array("scale", "<f8"), float(radius[0]))
    parts = tuple(Part(r.array("rows", "<f8", 2), r.array("constants", "<f8")) for r in rows)
    return Case(Region(lower, upper, ball), parts, slopes)


def tree_arrays(trees: Arrays) -> dict[str, NDArray[np.generic]]:
    """Trees as arrays of a record."""
    return {"value": trees[0], "index": trees[1], "threshold": trees[2]}


def read_trees(record: Record, network: CheckedNetwork) -> Forest:
    """The trees of a record."""
    return forest(record.array("value", "<i4"), record.array("index", "<u4"), record.array("threshold", "<f8"), network)


def read_weights(record: Record) -> Weights:
    """The weights at nodes of a record's tree."""
    node, many, weight = record.array("mixed", "<u4"), record.array("many", "|u1"), record.array("weights", "<f4")
    end = np.cumsum(many, dtype=np.intp)
    if len(node) != len(many) or (len(end) and end[-1]) != len(weight) or (node[1:] <= node[:-1]).any() or not np.isfinite(weight).all():
        raise DataError(f"{len(weight)} weights (or infinite ones) came for {len(node)} nodes, which have to be in order")
    return Weights(node.astype(np.intp), end, weight.astype(np.float64))


def choice_arrays(choices: Choices) -> dict[str, NDArray[np.generic]]:
    """Slopes and multipliers as arrays of a record."""
    found: dict[str, NDArray[np.generic]] = {"multipliers": choices.multipliers}
    for value, (index, slopes) in choices.slopes.items():
        found |= {f"chosen {value}": index, f"slopes {value}": slopes}
    return found


def read_choices(record: Record) -> Choices:
    """The slopes and multipliers of a record."""
    slopes = {v: (record.array(f"chosen {v}", "<u4"), record.array(name, "|u1", 2)) for v, name in _by_value(record, "slopes")}
    return Choices(slopes, record.array("multipliers", "<f4"))


def _by_value(record: Record, kind: str) -> Iterator[tuple[int, str]]:
    """The arrays of a kind: for which value each is, and its name."""
    for name in record.arrays:
        given, _, number = name.partition(" ")
        if given == kind:
            if not (number.isascii() and number.isdigit() and len(number) < 10):
                raise DataError(f"{kind} are chosen for {number[:20]!r}, which is no value of the network")
            yield int(number), name


def dual_arrays(duals: Duals) -> dict[str, NDArray[np.generic]]:
    """Multipliers of semidefinite relaxations as arrays of a record."""
    found: dict[str, NDArray[np.generic]] = {"level": duals.level, "inputs": duals.inputs, "multipliers": duals.splits}
    for value, (index, chosen) in duals.neurons.items():
        found |= {f"chosen {value}": index, f"neurons {value}": chosen}
    return found


def read_duals(record: Record) -> Duals:
    """The multipliers of a record."""
    neurons = {v: (record.array(f"chosen {v}", "<u4"), record.array(name, "<f4", 3)) for v, name in _by_value(record, "neurons")}
    return Duals(record.array("level", "<f8"), record.array("inputs", "<f4", 2), neurons, record.array("multipliers", "<f4"))


def group_arrays(groups: Groups) -> dict[str, NDArray[np.generic]]:
    """Groups of ReLUs as arrays of a record."""
    found: dict[str, NDArray[np.generic]] = {
        "reads": groups.reads.astype(np.uint32),
        "many": np.diff(groups.begin).astype(np.uint8),
        "slopes": groups.slopes.astype(np.float32),
        "pieces": groups.pieces.astype(np.uint8),
    }
    for value, (unit, group) in groups.members.items():
        found |= {f"chosen {value}": unit.astype(np.uint32), f"group {value}": group.astype(np.uint32)}
    return found


def read_groups(record: Record) -> Groups:
    """The groups of a record."""
    members = {v: (record.array(f"chosen {v}", "<u4"), record.array(name, "<u4")) for v, name in _by_value(record, "group")}
    reads, pieces = record.array("reads", "<u4").astype(np.intp), record.array("pieces", "|u1").astype(np.intp)
    begin = np.concatenate([[0], np.cumsum(record.array("many", "|u1"), dtype=np.intp)])
    found = {v: (unit.astype(np.intp), group.astype(np.intp)) for v, (unit, group) in members.items()}
    return Groups(reads, begin, record.array("slopes", "<f4").astype(np.float64), pieces, found)
