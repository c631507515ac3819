"""The published copy: what people read while the store is written."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from planner.errors import StoreLocked
from planner.nightly.lock import scheduler_lock
from planner.store import Store, publish, published_path, readable
from planner.store.turns import give_way, is_awaited, waiting_to_write
from tests.conftest import Cli
from tests.helpers.nights import FIRST, Service, night

ENDLESS = "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3"


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
        assert cli(*count, "--live", "--timeout", "3600").json == [{"any_requests": True}]
    assert cli(*count).err == "", "nobody is at work"


def test_a_long_query_does_not_keep_a_night_from_writing(one_night: Service, real_outputs: None) -> None:
    service = one_night
    with scheduler_lock(service.store.path):
        words = [sys.executable, "-m", "planner", "sql", ENDLESS]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as reader:
            assert reader.stderr is not None
            assert "reading planner.published.duckdb" in reader.stderr.readline()
            service.run(night(FIRST + timedelta(days=1)))
            assert reader.poll() is None
            reader.kill()
    with service.store.read() as session:
        assert len(session.rows("run_list")) == 2


def test_a_query_that_began_before_a_night_lets_go_of_the_store(one_night: Service, tmp_path: Path) -> None:
    with impatient("sql", ENDLESS, "--timeout", "3600") as reader:
        wait_until_locked(one_night.store, reader)
        assert one_night.run(night(FIRST + timedelta(days=1))) == 0
        assert has_let_go(reader, one_night.store)
    assert len(one_night.rows("run_list")) == 2
    assert list(tmp_path.glob(".*")) == [], "nothing is left behind"


def test_a_query_that_cannot_be_interrupted_lets_go_too_by_its_end(one_night: Service) -> None:
    one_value = "SELECT levenshtein(repeat('ab', 100000), repeat('ba', 100000))"
    with impatient("sql", one_value, "--timeout", "3600") as reader:
        wait_until_locked(one_night.store, reader)
        with one_night.store.write():
            pass
        assert has_let_go(reader, one_night.store)


def test_a_query_that_begins_while_a_night_waits_reads_the_copy_or_waits_for_it(one_night: Service, cli: Cli) -> None:
    """Queries one after another leave a writer its gap."""
    store = one_night.store
    words = ("sql", "SELECT count(*) AS runs FROM run", "--json")
    with waiting_to_write(store.path):
        assert is_awaited(store.path)
        assert "reading planner.published.duckdb" in cli(*words).err
        published_path(store.path).unlink()
        begin = time.monotonic()
        give_way(store.path, 0.2)
        assert time.monotonic() - begin >= 0.2
    assert not is_awaited(store.path)
    assert cli(*words).json == [{"runs": 1}]


def test_a_writer_says_that_it_waits_for_as_long_as_it_does(one_night: Service) -> None:
    store = one_night.store
    code = f"import duckdb; c = duckdb.connect({str(store.path)!r}, read_only=True); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not is_awaited(store.path)
        words = [sys.executable, "-m", "planner", "trace", "delete", f"n-{FIRST - timedelta(days=1)}"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as writer:
            while not is_awaited(store.path):
                assert writer.poll() is None
                time.sleep(0.02)
            holder.communicate("\n")
            assert writer.wait() == 0
    assert not is_awaited(store.path)


@contextmanager
def impatient(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A planner whose queries let go sooner than usual."""
    code = f"import sys, planner.store.adhoc as a; a.LET_GO_S = 0.2; sys.argv = {['planner', *words]!r}\n"
    code += "from planner.__main__ import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def has_let_go(reader: subprocess.Popen[str], store: Store) -> bool:
    """Whether a query ended with one line that tells why."""
    assert reader.stderr is not None
    said = reader.stderr.read()
    why = f"s, because another process waits to write {store.path.name}; narrow it, or run it again when that has ended"
    return reader.wait() == 1 and said.startswith("planner: the query was stopped after ") and said.endswith(f"{why}\n")


def wait_until_locked(store: Store, reader: subprocess.Popen[str]) -> None:
    """Wait until another process has a store open for its query, after a moment in which it looks at its schema."""
    times = 0
    while reader.poll() is None and times < 4:
        try:
            with Store(store.path, wait_s=0).write():
                times = 0
        except StoreLocked:
            times += 1
        time.sleep(0.2)
    assert reader.poll() is None, "the query has ended"


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
