"""Tables with typed columns: Parquet, which is read in place, and Arrow, which is turned into Parquet first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from planner.drafts import import_folder
from planner.errors import TraceError
from planner.trace.imports.layout import Kind
from planner.trace.imports.unpacking import Log, LogStream, check_room

_FAULTS = (pa.ArrowException, OSError, UnicodeDecodeError, ValueError, MemoryError)
_ROW_NUMBERS = "file_row_number"
_NAMES = {"parquet": "a Parquet file", "arrow": "an Arrow file"}


def columns_of(log: Log, kind: Kind) -> list[str]:
    """The column names of a table. Raises TraceError."""
    with _plain(log) as path, _translated(log, kind):
        if kind == "parquet":
            return list(pq.read_schema(path).names)
        with _arrow_reader(path) as (schema, _):
            return list(schema.names)


def paths_in(log: Log, kind: Kind) -> list[str]:
    """The paths of all columns and what is inside them, as far as the schema tells. Raises TraceError."""
    return list(_paths(_schema_of(log, kind), ""))


def _paths(kind: pa.DataType, above: str) -> Iterator[str]:
    for place in range(kind.num_fields) if pa.types.is_struct(kind) else ():
        path = f"{above}{kind.field(place).name}"
        yield path
        yield from _paths(kind.field(place).type, f"{path}.")


def has_path(log: Log, kind: Kind, path: str) -> bool:
    """Whether a table may have something at a path. Raises TraceError."""
    return _has_path(_schema_of(log, kind), path)


def _schema_of(log: Log, kind: Kind) -> pa.StructType:
    """The columns of a table with their types. Raises TraceError."""
    with _plain(log) as file, _translated(log, kind):
        if kind == "parquet":
            return pa.struct(list(pq.read_schema(file)))
        with _arrow_reader(file) as (schema, _):
            return pa.struct(list(schema))


def _has_path(kind: pa.DataType, path: str) -> bool:
    if not path:
        return True
    if not pa.types.is_struct(kind):
        # what is inside a map, a list or a text that is JSON is not told by the schema
        return bool(
            pa.types.is_map(kind)
            or pa.types.is_list(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
            or pa.types.is_dictionary(kind)
            or pa.types.is_binary(kind)
        )
    members = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
    parts = path.split(".")
    heads = [(".".join(parts[:count]), ".".join(parts[count:])) for count in range(len(parts), 0, -1)]
    return any(name in members and _has_path(members[name], rest) for name, rest in heads)


def has_rows(log: Log, kind: Kind) -> bool:
    """Whether a table has rows. Raises TraceError."""
    with _plain(log) as path, _translated(log, kind):
        if kind == "parquet":
            return int(pq.read_metadata(path).num_rows) > 0
        with _arrow_reader(path) as (_, batches):
            return any(batch.num_rows for batch in batches)


def as_parquet(log: Log, kind: Kind, folder: Path, number: int) -> Path:
    """A table as a plain Parquet file: itself, or a copy in the folder. Raises TraceError."""
    hides_numbers = any(name.lower() == _ROW_NUMBERS for name in columns_of(log, kind))
    if kind == "parquet" and not _is_packed(log) and not hides_numbers:
        return log.path
    copy = folder / f"table-{number}.parquet"
    if kind == "parquet" and not hides_numbers:
        _unpack(log, copy)
        return copy
    with (
        _plain(log) as path,
        _translated(log, kind),
        _batches(path, kind) as (given, batches),
        pq.ParquetWriter(copy, schema := _written(given)) as writer,
    ):
        for batch in batches:
            batch.validate(full=True)  # a damaged file would end the process, not the import
            check_room(log, batch.nbytes)
            columns = [_decoded(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return copy


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the same values in a Parquet file, which knows no views and no dictionaries of its own."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind.fields])
    return {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(kind, kind)


def _decoded(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column with its values as this type, which is `_plain_type` of its own."""
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        return _decoded(column.dictionary, kind).take(column.indices)
    if pa.types.is_struct(kind):
        members = [_decoded(member, field.type) for member, field in zip(column.flatten(), kind.fields, strict=True)]
        return pa.StructArray.from_arrays(members, fields=kind.fields, mask=column.is_null())
    return column.cast(kind)


@contextmanager
def _batches(path: Path, kind: Kind) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema and batches of a table."""
    if kind == "arrow":
        with _arrow_reader(path) as found:
            yield found
    else:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow, file.iter_batches()


def _written(schema: pa.Schema) -> pa.Schema:
    """The schema as Parquet knows it, without the name under which DuckDB tells the numbers of rows."""
    names = [f"{name} of the file" if name.lower() == _ROW_NUMBERS else name for name in schema.names]
    fields = zip(schema, names, strict=True)
    return pa.schema([field.with_name(name).with_type(_plain_type(field.type)) for field, name in fields])


@contextmanager
def _plain(log: Log) -> Iterator[Path]:
    """The file of a table, unpacked for as long as it is needed."""
    if not _is_packed(log):
        yield log.path
        return
    with import_folder() as folder:
        copy = folder / "table"
        _unpack(log, copy)
        yield copy


def _is_packed(log: Log) -> bool:
    with LogStream(log) as stream:
        return stream.packed is not None


def _unpack(log: Log, copy: Path) -> None:
    with LogStream(log) as stream, copy.open("wb") as file:
        for block in stream.blocks():
            file.write(block)


@contextmanager
def _arrow_reader(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema and batches of an Arrow file, or of a stream that was saved as one."""
    with pa.memory_map(str(path)) as file:
        if file.read(6) == b"ARROW1":
            with ipc.open_file(file) as whole:
                yield whole.schema, (whole.get_batch(place) for place in range(whole.num_record_batches))
        else:
            file.seek(0)
            with ipc.open_stream(file) as stream:
                yield stream.schema, iter(stream)


@contextmanager
def _translated(log: Log, kind: Kind) -> Iterator[None]:
    """Arrow's errors as one line."""
    try:
        yield
    except pa.ArrowNotImplementedError as error:
        why = str(error).splitlines()[0][:200]
        raise TraceError(f"{log}: has a column of a type that is not read ({why}); save it as Parquet") from error
    except _FAULTS as error:
        raise TraceError(f"{log}: is not {_NAMES[kind]}; check the file, or give another --format") from error
