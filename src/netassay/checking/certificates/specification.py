"""The claim that a VNN-LIB specification makes about a network: no output of its boxes lies in an unsafe polyhedron."""

from __future__ import annotations

from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import DataError
from netassay.models.graph import Graph
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.vnnlib import Specification


def of_specification(graph: Graph, specification: Specification) -> Statement:
    """The statement whose truth is the specification's: every unsafe polyhedron ``A y <= b`` has a row with ``A y - b > 0``.

    Boxes and offsets are those of the specification's cases, which are rounded so that they hold everything that the file allows.

    Raises:
        DataError: If the network has other numbers of inputs or outputs.
    """
    inputs = 1
    for n in graph.input_shape:
        inputs *= n
    if (specification.inputs, specification.outputs) != (inputs, graph.output_size):
        raise DataError(
            f"the specification is about {specification.inputs} inputs and {specification.outputs} outputs, the network has {inputs} and "
            f"{graph.output_size}: take the specification that belongs to the network"
        )
    cases = tuple(Case(Region(c.box.lower, c.box.upper), parts_of(c.unsafe)) for c in specification.cases)
    return Statement(graph.sha256, inputs, graph.output_size, cases, strict=True)


def parts_of(unsafe: OutputHalfspaces) -> tuple[Part, ...]:
    """One part for each polyhedron of an unsafe set."""
    return tuple(Part(unsafe.matrix[d, :r], -unsafe.offset[d, :r]) for d, r in enumerate(unsafe.rows))
