"""Stores for tests: a SQLite file, or a real PostgreSQL server of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from netassay.results.answer import Answer
from netassay.store import Presentation
from netassay.store.packing import Packed, pack
from netassay.store.writer import Attempt, Heading

JOB, OTHER = "a" * 64, "b" * 64
PRESENTATION = Presentation(
    input_shape=(1, 8, 8),
    image_layout=(1, 8, 8),
    label_names=("<b>null</b>", "eins"),
    facts={"Outputs": "10"},
    notes=("a note",),
    lower=np.zeros((1, 8, 8)),
    upper=np.full((1, 8, 8), np.inf),
)
HEADING = Heading(
    command="netassay assess", title="Assessment", model="m", model_sha256="0", data="d", tool_version="0", presentation=PRESENTATION
)


def attempt(job: str = JOB, reason: str = "") -> Attempt:
    return Attempt(job=job, worker="process 1", seconds=0.5, reason=reason)


def packed(answers: list[Answer]) -> list[Packed]:
    return [pack(answer, i, np.arange(3.0)) for i, answer in enumerate(answers)]


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where there is no server."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True), shutil.which("initdb")]
    return next((Path(path).resolve().parent for path in found if path is not None), None)


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a server that ends with the block; it listens on a socket in its own folder only."""
    programs = postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="netassay-pg-"))
    own = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if own:
        shutil.chown(folder, "postgres")

    def call(*arguments: str) -> None:
        subprocess.run([*own, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)

    data = str(folder / "data")
    try:
        call(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "netassay", "--no-sync")
        settings = f"-c listen_addresses='' -c fsync=off -k {folder}"
        call(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://netassay@/postgres?host={folder}"
        finally:
            call(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
