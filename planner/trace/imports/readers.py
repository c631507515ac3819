"""Log formats: those that `sql/readers` describes, and detecting that of a file."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Literal

from planner.errors import TraceError, UsageError
from planner.files import shipped
from planner.store.fields import addends, in_columns
from planner.store.staging import query_text
from planner.trace.imports import containers, documents, layout, paths, tables
from planner.trace.imports.counters import NEEDED, OWN, CounterNames, shipped_names
from planner.trace.imports.mapping import LogMapping, listed, ready_mappings
from planner.trace.imports.prometheus import CounterSpan, Server, has_counter
from planner.trace.imports.unpacking import Log
from planner.trace.imports.usage_pages import check_known

AUTO = "auto"
NO_HEADER = "its first line has values instead of names; add a header, as COPY ... WITH (HEADER) does"
Container = Literal["csv", "json", "parquet", "folder", "url"]
"""What a reader takes; Arrow files are taken as Parquet files are."""


_ANY_LOG: Mapping[Container, str] = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
"""The format that reads any columns of a file."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A log format: a query in `sql/readers` and what its files look like.

    record: what the query gets of a row, its columns or its whole JSON text. columns are required, optional ones not.
    signatures: sets of JSON keys, one of which a record at the beginning must have. envelopes: JSON keys that a list of
    records, or one, may lie under. mapping: where its fields are, if it is a mapping that is shipped. block_tokens:
    size of its prefix blocks, if it has any. time_unit: of its times, where that is usual. told_by_rows: whether both
    are only what is usual, and all rows together tell them. demand: whether its rows are windows of demand instead of
    requests. metrics: field -> counters of a monitoring system. cached: whether the format tells where cached tokens
    lie, inside the input or outside; "usual" where that is inside but for some rows, which tell by exceeding it; None
    where it has none. times_in: zone of times without an offset as the format's own writer writes them, where that is
    known. named: field -> its usual column where that has another name, or several.
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
    mapping: LogMapping | None = None
    block_tokens: int | None = None
    time_unit: str | None = None
    told_by_rows: bool = False
    demand: bool = False
    metrics: Mapping[str, Sequence[str]] | None = None
    cached: Literal["told", "usual", "untold"] | None = None
    times_in: str | None = None
    named: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def takes_any_time(self) -> bool:
        """Whether its times may be numbers, in a unit that the file does not tell."""
        return self.told_by_rows or "$unit_ns" in query_text(self.query)

    @property
    def counters(self) -> CounterNames:
        """The counters of a monitoring system that tell its fields."""
        assert self.metrics is not None
        return shipped_names(self.name, self.metrics)

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
        data["named"] = {
            field: tuple(names) if isinstance(names, list) else names for field, names in data.get("named", {}).items()
        }
        data["signatures"] = tuple(tuple(keys) for keys in data.get("signatures", [data.get("columns", ())]))
        by_name[path.stem] = Reader(name=path.stem, **data)
    return by_name | {name: _of_mapping(name, mapping, by_name) for name, mapping in ready_mappings().items()}


def _of_mapping(name: str, mapping: LogMapping, by_name: Mapping[str, Reader]) -> Reader:
    """The reader of a mapping that is shipped."""
    bases = [by_name[base] for base in mapping.formats]
    return replace(
        bases[0],
        name=name,
        description=mapping.description,
        containers=tuple(dict.fromkeys(container for base in bases for container in base.containers)),
        signatures=mapping.signatures,
        envelopes=listed(mapping.records),
        cached="told" if mapping.cached else bases[0].cached,
        mapping=mapping,
    )


def reader_of_mapping(mapping: LogMapping, log: Log) -> Reader:
    """The reader of the user's own mapping: of its formats the one that takes the log. Raises TraceError."""
    bases = [readers()[base] for base in mapping.formats]
    kind, _ = layout.kind_of(log)
    container = "parquet" if kind == "arrow" else kind
    return next((base for base in bases if container in base.containers), bases[0])


def reader_of(
    name: str, logs: Sequence[Log], columns: Mapping[str, str | tuple[str, ...]], constants: Collection[str] = ()
) -> Reader:
    """The reader of a name, or for "auto" the one that matches all files. Raises UsageError, TraceError.

    columns: field -> column or path. constants: fields that the log need not have.
    """
    if name != AUTO:
        if name not in readers():
            raise UsageError(f'no format "{name}"; use {AUTO} or one of {", ".join(readers())}')
        return readers()[name]
    sniffed = {log: _sniffed(log, columns, constants) for log in logs}
    first = sniffed[logs[0]]
    for log, reader in sniffed.items():
        if reader is not first:
            raise TraceError(f"{logs[0]} is {first.name} and {log} is {reader.name}; import them as two traces")
    return first


def counter_reader(name: str, server: Server, span: CounterSpan, own: Collection[str]) -> Reader:
    """The reader of a server's counters, for "auto" the one whose counters it has. Raises UsageError, TraceError.

    own: fields whose counters the user names.
    """
    counting = {reader.name: reader for reader in readers().values() if reader.metrics}
    if name != AUTO:
        if name not in counting:
            raise UsageError(f"{server.shown}: is a server, and {name} reads files; use one of {', '.join(counting)}")
        return counting[name]
    fields = [field for field in NEEDED if field not in own]
    if not fields:
        return counting[OWN]
    found = [
        reader
        for reader in counting.values()
        if any(has_counter(server, counter, span) for counter in reader.counters.counters(fields))
    ]
    if len(found) > 1:
        both = " and ".join(reader.name for reader in found)
        raise TraceError(f"{server.shown}: has counters of {both}; say which with --format")
    if not found:
        firsts = [next(reader.counters.counters(fields), None) for reader in counting.values()]
        names = " or ".join(counter.names[0] for counter in firsts if counter)
        raise TraceError(
            f"{server.shown}: has no {names} from --from to --to; check the times and the --selector, or name "
            "counters of your own with --metric"
        )
    return found[0]


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


@dataclass(frozen=True)
class _Shape:
    """What is told of a log by its beginning: names that one of its records has.

    record: a JSON record, or the columns of a table as its keys. is_table: whether what is inside them is not known.
    is_inside: whether it is in an envelope that no format is known for.
    """

    record: paths.Record
    is_table: bool = False
    is_inside: bool = False

    def has(self, path: str, reader: Reader) -> bool:
        """Whether something is at a path; a shipped mapping means no text that has to be looked into."""
        if self.is_table and reader.mapping is None:
            return in_columns(path, list(self.record)) is not None
        return path in self.record if self.is_table else paths.has_path(self.record, path)


def _sniffed(log: Log, columns: Mapping[str, str | tuple[str, ...]], constants: Collection[str]) -> Reader:
    """The format that a log matches; one that requires all that another does, and more, takes precedence.

    Records that match no format are passed over, as long as one at the beginning does.
    """
    container, shapes = _shapes(log)
    for shape in shapes:
        best = _matching(container, shape, columns, constants)
        if len(best) == 1:
            return best[0]
        if best:
            raise TraceError(f"{log}: may be {' or '.join(reader.name for reader in best)}; say which with --format")
    if container == "json":
        documents.check_first_record(log)
    names = sorted(shapes[0].record) if shapes else []
    check_known(log, names)
    has = f" (it has {containers.shown(names)})" if names else ""
    if container == "csv" and layout.without_names(names):
        raise TraceError(f"{log}: is not a known log format{has}: {NO_HEADER}")
    if columns and container in _ANY_LOG:
        base = readers()[_ANY_LOG[container]]
        absent = [
            path
            for each in columns.values()
            for path in listed(each)
            if not any(shape.has(part, base) for shape in shapes for part in addends(path))
        ]
        nothing = f", and nothing at {', '.join(absent)}" if absent else ""
        raise TraceError(
            f"{log}: is not a known log format{has}{nothing}; --format {base.name} reads any columns that --column "
            "names"
        )
    raise TraceError(
        f"{log}: is not a known log format{has}; give --format, and for csv, jsonl and parquet --column FIELD=NAME"
    )


def _matching(
    container: Container,
    shape: _Shape,
    columns: Mapping[str, str | tuple[str, ...]],
    constants: Collection[str],
) -> list[Reader]:
    """The most demanding formats that a record, or a table, may have."""
    matches: dict[str, frozenset[str]] = {}
    for reader in readers().values():
        if container not in reader.containers or (shape.is_inside and reader.record == "text"):
            continue
        wanted = [[listed(columns.get(key, key)) for key in keys if key not in constants] for keys in reader.signatures]
        fits = [
            frozenset(" or ".join(places) for places in keys)
            for keys in wanted
            if all(any(shape.has(path, reader) for path in places) for places in keys)
        ]
        if fits:
            matches[reader.name] = max(fits, key=len)
    return [readers()[name] for name, keys in matches.items() if not any(keys < others for others in matches.values())]


def _shapes(log: Log) -> tuple[Container, list[_Shape]]:
    """The layout of a log, and what its first records have. Raises TraceError."""
    if log.path.is_dir():
        return "folder", [_Shape({})]
    kind, _ = layout.kind_of(log)
    if kind == "json":
        records = paths.parsed(documents.first_records(log))
        unpacked = paths.parsed(documents.first_records(log, _all_envelopes()))
        inside = [
            _Shape(each, is_inside=True)
            for record in records[:1]
            for _, some in paths.lists_in(record)
            for each in some
        ]
        return kind, [*map(_Shape, records), *map(_Shape, unpacked), *inside]
    if kind == "csv":
        return kind, [_Shape(dict.fromkeys(layout.dialect_of(log).names), is_table=True)]
    return "parquet", [_Shape(dict.fromkeys(tables.paths_in(log, kind)), is_table=True)]


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
    if reader.containers == ("json",) and reader.record == "text":
        _check_signature(log, reader)
        return "json"
    if reader.containers in (("csv",), ("parquet",)):
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
        documents.check_first_record(log)
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


def check_cached(reader: Reader, cached: str | None) -> None:
    """Raises UsageError where --cached is stated for a format that leaves nothing to state."""
    if cached and reader.cached in (None, "told"):
        why = "tells where they lie" if reader.cached else "has no cached tokens"
        raise UsageError(f"--cached {cached}: format {reader.name} {why}; leave it out")


def check_mapping(reader: Reader, columns: Collection[str], option: str = "--column") -> None:
    """Raises UsageError where an option names fields that the format does not have."""
    known = reader.fields
    unknown = sorted(set(columns) - set(known))
    if unknown or (columns and reader.record == "text"):
        has = f"has the fields {', '.join(known)}" if reader.record == "columns" else "has no columns"
        raise UsageError(f"{option} {', '.join(sorted(unknown or columns))}: format {reader.name} {has}")


def check_where(reader: Reader, where: Collection[str]) -> None:
    """Raises UsageError where --where is given for a format whose rows are not the records of its files."""
    if where and (reader.record == "text" or reader.containers in (("folder",), ("url",))):
        raise UsageError(
            f"--where {', '.join(where)}: format {reader.name} has no columns to tell rows by; leave it out, or give "
            "--format jsonl with --column FIELD=PATH"
        )
