"""Queries that run in this process, so that another thread can stop them.

DuckDB looks for signals only now and then, and not at all in some operators: a sort went on for six seconds after
Ctrl-C, a long list for minutes. A connection that is interrupted from outside stops within a tenth of a second, but for
a function that works on one huge value.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import NoReturn

import duckdb

PATIENCE_S = 0.7
"""How long a query that is interrupted may take to end, before the process does. Assumed: with what comes before and
after it, under a second."""
_AGAIN_S = 0.02
"""An interruption is lost on a connection that is between two queries, so it is repeated."""
_LOOK_S = 0.1
"""How often it is looked whether there is a reason to stop."""
_INTERRUPTED = ("Query interrupted", "INTERRUPT Error: Interrupted!")
"""What DuckDB says where it has seen Ctrl-C itself, and where Arrow passes on what it says."""


@dataclass(frozen=True, eq=False)
class _Running:
    """A connection in use. may_be_cut: whether nothing has to be put in order if the process ends."""

    connection: duckdb.DuckDBPyConnection
    may_be_cut: bool


_running: list[_Running] = []
_lock = Lock()


@contextmanager
def interruptible(connection: duckdb.DuckDBPyConnection, *, may_be_cut: bool = False) -> Iterator[None]:
    """For the time of its queries a connection can be interrupted, which raises KeyboardInterrupt.

    may_be_cut: whether the process may end in the middle of a query.
    """
    running = _Running(connection, may_be_cut)
    with _lock:
        _running.append(running)
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except (RuntimeError, OSError) as error:
        if str(error) in _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
    finally:
        with _lock:
            _running.remove(running)


def stop_queries(patience_s: float = PATIENCE_S) -> bool:
    """Interrupt what runs until it has ended; whether it has. False only where all of it may be cut."""
    deadline = time.monotonic() + patience_s
    while running := _now_running():
        if time.monotonic() > deadline and all(one.may_be_cut for one in running):
            return False
        for one in running:
            # it may have been closed since
            with suppress(duckdb.Error):
                one.connection.interrupt()
        time.sleep(_AGAIN_S)
    return True


def end_process(line: str, code: int) -> NoReturn:
    """End the process at once, with a line on stderr: where a query cannot be interrupted."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    os._exit(code)


class Stopper:
    """Stops the queries of this process once there is a reason to.

    reason: why it did; None as long as it has not.
    """

    def __init__(self, look: Callable[[float], str | None]) -> None:
        """look: tells why queries are to be stopped, if they are, from the seconds since the block was entered."""
        self.reason: str | None = None
        self._look = look
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Stopper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        begin = time.monotonic()
        while not self._over.wait(_LOOK_S):
            if reason := self._look(time.monotonic() - begin):
                self.reason = reason
                # between two queries nothing runs, and the next one is stopped
                if not stop_queries():
                    end_process(f"planner: {reason}", 1)


def _now_running() -> list[_Running]:
    with _lock:
        return list(_running)
