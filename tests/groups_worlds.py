"""Groups of ReLUs of tiny networks whose least values are known exactly, and certificates of networks with windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from certificate_worlds import graph_of, never
from exact_polygons import affine_pieces, box, least
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Means
from netassay.checking.certificates.groups import Groups, group_bound
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Statement
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.groups import prove_by_groups
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.decomposition import Decomposition
from netassay.verifiers.region import Regions


def narrow(seed: int, layers: int = 1) -> Graph:
    """Two inputs, of which the first ReLUs read the one, the other or both; layers of ReLUs; two outputs."""
    rng = np.random.default_rng([seed, layers, 7])
    seen = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 1]])
    builder = GraphBuilder((2,))
    weight = rng.choice([-3, -2, -1, 1, 2, 3], seen.shape) * seen
    value = builder.add(nl.Relu(), builder.add(op.Dense(weight / 1.0, rng.integers(-1, 2, 6) / 1.0), 0))
    for _ in range(layers - 1):
        kept = op.Dense(rng.integers(-2, 3, (6, 6)) / 1.0, rng.integers(-2, 3, 6) / 1.0)
        value = builder.add(nl.Relu(), builder.add(kept, value))
    return builder.build(builder.add(op.Dense(rng.integers(-3, 4, (2, 6)) / 1.0, rng.integers(-2, 3, 2) / 1.0), value))


def whole_of(graph: Graph, region: Region, *, exact: bool = False) -> Parts:
    """The checker's ranges over a region."""
    network = CheckedNetwork(graph, Arithmetic(exact))
    a = network.arithmetic
    whole = Parts(network, region, a.array(region.lower)[None], a.array(region.upper)[None])
    whole.ensure(network.output)
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A network over a box, and the exact least value of its first output there."""

    graph: Graph
    region: Region
    truth: Fraction

    @classmethod
    def of(cls, seed: int, layers: int = 1) -> World:
        graph = narrow(seed, layers)
        lower, upper = (side[0] for side in (box(graph).lower, box(graph).upper))
        truth = least(affine_pieces(graph, lower, upper), -1, np.eye(2)[0])
        return cls(graph, Region(lower, upper), truth)

    def whole(self, *, exact: bool = False) -> Parts:
        return whole_of(self.graph, self.region, exact=exact)

    def bound(self, groups: Groups, *, exact: bool = False) -> Fraction | float:
        """The checker's bound of the first output."""
        whole = self.whole(exact=exact)
        found = group_bound(whole, groups, first_output(whole))
        return found if exact else float(found)


def first_output(whole: Parts) -> Means:
    a, size = whole.arithmetic, whole.network.sizes[-1]
    return Means(whole.network.output, [a.array(np.eye(size)[:1])], [a.array(np.zeros(1))], [np.ones(1)])


def together(whole: Parts, pieces: int) -> Groups:
    """All ReLUs of the first layer in a group that reads all inputs."""
    value, size = min(whole.network.kinked), whole.network.sizes[0]
    members = {value: (np.arange(whole.network.sizes[value]), np.zeros(whole.network.sizes[value], dtype=np.intp))}
    return Groups(np.arange(size), np.array([0, size]), np.zeros(size), np.full(size, pieces), members)


def drawn(whole: Parts, rng: np.random.Generator) -> Groups:
    """Some ReLUs in groups at random: reading what their members read, with any slopes and cells."""
    count = int(rng.integers(1, 5))
    seen, members = [set[int]() for _ in range(count)], {}
    for v in sorted(whole.network.kinked):
        unit = np.flatnonzero(rng.random(whole.network.sizes[v]) < 0.8)
        group = np.sort(rng.integers(0, count, len(unit)))
        unit = rng.permutation(unit)
        for u, g in zip(unit, group, strict=True):
            for sign in (1, -1):
                form = whole.units(v, np.zeros(1, dtype=np.intp), np.array([u]), np.array([sign])).form
                seen[g] |= set(np.flatnonzero(form[0]).tolist())
        members[v] = unit, group
    reads = np.array([i for each in seen for i in sorted(each)], dtype=np.intp)
    slopes = rng.integers(-16, 17, len(reads)) / 8 * rng.integers(0, 2)
    begin = np.concatenate([[0], np.cumsum([len(each) for each in seen])])
    return Groups(reads, begin, slopes, rng.integers(1, 7, len(reads)), members)


def candidates(world: World, seed: int) -> Iterator[Groups]:
    """Good groups, and any others."""
    rng, whole = np.random.default_rng([seed, 3]), world.whole()
    for pieces in (1, 4, 16):
        found = together(whole, pieces)
        yield found
        yield replace(found, slopes=rng.integers(-8, 9, 2) / 8)
    for _ in range(8):
        yield drawn(whole, rng)


def no_groups_say_more_than_the_truth(seeds: range, *, exact: bool = False) -> tuple[int, float]:
    """How many bounds were compared with exact least values, and how near the nearest comes."""
    compared, nearest = 0, np.inf
    for seed in seeds:
        for layers in (1, 2):
            world = World.of(seed, layers)
            for groups in candidates(world, seed):
                found = world.bound(groups, exact=exact)
                if found > -np.inf:
                    assert Fraction(found) <= world.truth, (seed, layers)
                    compared += 1
                    nearest = min(nearest, float(world.truth - Fraction(found)))
    return compared, nearest


def by_groups(
    asked: Problem, statement: Statement, options: Decomposition | None = None, over: Callable[[], bool] = never
) -> tuple[bool, list[Record]]:
    """Whether groups close all parts of a claim of one case, and the records of those that they close."""
    case, graph, records = statement.cases[0], graph_of(asked), list[Record]()
    whole = whole_of(graph, case.region)
    proof = CaseProof(0, case, whole, True, records.append, over)
    claim = Claim(whole.network.graph, tuple(Part(p.rows, p.constants) for p in case.parts), strict=True)
    prove_by_groups(claim, Regions.of([asked.region]), proof, options or Decomposition())
    return not proof.open, [Record({"record": "case", "case": 0}), *records]
