"""One scheduler per store: a lock that the operating system drops with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.errors import PlannerError


@contextmanager
def scheduler_lock(store: Path) -> Iterator[None]:
    """Hold the scheduler's lock of a store. Raises PlannerError if another process has it."""
    path = store.with_name(f".{store.name}.scheduler")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PlannerError(f"{path}: cannot be created: {error.strerror}; name another store with --db") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
