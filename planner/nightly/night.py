"""The steps of one date of a job. Each is atomic, and is skipped if an earlier attempt completed it."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from planner.drafts import draft_folder
from planner.errors import PlannerError, RunError, TraceError, UsageError
from planner.export.run import export_run, format_named
from planner.files import version
from planner.nightly.dates import ONE_DAY, Now
from planner.nightly.day_ahead import plan_ahead
from planner.nightly.documents import NightStep
from planner.nightly.events import EventLog
from planner.nightly.expected_demand import expect_demand, forecast_rows
from planner.nightly.history import MOST_GAP_DAYS, read_history
from planner.nightly.jobs_file import NightlyJob
from planner.nightly.ledger import Claim, find_row
from planner.nightly.local_days import day_demand, is_mostly_incident
from planner.nightly.logs import JobLogs, LogLeftOut, LogNotReady
from planner.nightly.outputs import check_writable, export_path, report_folder, unwritten, write_whole
from planner.nightly.past_days import PastDay, append_past_day, is_drift, plans_by_day, read_past_days
from planner.nightly.plan_vs_actual import compare_with_actual
from planner.nightly.prune import delete_old_plans, delete_old_traces
from planner.report.write import write_report
from planner.runs.limits import missed_limits
from planner.runs.read import RunView, read_run
from planner.runs.write import Nightly, save_plan
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace import stored as stored_traces


class Stopped(Exception):
    """The service is asked to stop; the night continues at the next start."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """What the steps of a date need.

    folder: of the jobs file; out: of reports. stopping: whether to stop before the next step.
    """

    store: Store
    job: NightlyJob
    scenario: Scenario
    folder: Path
    out: Path
    claim: Claim
    clock: Now
    log: EventLog
    stopping: Callable[[], bool]

    @property
    def day(self) -> date:
        """The logical date."""
        return self.claim.day

    @property
    def log_day(self) -> date:
        """The day whose log is read: yesterday."""
        return self.day - ONE_DAY

    @property
    def planned_day(self) -> date:
        """The day that is planned: tomorrow."""
        return self.day + ONE_DAY

    def run(self) -> list[str]:
        """Run all steps; returns the stated limits that were missed, one line each. Raises Stopped, PlannerError."""
        steps: tuple[tuple[NightStep, Callable[[], list[str] | None]], ...] = (
            ("import", self._import),
            ("compare", self._compare),
            ("plan", self._plan),
            ("export", self._export),
            ("report", self._report),
            ("prune", self._prune),
        )
        check_writable(self.out)
        missed = []
        for name, step in steps:
            if self.stopping():
                raise Stopped
            self.claim.begin_step(name, self.clock())
            self.log("step", step=name)
            missed += step() or []
        return missed

    def _import(self) -> None:
        with self.store.read() as session:
            stored = self._logs.days(session)
        for day in self._history_days[-2::-1]:
            if day not in stored and self._logs.is_available(day):
                # a log that arrived late, or was there before the job
                if self.stopping():
                    raise Stopped
                try:
                    self.claim.begin_step("import", self.clock())
                    self._store_log(day)
                except TraceError as error:
                    self.log("left out", level="warning", day=day, message=str(error))
                    if self._logs.from_server and not isinstance(error, LogLeftOut):
                        # a server that no longer has this day has no earlier one either
                        break
        try:
            self._store_log(self.log_day)
        except LogLeftOut as error:
            self.log("left out", level="warning", day=self.log_day, message=str(error))
            self._check_history()

    def _check_history(self) -> None:
        """Raises LogNotReady where nothing is known of the last days, those aside that are declared."""
        with self.store.read() as session:
            stored = self._logs.days(session)
        lacking = list(takewhile(lambda day: day not in stored, reversed(self._history_days)))
        undeclared = [day for day in lacking if not is_mostly_incident(day, self.scenario)]
        if len(lacking) == len(self._history_days) or len(undeclared) > MOST_GAP_DAYS:
            raise LogNotReady(
                f"there is no log of the {len(lacking)} days up to {self.log_day}; a plan needs one of a few days ago: "
                f"add it, declare these days as [[incident]], or raise history_days of job {self.job.name}"
            )

    def _store_log(self, day: date) -> None:
        if stored := self._logs.store_day(day, self.clock()):
            self.log("imported", **asdict(stored))

    def _compare(self) -> list[str]:
        with self.store.read() as session:
            compared = {past.day for past in read_past_days(session, self.job.name)}
            plans = plans_by_day(session, self.job.name)
            traces = self._logs.days(session)
        if self.log_day not in plans:
            self.log("not compared", day=self.log_day, why="no plan was made for this day")
        # a day whose log arrived late is compared late
        for day in sorted(plans.keys() & traces.keys() - compared):
            if day <= self.log_day:
                try:
                    self._compare_day(day, traces[day], plans[day])
                except RunError as error:
                    self.log("not compared", level="warning", day=day, why=str(error))
        with self.store.read() as session:
            past_days = read_past_days(session, self.job.name)
        return next((self._report_errors(past) for past in past_days if past.day == self.log_day), [])

    def _compare_day(self, day: date, trace_name: str, run_id: str) -> None:
        with self.store.read() as session:
            run = read_run(session, run_id)
            earlier = read_past_days(session, self.job.name)
            trace = stored_traces.by_name(session, trace_name)
            forecast = session.frame("run_forecast", run_id=run_id)
            actual = day_demand(session, trace_name, day, run.scenario)
        figures = compare_with_actual(run, forecast, actual, trace)
        missed = figures.misses_band(self.job.drift.band)
        drift = is_drift(missed, day, earlier, self.job.drift.days)
        with self.store.write() as session:
            self.claim.check(session)
            append_past_day(session, self.job.name, day, figures, band_missed=missed, drift=drift)

    def _report_errors(self, past: PastDay) -> list[str]:
        """Log the forecast error of the log's day; returns a line if forecasts drift."""
        self.log(
            "compared",
            day=past.day,
            input_wape=past.input_wape,
            output_wape=past.output_wape,
            planned_node_hours=past.planned_node_hours,
            needed_node_hours=past.needed_node_hours,
            error_cost_usd=past.error_cost_usd,
            drift=past.drift,
        )
        band, days = self.job.drift.band, self.job.drift.days
        if not past.drift:
            return []
        return [f"drift: the forecast error was beyond {band:.0%} on {days} consecutive days, up to {self.log_day}"]

    def _plan(self) -> list[str]:
        if self.claim.run_id is None:
            self._store_plan()
        run = self._run
        run_id, peak = run.summary.run_id, run.summary.peak_nodes
        self.log("planned", run_id=run_id, day=self.planned_day, peak_nodes=peak)
        return missed_limits(run)

    def _store_plan(self) -> None:
        with self.store.read() as session:
            days = self._history_days
            traces = {day: name for day, name in self._logs.days(session).items() if day in days}
            history = read_history(session, traces, self.log_day, self.scenario, self.job.log.longest_silence_s)
            trace = stored_traces.by_name(session, traces[max(traces)])
        if history.missing:
            self.log("missing", level="warning", days=list(history.missing), why="these days have no log")
        if history.silent:
            self.log("silent", level="warning", days=list(history.silent), why="their logs have long silences")
        expected = expect_demand(history, self.planned_day, self.scenario)
        outcome = plan_ahead(self.store, self.scenario, trace, expected)
        nightly = Nightly(
            day=self.planned_day,
            forecast=forecast_rows(expected),
            claimed=self.claim.check,
            planned=self.claim.note_run,
        )
        save_plan(self.store, outcome, now=self.clock(), version=version(), nightly=nightly)

    @cached_property
    def _run(self) -> RunView:
        """The night's plan, stored by this attempt or an earlier one."""
        with self.store.read() as session:
            row = find_row(session, self.job.name, self.day)
            assert row is not None, "the date is claimed"
            return read_run(session, row.run_id)

    @property
    def _logs(self) -> JobLogs:
        return JobLogs(store=self.store, job=self.job, scenario=self.scenario, folder=self.folder)

    @property
    def _history_days(self) -> list[date]:
        """The days that forecasts are made from, up to the log's."""
        return [self.log_day - number * ONE_DAY for number in range(self.job.history_days)][::-1]

    def _export(self) -> list[str]:
        run = self._run
        missed = []
        for file in self.job.export:
            path = export_path(self.out, file, self.day)
            try:
                export = export_run(run, run.scenario, format_named(file.to))
            except (RunError, UsageError) as error:
                # such as a day on which the clock is put back, in a format that recurs daily
                missed.append(f"no {file.to} export for {self.planned_day}: {error}")
                self.log("not exported", level="error", to=file.to, path=str(path), why=str(error))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, export.text)
            self.log("exported", to=file.to, path=str(path), summary=export.summary, notes=list(export.notes))
            self._export_notes.extend(f"{file.to} export {path.name}: {note}" for note in export.notes)
        return missed

    @cached_property
    def _export_notes(self) -> list[str]:
        """What the reader of this attempt's exports should know, such as minutes that differ from the plan."""
        return []

    def _report(self) -> None:
        target = report_folder(self.out, self.job, self.day)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft_folder(target) as made:
                draft = made / target.name
                write_report(self._run, draft, pictures=self.job.pictures, notes=self._export_notes)
                # an attempt that was killed may have left one
                shutil.rmtree(target, ignore_errors=True)
                draft.replace(target)
        except PlannerError as error:
            if isinstance(error.__cause__, OSError):
                raise unwritten(target, error.__cause__) from error.__cause__
            raise

    def _prune(self) -> None:
        delete_old_traces(self._logs, self.log_day, self.log)
        delete_old_plans(self.store, self.job, self.out, self.day, self.log)
