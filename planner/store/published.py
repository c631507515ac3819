"""A published copy of the result tables, beside the store, for readers while a nightly job writes."""

import fcntl
import os
from pathlib import Path

import duckdb

from planner.drafts import draft_folder, flush
from planner.errors import StoreError, StoreLocked
from planner.store.damage import damaged
from planner.store.database import Store, require_complete
from planner.store.turns import is_awaited

_LEFT_OUT = ("schema_migration", "schema_view", "replay_request")
"""The copy has a schema of its own; requests, those of replays too, stay in the store."""

LEFT_OUT_OF_COPY = frozenset({"request", "request_block", "replay_request"})
"""Tables and views that are empty in the copy."""

PROBE_S = 1.0
"""How long a reader waits for the store before it takes the published copy. Assumed: longer than most writes last."""


def published_path(path: Path) -> Path:
    """Where the published copy of a store is: planner.published.duckdb beside planner.duckdb."""
    return path.with_name(f"{path.stem}.published{path.suffix}")


def publish(store: Store) -> Path:
    """Copy the result tables into a new file, then replace the published copy with it. Returns its path.

    Readers of the old copy keep it until they close it. Raises StoreError.
    """
    target = published_path(store.path)
    with store.read() as session:
        names = [
            str(row[0])
            for row in session.connection.execute(
                "SELECT table_name FROM duckdb_tables() "
                "WHERE database_name = current_database() AND schema_name = 'main' ORDER BY table_name"
            ).fetchall()
        ]
        tables = {
            name: session.connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()
            for name in names
            if name not in _LEFT_OUT
        }
    for name in (f".{target.name}.draft", f".{target.name}.draft.wal"):
        # earlier versions, of which none is at work: only one process at a time publishes
        target.with_name(name).unlink(missing_ok=True)
    with draft_folder(target) as made:
        draft = made / target.name
        with Store(draft, wait_s=store.wait_s).write() as session:
            try:
                for name, rows in tables.items():
                    session.append_arrow(name, rows)
            except duckdb.ConstraintException as error:
                # a sound store has no rows that its own schema refuses
                raise damaged(store.path, error) from error
        require_complete(draft, target)
        draft.replace(target)
    flush(target.parent)
    return target


def readable(store: Store, *, aside: bool = False) -> tuple[Store, bool]:
    """The store, or its published copy where the store is being written; and whether it is the copy.

    aside: for reading that may take long, the copy wherever a scheduler is at work on the store, or another process
    waits to write it, so that it can.
    """
    copy = published_path(store.path)
    if not (store.path.exists() and copy.exists()):
        return store, False
    is_wanted = aside and (is_scheduled(store) or is_awaited(store.path))
    return (Store(copy, wait_s=store.wait_s), True) if is_wanted or _locked(store) else (store, False)


def scheduler_file(path: Path) -> Path:
    """The file that the scheduler of a store locks."""
    return path.with_name(f".{path.name}.scheduler")


def is_scheduled(store: Store) -> bool:
    """Whether a scheduler, the nightly service or `schedule run-due`, is at work on the store."""
    try:
        handle = os.open(scheduler_file(store.path), os.O_RDONLY)
    except OSError:
        return False
    try:
        # held for a moment; a scheduler that starts in it tries again
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _locked(store: Store) -> bool:
    try:
        with Store(store.path, wait_s=PROBE_S).read():
            return False
    except StoreLocked:
        return True
    except StoreError:
        # other problems are reported when it is read
        return False
