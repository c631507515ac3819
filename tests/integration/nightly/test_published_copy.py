"""The published copy: what people read while the store is written."""

import subprocess
import sys
from datetime import timedelta

import duckdb
import pytest

from planner.nightly.lock import scheduler_lock
from planner.store import Store, publish, published_path, readable
from tests.conftest import Cli
from tests.helpers.nights import FIRST, Service, night


def test_people_read_the_published_copy_while_the_store_is_written(
    one_night: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = one_night
    monkeypatch.setattr("planner.store.published.PROBE_S", 0.05)
    code = f"import duckdb; c = duckdb.connect({str(service.store.path)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline().strip() == "held"
        for words in (
            ("sql", "SELECT count(*) AS runs FROM run_summary", "--json"),
            ("report", "--out", "r"),
            ("run", "list", "--json"),
            ("run", "show"),
            ("export", "--to", "csv"),
            ("schedule", "history"),
        ):
            done = cli(*words)
            assert done.code == 0, done.err
            assert "reading planner.published.duckdb" in done.err
        missing = cli("sql", "SELECT count(*) AS n FROM request", "--json")
        assert (missing.code, missing.out) == (1, "")
        assert "the published copy leaves out request; read the store itself with --live" in missing.err
    finally:
        holder.stdin.write("\n")
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
    assert "being written" not in cli("run", "list").err


def test_sql_reads_the_copy_while_a_scheduler_is_at_work(one_night: Service, cli: Cli) -> None:
    """So that a query that takes long never keeps a night from writing."""
    count = ("sql", "SELECT count(*) > 0 AS any_requests FROM request", "--json")
    with scheduler_lock(one_night.store.path):
        done = cli("sql", "SELECT count(*) AS runs FROM run", "--json")
        assert done.json == [{"runs": 1}]
        assert done.err == (
            "planner: the nightly service is at work on planner.duckdb, or it is being written; reading "
            "planner.published.duckdb, the copy that the last nightly run published; --live reads the store itself\n"
        )
        assert cli(*count, "--live").json == [{"any_requests": True}]
        too_long = cli(*count, "--live", "--timeout", "51")
        assert (too_long.code, too_long.err.count("\n")) == (2, 1)
        assert "a night waits a minute to write; give at most 50" in too_long.err
    assert cli(*count, "--timeout", "51").err == "", "nobody is at work"


def test_a_long_query_does_not_keep_a_night_from_writing(one_night: Service, real_outputs: None) -> None:
    service = one_night
    endless = "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3"
    with scheduler_lock(service.store.path):
        words = [sys.executable, "-m", "planner", "sql", endless]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as reader:
            assert reader.stderr is not None
            assert "reading planner.published.duckdb" in reader.stderr.readline()
            service.run(night(FIRST + timedelta(days=1)))
            assert reader.poll() is None
            reader.kill()
    with service.store.read() as session:
        assert len(session.rows("run_list")) == 2


def test_readers_of_a_published_copy_keep_it_while_the_next_is_put_in_its_place(
    one_night: Service, real_outputs: None
) -> None:
    service = one_night
    reader = duckdb.connect(str(published_path(service.store.path)), read_only=True)
    service.run(night(FIRST + timedelta(days=1)))
    assert reader.execute("SELECT count(*) FROM run").fetchall() == [(1,)]
    reader.close()
    with Store(published_path(service.store.path)).read() as session:
        assert len(session.rows("run_list")) == 2
    assert readable(service.store) == (service.store, False)


def test_a_draft_that_a_killed_process_left_does_not_disturb_publishing(one_night: Service) -> None:
    service = one_night
    draft = service.store.path.with_name(".planner.published.duckdb.draft")
    draft.write_text("half")
    assert publish(service.store).exists()
    assert not draft.exists()
