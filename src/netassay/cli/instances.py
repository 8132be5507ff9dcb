"""``netassay verify --instances``: the verdict of every instance of a list, one JSON object a line, each within a hard time limit."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netassay._version import __version__
from netassay.campaigns.worker import TaskTimeOutError, Worker, WorkerDiedError
from netassay.cli.exit_codes import ExitCode, worst
from netassay.cli.inputs import load_specified
from netassay.cli.options import ModelOptions
from netassay.cli.specifications import TIME_OUT, is_specification, problems_of, settled, violation
from netassay.cli.verdicts import counted, word_code
from netassay.cli.verifying import VerifyOptions, ask_together
from netassay.errors import DataError, InputError, UsageError

GRACE = 2.0
"""Seconds that an instance may take beyond its time-out, to say what it has found; then its process is killed."""
MODELS = (".onnx", ".pt2")
"""Models that a list may name: data. A list, which may come from anywhere, runs nobody's code."""
LOADED = ("netassay.assessment.ask", "netassay.assessment.verify", "netassay.models.onnx_network", "netassay.specs.vnnlib")
MOST_BYTES = 64 * 1024**2
INPUT, CRASH = "input", "crash"
"""Beginnings of the reasons of instances that could not be read, and of those whose process died."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """One row of the list, as written there, with the time-out that holds for it."""

    model: str
    spec: str
    timeout: float


@dataclass(frozen=True)
class Task:
    """An instance with all that its process needs to know.

    Args:
        instance: The instance.
        folder: Where the list lies; its paths start from there.
        out: Folder for witnesses.
        model_options, options: As on the command line; the time-out is that of the instance.
    """

    instance: Instance
    folder: str
    out: str
    model_options: ModelOptions
    options: VerifyOptions


def verify_list(
    name: str,
    target: str,
    *,
    model_options: ModelOptions,
    options: VerifyOptions,
    out: str,
    limit: int | None = None,
    quiet: bool = False,
    answer: Callable[[Task], Row] | None = None,
    modules: Sequence[str] = LOADED,
) -> list[Row]:
    """Verdicts of all instances of a list, in its order; rows that ``target`` has already are kept, the others added line by line.

    Args:
        name: The list: a CSV file.
        target: The file of rows.
        model_options: For every model.
        options: For every instance; ``timeout`` is the most that any of them gets.
        out: Folder for witnesses.
        limit: Only the first so many instances.
        quiet: No progress on stderr.
        answer: Answers a task, ``verdict_of`` unless a test says otherwise; modules: what its process loads first.
    Raises:
        DataError: If the list or the rows that there are cannot be read.
        UsageError: If the rows that there are belong to another list.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1; got {limit}")
    instances = read_list(name, options.timeout)
    rows = finished(target, instances)
    instances = instances[:limit]
    with open(target, "ab") as stream, Worker(answer or verdict_of, modules) as worker:
        for i, instance in enumerate(instances[len(rows) :], start=len(rows)):
            task = Task(instance, str(Path(name).parent), out, model_options, replace(options, timeout=instance.timeout, seconds=None))
            row = _row(worker, task)
            _append(stream.fileno(), row)
            rows.append(row)
            if not quiet:
                print(f"{i + 1}/{len(instances)} {_told(row)}", file=sys.stderr, flush=True)
    return rows


def read_list(name: str, most: float | None) -> list[Instance]:
    """The instances of a CSV file with the columns model, spec, time-out (in seconds) and others that are not read; a header is left out.

    Args:
        name: The file.
        most: The longest time-out; None for those of the list.
    Raises:
        DataError: If the file cannot be read, or a row has no such columns; the message names its line.
    """
    from netassay.results.witness_files import read_limited

    try:
        reader = csv.reader(io.StringIO(read_limited(Path(name), MOST_BYTES).decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{name} is no list of instances: {error}; expected CSV rows model,spec,timeout") from error
    if lines and _is_header(lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise DataError(f"{name} lists no instance; expected CSV rows model,spec,timeout")
    return [_instance(f"{name}, line {number}", row, most) for number, row in lines]


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first row has names where instances have a specification and a number."""
    return len(row) >= 3 and not is_specification(row[1]) and _number(row[2]) is None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _instance(place: str, row: Sequence[str], most: float | None) -> Instance:
    timeout = _number(row[2]) if len(row) >= 3 else None
    if timeout is None or not row[0] or not row[1] or not (math.isfinite(timeout) and timeout > 0):
        raise DataError(f"{place}: expected model,spec,timeout with a positive time-out in seconds; got {','.join(row)[:200]}")
    return Instance(row[0], row[1], timeout if most is None else min(timeout, most))


def finished(target: str, instances: Sequence[Instance]) -> list[Row]:
    """The whole lines that ``target`` has, checked to be the first instances of the list; half a line at its end is cut off."""
    path = Path(target)
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = [_checked(line, f"{target}, line {i}") for i, line in enumerate(whole.splitlines(), start=1)]
    there = [Instance(row["model"], row["spec"], float(row["timeout"])) for row in rows]
    if there != list(instances[: len(there)]):
        raise UsageError(f"--json-lines {target} holds rows of another list, or of other time-outs; name a new file, or remove this one")
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return rows


def _checked(line: bytes, place: str) -> Row:
    from netassay.results.schema import validate

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no JSON object: {error}; name a new file, or remove this one") from error
    validate(row, name=place)
    if row["schema"] != "netassay/instance/1":
        raise DataError(f"{place} is no row of 'netassay verify --instances'; name a new file, or remove this one")
    found: Row = row
    return found


def _append(descriptor: int, row: Row) -> None:
    """Writes one line whole, and makes it last."""
    line = (json.dumps(row, allow_nan=False) + "\n").encode("ascii")
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def _row(worker: Worker, task: Task) -> Row:
    """The row of one instance, whatever becomes of its process."""
    started = time.monotonic()
    try:
        found: Row = worker.ask(task, task.instance.timeout + GRACE)
    except TaskTimeOutError:
        found = unknown(task, TIME_OUT)
    except WorkerDiedError as error:
        found = unknown(task, f"{CRASH}: {error}")
    return {**found, "seconds": time.monotonic() - started}


def unknown(task: Task, reason: str) -> Row:
    """The row of an instance that is not decided, and of which nothing else is known."""
    return _complete(task.instance, {"verdict": "unknown", "guarantee": None, "reason": reason})


def _complete(instance: Instance, known: Row) -> Row:
    from netassay.results.codec import INSTANCE_SCHEMA

    nothing = {"lower": None, "upper": None, "witness": None, "cases": 0, "queries": 0, "seconds": 0.0}
    about = {"schema": INSTANCE_SCHEMA, "model": instance.model, "spec": instance.spec, "timeout": instance.timeout}
    return {**about, **nothing, **known, "tool_version": __version__}


def verdict_of(task: Task) -> Row:
    """The row of one instance; what cannot be read, and what goes wrong, is the reason of an unknown verdict."""
    try:
        return _complete(task.instance, _verified(task, time.monotonic()))
    except InputError as error:
        return unknown(task, f"{INPUT}: {error}")
    except MemoryError:
        return unknown(task, "memory")
    except Exception as error:
        return unknown(task, f"{CRASH}: {type(error).__name__}: {error}")


def _verified(task: Task, started: float) -> Row:
    from netassay.results.codec import side_document, verdict_fields, witness_document, witness_paths
    from netassay.results.verdicts import conclude, joint_bracket
    from netassay.specs.vnnlib import read_vnnlib

    model, spec = _model(task), _existing(Path(task.folder) / task.instance.spec)
    specification = read_vnnlib(spec)
    network = load_specified(str(model), task.model_options)
    problems = problems_of(network, specification, task.instance.spec)
    answers = settled(ask_together(problems, task.options, None, started=started), problems, specification) if problems else []
    violated = violation(answers)
    files = {} if violated is None else witness_paths(task.out, violated)
    shown = None if violated is None else violated.witness
    bracket = joint_bracket(answers) if len(answers) == len(problems) else None
    return {
        **verdict_fields(conclude(answers, len(problems))),
        "lower": None if bracket is None else side_document(bracket.lower),
        "upper": None if bracket is None else side_document(bracket.upper),
        "witness": None if shown is None else witness_document(shown, files),
        "cases": len(problems),
        "queries": sum(answer.provenance.queries for answer in answers),
    }


def _model(task: Task) -> Path:
    if not task.instance.model.lower().endswith(MODELS):
        raise UsageError(f"the model {task.instance.model!r} is no file of a kind that a list may name: {', '.join(MODELS)}")
    return Path(task.folder) / task.instance.model


def _existing(path: Path) -> Path:
    """The file, or the compressed one of the same name where only that is there."""
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() and not path.exists() else path


def _told(row: Row) -> str:
    holds = "holds (solver)" if row["verdict"] == "holds" and row["guarantee"] == "solver" else row["verdict"]
    reason = f" ({row['reason']})" if row["reason"] else ""
    return f"{Path(row['model']).name} {Path(row['spec']).name}: {holds}{reason}, {row['seconds']:.1f} s"


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows ended in each way; ``holds`` counts proofs only."""
    found = Counter("holds_solver" if row["verdict"] == "holds" and row["guarantee"] != "proved" else row["verdict"] for row in rows)
    return {word: found[word] for word in ("holds", "holds_solver", "violated", "unknown")}


def summed_up(rows: Sequence[Row]) -> str:
    """One line: how many instances there are, and how they ended."""
    return f"{len(rows)} instance{'' if len(rows) == 1 else 's'}: {counted(counts(rows))}"


def list_code(rows: Sequence[Row]) -> ExitCode:
    """The worst of the rows; one whose files cannot be used counts as bad input."""
    bad = [ExitCode.BAD_INPUT for row in rows if row["reason"].startswith(f"{INPUT}:")]
    return worst([*bad, *(word_code(row["verdict"], row["guarantee"]) for row in rows)])
