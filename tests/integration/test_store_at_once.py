"""Stores that a process has open at the same time, and what an instance keeps when a store is closed."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from planner.errors import PlannerError, StoreError
from planner.store.adhoc import query
from planner.store.database import Store, locked_down

pytestmark = pytest.mark.usefixtures("new_stores")

SPILLING = "SELECT count(*) FROM (SELECT range AS i, hash(range) AS h FROM range(3000000) ORDER BY h) WHERE h > 0"


def _made(path: Path) -> Store:
    store = Store(path, wait_s=1)
    with store.write() as session:
        session.connection.execute("CREATE TABLE note (i INTEGER)")
    return store


def _others_may_write(store: Store) -> bool:
    script = f"import duckdb; duckdb.connect({str(store.path)!r})"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_a_new_store_is_created_while_another_one_is_open(tmp_path: Path) -> None:
    first = _made(tmp_path / "first.duckdb")
    with first.read(), Store(tmp_path / "second.duckdb").write() as session:
        assert session.connection.execute("SELECT max(version) FROM schema_migration").fetchall()[0][0] > 0


def test_views_of_a_new_store_show_no_trace_of_another_one(tmp_path: Path) -> None:
    first = Store(tmp_path / "first.duckdb")
    with first.write() as session:
        session.connection.execute("CREATE TABLE trace_data.request_1 AS SELECT 0::BIGINT AS arrival_us")
    with first.read(), Store(tmp_path / "second.duckdb").write() as session:
        assert session.connection.execute("SELECT count(*) FROM request").fetchall() == [(0,)]


def test_two_stores_are_written_in_one_block_each_in_its_own_transaction(tmp_path: Path) -> None:
    first, second = _made(tmp_path / "first.duckdb"), _made(tmp_path / "second.duckdb")
    with suppress(ZeroDivisionError), first.write() as one:
        one.connection.execute("INSERT INTO note VALUES (1)")
        with second.write() as two:
            two.connection.execute("INSERT INTO note VALUES (2)")
        raise ZeroDivisionError
    for store, rows in ((first, []), (second, [(2,)])):
        with store.read() as session:
            assert session.connection.execute("SELECT i FROM note").fetchall() == rows


def test_a_path_may_contain_quotes_and_spaces(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "store"; --'
    folder.mkdir()
    with _made(folder / "a 'b'.duckdb").read() as session:
        assert session.connection.execute("SELECT count(*) FROM note").fetchall() == [(0,)]


@pytest.mark.parametrize("outer", ["read", "write"])
def test_a_store_cannot_be_opened_in_two_ways_at_once(tmp_path: Path, outer: str) -> None:
    store = _made(tmp_path / "a.duckdb")
    inner = {"read": "write", "write": "read"}[outer]
    with (
        getattr(store, outer)(),
        pytest.raises(StoreError, match="this process has it open in another way; close that first"),
        getattr(store, inner)(),
    ):
        pass
    with getattr(store, inner)():
        pass


def test_a_query_of_a_user_does_not_take_the_lock_from_a_reader(tmp_path: Path) -> None:
    store = _made(tmp_path / "a.duckdb")
    with store.read():
        with pytest.raises(StoreError, match="open in another way"):
            query(store, "SELECT 1")
        assert not _others_may_write(store)
    assert query(store, "SELECT 1 AS one").frame.to_dicts() == [{"one": 1}]
    assert _others_may_write(store)


def test_a_query_that_cannot_begin_leaves_the_store_free(tmp_path: Path) -> None:
    store = _made(tmp_path / "a.duckdb")
    with locked_down(store.path), pytest.raises(StoreError), locked_down(store.path):
        pass  # settings of the instance are locked, also for a second connection
    with store.write():
        pass


def test_a_damaged_file_leaves_the_next_store_usable(tmp_path: Path) -> None:
    good = _made(tmp_path / "good.duckdb")
    with good.read():
        pass
    bytes_ = bytearray(good.path.read_bytes())
    bytes_[4096 + 8 : 4096 + 208] = bytes(200)
    (bad := tmp_path / "bad.duckdb").write_bytes(bytes_)
    with pytest.raises(PlannerError, match=r"bad\.duckdb"), Store(bad).read():
        pass
    with good.write() as session:
        session.connection.execute("INSERT INTO note VALUES (1)")


def test_what_does_not_fit_into_memory_lies_beside_the_store(tmp_path: Path) -> None:
    for name in ("one", "two"):  # an instance that has spilled cannot spill elsewhere
        (tmp_path / name).mkdir()
        with Store(tmp_path / name / "a.duckdb").write() as session:
            session.connection.execute("SET memory_limit = '40MB'")
            ((folder,),) = session.connection.execute("SELECT current_setting('temp_directory')").fetchall()
            session.connection.execute(SPILLING).fetchall()
            assert any(Path(folder).iterdir())
        assert Path(folder).parent == tmp_path / name
        assert [path.name for path in (tmp_path / name).iterdir()] == ["a.duckdb"]
    assert not (Path.cwd() / ".tmp").exists()


def test_who_reads_spills_into_a_folder_of_its_own_which_goes_even_after_a_kill(tmp_path: Path) -> None:
    store = _made(tmp_path / "a.duckdb")
    script = f"""
from planner.store import Store
with Store({str(store.path)!r}).read() as session:
    session.connection.execute("SET memory_limit = '40MB'")
    session.connection.execute({SPILLING!r}).fetchall()
    print(session.connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0], flush=True)
    input()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with store.read() as session:
            ((ours,),) = session.connection.execute("SELECT current_setting('temp_directory')").fetchall()
            assert theirs.parent == Path(ours).parent == tmp_path
            assert theirs != Path(ours)
            assert any(theirs.iterdir())
        other.kill()
    assert any(theirs.iterdir())
    with store.read():
        assert not theirs.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.duckdb"]


def test_a_connection_that_is_not_made_leaves_nothing_attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _made(tmp_path / "a.duckdb")
    with monkeypatch.context() as patch:
        patch.setattr("planner.store.attached.SESSION", "SET nothing_like_this = 1")
        with pytest.raises(StoreError), store.read():
            pass
    assert _others_may_write(store)
    with pytest.raises(duckdb.CatalogException), store.write() as session:
        session.connection.execute("SELECT * FROM nowhere")
    assert _others_may_write(store)
