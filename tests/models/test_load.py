"""One door: references, factories, modules, functions; domains, preprocessing and what is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netassay.errors import ModelError, UsageError
from netassay.models.black_box import BlackBox
from netassay.models.load import load_network, wrap
from netassay.models.scores import Decision, Meaning
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


FACTORIES = """
import numpy as np
import torch
from netassay.models.builtin import builtin

class WithShape(torch.nn.Linear):
    input_shape = (4,)
    input_domain = (0.0, 2.0)

def network():
    return builtin("digits-mlp")

def module():
    return WithShape(4, 3)

def pair():
    return torch.nn.Linear(4, 3), (4,)

def triple():
    return torch.nn.Linear(4, 3), (4,), (-1.0, 1.0)

def function():
    return (lambda x: x * np.float32(2)), (4,)

def shapeless():
    return torch.nn.Linear(4, 3)

def odd():
    return 1, 2, 3, 4

def number():
    return 7, (4,)

def broken():
    raise ValueError("no weights here")
"""


@pytest.fixture
def module_name(folder: Path, request: pytest.FixtureRequest) -> str:
    name = f"factories_{abs(hash(request.node.name))}"
    (folder / f"{name}.py").write_text(FACTORIES)
    return name


@pytest.mark.parametrize("factory", ["module", "pair", "triple", "function"])
def test_factories(module_name: str, factory: str) -> None:
    network = load_network(f"{module_name}:{factory}")
    assert network.input_shape == (4,)
    assert any("your own code" in n for n in network.notes)
    expected = {"module": (0.0, 2.0), "triple": (-1.0, 1.0)}.get(factory, (-np.inf, np.inf))
    assert (network.domain.lower[0], network.domain.upper[0]) == expected
    assert isinstance(network, BlackBox if factory == "function" else GraphNetwork)
    given = load_network(f"{module_name}:{factory}", input_domain=(0.25, 0.5))
    assert (given.domain.lower[0], given.domain.upper[0]) == (0.25, 0.5)


def test_factory_of_a_network(module_name: str) -> None:
    assert load_network(f"{module_name}:network", input_domain=(0, 0.5)).domain.upper.max() == 0.5
    with pytest.raises(UsageError, match="a network already"):
        load_network(f"{module_name}:network", decision="argmin")


@pytest.mark.parametrize(
    ("factory", "match"),
    [
        ("broken", "ValueError: no weights here"),
        ("nothing", "AttributeError"),
        ("shapeless", "input shape of Linear is not known"),
        ("odd", "a tuple of 4"),
        ("number", "got int"),
    ],
)
def test_factories_that_fail(module_name: str, factory: str, match: str) -> None:
    with pytest.raises((ModelError, UsageError), match=match):
        load_network(f"{module_name}:{factory}")


def test_missing_module(folder: Path) -> None:
    with pytest.raises(ModelError, match="ModuleNotFoundError"):
        load_network("no_such_module_anywhere:make")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt", ".bin"])
def test_pickles_are_refused_and_not_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(ModelError, match=r"a pickle runs code when it is opened.*weights_only=True.*onnx"):
        load_network(path)
    with pytest.raises(ModelError, match="a pickle runs code"):
        load_network(path, trust=True)


@pytest.mark.parametrize("reference", ["digits", "model.h5", "resnet", ""])
def test_unknown_kinds_list_the_known_ones(reference: str) -> None:
    with pytest.raises(UsageError, match=r"unknown kind of model.*FILE.onnx.*digits-mlp, digits-cnn"):
        load_network(reference)


def test_missing_files() -> None:
    for reference in ("nowhere.onnx", "nowhere.pt2"):
        with pytest.raises(ModelError, match="no such file"):
            load_network(reference)


def test_unknown_outputs_and_decisions_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown outputs 'odds'; known: logits, probabilities"):
        load_network("x.onnx", outputs="odds")
    with pytest.raises(UsageError, match=r"unknown decision 'median'; known: argmax, argmin"):
        load_network("x.onnx", decision="median")


def test_wrapped_module_with_everything() -> None:
    torch.manual_seed(0)
    module = nn.Linear(4, 3)
    network = wrap(
        module, input_shape=(4,), domain=(0, 255), mean=[10, 20, 30, 40], std=2, outputs="logits", decision="argmin", name="linear"
    )
    assert network.name == "linear"
    assert (network.domain.lower[0], network.domain.upper[0]) == (0, 255)
    assert network.convention.decision is Decision.ARGMIN
    x = torch.rand(5, 4) * 255
    normalised = (x - torch.tensor([10.0, 20, 30, 40])) / 2
    torch.testing.assert_close(network.outputs(x), module(normalised).detach(), rtol=1e-5, atol=1e-4)


def test_wrapped_functions_and_boxes() -> None:
    box = Box(np.array([0.0, -1.0]), np.array([1.0, 1.0]))
    network = wrap(lambda x: x, domain=box, outputs=Meaning.PROBABILITIES, float64=True)
    assert network.domain is box
    assert network.convention.meaning is Meaning.PROBABILITIES
    assert network.in_float64() is not None
    assert wrap(network, domain=(0, 1)).domain.lower[1] == 0
    per_feature = wrap(lambda x: x, input_shape=(2,), domain=([0, 1], [2, 3]))  # type: ignore[arg-type]
    assert per_feature.domain.lower.tolist() == [0, 1]


def test_what_wrap_refuses() -> None:
    with pytest.raises(UsageError, match="give input_shape"):
        wrap(lambda x: x)
    with pytest.raises(UsageError, match="expected a torch module, a function"):
        wrap(3, input_shape=(2,))
    with pytest.raises(UsageError, match="normalise inside your function"):
        wrap(lambda x: x, input_shape=(2,), mean=0.5)
    with pytest.raises(UsageError, match="need a network with an operator graph"):
        wrap(nn.Linear(2, 2), input_shape=(2,), mean=0.5, graph="never")
    with pytest.raises(UsageError, match=r"a Box or a pair"):
        wrap(lambda x: x, input_shape=(2,), domain=(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not fit inputs of shape"):
        wrap(lambda x: x, input_shape=(2,), domain=([0, 0, 0], [1, 1, 1]))  # type: ignore[arg-type]


def test_loading_a_name_needs_no_torch_until_it_must(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, netassay.models.load as m\n"
        "try:\n    m.load_network('x.pkl')\n"
        "except Exception as e:\n    print(type(e).__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["ModelError", "False"]
