"""The steps of one date of a job. Each leaves all or nothing behind and is passed over where it was done before."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from planner.errors import PlannerError, RunError, TraceError, UsageError
from planner.export.run import export_run, put
from planner.files import version
from planner.nightly.dates import ONE_DAY
from planner.nightly.day_ahead import day_demand, expected_demand, forecast_rows, history, plan_ahead
from planner.nightly.jobs_file import ExportFile, Job
from planner.nightly.ledger import Claim
from planner.nightly.logs import Logs
from planner.nightly.plan_vs_actual import DAYS, against_actual, beyond_band, drifted
from planner.report.write import write_report
from planner.runs.limits import missed_limits
from planner.runs.read import RunView, read_run
from planner.runs.write import Nightly, delete_run, save_plan
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace import stored as catalogue

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
        self._check_out()
        missed = []
        for name, step in steps:
            if self.stopping():
                raise Stopped
            self.claim.step(name, self.clock())
            self.log("step", step=name)
            missed += step() or []
        return missed

    def _check_out(self) -> None:
        """Raises OSError, PlannerError where outputs cannot be written, before anything is done."""
        self.out.mkdir(parents=True, exist_ok=True)
        if not os.access(self.out, os.W_OK):
            raise PlannerError(f"{self.out}: cannot be written; correct its permissions, or set out in the jobs file")

    def _import(self) -> None:
        with self.store.read() as session:
            there = self._logs.days(session)
        for day in self._history_days[-2::-1]:
            if day not in there and self._logs.is_there(day):
                # one that came late, or was there before the job
                if self.stopping():
                    raise Stopped
                try:
                    self.claim.step("import", self.clock())
                    self._take(day)
                except TraceError as error:
                    self.log("left out", level="warning", day=day, message=str(error))
                    if self._logs.of_server:
                        # what a server has forgotten, it has forgotten from there on back
                        break
        self._take(self.log_day)

    def _take(self, day: date) -> None:
        if said := self._logs.take(day, self.clock()):
            self.log("imported", **said)

    def _compare(self) -> list[str]:
        with self.store.read() as session:
            known = {row["day"] for row in session.rows("plan_actual_days", job=self.job.name)}
            stored = {row["run_id"] for row in session.rows("run_list")}
            ledger = [row for row in session.rows("job_runs") if row["job"] == self.job.name]
            there = self._logs.days(session)
        plans = {row["logical_date"] + ONE_DAY: row["run_id"] for row in ledger if row["run_id"] in stored}
        if self.log_day not in plans:
            self.log("not compared", day=self.log_day, why="no plan was made for this day")
        # a day whose log came late is compared late
        for day in sorted(plans.keys() & there.keys() - known):
            if day <= self.log_day:
                try:
                    self._compare_day(day, there[day], plans[day])
                except RunError as error:
                    self.log("not compared", level="warning", day=day, why=str(error))
        with self.store.read() as session:
            rows = session.rows("plan_actual_days", job=self.job.name)
        return next((self._told(row) for row in rows if row["day"] == self.log_day), [])

    def _compare_day(self, day: date, name: str, run_id: str) -> None:
        with self.store.read() as session:
            run = read_run(session, run_id)
            earlier = session.rows("plan_actual_days", job=self.job.name)
            trace = catalogue.by_name(session, name)
            forecast = session.frame("run_forecast", run_id=run_id)
            actual = day_demand(session, name, day, run.scenario)
        figures = against_actual(run, forecast, actual, trace)
        missed = beyond_band(figures, self.job.drift.band)
        drift = drifted(missed, day, earlier, self.job.drift.days)
        row = {"job": self.job.name, "day": day, **figures, "band_missed": missed, "drift": drift}
        with self.store.write() as session:
            self.claim.check(session)
            session.append(DAYS, pl.DataFrame([row]))

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
        if not compared["drift"]:
            return []
        return [f"drift: the forecast error was beyond {band:.0%} on {days} days running, to {self.log_day}"]

    def _plan(self) -> list[str]:
        if self.claim.run_id is None:
            with self.store.read() as session:
                days = {day: name for day, name in self._logs.days(session).items() if day in self._history_days}
                past = history(session, days, self.log_day, self.scenario, self.job.log.longest_silence_s)
                trace = catalogue.by_name(session, days[self.log_day])
            if past.filled:
                self.log("filled", level="warning", days=list(past.filled), why="there is no whole log of these days")
            expected = expected_demand(past, self.planned_day, self.scenario)
            outcome = plan_ahead(self.store, self.scenario, trace, expected)
            nightly = Nightly(self.planned_day, forecast_rows(expected), self.claim.check, self.claim.planned)
            save_plan(self.store, outcome, now=self.clock(), version=version(), nightly=nightly)
        run = self._run
        run_id, peak = run.summary.run_id, run.summary.peak_nodes
        self.log("planned", run_id=run_id, day=self.planned_day, peak_nodes=peak)
        return missed_limits(run)

    @cached_property
    def _run(self) -> RunView:
        """The night's plan, stored by this attempt or an earlier one."""
        with self.store.read() as session:
            (row,) = session.rows("job_run_of", job=self.job.name, logical_date=self.day)
            return read_run(session, row["run_id"])

    @property
    def _logs(self) -> Logs:
        return Logs(self.store, self.job, self.scenario, self.folder)

    @property
    def _history_days(self) -> list[date]:
        """The days that forecasts are made from, to the log's."""
        return [self.log_day - number * ONE_DAY for number in range(self.job.history_days)][::-1]

    def _export(self) -> list[str]:
        run = self._run
        missed = []
        for file in self.job.export:
            path = self._exported(file, self.day)
            try:
                text = export_run(run, run.scenario, file.to).text
            except (RunError, UsageError) as error:
                # such as a day on which the clock is put back, in a format that recurs daily
                missed.append(f"no {file.to} for {self.planned_day}: {error}")
                self.log("not exported", level="error", to=file.to, path=str(path), why=str(error))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, text)
        return missed

    def _exported(self, file: ExportFile, night: date) -> Path:
        """The file that a night exports."""
        return self.out / file.path.format(date=night + ONE_DAY)

    def _report(self) -> None:
        target = report_folder(self.out, self.job, self.day)
        draft = target.with_name(f".{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        write_report(self._run, draft, pictures=self.job.pictures)
        # an attempt that was killed may have left one
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)

    def _prune(self) -> None:
        with self.store.read() as session:
            there = self._logs.days(session)
            rows = [row for row in session.rows("job_runs") if row["job"] == self.job.name and row["run_id"]]
            stored = {row["run_id"] for row in session.rows("run_list")}
        for day, name in there.items():
            if day <= self.log_day - self.job.keep_trace_days * ONE_DAY:
                catalogue.delete(self.store, name)
                self.log("deleted", trace=name)
        last = self.day - self.job.keep_report_days * ONE_DAY
        nights = {row["logical_date"] for row in rows}
        # a name may come again, as one of weekdays does
        kept = {self._exported(file, night) for file in self.job.export for night in nights if night > last}
        for row in rows:
            if row["logical_date"] > last:
                continue
            shutil.rmtree(report_folder(self.out, self.job, row["logical_date"]), ignore_errors=True)
            for path in {self._exported(file, row["logical_date"]) for file in self.job.export} - kept:
                path.unlink(missing_ok=True)
            if row["run_id"] in stored:
                delete_run(self.store, row["run_id"])
                self.log("deleted", run_id=row["run_id"])


def report_folder(out: Path, job: Job, day: date) -> Path:
    """Where the report of a night is."""
    return out / job.name / str(day)


def wrapped(error: OSError) -> PlannerError:
    """A file that cannot be written as an expected failure."""
    return PlannerError(f"{error.filename}: {error.strerror}; free the place or correct its permissions")
