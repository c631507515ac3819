"""Ctrl-C reaches queries: Python sees a signal only when the main thread is back from DuckDB, maybe minutes later."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOTHING_STORED = "interrupted; no result was stored"
CODE = 130


@contextmanager
def queries_stop_on_signals() -> Iterator[None]:
    """For Ctrl-C and SIGTERM, as far as this process has a handler for them, queries are stopped.

    The system's handler writes the signal's number to a pipe at once, whatever the main thread does, and a thread reads
    it. The handler of Python then raises its exception in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    out, into = os.pipe()
    os.set_blocking(into, False)
    before = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(out,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(into)
        watcher.join()
        os.close(out)


def leave_queries_alone() -> None:
    """Signals do not stop queries from here on: the process finishes what it is doing, and then ends by itself."""
    signal.set_wakeup_fd(-1)


def _watch(out: int) -> None:
    while number := os.read(out, 1):
        store = sys.modules.get("planner.store.interrupts")  # a command that uses no store has not loaded it
        if number[0] in (signal.SIGINT, signal.SIGTERM) and store and not store.stop_queries():
            store.end_process(f"planner: {NOTHING_STORED}", CODE)
