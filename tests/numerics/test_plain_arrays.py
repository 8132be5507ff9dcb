from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netassay.numerics.plain_arrays import plain_arrays

LIMIT = 1 << 20


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays_come_back_as_numpy_reads_them(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    one = np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    content = saved(one=one, other=np.asfortranarray(one))
    with np.load(io.BytesIO(content)) as expected:
        found = plain_arrays(content, LIMIT)
        assert sorted(found) == sorted(expected.files)
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].dtype == expected[name].dtype
            assert found[name].flags.writeable


def test_pickles_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(ValueError):
        plain_arrays(saved(x=np.array([Trap()], dtype=object)), LIMIT)
    assert not (tmp_path / "ran").exists()


def test_bombs_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros(LIMIT))
    with pytest.raises(ValueError, match="at most"):
        plain_arrays(buffer.getvalue(), LIMIT)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "other", "longer"])
def test_damaged_files_are_refused(damage: str) -> None:
    content = saved(x=np.arange(5.0))
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        at = content.index(np.arange(5.0).tobytes()) + 9
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    elif damage in ("text", "empty"):
        content = b"text" if damage == "text" else b""
    else:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive, io.BytesIO() as array:
            np.save(array, np.arange(5.0))
            archive.writestr("x.npy", array.getvalue() + b"\0" if damage == "longer" else b"no array")
        content = buffer.getvalue()
    with pytest.raises(ValueError):
        plain_arrays(content, LIMIT)
