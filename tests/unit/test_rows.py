"""Rows of dataclasses as frames."""

from dataclasses import dataclass

import polars as pl

from planner.store.rows import frame_of


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    count: int
    share: float | None
    place: int | None
    kept: bool


def test_a_column_has_the_type_of_its_field_where_no_row_has_a_value() -> None:
    rows = [Row(name=name, count=2, share=None, place=None, kept=True) for name in ("one", "two")]
    frame = frame_of(Row, rows)
    assert frame.schema == {
        "name": pl.String,
        "count": pl.Int64,
        "share": pl.Float64,
        "place": pl.Int64,
        "kept": pl.Boolean,
    }
    assert frame.rows() == [("one", 2, None, None, True), ("two", 2, None, None, True)]


def test_no_rows_have_all_columns() -> None:
    frame = frame_of(Row, [])
    assert frame.columns == ["name", "count", "share", "place", "kept"]
    assert frame.height == 0
