"""Handing a log to the query of its reader, whatever its layout."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from planner.store.staging import Staging
from planner.trace.imports import containers, layout, tables
from planner.trace.imports import readers as formats
from planner.trace.imports.batches import schema_of
from planner.trace.imports.job import ImportOptions, params_of
from planner.trace.imports.readers import Reader
from planner.trace.imports.unpacking import Log


def parse(stage: Staging, index: int, log: Log, reader: Reader, options: ImportOptions) -> None:
    """Hand a log to the reader's query. index: of the log among those of the import. Raises TraceError."""
    params = params_of(options)
    container = formats.check_container(log, reader)
    by_text = reader.record == "text"
    if container == "parquet":
        kind: layout.Kind = "arrow" if layout.kind_of(log)[0] == "arrow" else "parquet"
        names = tables.columns_of(log, kind)
        columns = {} if by_text else formats.check_columns(log, reader, names, options.columns)
        path = tables.as_parquet(log, kind, stage.folder, index)
        stage.parse_parquet(reader.query, index, path, params, columns, name=str(log))
    elif container == "json":
        batches = containers.json_batches(log, reader.envelopes)
        stage.parse(reader.query, index, batches, params, () if by_text else reader.fields)
    else:
        columns = formats.check_columns(log, reader, layout.dialect_of(log).names, options.columns)
        stage.parse(reader.query, index, _renamed(containers.csv_batches(log), columns), params)


def _renamed(batches: Iterator[pa.RecordBatch], columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The batches with the columns named as the reader's query expects them."""
    schema = schema_of(list(columns))
    for batch in batches:
        names = batch.schema.names
        arrays = [
            batch.column(source) if source in names else pa.nulls(batch.num_rows, pa.string())
            for source in columns.values()
        ]
        yield pa.record_batch([batch.column("line"), batch.column("fault"), *arrays], schema=schema)
