"""Questions in SQL: a user's own, or named ones with their parameters; read-only, as `planner sql` asks them."""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from planner.documents import Document, plain
from planner.errors import PlannerError, QueryError
from planner.report.pages import shown_table
from planner.runs.named import filled, value_of
from planner.store import readable
from planner.store.adhoc import Limits, Rows, default_memory_mib, query
from planner.store.queries import QueryEntry, public_queries
from planner.store.rows import as_csv, as_json, as_text
from planner.store.tables import TABLES
from planner.text import visible
from planner.web.panes.base import Download, Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench

TIMEOUT_S = 20.0
"""Of a query. Assumed: a third of what an answer may take, as the store may have to be waited for."""
MOST_ROWS = 200
"""Rows that are shown, as `planner sql` prints."""
MOST_DOWNLOADED = 500_000
"""Rows of a file. Assumed: what a spreadsheet still opens."""
MOST_BYTES = 64 * 1024**2
"""Of a file. Assumed: it goes from a worker to the server and on as a whole."""
_LONGEST_CELL = 400
"""Characters of a cell that are shown. Assumed: more than any name or setting that is worth reading in a table."""
_EXPLAINED = ["explain_key", "explain_value"]
"""The columns of EXPLAIN, whose value is a drawing of several lines."""
_PARAM = "param."


@dataclass(frozen=True, kw_only=True)
class SqlDocument(Document):
    """The rows of a query."""

    query: str
    """The statement; empty where none is asked."""
    name: str | None
    """The named query that it is; null for one of the user's own."""
    params: dict[str, str]
    """Parameters of the named query that were given."""
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    """The first rows, at most 200; texts of more than 400 characters are cut."""
    total: int
    """Rows of the result."""
    published: bool
    """Whether the copy was read that the last night published, because a night is at work on the store."""
    problem: str | None
    """Why there are no rows."""
    named: tuple[QueryEntry, ...]
    """The named queries."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A query as the address has it."""

    text: str
    name: str | None
    params: dict[str, str]

    @classmethod
    def of(cls, state: State) -> "_Asked":
        given = {key.removeprefix(_PARAM): text for key, text in state.pane.items() if key.startswith(_PARAM)}
        name = state.pane.get("named") or None
        return cls(
            text="" if name else state.pane.get("sql", "").replace("\r\n", "\n").strip(),
            name=name,
            params={key: text for key, text in given.items() if text} if name else {},
        )


def show(bench: Workbench, state: State) -> PaneView:
    """The query, its first rows, and what can be asked. What is refused is told beside the query."""
    asked = _Asked.of(state)
    frame, total, published, problem = pl.DataFrame(), 0, False, None
    if asked.name or asked.text:
        try:
            rows, published = _rows(bench, asked, MOST_ROWS)
            frame, total = _shown(rows.frame), rows.total
        except PlannerError as error:
            problem = visible(str(error))
    named = tuple(public_queries())
    document = SqlDocument(
        query=asked.text,
        name=asked.name,
        params=asked.params,
        columns=tuple(frame.columns),
        rows=tuple(json.loads(json.dumps(as_json(frame), default=plain, allow_nan=False))),
        total=total,
        published=published,
        problem=problem,
        named=named,
    )
    return PaneView(
        document=document,
        context={
            "chosen": next((each for each in named if each.name == asked.name), None),
            "kinds": shown_table(frame).kinds,
            "cells": frame.rows(),
            "plans": [text for _, text in frame.rows()] if frame.columns == _EXPLAINED else None,
            "stored": TABLES,
            "timeout_s": TIMEOUT_S,
        },
    )


def _rows(bench: Workbench, asked: _Asked, most_rows: int) -> tuple[Rows, bool]:
    """The rows of a query, and whether they are of the published copy. Raises PlannerError."""
    store, of_copy = readable(bench.store, aside=True)
    text, params = asked.text, dict[str, int | str]()
    if asked.name is not None:
        text, params = filled(store, asked.name, {key: value_of(value) for key, value in asked.params.items()})
    limits = Limits(timeout_s=TIMEOUT_S, memory_mib=default_memory_mib())
    return query(store, text, params, limits=limits, most_rows=most_rows, of_copy=of_copy), of_copy


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of which every cell has room in a table."""
    told = as_text(frame)
    names = [name for name, kind in told.schema.items() if kind in (pl.String, pl.Binary)]
    keep = "\n" if frame.columns == _EXPLAINED else ""
    most = None if keep else _LONGEST_CELL
    return told.with_columns(
        pl.col(name).map_elements(lambda value: _cell(value, most, keep), return_dtype=pl.String) for name in names
    )


def _cell(value: str | bytes, most: int | None, keep: str) -> str:
    text = value if isinstance(value, str) else repr(value[:_LONGEST_CELL])[2:-1]
    return visible(text if most is None or len(text) <= most else f"{text[:most]}…", keep=keep)


def _all(bench: Workbench, state: State) -> pl.DataFrame:
    """All rows of a query, as far as a file has room. Raises PlannerError."""
    asked = _Asked.of(state)
    if not (asked.name or asked.text):
        raise QueryError("no query is asked; write one, or choose a named one")
    rows, _ = _rows(bench, asked, MOST_DOWNLOADED)
    if rows.total > MOST_DOWNLOADED or rows.frame.estimated_size() > MOST_BYTES:
        raise QueryError(
            f"the result has {rows.total:,} rows, too much for a download; narrow it, or use `planner sql`"
        )
    return rows.frame


def _csv(bench: Workbench, state: State) -> bytes:
    return _within(as_csv(_all(bench, state)).encode())


def _json(bench: Workbench, state: State) -> bytes:
    rows = as_json(_all(bench, state))
    return _within(json.dumps(rows, default=plain, allow_nan=False, ensure_ascii=False).encode())


def _within(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise QueryError(f"the file would have {len(content):,} bytes; narrow the query, or use `planner sql`")
    return content


PANE = Pane(
    name="sql",
    title="SQL",
    show=show,
    template="sql.html.j2",
    document=SqlDocument,
    downloads=(
        Download(name="rows.csv", media_type="text/csv; charset=utf-8", make=_csv),
        Download(name="rows.json", media_type="application/json", make=_json),
    ),
)
