"""JSON that is not one record a line: arrays of records, and records printed over several lines."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from planner.errors import TraceError
from planner.trace.imports.batches import schema_of

_READ_CHARS = 1 << 17
_CUT_CHARS = 1 << 14
_MOST_CHARS = 16 << 20
"""Assumed: no record of a request or page of usage is longer."""
_BATCH_ROWS = 20_000
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_BETWEEN = re.compile(r"[\s,\[\]]*")
_TAIL_CHARS = 16
"""Longer than any JSON keyword, which may be cut off where reading stopped."""
_FIRST = frozenset('{"-0123456789tfnNI')
"""What a record can begin with: checking is cheaper than parsing, where a file is full of other text."""


def batches(path: Path, stream: TextIO) -> Iterator[pa.RecordBatch]:
    """The records one after the other, as rows (line, fault, text); top-level arrays are unpacked.

    What is not JSON becomes a row with a fault, and reading goes on with the next line. Raises TraceError where a
    record is longer than any should be.
    """
    schema = schema_of(["text"])
    rows: list[tuple[int, str | None, str | None]] = []
    for row in _records(path, stream):
        rows.append(row)
        if len(rows) == _BATCH_ROWS:
            yield _batch(rows, schema)
            rows = []
    yield _batch(rows, schema)


def _batch(rows: list[tuple[int, str | None, str | None]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([row[place] for row in rows], schema.field(place).type) for place in range(3)]
    return pa.record_batch(columns, schema=schema)


class _Window:
    """A piece of the stream, and the line number of positions in it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line, self._counted = 1, 0
        self.text = ""

    def line_at(self, place: int) -> int:
        """The line of a position, which is not before the last one asked for."""
        self._line += self.text.count("\n", self._counted, place)
        self._counted = place
        return self._line

    def more(self) -> bool:
        """Read more, twice as much each time that nothing was dropped; false at the end."""
        data = self._stream.read(max(_READ_CHARS, len(self.text)))
        self.text += data
        return bool(data)

    def drop(self, chars: int) -> None:
        """Forget the first characters."""
        self.line_at(chars)
        self.text, self._counted = self.text[chars:], 0


def _records(path: Path, stream: TextIO) -> Iterator[tuple[int, str | None, str | None]]:
    window = _Window(stream)
    at = 0
    while True:
        start = _skipped(window.text, at)
        # the window is cut only now and then: cutting after every record would copy it every time
        if start > _CUT_CHARS or start == len(window.text):
            window.drop(start)
            start = 0
            if not window.text:
                if not window.more():
                    return
                at = 0
                continue
        line = window.line_at(start)
        end = _end_of_record(path, window, start)
        if end is None:
            newline = window.text.find("\n", start)
            at = len(window.text) if newline < 0 else newline
            yield line, "is not JSON", None
        else:
            at = end
            yield line, None, window.text[start:end]


def _skipped(text: str, at: int) -> int:
    separators = _BETWEEN.match(text, at)
    assert separators is not None  # it also matches the empty string
    return separators.end()


def _end_of_record(path: Path, window: _Window, start: int) -> int | None:
    """Where the record that starts there ends; None where it is not JSON. Raises TraceError where it is too long."""
    if window.text[start] not in _FIRST:
        return None
    while True:
        try:
            _, end = _DECODER.raw_decode(window.text, start)
        except RecursionError:
            return None
        except json.JSONDecodeError as error:
            # invalid JSON inside the text read stays invalid; at its end, or in an open string, more may follow
            wrong_inside = error.pos < len(window.text) - _TAIL_CHARS and not error.msg.startswith("Unterminated")
            if wrong_inside or not window.more():
                return None
            if len(window.text) - start > _MOST_CHARS:
                raise TraceError(
                    f"{path}: the record at line {window.line_at(start):,} is longer than "
                    f"{_MOST_CHARS >> 20} MiB; check the file, or give another --format"
                ) from error
            continue
        # a number at the end may continue
        if end < len(window.text) or not window.more():
            return end
