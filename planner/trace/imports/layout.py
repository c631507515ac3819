"""How a log is laid out, told from its beginning: what kind of file it is, and how its columns are separated."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from planner.errors import TraceError
from planner.trace.imports.unpacking import EMPTY_ZIP, ZIP, Log, head_of, text_of

Kind = Literal["csv", "json", "parquet", "arrow"]
HEAD_BYTES = 1 << 20
SEPARATORS = ",;\t|"
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_AS_CSV = "save its table as CSV first"
_UNPACK = "unpack it first"
_OTHERS: tuple[tuple[int, tuple[bytes, ...], str, str], ...] = (
    (0, (b"SQLite format 3\0",), "a SQLite database", _AS_CSV),
    (8, (b"DUCK",), "a DuckDB database", _AS_CSV),
    (0, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",), "an old Excel workbook", "save the sheet as CSV first"),
    (0, (b"Obj\x01",), "an Avro file", "save it as Parquet or JSON lines first"),
    (0, (b"ORC",), "an ORC file", "save it as Parquet or CSV first"),
    (0, (b"PARE",), "an encrypted Parquet file", "save it without encryption first"),
    (0, (b"FEA1",), "a Feather file of version 1", "save it as version 2 or Parquet first"),
    (0, (b"\x89HDF\r\n\x1a\n",), "an HDF5 file", "save it as Parquet or CSV first"),
    (0, (b"7z\xbc\xaf\x27\x1c",), "a 7z archive", _UNPACK),
    (0, (b"Rar!\x1a\x07",), "a RAR archive", _UNPACK),
    (257, (b"ustar",), "a tar archive", _UNPACK),
    (0, (ZIP,), "a zip archive inside another archive", _UNPACK),
    (0, (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"\x04\x22\x4d\x18"), "compressed twice", _UNPACK),
    (0, (b"\x1f\x9d", b"\xff\x06\x00\x00sNaPpY"), "compressed in a way that is not read", _UNPACK),
)
_LINE_END = re.compile(r"\r\n|\n|\r")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_VALUE = re.compile(r"[-+]?\d[\d.,:eETZ+\s/-]*")
_SAMPLE_BYTES = 1 << 18


def kind_of(log: Log) -> tuple[Kind, bytes]:
    """The kind of file, and its beginning, of texts as UTF-8. Raises TraceError for what no log is."""
    raw = head_of(log, HEAD_BYTES)
    for at, magics, what, cure in _OTHERS:
        if raw.startswith(magics, at):
            raise TraceError(f"{log}: is {what}; {cure}")
    if raw.startswith(EMPTY_ZIP):
        return "csv", b""
    if raw.startswith(b"PAR1"):
        return "parquet", raw
    if raw.startswith(_ARROW):
        return "arrow", raw
    if _is_unmarked_utf16(raw[:64]):
        raise TraceError(f"{log}: is UTF-16 without a byte order mark; save it as UTF-8")
    head = text_of(raw)
    return ("json" if _is_json(head) else "csv"), head


def _is_unmarked_utf16(head: bytes) -> bool:
    """Whether every other byte is zero, and no other one is."""
    one, other = head[::2], head[1::2]
    return len(head) >= 8 and any(not any(zeros) and all(text) for zeros, text in ((one, other), (other, one)))


def _is_json(head: bytes) -> bool:
    """Whether the first line, or where a log begins in the middle of a record that after it, begins as JSON does."""
    lines = [line.lstrip() for line in head[: 1 << 16].lstrip(b" \t\r\n\x1e").split(b"\n")[:3]]
    if lines[0][:1] in (b"{", b"["):
        return True
    return len(lines) > 1 and all(line[:2] in (b'{"', b"") for line in lines[1:]) and lines[1] != b""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a CSV file is written.

    names: of its columns. header_lines: lines up to the header and with it. escape: the character that takes the
    meaning from the next one, where it is not the doubled quote that does so for quotes. copied: whether special
    characters are escaped as PostgreSQL's COPY does, and nothing is quoted.
    """

    names: list[str]
    delimiter: str = ","
    header_lines: int = 0
    quote: str | Literal[False] = '"'
    escape: str | Literal[False] = False
    copied: bool = False


def dialect_of(log: Log) -> Dialect:
    """How a CSV file is written. Raises TraceError where it has no header.

    Blank lines, comments that begin with # and a line that names the separator may come before the header.
    """
    lines = _LINE_END.split(kind_of(log)[1][:_SAMPLE_BYTES].decode("utf-8", "replace"))
    place, delimiter = _header(lines)
    line = lines[place].removeprefix("#")
    if "\0" in line or "\N{REPLACEMENT CHARACTER}" in line or not line.strip():
        raise TraceError(
            f"{log}: is not a CSV file: its first line is not a header; check the file, or give another --format"
        )
    delimiter = delimiter or _separator(line)
    try:
        fields = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise TraceError(f"{log}: is not a CSV file: {error}; check the file, or give another --format") from error
    body = "\n".join(lines[place + 1 :])
    quote, escape, copied = _escapes(body, delimiter, len(fields))
    if not copied and _all_longer(body, delimiter, len(fields)):
        fields.append("")
    return Dialect(
        names=[name or f"column {number}" for number, name in enumerate(fields, 1)],
        delimiter=delimiter,
        header_lines=place + 1,
        quote=quote,
        escape=escape,
        copied=copied,
    )


def is_header_alone(log: Log) -> bool:
    """Whether a CSV file has a header, and nothing below it."""
    head = kind_of(log)[1]
    lines = _LINE_END.split(head[:_SAMPLE_BYTES].decode("utf-8", "replace"))
    place, separator = _header(lines)
    line = lines[place].removeprefix("#")
    names = _fields(line, separator or _separator(line))
    nothing_below = len(head) < _SAMPLE_BYTES and not any(line.strip() for line in lines[place + 1 :])
    return nothing_below and not without_names(names)


def without_names(names: Sequence[str]) -> bool:
    """Whether a header looks as if it were the first row."""
    return any(_VALUE.fullmatch(name) for name in names)


def _header(lines: Sequence[str]) -> tuple[int, str | None]:
    """The place of the header among the lines, and the separator that a line before it names."""
    delimiter = None
    for place, line in enumerate(lines):
        named = _SEPARATOR_LINE.fullmatch(line)
        delimiter = named[1] if named else delimiter
        if not named and line.strip() and not line.startswith("#"):
            return (place - 1 if place and _is_commented_header(lines[place - 1], line) else place), delimiter
    return len(lines) - 1, delimiter


def _is_commented_header(comment: str, row: str) -> bool:
    """Whether a comment names the columns of the row below it."""
    values = _fields(row, _separator(row))
    names = _fields(comment.removeprefix("#"), _separator(row))
    return comment.startswith("#") and len(names) == len(values) > 1 and without_names(values)


def _separator(header: str) -> str:
    """The separator that makes the most columns of a header; the comma where others make no more."""
    return max(SEPARATORS, key=lambda mark: len(_fields(header, mark)))


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _escapes(body: str, delimiter: str, columns: int) -> tuple[str | Literal[False], str | Literal[False], bool]:
    """The quote, the escape character and whether PostgreSQL's COPY wrote it, from the first rows."""
    if "\\" not in body:
        return '"', False, False
    quoted = re.search(rf'(^|{re.escape(delimiter)})"', body, re.MULTILINE)
    if delimiter == "\t" and not quoted and re.search(r"\\\\|\\N", body):
        return False, False, True
    if '\\"' in body and _fitting(body, delimiter, columns, "\\") > _fitting(body, delimiter, columns, None):
        return '"', "\\", False
    return '"', False, False


def _fitting(body: str, delimiter: str, columns: int, escape: str | None) -> int:
    """Rows with as many fields as the header has, and no stray quote, if this is what escapes quotes."""
    rows = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, escapechar=escape, strict=True)
    fitting = 0
    while True:
        try:
            fitting += len(next(rows)) == columns
        except StopIteration:
            return fitting
        except csv.Error:
            continue


def _all_longer(body: str, delimiter: str, columns: int) -> bool:
    """Whether every row ends in a separator, and the header does not."""
    lines = [line for line in body.split("\n")[:20] if line.strip()]
    return bool(lines) and all(
        len(row) == columns + 1 and not row[-1].strip() for row in (_fields(line, delimiter) for line in lines)
    )
