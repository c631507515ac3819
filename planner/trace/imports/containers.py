"""Log files as Arrow batches of text, a row per line, bad lines included: CSV, JSON lines, Parquet.

Every batch has the columns line, fault and then the file's own, all text. fault says why a line cannot be
read at all; its other columns are null. Readers in `sql/readers` make requests of the rest.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from planner.errors import TraceError
from planner.trace.imports import documents
from planner.trace.imports.batches import schema_of
from planner.trace.imports.sources import LogStream, head_of
from planner.units import Ints

BLOCK_BYTES = 8 << 20
_HEAD_BYTES = 1 << 20
_REPLACED = "\N{REPLACEMENT CHARACTER}"


def kind(head: bytes) -> Literal["csv", "json", "parquet"]:
    """The layout of a log, detected from its beginning."""
    if head.startswith(b"PAR1"):
        return "parquet"
    return "json" if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[") else "csv"


def shown(names: Sequence[str]) -> str:
    """Names for a message: the first few, without characters that upset a terminal."""
    printable = [name if name.isprintable() else repr(name) for name in names]
    some = [name[:40] for place, name in enumerate(printable[:8]) if sum(map(len, printable[:place])) < 120]
    return ", ".join(some) + (", ..." if len(names) > len(some) else "")


def csv_columns(path: Path) -> list[str]:
    """The column names of a CSV file. Raises TraceError where the first line is not a header."""
    head = head_of(path, _HEAD_BYTES)
    line = head.splitlines()[0] if head.strip() else b""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or not text.strip():
        raise TraceError(
            f"{path}: is not a CSV file: its first line is not a header; check the file, or give another --format"
        )
    try:
        names = [name.strip() for name in next(csv.reader([text]))]
    except csv.Error as error:
        raise TraceError(f"{path}: is not a CSV file: {error}; check the file, or give another --format") from error
    other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if other:
        raise TraceError(f"{path}: separates its columns with {other!r}; save it as CSV with commas")
    return names


def csv_batches(path: Path, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """A CSV file; quoted fields may hold line ends. columns: names, where there is no header. Raises TraceError."""
    names = list(columns) or csv_columns(path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TraceError(f"{path}: has the column {', '.join(twice)} more than once; rename one")
    # the header is skipped as a row, so that names with spaces or a byte order mark do not matter
    header = 0 if columns else 1
    return _lines(
        path,
        names,
        pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=header),
        delimiter=",",
        quote='"',
        first_line=1 + header,
    )


def json_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """A JSON file, one record per row in the column `text`: its lines, or its arrays' elements. Raises TraceError."""
    first = head_of(path, _HEAD_BYTES).removeprefix(codecs.BOM_UTF8).lstrip().split(b"\n")[0].strip()
    if first.startswith(b"[") or first == b"{":
        with _Utf8(path) as text:
            yield from documents.batches(path, io.TextIOWrapper(io.BufferedReader(text), "utf-8-sig"))
        return
    yield from _lines(
        path,
        ["text"],
        pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=["text"]),
        delimiter="\x01",
        quote=False,
        first_line=1,
    )


def parquet_columns(path: Path) -> list[str]:
    """The column names of a Parquet file. Raises TraceError."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: is not a Parquet file; check the file, or give another --format") from error


class _Utf8(io.RawIOBase):
    """A file as UTF-8: invalid bytes become U+FFFD, and `replaced` says whether there were any."""

    def __init__(self, path: Path) -> None:
        self._file = LogStream(path)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = b""
        self.replaced = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._waiting:
            data = self._file.read(BLOCK_BYTES)
            text = self._decoder.decode(data, final=not data)
            self.replaced = self.replaced or _REPLACED in text
            self._waiting = text.encode()
            if not data:
                break
        part = self._waiting[: len(buffer)]
        buffer[: len(part)] = part
        self._waiting = self._waiting[len(part) :]
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


class _ReadAhead(io.BufferedReader):
    """A file that Arrow reads in a thread of its own, and may still read after its rows are no longer wanted.

    After the exit reads return nothing, and no thread is in the middle of one: a thread that returned to Python while
    the interpreter ends would abort the process. Arrow's pool has one thread meanwhile, which takes one task after the
    other: once it has read something else, it is done with this file.
    """

    def __init__(self, raw: io.RawIOBase, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self._reading = Lock()
        self._over = False
        self._threads = pa.io_thread_count()
        pa.set_io_thread_count(1)

    def read(self, size: int | None = -1, /) -> bytes:
        with self._reading:
            return b"" if self._over else super().read(size)

    def __exit__(self, *_: object) -> None:
        with self._reading:
            self._over = True
        pacsv.open_csv(pa.BufferReader(b"anything\n")).read_all()
        pa.set_io_thread_count(self._threads)


def _lines(
    path: Path,
    columns: list[str],
    read: pacsv.ReadOptions,
    *,
    delimiter: str,
    quote: str | Literal[False],
    first_line: int,
) -> Iterator[pa.RecordBatch]:
    """Rows of a text file with their line numbers; what does not parse becomes a row with a fault."""
    faults: list[tuple[int, str]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        quote = "; a quote may not be closed" if '"' in row.text else ""
        faults.append((row.number, f"has {row.actual_columns} fields and the header has {row.expected_columns}{quote}"))
        return "skip"

    options = pacsv.ParseOptions(
        delimiter=delimiter, quote_char=quote, ignore_empty_lines=False, invalid_row_handler=refuse
    )
    convert = pacsv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False)
    schema = schema_of(columns)
    row_number, extra_lines = first_line - 1, 0
    with _Utf8(path) as text, _ReadAhead(text, BLOCK_BYTES) as source:
        try:
            for batch in pacsv.open_csv(
                pa.PythonFile(source, "r"), read_options=read, parse_options=options, convert_options=convert
            ):
                numbers, used = _numbers(batch.num_rows, row_number, {number for number, _ in faults})
                row_number = max([row_number, *numbers[-1:].tolist(), *(number for number, _ in faults[:used])])
                # line ends inside quotes of earlier rows move a row's line down
                moved = extra_lines + np.concatenate([[0], np.cumsum(_line_breaks(batch))])
                yield _batch(schema, batch, numbers + moved[:-1], marked=text.replaced)
                yield _fault_batch(
                    schema, [(at + int(moved[np.searchsorted(numbers, at)]), why) for at, why in faults[:used]]
                )
                del faults[:used]
                extra_lines = int(moved[-1])
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise TraceError(
                    f"{path}: cannot be read as lines of text after line {row_number + extra_lines}: "
                    f"{str(error).splitlines()[0]}; check the file or the --format"
                ) from error
    yield _fault_batch(schema, [(number + extra_lines, why) for number, why in faults])


def _numbers(rows: int, after: int, refused: set[int]) -> tuple[Ints, int]:
    """Row numbers of the next rows, stepping over refused ones; and how many of those lie before the last."""
    if not refused:
        return np.arange(after + 1, after + 1 + rows), 0
    candidates = np.arange(after + 1, after + 1 + rows + len(refused))
    kept = candidates[~np.isin(candidates, list(refused))][:rows]
    last = int(kept[-1]) if len(kept) else after
    return kept, sum(number < last for number in refused)


def _line_breaks(batch: pa.RecordBatch) -> Ints:
    """Line ends inside the fields of every row."""
    counts = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        counts += pc.count_substring(column, "\n").to_numpy(zero_copy_only=False)
    return counts


def _batch(schema: pa.Schema, batch: pa.RecordBatch, lines: Ints, *, marked: bool) -> pa.RecordBatch:
    """The rows with their lines. marked: whether some text may not have been UTF-8."""
    blank = np.ones(batch.num_rows, bool)
    fault = np.full(batch.num_rows, None, dtype=object)
    for text in batch.columns:
        blank &= pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False)
        if marked:
            fault[pc.match_substring(text, _REPLACED).to_numpy(zero_copy_only=False)] = "is not UTF-8 text"
    fault[blank] = "is empty"
    return pa.record_batch([pa.array(lines), pa.array(fault, pa.string()), *batch.columns], schema=schema)


def _fault_batch(schema: pa.Schema, faults: list[tuple[int, str]]) -> pa.RecordBatch:
    rows = len(faults)
    nothing = [pa.nulls(rows, pa.string())] * (len(schema) - 2)
    lines, reasons = pa.array([number for number, _ in faults]), pa.array([why for _, why in faults])
    return pa.record_batch([lines, reasons, *nothing], schema=schema)
