"""Every test of a store runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from store import stores

MISSING = "the driver psycopg is not installed" if importlib.util.find_spec("psycopg") is None else "no PostgreSQL server is installed"
HAS_SERVER = importlib.util.find_spec("psycopg") is not None and stores.postgres_programs() is not None


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with stores.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(not HAS_SERVER, reason=MISSING))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    found: str = request.getfixturevalue("server")
    engine = create_engine(found.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return found
