"""Log formats: those that `sql/readers` describes, and detecting that of a file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

from planner.errors import TraceError, UsageError
from planner.files import shipped
from planner.store.staging import query_text
from planner.trace.imports import containers, documents, layout, tables
from planner.trace.imports.prometheus import CounterSpan, has_counter
from planner.trace.imports.unpacking import Log

AUTO = "auto"
_NO_HEADER = "its first line has values instead of names; add a header, as COPY ... WITH (HEADER) does"
Container = Literal["csv", "json", "parquet", "folder", "url"]
"""What a reader takes; Arrow files are taken as Parquet files are."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A log format: a query in `sql/readers` and what its files look like.

    record: what the query gets of a row, its columns or its whole JSON text. columns are required, optional ones not.
    signatures: sets of JSON keys, one of which a record at the beginning must have. envelopes: JSON keys that a list of
    records, or one, may lie under. block_tokens: size of its prefix blocks, if
    it has any. demand: whether its rows are windows of demand instead of requests. metrics: field -> counter of a
    monitoring system.
    """

    name: str
    description: str
    query: str
    containers: tuple[Container, ...]
    record: Literal["columns", "text"] = "columns"
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    signatures: tuple[tuple[str, ...], ...] = ()
    envelopes: tuple[str, ...] = ()
    block_tokens: int | None = None
    demand: bool = False
    metrics: Mapping[str, str] | None = None

    @cached_property
    def takes_any_time(self) -> bool:
        """Whether its times may be numbers, in a unit that the file does not tell."""
        return "$unit_ns" in query_text(self.query)

    @cached_property
    def takes_texts(self) -> bool:
        """Whether its times may be texts."""
        return "arrival_micros" in query_text(self.query)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names that --column may map."""
        return (*self.columns, *self.optional)


@cache
def readers() -> dict[str, Reader]:
    """Every format by name."""
    by_name = {}
    for path in sorted((shipped("sql") / "readers").glob("*.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        data |= {key: tuple(data[key]) for key in ("containers", "columns", "optional", "envelopes") if key in data}
        data["signatures"] = tuple(tuple(keys) for keys in data.get("signatures", [data.get("columns", ())]))
        by_name[path.stem] = Reader(name=path.stem, **data)
    return by_name


def reader_of(name: str, logs: Sequence[Log], columns: Mapping[str, str]) -> Reader:
    """The reader of a name, or for "auto" the one that matches all files. Raises UsageError, TraceError."""
    if name != AUTO:
        if name not in readers():
            raise UsageError(f'no format "{name}"; use {AUTO} or one of {", ".join(readers())}')
        return readers()[name]
    sniffed = {log: _sniffed(log, columns) for log in logs}
    first = sniffed[logs[0]]
    for log, reader in sniffed.items():
        if reader is not first:
            raise TraceError(f"{logs[0]} is {first.name} and {log} is {reader.name}; import them as two traces")
    return first


def counter_reader(name: str, url: str, span: CounterSpan) -> Reader:
    """The reader of a server's counters, for "auto" the one whose counters it has. Raises UsageError, TraceError."""
    counters = {reader.name: reader.metrics["input_tokens"] for reader in readers().values() if reader.metrics}
    if name != AUTO:
        if name not in counters:
            raise UsageError(f"{url}: is a server, and {name} reads files; use one of {', '.join(counters)}")
        counters = {name: counters[name]}
    counting = [format_name for format_name, metric in counters.items() if has_counter(url, metric, span)]
    if len(counting) > 1:
        raise TraceError(f"{url}: has counters of {' and '.join(counting)}; say which with --format")
    if not counting:
        raise TraceError(
            f"{url}: has no {' or '.join(counters.values())} from --from to --to; check the times and the --selector"
        )
    return readers()[counting[0]]


def why_empty(log: Log) -> str | None:
    """What to say of a log without rows; None where it has some. Raises TraceError for what no log is."""
    if log.path.is_dir():
        return None
    kind, head = layout.kind_of(log)
    if not head.strip():
        return "is empty"
    if kind == "csv":
        return "has no row below its header" if layout.is_header_alone(log) else None
    if kind == "json":
        some = len(head) >= layout.HEAD_BYTES or bool(documents.first_rows(log, _all_envelopes()))
    else:
        some = tables.has_rows(log, kind)
    return None if some else "has no row"


def _all_envelopes() -> tuple[str, ...]:
    return tuple({key for reader in readers().values() for key in reader.envelopes})


def _sniffed(log: Log, columns: Mapping[str, str]) -> Reader:
    """The format that a log matches; one that requires all that another does, and more, takes precedence.

    Records that match no format are passed over, as long as one at the beginning does.
    """
    if log.path.is_dir():
        container: Container = "folder"
        records = [frozenset[str]()]
    else:
        container, records = _shape(log)
    for names in records:
        best = _matching(container, names, columns)
        if len(best) == 1:
            return best[0]
        if best:
            raise TraceError(f"{log}: may be {' or '.join(reader.name for reader in best)}; say which with --format")
    names = records[0] if records else frozenset()
    has = f" (it has {containers.shown(sorted(names))})" if names else ""
    if container == "csv" and layout.without_names(sorted(names)):
        raise TraceError(f"{log}: is not a known log format{has}: {_NO_HEADER}")
    raise TraceError(
        f"{log}: is not a known log format{has}; give --format, and for csv and parquet --column FIELD=NAME"
    )


def _matching(container: Container, names: frozenset[str], columns: Mapping[str, str]) -> list[Reader]:
    """The most demanding formats that a record, or a table, with these names may have."""
    matches: dict[str, frozenset[str]] = {}
    for reader in readers().values():
        if container not in reader.containers:
            continue
        wanted = [frozenset(columns.get(key, key) for key in keys) for keys in reader.signatures]
        fits = [keys for keys in wanted if keys <= names]
        if fits:
            matches[reader.name] = max(fits, key=len)
    return [readers()[name] for name, keys in matches.items() if not any(keys < others for others in matches.values())]


def _shape(log: Log) -> tuple[Container, list[frozenset[str]]]:
    """The layout of a log, and the names of its columns, or of the keys of its first records. Raises TraceError."""
    kind, _ = layout.kind_of(log)
    if kind == "json":
        return kind, _keys(documents.first_records(log)) + _keys(documents.first_records(log, _all_envelopes()))
    if kind == "csv":
        return kind, [frozenset(layout.dialect_of(log).names)]
    return "parquet", [frozenset(tables.columns_of(log, kind))]


def _keys(records: Sequence[str]) -> list[frozenset[str]]:
    objects = (json.loads(text, parse_int=str, parse_float=str) for text in records if text.startswith("{"))
    return [frozenset(entry) for entry in objects]


def check_columns(log: Log, reader: Reader, there: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """Field -> column of a file, missing optional ones too. Raises TraceError where a required one is missing."""
    sources = {name: mapped.get(name, name) for name in reader.fields}
    missing = [source for name, source in sources.items() if source not in there and name in (*reader.columns, *mapped)]
    if missing:
        cure = "map it with --column FIELD=NAME" if reader.optional else "check the file, or give another --format"
        cure = _NO_HEADER if layout.without_names(there) else cure
        raise TraceError(f"{log}: has no column {', '.join(missing)} (it has {containers.shown(there)}); {cure}")
    return sources


def check_container(log: Log, reader: Reader) -> Container:
    """The layout of the file, as this reader takes it. Raises TraceError where it takes no such file."""
    if log.path.is_dir():
        if "folder" not in reader.containers:
            raise TraceError(f"{log}: is a folder, and {reader.name} reads files; check the --format")
        return "folder"
    if reader.containers in (("folder",), ("url",)):
        wanted = "folders" if reader.containers == ("folder",) else "a server: give its address"
        raise TraceError(f"{log}: is a file, and {reader.name} reads {wanted}")
    kind, _ = layout.kind_of(log)
    if reader.containers == ("json",):
        _check_signature(log, reader)
        return "json"
    if len(reader.containers) == 1:
        return reader.containers[0]
    container = "parquet" if kind == "arrow" else kind
    if container not in reader.containers:
        raise TraceError(f"{log}: is {kind}, and {reader.name} reads {' or '.join(reader.containers)}")
    if container == "json" and reader.record == "text":
        _check_signature(log, reader)
    return container


def _check_signature(log: Log, reader: Reader) -> None:
    head = documents.head_with_record(log)
    missing = min(
        ([key for key in keys if f'"{key}"'.encode() not in head] for keys in reader.signatures),
        key=len,
    )
    if missing:
        raise TraceError(
            f"{log}: is not {reader.name}: its beginning has no {', '.join(missing)}; "
            "check the file, or give another --format"
        )


def check_times(reader: Reader, time_unit: str | None, time_format: str | None) -> None:
    """Raises UsageError where --time-unit or --time-format is stated for a format whose times have one of their own."""
    if time_unit and not reader.takes_any_time:
        raise UsageError(
            f"--time-unit {time_unit}: the times of format {reader.name} have a unit of their own; leave it out"
        )
    if time_format and not reader.takes_texts:
        raise UsageError(f'--time-format "{time_format}": the times of format {reader.name} are numbers; leave it out')
    if time_unit and time_format:
        raise UsageError("--time-unit is for times that are numbers and --time-format for all others; give one of them")


def check_mapping(reader: Reader, columns: Mapping[str, str]) -> None:
    """Raises UsageError where --column names fields that the format does not have."""
    unknown = sorted(set(columns) - set(reader.fields))
    if unknown or (columns and reader.record == "text"):
        has = f"has the fields {', '.join(reader.fields)}" if reader.record == "columns" else "has no columns"
        raise UsageError(f"--column {', '.join(unknown or columns)}: format {reader.name} {has}")
