"""JSON that is not one record a line: arrays, records over several lines or several on one, records in envelopes."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import TextIO

import pyarrow as pa

from planner.errors import TraceError
from planner.trace.imports.batches import schema_of
from planner.trace.imports.layout import HEAD_BYTES
from planner.trace.imports.surrogates import whole_text
from planner.trace.imports.unpacking import Log, Utf8Stream, head_of, text_of

_READ_CHARS = 1 << 17
_CUT_CHARS = 1 << 14
MOST_CHARS = 64 << 20
"""Of a record, or a document of many: taken apart it needs ten times as much memory."""
_NOT_JSON, _CUT_OFF = "is not JSON", "is not JSON: it ends early"
_BATCH_ROWS = 20_000
_BATCH_CHARS = 8 << 20
LONG_CHARS = 1 << 18
"""From here on records are shortened."""
_LONG_TEXT_CHARS = 1 << 16
"""Assumed: no name, id or number of tokens is as long; prompts and answers are."""
_HUGE_CHARS, _HUGE_TEXT_CHARS = 16 << 20, 1 << 10
"""In documents this long, texts from that length on are taken for prompts and answers, unless they are JSON objects."""
_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_BETWEEN = re.compile(r"[\s,\[\]]*")
_APART = re.compile(r"[\s,:]*")
_TAIL_CHARS = 16
"""Longer than any JSON keyword, which may be cut off where reading stopped."""
_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
_PEEKED = 100
"""Records that are looked at to tell a format."""
_Row = tuple[int, str | None, str | None]
_FIRST = frozenset('{"-0123456789tfnNI')
"""What a record can begin with: checking is cheaper than parsing, where a file is full of other text."""


def batches(log: Log, stream: TextIO, envelopes: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The records one after the other, as rows (line, fault, text); top-level arrays and envelopes are unpacked.

    What is not JSON becomes a row with a fault, and reading goes on with the next line. Raises TraceError where a
    record is longer than any should be.
    """
    schema = schema_of(["text"])
    rows: list[_Row] = []
    chars = 0
    for line, fault, record in _records(log, stream, envelopes):
        text = whole_text(shortened(record)) if record else record
        rows.append((line, fault, text))
        chars += len(text or "")
        if len(rows) == _BATCH_ROWS or chars > _BATCH_CHARS:
            yield _batch(rows, schema)
            rows, chars = [], 0
    yield _batch(rows, schema)


def shortened(text: str) -> str:
    """A record without its long texts, such as prompts, where it is long: no format reads them."""
    if len(text) <= LONG_CHARS:
        return text
    is_huge = len(text) > _HUGE_CHARS

    def kept(found: re.Match[str]) -> str:
        chars = found.end() - found.start()
        is_long = chars > _LONG_TEXT_CHARS or (is_huge and chars > _HUGE_TEXT_CHARS and found[0][1] != "{")
        return '""' if is_long else found[0]

    return _TEXT.sub(kept, text)


def all_records(log: Log) -> Iterator[str]:
    """The records that are JSON, as text, envelopes as they are. Raises TraceError."""
    with Utf8Stream(log) as stream:
        for _, _, text in _records(log, io.TextIOWrapper(io.BufferedReader(stream), "utf-8"), ()):
            if text is not None:
                yield text


def first_records(log: Log, envelopes: Sequence[str] = ()) -> list[str]:
    """The first records that are JSON, as text. Raises TraceError."""
    return [text for _, _, text in first_rows(log, envelopes) if text is not None]


def first_rows(log: Log, envelopes: Sequence[str] = ()) -> list[_Row]:
    """The first records as rows, with those that are not JSON. Raises TraceError."""
    return list(_first_rows(log, _stamp(log), tuple(envelopes)))


def check_first_record(log: Log) -> None:
    """Raises TraceError where the first record of a log is not JSON because it is too long, or ends early."""
    rows = first_rows(log)
    if not rows or rows[0][1] != _CUT_OFF:
        return
    if len(head_of(log, MOST_CHARS)) >= MOST_CHARS:
        raise _too_long(log, rows[0][0])
    raise TraceError(f"{log}: {_CUT_OFF}; check that the file is complete")


def _too_long(log: Log, line: int) -> TraceError:
    return TraceError(
        f"{log}: the record at line {line:,} is longer than {MOST_CHARS >> 20} MiB, and none may be; save its records "
        "one a line, or in several smaller files"
    )


def head_with_record(log: Log) -> bytes:
    """The beginning of a log as UTF-8, as much as the first record takes that is JSON. Raises TraceError."""
    return _head_with_record(log, _stamp(log))


def _stamp(log: Log) -> tuple[int, int]:
    """What tells a file from the one that it becomes when it is written again."""
    try:
        found = log.path.stat()
    except OSError:
        return 0, 0  # reading it says why
    return found.st_size, found.st_mtime_ns


# a page of 16 MiB takes a second to take apart, and is looked at several times
@lru_cache(maxsize=4)
def _first_rows(log: Log, stamp: tuple[int, int], envelopes: tuple[str, ...]) -> tuple[_Row, ...]:
    text = _head_with_record(log, stamp).decode("utf-8", "replace")
    return tuple(islice(_records(log, io.StringIO(text), envelopes), _PEEKED))


@lru_cache(maxsize=2)
def _head_with_record(log: Log, _stamp: tuple[int, int]) -> bytes:
    size = HEAD_BYTES
    while True:
        raw = head_of(log, size)
        head = text_of(raw)
        if len(raw) < size or size >= MOST_CHARS or _has_record(log, head):
            return head
        size *= 4


def _has_record(log: Log, head: bytes) -> bool:
    rows = _records(log, io.StringIO(head.decode("utf-8", "replace")), ())
    return any(text is not None for _, _, text in islice(rows, _PEEKED))


def one_a_line(head: bytes) -> bool:
    """Whether the first record of a log fills its line, as in JSON lines."""
    text = head.decode("utf-8", "replace").lstrip(" \t\r\n")
    line, end_of_line, after = text.partition("\n")
    if text.startswith(("[", "\x1e")):  # an array; a sequence of records, each with a separator before it
        return False
    try:
        _, end = _DECODER.raw_decode(text) if text.startswith("{") else (None, len(text))
    except (ValueError, RecursionError):
        end = len(text)
    if end == len(text):
        # broken, as where a file begins within a record, or the last one, or cut off at the end of what was read
        return bool(end_of_line) and line.strip() != "{" and after.lstrip()[:1] == "{"
    return end <= len(line) and not line[end:].strip()


def split(text: str) -> list[str] | None:
    """The records of a line with several, or with commas after them; None where it is something else."""
    found, at = [], _skipped(text, 0)
    while at < len(text):
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        found.append(text[at:end])
        at = _skipped(text, end)
    return found


def _batch(rows: list[_Row], schema: pa.Schema) -> pa.RecordBatch:
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
        """Read more, false at the end: four times as much each time that nothing was dropped, within limits."""
        there = len(self.text)
        data = self._stream.read(max(_READ_CHARS, min(3 * there, max(there, MOST_CHARS - there))))
        self.text += data
        return bool(data)

    def drop(self, chars: int) -> None:
        """Forget the first characters."""
        self.line_at(chars)
        self.text, self._counted = self.text[chars:], 0


def _records(log: Log, stream: TextIO, envelopes: Sequence[str]) -> Iterator[_Row]:
    window = _Window(stream)
    at, key = 0, ""
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
        end = _end_of_record(log, window, start)
        if isinstance(end, str):
            at = _resumed(window.text, start, key)
            yield line, end, None
            continue
        at = end
        key = key or _first_key(window.text, start)
        inside = unwrapped(window.text[start:end], envelopes) if envelopes else None
        for place, text in [(0, window.text[start:end])] if inside is None else inside:
            yield window.line_at(start + place), None, text


def unwrapped(text: str, envelopes: Sequence[str]) -> Iterator[tuple[int, str]] | None:
    """The records in an envelope, with their places; None for what is no envelope.

    envelopes: keys that records may lie under, as a list or one alone; of several that are there, all count. "KEY as
    NAME": what is found is not the record, but the one element of its list NAME.
    """
    parts = [part for envelope in envelopes if (part := _under(text, envelope)) is not None]
    if len(parts) > 1:
        return iter(sorted(dict(chain.from_iterable(parts)).items()))
    return parts[0] if parts else None


def _under(text: str, envelope: str) -> Iterator[tuple[int, str]] | None:
    """The records under a key, with their places; None where it is not there."""
    key, _, name = envelope.partition(" as ")
    value = _place_of(text, key)
    if value is not None and text[value[0]] in "[{":
        spans = _elements(text, value[0] + 1) if text[value[0]] == "[" else iter([value])
        found = ((start, text[start:end]) for start, end in spans if text[start] == "{")
        return ((start, f'{{"{name}":[{record}]}}') for start, record in found) if name else found
    return None


def _place_of(text: str, path: str, at: int = 0) -> tuple[int, int] | None:
    """Where what is at a path of an object lies; a key that has dots itself comes before a path."""
    first = path.split(".")[0]
    if not text.startswith("{", at) or not (f'"{first}"' in text or f'"{first}.' in text):
        return None
    spans = list(_elements(text, at + 1))
    values = {_DECODER.decode(text[slice(*key)]): value for key, value in zip(spans[::2], spans[1::2], strict=True)}
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        value = values.get(".".join(parts[:count]))
        if value is not None:
            return value if count == len(parts) else _place_of(text, ".".join(parts[count:]), value[0])
    return None


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Where the elements of a valid array lie, or the keys and values of an object, one after the other."""
    while text[start := _between(text, at)] not in "]}":
        _, at = _DECODER.raw_decode(text, start)
        yield start, at


def _between(text: str, at: int) -> int:
    separators = _APART.match(text, at)
    assert separators is not None  # it also matches the empty string
    return separators.end()


def _first_key(text: str, start: int) -> str:
    """The first key of an object with its quotes, or nothing."""
    first = _KEY.match(text, start)
    return first[1] if first else ""


def _resumed(text: str, start: int, key: str) -> int:
    """Where to go on after what is not JSON: at the next line, or before it where a record begins as the first one."""
    newline = text.find("\n", start)
    end = len(text) if newline < 0 else newline
    again = re.compile(r"[}\]]\s*,?\s*(?=\{\s*" + re.escape(key) + ")").search(text, start + 1, end) if key else None
    return again.end() if again else end


def _skipped(text: str, at: int) -> int:
    separators = _BETWEEN.match(text, at)
    assert separators is not None  # it also matches the empty string
    return separators.end()


def _end_of_record(log: Log, window: _Window, start: int) -> int | str:
    """Where the record that starts there ends, or why it is not JSON. Raises TraceError where it is too long."""
    if window.text[start] not in _FIRST:
        return _NOT_JSON
    while True:
        try:
            _, end = _DECODER.raw_decode(window.text, start)
        except RecursionError:
            return _NOT_JSON
        except json.JSONDecodeError as error:
            # invalid JSON inside the text read stays invalid; at its end, or in an open string, more may follow
            wrong_inside = error.pos < len(window.text) - _TAIL_CHARS and not error.msg.startswith("Unterminated")
            if wrong_inside:
                return _NOT_JSON
            if not window.more():
                return _CUT_OFF if _ends_early(window.text, error) else _NOT_JSON
            if len(window.text) - start > MOST_CHARS:
                raise _too_long(log, window.line_at(start)) from error
            continue
        # a number at the end may continue
        if end < len(window.text) or not window.more():
            return end


def _ends_early(text: str, error: json.JSONDecodeError) -> bool:
    """Whether nothing is wrong with JSON but that more should follow: it ends in a text, in a word or between."""
    rest = text[error.pos :].strip()
    return error.msg.startswith("Unterminated") or any(word.startswith(rest) for word in ("true", "false", "null"))
