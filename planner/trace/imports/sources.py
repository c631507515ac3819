"""Where logs are: files, folders of daily files, patterns; unpacked as they are read, identified by their digest."""

import glob
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from planner.errors import TraceError

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PACKED = (".gz", ".zst", ".zstd")
_SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson", ".parquet")
SERVEGEN_TRACES = "chunk-*-trace.csv"
"""Published: the files of a ServeGen folder, one per client."""
_MOST_RATIO = 200
"""Assumed: request logs compress 4 to 30 times, so more than this is not a log, but a decompression bomb."""
_RATIO_FROM_BYTES = 64 << 20
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class LogFiles:
    """Files (or ServeGen folders) in the order they are read, and the names of other files, which are not logs."""

    paths: tuple[Path, ...]
    skipped: tuple[str, ...]


def expand(words: Sequence[str | Path]) -> LogFiles:
    """The logs that files, folders and patterns name; those of a folder or pattern by name. Raises TraceError.

    A pattern means the files that it matches, or what is in the folders, where it matches no file.
    """
    try:
        logs = _named(words)
        for path in logs.paths:
            for file in files_of(path):
                _check(file)
    except OSError as error:
        raise TraceError(f"{error.filename}: cannot be read: {error.strerror}; check the path") from error
    except ValueError as error:
        raise TraceError(f"{words[0]!r}: cannot be read: {error}; check the path") from error
    _check_names(logs.paths)
    return logs


def files_of(path: Path) -> list[Path]:
    """The files of a log: itself, or those of a ServeGen folder by name."""
    return sorted(path.glob("chunk-*")) if path.is_dir() else [path]


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    """sha256 of every log's bytes. Raises TraceError where two hold the same, which would count requests twice."""
    digest_of: dict[Path, str] = {}
    first: dict[str, Path] = {}
    for path in paths:
        digest_of[path] = digest = _digest(path)
        if digest in first:
            raise TraceError(f"{first[digest]} and {path} have the same content; leave one out")
        first[digest] = path
    return digest_of


class LogStream(io.RawIOBase):
    """The bytes of a log, unpacked where it is gzip or zstd by its first bytes. Raises TraceError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pa.OSFile(str(path), "rb")
        except OSError as error:
            raise TraceError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
        head = self._file.read(4)
        self._file.seek(0)
        self.packed = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
        self._stream = pa.CompressedInputStream(self._file, self.packed) if self.packed else self._file
        self._bytes = 0
        self._room = max(_MOST_RATIO * path.stat().st_size, _RATIO_FROM_BYTES)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        try:
            data: bytes = self._stream.read(size if size >= 0 else None)
        except OSError as error:
            raise TraceError(
                f"{self._path}: cannot be unpacked as {self.packed} after {self._bytes:,} bytes "
                f"({str(error).splitlines()[0]}); check that the file is complete"
            ) from error
        self._bytes += len(data)
        if self.packed and self._bytes > self._room:
            raise TraceError(
                f"{self._path}: unpacks to more than {_MOST_RATIO} times its size, which no request log does; "
                "unpack it yourself if it is one"
            )
        return data

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        self._file.close()
        super().close()


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a log, unpacked; fewer where it breaks off. Raises TraceError where none can be read."""
    head = b""
    with LogStream(path) as stream:
        while len(head) < size:
            try:
                data = stream.read(min(size - len(head), 1 << 16))
            except TraceError:
                if not head:
                    raise
                break
            if not data:
                break
            head += data
    return head


def _named(words: Sequence[str | Path]) -> LogFiles:
    paths: list[Path] = []
    skipped: list[str] = []
    for word in words:
        for path in _matches(str(word)):
            if path.is_dir() and not _is_servegen(path):
                logs, others = _inside(path)
                paths += logs
                skipped += others
            else:
                paths.append(path)
    return LogFiles(tuple(paths), tuple(skipped))


def _matches(word: str) -> list[Path]:
    """What a word names: a path as it is, or what matches a pattern. Raises TraceError where nothing does."""
    if not glob.has_magic(word) or Path(word).exists():
        return [Path(word)]
    matches = sorted(Path(match) for match in glob.glob(word, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise TraceError(f"{word}: matches no file; check the pattern")
    return [path for path in matches if not path.is_dir() or _is_servegen(path)] or matches


def _inside(folder: Path) -> tuple[list[Path], list[str]]:
    """The logs of a folder, and the names of its other files. Raises TraceError where it has no logs."""
    inside = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    logs = [item for item in inside if _unpacked(item).suffix in _SUFFIXES]
    if not logs:
        raise TraceError(f"{folder}: has no log file; name a folder with {', '.join(_SUFFIXES)} files")
    return logs, [item.name for item in inside if item not in logs]


def _is_servegen(folder: Path) -> bool:
    return any(folder.glob(SERVEGEN_TRACES))


def _unpacked(path: Path) -> Path:
    """The name of a packed log once it is unpacked."""
    return path.with_suffix("") if path.suffix in _PACKED else path


def _check_names(paths: Iterable[Path]) -> None:
    """Raises TraceError where a log exists both packed and unpacked, which would count its requests twice."""
    by_name: dict[Path, Path] = {}
    for path in paths:
        other = by_name.setdefault(_unpacked(path), path)
        if other != path:
            raise TraceError(f"{other} and {path} are the same log by their names, compressed and not; leave one out")


def _check(path: Path) -> None:
    """Raises TraceError or OSError for what is not a readable file with something in it."""
    if path.exists() and not path.is_file():
        raise TraceError(f"{path}: is not a regular file, and a log is read more than once; save it to a file first")
    with path.open("rb") as file:
        if not file.read(1):
            raise TraceError(f"{path}: is empty; name a log with at least one row")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in files_of(path):
        if path.is_dir():
            digest.update(file.name.encode())
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            yield block
