"""Log files as Arrow batches of text, a row per line, bad lines included: CSV, JSON lines, Parquet.

Every batch has the columns line, fault and then the file's own, all text. fault says why a line cannot be
read at all; its other columns are null. Readers in `sql/readers` make requests of the rest.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from planner.errors import TraceError

BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 65_536
_HEAD_BYTES = 1 << 20


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """The schema of batches with these columns."""
    head = [("line", pa.int64()), ("fault", pa.string())]
    return pa.schema([*head, *((column, pa.string()) for column in columns)])


def check_file(path: Path) -> None:
    """Raises TraceError for what is no readable file with something in it."""
    if path.is_dir():
        raise TraceError(f"{path}: is a folder; name the log files in it")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    if size == 0:
        raise TraceError(f"{path}: is empty; name a log with at least one row")


def csv_columns(path: Path) -> list[str]:
    """The column names of a CSV file. Raises TraceError where the first line is no header."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    line = head.splitlines()[0] if head.strip() else b""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or not text.strip():
        raise TraceError(
            f"{path}: is not a CSV file: its first line is no header; check the file, or give another --format"
        )
    return [name.strip() for name in next(csv.reader([text]))]


def csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """A CSV file with a header. Quoted fields may hold line ends; blank lines are no rows. Raises TraceError."""
    columns = csv_columns(path)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise TraceError(f"{path}: has the column {', '.join(twice)} more than once; rename one")
    # the header is skipped as a row, so that names with blanks or a byte order mark do not matter
    yield from _lines(
        path,
        columns,
        pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=columns, skip_rows=1),
        {"delimiter": ","},
        first_line=2,
    )


def jsonl_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """A file of JSON lines, each line whole in the column `text`. Raises TraceError."""
    yield from _lines(
        path,
        ["text"],
        pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=["text"]),
        {"delimiter": "\x01", "quote_char": False},
        first_line=1,
    )


def parquet_columns(path: Path) -> list[str]:
    """The column names of a Parquet file. Raises TraceError."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: is not a Parquet file; check the file, or give another --format") from error


def parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of a Parquet file as text: times in ISO-8601, lists joined by blanks. line counts rows from 1."""
    schema = schema_of(columns)
    done = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=list(columns)):
            rows = batch.num_rows
            lines = pa.array(np.arange(done + 1, done + rows + 1))
            texts = [_as_text(batch.column(column)) for column in columns]
            yield pa.record_batch([lines, pa.nulls(rows, pa.string()), *texts], schema=schema)
            done += rows
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: breaks off after {done} rows; check that the file is whole") from error


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        lists = pc.cast(values, pa.list_(pa.string()))
        return pc.binary_join(lists, " ")
    if pa.types.is_timestamp(values.type):
        zone = "Z" if values.type.tz else ""
        plain = pc.cast(values, pa.timestamp("us"), safe=False)
        return pc.strftime(plain, format=f"%Y-%m-%dT%H:%M:%S{zone}")
    return pc.cast(values, pa.string())


def _lines(
    path: Path, columns: list[str], read: pacsv.ReadOptions, parse: dict[str, object], first_line: int
) -> Iterator[pa.RecordBatch]:
    """Rows of a text file with their line numbers; what does not parse becomes a row with a fault."""
    faults: list[tuple[int, str]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        faults.append((row.number, f"has {row.actual_columns} fields and the header {row.expected_columns}"))
        return "skip"

    options = pacsv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=refuse, **parse)
    convert = pacsv.ConvertOptions(column_types=dict.fromkeys(columns, pa.binary()), strings_can_be_null=False)
    schema = schema_of(columns)
    row_number, extra_lines = first_line - 1, 0
    try:
        for batch in pacsv.open_csv(path, read_options=read, parse_options=options, convert_options=convert):
            numbers, used = _numbers(batch.num_rows, row_number, {number for number, _ in faults})
            row_number = int(numbers[-1]) if len(numbers) else row_number
            row_number = max([row_number, *(number for number, _ in faults[:used])])
            breaks = _line_breaks(batch)
            before = np.concatenate([[0], np.cumsum(breaks)[:-1]]) if len(breaks) else breaks
            yield _batch(schema, batch, numbers + extra_lines + before)
            if faults[:used]:
                yield _fault_batch(schema, [(number + extra_lines, why) for number, why in faults[:used]])
            del faults[:used]
            extra_lines += int(breaks.sum())
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        where = f"after line {row_number + extra_lines}"
        raise TraceError(
            f"{path}: cannot be read as lines of text {where}: {str(error).splitlines()[0]}; "
            "check the file or the --format"
        ) from error
    if faults:
        yield _fault_batch(schema, [(number + extra_lines, why) for number, why in faults])


def _numbers(rows: int, after: int, refused: set[int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    """Row numbers of the next rows, stepping over refused ones; and how many of those lie before the last."""
    if not refused:
        return np.arange(after + 1, after + 1 + rows), 0
    candidates = np.arange(after + 1, after + 1 + rows + len(refused))
    kept = candidates[~np.isin(candidates, list(refused))][:rows]
    last = int(kept[-1]) if len(kept) else after
    return kept, sum(number < last for number in refused)


def _line_breaks(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Line ends inside the fields of every row."""
    counts = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        counts += pc.count_substring(column, b"\n").to_numpy(zero_copy_only=False)
    return counts


def _batch(
    schema: pa.Schema, batch: pa.RecordBatch, lines: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> pa.RecordBatch:
    fault = np.full(batch.num_rows, None, dtype=object)
    texts = []
    for column in batch.columns:
        try:
            texts.append(pc.cast(column, pa.string()))
        except pa.ArrowInvalid:
            values = [_decoded(value) for value in column.to_pylist()]
            fault[[value is None for value in values]] = "is not UTF-8 text"
            texts.append(pa.array(values, pa.string()))
    whole = pa.record_batch([pa.array(lines), pa.array(fault, pa.string()), *texts], schema=schema)
    blank = np.ones(batch.num_rows, bool)
    for text in texts:
        blank &= pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), False).to_numpy(zero_copy_only=False)
    return whole.filter(pa.array(~blank))


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _fault_batch(schema: pa.Schema, faults: list[tuple[int, str]]) -> pa.RecordBatch:
    rows = len(faults)
    nothing = [pa.nulls(rows, pa.string())] * (len(schema) - 2)
    lines, reasons = pa.array([number for number, _ in faults]), pa.array([why for _, why in faults])
    return pa.record_batch([lines, reasons, *nothing], schema=schema)
