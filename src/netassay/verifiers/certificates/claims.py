"""Problems as the statements that certificates are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball as CheckedBall
from netassay.checking.certificates.linear_operators import affine
from netassay.checking.certificates.probabilities import network_of, sum_below
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.slope_bounds import SlopeBounds
from netassay.checking.certificates.slope_claims import Slopes
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models.graph import Graph
from netassay.models.operators import Operator
from netassay.models.scores import Decision, Meaning
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.reachability import Reachability
from netassay.specs.regions import Ball, Box
from netassay.verifiers.claim import Claim, claim_of, negated
from netassay.verifiers.rounding import Array

STEEPER = 5e-10
"""By how much slopes are claimed to be larger than proved, relative to their size: the checker rounds otherwise than verifiers do."""


def statement_of(problems: Sequence[Problem]) -> Statement:
    """The properties of problems of one network, each on its region.

    Raises:
        CapabilityError: If a property or region has no form that certificates know.
    """
    # thresholds of probabilities are floats, their logarithms are not
    claims = [claim_of(p, exact=isinstance(p.property, Reachability)) for p in problems]
    cases = [Case(region_of(p.region), _parts(c, _graph(p))) for c, p in zip(claims, problems, strict=True)]
    return _statement(problems, claims, cases, strict=any(c.strict for c in claims))


def range_statement(problems: Sequence[Problem], ends: Sequence[tuple[float | None, float | None]]) -> Statement:
    """That each property's s lies between two numbers (or on one side of one) on its region, or the least bit closer together.

    Raises:
        CapabilityError: If a property or region has no form that certificates know.
    """
    graph, cases, claims = _graph(problems[0]), list[Case](), list[Claim]()
    for problem, (lower, upper) in zip(problems, ends, strict=True):
        claim, parts = claim_of(problem, exact=True), list[Part]()
        claims.append(claim)
        for bound, of in ((lower, claim), (None if upper is None else -upper, negated(claim))):
            if bound is not None and of is not None:
                parts += [Part(p.rows, np.array([sum_below(c, -bound) for c in p.constants])) for p in _parts(of, graph)]
        cases.append(Case(region_of(problem.region), tuple(parts)))
    return _statement(problems, claims, cases, strict=False)


def slope_statement(problem: Problem, falling: float, rising: float | None, reach: float | None) -> Statement:
    """That s changes no faster from the centre of a ball, and what that needs to be at least for Theorem 1 to give a radius.

    Args:
        problem: About a ball.
        falling, rising: What the slopes are at most, a little more of which is claimed; None where nothing is.
        reach: The radius that Theorem 1 has given; where a smaller falling slope was behind it, that is claimed.
    Raises:
        CapabilityError: If the property or the norm has no form that certificates know.
    """
    claim, graph, geometry = claim_of(problem, exact=True), _graph(problem), problem.ball.geometry
    if geometry.norm is Norm.L0:
        raise CapabilityError("certificates of slopes are about distances in L1, L2 or L-infinity; ask for a verdict, or a radius, in L0")
    norm = {Norm.L1: 1, Norm.L2: 2, Norm.LINF: None}[geometry.norm]
    slopes = Slopes(norm, geometry.center, geometry.scale, _steeper(falling), None if rising is None else _steeper(rising))
    case = Case(region_of(problem.region), _parts(claim, graph), slopes)
    statement = _statement([problem], [claim], [case], strict=False)
    if reach is None:
        return statement
    least = float(SlopeBounds(*network_of(graph, statement, 0, Arithmetic())).least)
    needed = _steeper(least / reach) if least > 0 else 0.0
    return replace(statement, cases=(replace(case, slopes=replace(slopes, falling=min(slopes.falling, needed), least=least)),))


def _steeper(slope: float) -> float:
    return slope * (1 + STEEPER)


def _statement(problems: Sequence[Problem], claims: Sequence[Claim], cases: Sequence[Case], *, strict: bool) -> Statement:
    graph = _graph(problems[0])
    found = {_scores(c, p) for c, p in zip(claims, problems, strict=True)}
    if len(found) > 1:
        raise CapabilityError("a certificate is either about outputs or about probabilities; these properties are about both")
    return Statement(graph.sha256, int(np.prod(graph.input_shape)), graph.output_size, tuple(cases), strict, scores=found.pop())


def _head(claim: Claim, graph: Graph) -> Operator | None:
    """The softmax, or its logarithm, that the claim's graph ends in behind the network; None where it does not."""
    last = claim.graph.nodes[-1].operator if len(claim.graph.nodes) > len(graph.nodes) else None
    return last if isinstance(last, nl.Softmax | nl.LogSoftmax) else None


def _scores(claim: Claim, problem: Problem) -> Scores | None:
    head, convention = _head(claim, _graph(problem)), problem.network.convention
    if head is None:
        return None
    if convention.meaning not in (Meaning.LOGITS, Meaning.BINARY_LOGIT):
        raise CapabilityError(
            f"certificates about probabilities need logits, and this network gives {convention.meaning}; ask for a margin of its outputs"
        )
    binary, negated = convention.meaning is Meaning.BINARY_LOGIT, convention.decision is Decision.ARGMIN
    return Scores(isinstance(head, nl.LogSoftmax), binary, negated)


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
    """The claim's parts as rows of the network's own output (what the claim's graph goes on with is taken back exactly), or of scores."""
    if _head(claim, graph) is not None:
        return tuple(Part(p.rows, p.constants) for p in claim.parts)
    kept = len(graph.nodes)
    own, more = claim.graph.nodes[:kept], claim.graph.nodes[kept:]
    chained = all(node.inputs == (kept + i,) and node.operator.linear for i, node in enumerate(more))
    if [n.operator for n in own] != [n.operator for n in graph.nodes] or not chained:
        raise CapabilityError(
            "certificates are about linear forms of the network's outputs or probabilities, and this property is about other functions "
            "of them; ask for a margin of logits"
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
