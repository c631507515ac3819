"""Log files as Arrow batches of text, a row per line, bad lines included: CSV and JSON.

Every batch has the columns line, fault and then the file's own, all text. fault says why a line cannot be
read at all; its other columns are null. Readers in `sql/readers` make requests of the rest.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from planner.errors import TraceError
from planner.text import visible
from planner.trace.imports import documents
from planner.trace.imports.batches import schema_of
from planner.trace.imports.layout import Dialect, dialect_of, kind_of
from planner.trace.imports.surrogates import whole, whole_columns
from planner.trace.imports.unpacking import Log, Utf8Stream
from planner.units import Bools, Ints

BLOCK_BYTES = 8 << 20
RECORD_BLOCK_BYTES = documents.MOST_CHARS
"""The longest record."""
_FIRST_BLOCK_BYTES = 4 << 20
"""Blocks grow from here, so that the first one soon is there to be worked on."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_NO_VALUE = r"\N"
"""How PostgreSQL, MySQL, Hive and others write that a field has no value."""
_EMPTY = "is empty"


def shown(names: Sequence[str]) -> str:
    """Names for a message: the first few, without characters that upset a terminal."""
    first = [visible(name) for name in names[:8]]
    some = [name[:40] for place, name in enumerate(first) if sum(map(len, first[:place])) < 120]
    return ", ".join(some) + (", ..." if len(names) > len(some) else "")


def check_names(log: Log, names: Sequence[str]) -> None:
    """Raises TraceError where columns have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TraceError(f"{log}: has the column {shown(twice)} more than once; rename one")


def csv_batches(log: Log, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """A CSV file; quoted fields may hold line ends. columns: names, where there is no header. Raises TraceError."""
    dialect = Dialect(names=list(columns)) if columns else dialect_of(log)
    names = dialect.names
    check_names(log, names)
    for batch in _lines(log, dialect, BLOCK_BYTES):
        yield whole_columns(_without_escapes(batch) if dialect.copied else batch)


def json_batches(log: Log, envelopes: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """A JSON file, one record per row in the column `text`: its lines, or its arrays' elements. Raises TraceError.

    envelopes: keys that a list of records may lie under.
    """
    head = kind_of(log)[1]
    wrapped = any(documents.unwrapped(text, envelopes) is not None for text in documents.first_records(log))
    if wrapped or not documents.one_a_line(head):
        with Utf8Stream(log) as text:
            yield from documents.batches(log, io.TextIOWrapper(io.BufferedReader(text), "utf-8"), envelopes)
        return
    yield from map(_shortened, _text_lines(log, BLOCK_BYTES))


def _text_lines(log: Log, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """The records of a text file with one a line, as most are, with the numbers of their lines.

    Raises TraceError where a line is longer than any record should be.
    """
    schema, line, rest = schema_of(["text"]), 0, b""
    size = min(_FIRST_BLOCK_BYTES, block_bytes)
    with Utf8Stream(log) as stream:
        while True:
            block, at_end = _read(stream, rest, size)
            size = min(2 * size, block_bytes)
            held = b"\r" if not at_end and block.endswith(b"\r") else b""  # a line feed may follow
            if b"\r" in block:
                block = block[: len(block) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            end = len(block) if at_end else block.rfind(b"\n") + 1
            rest = block[end:] + held
            if len(rest) > RECORD_BLOCK_BYTES:
                raise TraceError(
                    f"{log}: line {line + 1 + block.count(bytes([10]), 0, end):,} is longer than "
                    f"{RECORD_BLOCK_BYTES >> 20} MiB; check the file or the --format"
                )
            if end:
                texts = _texts(block, end)
                lines = np.arange(line + 1, line + 1 + len(texts))
                line += len(texts)
                batch = _batch(schema, pa.record_batch([texts], names=["text"]), lines, marked=stream.replaced)
                batch = _without_blank_lines(batch)
                yield _split(batch) if _follow_each_other(block, end) or _ends_otherwise(texts) else batch
            if at_end:
                return


def _read(stream: Utf8Stream, rest: bytes, size: int) -> tuple[bytes, bool]:
    """What was left and at least as many bytes more, and whether that is all."""
    parts = [rest]
    while size > 0 and (part := stream.block()):
        parts.append(part)
        size -= len(part)
    return b"".join(parts), size > 0


def _texts(block: bytes, end: int) -> pa.StringArray:
    """The lines of a block up to an end, without their own ends."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8, end) == ord("\n"))
    if block[end - 1] != ord("\n"):
        ends = np.append(ends, end)
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    data = whole(block.replace(b"\n", b""))
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))


def _without_blank_lines(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without blank lines: between records they are no rows."""
    faults = batch.column("fault")
    if faults.null_count == len(faults):
        return batch
    return batch.filter(pc.fill_null(pc.not_equal(faults, _EMPTY), fill_value=True))


def _split(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with a row for every record, where lines have several, or a comma at the end."""
    texts = batch.column("text")
    several = pc.or_(pc.match_substring(texts, "}{"), pc.match_substring_regex(texts, r",\s*$"))
    rows = zip(batch.to_pylist(), several.to_pylist(), strict=True)
    parted = chain.from_iterable(
        [{**row, "text": text} for text in (several and documents.split(row["text"])) or [row["text"]]]
        for row, several in rows
    )
    return pa.RecordBatch.from_pylist(list(parted), schema=batch.schema)


def _shortened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without what makes records long."""
    texts = batch.column("text")
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= documents.LONG_CHARS:
        return batch
    short = pa.array([text and documents.shortened(text) for text in texts.to_pylist()], pa.string())
    return batch.set_column(batch.schema.get_field_index("text"), "text", short)


def _follow_each_other(block: bytes, end: int) -> bool:
    """Whether an object begins where one ends, by pairs of bytes: searching is slow where either is everywhere."""
    pair = int.from_bytes(b"}{", sys.byteorder)
    both = (np.frombuffer(block, np.uint16, max(0, end - start) // 2, start) for start in (0, 1) if start < len(block))
    return any(bool((pairs == pair).any()) for pairs in both)


def _ends_otherwise(texts: pa.StringArray) -> bool:
    """Whether a comma or blank is the end of a text, by the bytes: searching texts is slow."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[1:]
    if not len(data):
        return False
    return bool(np.isin(np.frombuffer(data, np.uint8)[np.maximum(ends - 1, 0)], list(b", \t")).any())


def _without_escapes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with what the escapes of PostgreSQL's COPY stand for."""
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type) and pc.any(pc.match_substring(column, "\\")).as_py():
            for escaped, plain in (("\\\\", "\0"), ("\\t", "\t"), ("\\n", "\n"), ("\\r", "\r"), ("\0", "\\")):
                column = pc.replace_substring(column, escaped, plain)
        columns.append(column)
    return pa.record_batch(columns, schema=batch.schema)


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


def _lines(log: Log, dialect: Dialect, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """Rows of a text file with their line numbers; what does not parse becomes a row with a fault."""
    faults: list[tuple[int, str]] = []
    columns = dialect.names

    def refuse(row: pacsv.InvalidRow) -> str:
        quote = "; a quote may not be closed" if '"' in row.text else ""
        faults.append((row.number, f"has {row.actual_columns} fields and the header has {row.expected_columns}{quote}"))
        return "skip"

    # the header is skipped as a row, so that names with spaces do not matter
    read = pacsv.ReadOptions(
        use_threads=False, block_size=block_bytes, column_names=columns, skip_rows=dialect.header_lines
    )
    options = pacsv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote,
        escape_char=dialect.escape,
        ignore_empty_lines=False,
        invalid_row_handler=refuse,
    )
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[_NO_VALUE],
        strings_can_be_null=dialect.quote is not False or dialect.copied,
        quoted_strings_can_be_null=False,
    )
    schema = schema_of(columns)
    row_number, extra_lines = dialect.header_lines, 0
    with Utf8Stream(log) as text, _ReadAhead(text, BLOCK_BYTES) as source:
        try:
            for batch in pacsv.open_csv(
                pa.PythonFile(source, "r"), read_options=read, parse_options=options, convert_options=convert
            ):
                numbers, used = _numbers(batch.num_rows, row_number, {number for number, _ in faults})
                row_number = max([row_number, *numbers[-1:].tolist(), *(number for number, _ in faults[:used])])
                # line ends inside quotes of earlier rows move a row's line down
                breaks = _line_breaks(batch) if dialect.quote is not False else np.zeros(batch.num_rows, np.int64)
                moved = extra_lines + np.concatenate([[0], np.cumsum(breaks)])
                yield _batch(schema, batch, numbers + moved[:-1], marked=text.replaced)
                yield _fault_batch(
                    schema, [(at + int(moved[np.searchsorted(numbers, at)]), why) for at, why in faults[:used]]
                )
                del faults[:used]
                extra_lines = int(moved[-1])
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise TraceError(f"{log}: {_why(error, row_number + extra_lines, block_bytes)}") from error
    yield _fault_batch(schema, [(number + extra_lines, why) for number, why in faults])


def _why(error: pa.ArrowInvalid, line: int, block_bytes: int) -> str:
    """Why rows cannot be read after a line, and what to do."""
    if "straddl" in str(error):
        return (
            f"a row after line {line:,} is longer than {block_bytes >> 20} MiB, which none may be; leave out the "
            "column of its long texts, such as prompts, or close its quote"
        )
    words = str(error).splitlines()[0]
    return f"cannot be read as lines of text after line {line:,}: {words}; check the file or the --format"


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
        counts += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy(zero_copy_only=False)
    return counts


def _batch(schema: pa.Schema, batch: pa.RecordBatch, lines: Ints, *, marked: bool) -> pa.RecordBatch:
    """The rows with their lines. marked: whether some text may not have been UTF-8."""
    blank = np.ones(batch.num_rows, bool)
    damaged = np.zeros(batch.num_rows, bool)
    for text in batch.columns:
        given = pc.fill_null(text, "") if text.null_count else text
        blank &= _is_blank(given)
        if marked:
            damaged |= pc.match_substring(given, _REPLACED).to_numpy(zero_copy_only=False)
    faults = pa.nulls(batch.num_rows, pa.string())
    if damaged.any() or blank.any():
        faults = pc.case_when(pa.StructArray.from_arrays([blank, damaged], ["0", "1"]), _EMPTY, "is not UTF-8 text")
    return pa.record_batch([pa.array(lines), faults, *batch.columns], schema=schema)


def _is_blank(texts: pa.StringArray) -> Bools:
    """Whether texts have nothing but blanks; most begin with something else, which is cheap to see."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    blank: Bools = ends[1:] == ends[:-1]
    if data is not None and len(data):
        first = np.frombuffer(data, np.uint8)[np.minimum(ends[:-1], len(data) - 1)]
        # ASCII blanks, and what may be the beginning of another one
        unclear = np.flatnonzero(~blank & ((first <= ord(" ")) | (first >= 0x80)))
        if len(unclear):
            some = texts.take(pa.array(unclear))
            blank[unclear] = pc.equal(pc.utf8_trim_whitespace(some), "").to_numpy(zero_copy_only=False)
    return blank


def _fault_batch(schema: pa.Schema, faults: list[tuple[int, str]]) -> pa.RecordBatch:
    rows = len(faults)
    nothing = [pa.nulls(rows, pa.string())] * (len(schema) - 2)
    lines, reasons = pa.array([number for number, _ in faults]), pa.array([why for _, why in faults])
    return pa.record_batch([lines, reasons, *nothing], schema=schema)
