"""Answers and presentations as what a store keeps: JSON documents, and files for their arrays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from netassay.errors import DataError
from netassay.numerics.plain_arrays import plain_arrays
from netassay.results.answer import Answer
from netassay.results.codec import document, witnesses
from netassay.results.decoding import Frames, decode
from netassay.results.witness_files import FOLDER, MEBIBYTE, StoredWitness, checked_name, parse_witness, witness_file
from netassay.store.certificates import Written
from netassay.store.files import LARGEST, digest_of
from netassay.store.records import Presentation

LARGEST_DOCUMENT = 64 * MEBIBYTE
"""Bytes of a document that is read."""

LARGEST_ARRAYS = 1024 * MEBIBYTE

Get = Callable[[str], bytes]
Array = NDArray[np.floating]
Snapshot = tuple[float, Array]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One answer of a job, or the reason why there is none.

    Args:
        position: Of the input within its job.
        index: Of the input in its data set.
        question: What was asked.
        document: The answer as JSON; None for an input that is left out.
        left_out: Why; empty for an answer.
        center, frames: Names of files: the input with the network's outputs there, and snapshots of the search.
        certificate: What came of the answer's certificate; None where none was wanted, or nothing is proved.
        files: Content of every file by its name, that of the certificate among them.
    """

    position: int
    index: int | None
    question: str
    document: bytes | None = None
    left_out: str = ""
    center: str | None = None
    frames: str | None = None
    certificate: Written | None = None
    files: dict[str, bytes] = field(default_factory=dict)


def pack(answer: Answer, position: int, outputs: Array, certificate: Written | None = None) -> Packed:
    """An answer as a store keeps it.

    Args:
        answer: The answer.
        position: Of its input within the job.
        outputs: Raw outputs of the network at the input; empty where they are not finite.
        certificate: What came of its certificate, if one was wanted.
    """
    files: dict[str, bytes] = {}

    def named(content: bytes) -> str:
        digest = digest_of(content)
        files[digest] = content
        return digest

    paths = {}
    for witness in witnesses(answer):
        paths[witness.sha256], content = witness_file(witness.point, answer.center, witness.outputs)
        named(content)
    told = json.dumps(document(answer, witness_files=paths), allow_nan=False).encode("ascii")
    center = named(witness_file(answer.center, answer.center, outputs)[1])
    frames = None
    if answer.frames:
        values, points = zip(*answer.frames, strict=True)
        frames = named(packed_arrays(values=np.array(values), points=np.stack(points)))
    if certificate is not None and len(certificate.content) > LARGEST:
        certificate = Written(reason=f"its {len(certificate.content)} bytes are more than a store keeps", seconds=certificate.seconds)
    if certificate is not None and certificate.file is not None:
        files[certificate.file] = certificate.content
    question = str(json.loads(told)["question"])
    parts: dict[str, Any] = {"document": told, "center": center, "frames": frames, "certificate": certificate, "files": files}
    return Packed(position=position, index=answer.index, question=question, **parts)


def unpack(told: bytes, center: StoredWitness, frames: Frames, get: Get) -> Answer:
    """The answer that ``pack`` packed; ``center`` is the file of its input (``stored_input``), ``frames`` are its ``Snapshots``.

    Raises:
        DataError: If anything of it is damaged, too large or missing.
    """
    if len(told) > LARGEST_DOCUMENT:
        raise DataError(f"an answer of {len(told)} bytes is longer than any that netassay writes; the store was tampered with")
    try:
        content = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise DataError(f"an answer of the store is no JSON: {error}; the store is damaged") from error
    own = np.array(center.center, dtype=np.float64)
    return decode(content, lambda name: _witness(name, get), center=own, frames=frames)


class Snapshots(Sequence[Snapshot]):
    """Snapshots of a search, read when they are first looked at: most of them never are, and they are most of a store's files.

    Args:
        read: Gives the content of their file.
        shape: Of one point.
    """

    def __init__(self, read: Callable[[], bytes], shape: tuple[int, ...]) -> None:
        self._content, self._shape = read, shape

    @cached_property
    def _all(self) -> tuple[Snapshot, ...]:
        arrays = unpacked_arrays(self._content(), ("points", "values"))
        values, points = arrays["values"], arrays["points"]
        if points.shape != (values.size, *self._shape) or values.ndim != 1:
            raise DataError(f"a file of the store holds no snapshots of inputs of shape {self._shape}; the store is damaged")
        return tuple((float(value), point) for value, point in zip(values, points, strict=True))

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, place: int) -> Snapshot: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Snapshot, ...]: ...

    def __getitem__(self, place: int | slice) -> Snapshot | tuple[Snapshot, ...]:
        return self._all[place]


def stored_input(digest: str, get: Get) -> StoredWitness:
    """An input, with the network's outputs there."""
    return _witness(f"{FOLDER}/{digest}.npz", get)


def _witness(name: str, get: Get) -> StoredWitness:
    return parse_witness(name, get(checked_name(name).removeprefix(f"{FOLDER}/").removesuffix(".npz")))


def packed_arrays(**arrays: NDArray[Any]) -> bytes:
    """Plain arrays as the bytes of a ``.npz``; the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked_arrays(content: bytes, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    """The floating-point arrays of exactly these names; raises DataError for anything else. Never a pickle."""
    try:
        arrays = plain_arrays(content, LARGEST_ARRAYS)
    except ValueError as error:
        raise DataError(f"a file of the store holds no plain arrays: {error}; the store is damaged") from error
    if sorted(arrays) != sorted(names) or any(array.dtype.kind != "f" for array in arrays.values()):
        raise DataError(f"a file of the store holds the arrays {sorted(arrays)}; expected {sorted(names)} of floating-point numbers")
    return arrays


class _Shown(BaseModel):
    """A presentation without its arrays, of which ``arrays`` has the names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_shape: tuple[int, ...]
    image_layout: tuple[int, int, int] | None
    label_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    output_meaning: str
    decision: str
    facts: dict[str, str]
    notes: tuple[str, ...]
    arrays: tuple[str, ...]


_ARRAYS = ("lower", "scale", "upper")


def pack_presentation(shown: Presentation) -> tuple[bytes, bytes | None]:
    """A presentation as JSON and, where it has arrays, a file of them."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name in _ARRAYS if (value := getattr(shown, name)) is not None}
    told = {name: getattr(shown, name) for name in _Shown.model_fields if name != "arrays"}
    content = _Shown(**{**told, "facts": dict(shown.facts)}, arrays=tuple(sorted(arrays))).model_dump_json().encode("utf-8")
    return content, packed_arrays(**arrays) if arrays else None


def unpack_presentation(told: bytes, arrays: bytes | None) -> Presentation:
    """The presentation that ``pack_presentation`` packed; raises DataError where it is damaged."""
    if len(told) > LARGEST_DOCUMENT:
        raise DataError(f"what the store says of a campaign is {len(told)} bytes long; the store was tampered with")
    try:
        shown = _Shown.model_validate_json(told, strict=True)
    except ValidationError as error:
        raise DataError(f"what the store says of a campaign cannot be read: {error.errors()[0]['msg']}; the store is damaged") from error
    found: dict[str, Any] = {} if arrays is None else unpacked_arrays(arrays, shown.arrays)
    if not found.keys() <= set(_ARRAYS) or any(array.shape != shown.input_shape for array in found.values()):
        raise DataError("what the store says of a campaign does not fit its inputs; the store is damaged")
    return Presentation(**shown.model_dump(exclude={"arrays"}), **found)
