"""The graph: shapes, refusals that name the node, identity, pruning, live sets."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from netassay.errors import ModelError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder, append_before, prune
from netassay.models.graph import Graph, Node

RNG = np.random.default_rng(3)


def dense(n: int, m: int, seed: int = 0) -> op.Dense:
    rng = np.random.default_rng(seed)
    return op.Dense(rng.standard_normal((m, n)).astype("f4"), rng.standard_normal(m).astype("f4"))


def mlp(name: str = "", seed: int = 0) -> Graph:
    return Graph((4,), (Node(dense(4, 5, seed), (0,), name), Node(nl.Relu(), (1,)), Node(dense(5, 3, seed + 1), (2,))))


def test_shapes_and_sizes() -> None:
    graph = mlp()
    assert graph.shapes == ((4,), (5,), (5,), (3,))
    assert graph.output_size == 3
    assert graph.parameters == 4 * 5 + 5 + 5 * 3 + 3


def test_hash_ignores_names_and_sees_everything_else() -> None:
    base = mlp()
    assert mlp("another name").sha256 == base.sha256
    nodes = list(base.nodes)
    assert mlp(seed=5).sha256 != base.sha256
    leaky = Graph((4,), (nodes[0], Node(nl.LeakyRelu(0.1), (1,)), nodes[2]))
    assert leaky.sha256 != base.sha256
    assert Graph((4,), (nodes[0], Node(nl.LeakyRelu(0.2), (1,)), nodes[2])).sha256 != leaky.sha256
    weight = nodes[0].operator.arrays()["weight"].copy()
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(9), dtype=np.float32)
    changed = op.Dense(weight, nodes[0].operator.arrays()["bias"])
    assert Graph((4,), (Node(changed, (0,)), *nodes[1:])).sha256 != base.sha256


def test_hash_does_not_depend_on_memory_layout() -> None:
    weight = RNG.standard_normal((3, 4)).astype("f4")
    bias = np.zeros(3, dtype="f4")
    one, two = (Graph((4,), (Node(op.Dense(w, bias), (0,)),)) for w in (weight, np.asfortranarray(weight)))
    assert one.sha256 == two.sha256


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_node_name(bad: float) -> None:
    weight = np.ones((2, 4), dtype="f4")
    weight[1, 2] = bad
    with pytest.raises(ModelError, match="'conv1'.*1 of 8 numbers in weight"):
        Graph((4,), (Node(op.Dense(weight, np.zeros(2, dtype="f4")), (0,), "conv1"),))
    with pytest.raises(ModelError, match="exponent"):
        Graph((4,), (Node(nl.Power(bad), (0,), "pow"),))


def test_infinite_clip_bounds_are_fine_and_nan_ones_are_not() -> None:
    assert Graph((4,), (Node(nl.Clip(-np.inf, 1.0), (0,)),)).output_size == 4
    with pytest.raises(ModelError, match="upper is nan"):
        Graph((4,), (Node(nl.Clip(0.0, np.nan), (0,)),))
    for ends in ((np.inf, np.inf), (-np.inf, -np.inf)):
        with pytest.raises(ModelError, match="expected a finite number"):
            Graph((4,), (Node(nl.Clip(*ends), (0,)),))


ZEROS = np.zeros(2, dtype="f4")
ILL_FORMED: list[tuple[str, op.Operator, tuple[int, ...]]] = [
    ("dense", op.Dense(np.ones((2, 3), dtype="f4"), ZEROS), (4,)),
    ("convolution channels", op.Convolution(np.ones((2, 3, 1, 1), dtype="f4"), ZEROS, (1, 1), (0, 0), (0, 0), (1, 1)), (4, 5, 5)),
    ("convolution larger than input", op.Convolution(np.ones((2, 4, 7, 7), dtype="f4"), ZEROS, (1, 1), (0, 0), (0, 0), (1, 1)), (4, 5, 5)),
    ("convolution stride 0", op.Convolution(np.ones((2, 4, 1, 1), dtype="f4"), ZEROS, (0, 1), (0, 0), (0, 0), (1, 1)), (4, 5, 5)),
    ("convolution ranks", op.Convolution(np.ones((2, 4, 1, 1), dtype="f4"), ZEROS, (1,), (0,), (0,), (1,)), (4, 5, 5)),
    ("affine", op.ChannelAffine(ZEROS, ZEROS), (3, 2)),
    ("reshape", op.Reshape((5,)), (4,)),
    ("transpose", op.Transpose((0, 0)), (2, 2)),
    ("slice", op.Slice((0,), (5,), (1,)), (4,)),
    ("empty slice", op.Slice((2,), (2,), (1,)), (4,)),
    ("gather", op.Gather(0, np.array([4])), (4,)),
    ("gather axis", op.Gather(1, np.array([0])), (4,)),
    ("pad", op.Pad((-1,), (0,)), (4,)),
    ("sum", op.Sum((1,)), (4,)),
    ("sum twice", op.Sum((0, 0)), (4,)),
    ("constants", op.AddConstant(np.ones(3, dtype="f4")), (4,)),
    ("division by zero", op.DivConstant(np.zeros((), dtype="f4")), (4,)),
    ("pool", nl.MaxPool((3, 3), (1, 1), (3, 0), (0, 0), (1, 1)), (1, 4, 4)),
    ("pool of padding alone at the end", nl.MaxPool((2, 2), (1, 1), (0, 0), (2, 0), (1, 1)), (1, 4, 4)),
    ("pool of padding alone on both sides of an input", nl.MaxPool((2,), (1,), (1,), (1,), (3,)), (1, 2)),
    ("pool whose dilation is beyond counting", nl.MaxPool((2,), (1,), (10**9,), (10**9,), (10**9 + 1,)), (1, 2)),
    ("average", op.AveragePool((2,), (2,), (0,), (0,), np.zeros((), dtype="f4")), (1, 4)),
    ("softmax", nl.Softmax(1), (4,)),
    ("lstm", nl.Lstm(np.ones((8, 3), "f4"), np.ones((8, 2), "f4"), np.ones(8, "f4"), ZEROS, np.zeros(3, "f4")), (5, 3)),
]


@pytest.mark.parametrize(("operator", "shape"), [row[1:] for row in ILL_FORMED], ids=[row[0] for row in ILL_FORMED])
def test_operators_that_do_not_fit_are_refused_by_node_name(operator: op.Operator, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="node 'here'"):
        GraphBuilder(shape).add(operator, 0, name="here")


def test_a_pool_is_refused_where_some_window_reads_padding_alone() -> None:
    """The largest of no numbers is none: against every window's places, one by one."""
    ranges = (range(1, 5), range(1, 4), range(1, 3), range(5), range(4), range(1, 5))
    for size, kernel, stride, begin, end, dilation in product(*ranges):
        count = op.window_count(size, kernel, stride, dilation, begin + end)
        if count < 1:
            continue
        places = np.arange(count)[:, None] * stride - begin + np.arange(kernel) * dilation
        fits = bool(((places >= 0) & (places < size)).any(axis=1).all())
        pool = nl.MaxPool((kernel,), (stride,), (begin,), (end,), (dilation,))
        if fits:
            assert pool.output_shape((1, size)) == (1, count)
        else:
            with pytest.raises(op.ShapeError, match="without any input"):
                pool.output_shape((1, size))


def test_order_arity_and_flatness_are_checked() -> None:
    with pytest.raises(ModelError, match="not computed yet"):
        Graph((4,), (Node(nl.Relu(), (1,)),))
    with pytest.raises(ModelError, match="takes 2 inputs, got 1"):
        Graph((4,), (Node(op.Add(), (0,)),))
    with pytest.raises(ModelError, match="flat output"):
        Graph((2, 2), (Node(nl.Relu(), (0,)),))
    with pytest.raises(ModelError, match="positive length"):
        Graph((0,), ())


def test_operators_take_no_wrong_dtype() -> None:
    with pytest.raises(ModelError, match="expected floating point"):
        Graph((4,), (Node(op.AddConstant(np.ones(4, dtype=np.int64)), (0,)),))


def test_prune_keeps_what_the_output_needs() -> None:
    nodes = (Node(dense(4, 5), (0,)), Node(nl.Tanh(), (1,)), Node(nl.Relu(), (1,)), Node(nl.Exp(), (2,)))
    graph = prune((4,), nodes, 3)
    assert [n.operator.name for n in graph.nodes] == ["Dense", "Relu"]
    assert graph.nodes[1].inputs == (1,)


def test_reshapes_are_joined_and_useless_ones_left_out() -> None:
    builder = GraphBuilder((2, 3))
    first = builder.add(op.Reshape((3, 2)), 0)
    assert builder.add(op.Reshape((2, 3)), first) == 0
    again = builder.add(op.Reshape((6,)), first)
    assert builder.build(builder.add(nl.Relu(), again)).nodes[0].inputs == (0,)


def test_preprocessing_comes_first() -> None:
    graph = append_before(mlp(), op.AddConstant(np.ones((), dtype="f4")), op.MulConstant(np.ones((), dtype="f4")))
    assert [n.operator.name for n in graph.nodes] == ["AddConstant", "MulConstant", "Dense", "Relu", "Dense"]
    assert graph.nodes[2].inputs == (2,)


def test_live_set_of_a_chain_and_of_a_shortcut() -> None:
    assert mlp().peak_values == 10
    assert mlp().total_values == 4 + 5 + 5 + 3
    shortcut = Graph((4,), (Node(nl.Relu(), (0,)), Node(nl.Tanh(), (1,)), Node(op.Add(), (0, 2))))
    assert shortcut.peak_values == 12


def test_linear_family() -> None:
    def subclasses(kind: Any) -> set[Any]:
        return {kind} | {s for k in kind.__subclasses__() for s in subclasses(k)}

    linear = {k.__name__ for k in subclasses(op.LinearOperator)} - {"LinearOperator"}
    assert all(k.linear for k in subclasses(op.LinearOperator))
    assert not any(k.linear for k in subclasses(op.Operator) - subclasses(op.LinearOperator))
    assert {"Dense", "Convolution", "ChannelAffine", "Add", "Sub", "Reshape", "AveragePool", "Sum", "Mean"} <= linear
    assert "Mul" not in linear


def test_constants_are_read_only_and_may_have_no_axes() -> None:
    given = np.ones(3, dtype="f4")
    operator = op.AddConstant(given)
    with pytest.raises(ValueError, match="read-only"):
        operator.value[0] = 2
    given[0] = 7  # the caller's own array stays writeable
    assert op.MulConstant(np.float32(2.0)).arrays()["value"].shape == ()  # type: ignore[arg-type]
