"""The options of campaigns: where results are kept, and who works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from netassay.cli import parsing
from netassay.errors import UsageError, unknown_name

ENGINES = ("local", "ray")
STORE_NAME = "runs.db"
JOB_SECONDS = 3600.0


@dataclass(frozen=True)
class CampaignOptions:
    """Whether the command is a campaign, and how it is worked off; any of the options makes it one."""

    store: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.db|URL",
            help="Keep every result there, and take what is there already: a file or postgresql://... "
            f"(default with the options below: {STORE_NAME} in --out).",
            rich_help_panel="Campaign",
            show_default=False,
        ),
    ] = None
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray", help="Who works: processes here, or a Ray cluster.", rich_help_panel="Campaign", show_default=False
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(help="How many, each with one thread (default: one per core).", rich_help_panel="Campaign", show_default=False),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto",
            help="Join this Ray cluster instead of starting one here.",
            rich_help_panel="Campaign",
            show_default=False,
        ),
    ] = None
    job_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Kill a job (up to 128 inputs) that takes longer (default: 3600).",
            rich_help_panel="Campaign",
            show_default=False,
        ),
    ] = None

    @property
    def wanted(self) -> bool:
        """Whether any of them was given."""
        return any(value is not None for value in vars(self).values())

    @property
    def limit(self) -> float:
        """Seconds for a job."""
        return JOB_SECONDS if self.job_seconds is None else self.job_seconds

    def url(self, out: str) -> str:
        """Of the store: ``--store``, or a file in ``--out``."""
        return str(Path(out) / STORE_NAME) if self.store is None else self.store

    def check(self) -> None:
        """Refuses what cannot be meant, before anything is loaded."""
        if self.engine is not None and self.engine not in ENGINES:
            raise unknown_name("--engine", self.engine, list(ENGINES))
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers must be at least 1; got {self.workers}")
        if self.address is not None and self.engine != "ray":
            raise UsageError("--address names a Ray cluster; say --engine ray with it")
        if self.job_seconds is not None:
            parsing.positive(self.job_seconds, "--job-seconds")
