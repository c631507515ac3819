"""Signals that end a command: what it began is removed, one line says so, and the exit code tells which signal it was.

SIGTERM and SIGHUP end a command as Ctrl-C does: by KeyboardInterrupt in the main thread, so that everything on its way
out is closed and removed. Python tells the main thread of a signal only when that is not inside other code: queries of
the store are interrupted, and what else computes there for long is not waited for.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from planner.drafts import discard_all

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
ENDED = frozenset(128 + number for number in _WORDS)
"""Exit codes of commands that a signal has ended."""
_HEARD_S = 3.0
"""How long the main thread has to hear of a signal. Assumed: little of what it calls takes longer."""
_CLEANED_S = 10.0
"""How long it has to clean up then. Assumed: long enough to undo a transaction and end the processes of a sweep."""


@dataclass
class Ending:
    """The signal that ends a command, once one has come."""

    number: int | None = None
    heard: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def message(self) -> str:
        """What became of the command."""
        return f"{_WORDS[signal.Signals(self.number or signal.SIGINT)]}; no result was stored"

    def end(self, number: int, _frame: FrameType | None) -> None:
        """The handler: raises KeyboardInterrupt for the first signal."""
        if self.number is None and not self.over.is_set():
            self.number = number
            self.heard.set()
            raise KeyboardInterrupt


@contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """Raises KeyboardInterrupt in the main thread for the first signal; those that follow do not disturb cleaning up.

    What ignores a signal already, as under nohup, goes on ignoring it.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        # Python tells no other thread of signals
        yield ending
        return
    before = {number: signal.getsignal(number) for number in _WORDS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    with _watched(ending):
        for number in before:
            signal.signal(number, ending.end)
        try:
            yield ending
        finally:
            ending.over.set()
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _watched(ending: Ending) -> Iterator[None]:
    """End the process where its main thread does not hear of a signal, or hangs after it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    outer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, ending), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(outer)
        os.write(writer, b"\0")
        watch.join()
        os.close(writer)
        os.close(reader)


def _watch(reader: int, ending: Ending) -> None:
    """Wait for signals, until a 0 is read."""
    while 0 not in (numbers := os.read(reader, 64)):
        for number in numbers:
            # a command may have a handler of its own, as the nightly service has, which finishes what it is doing
            if signal.getsignal(number) == ending.end:
                for work in (_stop_queries, _end_if_deaf):
                    threading.Thread(target=work, args=(number, ending), daemon=True).start()


def _stop_queries(number: int, ending: Ending) -> None:
    store = sys.modules.get("planner.store.interrupts")  # a command that uses no store has not loaded it
    if store and not store.stop_queries():
        _end(number, ending)


def _end_if_deaf(number: int, ending: Ending) -> None:
    if ending.heard.wait(_HEARD_S):
        ending.over.wait(_CLEANED_S)
    if not ending.over.is_set():
        _end(number, ending)


def _end(number: int, ending: Ending) -> NoReturn:
    """End the process at once."""
    ending.number = ending.number or number
    discard_all()
    with suppress(OSError, ValueError):
        sys.stderr.write(f"planner: {ending.message}\n")
        sys.stderr.flush()
    os._exit(ending.exit_code)
