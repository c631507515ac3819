"""Nights in processes of their own: killed at random points, started twice, stopped, across a change of the clock."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from planner.store import Store, published_path
from tests.helpers.nights import days, night, write_jobs, write_log

DRIVER = """
import sys
import planner.nightly.due, planner.nightly.service, planner.report.write, planner.cli.app as app
import vl_convert
vl_convert.javascript_bundle()
print("ready", flush=True)
sys.argv = ["planner", "schedule", *sys.stdin.readline().split()]
app.main()
"""
"""A planner that has imported everything and waits for its words, so that it warms up while the night before runs."""


class Warm:
    """A process that is ready to be told which command of `planner schedule` to run."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, *words: str) -> Iterator[dict[str, Any]]:
        """Run a command; its log, line by line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return (json.loads(line) for line in self.process.stderr if line.startswith("{"))

    def end(self, number: int | None = None) -> int:
        """Wait for its end, after a signal if one is given; the exit code."""
        if number is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return code


@contextmanager
def warm(folder: Path) -> Iterator[Warm]:
    """A warm process, killed at the end if it is still there."""
    started = Warm(folder)
    try:
        yield started
    finally:
        started.end(signal.SIGKILL)


def refuse_another(folder: Path, busy: Warm, *words: str) -> None:
    """Start a second service while the first is in the middle of a night."""
    # it is held, or the night would be over before the other has started
    busy.process.send_signal(signal.SIGSTOP)
    words = (sys.executable, "-m", "planner", "schedule", "run-due", *words)
    refused = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    busy.process.send_signal(signal.SIGCONT)
    assert refused.returncode == 1
    assert re.fullmatch(
        r"planner: another scheduler \(process \d+\) is working on planner.duckdb; .*\n", refused.stderr
    )


def simulate(folder: Path, first: date, count: int, double: set[int], seed: int) -> int:
    """Nights of which each is killed at a random point and completed by the next; returns the kills that hit.

    double: nights during which a second service is started; it has to be refused.
    """
    for day in days(first - timedelta(days=1), count + 1):
        write_log(folder, day)
    write_jobs(folder, f"first = {first}\nexport = [{{ to = 'csv', path = 'plans/{{date}}.csv' }}]")
    clock, killed, night_s = random.Random(seed), 0, 2.0
    waiting = Warm(folder)
    try:
        for number, day in enumerate(days(first, count)):
            this, waiting = waiting, Warm(folder)
            began = 0.0
            for event in this.begin("run-due", "--jobs", "jobs.toml", "--now", night(day).isoformat()):
                if event["event"] == "begins" and event["date"] == str(day):
                    began = time.monotonic()
                    if number in double:
                        refuse_another(folder, this, "--now", night(day).isoformat())
                    time.sleep(clock.uniform(0.0, 1.1) * night_s)
                    break
            killed += this.end(signal.SIGKILL) == -signal.SIGKILL
            night_s = min(night_s, max(time.monotonic() - began, 0.5)) if number == 0 else night_s
        last = night(days(first, count)[-1]) + timedelta(minutes=20)
        for _ in waiting.begin("run-due", "--jobs", "jobs.toml", "--now", last.isoformat()):
            pass
        assert waiting.end() == 0
    finally:
        waiting.end(signal.SIGKILL)
    return killed


def check(folder: Path, first: date, count: int) -> None:
    """Every night once: in the ledger, among the runs, in the files and on the index page."""
    nights = days(first, count)
    for path in (folder / "planner.duckdb", published_path(folder / "planner.duckdb")):
        with Store(path).read() as session:
            ledger = session.rows("job_runs")
            runs = session.connection.sql("SELECT logical_date, kind FROM run ORDER BY logical_date").fetchall()
            whole = session.connection.sql("SELECT count(DISTINCT run_id) FROM plan_interval").fetchall()
            compared = [row["day"] for row in session.rows("plan_actual_days", job="n")]
            traces = [row["name"] for row in session.rows("trace_list")]
        assert [(row["logical_date"], row["status"]) for row in ledger] == [(day, "done") for day in nights]
        assert len({row["run_id"] for row in ledger}) == count
        assert runs == [(day + timedelta(days=1), "nightly") for day in nights]
        assert whole == [(count,)]
        assert compared[::-1] == [day + timedelta(days=1) for day in nights[: count - 2]]
        assert traces == [f"n-{day - timedelta(days=1)}" for day in nights]
    out = folder / "nightly"
    assert sorted(path.name for path in (out / "n").iterdir()) == [str(day) for day in nights]
    assert all((out / "n" / str(day) / "provenance.csv").is_file() for day in nights)
    assert sorted(path.name for path in (out / "plans").iterdir()) == [
        f"{day + timedelta(days=1)}.csv" for day in nights
    ]
    page = (out / "index.html").read_text()
    assert all(page.count(f'href="n/{day}/index.html"') == 1 for day in nights)


def test_nights_killed_at_random_points_and_started_twice_are_each_done_once(tmp_path: Path) -> None:
    # `make nights` simulates a month
    count = int(os.environ.get("PLANNER_TEST_NIGHTS", "5"))
    first = date(2025, 3, 30) - timedelta(days=count // 2)
    killed = simulate(tmp_path, first, count, {count // 4, count // 2, 3 * count // 4}, seed=count)
    assert killed >= count // 2
    check(tmp_path, first, count)


def test_the_service_stops_on_sigterm_and_the_next_one_goes_on(tmp_path: Path) -> None:
    first = date(2025, 10, 25)
    for day in days(first - timedelta(days=1), 2):
        write_log(tmp_path, day)
    write_jobs(tmp_path, f"first = {first}")
    words = ("run", "--jobs", "jobs.toml", "--now", night(first).isoformat())
    with warm(tmp_path) as service:
        for event in service.begin(*words):
            if event["event"] == "step" and event["step"] == "plan":
                service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0
    with Store(tmp_path / "planner.duckdb").read() as session:
        (row,) = session.rows("job_runs")
    assert (row["status"], row["attempts"]) == ("released", 0)
    with warm(tmp_path) as service:
        seen = []
        for event in service.begin(*words):
            seen.append(event["event"])
            if event["event"] == "done":
                os.kill(service.process.pid, signal.SIGTERM)
        assert service.end() == 0
    assert seen[0] == "started"
    assert seen[-1] == "stopped"
    with Store(tmp_path / "planner.duckdb").read() as session:
        (row,) = session.rows("job_runs")
        assert (row["status"], row["attempts"]) == ("done", 1)
        assert len(session.rows("run_list")) == 1
