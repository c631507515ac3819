"""A store of this process alone, in memory, for plans that are looked at and not stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from planner.store import migrate
from planner.store.attached import CONFIG, SESSION
from planner.store.database import Session


def memory_session() -> Session:
    """A session on an empty store in memory, with the schema of this version; it lasts as long as its connection."""
    connection = duckdb.connect(":memory:", config={**CONFIG, "threads": 1})
    connection.execute(SESSION)
    migrate.upgrade(connection, Path(":memory:"))
    return Session(connection)


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """What is written inside the block is there inside the block only."""
    session.connection.begin()
    try:
        yield
    finally:
        session.connection.rollback()
