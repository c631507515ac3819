"""What the service logs: events with named fields, as JSON lines."""

import json
from typing import Protocol, TextIO

from planner.nightly.dates import Now


class EventLog(Protocol):
    """Where events go. level: info, warning or error."""

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None: ...


def write_events(out: TextIO, now: Now) -> EventLog:
    """A log that writes each event as one JSON line: time, level and name, then the fields of the event."""

    def log(event: str, *, level: str = "info", **fields: object) -> None:
        line = {"at": now().isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
        out.write(json.dumps(line, default=str) + "\n")
        out.flush()

    return log


def add_fields(log: EventLog, **shared: object) -> EventLog:
    """The log with fields that every event gets, before its own."""

    def log_with(event: str, *, level: str = "info", **fields: object) -> None:
        log(event, level=level, **{**shared, **fields})

    return log_with
