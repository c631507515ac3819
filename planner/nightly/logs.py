"""The logs of a job's days: where they are, how they are read, and whether they are complete."""

import glob
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import numpy as np

from planner.addresses import is_web_address, shown
from planner.core.demand import Demand
from planner.core.forecast.history import COUNTED
from planner.core.forecast.past import runs
from planner.errors import NoRequests, TraceError
from planner.files import version
from planner.nightly.jobs_file import NightlyJob
from planner.nightly.local_days import day_demand, day_grid, day_us, is_mostly_incident, silences
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace import stored as stored_traces
from planner.trace.imports import prometheus
from planner.trace.imports.importer import import_trace
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.mapping import LogMapping, listed, load_mapping, text_of
from planner.trace.silent import add_silence
from planner.units import US_PER_S, from_us

_MOST_SILENT = 0.5
"""Share of a day that may be silent for its log to be used; the silence is taken to be missing. Assumed."""


class LogNotReady(TraceError):
    """A day's log is missing or incomplete; it may still arrive."""


class LogLeftOut(TraceError):
    """A day that is declared an incident has no log, or one without requests: nothing would be learned of it."""


@dataclass(frozen=True, kw_only=True)
class StoredLog:
    """A log that was just stored as a trace. rows: rows read, those of other days included.

    refused: rows that could not be read. other_days: requests of other days in the trace.
    """

    trace: str
    rows: int
    refused: int
    other_days: int


@dataclass(frozen=True, kw_only=True)
class JobLogs:
    """Finds and stores the logs of a job. folder: of the jobs file."""

    store: Store
    job: NightlyJob
    scenario: Scenario
    folder: Path

    def days(self, session: Session) -> dict[date, str]:
        """Days whose logs are stored: day -> trace."""
        names = session.frame("trace_list")["name"].to_list()
        return {day: name for name in names if (day := day_of_trace(self.job, name)) is not None}

    @property
    def from_server(self) -> bool:
        """Whether days are queried from a server."""
        return is_web_address(self.job.log.path)

    def is_available(self, day: date) -> bool:
        """Whether a day's log can be read."""
        path = self._path(day)
        return self.from_server or bool(glob.glob(path)) or Path(path).exists()  # noqa: PTH207 - Path.glob takes no absolute pattern

    def store_day(self, day: date, now: datetime) -> StoredLog | None:
        """Store a day's log; None if it is already stored completely.

        Raises LogLeftOut if there is none and none is needed, LogNotReady if it is missing or incomplete, TraceError
        where it cannot be read; then nothing of it stays.
        """
        name = trace_name(self.job, day)
        stored = self._stored(day)
        if stored is not None:
            if self._problem(day, stored) is None:
                return None
            # an attempt was killed before it could delete it again
            stored_traces.delete(self.store, name)
        path = self._path(day)
        if not self.is_available(day):
            self._check_needed(day, f"{path}: there is no such log")
            raise LogNotReady(
                f"{path}: there is no such log; add it, correct log.path of job {self.job.name}, or declare {day} as "
                "[[incident]] in the jobs file if it will not come"
            )
        try:
            account = import_trace(
                self.store,
                [path],
                format_name=self.job.log.format,
                name=name,
                options=self.import_options(day),
                now=now,
                version=version(),
                mapping=self._mapping(),
            )
        except NoRequests as error:
            return self._store_silence(day, path, now, error)
        demand = self._stored(day)
        assert demand is not None
        if problem := self._problem(day, demand):
            stored_traces.delete(self.store, name)
            raise LogNotReady(f"{shown(path) if self.from_server else path}: {problem}")
        return StoredLog(
            trace=name,
            rows=account.rows,
            refused=account.rows_rejected,
            other_days=account.requests - int(demand.requests.sum()),
        )

    def _store_silence(self, day: date, path: str, now: datetime, error: NoRequests) -> StoredLog:
        """Store a day whose log has no request where that is expected. Raises LogLeftOut, LogNotReady."""
        self._check_needed(day, f"{shown(path) if self.from_server else path}: has no request of {day}")
        grid = day_grid(day, self.scenario)
        if self._problem(day, Demand(grid=grid, **{name: np.zeros(grid.count, np.int64) for name in COUNTED})):
            raise LogNotReady(f"{error}, or {_declare(day)}") from error
        add_silence(
            self.store,
            trace_name(self.job, day),
            (grid.start_us, grid.end_us),
            source=shown(path) if self.from_server else path,
            timezone=self.scenario.timezone,
            now=now,
            version=version(),
        )
        return StoredLog(trace=trace_name(self.job, day), rows=0, refused=0, other_days=0)

    def _check_needed(self, day: date, why: str) -> None:
        """Raises LogLeftOut if a day is declared to tell nothing: what came then is unknown, not zero."""
        if is_mostly_incident(day, self.scenario):
            raise LogLeftOut(
                f"{why}, and more than half of that day is declared in [[incident]] or forecast.ignore, so the plan is "
                "made without it"
            )

    def _stored(self, day: date) -> Demand | None:
        """The demand of a day whose log is stored."""
        with self.store.read() as session:
            name = self.days(session).get(day)
            return None if name is None else day_demand(session, name, day, self.scenario)

    def _problem(self, day: date, demand: Demand) -> str | None:
        """What makes a log look incomplete."""
        silent = silences(demand, self.job.log.longest_silence_s, self.scenario)
        if silent.mean() <= _MOST_SILENT:
            return None
        if silent.all():
            return (
                f"has no request on {day}; check that it is that day's log, and log.timezone and log.start of the job, "
                f"or {_declare(day)}"
            )
        gaps = " and ".join(self._clock(demand, *run) for run in runs(silent))
        return (
            f"has no request {gaps} on {day}, more than half of the day, so it looks incomplete; complete it, raise "
            f"log.longest_silence_s of job {self.job.name}, or {_declare(day)}"
        )

    def _clock(self, demand: Demand, first: int, end: int) -> str:
        """When intervals of a day begin and end, by its clock."""
        grid, zone = demand.grid, self.scenario.zone
        begin, until = (from_us(grid.start_us + index * grid.interval_us, zone) for index in (first, end))
        return f"from {begin:%H:%M} to {until:%H:%M}"

    def _path(self, day: date) -> str:
        if self.from_server:
            return self.job.log.path
        path = self.job.log.path.format(date=day)
        if glob.has_magic(path) and not Path(path).is_absolute():
            return str(Path(glob.escape(str(self.folder)), path))
        return str(Path(self.folder, path))

    def _mapping(self) -> LogMapping | None:
        """The mapping that the job names."""
        name = self.job.log.mapping
        return None if name is None else load_mapping(self.folder / name)

    def import_options(self, day: date) -> ImportOptions:
        """How a day's log is read."""
        log, mapping = self.job.log, self._mapping()
        span = None
        if self.from_server:
            begin_us, end_us = day_us(day, self.scenario)
            start_s, end_s = begin_us // US_PER_S, end_us // US_PER_S
            span = prometheus.CounterSpan(start_s=start_s, end_s=end_s, step_s=log.step_s, selector=log.selector)
        return ImportOptions(
            timezone=log.timezone or (mapping.timezone if mapping else None) or self.scenario.timezone,
            start=log.start or datetime.combine(day, time(), self.scenario.zone),
            is_started=log.start is not None,
            time_unit=log.time_unit,
            time_format=log.time_format,
            block_tokens=log.block_tokens,
            cache_blocks=None if log.cache == "infinite" else log.cache,
            columns=log.columns,
            constants={field: text_of(value) for field, value in log.constants.items()},
            where={path: tuple(map(text_of, listed(values))) for path, values in log.where.items()},
            records=(log.records,) if log.records else (),
            strict=log.strict,
            draw=log.draw,
            seed=log.seed,
            span=span,
            cached=log.cached,
            metrics={field: (names,) if isinstance(names, str) else names for field, names in log.metrics.items()},
            headers=log.headers,
            bearer_token_file=None if log.bearer_token_file is None else Path(self.folder, log.bearer_token_file),
        )


def _declare(day: date) -> str:
    """How a silence is declared, which is the cure where a log is as whole as it will be."""
    return (
        f'have the scenario expect it with forecast.accept=["{day}"] if the silence is real, or declare it as '
        "[[incident]] in the jobs file if it is not"
    )


def trace_name(job: NightlyJob, day: date) -> str:
    """The trace that a day's log becomes."""
    return f"{job.name}-{day}"


def day_of_trace(job: NightlyJob, trace: str) -> date | None:
    """The day whose log a trace is; None for other traces."""
    try:
        day = date.fromisoformat(trace.removeprefix(f"{job.name}-"))
    except ValueError:
        return None
    # a trace that no job stored may have a similar name
    return day if trace == trace_name(job, day) else None
