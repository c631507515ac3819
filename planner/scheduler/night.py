"""The steps of one date of a job. Each leaves all or nothing behind and is passed over where it was done before."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from planner.actuals import DAYS, against_actual, beyond_band, drifted
from planner.ahead import day_demand, expected_demand, forecast_rows, history, plan_ahead
from planner.errors import PlannerError, TraceError
from planner.exporting import export_run, put
from planner.pipeline import load_run, version
from planner.report.write import write_report
from planner.results import Nightly, RunView, delete_run, missed_limits, save_plan
from planner.scenario.models import Scenario
from planner.scheduler.dates import ONE_DAY
from planner.scheduler.ledger import Claim
from planner.scheduler.settings import Job
from planner.store import Store
from planner.trace import catalogue
from planner.trace.import_job import ImportOptions
from planner.trace.importer import import_trace

Clock = Callable[[], datetime]
Log = Callable[..., None]


class Stopped(Exception):
    """The service is asked to stop; the night goes on at the next start."""


@dataclass(frozen=True)
class Night:
    """What the steps of a date need.

    folder: of the jobs file; out: of reports. stopping: whether to stop before the next step.
    """

    store: Store
    job: Job
    scenario: Scenario
    folder: Path
    out: Path
    day: date
    claim: Claim
    clock: Clock
    log: Log
    stopping: Callable[[], bool]

    @property
    def log_day(self) -> date:
        """The day whose log is read: yesterday."""
        return self.day - ONE_DAY

    @property
    def planned_day(self) -> date:
        """The day that is planned: tomorrow."""
        return self.day + ONE_DAY

    def run(self) -> list[str]:
        """All steps; returns the stated limits that were missed, a line each. Raises Stopped, PlannerError."""
        steps: tuple[tuple[str, Callable[[], list[str] | None]], ...] = (
            ("import", self._import),
            ("compare", self._compare),
            ("plan", self._plan),
            ("export", self._export),
            ("report", self._report),
            ("prune", self._prune),
        )
        missed = []
        for name, step in steps:
            if self.stopping():
                raise Stopped
            self.claim.step(name, self.clock())
            self.log("step", step=name)
            missed += step() or []
        return missed

    def _import(self) -> None:
        name = trace_name(self.job, self.log_day)
        if name in self._days().values():
            return
        pattern = Path(self.folder, self.job.log.path.format(date=self.log_day))
        paths = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
        if not paths:
            raise TraceError(
                f"{pattern}: there is no such log; put it there, or correct log.path of job {self.job.name}"
            )
        options = ImportOptions(
            timezone=self.scenario.timezone,
            start=datetime.combine(self.log_day, time(), self.scenario.zone),
            time_unit=self.job.log.time_unit,
            columns=self.job.log.columns,
            strict=self.job.log.strict,
        )
        outcome = import_trace(
            self.store,
            paths,
            format_name=self.job.log.format,
            name=name,
            options=options,
            now=self.clock(),
            version=version(),
        )
        with self.store.read() as session:
            inside = int(day_demand(session, name, self.log_day, self.scenario).requests.sum())
        trace = outcome.trace
        self.log(
            "imported",
            trace=name,
            rows=trace.row_count,
            refused=trace.rows_rejected,
            other_days=trace.requests - inside,
        )

    def _compare(self) -> list[str]:
        with self.store.read() as session:
            earlier = session.rows("plan_actual_days", job=self.job.name)
            before = session.rows("job_run_of", job=self.job.name, logical_date=self.log_day - ONE_DAY)
            run_id = before[0]["run_id"] if before else None
            if run_id is None or not session.rows("run_record", run_id=run_id):
                self.log("not compared", day=self.log_day, why="no plan was made for this day")
                return []
            known = [row for row in earlier if row["day"] == self.log_day]
            name = trace_name(self.job, self.log_day)
            trace = catalogue.by_name(session, name)
            forecast = session.frame("run_forecast", run_id=run_id)
        if not known:
            run = load_run(self.store, run_id)
            with self.store.read() as session:
                actual = day_demand(session, name, self.log_day, run.scenario)
            figures = against_actual(run, forecast, actual, trace)
            missed = beyond_band(figures, self.job.drift.band)
            drift = drifted(missed, self.log_day, earlier, self.job.drift.days)
            row = {"job": self.job.name, "day": self.log_day, **figures, "band_missed": missed, "drift": drift}
            with self.store.write() as session:
                self.claim.check(session)
                session.append(DAYS, pl.DataFrame([row]))
                known = [
                    one for one in session.rows("plan_actual_days", job=self.job.name) if one["day"] == self.log_day
                ]
        return self._told(known[0])

    def _told(self, compared: dict[str, Any]) -> list[str]:
        shown = (
            "day",
            "input_wape",
            "output_wape",
            "planned_node_hours",
            "needed_node_hours",
            "error_cost_usd",
            "drift",
        )
        self.log("compared", **{key: compared[key] for key in shown})
        band, days = self.job.drift.band, self.job.drift.days
        return [f"drift: the forecast error was beyond {band:.0%} on {days} days running"] if compared["drift"] else []

    def _plan(self) -> list[str]:
        run_id = self.claim.run_id
        if run_id is None:
            first = self.log_day - (self.job.history_days - 1) * ONE_DAY
            with self.store.read() as session:
                days = {day: name for day, name in self._days().items() if first <= day <= self.log_day}
                past = history(session, days, self.log_day, self.scenario)
                trace = catalogue.by_name(session, trace_name(self.job, self.log_day))
            expected = expected_demand(past, self.planned_day, self.scenario)
            outcome = plan_ahead(self.store, self.scenario, trace, expected)
            nightly = Nightly(self.planned_day, forecast_rows(expected), self.claim.check, self.claim.planned)
            run_id = save_plan(self.store, outcome, now=self.clock(), version=version(), nightly=nightly)
        run = self._run()
        self.log("planned", run_id=run_id, day=self.planned_day, peak_nodes=run.summary["peak_nodes"])
        return missed_limits(run)

    def _run(self) -> RunView:
        """The night's plan, stored by this attempt or an earlier one."""
        with self.store.read() as session:
            (row,) = session.rows("job_run_of", job=self.job.name, logical_date=self.day)
        return load_run(self.store, row["run_id"])

    def _export(self) -> None:
        run = self._run()
        for file in self.job.export:
            path = self.out / file.path.format(date=self.planned_day)
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, export_run(run, run.scenario, file.to).text)

    def _report(self) -> None:
        target = report_folder(self.out, self.job, self.day)
        draft = target.with_name(f".{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        write_report(self._run(), draft, pictures=self.job.pictures)
        # an attempt that was killed may have left one
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)

    def _prune(self) -> None:
        for day, name in self._days().items():
            if day <= self.log_day - self.job.keep_trace_days * ONE_DAY:
                catalogue.delete(self.store, name)
                self.log("deleted", trace=name)
        with self.store.read() as session:
            rows = [row for row in session.rows("job_runs") if row["job"] == self.job.name and row["run_id"]]
            stored = {row["run_id"] for row in session.rows("run_list")}
        for row in rows:
            if row["logical_date"] > self.day - self.job.keep_report_days * ONE_DAY:
                continue
            shutil.rmtree(report_folder(self.out, self.job, row["logical_date"]), ignore_errors=True)
            for file in self.job.export:
                if "{date" in file.path:
                    (self.out / file.path.format(date=row["logical_date"] + ONE_DAY)).unlink(missing_ok=True)
            if row["run_id"] in stored:
                delete_run(self.store, row["run_id"])
                self.log("deleted", run_id=row["run_id"])

    def _days(self) -> dict[date, str]:
        """Days of the job whose logs are stored: day -> trace."""
        if not self.store.path.exists():
            return {}
        with self.store.read() as session:
            names = [trace.name for trace in catalogue.listed(session)]
        return {day: name for name in names if (day := _day_of(self.job, name)) is not None}


def trace_name(job: Job, day: date) -> str:
    """The trace that a day's log becomes."""
    return f"{job.name}-{day}"


def report_folder(out: Path, job: Job, day: date) -> Path:
    """Where the report of a night is."""
    return out / job.name / str(day)


def _day_of(job: Job, trace: str) -> date | None:
    head, tail = trace[: len(job.name) + 1], trace[len(job.name) + 1 :]
    try:
        return date.fromisoformat(tail) if head == f"{job.name}-" else None
    except ValueError:
        # a trace of somebody else whose name begins alike
        return None


def wrapped(error: OSError) -> PlannerError:
    """A file that cannot be written as an expected failure."""
    return PlannerError(f"{error.filename}: {error.strerror}; free the place or correct its permissions")
