"""Nights in processes of their own: killed at random points, started twice, stopped, across a change of the clock."""

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.store import Store, published_path
from tests.helpers.nights import days, night, write_jobs, write_log
from tests.helpers.processes import Started, started


@contextmanager
def schedule(*words: str) -> Iterator[tuple[Started, Iterator[dict[str, Any]]]]:
    """A started command of `planner schedule`, killed at the end if it still runs; and its log, line by line."""
    pipe = Path("log.pipe")
    if not pipe.exists():
        os.mkfifo(pipe)
    with started("schedule", *words, err=pipe) as process, pipe.open() as log:
        yield process, (json.loads(line) if line.startswith("{") else {"event": "says", "line": line} for line in log)


def refuse_another(busy: Started, *words: str) -> None:
    """Start a second service while the first is in the middle of a night."""
    # it is held, or the night would be over before the other has started
    busy.send(signal.SIGSTOP)
    refused = Path("refused.err")
    assert Started("schedule", "run-due", *words, err=refused).wait() == 1
    busy.send(signal.SIGCONT)
    message = refused.read_text()
    assert re.fullmatch(r"planner: another scheduler \(process \d+\) is working on planner.duckdb; .*\n", message)


def simulate(folder: Path, first: date, count: int, double: set[int], seed: int) -> int:
    """Nights of which each is killed at a random point and completed by the next; returns the kills that hit.

    double: nights during which a second service is started; it has to be refused.
    """
    for day in days(first - timedelta(days=1), count + 1):
        write_log(folder, day)
    write_jobs(folder, f"first = {first}\nexport = [{{ to = 'csv', path = 'plans/{{date}}.csv' }}]")
    clock, killed, night_s = random.Random(seed), 0, 2.0
    for number, day in enumerate(days(first, count)):
        began = 0.0
        with schedule("run-due", "--jobs", "jobs.toml", "--now", night(day).isoformat()) as (process, log):
            for event in log:
                if event["event"] == "begins" and event["date"] == str(day):
                    began = time.monotonic()
                    if number in double:
                        refuse_another(process, "--now", night(day).isoformat())
                    time.sleep(clock.uniform(0.0, 1.1) * night_s)
                    break
        killed += process.wait() == -signal.SIGKILL
        night_s = min(night_s, max(time.monotonic() - began, 0.5)) if number == 0 else night_s
    last = night(days(first, count)[-1]) + timedelta(minutes=20)
    with schedule("run-due", "--jobs", "jobs.toml", "--now", last.isoformat()) as (process, log):
        told = list(log)
        assert process.wait() == 0, told
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
    assert [path.name for path in folder.rglob(".*")] == [".planner.duckdb.scheduler"], "a kill has left something"
    out = folder / "nightly"
    assert sorted(path.name for path in (out / "n").iterdir()) == [str(day) for day in nights]
    assert all((out / "n" / str(day) / "provenance.csv").is_file() for day in nights)
    assert sorted(path.name for path in (out / "plans").iterdir()) == [
        f"{day + timedelta(days=1)}.csv" for day in nights
    ]
    page = (out / "index.html").read_text()
    assert all(page.count(f'href="n/{day}/index.html"') == 1 for day in nights)


@pytest.mark.slow
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
    with schedule(*words) as (service, log):
        for event in log:
            if event["event"] == "step" and event["step"] == "plan":
                service.send(signal.SIGTERM)
        assert service.wait() == 0
    with Store(tmp_path / "planner.duckdb").read() as session:
        (row,) = session.rows("job_runs")
    assert (row["status"], row["attempts"]) == ("released", 0)
    with schedule(*words) as (service, log):
        seen = []
        for event in log:
            seen.append(event["event"])
            if event["event"] == "done":
                service.send(signal.SIGTERM)
        assert service.wait() == 0
    assert seen[0] == "started"
    assert seen[-1] == "stopped"
    with Store(tmp_path / "planner.duckdb").read() as session:
        (row,) = session.rows("job_runs")
        assert (row["status"], row["attempts"]) == ("done", 1)
        assert len(session.rows("run_list")) == 1
