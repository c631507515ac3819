"""Rows of dataclasses as frames to append: the inverse of Session.records."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_type_hints

import polars as pl

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def frame_of(kind: "type[DataclassInstance]", rows: "Sequence[DataclassInstance]") -> pl.DataFrame:
    """A column for every field, of the field's type even where no row has a value. rows: objects of that kind."""
    # given dataclasses themselves, polars keeps DuckDB's module alive beyond the end of the process, which warns
    return pl.DataFrame([vars(row) for row in rows], schema=get_type_hints(kind))
