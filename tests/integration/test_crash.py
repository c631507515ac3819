"""Killed at any point, or started twice: the store opens, earlier runs are there, and no part of another is."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from planner.store import Store
from tests.conftest import Cli

KILLS = 50

CONSISTENT = """
SELECT
    (SELECT count(*) FROM run) AS runs,
    (SELECT count(DISTINCT run_id) FROM plan_interval) AS planned,
    (SELECT count(*) FROM plan_interval) = (SELECT count(*) FROM ledger_interval) AS same_ledger,
    (SELECT count(*) FROM plan_interval) = (SELECT count(*) FROM demand_interval) AS same_demand,
    (SELECT bool_and(n = 96) FROM (SELECT count(*) AS n FROM plan_interval GROUP BY run_id)) AS whole_plans
"""


WHOLE_REPLAYS = """
SELECT
    (SELECT count(*) FROM run),
    (SELECT count(*) FROM replay_run),
    (SELECT count(DISTINCT run_id) FROM replay_minute),
    (SELECT sum(arrived)::BIGINT FROM replay_run),
    (SELECT count(*) FROM replay_request)
"""


def started(*words: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "planner", *words], stdout=subprocess.DEVNULL, stderr=stderr)


def check(path: Path) -> int:
    """Runs in the store, after checking that nothing in it is half-written."""
    with Store(path).read() as session:
        (row,) = session.connection.execute(CONSISTENT).fetchall()
        runs, planned, same_ledger, same_demand, whole_plans = row
        traces = session.connection.execute("SELECT trace_id, row_count FROM trace").fetchall()
        rows = dict(session.connection.execute("SELECT trace_id, count(*) FROM request GROUP BY ALL").fetchall())
        tables = session.connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'trace_data'"
        ).fetchall()
    assert runs == planned
    assert same_ledger
    assert same_demand
    assert whole_plans in (True, None)
    assert dict(traces) == rows
    assert tables == [(len(traces),)]
    return int(runs)


@pytest.mark.slow
def test_a_kill_at_any_point_of_plan_or_import_leaves_whole_runs_only(tmp_path: Path) -> None:
    path = tmp_path / "planner.duckdb"
    log = tmp_path / "log.csv"
    log.write_text(
        "arrival,input_tokens,output_tokens\n"
        + "\n".join(
            f"2025-03-01T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z,{s % 977},{s % 91}" for s in range(86_400)
        )
        + "\n"
    )
    clock = random.Random(20250227)
    assert started("plan").wait() == 0  # the first compiles; how long the second takes sets the range of the kills
    begin = time.monotonic()
    assert started("plan", "--set", "trace.seed=1000").wait() == 0
    whole_s = time.monotonic() - begin
    runs, killed, attempt = check(path), 0, 0
    while killed < KILLS and attempt < 4 * KILLS:
        attempt += 1
        if attempt % 10 == 0:
            # now and then the store itself is new, and may be killed while it is made
            path.unlink(missing_ok=True)  # not there yet, if all were killed before it was made
            Path(f"{path}.wal").unlink(missing_ok=True)
            runs = 0
        words = (
            ("trace", "import", str(log), "--format", "csv", "--name", f"t{attempt}")
            if attempt % 3 == 2
            else ("plan", "--set", f"trace.seed={attempt}")
        )
        process = started(*words)
        time.sleep(clock.uniform(0.1, 1.0) * whole_s)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if path.exists():
            now = check(path)
            assert now in (runs, runs + 1)
            runs = now
    assert killed == KILLS
    assert started("plan").wait() == 0
    assert check(path) == runs + 1


@pytest.mark.slow
def test_a_kill_at_any_point_of_a_replay_leaves_whole_replays_only(tmp_path: Path) -> None:
    words = ("replay", "--set", "trace.demand_factor=0.003", "--set", "trace.scale=0.1", "--keep-requests")
    path = tmp_path / "planner.duckdb"
    assert started(*words).wait() == 0
    begin = time.monotonic()
    assert started(*words).wait() == 0
    whole_s = time.monotonic() - begin
    clock, killed = random.Random(20250228), 0
    for _ in range(20):
        process = started(*words)
        # most of the time goes into starting up; nearly all kills are to hit what comes after
        time.sleep(whole_s * clock.uniform(0.4, 1.1))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        check(path)
        with Store(path).read() as session:
            (row,) = session.connection.execute(WHOLE_REPLAYS).fetchall()
        assert row[0] == row[1] == row[2]
        assert row[3] == row[4]
    assert killed >= 5


def test_two_plans_started_together_on_a_new_store_both_end_well(tmp_path: Path) -> None:
    processes = [started("plan", stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stderr is not None
        assert (process.wait(timeout=120), process.stderr.read()) == (0, b"")
        process.stderr.close()
    assert check(tmp_path / "planner.duckdb") == 2
    with Store(tmp_path / "planner.duckdb").read() as session:
        assert session.frame("trace_list").height == 1


def test_other_commands_work_while_a_long_trace_is_drawn(tmp_path: Path, planned: Store, cli: Cli) -> None:
    """The store is not locked while a command computes."""
    drawing = started("trace", "generate", "--scale", "0.05", "--name", "long")
    waits = []
    try:
        while drawing.poll() is None:
            begin = time.monotonic()
            try:
                duckdb.connect(str(planned.path), read_only=True).close()
                waits.append(True)
            except duckdb.IOException:
                waits.append(False)
            time.sleep(max(0.0, 0.02 - (time.monotonic() - begin)))
    finally:
        if drawing.poll() is None:
            os.kill(drawing.pid, signal.SIGKILL)
        drawing.wait()
    assert drawing.returncode == 0
    assert sum(waits) > len(waits) / 2, "the store was locked for most of the time"
    assert len(cli("trace", "list", "--json").json) == 2


def test_an_interrupt_says_that_nothing_was_stored(tmp_path: Path) -> None:
    process = started("trace", "generate", "--scale", "1", "--name", "long", stderr=subprocess.PIPE)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    message = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert message == "planner: interrupted; no result was stored\n"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".spool")] == []
