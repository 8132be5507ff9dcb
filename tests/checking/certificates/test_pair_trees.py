"""Records of pairs of pixels: against networks of which every pair and linear piece is enumerated, and against grids of every pair."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from certificate_pairs import pair_bounds, pooled_claims, proved
from certificate_worlds import checked, graph_of, moved, no_damage_proves
from netassay.checking.certificates import pair_trees
from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.pair_trees import LEAF, OTHER, OWN, halves, leaves, root
from netassay.checking.certificates.pairs import Node, PairBounds
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import DataError
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from pair_worlds import asked, pooled, row_values
from sparse_enumeration import exact_least, image_strip, problem


def claims(seed: int, slack: Fraction) -> tuple[Problem, Statement, Statement]:
    """A claim ``slack`` below what two changes make of the margin at most, and the claim of that, which is false."""
    question = problem(image_strip(seed, mixed=False), seed, 2)
    least = exact_least(graph_of(question), question.center, 2, question.property.label, -1.0, 1.0)  # type: ignore[attr-defined]
    statement = statement_of([question])
    return question, moved(statement, -float(least - slack)), moved(statement, -float(least))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_true_is_accepted_and_what_is_false_is_not(seed: int) -> None:
    question, true, false = claims(seed, Fraction(1, 20))
    records = proved(question, true)
    assert [r.kind for r in records] == ["case", "pairs"]
    told = checked(question, true, records)
    assert told.accepted
    assert told.leaves > 7
    assert not checked(question, false, records).accepted
    assert not proved(question, false)


@pytest.mark.parametrize("seed", [1, 3, 5, 7])
def test_through_pooling_too(seed: int) -> None:
    question, true, false = pooled_claims(seed, 0.5)
    records = proved(question, true)
    assert checked(question, true, records).accepted
    told = checked(question, false, records)
    assert not told.accepted
    assert "beside pixel" in told.reason or "beside some of" in told.reason or "no other one" in told.reason
    assert not proved(question, false)


def test_one_of_several_rows_may_hold() -> None:
    """Parts of two rows: each pair is proved by either of them, none where both fail at a point."""
    question = asked(pooled(3), 3)
    statement, values = statement_of([question]), row_values(question)
    part = Part(np.concatenate([p.rows for p in statement.cases[0].parts]), np.zeros(2))
    center, point = question.center.reshape(-1), question.center.reshape(-1).copy()
    point[[8, 9]] = [1.0, -1.0]
    for margin, holds in ((float(values(center).max()) / 2, None), (float(values(point).max()), False)):
        claim = replace(statement, cases=(Case(statement.cases[0].region, (replace(part, constants=np.full(2, -margin)),)),))
        records = proved(question, claim)
        if holds is None:
            assert checked(question, claim, records).accepted
        else:
            assert not records


def test_damaged_records_never_prove_what_is_false() -> None:
    question, true, false = claims(3, Fraction(1, 20))
    no_damage_proves(question, true, false, proved(question, true), seed=5)


def test_a_proof_in_which_something_is_missing_is_refused() -> None:
    question, true, _ = claims(1, Fraction(1, 20))
    case, record = proved(question, true)
    tree, depth, order = (record.arrays[name] for name in ("tree", "depth", "order"))
    strange = np.where(np.arange(len(tree)) == 0, 3, tree).astype(np.uint8)
    bad = [
        ({"tree": tree[:-1]}, {}, "ends before its leaves"),
        ({"tree": np.append(tree, tree[:1])}, {}, "something follows"),
        ({"tree": np.zeros(0, np.uint8)}, {}, "ends before its leaves"),
        ({"tree": strange}, {}, "node of kind 3"),
        ({"depth": np.full(len(depth), 9, np.uint8)}, {}, "at most 2"),
        ({"depth": np.full(len(depth), 255, np.uint8)}, {}, "at most 2"),
        ({"depth": depth[:-1]}, {}, "6 depths of cells came"),
        ({"order": np.zeros(len(order), np.uint32)}, {}, "name each of them once"),
        ({"order": order[:-1]}, {}, "name each of them once"),
        ({}, {"together": 0}, "share a frame"),
        ({}, {"together": 10**9}, "share a frame"),
        ({}, {"together": 2.5}, "whole number"),
        ({"tree": np.zeros(pair_trees.MOST + 1, np.uint8)}, {}, "at most"),
    ]
    for arrays, head, said in bad:
        with pytest.raises(DataError, match=said):
            checked(question, true, [case, Record({**record.head, **head}, {**record.arrays, **arrays})])


def test_without_cells_nothing_is_proved() -> None:
    question, true, _ = claims(1, Fraction(1, 20))
    case, record = proved(question, true)
    none = np.zeros_like(record.arrays["depth"])
    arrays = {**record.arrays, "depth": none, "tree": none[1:]}
    assert not checked(question, true, [case, Record(record.head, arrays)]).accepted
    deep = np.array([OTHER, OTHER, OTHER, OTHER, LEAF, LEAF], dtype=np.uint8)
    with pytest.raises(DataError, match="halves a cell"):
        checked(question, moved(true, 100.0), [case, Record(record.head, {**arrays, "tree": deep})])


def test_other_regions_and_exact_arithmetic_are_refused() -> None:
    question, true, _ = claims(1, Fraction(1, 20))
    records = proved(question, true)
    with pytest.raises(DataError, match="without exact arithmetic"):
        checked(question, true, records, exact=True)
    case = true.cases[0]
    ball = case.region.ball
    assert ball is not None
    more = replace(true, cases=(Case(replace(case.region, ball=replace(ball, radius=3.0)), case.parts),))
    with pytest.raises(DataError, match="two changes; this one is about 3"):
        checked(question, more, records)
    near = replace(true, cases=(Case(replace(case.region, ball=Ball(2, ball.center, np.ones(7), 1.0)), case.parts),))
    with pytest.raises(DataError, match="L0 balls"):
        checked(question, near, records)


def pairs_in_no_leaf(seeds: range) -> int:
    """Of random trees: pairs of pixels with values that no leaf holds."""
    rng, lost = np.random.default_rng(0), 0
    question = asked(pooled(1), 1)
    for seed in seeds:
        pairs = pair_bounds(graph_of(question), statement_of([question]).cases[0], 2, seed=seed)
        tree = np.array([k for p in range(len(pairs.order) - 1) for k in _random_tree(pairs, root(pairs, p), rng, 9)], dtype=np.uint8)
        found = list(leaves(pairs, tree))
        for _ in range(60):
            p, q = np.sort(rng.choice(len(pairs.order), 2, replace=False)).tolist()
            a, b = rng.random(2)
            lost += not any(_holds(node, p, q, a, b) for node in found)
    return lost


def _random_tree(pairs: PairBounds, node: Node, rng: np.random.Generator, depth: int) -> list[int]:
    kinds = [k for k, more in ((OWN, node.own[0] < 2), (OTHER, node.level > 0 or node.cells[0] < 2)) if more]
    if not depth or not kinds or rng.random() < 0.1:
        return [LEAF]
    kind = int(rng.choice(kinds))
    return [kind, *(k for child in halves(pairs, node, kind) for k in _random_tree(pairs, child, rng, depth - 1))]


def _holds(node: Node, p: int, q: int, a: float, b: float) -> bool:
    within = all(place <= v * 2**depth <= place + 1 for (depth, place), v in ((node.own, a), (node.cells, b)))
    return node.pixel == p and q >> node.level == node.place and within


def test_trees_cover_all_pairs_whatever_they_say() -> None:
    assert pairs_in_no_leaf(range(6)) == 0


@pytest.mark.parametrize("bug", ["own", "others"])
def test_planted_bugs_in_the_cover_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = pair_trees.halves

    def halved(pairs: PairBounds, node: Node, kind: int) -> list[Node]:
        found = own(pairs, node, kind)
        return found[:1] if kind == (OWN if bug == "own" else OTHER) else found

    monkeypatch.setattr(pair_trees, "halves", halved)
    monkeypatch.setitem(globals(), "halves", halved)
    assert pairs_in_no_leaf(range(2)) > 0


def test_where_one_pixel_can_change_pairs_are_none() -> None:
    question = asked(pooled(1), 1)
    statement, values = statement_of([question]), row_values(question)
    region = statement.cases[0].region
    for width in (0.0, 0.25):
        low, high = question.center.reshape(-1).copy(), question.center.reshape(-1).copy()
        low[4] -= width
        ends = np.stack([low, question.center.reshape(-1)])
        least = float(values(ends).min())
        true, false = (
            replace(
                moved(statement, by - least),
                cases=tuple(replace(c, region=replace(region, lower=low, upper=high)) for c in moved(statement, by - least).cases),
            )
            for by in (0.5, -1e-9)
        )
        records = proved(question, true)
        assert not records[1].arrays["tree"].size
        assert checked(question, true, records).accepted
        assert not checked(question, false, records).accepted
        assert not proved(question, false)
