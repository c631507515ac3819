"""One scheduler per store: a lock that the operating system drops with its process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.errors import PlannerError
from planner.store.published import scheduler_file

_TRIES, _AGAIN_S = 5, 0.02


@contextmanager
def scheduler_lock(store: Path) -> Iterator[None]:
    """Hold the scheduler's lock of a store. Raises PlannerError if another process has it."""
    path = scheduler_file(store)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PlannerError(f"{path}: cannot be created: {error.strerror}; name another store with --db") from error
    try:
        try:
            _lock(handle)
        except OSError as error:
            holder = os.read(handle, 32).decode(errors="replace").strip()
            raise PlannerError(
                f"another scheduler{f' (process {holder})' if holder else ''} is working on {store}; "
                "wait for it or stop it, or name another store with --db"
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        # the file stays: if it were removed, two processes could lock two files of the same name
        os.close(handle)


def _lock(handle: int) -> None:
    """Lock a file. A reader that looks whether it is locked holds it for a moment. Raises OSError."""
    for _ in range(_TRIES):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_AGAIN_S)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
