"""planner schedule run|list|run-due|history."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.options import Db, Json, Sets, now, reading_at, store_at
from planner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from planner.nightly.due import Scheduler

app = typer.Typer(help="Nightly jobs: yesterday's log in, tomorrow's plan out.", rich_markup_mode=None)

JobsPath = Annotated[
    Path, typer.Option("--jobs", metavar="FILE", help="The jobs file; `--example` of list prints one.")
]
Now = Annotated[
    str | None,
    typer.Option("--now", metavar="TIME", help="Begin at this moment, with offset, instead of the clock's."),
]


@app.command("run")
def run(jobs: JobsPath = Path("jobs.toml"), sets: Sets = None, at: Now = None, db: Db = None) -> None:
    """Run the service: every job once per date, missed dates first, until SIGTERM.

    Logs are JSON lines on stderr. A second service on the same store ends with exit code 1.
    """
    from planner.nightly.lock import only_one
    from planner.nightly.service import serve

    stop = _stop_on_signals()
    scheduler = _scheduler(jobs, sets, at, db, stop)
    with only_one(scheduler.store.path):
        serve(scheduler, stop)


@app.command("run-due")
def run_due(jobs: JobsPath = Path("jobs.toml"), sets: Sets = None, at: Now = None, db: Db = None) -> None:
    """Do what is due and end: the same as the service, for cron or a CronJob.

    Exit code 1: a date failed, or waits; 3: all done, and a plan misses a limit, an export cannot express its day or
    forecasts drift.
    """
    from planner.nightly.lock import only_one

    scheduler = _scheduler(jobs, sets, at, db, _stop_on_signals())
    with only_one(scheduler.store.path):
        code = scheduler.run_due()
    if code:
        raise typer.Exit(code)


@app.command("list")
def list_(
    jobs: JobsPath = Path("jobs.toml"),
    example: Annotated[bool, typer.Option("--example", help="Print a jobs file to start from.")] = False,
    sets: Sets = None,
    at: Now = None,
    as_json: Json = False,
) -> None:
    """The jobs of a file, and when they are due next."""
    from planner.catalogue.read import find
    from planner.nightly.dates import next_due_at
    from planner.nightly.jobs_file import load_jobs

    if example:
        print_line(find("nightly", "example").read_text(encoding="utf-8").rstrip("\n"))
        return
    loaded = load_jobs(jobs, sets or [])
    found = [
        {
            "job": job.name,
            "scenario": loaded.scenarios[job.name].name,
            "timezone": loaded.scenarios[job.name].timezone,
            "at": f"{job.at:%H:%M}",
            "next_due": next_due_at(_clock(at)(), job.at, loaded.scenarios[job.name].zone, job.first)
            .astimezone(loaded.scenarios[job.name].zone)
            .isoformat(),
            "log": job.log.path,
            "exports": [file.path for file in job.export],
        }
        for job in loaded.file.job
    ]
    if as_json:
        print_json(found)
        return
    rows = [(f["job"], f["scenario"], f["at"], f["timezone"], f["next_due"], f["log"]) for f in found]
    print_table(("<job", "<scenario", "<at", "<time zone", "<next due", "<log"), rows)


@app.command("history")
def history(
    job: Annotated[str | None, typer.Option("--job", metavar="NAME", help="Only this job.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """The ledger: what became of every date, newest last."""
    from planner.nightly.ledger import rows as ledger_rows

    store = reading_at(db)
    with store.read():
        pass  # where there is no store, say so
    rows = [row for row in ledger_rows(store) if job in (None, row["job"])]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("<job", "<date", "<state", "tries", "<run", "<ended", "exit code", "<message"),
        [
            (
                row["job"],
                str(row["logical_date"]),
                row["status"] if row["status"] != "running" else f"running: {row['step']}",
                row["attempts"],
                row["run_id"],
                row["finished_at"],
                row["exit_code"],
                row["message"],
            )
            for row in rows
        ],
    )


def _scheduler(
    jobs: Path, sets: list[str] | None, at: str | None, db: Path | None, stop: threading.Event
) -> "Scheduler":
    from planner.nightly.due import Scheduler, owner_now
    from planner.nightly.jobs_file import load_jobs

    clock = _clock(at)
    return Scheduler(
        store_at(db),
        load_jobs(jobs, sets or []),
        owner_now(os.getpid(), clock()),
        clock,
        _log_to_stderr(clock),
        stop.is_set,
    )


def _clock(at: str | None) -> Callable[[], datetime]:
    """The wall clock, or one that begins at a given moment."""
    from planner.errors import UsageError

    if at is None:
        return now
    try:
        begin = datetime.fromisoformat(at)
    except ValueError as error:
        raise UsageError(f'--now "{at}": is no time; write it like 2025-03-30T02:30:00+02:00') from error
    if begin.tzinfo is None:
        raise UsageError(f'--now "{at}": has no offset; write it like 2025-03-30T02:30:00+02:00')
    offset = begin - now()
    return lambda: now() + offset


def _log_to_stderr(clock: Callable[[], datetime]) -> Callable[..., None]:
    """Events as JSON lines."""

    def log(event: str, *, level: str = "info", **fields: Any) -> None:
        line = {"at": clock().isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()

    return log


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set; a night ends its step, releases its date and the process ends."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return stop
