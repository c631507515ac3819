"""The bytes of a log, unpacked as they are read: compressed files, members of zip archives, UTF-16 and UTF-32."""

import codecs
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa

from planner.errors import TraceError
from planner.text import visible

ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
_PACKED = {
    "gzip": rb"\x1f\x8b",
    "zstd": rb"\x28\xb5\x2f\xfd",
    "bz2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\x00",
    "lz4": rb"\x04\x22\x4d\x18",
}
_MOST_RATIO = 200
"""Assumed: request logs compress 4 to 30 times, so more than this is not a log, but a decompression bomb."""
_RATIO_FROM_BYTES = 64 << 20
_XZ_MEMORY_BYTES = 256 << 20
"""What unpacking xz may take; xz -9 needs 65 MiB."""
_READ_BYTES = 1 << 20
_BAD = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Log:
    """A log: a file, a ServeGen folder, or the member of a zip archive.

    label: its name among the others of an import: below the folder or archive that was given. watch: told the share of
    it that was read.
    """

    path: Path
    member: str | None = None
    label: str = field(default="", compare=False)
    watch: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.path}:{visible(self.member)}" if self.member is not None else str(self.path)

    @property
    def name(self) -> str:
        """What it is called in messages about several."""
        return self.label or Path(str(self)).name


def check_room(log: Log, unpacked_bytes: int, packed_bytes: int | None = None) -> None:
    """Raises TraceError where a log unpacks to more than logs do. packed_bytes: of the file, where None."""
    size = log.path.stat().st_size if packed_bytes is None else packed_bytes
    if unpacked_bytes > max(_MOST_RATIO * size, _RATIO_FROM_BYTES):
        raise TraceError(
            f"{log}: unpacks to more than {_MOST_RATIO} times its size, which no request log does; "
            "unpack it yourself if it is one"
        )


class LogStream(io.RawIOBase):
    """The bytes of a log, unpacked where its first bytes are those of a compressed file. Raises TraceError.

    unpack: false for the member of an archive as it is.
    """

    def __init__(self, log: Log, *, unpack: bool = True) -> None:
        self._log = log
        self._archive: zipfile.ZipFile | None = None
        self._bytes = 0
        self.packed: str | None = None
        try:
            self._file, size = self._opened()
            head = self._file.read(16)
            self._file.seek(0)
        except _BAD as error:
            self.close()
            raise TraceError(f"{log}: cannot be read: {_why(error)}; check the path") from error
        self._stream: IO[bytes] | pa.NativeFile | _Xz = self._file
        codec = next((name for name, magic in _PACKED.items() if re.match(magic, head)), None)
        if codec and unpack:
            self.packed = codec
            self._stream = _Xz(self._file) if codec == "xz" else _codec_stream(self._file, codec)
        self._size = size

    def _opened(self) -> tuple[IO[bytes] | pa.NativeFile, int]:
        """The file, or the member of the archive, and the bytes that it takes."""
        if self._log.member is None:
            return pa.OSFile(str(self._log.path), "rb"), self._log.path.stat().st_size
        self.packed = "zip"
        self._archive = zipfile.ZipFile(self._log.path)
        info = self._archive.getinfo(self._log.member)
        return self._archive.open(info), info.compress_size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        try:
            data: bytes = self._stream.read(size)
        except _BAD as error:
            raise TraceError(
                f"{self._log}: cannot be unpacked as {self.packed} after {self._bytes:,} bytes "
                f"({_why(error)}); check that the file is complete"
            ) from error
        self._bytes += len(data)
        if self._log.watch and self._archive is None:
            self._log.watch(self._file.tell() / max(self._size, 1))
        if self.packed:
            check_room(self._log, self._bytes, self._size)
        return data

    def blocks(self) -> Iterator[bytes]:
        """What is left, block by block."""
        while block := self.read(_READ_BYTES):
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if file := getattr(self, "_file", None):
            file.close()
        if self._archive:
            self._archive.close()
        super().close()


class _Xz:
    """An xz file as it is unpacked, its streams one after the other."""

    def __init__(self, file: IO[bytes] | pa.NativeFile) -> None:
        self._file = file
        self._unpack: lzma.LZMADecompressor | None = None
        self._waiting = b""

    def read(self, size: int) -> bytes:
        """At most so many bytes. Raises EOFError where the file breaks off."""
        while True:
            if self._unpack is None or self._unpack.eof:
                # streams may be followed by zeros that fill up four bytes
                rest = (self._unpack.unused_data if self._unpack else b"").lstrip(b"\0") or self._file.read(_READ_BYTES)
                if not rest.strip(b"\0"):
                    return b""
                self._unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
                self._waiting = rest
            elif self._unpack.needs_input:
                self._waiting = self._file.read(_READ_BYTES)
                if not self._waiting:
                    raise EOFError("it breaks off")
            data = self._unpack.decompress(self._waiting, size)
            self._waiting = b""
            if data:
                return data


def head_of(log: Log, size: int) -> bytes:
    """The first bytes of a log, unpacked; fewer where it breaks off. Raises TraceError where none can be read."""
    parts: list[bytes] = []
    left = size
    with LogStream(log) as stream:
        while left:
            try:
                data = stream.read(min(left, 1 << 16))
            except TraceError:
                if not parts:
                    raise
                break
            if not data:
                break
            parts.append(data)
            left -= len(data)
    return b"".join(parts)


def text_of(head: bytes) -> bytes:
    """The beginning of a text as UTF-8 without a byte order mark; what is not text in UTF-16 or UTF-32 stays."""
    mark, encoding = encoding_of(head)
    body = head[len(mark) :]
    return body if encoding == "utf-8" else _decoder(encoding).decode(body).encode("utf-8", "replace")


def encoding_of(head: bytes) -> tuple[bytes, str]:
    """The byte order mark that a text begins with, and its encoding: UTF-8 where there is none."""
    return next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", "utf-8"))


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace")


class Utf8Stream(io.RawIOBase):
    """A text as UTF-8 without a byte order mark: invalid bytes become U+FFFD; `replaced` says if there were any."""

    def __init__(self, log: Log) -> None:
        self._file = LogStream(log)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_utf8 = False
        self._waiting = b""
        self.replaced = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._waiting = self._waiting or self.block()
        part = self._waiting[: len(buffer)]
        buffer[: len(part)] = part
        self._waiting = self._waiting[len(part) :]
        return len(part)

    def block(self) -> bytes:
        """The next bytes, as many as there are at once; none at the end."""
        while data := self._file.read(_READ_BYTES):
            if self._is_plain(data):
                return data
            if block := self._encoded(data):
                return block
        return self._encoded(data)

    def _encoded(self, data: bytes) -> bytes:
        text = self._decoded(data)
        self.replaced = self.replaced or "\N{REPLACEMENT CHARACTER}" in text
        return text.encode("utf-8", "replace")

    def _is_plain(self, data: bytes) -> bool:
        """Whether bytes are UTF-8 as they are, which is seen at once of ASCII."""
        decoder = self._decoder
        return decoder is not None and self._is_utf8 and not decoder.getstate()[0] and data.isascii() and bool(data)

    def _decoded(self, data: bytes) -> str:
        if self._decoder is None:
            while data and len(data) < 4 and (more := self._file.read(4 - len(data))):
                data += more
            mark, encoding = encoding_of(data)
            self._is_utf8 = encoding == "utf-8"
            self._decoder, data = _decoder(encoding), data[len(mark) :]
            if not data:
                return ""
        return self._decoder.decode(data, final=not data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _codec_stream(file: IO[bytes] | pa.NativeFile, codec: str) -> pa.NativeFile:
    whole = file if isinstance(file, pa.NativeFile) else pa.PythonFile(file, "r")
    return pa.CompressedInputStream(whole, codec)


def _why(error: Exception) -> str:
    """An error in a few words."""
    words = getattr(error, "strerror", None) or str(error)
    return visible(words.splitlines()[0][:200]) if words else type(error).__name__
