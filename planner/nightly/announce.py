"""What follows a night: notifications, then the published copy and the index page. None of them waits for another."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from planner.errors import PlannerError, StoreError
from planner.nightly import ledger
from planner.nightly.dates import Now
from planner.nightly.documents import LedgerRow, NightNotification
from planner.nightly.events import EventLog
from planner.nightly.index_page import write_index
from planner.nightly.jobs_file import Jobs, NightlyJob
from planner.nightly.notices import Notices, gist
from planner.nightly.outputs import report_folder, write_failure
from planner.store import Store, publish, published_path

_NIGHT, _SERVICE = "night ", "service "
"""How keys of notices begin."""


@dataclass(frozen=True, kw_only=True)
class Announcer:
    """Tells how nights ended, and what keeps the service from running them; then publishes their plans."""

    store: Store
    jobs: Jobs
    clock: Now
    log: EventLog
    stopping: Callable[[], bool]

    @cached_property
    def notices(self) -> Notices:
        """What has not been told yet."""
        path = self.store.path.with_name(f".{self.store.path.name}.notices")
        return Notices(path, self.jobs.file.notify, self.log, self.stopping)

    def tell(self) -> set[tuple[str, date]]:
        """Notify of nights that ended since; returns those with trouble, by job and date. Raises PlannerError."""
        jobs = {job.name: job for job in self.jobs.file.job}
        rows = [row for row in ledger.read_ledger(self.store) if row.job in jobs and _needs_announcement(row)]
        troubled = [row for row in rows if row.exit_code or row.status != "done"]
        wanted = rows if self.jobs.file.notify.on == "all" else troubled
        for row in wanted:
            self.notices.add(_key(row), self._notification(row, jobs[row.job]))
        marked: set[str] = set()
        try:
            self.notices.deliver()
            for row in rows:
                if self.notices.is_told(_key(row)):
                    ledger.mark_announced(self.store, row, self.clock())
                    marked.add(_key(row))
        finally:
            self.notices.end(_NIGHT, {_key(row) for row in wanted} - marked)
            self.notices.save()
        return {(row.job, row.logical_date) for row in troubled}

    def tell_trouble(self, error: Exception, night: tuple[str, date] | None) -> None:
        """Notify of what ended a look for dates. night: the job and date that it kept from being recorded."""
        told: set[tuple[str, date]] = set()
        try:
            told = self.tell()
        except Exception as second:  # noqa: BLE001 - the first one is told below, and raised
            if str(second) != str(error):
                self.log("not announced", level="error", message=str(second))
        if night is not None and night in told:
            return
        job, day = night or (None, None)
        what = f"defect: {type(error).__name__}: " if not isinstance(error, PlannerError) else ""
        message = f"{what}{error}".split("\n")[0]
        notification = NightNotification(
            job=job,
            logical_date=day,
            status="failed",
            exit_code=PlannerError.exit_code,
            message=message,
            run_id=None,
            attempts=0,
            report=None,
        )
        self.notices.add(f"{_SERVICE}{job} {day} {gist(message)}", notification)
        self.notices.deliver()
        self.notices.save()

    def end_trouble(self) -> None:
        """Note that a look succeeded: the same trouble would be told again."""
        self.notices.end(_SERVICE)
        self.notices.deliver()
        self.notices.save()

    def publish(self) -> None:
        """Write the index page and the published copy, if nights ended since. Raises PlannerError."""
        ended = _ended(self.store)
        if not ended or ended == self._published():
            return
        try:
            # the copy tells afterwards that both were written
            write_index(self.store, self.jobs)
            publish(self.store)
        except OSError as error:
            raise write_failure(error) from error

    def _published(self) -> list[tuple[object, ...]]:
        """The nights in the published copy, if there is one that can be read."""
        copy = Store(published_path(self.store.path), wait_s=self.store.wait_s)
        try:
            return _ended(copy)
        except StoreError:
            return []  # it is replaced

    def _notification(self, row: LedgerRow, job: NightlyJob) -> NightNotification:
        folder = report_folder(self.jobs.out, job, row.logical_date)
        return NightNotification(
            job=row.job,
            logical_date=row.logical_date,
            status=row.status,
            exit_code=row.exit_code,
            message=row.message,
            run_id=row.run_id,
            attempts=row.attempts,
            report=str(folder / "index.html") if folder.is_dir() else None,
        )


def _ended(store: Store) -> list[tuple[object, ...]]:
    """The nights that ended, as far as the published copy and the index page show them."""
    rows = [row for row in ledger.read_ledger(store) if _is_ended(row)]
    return [(row.job, row.logical_date, row.status, row.message, row.run_id, row.finished_at) for row in rows]


def _is_ended(row: LedgerRow) -> bool:
    return row.status in (*ledger.ENDED, "failed")


def _needs_announcement(row: LedgerRow) -> bool:
    return _is_ended(row) and row.announced_at is None


def _key(row: LedgerRow) -> str:
    return f"{_NIGHT}{row.job} {row.logical_date} {row.status} {row.message}"
