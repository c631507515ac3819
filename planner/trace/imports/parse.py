"""Handing a log to the query of its reader, whatever its layout."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.errors import TraceError
from planner.store.fields import Fields, JsonSource, addends, in_columns, of_columns, of_json, placed
from planner.store.staging import Staging
from planner.trace.imports import containers, documents, layout, paths, rules, tables
from planner.trace.imports import readers as formats
from planner.trace.imports.job import ImportOptions, params_of
from planner.trace.imports.readers import Reader
from planner.trace.imports.unpacking import Log
from planner.units import Progress

_STEPS = 1000
"""Of progress in a log."""


def parse_all(
    stage: Staging, logs: Sequence[Log], reader: Reader, options: ImportOptions, progress: Progress | None = None
) -> None:
    """Hand logs to the reader's query, one after the other. Raises TraceError.

    progress: called as they are read, each of them as much of the whole as the others; not within one that DuckDB reads
    itself, as Parquet.
    """
    for index, log in enumerate(logs):
        parse(stage, index, log if progress is None else _watched(log, index, len(logs), progress), reader, options)


def _watched(log: Log, index: int, count: int, progress: Progress) -> Log:
    def watch(share: float) -> None:
        progress(round(_STEPS * (index + share)), _STEPS * count)

    return replace(log, watch=watch)


def parse(stage: Staging, index: int, log: Log, reader: Reader, options: ImportOptions) -> None:
    """Hand a log to the reader's query. index: of the log among those of the import. Raises TraceError."""
    container = formats.check_container(log, reader)
    fields = None if reader.record == "text" else rules.fields_of(reader, options)
    if container == "parquet":
        _parse_table(stage, index, log, reader, options, fields)
    elif container == "json":
        _parse_json(stage, index, log, reader, options, fields)
    else:
        assert fields is not None
        names = layout.dialect_of(log).names
        rules.check_fields(log, reader, options, lambda path: in_columns(path, names) is not None, names)
        batches = map(placed, containers.csv_batches(log))
        stage.parse(reader.query, index, batches, params_of(options), of_columns(fields, names))


def _parse_table(
    stage: Staging, index: int, log: Log, reader: Reader, options: ImportOptions, fields: Fields | None
) -> None:
    kind: layout.Kind = "arrow" if layout.kind_of(log)[0] == "arrow" else "parquet"
    names = tables.columns_of(log, kind)
    containers.check_names(log, names)
    if fields is not None:
        rules.check_fields(log, reader, options, lambda path: tables.has_path(log, kind, path), names)
    path = tables.as_parquet(log, kind, stage.folder, index)
    stage.parse_parquet(reader.query, index, path, params_of(options), fields, name=str(log), columns=names)


def _parse_json(
    stage: Staging, index: int, log: Log, reader: Reader, options: ImportOptions, fields: Fields | None
) -> None:
    envelopes = options.records or reader.envelopes
    source: str | JsonSource = "lines"
    if fields is not None:
        envelopes = _envelopes(log, reader, options)
        _check_json(log, reader, options, envelopes)
        source = of_json(fields)
    try:
        stage.parse(reader.query, index, containers.json_batches(log, envelopes), params_of(options), source)
    except MemoryError as error:
        raise TraceError(
            f"{log}: has records too large to be taken apart in memory; save its records one a line, or in several "
            "smaller files"
        ) from error


def _envelopes(log: Log, reader: Reader, options: ImportOptions) -> tuple[str, ...]:
    """The keys under which the records of a log are. Raises TraceError where several may be, and none is told."""
    if options.records:
        return options.records
    records = paths.parsed(documents.first_records(log))
    wanted = [rules.paths_of(field, reader, options) for field in reader.columns if field not in options.constants]

    def fits(record: paths.Record) -> bool:
        return all(
            any(rules.has(record, part, options) for path in places for part in addends(path)) for places in wanted
        )

    found = paths.envelopes_of(records, fits)
    if len(found) > 1:
        each = " ".join(f"--records {path}" for path in found[:2])
        raise TraceError(
            f"{log}: has records under {len(found):,} keys ({containers.shown(found)}); say which are meant with "
            f"--records, given again for each: {each}"
        )
    return reader.envelopes or found


def _check_json(log: Log, reader: Reader, options: ImportOptions, envelopes: tuple[str, ...]) -> None:
    """Raises TraceError where the first records have nothing of what is needed, or was named."""
    texts = documents.first_records(log)
    if options.records and not any(documents.unwrapped(text, options.records) is not None for text in texts):
        shown = containers.shown(paths.names_of(paths.parsed(texts)))
        raise TraceError(
            f"{log}: has no records under {' or '.join(options.records)} (it has {shown}); correct the key"
        )
    records = paths.parsed(documents.first_records(log, envelopes))
    if not records:
        documents.check_first_record(log)
    else:
        there = paths.names_of(records)
        rules.check_fields(
            log, reader, options, lambda path: any(rules.has(record, path, options) for record in records), there
        )


def has_in(log: Log, reader: Reader, options: ImportOptions) -> Callable[[str], bool]:
    """Whether a log has something at a path, as far as its beginning tells. Raises TraceError."""
    kind, _ = layout.kind_of(log)
    if kind == "csv":
        names = layout.dialect_of(log).names
        return lambda path: in_columns(path, names) is not None
    if kind != "json":
        return lambda path: tables.has_path(log, kind, path)
    envelopes = _envelopes(log, reader, options)
    records = paths.parsed(documents.first_records(log, envelopes))
    return lambda path: any(rules.has(record, path, options) for record in records)
