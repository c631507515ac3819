"""Numbered migrations from `sql/schema`, forward only, each run in one transaction and recorded; views after them."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from planner.errors import StoreTooNew, StoreUnreadable
from planner.files import shipped

_RECORDS = """
CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, sha256 VARCHAR NOT NULL);
CREATE TABLE schema_view (sha256 VARCHAR NOT NULL);
"""


@dataclass(frozen=True)
class _Migration:
    """A migration: its name, its statements, and what they hash to."""

    name: str
    text: str
    sha256: str


@cache
def migrations() -> dict[int, _Migration]:
    """Migrations by number; read once, as every opening of a store checks them."""
    files = sorted((shipped("sql") / "schema").glob("*.sql"))
    numbered = {int(path.name.split("_")[0]): _migration(path) for path in files}
    assert list(numbered) == list(range(1, len(files) + 1)), "migration files are numbered from 001 without a gap"
    return numbered


@cache
def views() -> tuple[str, ...]:
    """The statements that make the views, in order of file name."""
    return tuple(path.read_text(encoding="utf-8") for path in sorted((shipped("sql") / "views").glob("*.sql")))


@cache
def _digest_of_views() -> str:
    return _digest("".join(views()))


def is_behind(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether migrations or views have to be run. Raises StoreTooNew, StoreUnreadable."""
    return _version(connection, path) < len(migrations()) or _recorded_views(connection) != _digest_of_views()


def upgrade(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Upgrade the store to this version, in one transaction; nothing happens where it is up to date."""
    version = _version(connection, path)
    if version == len(migrations()) and _recorded_views(connection) == _digest_of_views():
        return
    connection.execute("BEGIN")
    if version < 0:
        connection.execute(_RECORDS)
    for number, file in migrations().items():
        if number > version:
            connection.execute(file.text)
            connection.execute(
                "INSERT INTO schema_migration VALUES ($number, $name, $sha256)",
                {"number": number, "name": file.name, "sha256": file.sha256},
            )
    refresh_request_views(connection)
    for statement in views():
        connection.execute(statement)
    connection.execute("DELETE FROM schema_view")
    connection.execute("INSERT INTO schema_view VALUES ($sha256)", {"sha256": _digest_of_views()})
    connection.execute("COMMIT")


_VIEWS: dict[str, dict[str, tuple[str, str | None]]] = {
    "request": {
        "request_seq": ("BIGINT", "rowid"),
        "arrival_us": ("BIGINT", None),
        "input_tokens": ("INTEGER", None),
        "cached_input_tokens": ("INTEGER", "NULL"),
        "output_tokens": ("INTEGER", None),
        "class_id": ("SMALLINT", "0"),
        "session_id": ("BIGINT", "NULL"),
    },
    "request_block": {
        "request_seq": ("BIGINT", None),
        "block_index": ("INTEGER", None),
        "block_id": ("BIGINT", None),
    },
}
"""Columns of the views: type, and the value of a column that a trace's table does not have."""


def refresh_request_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views `request` and `request_block` over the physical tables that exist."""
    tables: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = 'trace_data' ORDER BY table_name"
    ).fetchall():
        tables.setdefault(str(table), set()).add(str(column))
    for view, columns in _VIEWS.items():
        selects = []
        for table in sorted(tables):
            if number := re.fullmatch(rf"{view}_(\d+)", table):
                parts = (
                    name if name in tables[table] else f"CAST({absent} AS {kind}) AS {name}"
                    for name, (kind, absent) in columns.items()
                )
                selects.append(f"SELECT {int(number[1])} AS trace_id, {', '.join(parts)} FROM trace_data.{table}")
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, (kind, _) in columns.items())
        empty = f"SELECT CAST(NULL AS INTEGER) AS trace_id, {nothing} WHERE false"
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS " + (" UNION ALL ".join(selects) or empty))


def _version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The last migration run; -1 for an empty database. Raises StoreTooNew, StoreUnreadable."""
    try:
        recorded = dict(connection.execute("SELECT version, sha256 FROM schema_migration").fetchall())
    except duckdb.CatalogException as error:
        # only checked here: listing all tables takes longer than the rest of opening the store
        if connection.execute("SELECT 1 FROM duckdb_tables() WHERE database_name = current_database()").fetchall():
            raise StoreUnreadable(
                f"{path}: is the DuckDB database of another program; name another file with --db"
            ) from error
        return -1
    version = max(recorded, default=0)
    if version > len(migrations()):
        raise StoreTooNew(
            f"{path}: has schema {version}, and this planner supports up to {len(migrations())}; "
            "use the newer planner that wrote it, or another --db"
        )
    for number, file in migrations().items():
        if number in recorded and recorded[number] != file.sha256:
            raise StoreUnreadable(
                f"{path}: was created by another build of planner, whose {file.name} differs; "
                "use that build, or another --db"
            )
    return version


def _recorded_views(connection: duckdb.DuckDBPyConnection) -> str | None:
    try:
        rows = connection.execute("SELECT sha256 FROM schema_view").fetchall()
    except duckdb.CatalogException:
        return None
    return str(rows[0][0]) if rows else None


def _migration(path: Path) -> _Migration:
    text = path.read_text(encoding="utf-8")
    return _Migration(name=path.stem, text=text, sha256=_digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
