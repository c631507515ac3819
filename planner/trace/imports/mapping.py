"""Mappings: how the rows of a log become requests, as TOML; those that are shipped, and a user's own."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError, field_validator, model_validator

from planner.catalogue.read import describe, find, names, read_toml
from planner.errors import UsageError
from planner.input_files import exists
from planner.settings.closed import FROM_FILE, Closed, valid_zone
from planner.store.fields import MOST_PARTS
from planner.trace.imports.times import check_time_format

FOLDER = "mappings"
Base = Literal["csv", "jsonl", "parquet", "windows"]
Text = Annotated[str, Field(min_length=1)]
Value = bool | int | float | str
Lists = Annotated[tuple[Text, ...], Field(min_length=1)]


class RowRefusal(Closed):
    """Rows that are no requests, such as failed calls: refused, and counted by the reason."""

    column: Text | Lists
    """Column, or path, or a list of these."""
    pattern: Text = "."
    """Regular expression (RE2) that matches what such rows have there, in any case; if left out, anything."""
    reason: Text
    """Why they are no requests; the column and what it has follow."""

    @field_validator("pattern")
    @classmethod
    def _readable(cls, pattern: str) -> str:
        try:
            pc.match_substring_regex(pa.array([""]), pattern=pattern)
        except pa.ArrowInvalid as error:
            raise ValueError(f'"{pattern}" is not a regular expression of RE2 ({error})') from error
        return pattern

    @field_validator("column")
    @classmethod
    def _short_enough(cls, column: Text | Lists) -> Text | Lists:
        for path in listed(column):
            check_path(path, "column")
        return column


class LogMapping(Closed):
    """How the rows of a log become requests, or windows of demand."""

    description: str = ""
    """What logs it is for."""
    source: str = ""
    """Where the form of these logs is documented."""
    format: Base | Annotated[tuple[Base, ...], Field(min_length=1)]
    """What the log is: csv, jsonl (any JSON), parquet, or windows for demand per window; or a list of these."""
    columns: dict[str, Text | Lists] = Field(default_factory=dict)
    """Field -> its column, or the path to it with dots; of a list the first counts that has a value in a row,
    and of tokens the largest. "a + b" is the sum of two, and "usage.input*" that of all keys of usage that begin so;
    in a sum with such keys the first has to be there. Tokens of which one is told and no number refuse the row."""
    constants: dict[str, Value] = Field(default_factory=dict)
    """Field -> its value in every row."""
    where: dict[str, Value | Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Column, or path -> the value, or the list of values, of rows that are read; all others are left out."""
    refuse: tuple[RowRefusal, ...] = ()
    """Rows that are refused for what they tell."""
    records: Text | tuple[Text, ...] = ()
    """JSON: key or path under which the list of records is, if it is not found by itself; or a list of such keys."""
    each: Text | tuple[Text, ...] = ()
    """JSON: key or path of a list in every record, whose elements are a row each; of several lists, those elements that
    have the same place in them. A path that begins with this key leads into the element."""
    times_from_first: bool = False
    """Whether arrivals that are elements of a list count from the least of them."""
    cached: Literal["inside", "outside"] | None = None
    """Where tokens read from a prefix cache or written to it lie: inside the input tokens, or outside, where these
    leave them out; if left out, the rows decide."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of times that are numbers: s, ms, us or ns."""
    time_format: Text | None = None
    """How times are written, in the letters of Python's strptime."""
    timezone: str | None = None
    """IANA zone of times without an offset."""
    times_in: str | None = None
    """The same for logs whose writer has one zone, whatever --timezone says."""
    signatures: tuple[Lists, ...] = ()
    """Shipped mappings: sets of paths, one of which the records of such a log have, so that it is recognised."""

    @field_validator("timezone", "times_in")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        return valid_zone(name) if name is not None else None

    @field_validator("time_format")
    @classmethod
    def _readable_times(cls, time_format: str | None) -> str | None:
        if time_format is not None:
            check_time_format(time_format)
        return time_format

    @field_validator("columns")
    @classmethod
    def _short_enough(cls, columns: dict[str, Text | Lists]) -> dict[str, Text | Lists]:
        for field, paths in columns.items():
            for path in listed(paths):
                check_path(path, field)
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> "LogMapping":
        problems = [*self._conflicts(), *unknown_fields(self.formats, self.columns, self.constants)]
        for field, value in self.constants.items():
            try:
                check_constant(field, text_of(value), f"constants.{field}")
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _conflicts(self) -> Iterator[str]:
        """What contradicts something else in it."""
        twice = sorted(set(self.columns) & set(self.constants))
        if twice:
            yield f"{', '.join(twice)} is in columns and in constants; leave one out"
        if (self.each or self.records) and not {"jsonl", "windows"} & set(self.formats):
            yield 'records and each are for JSON; set format = "jsonl"'
        if self.time_unit and self.time_format:
            yield "time_unit is for times that are numbers and time_format for all others; leave one out"
        if self.times_from_first and not self.each:
            yield "times_from_first is for arrivals in a list; name the list with each"
        if "windows" in self.formats and len(self.formats) > 1:
            yield "format: windows is for demand per window, and the others for requests; name one kind"

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that it is for."""
        return listed(self.format)


REQUEST_FIELDS = (
    "arrival",
    "input_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "class",
    "session_id",
    "id",
    "parent_id",
    "provider",
    "sample_weight",
    "block_ids",
    "block_tokens",
)
WINDOW_FIELDS = (
    "window_start",
    "window_end",
    "requests",
    "input_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
)
_FROM_0 = ("input_tokens", "cached_input_tokens", "cache_creation_input_tokens", "output_tokens", "requests")
_FROM_1 = ("sample_weight", "block_tokens")
_MOST = 2_147_483_647


def unknown_fields(formats: Collection[object], columns: Iterable[str], constants: Iterable[str]) -> list[str]:
    """A problem for each field that is not one of the formats."""
    known = WINDOW_FIELDS if "windows" in formats else REQUEST_FIELDS
    kind = next(iter(formats), "jsonl")
    return [
        f"{place}.{field}: is not a field of {kind}; use {', '.join(known)}"
        for place, fields in (("columns", columns), ("constants", constants))
        for field in sorted(fields)
        if field not in known
    ]


def listed(value: object) -> tuple:  # type: ignore[type-arg]
    """One or several, as several."""
    return value if isinstance(value, tuple) else (value,)


def text_of(value: Value) -> str:
    """A value of TOML as logs write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_path(path: str, field: str) -> None:
    """Raises ValueError for a path with more parts than are looked for."""
    if path.count(".") >= MOST_PARTS:
        raise ValueError(f"{field}: the path {path} has more than {MOST_PARTS} parts; give a shorter one")


def check_constant(field: str, value: str, name: str) -> None:
    """Raises ValueError for a value that the field cannot have. name: what it is called in messages."""
    least = 0 if field in _FROM_0 else 1 if field in _FROM_1 else None
    if least is not None and not (value.isascii() and value.isdigit() and least <= int(value[:12]) <= _MOST):
        raise ValueError(f'{name}: "{value}" is not a whole number from {least} to {_MOST}')
    if not value.strip():
        raise ValueError(f"{name}: is empty; give a value")


def load_mapping(path: Path) -> LogMapping:
    """A mapping of the user's own. Raises UsageError with every problem."""
    if not exists(path):
        cure = f'; "{path}" is shipped: use --format {path}' if str(path) in names(FOLDER) else ""
        raise UsageError(f"{path}: no such mapping; write one as TOML{cure}")
    mapping = _checked(path)
    if mapping.signatures:
        raise UsageError(f"{path}: signatures: is for mappings that are shipped; leave it out")
    return mapping


def _checked(path: Path) -> LogMapping:
    tree = read_toml(path)
    try:
        return LogMapping.model_validate(tree, context=FROM_FILE)
    except ValidationError as error:
        # what is checked as a whole is checked only where each value is valid by itself
        found = "; ".join(describe(error))
        more = [problem for problem in _unknown_in(tree) if problem not in found]
        raise UsageError(f"{path}: {'; '.join([found, *more])}") from error


def _unknown_in(tree: Mapping[str, object]) -> list[str]:
    """The fields of a mapping that its format does not have, though other parts of it may be invalid."""
    formats = tree.get("format")
    columns, constants = (tree.get(name) for name in ("columns", "constants"))
    return unknown_fields(
        formats if isinstance(formats, list) else [formats],
        columns if isinstance(columns, dict) else (),
        constants if isinstance(constants, dict) else (),
    )


@cache
def ready_mappings() -> Mapping[str, LogMapping]:
    """The mappings that are shipped, by name."""
    return {name: _checked(find(FOLDER, name)) for name in names(FOLDER)}
