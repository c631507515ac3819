"""planner sql."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, store_at
from planner.cli.output import print_json, print_json_rows, print_line, print_table, print_text, warn

if TYPE_CHECKING:
    from planner.store import Store
    from planner.store.adhoc import Rows

    Params = dict[str, int | str]

_MOST_ROWS = 200
_EXPLAINED = ["explain_key", "explain_value"]
"""The columns of EXPLAIN, whose value is a drawing of several lines."""
_BATCH_ROWS = 20_000
_TIMEOUT_S = 30.0
_LONGEST_S = 86_400.0
_LEAST_MIB, _MOST_MIB = 64, 1 << 20
_FORMATS = ("table", "csv", "json", "parquet")

_Query = Annotated[str | None, typer.Argument(metavar="QUERY", help="One SELECT.")]
_Name = Annotated[str | None, typer.Option("--name", metavar="NAMED", help="A named query; see --list.")]
_Params = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="Parameter of the query; may be repeated.")
]
_Format = Annotated[str, typer.Option("--format", metavar="F", help="table, csv, json or parquet.")]
_Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
_List = Annotated[bool, typer.Option("--list", help="List the named queries.")]
_Tables = Annotated[bool, typer.Option("--tables", help="List tables and columns with units.")]
_Timeout = Annotated[float, typer.Option("--timeout", metavar="S", help="Seconds after which the query is stopped.")]
_Memory = Annotated[
    int | None,
    typer.Option(
        "--memory-limit",
        metavar="MIB",
        help="Memory for the query, and for its result as much again [default: 1500, or half the machine's].",
    ),
]
_Live = Annotated[
    bool, typer.Option("--live", help="Read the store itself, also while the nightly service is at work on it.")
]


def sql(
    query: _Query = None,
    name: _Name = None,
    params: _Params = None,
    format_name: _Format = "table",
    as_json: _Json = False,
    list_: _List = False,
    tables: _Tables = False,
    timeout: _Timeout = _TIMEOUT_S,
    memory_limit: _Memory = None,
    live: _Live = False,
    db: Db = None,
) -> None:
    """Query the store in SQL, read-only.

    A query can reach only the store: no files, network, environment, extensions or settings. While the nightly service
    is at work on the store, its published copy is read. A query of the store itself is stopped a few seconds after
    another process begins to wait to write it.
    """
    from planner.errors import QueryError
    from planner.store.adhoc import UNPRINTABLE, Limits
    from planner.store.adhoc import query as run_query

    format_name = "json" if as_json else format_name
    _check_format(format_name, ("table", "json") if list_ or tables else _FORMATS)
    if list_:
        _print_queries(format_name)
        return
    if tables:
        _print_tables(format_name)
        return
    values = dict(_param(text) for text in params or [])
    limits = Limits(timeout_s=_checked_timeout(timeout), memory_mib=_checked_memory(memory_limit))
    store, of_copy = _readable(store_at(db), live=live)
    text, values = _asked(store, query, name, values)
    most_rows = _MOST_ROWS if format_name == "table" else None
    rows = run_query(store, text, values, limits=limits, most_rows=most_rows, of_copy=of_copy)
    from polars.exceptions import PolarsError

    try:
        _print_rows(rows, format_name)
    except PolarsError as error:
        raise QueryError(f"the result contains {UNPRINTABLE}") from error


def _readable(store: "Store", *, live: bool) -> tuple["Store", bool]:
    """The store to read, or its published copy where a night may want to write; and whether it is the copy."""
    from planner.store import readable

    chosen, of_copy = (store, False) if live else readable(store, aside=True)
    if of_copy:
        warn(
            f"the nightly service is at work on {store.path}, or it is being written; reading {chosen.path}, the copy "
            "that the last nightly run published; --live reads the store itself"
        )
    return chosen, of_copy


def _check_format(name: str, known: Sequence[str]) -> None:
    from planner.errors import UsageError

    if name not in known:
        raise UsageError(f'--format "{name}": use {", ".join(known[:-1])} or {known[-1]}')


def _asked(store: "Store", query: str | None, name: str | None, values: "Params") -> tuple[str, "Params"]:
    """The query that is asked for, with its parameters. Raises UsageError, TraceError."""
    from planner.errors import UsageError

    if query is not None and name is None:
        return query, values
    if name is not None and query is None:
        from planner.runs.named import filled

        return filled(store, name, values)
    raise UsageError("give either a QUERY or --name NAMED; `planner sql --list` shows the named queries")


def _checked_timeout(seconds: float) -> float:
    from planner.errors import UsageError

    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"--timeout {seconds:g}: give seconds, more than 0 and at most {_LONGEST_S:,.0f}")
    return seconds


def _checked_memory(mib: int | None) -> int:
    from planner.errors import UsageError
    from planner.store.adhoc import default_memory_mib

    if mib is None:
        return default_memory_mib()
    if not _LEAST_MIB <= mib <= _MOST_MIB:
        raise UsageError(f"--memory-limit {mib}: give MiB, from {_LEAST_MIB} to {_MOST_MIB:,}")
    return mib


def _param(text: str) -> tuple[str, int | str]:
    from planner.errors import UsageError
    from planner.runs.named import value_of

    key, equals, value = text.partition("=")
    if not (equals and key):
        raise UsageError(f'--param "{text}": write KEY=VALUE')
    return key, value_of(value)


def _print_rows(rows: "Rows", format_name: str) -> None:
    """Print rows in slices, so that Ctrl-C and a closed pipe are noticed in between."""
    from planner.errors import UsageError
    from planner.store.rows import as_csv, as_json

    frame = rows.frame
    if format_name == "json":
        print_json_rows(as_json(part) for part in frame.iter_slices(_BATCH_ROWS))
    elif format_name == "csv":
        for number, part in enumerate(frame.iter_slices(_BATCH_ROWS)):
            print_text(as_csv(part, include_header=number == 0))
        if frame.is_empty():
            print_text(as_csv(frame))
    elif format_name == "parquet":
        if sys.stdout.isatty():
            raise UsageError("--format parquet writes binary data; redirect it: planner sql ... --format parquet > F")
        frame.write_parquet(sys.stdout.buffer)
    elif frame.columns == _EXPLAINED:
        for _, plan in frame.rows():
            for line in str(plan).splitlines():
                print_line(line)
    else:
        numeric = [kind.is_numeric() for kind in frame.dtypes]
        heads = [
            column if is_number else f"<{column}" for column, is_number in zip(frame.columns, numeric, strict=True)
        ]
        print_table(heads, frame.rows())
        if rows.total > frame.height:
            print_line(f"{rows.total - frame.height:,} more rows; --format csv or json prints them all")


def _print_queries(format_name: str) -> None:
    from planner.store.queries import public_queries

    queries = public_queries()
    if format_name == "json":
        print_json(queries)
        return
    print_table(("<query", "<parameters", "<meaning"), [(q.name, ", ".join(q.params), q.meaning) for q in queries])


def _print_tables(format_name: str) -> None:
    from planner.store.tables import TABLES

    if format_name == "json":
        print_json(TABLES)
        return
    for table in TABLES:
        rows = [(column.name, column.dtype, column.unit, column.meaning) for column in table.columns]
        print_table(("<column", "<type", "<unit", "<meaning"), rows, title=f"{table.name}: {table.row}")
