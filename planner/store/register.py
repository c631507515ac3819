"""The entries of the register of stored tables: tables and their columns, each with type, unit and meaning."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from planner.documents import Document


@dataclass(frozen=True, kw_only=True)
class Column(Document):
    """One stored column."""

    name: str
    dtype: str
    """Type in DuckDB."""
    unit: str
    """Unit of its numbers; "-" where it has none."""
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Table(Document):
    """One stored table or view."""

    name: Annotated[str, Field(serialization_alias="table")]
    """Its name in SQL."""
    row: str
    """What one row stands for."""
    columns: tuple[Column, ...]


def table(name: str, row: str, columns: str) -> Table:
    """A table from lines of "name | dtype | unit | meaning"."""
    return Table(name=name, row=row, columns=tuple(_column(line) for line in columns.strip().splitlines()))


def _column(line: str) -> Column:
    name, dtype, unit, meaning = (part.strip() for part in line.split("|"))
    return Column(name=name, dtype=dtype, unit=unit, meaning=meaning)
