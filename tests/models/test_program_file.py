""".pt2 programs: plain ones load, anything that could run code is refused, and nothing of it runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netassay.errors import ModelError
from netassay.models.load import load_network
from netassay.models.program_file import load_program
from netassay.models.torch_network import GraphNetwork

MODEL = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
RAN: list[str] = []


def small_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)).eval()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "m.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(small_module(), (torch.zeros(2, 1, 6, 6),), dynamic_shapes=shapes, strict=False)
    torch.export.save(exported, path)
    return path


class Payload:
    """Unpickled, it says so."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return RAN.append, ("ran",)


def torch_pickle(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def changed(program: Path, folder: Path, members: dict[str, bytes | Callable[[bytes], bytes]]) -> Path:
    """A copy with members replaced or added."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as target:
        root = source.namelist()[0].partition("/")[0]
        rest = dict(members)
        for info in source.infolist():
            change = rest.pop(info.filename.partition("/")[2], None)
            content = source.read(info)
            target.writestr(info.filename, content if change is None else change(content) if callable(change) else change)
        for name, content in rest.items():
            target.writestr(f"{root}/{name}", content)  # type: ignore[arg-type]
    return path


def text(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content.decode()
        return content.decode().replace(old, new).encode()

    return change


def test_a_plain_program_loads_and_agrees(program: Path) -> None:
    network = load_network(program, input_domain=(0, 1))
    assert isinstance(network, GraphNetwork)
    assert network.input_shape == (1, 6, 6)
    assert network.domain.upper.max() == 1
    x = torch.rand(5, 1, 6, 6)
    torch.testing.assert_close(network.outputs(x), small_module()(x).detach(), rtol=1e-5, atol=1e-6)
    ((_, evaluate),) = network.originals().items()
    np.testing.assert_allclose(evaluate(x.numpy()), network.outputs(x), rtol=1e-5, atol=1e-6)


EVIL: dict[str, dict[str, bytes | Callable[[bytes], bytes]]] = {
    "sample inputs": {SAMPLES: torch_pickle((Payload(),))},
    "sample inputs, plain pickle": {SAMPLES: pickle.dumps((Payload(),))},
    "legacy weights": {"data/weights/model.pt": torch_pickle({"w": Payload()})},
    "legacy constants": {"data/constants/model.pt": torch_pickle({"w": Payload()})},
    "custom object": {"data/constants/custom_obj_0": pickle.dumps(Payload())},
    "opaque object": {"data/constants/opaque_obj_0": pickle.dumps(Payload())},
    "native code": {"data/aotinductor/model/model.so": b"\x7fELF"},
    "any pickle": {"extra/data.pkl": pickle.dumps(Payload())},
    "pickled weight": {
        "data/weights/model_weights_config.json": text('"use_pickle": false', '"use_pickle": true'),
        "data/weights/weight_0": torch_pickle(Payload()),
    },
    "size that is Python": {MODEL: text("Symbol('s", "__import__('netassay').RAN.append('ran') or Symbol('s")},
    "size that is Python, by attribute": {MODEL: text("Symbol('s", "(1).__class__.__base__ and Symbol('s")},
    "size that never ends": {MODEL: text("Symbol('s", "9**9**9**9 + Symbol('s")},
    "operator of torch": {MODEL: text("torch.ops.aten.relu.default", "torch.load")},
    "operator of another library": {MODEL: text("torch.ops.aten.relu.default", "torch.ops.foreign.relu.default")},
    "operator by attribute": {MODEL: text("torch.ops.aten.relu.default", "torch.ops.aten.__class__.default")},
    "structure that is imported": {MODEL: text("builtins.dict", "antigravity.Thing")},
}


@pytest.mark.parametrize("name", EVIL)
def test_what_could_run_code_is_refused_and_does_not_run(program: Path, tmp_path: Path, name: str) -> None:
    RAN.clear()
    with pytest.raises(ModelError, match="Loading it could run code"):
        load_program(changed(program, tmp_path, EVIL[name]))
    assert not RAN


def test_trust_unpickles_and_is_said(program: Path, tmp_path: Path) -> None:
    RAN.clear()
    path = changed(program, tmp_path, {SAMPLES: torch_pickle(((torch.zeros(2, 1, 6, 6),), {}))})
    network = load_network(path, trust=True)
    assert any("trusted" in n for n in network.notes)


def test_two_members_of_one_name(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(n for n in archive.namelist() if n.endswith(MODEL)), b"{}")
    with pytest.raises(ModelError, match="two members of one name"):
        load_program(path)


def test_member_outside_the_folder(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "outside.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("version", b"1")
    with pytest.raises(ModelError, match="outside the archive's folder"):
        load_program(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_program(program: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "short.pt2"
    path.write_bytes(program.read_bytes()[: int(share * program.stat().st_size)])
    with pytest.raises(ModelError, match="truncated"):
        load_program(path)


def test_other_ways_to_be_no_program(program: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_program(tmp_path / "nowhere.pt2")
    with pytest.raises(ModelError, match="more than the limit"):
        load_program(program, limit=1000)
    with pytest.raises(ModelError, match="not JSON"):
        load_program(changed(program, tmp_path, {MODEL: b"{"}))
    with pytest.raises(ModelError, match="nested deeper"):
        load_program(changed(program, tmp_path, {MODEL: json.dumps({"a": _nested(300)}).encode()}))
    with pytest.raises(ModelError, match="cannot load this program"):
        load_program(changed(program, tmp_path, {MODEL: b"{}"}))


def _nested(depth: int) -> Any:
    found: Any = 0
    for _ in range(depth):
        found = [found]
    return found


def test_unpacked_size_counts(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("program/data/weights/weight_0", b"\0" * 10_000_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match="unpacked it would be larger"):
        load_program(path, limit=1_000_000)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    module = small_module()
    with torch.no_grad():
        module[4].weight[0, 0] = float("inf")  # type: ignore[index, operator]
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 1, 6, 6),), strict=False), path)
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_network(path)


def test_fixed_batches(tmp_path: Path) -> None:
    for batch in (1, 3):
        torch.export.save(torch.export.export(small_module(), (torch.zeros(batch, 1, 6, 6),), strict=False), tmp_path / f"{batch}.pt2")
    assert load_network(tmp_path / "1.pt2").outputs(torch.zeros(4, 1, 6, 6)).shape == (4, 4)
    with pytest.raises(ModelError, match="fixed batch of 3"):
        load_network(tmp_path / "3.pt2")
