"""Campaigns: what engine and store cost beside the work, what two workers and Ray gain, and whether a killed campaign ends like any other.

``python benchmarks/campaign.py`` measures the cost; ``python benchmarks/campaign.py resume [FOLDER]`` runs 1,797 digits x 3 norms x
3 risks twice, once uninterrupted and once killed twice with SIGKILL, and compares the two stores row for row.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from netassay.campaigns.campaign import run
from netassay.campaigns.executor import Executor, Limits, Work
from netassay.campaigns.local import LocalExecutor
from netassay.campaigns.plan import Job
from netassay.errors import StoreError
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.results.witness_files import witness_file
from netassay.specs.risks import parse_risk
from netassay.store import Presentation, open_store
from netassay.store import schema as tables
from netassay.store.files import digest_of
from netassay.store.packing import Packed
from netassay.store.writer import Heading, open_writer
from report import Row, table

JOB_SECONDS = 0.05
JOBS = 300
SHAPE = (1, 28, 28)
NORMS = ("l0", "l2", "linf")
RISKS = ("robustness", "uncertainty:0.5", "reachability:own:below:0.5")
QUERIES = 10
HEADING = Heading(
    command="benchmark",
    title="Benchmark",
    model="none",
    model_sha256="0",
    data="none",
    tool_version="0",
    presentation=Presentation(input_shape=SHAPE),
)


def busy(job: Job) -> list[Packed]:
    """A job of 50 ms of one core, whose result is an answer of a common size with two files."""
    until = time.process_time() + JOB_SECONDS
    while time.process_time() < until:
        pass
    rng = np.random.default_rng(job.start)
    files = [witness_file(p, p, np.zeros(10))[1] for p in rng.uniform(size=(2, *SHAPE))]
    named = {digest_of(content): content for content in files}
    document = json.dumps({"trace": rng.uniform(size=200).tolist()}).encode()
    return [Packed(position=0, index=job.start, question="radius", document=document, center=next(iter(named)), files=named)]


def measure() -> list[Row]:
    """Seconds for the same jobs by each engine, and over the work in them; processor time of the driver beside."""
    rows = [_row("none: one call after another, nothing kept", 1, _alone)]
    rows.append(_row("local", 1, lambda: _kept(lambda stack: stack.enter_context(LocalExecutor(Work(busy), 1, Limits(60))), 1)))
    rows.append(_row("local", 2, lambda: _kept(lambda stack: stack.enter_context(LocalExecutor(Work(busy), 2, Limits(60))), 2)))
    if importlib.util.find_spec("ray") is not None:
        rows += [_row("ray", workers, lambda workers=workers: _kept(lambda stack: _ray(stack, workers), workers)) for workers in (1, 2)]
    return rows


def _row(engine: str, workers: int, measured: Callable[[], tuple[float, float]]) -> Row:
    seconds, driver = measured()
    work = JOBS * JOB_SECONDS
    figures = {"work s": f"{work:.2f}", "wall s": f"{seconds:.2f}", "wall x workers / work": f"{seconds * workers / work:.3f}"}
    return Row(f"{JOBS} jobs of {JOB_SECONDS * 1000:.0f} ms", f"{engine}, {workers}", {**figures, "driver's processor s": f"{driver:.2f}"})


def _jobs() -> list[Job]:
    risk = parse_risk("robustness")
    keys = [digest_of(str(i).encode()) for i in range(JOBS)]
    return [Job(Question.RADIUS, risk, Norm.LINF, i, i + 1, Budget(), key) for i, key in enumerate(keys)]


def _alone() -> tuple[float, float]:
    began = time.monotonic()
    for job in _jobs():
        busy(job)
    return time.monotonic() - began, 0.0


def _kept(make: Callable[[ExitStack], Executor], workers: int) -> tuple[float, float]:
    """Wall seconds of the jobs, and processor seconds of this process meanwhile; starting the workers is not counted."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        writer = stack.enter_context(open_writer(str(Path(folder) / "runs.db")))
        executor = make(stack)
        warm = [Job(Question.RADIUS, parse_risk("robustness"), Norm.LINF, i, i + 1, Budget(), f"{i:064d}") for i in range(workers)]
        run(warm, executor, writer, HEADING, ahead=workers)
        began, spent = time.monotonic(), time.process_time()
        run(_jobs(), executor, writer, HEADING, ahead=2 * workers)
        return time.monotonic() - began, time.process_time() - spent


def _ray(stack: ExitStack, workers: int) -> Executor:
    from netassay.campaigns.ray_engine import RayExecutor, connected

    stack.enter_context(connected(None))
    return stack.enter_context(RayExecutor(Work(busy), workers, Limits(60)))


def resume(folder: Path) -> list[Row]:
    """The digits' campaign: uninterrupted, and killed when it has a third and two thirds of its answers."""
    data = _digits(folder)
    whole, killed = folder / "whole.db", folder / "killed.db"
    rows = [_run(data, whole, "uninterrupted", None)]
    total = _answers(whole)
    for number, enough in enumerate((total // 3, 2 * total // 3, None), start=1):
        rows.append(_run(data, killed, f"killed twice, run {number}", enough))
    same = contents(whole) == contents(killed)
    return [*rows, Row("both stores", "compared", {"answers": str(total), "ended": "equal row for row" if same else "DIFFERENT"})]


def _run(data: Path, store: Path, name: str, enough: int | None) -> Row:
    began, spent = time.monotonic(), os.times()
    ended = _until(_command(data, store), store, enough)
    wall, now = time.monotonic() - began, os.times()
    processor = now.children_user + now.children_system - spent.children_user - spent.children_system
    whole = f"{processor:.0f}" if ended != "kill -9" else "-"  # a killed driver leaves its workers uncounted
    figures = {"wall s": f"{wall:.0f}", "processor s": whole, "answers": str(_answers(store)), "ended": ended}
    return Row("1,797 digits x 3 norms x 3 risks", name, figures)


def _digits(folder: Path) -> Path:
    from sklearn.datasets import load_digits

    digits = load_digits()
    path = folder / "digits.npz"
    np.savez(path, x=(digits.images / 16)[:, None], y=digits.target, lower=0.0, upper=1.0)
    return path


def _command(data: Path, store: Path) -> subprocess.Popen[bytes]:
    asked = [f"--norm={norm}" for norm in NORMS] + [f"--risk={risk}" for risk in RISKS]
    limits = ["--question=radius", f"--queries={QUERIES}", "--prover=none", f"--workers={os.environ.get('WORKERS', '1')}"]
    call = [sys.executable, "-m", "netassay", "assess", "digits-cnn", str(data), *asked, *limits, f"--store={store}"]
    return subprocess.Popen([*call, f"--out={store.parent / 'out'}"], stdout=subprocess.DEVNULL)


def _until(process: subprocess.Popen[bytes], store: Path, enough: int | None) -> str:
    """How the process ended: by itself, or killed as soon as the store has enough answers."""
    while enough is None or not store.exists() or _answers(store) < enough:
        try:
            return f"exit {process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGKILL)
    process.wait()
    return "kill -9"


def _answers(path: Path) -> int:
    try:
        with open_store(str(path)) as store:
            return sum(campaign.finished + campaign.left_out for campaign in store.campaigns())
    except StoreError:  # it is being made
        return 0


def contents(path: Path) -> dict[str, Any]:
    """All rows of a store, times, attempt numbers and the command line aside, and the names of its files."""
    found: dict[str, Any] = {"files": sorted(p.parent.name + p.name for p in Path(f"{path}.files").glob("*/[0-9a-f]*"))}
    with open_writer(str(path)) as writer, writer.database.reading() as connection:
        for table in (tables.campaigns, tables.jobs, tables.results):
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).all()
            found[table.name] = [_timeless(dict(row._mapping)) for row in rows]
        found["finished"] = sorted(connection.scalars(select(tables.attempts.c.job).where(tables.attempts.c.status == "finished")))
    return found


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("document") is not None:
        row["document"] = _without_seconds(json.loads(row["document"]))
    return {name: value for name, value in row.items() if name not in ("created", "attempt", "command")}


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [_without_seconds(v) for v in value] if isinstance(value, list) else value


def main() -> None:
    """Measures what the command line names, and prints a table."""
    if sys.argv[1:2] == ["resume"]:
        with ExitStack() as stack:
            folder = sys.argv[2] if len(sys.argv) > 2 else stack.enter_context(tempfile.TemporaryDirectory())
            Path(folder).mkdir(parents=True, exist_ok=True)
            print(table(resume(Path(folder))))
    else:
        print(table(measure()))


if __name__ == "__main__":
    main()
