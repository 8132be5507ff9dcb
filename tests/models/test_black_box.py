"""Functions as networks: what they may take and return, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netassay.errors import ModelError, UsageError
from netassay.models.black_box import BlackBox
from netassay.models.scores import Meaning
from netassay.numerics.box import Box

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype("f4")
UNIT = Box.filled((4,), 0, 1)


def linear(x: NDArray[Any]) -> NDArray[Any]:
    return x @ WEIGHT.astype(x.dtype)


def test_numpy_function() -> None:
    seen: list[Any] = []

    def model(x: Any) -> Any:
        seen.append((type(x), x.dtype, x.shape))
        return linear(x)

    network = BlackBox(model, UNIT)
    assert seen == [(np.ndarray, np.dtype("f4"), (1, 4))]
    x = torch.rand(5, 4)
    torch.testing.assert_close(network.outputs(x), x @ torch.from_numpy(WEIGHT))
    assert network.output_size == 3
    assert network.convention.meaning is Meaning.LOGITS
    assert not network.differentiable
    assert network.graph is None
    assert network.in_float64() is None
    assert any("identity" in n for n in network.notes)


def test_torch_function_and_lists_and_single_numbers() -> None:
    torch_box = BlackBox(lambda x: x @ torch.from_numpy(WEIGHT), UNIT, takes="torch")
    x = torch.rand(5, 4)
    torch.testing.assert_close(torch_box.outputs(x), x @ torch.from_numpy(WEIGHT))
    listed = BlackBox(lambda x: [[float(v) for v in row] for row in x], UNIT)
    torch.testing.assert_close(listed.outputs(x), x)
    single = BlackBox(lambda x: x.sum(axis=1), UNIT)
    assert single.output_size == 1
    assert single.convention.meaning is Meaning.VALUES
    assert single.outputs(x).shape == (5, 1)


def test_float64_only_where_declared() -> None:
    network = BlackBox(linear, UNIT, float64=True)
    double = network.in_float64()
    assert double is not None
    assert double.dtype == "float64"
    assert network.dtype == "float32"
    x = torch.rand(3, 4, dtype=torch.float64)
    np.testing.assert_allclose(double.outputs(x).numpy(), x.numpy() @ WEIGHT.astype("f8"), rtol=1e-14)


def test_identity_sees_source_convention_and_what_the_user_says() -> None:
    assert BlackBox(linear, UNIT).sha256 == BlackBox(linear, UNIT).sha256
    assert BlackBox(linear, UNIT).sha256 != BlackBox(lambda x: x * 2, UNIT).sha256
    assert BlackBox(linear, UNIT, identity="v1").sha256 != BlackBox(linear, UNIT, identity="v2").sha256
    assert BlackBox(linear, UNIT).sha256 != BlackBox(linear, UNIT, outputs=Meaning.PROBABILITIES).sha256
    assert not any("name and source" in n for n in BlackBox(linear, UNIT, identity="v1").notes)


def _raise(_: Any) -> Any:
    raise RuntimeError("server is down")


BAD: list[tuple[str, Callable[[Any], Any], str]] = [
    ("fails", _raise, "RuntimeError: server is down"),
    ("rows", lambda x: np.zeros((len(x) + 1, 3)), "one row per input"),
    ("no rows", lambda _: np.float64(3), "one row per input"),
    ("labels", lambda x: np.zeros(len(x), dtype=int), "not labels"),
    ("text", lambda x: ["cat"] * len(x), "floating-point"),
    ("nothing", lambda _: None, "floating-point"),
    ("empty", lambda x: np.zeros((len(x), 0)), "one row per input"),
]


@pytest.mark.parametrize(("function", "match"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_functions_that_cannot_be_used(function: Callable[[Any], Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        BlackBox(function, UNIT)


def test_failures_on_later_batches_are_named() -> None:
    widths = iter([3, 2])
    with pytest.raises(ModelError, match="returned 2 numbers per input; it gave 3 before"):
        BlackBox(lambda x: np.zeros((len(x), next(widths))), UNIT).outputs(torch.zeros(1, 4))


def test_not_a_number_is_passed_on_and_not_a_failure_of_the_batch() -> None:
    network = BlackBox(lambda x: np.where(x > 0.5, np.nan, x), UNIT)
    found = network.outputs(torch.tensor([[0.1] * 4, [0.9] * 4]))
    assert torch.isfinite(found[0]).all()
    assert torch.isnan(found[1]).all()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="'numpy' or 'torch'"):
        BlackBox(linear, UNIT, takes="jax")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="one number per input"):
        BlackBox(linear, UNIT, outputs=Meaning.SIGMOID)


def test_inputs_of_the_function_cannot_change_the_callers() -> None:
    def spoils(x: NDArray[Any]) -> NDArray[Any]:
        x *= 0
        return x + 1.0

    network = BlackBox(spoils, UNIT)
    x = torch.rand(3, 4)
    before = x.clone()
    network.outputs(x)
    assert torch.equal(x, before)
