"""Killed at any point, or started twice: the store opens, earlier runs are there, and no part of another is."""

import random
import signal
import time
from itertools import groupby
from pathlib import Path

import duckdb
import pytest

from planner.store import Store
from tests.conftest import Cli
from tests.helpers.processes import Started, started

pytestmark = pytest.mark.usefixtures("new_stores")

KILLS = 50
PLAN = ("plan", "--set", "trace.scale=0.0002")
"""A plan of a small sample: less time goes into drawing it, more into writing."""

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


def seconds_of(*words: str) -> float:
    """How long a command takes."""
    begin = time.monotonic()
    assert Started(*words).wait() == 0
    return time.monotonic() - begin


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
            f"2025-03-01T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z,{s % 977},{s % 91}"
            for s in range(0, 86_400, 4)
        )
        + "\n"
    )
    clock = random.Random(20250227)
    assert Started(*PLAN).wait() == 0  # the first compiles; how long others take sets the range of the kills
    whole_s = min(seconds_of(*PLAN, "--set", f"trace.seed={seed}") for seed in (1000, 1001, 1002))
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
            else (*PLAN, "--set", f"trace.seed={attempt}")
        )
        with started(*words) as process:
            time.sleep(clock.uniform(0.0, 1.0) * whole_s)
        killed += process.wait() == -signal.SIGKILL
        if path.exists():
            now = check(path)
            assert now in (runs, runs + 1)
            runs = now
    assert killed == KILLS
    assert Started(*PLAN).wait() == 0
    assert check(path) == runs + 1


@pytest.mark.slow
def test_a_kill_at_any_point_of_a_replay_leaves_whole_replays_only(tmp_path: Path) -> None:
    words = ("replay", "--set", "trace.demand_factor=0.003", "--set", "trace.scale=0.1", "--keep-requests")
    path = tmp_path / "planner.duckdb"
    assert Started(*words).wait() == 0
    whole_s = min(seconds_of(*words) for _ in range(2))
    clock, killed = random.Random(20250228), 0
    for _ in range(20):
        with started(*words) as process:
            time.sleep(whole_s * clock.uniform(0.0, 1.1))
        killed += process.wait() == -signal.SIGKILL
        check(path)
        with Store(path).read() as session:
            (row,) = session.connection.execute(WHOLE_REPLAYS).fetchall()
        assert row[0] == row[1] == row[2]
        assert row[3] == row[4]
    assert killed >= 5


def test_two_plans_started_together_on_a_new_store_both_end_well(tmp_path: Path) -> None:
    messages = [tmp_path / "one.err", tmp_path / "other.err"]
    processes = [Started("plan", err=message) for message in messages]
    for process, message in zip(processes, messages, strict=True):
        assert (process.wait(), message.read_text()) == (0, "")
    assert check(tmp_path / "planner.duckdb") == 2
    with Store(tmp_path / "planner.duckdb").read() as session:
        assert session.frame("trace_list").height == 1


def test_other_commands_work_while_a_long_trace_is_drawn(tmp_path: Path, planned: Store, cli: Cli) -> None:
    """The store is not locked while a command computes."""
    waits = []
    with started("trace", "generate", "--scale", "0.05", "--name", "long") as drawing:
        while drawing.is_running:
            begin = time.monotonic()
            try:
                duckdb.connect(str(planned.path), read_only=True).close()
                waits.append(True)
            except duckdb.IOException:
                waits.append(False)
            time.sleep(max(0.0, 0.02 - (time.monotonic() - begin)))
    assert drawing.wait() == 0
    # it is free while the trace is drawn, and locked once, while what was drawn is written
    assert len(waits) >= 10
    assert all(waits[: len(waits) // 5])
    assert [free for free, _ in groupby(waits)].count(False) == 1
    assert len(cli("trace", "list", "--json").json) == 2


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up")],
)
def test_a_signal_says_that_nothing_was_stored(number: signal.Signals, code: int, word: str, tmp_path: Path) -> None:
    message = tmp_path / "message"
    with started("trace", "generate", "--scale", "1", "--name", "long", err=message) as process:
        process.wait_until(message)
        time.sleep(1)
        process.send(number)
        assert process.wait() == code
    assert message.read_text() == f"planner: {word}; no result was stored\n"
    assert [path.name for path in tmp_path.iterdir()] == ["message"]
