"""Log formats: those that `sql/readers` describes, and detecting that of a file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from planner.errors import TraceError, UsageError
from planner.files import shipped
from planner.store.staging import query_text
from planner.trace.imports import containers
from planner.trace.imports.prometheus import CounterSpan, has_counter
from planner.trace.imports.sources import head_of

AUTO = "auto"
_HEAD_BYTES = 1 << 20

Container = Literal["csv", "json", "parquet", "folder", "url"]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A log format: a query in `sql/readers` and what its files look like.

    record: what the query gets of a row, its columns or its whole JSON text. columns are required, optional ones not.
    signatures: sets of JSON keys, one of which the first record must have. block_tokens: size of its prefix blocks, if
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
    block_tokens: int | None = None
    demand: bool = False
    metrics: Mapping[str, str] | None = None

    @cached_property
    def takes_any_time(self) -> bool:
        """Whether its times may be numbers, in a unit that the file does not tell."""
        return "$unit_ns" in query_text(self.query)

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
        data |= {key: tuple(data[key]) for key in ("containers", "columns", "optional") if key in data}
        data["signatures"] = tuple(tuple(keys) for keys in data.get("signatures", [data.get("columns", ())]))
        by_name[path.stem] = Reader(name=path.stem, **data)
    return by_name


def reader_of(name: str, paths: Sequence[Path], columns: Mapping[str, str]) -> Reader:
    """The reader of a name, or for "auto" the one that matches all files. Raises UsageError, TraceError."""
    if name != AUTO:
        if name not in readers():
            raise UsageError(f'no format "{name}"; use {AUTO} or one of {", ".join(readers())}')
        return readers()[name]
    sniffed = {path: _sniffed(path, columns) for path in paths}
    first = sniffed[paths[0]]
    for path, reader in sniffed.items():
        if reader is not first:
            raise TraceError(f"{paths[0]} is {first.name} and {path} is {reader.name}; import them as two traces")
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


def _sniffed(path: Path, columns: Mapping[str, str]) -> Reader:
    """The format that a file matches; one that requires all that another does, and more, takes precedence."""
    container, names = _shape(path)
    matches: dict[str, frozenset[str]] = {}
    for reader in readers().values():
        if container not in reader.containers:
            continue
        wanted = [frozenset(columns.get(key, key) for key in keys) for keys in reader.signatures]
        fits = [keys for keys in wanted if keys <= names]
        if fits:
            matches[reader.name] = max(fits, key=len)
    best = [name for name, keys in matches.items() if not any(keys < others for others in matches.values())]
    if len(best) == 1:
        return readers()[best[0]]
    if best:
        raise TraceError(f"{path}: may be {' or '.join(best)}; say which with --format")
    has = f" (it has {containers.shown(sorted(names))})" if names else ""
    raise TraceError(
        f"{path}: is not a known log format{has}; give --format, and for csv and parquet --column FIELD=NAME"
    )


def _shape(path: Path) -> tuple[Container, frozenset[str]]:
    """The layout of a log, and the names of its columns or of the keys of its first record. Raises TraceError."""
    if path.is_dir():
        return "folder", frozenset()
    head = head_of(path, _HEAD_BYTES)
    container = containers.kind(head)
    if container == "parquet":
        return container, frozenset(containers.parquet_columns(path))
    if container == "json":
        return container, _first_keys(head)
    return container, frozenset(containers.csv_columns(path))


def _first_keys(head: bytes) -> frozenset[str]:
    text = head.decode("utf-8-sig", "replace").lstrip().removeprefix("[").lstrip()
    try:
        first, _ = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text)
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(first) if isinstance(first, dict) else frozenset()


def check_columns(path: Path, reader: Reader, there: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """Field -> column of a file, missing optional ones too. Raises TraceError where a required one is missing."""
    sources = {name: mapped.get(name, name) for name in reader.fields}
    missing = [source for name, source in sources.items() if source not in there and name in (*reader.columns, *mapped)]
    if missing:
        cure = "map it with --column FIELD=NAME" if reader.optional else "check the file, or give another --format"
        raise TraceError(f"{path}: has no column {', '.join(missing)} (it has {containers.shown(there)}); {cure}")
    return sources


def check_container(path: Path, reader: Reader) -> Container:
    """The layout of the file, as this reader takes it. Raises TraceError where it takes no such file."""
    if path.is_dir():
        if "folder" not in reader.containers:
            raise TraceError(f"{path}: is a folder, and {reader.name} reads files; check the --format")
        return "folder"
    if reader.containers in (("folder",), ("url",)):
        wanted = "folders" if reader.containers == ("folder",) else "a server: give its address"
        raise TraceError(f"{path}: is a file, and {reader.name} reads {wanted}")
    head = head_of(path, _HEAD_BYTES)
    if reader.containers == ("json",):
        _check_signature(path, reader, head)
        return "json"
    if len(reader.containers) == 1:
        return reader.containers[0]
    container = containers.kind(head)
    if container not in reader.containers:
        raise TraceError(f"{path}: is {container}, and {reader.name} reads {' or '.join(reader.containers)}")
    if container == "json" and reader.record == "text":
        _check_signature(path, reader, head)
    return container


def _check_signature(path: Path, reader: Reader, head: bytes) -> None:
    missing = min(
        ([key for key in keys if f'"{key}"'.encode() not in head] for keys in reader.signatures),
        key=len,
    )
    if missing:
        raise TraceError(
            f"{path}: is not {reader.name}: its beginning has no {', '.join(missing)}; "
            "check the file, or give another --format"
        )


def check_unit(reader: Reader, time_unit: str | None) -> None:
    """Raises UsageError where --time-unit is stated for a format whose times have a unit of their own."""
    if time_unit and not reader.takes_any_time:
        raise UsageError(
            f"--time-unit {time_unit}: the times of format {reader.name} have a unit of their own; leave it out"
        )


def check_mapping(reader: Reader, columns: Mapping[str, str]) -> None:
    """Raises UsageError where --column names fields that the format does not have."""
    unknown = sorted(set(columns) - set(reader.fields))
    if unknown or (columns and reader.record == "text"):
        has = f"has the fields {', '.join(reader.fields)}" if reader.record == "columns" else "has no columns"
        raise UsageError(f"--column {', '.join(unknown or columns)}: format {reader.name} {has}")
