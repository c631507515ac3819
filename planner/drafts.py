"""Drafts: files and folders in the making, or for a while only; and the sweeping of those that a kill left behind.

Whoever makes a draft holds a lock on it, which the operating system drops however the process ends. So what is unlocked
belongs to nobody: neither a reused process number nor another container on the same machine can be mistaken for an
owner. The name tells the machine, as locks are not seen from another one on every shared file system: what comes from
elsewhere goes by its age, and so does what an earlier version left.
"""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_IMPORT = "planner-import"
_MARK = "planner-draft"
_TOKEN = "([0-9a-f]{8})-([0-9a-f]{8})-[0-9a-f]{8}"
_EXAMPLE = "01234567-01234567-01234567"
_NAME = re.compile(rf"(?:\..+\.{_MARK}|{_IMPORT})-{_TOKEN}", re.DOTALL)
_MOST_BYTES = 255
"""Of a name, on the usual file systems."""
_OLD_S = 24 * 3600.0
"""Age at which a draft goes whose owner cannot be asked. Assumed: longer than any command takes."""
_EARLIER_IMPORT = re.compile(_IMPORT + r"-[a-z0-9_]{8}")
_EARLIER_CONTENT = re.compile(r"table(-\d+\.parquet)?|log-\d+\.parquet|duckdb_temp_.*")
_EARLIER_STORE = re.compile(r"\.(.+)\.new-[0-9a-f]{8}(\.wal)?", re.DOTALL)

_Entry = os.DirEntry[str]
_Made = tuple[Path, int]
"""A draft, and the handle that holds its lock."""
_live: dict[Path, int] = {}
"""Drafts that are in use, and the process that made them: after a fork they are the parent's still."""


@contextmanager
def draft_file(beside: Path) -> Iterator[Path]:
    """An empty file beside the one that is to be written, removed at the end if it still has its name.

    Raises OSError.
    """
    sweep(beside.parent)
    yield from _kept(_made(beside, lambda: beside.with_name(_hidden(beside.name)), _new_file))


@contextmanager
def draft_folder(beside: Path) -> Iterator[Path]:
    """An empty folder beside what is to be made in it, removed at the end if it still has its name. Raises OSError."""
    sweep(beside.parent)
    yield from _kept(_made(beside, lambda: beside.with_name(_hidden(beside.name)), _new_folder))


@contextmanager
def import_folder() -> Iterator[Path]:
    """An empty folder among the system's temporary ones, removed at the end. Raises OSError."""
    sweep_imports()
    parent = _temporary()
    yield from _kept(_made(parent, lambda: parent / f"{_IMPORT}-{_token()}", _new_folder))


def is_draft(path: Path) -> bool:
    """Whether a path is that of a draft, by its name."""
    return _NAME.fullmatch(path.name) is not None


def is_in_use(beside: Path) -> bool:
    """Whether any process on this machine has a draft of a file beside this one in use."""
    begin = _hidden(beside.name, "")
    try:
        with os.scandir(beside.parent) as entries:
            alike = [
                Path(entry.path) for entry in entries if entry.name.startswith(begin) and _NAME.fullmatch(entry.name)
            ]
    except OSError:
        # who needs the folder will say so
        return False
    return any(_is_taken(path) for path in alike)


def discard_all() -> None:
    """Remove every draft of this process: for one that is about to end."""
    for path, owner in list(_live.items()):
        if owner == os.getpid():
            _remove(path)


def sweep(folder: Path) -> None:
    """Remove the drafts in a folder that nobody holds."""
    _sweep(folder, lambda _entry: False)


def sweep_imports() -> None:
    """Remove the temporary folders of imports that nobody holds."""
    _sweep(_temporary(), _is_earlier_import)


def sweep_beside_store(store: Path) -> None:
    """Remove the drafts beside a store that nobody holds."""
    copy = f".{store.stem}.published{store.suffix}.draft"
    _sweep(store.parent, lambda entry: _is_earlier_store(entry, store.name, copy))


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: they survive a power cut. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(made: _Made) -> Iterator[Path]:
    """A draft while it is in use."""
    path, handle = made
    try:
        yield path
    finally:
        _remove(path)
        os.close(handle)
        del _live[path]


def _made(aim: Path, named: Callable[[], Path], create: Callable[[Path], int]) -> _Made:
    """A new draft with its lock. aim: what errors name."""
    while True:
        path = named()
        _live[path] = os.getpid()
        try:
            handle = create(path)
        except BaseException as error:
            # a folder may be there already
            _remove(path)
            del _live[path]
            if isinstance(error, OSError):
                error.filename = str(aim)
            raise
        # a sweeper, or who looks whether it is in use, may have come between making and locking it
        if _lock(handle) != "taken" and _is_at(handle, path):
            return path, handle
        _remove(path)
        os.close(handle)
        del _live[path]


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir(mode=0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _lock(handle: int) -> str:
    """Lock a draft: "held" or "taken", or "unknown" where the file system knows no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "taken"
    except OSError:
        return "unknown"
    return "held"


def _is_taken(path: Path) -> bool:
    """Whether somebody holds the lock of a draft of a file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except PermissionError:
        # another user's, who alone could tell
        return True
    except OSError:
        # it has gone meanwhile, or is a folder, which is a draft of something else
        return False
    try:
        # shared, and for a moment: another process that looks at the same time sees no owner in this one
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _is_at(handle: int, path: Path) -> bool:
    """Whether what is open still has this name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    return False


def _remove(path: Path) -> None:
    """Remove a draft, whatever of it is there. What cannot be removed harms nobody, and is tried again by sweepers."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sweep(folder: Path, is_earlier: Callable[[_Entry], bool]) -> None:
    try:
        with os.scandir(folder) as entries:
            hidden = [entry for entry in entries if entry.name.startswith((".", _IMPORT))]
    except OSError:
        # it is not there, or may not be read: who needs it will say so
        return
    for entry in hidden:
        # another process may sweep at the same time
        with suppress(OSError):
            if match := _NAME.fullmatch(entry.name):
                _sweep_draft(entry, host=match[1], boot=match[2])
            elif is_earlier(entry):
                _remove(Path(entry.path))


def _sweep_draft(entry: _Entry, *, host: str, boot: str) -> None:
    """Remove a draft if nobody holds it."""
    found = entry.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid() or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return
    kind = os.O_RDONLY | os.O_DIRECTORY if stat.S_ISDIR(found.st_mode) else os.O_RDWR
    handle = os.open(entry.path, kind | os.O_NOFOLLOW)
    try:
        lock = _lock(handle)
        is_certain = lock == "held" and (host == _host() or boot == _boot())
        # it may have been moved into its place since it was listed
        if lock != "taken" and _is_at(handle, Path(entry.path)) and (is_certain or _is_old(entry)):
            _remove(Path(entry.path))
    finally:
        os.close(handle)


def _is_earlier_import(entry: _Entry) -> bool:
    """Whether an earlier version left it: old, of this user, and with nothing in it but what imports put there."""
    if not _EARLIER_IMPORT.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    with os.scandir(entry.path) as inside:
        return _is_old(entry) and all(_EARLIER_CONTENT.fullmatch(each.name) and _is_old(each) for each in inside)


def _is_earlier_store(entry: _Entry, store: str, copy: str) -> bool:
    """Whether an earlier version left it as a new store, or as the draft of a published copy."""
    match = _EARLIER_STORE.fullmatch(entry.name)
    is_named = entry.name.removesuffix(".wal") == copy or (match is not None and match[1] in (store, copy))
    return is_named and entry.is_file(follow_symlinks=False) and _is_old(entry)


def _is_old(entry: _Entry) -> bool:
    found = entry.stat(follow_symlinks=False)
    return found.st_uid == os.geteuid() and time.time() - found.st_mtime > _OLD_S


def _temporary() -> Path:
    """The folder of temporary files. Python's own way to it writes a file there, which a kill may leave."""
    if tempfile.tempdir is not None:
        return Path(os.fsdecode(tempfile.tempdir))
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    places = [Path(place) for place in (*named, "/tmp", "/var/tmp", "/usr/tmp") if place]
    return next((place for place in places if os.access(place, os.W_OK | os.X_OK) and place.is_dir()), Path.cwd())


def _token() -> str:
    return f"{_host()}-{_boot()}-{secrets.token_hex(4)}"


def _hidden(name: str, token: str | None = None) -> str:
    """The name of a draft beside a file of that name; wherever the file's is short enough, it is too.

    token: what distinguishes it; None for a new one, empty for how all such names begin.
    """
    end = f".{_MARK}-{_token() if token is None else token}"
    most = _MOST_BYTES - len(f"..{_MARK}-{_EXAMPLE}")
    return f".{os.fsdecode(os.fsencode(name)[:most])}{end}"


@cache
def _host() -> str:
    """This machine or container, by its name: after a restart, what it held is free."""
    return _digest(socket.gethostname())


@cache
def _boot() -> str:
    """This machine since its start, with all its containers: they see each other's locks."""
    try:
        return _digest(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    except OSError:
        return _host()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
