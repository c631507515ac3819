"""planner sql."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, reading_at
from planner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    import polars as pl

    from planner.store import Store

    Params = dict[str, int | str]

_MOST_ROWS = 200


def sql(
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="One SELECT.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAMED", help="A named query; see --list.")] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="Parameter of the query; may be repeated."),
    ] = None,
    format_name: Annotated[str, typer.Option("--format", metavar="F", help="table, csv, json or parquet.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the named queries.")] = False,
    tables: Annotated[bool, typer.Option("--tables", help="List tables and columns with units.")] = False,
    db: Db = None,
) -> None:
    """Query the store in SQL, read-only.

    A query can reach only the store: no files, network, environment, extensions or settings.
    """
    from planner.errors import UsageError
    from planner.store.adhoc import query as run_query

    format_name = "json" if as_json else format_name
    if list_:
        _print_queries(format_name)
        return
    if tables:
        _print_tables(format_name)
        return
    if format_name not in ("table", "csv", "json", "parquet"):
        raise UsageError(f'--format "{format_name}": use table, csv, json or parquet')
    values = dict(_param(text) for text in params or [])
    store = reading_at(db)
    if query is not None and name is None:
        text = query
    elif name is not None and query is None:
        text, values = _named(store, name, values)
    else:
        raise UsageError("give either a QUERY or --name NAMED; `planner sql --list` shows the named queries")
    _print_frame(run_query(store, text, values), format_name)


def _named(store: "Store", name: str, values: "Params") -> tuple[str, "Params"]:
    """A named query and its parameters; run_id is the newest run's unless one is given.

    A trace may be given by its name instead of its number. Raises UsageError, TraceError.
    """
    from planner.errors import UsageError
    from planner.store.queries import named_query

    named = named_query(name)
    if "run_id" in named.used:
        from planner.runs.read import find_run

        given = values.get("run_id")
        values = {**values, "run_id": find_run(store, None if given is None else str(given))}
    if "trace_id" in named.used and isinstance(trace := values.get("trace_id"), str):
        from planner.trace.stored import by_name

        with store.read() as session:
            values = {**values, "trace_id": by_name(session, trace).trace_id}
    missing = sorted(named.used - set(values))
    if missing:
        raise UsageError(f"query {name} needs {', '.join(f'--param {key}=...' for key in missing)}")
    unknown = sorted(set(values) - named.used)
    if unknown:
        raise UsageError(
            f"query {name} has no parameter {', '.join(unknown)}; it takes {', '.join(named.params) or 'none'}"
        )
    return named.sql, values


def _param(text: str) -> tuple[str, int | str]:
    from planner.errors import UsageError

    key, equals, value = text.partition("=")
    if not (equals and key):
        raise UsageError(f'--param "{text}": write KEY=VALUE')
    return key, int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _print_frame(frame: "pl.DataFrame", format_name: str) -> None:
    from planner.errors import UsageError

    if format_name == "json":
        import polars.selectors as cs

        # JSON cannot represent NaN
        print_json(frame.with_columns(cs.float().replace([float("nan"), float("inf"), float("-inf")], None)).to_dicts())
    elif format_name == "csv":
        import polars as pl

        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        text = frame.with_columns(pl.col(nested).map_elements(str, return_dtype=pl.String)) if nested else frame
        sys.stdout.write(text.write_csv())
    elif format_name == "parquet":
        if sys.stdout.isatty():
            raise UsageError("--format parquet writes binary data; redirect it: planner sql ... --format parquet > F")
        frame.write_parquet(sys.stdout.buffer)
    else:
        numeric = [kind.is_numeric() for kind in frame.dtypes]
        heads = [
            column if is_number else f"<{column}" for column, is_number in zip(frame.columns, numeric, strict=True)
        ]
        print_table(heads, frame.head(_MOST_ROWS).rows())
        if frame.height > _MOST_ROWS:
            print_line(f"{frame.height - _MOST_ROWS:,} more rows; --format csv or json prints them all")


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
