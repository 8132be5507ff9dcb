"""``--start``: points to begin with, from a file of arrays or from what an earlier run left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netassay.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = int | None

KINDS = "FILE.npz with x, FILE.npy, a report.json, answer.json or assessment.json, or the folder of an earlier run"
_WITNESS = re.compile(r"[0-9a-f]{64}\.npz")


def read_starts(
    name: str | None, indices: Sequence[Index], centers: Sequence[Array], shape: tuple[int, ...], notes: list[str]
) -> dict[Index, Array]:
    """Start points (w, *shape) of each input by its index, from what ``--start`` names; empty without it.

    Arrays hold the points of the one input asked about, or one entry per input. A document of an earlier run gives the witnesses of the
    same index; a folder, or a single witness, those that were found around the same input. It is said in ``notes`` if there are none.

    Args:
        name: What the option names.
        indices: Position of each input in its data set; None for a box.
        centers: The inputs, rounded as they are searched from.
        shape: The network's input shape.
        notes: For what the user should know.
    """
    if name is None:
        return {}
    path = Path(name)
    if path.suffix.lower() in (".npz", ".npy") and not _is_witness(path):
        return _from_arrays(name, indices, shape)
    if path.suffix.lower() == ".json":
        found = _from_document(path, indices)
    elif path.is_dir() or _is_witness(path):
        found = _from_witnesses(path, indices, centers)
    else:
        raise UsageError(f"--start {name}: {'unknown kind of file' if path.exists() else 'no such file or folder'}; known: {KINDS}")
    if not any(found.values()):
        notes.append(f"--start {name}: no witness there belongs to the inputs asked about, so the search starts without")
    return _checked(name, found, shape)


def _is_witness(path: Path) -> bool:
    return _WITNESS.fullmatch(path.name) is not None


def _from_arrays(name: str, indices: Sequence[Index], shape: tuple[int, ...]) -> dict[Index, Array]:
    from netassay.assessment.starts import start_array, starts_by_index
    from netassay.specs.data_files import INPUT_KEYS, read_arrays

    arrays, _ = read_arrays(name)
    points = next((arrays[key] for key in INPUT_KEYS if key in arrays), None)
    if points is None:
        raise DataError(f"--start {name}: no points; expected an array under {', '.join(INPUT_KEYS)}")
    try:
        if len(indices) == 1:
            return {indices[0]: start_array(points, shape)}
        several: dict[Index, Array] = dict(starts_by_index(points, [i for i in indices if i is not None], shape).items())
        return several
    except DataError as error:
        raise DataError(f"--start {name}: {error}") from error


def _from_document(path: Path, indices: Sequence[Index]) -> dict[Index, list[Array]]:
    """The witnesses in a document, by the index of their input."""
    from netassay.results.codec import read_document

    content = read_document(path)
    found: dict[Index, list[Array]] = {index: [] for index in indices}
    for result in content.get("results", [content]):
        if result["index"] in found:
            found[result["index"]] += [_point(path.parent, file) for file in _files(result)]
    return found


def _files(result: dict[str, Any]) -> Iterator[str]:
    """The witness files of a result: its own, or those of its parts (the falling side, the ends of a range)."""
    for part in (result, *(result.get(name) for name in ("falling", "minimum", "maximum"))):
        witness = part.get("witness") if part else None
        if witness and witness["file"] is not None:
            yield witness["file"]


def _from_witnesses(path: Path, indices: Sequence[Index], centers: Sequence[Array]) -> dict[Index, list[Array]]:
    """The witnesses of a folder, or a single one, by the input around which they were found."""
    import numpy as np

    from netassay.results.witness_files import FOLDER, read_witness

    below = path if path.name == FOLDER else path / FOLDER
    files = [path] if _is_witness(path) else sorted(p for p in below.glob("*.npz") if _is_witness(p))
    found: dict[Index, list[Array]] = {index: [] for index in indices}
    for file in files:
        stored = read_witness(file.parent.parent, f"{file.parent.name}/{file.name}")
        for index, center in zip(indices, centers, strict=True):
            if np.array_equal(stored.center, center):
                found[index].append(np.asarray(stored.point, dtype=np.float64))
    return found


def _point(folder: Path, file: str) -> Array:
    import numpy as np

    from netassay.results.witness_files import read_witness

    return np.asarray(read_witness(folder, file).point, dtype=np.float64)


def _checked(name: str, found: dict[Index, list[Array]], shape: tuple[int, ...]) -> dict[Index, Array]:
    from netassay.assessment.starts import start_array

    try:
        return {index: start_array(points, shape) for index, points in found.items() if points}
    except DataError as error:
        raise DataError(f"--start {name}: {error}") from error
