"""A small nightly job: a fleet to compute by hand, a log of a request per hour, a clock that the test sets."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from planner.nightly.documents import LedgerRow, NightNotification
from planner.nightly.due import Scheduler
from planner.nightly.jobs_file import load_jobs
from planner.nightly.ledger import Owner
from planner.nightly.past_days import PastDay
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
    sets = [setting for setting in SMALL if not setting.startswith(("timezone", "interval_s"))]
    sets += ["timezone=Europe/Berlin", "interval_s=3600", "policy.name=predictive"]
    path = folder / "jobs.toml"
    path.write_text(
        f"{head}\n[[job]]\nname = 'n'\nat = '02:30'\nset = {json.dumps(sets)}\npictures = false\n"
        f"{job}\n[job.log]\n{log}\n"
    )
    return path


class SetClock:
    """A clock that a test sets."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


class Service:
    """A scheduler in this process, with its log as a list of events."""

    def __init__(self, folder: Path, jobs: Path, host: str = "here", pid: int = 1) -> None:
        self.store = Store(folder / "planner.duckdb", wait_s=10)
        self.clock = SetClock(night(FIRST))
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
        return self.scheduler().run_due()

    def scheduler(self) -> Scheduler:
        return Scheduler(
            store=self.store,
            jobs=self.jobs,
            owner=self.owner,
            clock=self.clock,
            log=self.log,
            stopping=self.stop.is_set,
        )

    def rows(self, query: str, **params: object) -> list[dict[str, Any]]:
        with self.store.read() as session:
            return session.rows(query, **params)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [logged for logged in self.events if logged["event"] == event]


def night(day: date, at: time = time(3)) -> datetime:
    """A moment of a night, by default half an hour after the job is due."""
    return datetime.combine(day, at, ZONE).astimezone(UTC)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def ledger_row(**changes: Any) -> LedgerRow:
    """A date that was done in 90 seconds, with other values where given."""
    started = datetime(2025, 3, 2, 2, tzinfo=UTC)
    row = LedgerRow(
        job="n",
        logical_date=FIRST,
        status="done",
        attempts=1,
        owner="here:1:2025-03-02T02:00:00+00:00",
        lease_until=started,
        started_at=started,
        finished_at=started + timedelta(seconds=90),
        step="prune",
        run_id="run-00001",
        exit_code=0,
        message="",
        announced_at=None,
    )
    return replace(row, **changes)


def past_day(**changes: Any) -> PastDay:
    """A day whose forecast was exact, with other values where given."""
    day = PastDay(
        job="n",
        day=FIRST,
        run_id="run-00001",
        planned_node_hours=100.0,
        needed_node_hours=100.0,
        planned_peak_nodes=6,
        needed_peak_nodes=6,
        requests=24,
        input_tokens=1000,
        output_tokens=1000,
        forecast_input_tokens=1000,
        forecast_output_tokens=1000,
        input_wape=0.0,
        output_wape=0.0,
        input_bias=0.0,
        output_bias=0.0,
        within_quantile=1.0,
        shortfall_tokens=0,
        needed_shortfall_tokens=0,
        shortfall_ratio=0.0,
        excess_cost_usd=0.0,
        shortfall_revenue_usd=0.0,
        error_cost_usd=0.0,
        band_missed=False,
        drift=False,
    )
    return replace(day, **changes)


def notification(**changes: Any) -> NightNotification:
    """How a night ended that was done, with other values where given."""
    told = NightNotification(
        job="n",
        logical_date=FIRST,
        status="done",
        exit_code=0,
        message="",
        run_id="run-00001",
        attempts=1,
        report=None,
    )
    return replace(told, **changes)
