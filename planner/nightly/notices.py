"""Notifications until they have arrived: each is tried again, with pauses, and at every later look.

What has not arrived, or is not to be sent again, is kept in a file beside the store; in memory where that cannot be
written, as on a full disk.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from planner.documents import to_json
from planner.files import atomic_write
from planner.nightly.documents import NightNotification
from planner.nightly.events import EventLog
from planner.nightly.jobs_file import NotifySettings
from planner.nightly.notify import Channel, channels

PAUSES_S = (1.0, 5.0)
"""Seconds before a new notification is tried again. Assumed: what passes soon has passed by then, and a night is not
kept waiting for what does not."""
_STEP_S = 0.1
_VARIES = re.compile(r"[0-9a-f]*\d[0-9a-f]*")
"""Numbers, and random parts of names: a repeated failure may differ in them."""


@dataclass(kw_only=True)
class Notice:
    """A notification. document: as JSON. told: who has it. is_over: whether it would not be made again."""

    document: str
    told: set[Channel] = field(default_factory=set)
    is_new: bool = True
    is_over: bool = False


def gist(message: str) -> str:
    """What a message has in common with those of the same trouble at other times."""
    return _VARIES.sub("#", message)


class Notices:
    """What is to be told, by a key for each trouble, in order.

    Attributes:
        failures: Attempts that failed since the start.
    """

    def __init__(self, path: Path, settings: NotifySettings, log: EventLog, stopping: Callable[[], bool]) -> None:
        self.failures = 0
        self._path, self._log, self._stopping = path, log, stopping
        self._ways = channels(settings)
        self._notices: dict[str, Notice] = {}
        self._problems: dict[Channel, str] = {}
        self._down: set[Channel] = set()
        self._saved = ""
        self._load()

    def add(self, key: str, notification: NightNotification) -> None:
        """Something that is to be told, unless it has been or will be."""
        if key in self._notices:
            self._notices[key].is_over = False
        elif self._ways:
            self._notices[key] = Notice(document=json.dumps(to_json(notification)))

    def is_told(self, key: str) -> bool:
        """Whether it has arrived wherever it is to; or was never to be told."""
        notice = self._notices.get(key)
        return notice is None or notice.told >= self._ways.keys()

    @property
    def waiting(self) -> int:
        """Notifications that have not arrived yet."""
        return sum(not notice.told >= self._ways.keys() for notice in self._notices.values())

    def begin_look(self) -> None:
        """Note that a look begins: ways that failed during the last one are tried again."""
        self._down.clear()

    def deliver(self) -> None:
        """Send what has not arrived; a way that fails is left alone until the next look."""
        for channel, send in self._ways.items():
            for notice in self._notices.values():
                if channel in notice.told or channel in self._down:
                    continue
                problem = self._try(send, notice.document, PAUSES_S if notice.is_new else ())
                if problem is not None:
                    self._fail(channel, problem)
                    continue
                notice.told.add(channel)
                self._problems.pop(channel, None)
                self._log("notified", to=channel)
        for notice in self._notices.values():
            notice.is_new = False

    def end(self, kind: str, still: Iterable[str] = ()) -> None:
        """Note what is over: it is told if it has not been, and would be told again. kind: what keys begin with."""
        kept = set(still)
        for key, notice in self._notices.items():
            if key.startswith(kind) and key not in kept:
                notice.is_over = True

    def save(self) -> None:
        """Forget what has arrived and is over; remember the rest, in the file if it can be written."""
        self._notices = {
            key: notice
            for key, notice in self._notices.items()
            if not (notice.is_over and notice.told >= self._ways.keys())
        }
        kept = [
            {"key": key, "document": notice.document, "told": sorted(notice.told), "is_over": notice.is_over}
            for key, notice in self._notices.items()
        ]
        text = json.dumps({"notices": kept}) if kept else ""
        if text == self._saved:
            return
        try:
            if text:
                with atomic_write(self._path) as draft:
                    draft.write_text(text, encoding="utf-8")
            else:
                self._path.unlink(missing_ok=True)
            self._saved = text
        except OSError as error:
            # a disk that is full is what is to be told
            self._log("kept in memory", level="warning", path=str(self._path), why=error.strerror, notices=len(kept))

    def _load(self) -> None:
        try:
            self._saved = self._path.read_text(encoding="utf-8")
            for kept in json.loads(self._saved)["notices"]:
                document, told, is_over = str(kept["document"]), set(kept["told"]), bool(kept["is_over"])
                self._notices[str(kept["key"])] = Notice(document=document, told=told, is_new=False, is_over=is_over)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError) as error:
            self._log("not remembered", level="error", path=str(self._path), why=f"cannot be read: {error}")

    def _try(self, send: Callable[[str], str | None], document: str, pauses_s: tuple[float, ...]) -> str | None:
        """Send once, and once more after each pause, until it arrives; returns the last problem."""
        problem = send(document)
        for pause_s in pauses_s:
            if problem is None or not self._pause(pause_s):
                break
            self.failures += 1
            problem = send(document)
        return problem

    def _pause(self, pause_s: float) -> bool:
        """Wait, unless the service is asked to stop."""
        end = time.monotonic() + pause_s
        while (left_s := end - time.monotonic()) > 0 and not self._stopping():
            time.sleep(min(left_s, _STEP_S))
        return not self._stopping()

    def _fail(self, channel: Channel, problem: str) -> None:
        self.failures += 1
        self._down.add(channel)
        # the same at every look is said once
        if self._problems.get(channel) != problem:
            self._log("notification failed", level="error", problem=problem, waiting=self.waiting)
        self._problems[channel] = problem
