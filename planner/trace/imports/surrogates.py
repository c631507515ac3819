r"""Escapes of JSON that stand for half a character, as where a prompt was cut inside an emoji.

An emoji is escaped as a pair, \ud83d\ude00. Half of one is no text, and for most readers a record that has it anywhere
is no JSON. No format reads what is cut so, so that half a character becomes \ufffd, the one for what is none.
"""

import re

import pyarrow as pa

_FIRST, _SECOND = rb"u[dD][89abAB][0-9a-fA-F]{2}", rb"u[dD][c-fC-F][0-9a-fA-F]{2}"
# backslashes as many as there are: in JSON that is inside a text of JSON they are escaped themselves
_ESCAPE = re.compile(rb"(\\+)(?:" + _FIRST + rb"(?:(\\+)" + _SECOND + rb")?|" + _SECOND + rb")")
# most are pairs, which need no closer look
_UNCLEAR = re.compile(
    rb"\\(?:" + _FIRST + rb"(?!\\" + _SECOND + rb")|(?<!\\" + _FIRST + rb"\\)" + _SECOND + rb"|\\u[dD])"
)


def whole(text: bytes) -> bytes:
    r"""A text with \ufffd in place of every half of a character: as long as before."""
    # a byte alone is found ten times as fast
    if b"\\" not in text or not (b"\\ud" in text or b"\\uD" in text) or not _UNCLEAR.search(text):
        return text
    return _ESCAPE.sub(_kept, text)


def whole_text(text: str) -> str:
    """The same of a text that is decoded."""
    return whole(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass") if "\\u" in text else text


def whole_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same of all texts of a batch."""
    columns = [_whole_column(column) if pa.types.is_string(column.type) else column for column in batch.columns]
    return pa.record_batch(columns, schema=batch.schema)


def _whole_column(column: pa.StringArray) -> pa.StringArray:
    there, offsets, data = column.buffers()
    given = data.to_pybytes() if data is not None else b""
    text = whole(given)
    if text is given:
        return column
    buffers = [there, offsets, pa.py_buffer(text)]
    return pa.Array.from_buffers(column.type, len(column), buffers, column.null_count, column.offset)


def _kept(found: re.Match[bytes]) -> bytes:
    run, other = found[1], found[2]
    # the first of a pair may follow other backslashes, which are no part of it
    if other and len(run) & -len(run) == len(other):
        return found[0]
    return run + b"ufffd" + (other + b"ufffd" if other else b"")
