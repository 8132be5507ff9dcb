"""A store of an earlier form is brought to today's in one transaction; a later one is left alone."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert, inspect, select, text

from netassay.errors import StoreError
from netassay.store import open_store
from netassay.store.database import connect
from netassay.store.schema import MIGRATIONS, files, metadata, migrate, schema_version, version
from netassay.store.writer import open_writer


def _with_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE files ADD COLUMN colour VARCHAR"))


def _broken(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE half (a INTEGER)"))
    connection.execute(text("ALTER TABLE no_such_table ADD COLUMN b INTEGER"))


def test_the_first_step_makes_all_tables(url: str) -> None:
    with open_writer(url) as writer, writer.database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(metadata.tables)
        assert version(connection) == len(MIGRATIONS)
        assert [row.version for row in connection.execute(select(schema_version))] == list(range(1, len(MIGRATIONS) + 1))


def test_a_further_step_is_taken_once_and_keeps_what_is_there(url: str) -> None:
    with open_writer(url):
        pass
    database = connect(url, write=True)
    with database.writing() as connection:
        connection.execute(insert(files).values(digest="a" * 64, content=b"kept"))
    for _ in range(2):
        with database.writing() as connection:
            migrate(connection, [*MIGRATIONS, _with_colour])
    with database.reading() as connection:
        assert version(connection) == len(MIGRATIONS) + 1
        assert connection.execute(text("SELECT content, colour FROM files")).one()[1] is None
    database.engine.dispose()
    for opened in (open_store, open_writer):
        with pytest.raises(StoreError, match="use a newer netassay"):
            opened(url)


def test_a_step_that_fails_leaves_the_store_as_it_was(url: str) -> None:
    with open_writer(url):
        pass
    database = connect(url, write=True)
    with pytest.raises(StoreError), database.writing() as connection:
        migrate(connection, [*MIGRATIONS, _broken])
    with database.reading() as connection:
        assert version(connection) == len(MIGRATIONS)
        assert "half" not in inspect(connection).get_table_names()
    database.engine.dispose()


def test_a_database_of_somebody_else_is_left_alone(url: str) -> None:
    database = connect(url, write=True)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE results (a INTEGER)"))
    database.engine.dispose()
    with pytest.raises(StoreError, match="is none"):
        open_writer(url)
    with pytest.raises(StoreError, match="is none"):
        open_store(url)
