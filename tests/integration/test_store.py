"""The store: migrated, registered, locked for as short as possible, and clear when it cannot be used."""

import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from planner.errors import QueryError, StoreError, StoreLocked, StoreMissing, StoreTooNew, StoreUnreadable
from planner.store import Store, named_queries, named_query
from planner.store.runs import RUN_TABLES, delete_run_rows
from planner.store.tables import TABLES

pytestmark = pytest.mark.usefixtures("new_stores")


def stored_columns(store: Store) -> dict[str, list[tuple[str, str]]]:
    with store.read() as session:
        rows = session.connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' "
            "AND NOT internal ORDER BY table_name, column_index"
        ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        found.setdefault(table, []).append((column, kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")))
    return found


def test_the_register_and_the_migrations_agree_on_every_column(store: Store) -> None:
    with store.write():
        pass
    found = stored_columns(store)
    for table in TABLES:
        assert [(column.name, column.dtype) for column in table.columns] == found[table.name], table.name
        assert all(column.meaning for column in table.columns)
    views = {
        "hourly_economics",
        "node_timeline",
        "plan_vs_actual",
        "run_summary",
        "training_account",
        "training_jobs",
        "training_windows",
    }
    assert set(found) == {table.name for table in TABLES} | views | {"schema_migration", "schema_view"}


def test_all_tables_that_name_a_run_go_with_it_but_for_the_ledger_of_nights() -> None:
    naming = {table.name for table in TABLES if "run_id" in {column.name for column in table.columns}}
    assert naming - set(RUN_TABLES) == {"job_run", "plan_actual"}


def test_a_deleted_run_leaves_no_row_and_every_row_of_the_others(planned: Store) -> None:
    def rows(run_id: str) -> dict[str, int]:
        with planned.read() as session:
            counted = {
                table: session.connection.execute(f"SELECT count(*) FROM {table} WHERE run_id = '{run_id}'").fetchall()
                for table in RUN_TABLES
            }
        return {table: found[0][0] for table, found in counted.items() if found[0][0]}

    with planned.write() as session:
        for table in RUN_TABLES:
            session.connection.execute(f"INSERT INTO {table} SELECT * REPLACE ('other' AS run_id) FROM {table}")
    before = rows("run-00001")
    assert before["plan_interval"] == 96
    assert rows("other") == before
    with planned.write() as session:
        delete_run_rows(session, "run-00001")
    assert rows("run-00001") == {}
    assert rows("other") == before


def test_every_named_query_declares_the_parameters_it_uses() -> None:
    for query in named_queries():
        assert query.meaning, query.name
        assert query.used == set(query.params), query.name


def test_every_named_query_runs_on_an_empty_store(store: Store) -> None:
    moment = "2025-03-01T00:00:00Z"
    others = {"interval_us": 900_000_000, "logical_date": "2025-03-01", "now": moment, "lease_until": moment}
    with store.write() as session:
        for query in named_queries():
            params = {name: others.get(name, "0") for name in query.params}
            session.connection.execute(query.sql, params).fetchnumpy()


def test_nothing_but_documents_gets_onto_stdout_from_where_duckdb_would_draw_bars(tmp_path: Path) -> None:
    """As it would for all that has no main file: notebooks, and `python -c`."""
    code = (
        "from pathlib import Path; from planner.store import Store; from planner.store.staging import staging\n"
        "ask = \"SELECT current_setting('enable_progress_bar')\"; store = Store(Path('s.duckdb'))\n"
        "with store.write() as session: print(session.connection.sql(ask).fetchall())\n"
        "with store.read() as session: print(session.connection.sql(ask).fetchall())\n"
        "with staging() as stage: print(stage.connection.cursor().sql(ask).fetchall())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[(False,)]\n" * 3


def test_an_unknown_query_lists_the_named_ones() -> None:
    with pytest.raises(QueryError, match=r"the named queries are: .*run_list"):
        named_query("nope")


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with store.write():
        pass
    row = pl.DataFrame({"trace_id": [1], "class_id": [0], "class": ["a"]})
    with pytest.raises(duckdb.ConstraintException), store.write() as session:
        session.append("request_class", pl.concat([row, row]))
    with store.read() as session:
        assert session.connection.execute("SELECT count(*) FROM request_class").fetchall() == [(0,)]


def test_reading_where_there_is_no_store_says_how_to_make_one(store: Store) -> None:
    with pytest.raises(StoreMissing, match="planner plan"), store.read():
        pass
    assert not store.path.exists()


def test_a_file_that_is_no_database_is_refused_and_kept(store: Store) -> None:
    store.path.write_text("not a database, a diary")
    for use in (store.read, store.write):
        with pytest.raises(StoreUnreadable, match="is not a DuckDB database"), use():
            pass
    assert store.path.read_text() == "not a database, a diary"


def test_a_database_of_something_else_is_refused_and_kept(store: Store) -> None:
    other = duckdb.connect(str(store.path))
    other.execute("CREATE TABLE recipe (name VARCHAR)")
    other.close()
    with pytest.raises(StoreUnreadable, match="of another program"), store.write():
        pass
    other = duckdb.connect(str(store.path))
    assert [row[0] for row in other.execute("SELECT table_name FROM duckdb_tables()").fetchall()] == ["recipe"]
    other.close()


def test_a_newer_schema_is_refused(store: Store) -> None:
    with store.write() as session:
        session.connection.execute("INSERT INTO schema_migration VALUES (999, 'future', '')")
    with pytest.raises(StoreTooNew, match="schema 999"), store.read():
        pass


def test_a_store_of_another_build_is_refused_before_it_fails_in_the_middle(store: Store) -> None:
    with store.write() as session:
        session.connection.execute("UPDATE schema_migration SET sha256 = 'other' WHERE version = 1")
    with (
        pytest.raises(StoreUnreadable, match="created by another build of planner, whose 001_store differs"),
        store.read(),
    ):
        pass


def test_changed_views_are_made_again_without_a_migration(store: Store) -> None:
    with store.write() as session:
        session.connection.execute("UPDATE schema_view SET sha256 = 'older'")
        session.connection.execute("DROP VIEW run_summary")
    with store.read() as session:
        assert session.frame("run_list").is_empty()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"), Store(tmp_path / "no" / "a.duckdb").write():
        pass


def test_a_held_store_is_waited_for_and_then_reported_with_its_holder(store: Store) -> None:
    with store.write():
        pass
    code = f"import duckdb, sys\nc = duckdb.connect({str(store.path)!r})\nprint('held', flush=True)\nsys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline().strip() == "held"
        hurried = Store(store.path, wait_s=0.2)
        for use in (hurried.read, hurried.write):
            with pytest.raises(StoreLocked, match=rf"PID {holder.pid}.*wait for it"), use():
                pass
    finally:
        holder.stdin.close()
        holder.wait(timeout=10)
        holder.stdout.close()
    with store.read() as session:
        assert session.frame("trace_list").is_empty()


def test_making_a_store_leaves_no_draft_behind(store: Store) -> None:
    with store.write():
        pass
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]
