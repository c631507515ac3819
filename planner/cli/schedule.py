"""planner schedule run|list|run-due|history."""

import os
import signal
import sys
import threading
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, Sets, moment, now, reading_at, store_at
from planner.cli.output import print_json, print_table, print_text

if TYPE_CHECKING:
    from planner.nightly.dates import Now
    from planner.nightly.due import Scheduler

app = typer.Typer(help="Nightly jobs: yesterday's log in, tomorrow's plan out.", rich_markup_mode=None)

JobsPath = Annotated[
    Path, typer.Option("--jobs", metavar="FILE", help="The jobs file; `--example` of list prints one.")
]
BeginAt = Annotated[
    str | None,
    typer.Option("--now", metavar="TIME", help="Start the clock at this time, with offset, instead of now."),
]


@app.command("run")
def run(jobs: JobsPath = Path("jobs.toml"), sets: Sets = None, at: BeginAt = None, db: Db = None) -> None:
    """Run the service until SIGTERM: every job once per date, missed dates first.

    Logs are JSON lines on stderr. A second service on the same store ends with exit code 1.
    """
    from planner.nightly.lock import scheduler_lock
    from planner.nightly.service import serve

    stop = _stop_on_signals()
    scheduler = _scheduler(jobs, sets, at, db, stop)
    with scheduler_lock(scheduler.store.path):
        serve(scheduler, stop)


@app.command("run-due")
def run_due(jobs: JobsPath = Path("jobs.toml"), sets: Sets = None, at: BeginAt = None, db: Db = None) -> None:
    """Run what is due and exit: what the service does, once, for cron or a CronJob.

    Exit code 1: a date failed, or is waiting; 3: all dates are done, but a plan misses a limit, an export cannot
    express its day or forecasts drift.
    """
    from planner.nightly.lock import scheduler_lock

    scheduler = _scheduler(jobs, sets, at, db, _stop_on_signals())
    with scheduler_lock(scheduler.store.path):
        code = scheduler.run_due()
    if code:
        raise typer.Exit(code)


@app.command("list")
def list_(
    jobs: JobsPath = Path("jobs.toml"),
    example: Annotated[bool, typer.Option("--example", help="Print a jobs file to start from.")] = False,
    sets: Sets = None,
    at: BeginAt = None,
    as_json: Json = False,
) -> None:
    """List the jobs of a file, and when they are next due."""
    from planner.catalogue.read import find
    from planner.nightly.jobs_file import load_jobs
    from planner.nightly.listing import list_jobs

    if example:
        print_text(find("nightly", "example").read_text(encoding="utf-8").rstrip("\n") + "\n")
        return
    listed = list_jobs(load_jobs(jobs, sets or []), _clock(at)())
    if as_json:
        print_json(listed)
        return
    print_table(
        ("<job", "<scenario", "<at", "<time zone", "<next due", "<log"),
        [(job.job, job.scenario, job.at, job.timezone, job.next_due.isoformat(), job.log) for job in listed],
    )


@app.command("history")
def history(
    job: Annotated[str | None, typer.Option("--job", metavar="NAME", help="Only this job.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show the ledger: what became of every date, newest last."""
    from planner.nightly.ledger import read_ledger

    store = reading_at(db)
    with store.read():
        pass  # if there is no store, the read below says so
    rows = [row for row in read_ledger(store) if job in (None, row.job)]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("<job", "<date", "<state", "tries", "<run", "<ended", "exit code", "<message"),
        [
            (
                row.job,
                str(row.logical_date),
                row.status if row.status != "running" else f"running: {row.step}",
                row.attempts,
                row.run_id,
                row.finished_at,
                row.exit_code,
                row.message,
            )
            for row in rows
        ],
    )


def _scheduler(
    jobs: Path, sets: list[str] | None, at: str | None, db: Path | None, stop: threading.Event
) -> "Scheduler":
    from planner.nightly.due import Scheduler, owner_now
    from planner.nightly.events import write_events
    from planner.nightly.jobs_file import load_jobs

    clock = _clock(at)
    return Scheduler(
        store=store_at(db),
        jobs=load_jobs(jobs, sets or []),
        owner=owner_now(os.getpid(), clock()),
        clock=clock,
        log=write_events(sys.stderr, clock),
        stopping=stop.is_set,
    )


def _clock(at: str | None) -> "Now":
    """The wall clock, or one that begins at a given moment."""
    begin = moment(at, UTC)
    if begin is None:
        return now
    offset = begin - now()
    return lambda: now() + offset


def _stop_on_signals() -> threading.Event:
    """An event that signals set; a night finishes its step, releases its date and the process ends."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # what is ignored, as under nohup, stays so
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, lambda *_: stop.set())
    return stop
