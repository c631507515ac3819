"""What the service logs: events with named fields, as JSON lines."""

import json
import threading
from typing import Protocol, TextIO

from planner.nightly.dates import Now


class EventLog(Protocol):
    """Where events go. level: info, warning or error."""

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None: ...


def write_events(out: TextIO, now: Now) -> EventLog:
    """A log that writes each event as one JSON line: time, level and name, then the fields of the event.

    Control characters in them are escaped. A line that cannot be written, as on a full disk or with nobody at the other
    end of a pipe, keeps no night from going on: the next line says how many were lost.
    """
    lost = 0
    turn = threading.Lock()

    def log(event: str, *, level: str = "info", **fields: object) -> None:
        nonlocal lost
        with turn:
            line = {"at": now().isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
            text = json.dumps({**line, "lines_lost": lost} if lost else line, default=str)
            try:
                out.write(text + "\n")
                out.flush()
                lost = 0
            except (OSError, ValueError):  # ValueError: it has been closed
                lost += 1

    return log


def add_fields(log: EventLog, **shared: object) -> EventLog:
    """The log with fields that every event gets, before its own."""

    def log_with(event: str, *, level: str = "info", **fields: object) -> None:
        log(event, level=level, **{**shared, **fields})

    return log_with
