"""A small nightly job: a fleet to compute by hand, a log of a request per hour, a clock that the test sets."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from planner.nightly.due import Scheduler
from planner.nightly.jobs_file import load_jobs
from planner.nightly.ledger import Owner
from planner.store import Store
from tests.conftest import SMALL

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2025, 3, 2)
"""The first night; the first log is of the day before."""


def write_log(folder: Path, day: date, factor: float = 1.0) -> None:
    """A request in every local hour of a day: 9,000 input and 9,000 output tokens at night, 45,000 from 8 to 20."""
    begin = datetime.combine(day, time(), ZONE).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), ZONE).astimezone(UTC)
    lines = ["arrival,input_tokens,output_tokens"]
    while begin < end:
        tokens = round(factor * (45_000 if 8 <= begin.astimezone(ZONE).hour < 20 else 9_000))
        lines.append(f"{begin.isoformat()},{tokens},{tokens}")
        begin += timedelta(hours=1)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / f"{day}.csv").write_text("\n".join(lines) + "\n")


def write_jobs(folder: Path, job: str = "", head: str = "", log: str = 'path = "logs/{date}.csv"') -> Path:
    """A jobs file with one job named n, at 02:30 in Berlin, hourly intervals."""
    sets = [one for one in SMALL if not one.startswith(("timezone", "interval_s"))]
    sets += ["timezone=Europe/Berlin", "interval_s=3600", "policy.name=predictive"]
    path = folder / "jobs.toml"
    path.write_text(
        f"{head}\n[[job]]\nname = 'n'\nat = '02:30'\nset = {json.dumps(sets)}\npictures = false\n"
        f"{job}\n[job.log]\n{log}\n"
    )
    return path


class Clock:
    """A clock that a test sets."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


class Service:
    """A scheduler in this process, with its log as a list of events."""

    def __init__(self, folder: Path, jobs: Path, host: str = "here", pid: int = 1) -> None:
        self.store = Store(folder / "planner.duckdb", wait_s=10)
        self.clock = Clock(night(FIRST))
        self.events: list[dict[str, Any]] = []
        self.stop = threading.Event()
        self.owner = Owner(host, pid, night(FIRST))
        self.jobs = load_jobs(jobs)
        self.on_event: Callable[[Mapping[str, Any]], None] = lambda _event: None

    def log(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})
        self.on_event(self.events[-1])

    def run(self, moment: datetime) -> int:
        """Look for what is due at a moment."""
        self.clock.moment = moment
        return Scheduler(self.store, self.jobs, self.owner, self.clock, self.log, self.stop.is_set).run_due()

    def rows(self, query: str, **params: object) -> list[dict[str, Any]]:
        with self.store.read() as session:
            return session.rows(query, **params)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]


def night(day: date, at: time = time(3)) -> datetime:
    """A moment of a night, by default half an hour after the job is due."""
    return datetime.combine(day, at, ZONE).astimezone(UTC)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]
