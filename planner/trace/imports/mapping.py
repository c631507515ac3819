"""Mappings: how the rows of a log become requests, as TOML; those that are shipped, and a user's own."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from planner.catalogue.read import describe, find, names, read_toml
from planner.errors import UsageError
from planner.settings.closed import Closed, valid_zone
from planner.store.fields import MOST_PARTS
from planner.trace.imports.times import check_time_format

FOLDER = "mappings"
Base = Literal["csv", "jsonl", "parquet", "windows"]
Text = Annotated[str, Field(min_length=1)]
Value = bool | int | float | str
Lists = Annotated[tuple[Text, ...], Field(min_length=1)]


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
    and of tokens the largest. "a + b" is the sum of two. Tokens of which one is told and no number refuse the row."""
    constants: dict[str, Value] = Field(default_factory=dict)
    """Field -> its value in every row."""
    where: dict[str, Value | Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Column, or path -> the value, or the list of values, of rows that are read; all others are left out."""
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
    signatures: tuple[Lists, ...] = ()
    """Shipped mappings: sets of paths, one of which the records of such a log have, so that it is recognised."""

    @field_validator("timezone")
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
    def _one_source_each(self) -> "LogMapping":
        twice = sorted(set(self.columns) & set(self.constants))
        if twice:
            raise ValueError(f"{', '.join(twice)} is in columns and in constants; leave one out")
        if (self.each or self.records) and not {"jsonl", "windows"} & set(listed(self.format)):
            raise ValueError('records and each are for JSON; set format = "jsonl"')
        if self.time_unit and self.time_format:
            raise ValueError("time_unit is for times that are numbers and time_format for all others; leave one out")
        if self.times_from_first and not self.each:
            raise ValueError("times_from_first is for arrivals in a list; name the list with each")
        formats = listed(self.format)
        if "windows" in formats and len(formats) > 1:
            raise ValueError("format: windows is for demand per window, and the others for requests; name one kind")
        known: tuple[str, ...] = WINDOW_FIELDS if "windows" in formats else REQUEST_FIELDS
        for place, fields in (("columns", self.columns), ("constants", self.constants)):
            if unknown := sorted(set(fields) - set(known)):
                raise ValueError(f"{place}.{unknown[0]}: is not a field of {formats[0]}; use {', '.join(known)}")
        for field, value in self.constants.items():
            check_constant(field, text_of(value), f"constants.{field}")
        return self

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
    if not path.is_file():
        cure = f'; "{path}" is shipped: use --format {path}' if str(path) in names(FOLDER) else ""
        raise UsageError(f"{path}: no such mapping; write one as TOML{cure}")
    mapping = _checked(path)
    if mapping.signatures:
        raise UsageError(f"{path}: signatures: is for mappings that are shipped; leave it out")
    return mapping


def _checked(path: Path) -> LogMapping:
    try:
        return LogMapping.model_validate(read_toml(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}") from error


@cache
def ready_mappings() -> Mapping[str, LogMapping]:
    """The mappings that are shipped, by name."""
    return {name: _checked(find(FOLDER, name)) for name in names(FOLDER)}
