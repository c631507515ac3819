"""The logs of a job's days: where they are, how they are read, and whether they are whole."""

import glob
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from planner.core.demand import Demand
from planner.errors import TraceError
from planner.files import version
from planner.nightly.day_ahead import day_demand, day_us, longest_silence
from planner.nightly.jobs_file import Job
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace import stored as catalogue
from planner.trace.imports import prometheus
from planner.trace.imports.importer import import_trace
from planner.trace.imports.job import ImportOptions
from planner.units import US_PER_S, from_us


class LogNotReady(TraceError):
    """A day's log is not there, or not whole; it may still come."""


@dataclass(frozen=True)
class Logs:
    """What the logs of a job need to be found and stored. folder: of the jobs file."""

    store: Store
    job: Job
    scenario: Scenario
    folder: Path

    def days(self, session: Session) -> dict[date, str]:
        """Days whose logs are stored: day -> trace."""
        names = [str(row["name"]) for row in session.rows("trace_list")]
        return {day: name for name in names if (day := _day_of(self.job, name)) is not None}

    @property
    def of_server(self) -> bool:
        """Whether a server is asked for the days."""
        return prometheus.is_server(self.job.log.path)

    def is_there(self, day: date) -> bool:
        """Whether a day's log can be asked for."""
        path = self._path(day)
        return self.of_server or bool(glob.glob(path)) or Path(path).exists()  # noqa: PTH207 - Path.glob takes no absolute pattern

    def take(self, day: date, now: datetime) -> dict[str, Any] | None:
        """Store a day's log, or leave it where it is stored whole; returns what to say of it, None where nothing was
        done.

        Raises LogNotReady where it is missing or not whole, TraceError where it cannot be read; then nothing of it
        stays.
        """
        name = trace_name(self.job, day)
        stored = self._stored(day)
        if stored is not None:
            if self._problem(day, stored) is None:
                return None
            # an attempt was killed before it could take it out again
            catalogue.delete(self.store, name)
        path = self._path(day)
        if not self.is_there(day):
            raise LogNotReady(f"{path}: there is no such log; put it there, or correct log.path of job {self.job.name}")
        outcome = import_trace(
            self.store,
            [path],
            format_name=self.job.log.format,
            name=name,
            options=self._options(day),
            now=now,
            version=version(),
        )
        demand = self._stored(day)
        assert demand is not None
        if problem := self._problem(day, demand):
            catalogue.delete(self.store, name)
            raise LogNotReady(f"{path}: {problem}")
        trace = outcome.trace
        return {
            "trace": name,
            "rows": trace.row_count,
            "refused": trace.rows_rejected,
            "other_days": trace.requests - int(demand.requests.sum()),
        }

    def _stored(self, day: date) -> Demand | None:
        """The demand of a day whose log is stored."""
        with self.store.read() as session:
            name = self.days(session).get(day)
            return None if name is None else day_demand(session, name, day, self.scenario)

    def _problem(self, day: date, demand: Demand) -> str | None:
        """What makes a log look incomplete."""
        start_us, length_s = longest_silence(demand)
        if length_s == demand.grid.length_s:
            return f"has nothing of {day}; check that it is that day's log, and log.timezone and log.start of the job"
        if length_s <= self.job.log.longest_silence_s:
            return None
        begin, end = (from_us(at, self.scenario.zone) for at in (start_us, start_us + length_s * US_PER_S))
        return (
            f"has no request from {begin:%H:%M} to {end:%H:%M} of {day}, as if it was not whole; complete it, or raise "
            f"log.longest_silence_s of job {self.job.name} above {length_s}"
        )

    def _path(self, day: date) -> str:
        if self.of_server:
            return self.job.log.path
        path = self.job.log.path.format(date=day)
        if glob.has_magic(path) and not Path(path).is_absolute():
            return str(Path(glob.escape(str(self.folder)), path))
        return str(Path(self.folder, path))

    def _options(self, day: date) -> ImportOptions:
        log = self.job.log
        span = None
        if self.of_server:
            begin_us, end_us = day_us(day, self.scenario)
            span = prometheus.Range(begin_us // US_PER_S, end_us // US_PER_S, log.step_s, log.selector)
        return ImportOptions(
            timezone=log.timezone or self.scenario.timezone,
            start=log.start or datetime.combine(day, time(), self.scenario.zone),
            time_unit=log.time_unit,
            cache_blocks=None if log.cache == "infinite" else log.cache,
            columns=log.columns,
            strict=log.strict,
            draw=log.draw,
            seed=log.seed,
            span=span,
        )


def trace_name(job: Job, day: date) -> str:
    """The trace that a day's log becomes."""
    return f"{job.name}-{day}"


def _day_of(job: Job, trace: str) -> date | None:
    try:
        day = date.fromisoformat(trace.removeprefix(f"{job.name}-"))
    except ValueError:
        return None
    # a trace of somebody else may have a name that is like ours
    return day if trace == trace_name(job, day) else None
