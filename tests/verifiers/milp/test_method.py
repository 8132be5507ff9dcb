"""The method against exact least values: PROVED sides with no tolerance, solver's sides with its own."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from exact_planes import Diamond, Planar, Square, exact_least
from netassay.errors import CapabilityError
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.guarantee import Guarantee
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.milp import Milp, encoding, method, proof
from netassay.verifiers.milp.solver import Answer, Outcome, Relaxation, Solved
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.target_labels import TargetLabels
from random_graphs import random_graph

ROWS = ((1, 0), (-1, 1), (2, -1))
SLOPES = (Fraction(0), Fraction(1, 4), Fraction(-1))
PROOF, SOLVER = Milp(solver=0.0, attack=0, tighten=0.0), Milp(proved=False, attack=0, tighten=0.0)
STAGED = Milp(solver=0.0, attack=0)


def region(seed: int) -> tuple[Square | Diamond, Regions]:
    """A square, or a diamond within one."""
    if seed % 3:
        square = Square(Fraction(seed % 3))
        return square, Regions.of([Box.filled((2,), -float(square.bound), float(square.bound))])
    diamond = Diamond((seed % 2, -1), Fraction(3, 2), Fraction(2))
    return diamond, Regions.of([Ball(np.array(diamond.center, float), 1.5, "l1", domain=Box.filled((2,), -2.0, 2.0))])


def claim(network: Planar, constants: list[Fraction]) -> Claim:
    """Each of ``ROWS`` plus its constant is positive."""
    parts = tuple(Part(np.array([row], float), np.array([float(c)])) for row, c in zip(ROWS, constants, strict=True))
    return Claim(network.graph(), parts, strict=True)


def cases(slopes: tuple[Fraction, ...] = SLOPES, seeds: range = range(9)):  # type: ignore[no-untyped-def]
    """Claims with their exact least s: clearly true, clearly false, and near the border."""
    for slope, seed in itertools.product(slopes, seeds):
        network = Planar.drawn(seed, slope=slope)
        where, regions = region(seed)
        least = [exact_least(network, where, row) for row in ROWS]
        for margin in (Fraction(1), Fraction(1, 64), Fraction(-1, 64)):
            constants = [Fraction(round((margin - v) * 1024), 1024) for v in least]
            yield network, where, claim(network, constants), regions, min(v + c for v, c in zip(least, constants, strict=True))


def last(verifier: Milp, asked: Claim, regions: Regions, exact: Fraction | None = None, tolerance: float = 0.0) -> Finding:
    found = None
    for found in verifier.verify(Task(asked, regions)):
        allowed = tolerance if found.guarantee is Guarantee.SOLVER else 0.0
        assert exact is None or Fraction(found.lower) <= exact + Fraction(allowed)
    assert found is not None
    return found


def test_proofs_hold_in_rational_arithmetic_and_decide_everything() -> None:
    for network, where, asked, regions, exact in cases():
        found = last(PROOF, asked, regions, exact)
        assert found.guarantee is Guarantee.PROVED
        assert found.proved is (exact > 0)
        assert (found.point is not None) is (exact <= 0)
        if found.point is not None:
            x = tuple(Fraction(float(v)) for v in found.point)
            values = [
                sum((r * v for r, v in zip(p.rows[0], network(x), strict=True)), Fraction(float(p.constants[0]))) for p in asked.parts
            ]
            assert min(values) <= 0
            assert min(values) >= exact or not where.holds(x)


def test_trees_that_give_way_to_narrower_ranges_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "PACE", 0.0)
    monkeypatch.setattr(method, "LEAVES", (1, 2, 3))
    given_up = 0
    trees = proof.ProofTree.start

    def counted(tree: proof.ProofTree) -> None:
        nonlocal given_up
        given_up += 1
        trees(tree)

    monkeypatch.setattr(proof.ProofTree, "start", counted)
    runs = 0
    for *_, asked, regions, exact in cases((Fraction(0), Fraction(-1)), range(4)):
        found = last(STAGED, asked, regions, exact)
        assert found.proved is (exact > 0)
        assert (found.point is not None) is (exact <= 0)
        runs += 1
    assert given_up > runs // 2


def test_cuts_save_subproblems_and_change_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[Finding]:
        return [last(PROOF, asked, regions, exact) for *_, asked, regions, exact in cases((Fraction(0),))]

    with_cuts = found()
    monkeypatch.setattr(proof, "ROUNDS", 0)
    without = found()
    assert [f.proved for f in with_cuts] == [f.proved for f in without]
    assert sum(f.subproblems for f in with_cuts) < sum(f.subproblems for f in without)


def test_a_cutoff_within_rounding_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where multipliers that reach the cut-off prove nothing yet, the relaxation is solved to the end."""
    monkeypatch.setattr(proof, "CUTOFF", 0.0)
    bound = proof.DualBounds.bound
    monkeypatch.setattr(proof.DualBounds, "bound", lambda *args: bound(*args) - 1e-3)
    for *_, asked, regions, exact in cases((Fraction(0),), range(4)):
        found = last(PROOF, asked, regions, exact)
        assert found.proved is (exact > 0)


def test_the_solver_agrees_within_its_tolerance() -> None:
    for *_, asked, regions, exact in cases((Fraction(0),)):
        found = last(SOLVER, asked, regions, exact, 1e-6)
        assert found.proved is (exact > 0)
        assert (found.point is not None) is (exact <= 0)
        assert not found.proved or found.guarantee in (Guarantee.SOLVER, Guarantee.PROVED)


def test_parts_of_several_rows_need_one_of_them() -> None:
    for seed in range(6):
        network = Planar.drawn(seed)
        points = np.random.default_rng(seed).uniform(-1, 1, (300, 2)).round(3)
        rows = np.array(ROWS, float)
        values = np.array([[float(v) for v in network([Fraction(float(t)) for t in x])] for x in points]) @ rows.T
        shift = float(np.round(-values.max(axis=1).min(), 6))
        for margin, holds in ((3.0, None), (-0.5, False)):
            asked = Claim(network.graph(), (Part(rows, np.full(3, shift + margin)),), strict=True)
            found = last(PROOF, asked, Regions.of([Box.filled((2,), -1, 1)]))
            assert found.proved is not (found.point is not None)
            assert holds is None or found.proved is holds
            assert found.lower <= margin


@pytest.mark.parametrize("kind", ["convolution", "pooling", "residual"])
def test_images_and_branches_are_decided(kind: str) -> None:
    decided = set()
    for seed in range(4):
        graph = random_graph(kind, seed)
        size = graph.output_size
        points = np.random.default_rng(seed).integers(-8, 9, (400, *graph.input_shape)) / 8
        outputs = Evaluator(BoundedGraph(graph)).outputs(points)
        for margin in (16.0, 4.0, 0.75, -0.125):
            constants = -outputs.min(axis=0) + margin
            asked = Claim(graph, tuple(Part(np.eye(size)[i : i + 1], constants[i : i + 1]) for i in range(size)), strict=True)
            found = last(PROOF, asked, Regions.of([Box.filled(graph.input_shape, -1, 1)]))
            assert found.proved is (found.point is None)
            assert found.lower <= float((outputs + constants).min())
            decided.add(found.proved)
    assert decided == {True, False}


def test_the_guarantee_rises_from_the_solvers_word_to_a_proof() -> None:
    hasty = Milp(solver=0.5, attack=0, tighten=0.0, first=0.0)
    risen = 0
    for *_, asked, regions, exact in cases((Fraction(0),)):
        if exact <= 0:
            continue
        guarantees = [f.guarantee for f in hasty.verify(Task(asked, regions)) if f.proved]
        assert guarantees[-1] is Guarantee.PROVED
        risen += Guarantee.SOLVER in guarantees
    assert risen > 0


def wrong_proofs() -> int:
    """How many claims are proved that are false, or bounded above their least value."""
    wrong = 0
    for *_, asked, regions, exact in cases((Fraction(0),)):
        for found in PROOF.verify(Task(asked, regions)):
            wrong += found.proved and exact <= 0
            wrong += Fraction(found.lower) > exact if np.isfinite(found.lower) else found.lower > 0
    return wrong


def test_planted_bugs_give_wrong_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong_proofs() == 0
    undecided = encoding._Encoder._undecided
    with monkeypatch.context() as patch:
        patch.setattr(encoding._Encoder, "_undecided", lambda s, z, y, slope, low, high: undecided(s, z, y, slope, low / 2, high / 2))
        assert wrong_proofs() > 0
    with monkeypatch.context() as patch:
        visit = proof.ProofTree._visit
        patch.setattr(
            proof.ProofTree, "_visit", lambda s, p, fixed, *rest: visit(s, p, fixed, *rest) if fixed[-1:] == () or fixed[-1][1] else np.inf
        )
        patch.setattr(proof.ProofTree, "points", lambda s: np.zeros((0, 2)))
        assert wrong_proofs() > 0


def test_a_spent_clock_and_an_interrupt_end_it() -> None:
    for make in (lambda: Limits(Clock(1e-9)), lambda: Limits(interrupted=lambda: True)):
        reasons = []
        for *_, asked, regions, exact in cases((Fraction(0),), range(3)):
            found = list(Milp(attack=0).verify(Task(asked, regions, make())))[-1]
            assert Fraction(found.lower) <= exact
            assert not found.proved or exact > 0
            reasons += [] if found.proved else [found.reason]
        assert set(reasons) == {"time-out"}


def test_no_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    undecided = [c for c in cases((Fraction(0),)) if last(Milp(attack=0, tighten=0.0, solver=0.0), *c[2:4]).subproblems > 1]
    assert undecided
    for *_, asked, regions, exact in undecided:
        found = last(Milp(attack=0, tighten=0.0), Claim(asked.graph, asked.parts, strict=True), regions, exact)
        assert found.reason == ""
        (found,) = Milp(attack=0, tighten=0.0).verify(Task(asked, regions, Limits(memory=0)))
        assert (found.proved, found.reason) == (False, "memory")
    monkeypatch.setattr(proof.ProofTree, "bytes", property(lambda tree: 1 << 60))
    reasons = {last(Milp(attack=0, tighten=0.0, solver=0.0), *c[2:4]).reason for c in undecided}
    assert "memory" in reasons


def test_rival_labels_one_by_one() -> None:
    for _, _, asked, regions, exact in cases((Fraction(0),), range(4)):
        parts = tuple(Part(p.rows, p.constants, label) for label, p in enumerate(asked.parts))
        found = list(TargetLabels(Milp(attack=0)).verify(Task(Claim(asked.graph, parts, strict=True, label=9), regions)))[-1]
        assert found.proved is (exact > 0)
        assert Fraction(found.lower) <= exact
        assert found.guarantee is Guarantee.PROVED


def test_a_wrong_solver_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it answers, guarantees stay apart: PROVED bounds hold, and a point that it missed is found."""
    lies = Answer(Outcome.INFEASIBLE, 1.0, None, 1)
    monkeypatch.setattr(method, "solve", lambda *args, **kwargs: lies)
    points = proof.ProofTree.points
    monkeypatch.setattr(proof.ProofTree, "points", lambda tree: points(tree) if tree.subproblems > 3 else np.zeros((0, 2)))
    believed = 0
    for *_, asked, regions, exact in cases((Fraction(0),)):
        for found in Milp(attack=0, tighten=0.0, first=0.0).verify(Task(asked, regions)):
            believed += found.proved and exact <= 0
            if found.guarantee is Guarantee.PROVED:
                assert Fraction(found.lower) <= exact
                assert not found.proved or exact > 0
        assert found.proved is (exact > 0)
    assert believed > 0


def test_the_lies_of_linear_programs_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multipliers that are wrong, and points that are nowhere, cost time but never soundness."""
    true_solve = Relaxation.solve
    rng = np.random.default_rng(0)

    def lying(self: Relaxation, basis: object = None, seconds: float = np.inf, cutoff: float = np.inf) -> Solved:
        solved = true_solve(self, basis, seconds, cutoff)
        outcome = rng.choice(np.array([Outcome.OPTIMAL, Outcome.INFEASIBLE, Outcome.STOPPED]))
        multipliers = None if solved.multipliers is None else solved.multipliers + rng.normal(0, 0.3, len(solved.multipliers))
        return Solved(
            outcome, rng.normal(0, 1, len(solved.point)), multipliers, solved.basis, solved.value + rng.normal(), solved.iterations
        )

    monkeypatch.setattr(Relaxation, "solve", lying)
    for *_, asked, regions, exact in cases((Fraction(0),), range(2)):
        for found in PROOF.verify(Task(asked, regions)):
            assert Fraction(found.lower) <= exact if np.isfinite(found.lower) else found.lower < 0
            assert not found.proved or exact > 0


def test_smooth_networks_are_refused() -> None:
    graph = random_graph("tanh", 0)
    asked = Claim(graph, (Part(np.eye(graph.output_size)[:1], np.zeros(1)),), strict=True)
    with pytest.raises(CapabilityError, match="Tanh"):
        list(Milp().verify(Task(asked, Regions.of([Box.filled(graph.input_shape, -1, 1)]))))
