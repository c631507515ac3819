"""Where logs are: files, folders of daily files, patterns, zip archives; identified by their digest."""

import glob
import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from planner.errors import TraceError
from planner.text import quoted, visible
from planner.trace.imports import unpacking
from planner.trace.imports.unpacking import ZIP, Log, LogStream

_PACKED = (".gz", ".zst", ".zstd", ".bz2", ".xz", ".lz4")
_TEXTS = (".csv", ".tsv", ".psv", ".json", ".jsonl", ".ndjson")
_TABLES = (".parquet", ".arrow", ".arrows", ".feather", ".ipc")
_SUFFIXES = (*_TEXTS, *_TABLES, ".zip")
SERVEGEN_TRACES = "chunk-*-trace.csv"
"""Published: the files of a ServeGen folder, one per client."""
_PLAIN_SUFFIXES = ("", ".log", ".txt")
"""What logs are called where no file has a name that tells its kind, as in many a bucket."""
_WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers")
_DELTA = "_delta_log"
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class LogFiles:
    """Logs in the order they are read, and the names of other files, which are not logs."""

    logs: tuple[Log, ...]
    skipped: tuple[str, ...]


def expand(words: Sequence[str | Path]) -> LogFiles:
    """The logs that files, folders and patterns name; those of a folder or pattern by name. Raises TraceError.

    A pattern means the files that it matches, or what is in the folders, where it matches no file. Folders are looked
    into as deep as they go, and a zip archive means the logs in it.
    """
    try:
        named = _named(words)
        for log in named.logs:
            for file in files_of(log):
                _check(file)
        logs = _unzipped(named)
    except OSError as error:
        raise TraceError(f"{error.filename}: cannot be read: {error.strerror}; check the path") from error
    except ValueError as error:
        raise TraceError(f"{quoted(str(words[0]))}: cannot be read: {error}; check the path") from error
    _check_names(logs.logs)
    return logs


def files_of(log: Log) -> list[Path]:
    """The files of a log: itself, or those of a ServeGen folder by name."""
    return sorted(log.path.glob("chunk-*")) if log.path.is_dir() else [log.path]


def digests(logs: Iterable[Log]) -> dict[Log, str]:
    """sha256 of every log's bytes. Raises TraceError where two hold the same, which would count requests twice."""
    digest_of: dict[Log, str] = {}
    first: dict[str, Log] = {}
    for log in logs:
        digest_of[log] = digest = _digest(log)
        if digest in first:
            raise TraceError(f"{first[digest]} and {log} have the same content; leave one out")
        first[digest] = log
    return digest_of


def _named(words: Sequence[str | Path]) -> LogFiles:
    logs: list[Log] = []
    skipped: list[str] = []
    for word in words:
        for path in _matches(str(word)):
            if path.is_dir() and not _is_servegen(path):
                inside, others = _inside(path)
                logs += inside
                skipped += others
            else:
                logs.append(Log(path))
    return LogFiles(tuple(logs), tuple(skipped))


def _matches(word: str) -> list[Path]:
    """What a word names: a path as it is, or what matches a pattern. Raises TraceError where nothing does."""
    if not glob.has_magic(word) or Path(word).exists():
        return [Path(word)]
    matches = sorted(Path(match) for match in glob.glob(word, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise TraceError(f"{word}: matches no file; check the pattern")
    return [path for path in matches if not path.is_dir() or _is_servegen(path)] or matches


def _inside(folder: Path) -> tuple[list[Log], list[str]]:
    """The logs in a folder and the folders in it, and the names of its other files. Raises TraceError without logs."""
    names = sorted(_below(folder))
    endings = {name: _unpacked(Path(name)).suffix.lower() for name in names if not (folder / name).is_dir()}
    # a folder is listed where it is a log as a whole, or is not looked into
    chosen = {name for name in names if _is_servegen(folder / name)}
    chosen |= {name for name, ending in endings.items() if ending in _SUFFIXES}
    chosen = chosen or {name for name, ending in endings.items() if ending in _PLAIN_SUFFIXES}
    if not chosen:
        raise TraceError(
            f"{folder}: has no log file; name a folder with {', '.join(_SUFFIXES)} files, or its files by a pattern"
        )
    logs = [Log(folder / name, label=visible(name)) for name in names if name in chosen]
    others = [name if name in endings else f"{name}/" for name in names if name not in chosen]
    return logs, [visible(name) for name in others]


def _below(folder: Path) -> Iterator[str]:
    """The files below a folder, and folders that are not looked into, by their names from there.

    Hidden ones are left out, and folders that begin with _, where programs keep what is not data. Links to folders may
    lead round in a circle. Raises TraceError for a Delta table, whose files include replaced ones.
    """
    for at, folders, names in os.walk(folder):
        here = Path(at)
        if _DELTA in folders:
            raise TraceError(
                f"{here}: is a Delta table, and its files include rows that were replaced; export it to Parquet first"
            )
        listed = [name for name in folders if not name.startswith(".")]
        whole = [
            name for name in listed if name.startswith("_") or (here / name).is_symlink() or _is_servegen(here / name)
        ]
        folders[:] = [name for name in listed if name not in whole]
        files = [name for name in names if not name.startswith(".") and (here / name).is_file()]
        yield from (str((here / name).relative_to(folder)) for name in (*files, *whole))


def _is_servegen(folder: Path) -> bool:
    return any(folder.glob(SERVEGEN_TRACES))


def _unpacked(path: Path) -> Path:
    """The name of a packed log once it is unpacked."""
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def _unzipped(named: LogFiles) -> LogFiles:
    """The same with the members of zip archives instead of them. Raises TraceError, OSError."""
    logs: list[Log] = []
    skipped = list(named.skipped)
    for log in named.logs:
        if log.path.is_dir() or not _is_zip(log.path):
            logs.append(log)
        else:
            members, others = _members(log)
            logs += members
            skipped += others
    return LogFiles(tuple(logs), tuple(skipped))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == ZIP


def _members(archive: Log) -> tuple[list[Log], list[str]]:
    """The logs of a zip archive, and the names of its other files. Raises TraceError.

    A single file is a log whatever its name is.
    """
    try:
        with zipfile.ZipFile(archive.path) as file:
            infos = [info for info in file.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise TraceError(
            f"{archive}: cannot be read as a zip archive ({visible(str(error))}); check that the file is complete"
        ) from error
    names = {info.filename for info in infos}
    if archive.path.suffix.lower() in _WORKBOOKS or "[Content_Types].xml" in names or "mimetype" in names:
        raise TraceError(f"{archive}: is a workbook, as spreadsheet programs write; save its sheet as CSV first")
    unpacking.check_room(archive, sum(info.file_size for info in infos))
    chosen = [info for info in infos if _unpacked(Path(info.filename)).suffix.lower() in _SUFFIXES or len(infos) == 1]
    if not chosen:
        raise TraceError(f"{archive}: has no log file; put {', '.join(_SUFFIXES[:-1])} files in it, or unpack it")
    label = archive.name
    logs = [Log(archive.path, info.filename, f"{label}:{visible(info.filename)}") for info in chosen]
    for log, info in zip(logs, chosen, strict=True):
        if info.flag_bits & 1:
            raise TraceError(f"{log}: is encrypted; unpack it with its password first")
    if len(names) < len(infos):
        raise TraceError(f"{archive}: has two files of one name; unpack it and give the right one")
    return logs, [f"{label}:{visible(info.filename)}" for info in infos if info not in chosen]


def _is_hidden(member: str) -> bool:
    """Whether a file or a folder above it is hidden, as what macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member).parts)


def _check_names(logs: Iterable[Log]) -> None:
    """Raises TraceError where a log exists both packed and unpacked, which would count its requests twice."""
    by_name: dict[Path, Log] = {}
    for log in logs:
        other = by_name.setdefault(_unpacked(Path(str(log))), log)
        if other != log:
            raise TraceError(f"{other} and {log} are the same log by their names, compressed and not; leave one out")


def _check(path: Path) -> None:
    """Raises TraceError or OSError for what is not a file that can be read."""
    if path.exists() and not path.is_file():
        raise TraceError(f"{path}: is not a regular file, and a log is read more than once; save it to a file first")
    with path.open("rb") as file:
        file.read(1)


def _digest(log: Log) -> str:
    digest = hashlib.sha256()
    if log.member is not None:
        with LogStream(log, unpack=False) as stream:
            for block in stream.blocks():
                digest.update(block)
        return digest.hexdigest()
    for file in files_of(log):
        if log.path.is_dir():
            digest.update(file.name.encode())
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            yield block
