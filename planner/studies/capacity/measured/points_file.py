"""Reading a file of measured points: CSV, every cell checked, and what is wrong said with its line, column and cure."""

import codecs
import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv

from planner.errors import PlannerError
from planner.input_files import read_input
from planner.studies.capacity.measured.points_table import (
    COLUMNS,
    COUNTS,
    FILLED,
    FLAG,
    NUMBERS,
    POSSIBLE_MS,
    UNITS,
    WORDS,
    PointsTable,
)
from planner.text import quoted

MOST_BYTES = 1024 * 1024 * 1024
"""Bytes of a file of points: three million of them."""
MOST_COUNT = 1_000_000
"""Most GPUs of a point. Assumed: several times the largest site of 2026."""
MOST = 1e15
"""Largest number that is taken for a measurement. Assumed."""
MOST_CELL = 100_000
"""Bytes of a cell: less than Python's CSV reader takes, which finds the lines."""
_CELL = 60
"""Characters of a cell that a message repeats."""
CURE = "give a CSV of points, with a header and a row per measured figure"


def read_points_file(path: Path) -> PointsTable:
    """The points of a CSV file, checked. Raises PlannerError for the first thing that is wrong."""
    content = read_input(path, cure=CURE, most=MOST_BYTES, error=PlannerError)
    _check_text(path, content)
    names = _header(path, content)
    text = _cells(path, content, names)
    if text.is_empty():
        raise PlannerError(f"{path}: has a header and no points; {CURE}")
    numbered = (*NUMBERS, *COUNTS, FLAG)
    parsed = [pl.col(name).cast(pl.Float64, strict=False).alias(_number(name)) for name in numbered]
    checks = _Checks(path, content, text.with_columns(parsed))
    for name in FILLED:
        checks.refuse(name, pl.col(name).is_null(), "is empty", "give a value in every row")
    for name, words in WORDS.items():
        checks.refuse(name, ~pl.col(name).is_in(words), "is not known", f"give one of {', '.join(words)}")
    numbers = [_numbers(checks, name) for name in numbered]
    checks.unique("id")
    frame = checks.text.with_columns(numbers).select(names)
    _check_units(path, frame)
    for metric, (low, high) in POSSIBLE_MS.items():
        value, kept = pl.col(_number("value")), pl.col(_number(FLAG)).fill_null(0) == 0
        wrong = (pl.col("metric") == metric) & kept & ~value.is_between(low, high)
        checks.refuse("value", wrong, f"cannot be a {metric}", "give milliseconds, or mark the point as suspect")
    return PointsTable(frame=frame, source=str(path), notes=_notes(checks, frame))


class _Checks:
    """Finds the first cell that is wrong, and where in the file it stands."""

    def __init__(self, path: Path, content: bytes, text: pl.DataFrame) -> None:
        self.path, self.content, self.text = path, content, text

    def refuse(self, name: str, wrong: pl.Expr, what: str, cure: str) -> None:
        """Raises PlannerError if a cell of a column is wrong; a null where that is asked is not."""
        rows = self.text.select(wrong.fill_null(False).arg_true()).to_series()
        if rows.is_empty():
            return
        first = int(rows[0])
        cell = self.text[name][first]
        said = what if cell is None else f"{quoted(cell, _CELL)} {what}"
        more = f" ({len(rows) - 1:,} further cells of this column too)" if len(rows) > 1 else ""
        raise PlannerError(f'{self.path}, {self.line(first)}, column "{name}": {said}; {cure}{more}')

    def unique(self, name: str) -> None:
        """Raises PlannerError if two rows have the same text in a column."""
        again = self.text.select((~pl.col(name).is_first_distinct()).arg_true()).to_series()
        if again.is_empty():
            return
        second = int(again[0])
        cell = self.text[name][second]
        first = int(self.text.select((pl.col(name) == cell).arg_true()).to_series()[0])
        raise PlannerError(
            f'{self.path}, {self.line(second)}, column "{name}": {quoted(cell, _CELL)} stands in '
            f"{self.line(first)} too; give every point an id of its own"
        )

    def line(self, row: int) -> str:
        """The line in which a row begins; the header is not a row."""
        found = next(itertools.islice(_rows(self.content), row + 1, None), None)
        return f"row {row + 1:,}" if found is None else f"line {found[0]:,}"


def _check_text(path: Path, content: bytes) -> None:
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise PlannerError(f"{path}: is empty; {CURE}")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PlannerError(f"{path}, line {line:,}: is not UTF-8 text; save the file as CSV in UTF-8") from error


def _rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the line in which each begins."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
    begins = 1
    for row in reader:
        if row:
            yield begins, row
        begins = reader.line_num + 1


def _header(path: Path, content: bytes) -> list[str]:
    """The names of the columns. Raises PlannerError for all that are missing at once, and for names given twice."""
    try:
        names = [name.strip() for name in next(_rows(content))[1]]
    except csv.Error as error:
        raise PlannerError(f"{path}: is not valid CSV ({error}); {CURE}") from error
    if missing := [name for name in COLUMNS if name not in names]:
        plural = "s" if len(missing) > 1 else ""
        raise PlannerError(
            f"{path}, line 1: the column{plural} {', '.join(missing)} {'are' if plural else 'is'} missing; separate "
            "columns by commas, and leave cells empty where a value is unknown"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PlannerError(f"{path}, line 1: the column {quoted(twice[0], _CELL)} is there twice; remove one")
    return names


def _cells(path: Path, content: bytes, names: list[str]) -> pl.DataFrame:
    """All cells as text without blanks around it, null where empty."""
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _unreadable(path, content, len(names), error) from error
    frame = pl.from_arrow(table.slice(1))  # behind the header, which may begin behind blank lines
    assert isinstance(frame, pl.DataFrame)
    longest = frame.select(pl.all().str.len_bytes().max().fill_null(0)).row(0, named=True)
    for name, length in longest.items():
        if length > MOST_CELL:
            raise PlannerError(
                f"{path}: a cell of the column {quoted(name, _CELL)} has {length:,} bytes, and at most {MOST_CELL:,} "
                "are read: a quote may not be closed"
            )
    text = pl.all().str.strip_chars()
    return frame.select(pl.when(text != "").then(text).name.keep())


def _unreadable(path: Path, content: bytes, columns: int, error: pa.ArrowInvalid) -> PlannerError:
    """What is wrong with a file that is not a table."""
    last = 1
    try:
        for last, row in _rows(content):
            if len(row) != columns:
                return PlannerError(
                    f"{path}, line {last:,}: has {len(row)} cells for {columns} columns; give a cell for every column, "
                    "empty where the value is unknown"
                )
    except csv.Error as problem:
        return PlannerError(f"{path}, line {last + 1:,}: is not valid CSV ({problem}); correct the quotes")
    reason = (str(error).splitlines() or ["unreadable"])[0][:_CELL]
    return PlannerError(f"{path}: is not valid CSV ({reason}); {CURE}")


def _number(name: str) -> str:
    """The column with the numbers of another, beside its text; no header has such a name, since blanks are cut off."""
    return f"{name} "


def _numbers(checks: _Checks, name: str) -> pl.Expr:
    """A column's numbers, checked, as an expression."""
    cell, number = pl.col(name), pl.col(_number(name))
    checks.refuse(
        name, cell.is_not_null() & number.is_null(), "is not a number", "write it as 12.5, or leave the cell empty"
    )
    if name == FLAG:
        wrong = ~number.is_in([0.0, 1.0])
        checks.refuse(name, wrong, "is not 0 or 1", "give 1 for a point that is left out, else 0")
        return (number == 1).fill_null(False).alias(name)
    if name in COUNTS:
        wrong = ~((number >= 1) & (number <= MOST_COUNT) & (number == number.floor()))
        checks.refuse(name, wrong, f"is not a whole number from 1 to {MOST_COUNT:,}", "correct it, or leave it empty")
        return number.cast(pl.Int64).alias(name)
    wrong = ~((number > 0) & (number <= MOST))
    checks.refuse(name, wrong, "is not a number above 0", "correct it, or remove the point")
    return number.alias(name)


def _check_units(path: Path, frame: pl.DataFrame) -> None:
    """Raises PlannerError where the figures of a metric are, by their median, in another unit."""
    medians = frame.group_by("metric", maintain_order=True).agg(pl.col("value").median())
    for metric, median in medians.iter_rows():
        low, high = UNITS[metric]
        if not low <= median <= high:
            unit = "tokens per second" if metric == "tokens_per_s" else "milliseconds"
            raise PlannerError(
                f'{path}, column "value": the median of {metric} is {median:g}, which looks like the wrong unit; give '
                f"{unit} (medians from {low:g} to {high:,.0f} are read)"
            )


def _notes(checks: _Checks, frame: pl.DataFrame) -> tuple[str, ...]:
    odd = frame.select((pl.col("tp") * pl.col("dp") != pl.col("n_gpus")).fill_null(False).arg_true()).to_series()
    if odd.is_empty():
        return ()
    plural = "s have" if len(odd) > 1 else " has"
    return (
        f"{len(odd):,} point{plural} n_gpus other than tp x dp, the first in {checks.line(int(odd[0]))}: the "
        "rest may be pipeline parallelism or another role",
    )
