"""Users' own queries: read-only, one statement, with access to the store only."""

from collections.abc import Mapping

import duckdb
import polars as pl

from planner.errors import QueryError
from planner.store.database import Store, interruptible, locked_down

_ALLOWED = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def query(store: Store, sql: str, params: Mapping[str, int | str] | None = None) -> pl.DataFrame:
    """The rows of one SELECT. No files, network, extensions, environment, settings or temporary tables.

    Raises QueryError for anything else and for what DuckDB refuses, StoreMissing where there is no store.
    """
    store.require()
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from error
    if len(statements) != 1 or statements[0].type not in _ALLOWED:
        raise QueryError("only one SELECT, DESCRIBE, SUMMARIZE or EXPLAIN at a time; the store is read-only here")
    with store.read():
        pass  # brings an older store to this schema before it is opened read-only
    try:
        with locked_down(store.path) as connection, interruptible():
            relation = connection.sql(sql, params=dict(params or {}))
            frame: pl.DataFrame = relation.pl() if relation is not None else pl.DataFrame()
            return frame
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from error
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            "the result contains a type that cannot be printed, such as INTERVAL; cast it to VARCHAR in the query"
        ) from error


def _one_line(error: Exception) -> str:
    """DuckDB's message up to the first blank line, after which it marks the position in the query."""
    text = str(error).split("\n\n")[0]
    return " ".join(text.split())
