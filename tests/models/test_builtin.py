"""The built-in digits networks: accuracy, repeatability, cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netassay.errors import UsageError
from netassay.models import builtin as module
from netassay.models.builtin import accuracy, builtin, cache_folder, digits_split, digits_test, train

NAMES = ["digits-mlp", "digits-cnn"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def cached() -> list[Path]:
    return sorted(cache_folder().glob("*"))


def test_data_is_fixed_and_split() -> None:
    x, y, images, labels = digits_split()
    assert (len(x), len(images)) == (1347, 450)
    assert images.shape == (450, 1, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert set(labels) == set(y) == set(range(10))
    flat, same = digits_test(flat=True)
    np.testing.assert_array_equal(flat.reshape(images.shape), images)
    np.testing.assert_array_equal(same, labels)
    assert not {row.tobytes() for row in x} & {row.tobytes() for row in images}


@pytest.mark.parametrize("name", NAMES)
def test_network_reaches_97_percent_and_is_cached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = builtin(name)
    inputs, labels = digits_test(flat=name == "digits-mlp")
    assert network.input_shape == inputs.shape[1:]
    assert (network.domain.lower.min(), network.domain.upper.max()) == (0, 1)
    found = (network.outputs(torch.from_numpy(inputs)).argmax(dim=1).numpy() == labels).mean()
    assert found >= 0.97
    assert [p.suffix for p in cached()] == [".npz"]
    monkeypatch.setattr(module, "train", lambda name: pytest.fail("trained again in spite of the cache"))
    again = builtin(name)
    assert again.sha256 == network.sha256


def test_training_is_the_same_twice_and_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    one, two = (module._trained(*module.KINDS["digits-cnn"][:2], epochs=2) for _ in range(2))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts trainings, which take two epochs."""
    trained: list[str] = []

    def fast(name: str) -> module.Arrays:
        trained.append(name)
        return module._trained(*module.KINDS[name][:2], epochs=2)

    monkeypatch.setattr(module, "train", fast)
    monkeypatch.setattr(module, "WANTED_ACCURACY", 0.5)
    return trained


@pytest.mark.parametrize("damage", [b"", b"not an archive", None], ids=["empty", "text", "truncated"])
def test_a_damaged_cache_is_trained_anew(quick: list[str], damage: bytes | None) -> None:
    expected = builtin("digits-cnn").sha256
    (path,) = cached()
    path.write_bytes(path.read_bytes()[:900] if damage is None else damage)
    assert builtin("digits-cnn").sha256 == expected
    assert len(quick) == 2
    assert builtin("digits-cnn").sha256 == expected
    assert len(quick) == 2


def test_a_cache_of_other_numbers_is_not_believed(quick: list[str]) -> None:
    expected = builtin("digits-mlp").sha256
    (path,) = cached()
    with np.load(path) as stored:
        arrays = dict(stored)
    for changed in ({k: v * 0 for k, v in arrays.items()}, {**arrays, "b3": arrays["b3"] + np.nan}, {**arrays, "b3": np.zeros(9, "f4")}):
        np.savez(path, **changed)
        assert builtin("digits-mlp").sha256 == expected
    assert len(quick) == 4


def test_a_cache_that_cannot_be_written_is_no_error(quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert builtin("digits-mlp").output_size == 10


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "netassay"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / "home" / ".cache" / "netassay"


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="known: digits-cnn, digits-mlp"):
        builtin("digits-rnn")


def test_weights_come_from_training() -> None:
    assert accuracy("digits-mlp", train("digits-mlp")) >= 0.97
