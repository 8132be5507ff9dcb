"""Loads a ``.pt2`` program (``torch.export.save``) without running anything that the file brings along.

torch's own loader unpickles parts of the archive (with ``weights_only=False`` where the safe way fails), loads native
code, imports what a structure names and evaluates size expressions as Python. So the archive is scanned first: only
the members that a plain program needs are let through, every operator must be ATen's, every size made of names,
numbers and arithmetic; weights must be raw bytes. What is loaded then is a new archive of exactly the bytes that were
scanned, without the sample inputs, the one pickle that every such file holds.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from netassay.errors import ModelError
from netassay.models.torch_export import first_line, quiet

LIMIT = 2 * 1024**3
MEMBERS = re.compile(
    r"(models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|archive_format|archive_version|version|byteorder|\.data/(version|serialization_id)|\.format_version|\.storage_alignment)"
)
"""All that the archive of a plain program holds, below its one folder."""

SAMPLE_INPUTS = "data/sample_inputs/model.pt"
TARGET = re.compile(
    r"torch\.ops\.aten\._?[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ge|gt|le|lt)|torch\.sym_(int|max|min|not)"
)
EXPRESSION = re.compile(
    r"(?>Symbol\('[a-z]{1,2}\d++'(?>, (?>positive|integer|nonnegative)=True)*+\)|[a-z]{1,2}\d++"
    r"|Integer\(-?\d++\)|\d++|Mul|Add|FloorDiv|Max|Min|Mod|[(),+* -])*+"
)
SPEC_TYPES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict"})
SPEC_CONTEXT = re.compile(r'null|\[\]|\["\w++"(?>, "\w++")*+\]')
MAX_DEPTH = 200


def load_program(path: str | Path, *, trust: bool = False, limit: int = LIMIT) -> ExportedProgram:
    """The program in a ``.pt2`` file.

    Args:
        path: The file.
        trust: Load it as torch does, unpickling what it holds; only for files from a source that is trusted.
        limit: Largest size in bytes, compressed or not.
    Raises:
        ModelError: If it is missing, too large, truncated, or holds anything that could run code, unless trusted.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    if file.stat().st_size > limit:
        raise ModelError(f"{file}: {file.stat().st_size} bytes are more than the limit of {limit}")
    source: Any = io.BytesIO(file.read_bytes() if trust else _rebuilt(_scanned(file, limit)))
    try:
        with quiet():
            return torch.export.load(source)
    except Exception as error:
        again = f"save it again with torch.export.save of torch {torch.__version__}"
        raise ModelError(f"{file}: torch cannot load this program: {type(error).__name__}: {first_line(error)}; {again}") from error


def _scanned(file: Path, limit: int) -> dict[str, bytes]:
    """The members by their path below the archive's folder, all checked."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if sum(i.file_size for i in infos) > limit:
                raise ModelError(f"{file}: unpacked it would be larger than the limit of {limit} bytes")
            members = {_below_folder(file, infos, i.filename): archive.read(i) for i in infos if not i.is_dir()}
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{file}: not a .pt2 archive, or a truncated one ({error})") from error
    if len(members) != len([i for i in infos if not i.is_dir()]):
        raise ModelError(f"{file}: the archive holds two members of one name; it is not loaded")
    for name, content in members.items():
        _check_member(file, name, content)
    if "models/model.json" not in members:
        raise ModelError(f"{file}: the archive holds no models/model.json; expected a program written by torch.export.save")
    return members


def _below_folder(file: Path, infos: list[zipfile.ZipInfo], name: str) -> str:
    folder = infos[0].filename.partition("/")[0]
    if not name.startswith(folder + "/"):
        raise ModelError(f"{file}: member {name!r} is outside the archive's folder {folder!r}; it is not loaded")
    return name[len(folder) + 1 :]


def _check_member(file: Path, name: str, content: bytes) -> None:
    if not MEMBERS.fullmatch(name):
        raise _refusal(file, f"it holds {name!r}, which a plain program does not need and which could be a pickle or native code")
    if name == SAMPLE_INPUTS and content:
        _check_sample_inputs(file, content)
    elif name.endswith("_config.json"):
        for entry in _config_entries(file, name, content):
            if entry.get("use_pickle") is not False:
                raise _refusal(file, f"{name} declares pickled data ({entry.get('path_name')!r})")
    elif name == "models/model.json":
        for key, text in _texts(_json(file, name, content)):
            _check_text(file, key, text)


def _check_sample_inputs(file: Path, content: bytes) -> None:
    """The one pickle of every program may hold tensors only; it is checked, then left out."""
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise _refusal(file, f"its sample inputs are a pickle that asks for more than tensors ({first_line(error)})") from error


def _check_text(file: Path, key: str, text: str) -> None:
    if key == "target" and not TARGET.fullmatch(text):
        raise _refusal(file, f"it calls {text!r}, which is not an ATen operator")
    if key in ("in_spec", "out_spec"):
        for kind, part in _texts(_json(file, key, text), "spec"):
            if not (part in SPEC_TYPES if kind == "type" else kind == "context" and SPEC_CONTEXT.fullmatch(part)):
                raise _refusal(file, f"its inputs or outputs are the structure {part[:80]!r}; expected tensors in tuples, lists or dicts")
    if key == "expr_str" and (not EXPRESSION.fullmatch(text) or "**" in text):
        raise _refusal(file, f"a size is the expression {text[:80]!r}, which torch would evaluate as Python")


def _refusal(file: Path, why: str) -> ModelError:
    return ModelError(
        f"{file}: {why}. Loading it could run code: it is refused. If you trust where it comes from, pass trust=True (--trust)"
    )


def _json(file: Path, name: str, content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: {name} is not JSON, or truncated ({error})") from error


def _config_entries(file: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    found = _json(file, name, content)
    entries = found.get("config") if isinstance(found, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise ModelError(f"{file}: {name} is not the table of tensors that torch.export.save writes")
    return list(entries.values())


def _texts(found: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with the key that it stands under."""
    if depth > MAX_DEPTH:
        raise ModelError(f"models/model.json is nested deeper than {MAX_DEPTH} levels")
    if isinstance(found, str):
        yield key, found
    elif isinstance(found, dict):
        for name, value in found.items():
            yield from _texts(value, name, depth + 1)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value, key, depth + 1)


def _rebuilt(members: dict[str, bytes]) -> bytes:
    """A new archive of the scanned bytes; the sample inputs are emptied."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"program/{name}", b"" if name == SAMPLE_INPUTS else content)
    return stream.getvalue()
