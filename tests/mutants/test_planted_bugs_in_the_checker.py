"""Bugs planted in the checker of certificates are caught: bounds above attained values, or certificates of false claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from certificate_worlds import graph_of, halfspaces_problem, least_seen, moved, produced, wide_network
from checking.certificates.test_bounds import bounded, place, points_of
from checking.certificates.test_combining import FLOATS, sums_stay_below
from checking.certificates.test_forests import no_leaf_bound_lies_above_a_point
from exact_planar import planar_problem
from netassay.checking.certificates import bounds, boxes, combining, forests
from netassay.checking.certificates.affine import Affine, Matrix, Windows
from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.boxes import Boxes, BoxProof
from netassay.checking.certificates.region import Region
from netassay.models.torch_graph import GraphModule
from netassay.verifiers.certificates.claims import statement_of
from random_graphs import random_graph

Plant = Callable[[pytest.MonkeyPatch], None]


def lines_with(name: str, change: Callable[..., object]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = getattr(bounds, name)
        monkeypatch.setattr(bounds, name, lambda *args: change(own(*args)))

    return plant


def wrong_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Region.minimum
    monkeypatch.setattr(Region, "minimum", lambda self, a, rows, low, high, owner: -own(self, a, -rows, low, high, owner))


def without_bias(kind: type[Affine]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = kind.__init__

        def init(self: Affine, *args: object, **options: object) -> None:
            own(self, *args, **options)
            self.constant = np.zeros_like(self.constant)

        monkeypatch.setattr(kind, "__init__", init)

    return plant


def wrong_multipliers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = forests._Leaves._multiplied

    def turned(self, multipliers):  # type: ignore[no-untyped-def]
        extra, constant, error = own(self, multipliers)
        return {v: -e for v, e in extra.items()}, -constant, error

    monkeypatch.setattr(forests._Leaves, "_multiplied", turned)


def lost_child(monkeypatch: pytest.MonkeyPatch) -> None:
    own = BoxProof.split

    def first_only(self: BoxProof, now: Boxes, value, index, threshold, children):  # type: ignore[no-untyped-def]
        found = own(self, now, value, index, threshold, children)
        return found.take(np.flatnonzero(np.isin(found.node, children[0])))

    monkeypatch.setattr(BoxProof, "split", first_only)


def cut_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    own = boxes.cut_down

    def cut(a, low, high, forms):  # type: ignore[no-untyped-def]
        new_low, new_high, empty = own(a, low, high, forms)
        return new_low + 0.1 * (new_high - new_low), new_high, empty

    monkeypatch.setattr(boxes, "cut_down", cut)


def empty_unless_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    own = boxes.cut_down
    monkeypatch.setattr(boxes, "cut_down", lambda *args: (*own(*args)[:2], np.ones(len(args[1]), dtype=np.bool_)))


def weights_of_either_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    own = combining.combined

    def mixed(a, low, high, forms, weights):  # type: ignore[no-untyped-def]
        moved_down = weights - 0.5
        owner, rows, offset = forms
        signs = a.array(np.sign(moved_down))
        return own(a, low, high, (owner, rows * signs[:, None], offset * signs), np.abs(moved_down))

    monkeypatch.setattr(boxes, "combined", mixed)


def exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "combined", without_rounding(combining.combined))


def without_rounding(own: Callable[..., combining.Forms]) -> Callable[..., combining.Forms]:
    """What float64 may lose in a sum is not taken off."""

    class Careless(Arithmetic):
        def gamma(self, terms: int) -> float:
            return 0.0 * terms

        def down(self, values: Array) -> Array:
            return values

    return lambda a, *rest: own(a if a.exact else Careless(), *rest)


UNSOUND: dict[str, Plant] = {
    "slopes swapped": lines_with("kinked", lambda f: replace(f, lower_slope=f.upper_slope, upper_slope=f.lower_slope)),
    "upper offset dropped": lines_with("kinked", lambda f: replace(f, upper_offset=np.zeros_like(f.upper_offset))),
    "upper offset of a maximum dropped": lines_with("greatest", lambda f: replace(f, upper_offset=np.zeros_like(f.upper_offset))),
    "another input of a maximum": lines_with("greatest", lambda f: replace(f, upper_pick=f.lower_pick[:, ::-1])),
    "wrong corner": wrong_corner,
    "lost bias": without_bias(Matrix),
    "lost bias of a convolution": without_bias(Windows),
    "multipliers of the wrong side": wrong_multipliers,
    "lost child": lost_child,
    "cut too far": cut_too_far,
    "everything empty": empty_unless_proved,
    "weights of either sign": weights_of_either_sign,
    "sums without rounding": exact_sums,
}


def no_bound_lies_above_a_point() -> None:
    for kind in ("dense", "convolution", "pooling"):
        for seed in range(4):
            rng = np.random.default_rng([seed, 3])
            graph = random_graph(kind, seed)
            region = place("box", graph.input_shape, rng)
            rows = rng.integers(-2, 3, (3, graph.output_size)) / 1.0
            points = points_of(region, rng)
            with torch.no_grad():
                values = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy() @ rows.T
            assert (bounded(graph, region, rows, exact=False) <= values.min(axis=0)).all()


def any_choice_gives_a_bound() -> None:
    for seed in range(20):
        no_leaf_bound_lies_above_a_point("dense", seed)


def no_false_claim_has_a_certificate(path: Path) -> None:
    for seed in range(6):
        problem, exact = planar_problem(seed)
        calls = count()
        false = moved(statement_of([problem]), -(float(exact) + 0.01))
        assert not produced(path, problem, false, over=lambda calls=calls: next(calls) > 30).complete
    for seed in range(2):
        problem = halfspaces_problem(wide_network(seed), seed, 0.35)
        calls = count()
        false = moved(statement_of([problem]), -(least_seen(problem, np.random.default_rng(seed)) + 0.05))
        assert not produced(path, problem, false, over=lambda calls=calls: next(calls) > 60).complete
        assert graph_of(problem).sha256 == false.network_sha256


def everything(path: Path) -> None:
    no_bound_lies_above_a_point()
    any_choice_gives_a_bound()
    sums_stay_below(FLOATS)
    no_false_claim_has_a_certificate(path)


def test_without_a_bug_nothing_is_caught(tmp_path: Path) -> None:
    everything(tmp_path / "a.cert")


@pytest.mark.parametrize("name", UNSOUND)
def test_a_planted_bug_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    UNSOUND[name](monkeypatch)
    with pytest.raises(AssertionError):
        everything(tmp_path / "a.cert")
