"""Handing a log file to the query of its reader, whatever its layout."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from planner.store.staging import Staging
from planner.trace.imports import containers
from planner.trace.imports import readers as formats
from planner.trace.imports.batches import schema_of
from planner.trace.imports.job import ImportOptions, params_of
from planner.trace.imports.readers import Reader


def parse(stage: Staging, index: int, path: Path, reader: Reader, options: ImportOptions) -> None:
    """Hand a file to the reader's query. index: of the file among those of the import. Raises TraceError."""
    params = params_of(options)
    container = formats.check_container(path, reader)
    by_text = reader.record == "text"
    if container == "parquet":
        names = containers.parquet_columns(path)
        columns = {} if by_text else formats.check_columns(path, reader, names, options.columns)
        stage.parse_parquet(reader.query, index, path, params, columns)
    elif container == "json":
        stage.parse(reader.query, index, containers.json_batches(path), params, () if by_text else reader.fields)
    else:
        columns = formats.check_columns(path, reader, containers.csv_columns(path), options.columns)
        batches = _renamed(containers.csv_batches(path), columns)
        stage.parse(reader.query, index, batches, params)


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
