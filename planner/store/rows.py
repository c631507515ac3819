"""Rows of dataclasses as frames to append, the inverse of Session.records; and frames for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

import polars as pl
import polars.selectors as cs

from planner.text import FORMULA, inert

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def frame_of(kind: "type[DataclassInstance]", rows: "Sequence[DataclassInstance]") -> pl.DataFrame:
    """A column for every field, of the field's type even where no row has a value. rows: objects of that kind."""
    # given dataclasses themselves, polars keeps DuckDB's module alive beyond the end of the process, which warns
    return pl.DataFrame([vars(row) for row in rows], schema=get_type_hints(kind))


def inert_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame to be written as CSV for people: no name or text in it is one that a spreadsheet computes."""
    frame = frame.with_columns((cs.categorical() | cs.enum()).cast(pl.String))
    for name in frame.select(cs.binary()).columns:
        frame = frame.with_columns(pl.col(name).map_elements(lambda data: repr(data)[2:-1], return_dtype=pl.String))
    for name in frame.select(cs.string()).columns:
        opens = pl.any_horizontal(pl.col(name).str.starts_with(begin) for begin in FORMULA)
        frame = frame.with_columns(pl.when(opens).then("'" + pl.col(name)).otherwise(name).alias(name))
    names = list[str]()
    for name in map(inert, frame.columns):
        names.append(name if name not in names else f"{name}_{len(names)}")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose nested values are text."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(pl.col(nested).map_elements(_nested, return_dtype=pl.String))


def as_csv(frame: pl.DataFrame, *, include_header: bool = True) -> str:
    """The CSV of a frame for people: nested values as text, and no text that a spreadsheet computes."""
    return inert_cells(as_text(frame)).write_csv(include_header=include_header)


def as_json(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame for JSON, which cannot represent NaN."""
    return frame.with_columns(cs.float().replace([float("nan"), float("inf"), float("-inf")], None)).to_dicts()


def _nested(value: object) -> str:
    return str(value.to_list() if hasattr(value, "to_list") else value)
