"""Problems as the statements that certificates are about."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball as CheckedBall
from netassay.checking.certificates.linear_operators import affine
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import CapabilityError
from netassay.models.graph import Graph
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball, Box
from netassay.verifiers.claim import Claim, claim_of, negated
from netassay.verifiers.rounding import Array


def statement_of(problems: Sequence[Problem]) -> Statement:
    """The properties of problems of one network, each on its region.

    Raises:
        CapabilityError: If a property or region has no form that certificates know.
    """
    claims = [claim_of(p) for p in problems]
    cases = [Case(region_of(p.region), _parts(c, _graph(p))) for c, p in zip(claims, problems, strict=True)]
    return _statement(_graph(problems[0]), cases, strict=any(c.strict for c in claims))


def range_statement(problems: Sequence[Problem], ends: Sequence[tuple[float | None, float | None]]) -> Statement:
    """That each property's s lies between two numbers (or on one side of one) on its region.

    Raises:
        CapabilityError: If a property or region has no form that certificates know.
    """
    graph, cases = _graph(problems[0]), list[Case]()
    for problem, (lower, upper) in zip(problems, ends, strict=True):
        claim, parts = claim_of(problem, exact=True), list[Part]()
        for bound, of in ((lower, claim), (None if upper is None else -upper, negated(claim))):
            if bound is not None and of is not None:
                parts += [Part(p.rows, _exact([Fraction(float(c)) - Fraction(bound) for c in p.constants])) for p in _parts(of, graph)]
        cases.append(Case(region_of(problem.region), tuple(parts)))
    return _statement(graph, cases, strict=False)


def _statement(graph: Graph, cases: Sequence[Case], *, strict: bool) -> Statement:
    return Statement(graph.sha256, int(np.prod(graph.input_shape)), graph.output_size, tuple(cases), strict)


def _graph(problem: Problem) -> Graph:
    graph = problem.network.graph
    if graph is None:
        raise CapabilityError(f"{problem.network.name} is a black box: nothing can be proved about it")
    return graph


def region_of(region: Ball | Box) -> Region:
    """A region as the checker knows it: all of it, and what rounding outwards adds; steps and one-hot blocks are left out of account."""
    if isinstance(region, Box):
        return _box(region.lower, region.upper)
    geometry = region.geometry
    if geometry.norm is Norm.L0:
        pixels = geometry.per_feature(np.arange(1.0, len(geometry.starts) + 1)[None])[0]
        return _box(geometry.outer_low, geometry.outer_high, CheckedBall(0, geometry.center, pixels, float(geometry.radius)))
    if geometry.norm is Norm.LINF:
        return _box(geometry.outer_low, geometry.outer_high)
    ball = CheckedBall(1 if geometry.norm is Norm.L1 else 2, geometry.center, geometry.scale, float(geometry.radius))
    return _box(geometry.outer_low, geometry.outer_high, ball)


def _box(lower: Array, upper: Array, ball: CheckedBall | None = None) -> Region:
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise CapabilityError("a certificate needs a bounded region; give a radius, or a domain with finite ends")
    return Region(lower.reshape(-1), upper.reshape(-1), ball)


def _parts(claim: Claim, graph: Graph) -> tuple[Part, ...]:
    """The claim's parts as rows of the network's own output: what the claim's graph goes on with is taken back exactly."""
    kept = len(graph.nodes)
    own, more = claim.graph.nodes[:kept], claim.graph.nodes[kept:]
    chained = all(node.inputs == (kept + i,) and node.operator.linear for i, node in enumerate(more))
    if [n.operator for n in own] != [n.operator for n in graph.nodes] or not chained:
        raise CapabilityError(
            "certificates are about linear forms of the network's outputs, this property is about probabilities; ask for a margin of logits"
        )
    exact, found = Arithmetic(exact=True), list[Part]()
    for part in claim.parts:
        rows, constants = exact.array(part.rows), exact.array(part.constants)
        for i in range(len(more) - 1, -1, -1):
            shapes = claim.graph.shapes
            mapped = affine(exact, more[i].operator, [shapes[kept + i]], shapes[kept + i + 1], more[i].name)
            constants = constants + rows @ mapped.constant
            rows = mapped.adjoint(rows)
        found.append(Part(_exact(rows), _exact(constants)))
    return tuple(found)


def _exact(numbers: object) -> Array:
    """Rational numbers as float64; raises CapabilityError if one is none."""
    given = np.asarray(numbers, dtype=object)
    found = given.astype(np.float64)
    if any(Fraction(f) != g for f, g in zip(found.reshape(-1).tolist(), given.reshape(-1).tolist(), strict=True)):
        raise CapabilityError("a number of the claim is no float64, so the claim cannot be written down exactly")
    return found
