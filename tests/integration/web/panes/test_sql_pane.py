"""Questions in SQL on the page: what is read, and what is refused as on the command line."""

import csv
import io
from pathlib import Path

import pytest

from planner.nightly.lock import scheduler_lock
from planner.store import Store, publish
from tests.helpers.served_panes import Served

TRACES = "SELECT name, row_count FROM trace ORDER BY name"


def rows(server: Served, query: str) -> list[dict[str, object]]:
    told = server.get("/sql.json", pane__sql=query).json
    assert told["problem"] is None
    found: list[dict[str, object]] = told["rows"]
    return found


def test_a_query_is_answered_on_the_page_in_a_document_and_as_files(server: Served) -> None:
    assert rows(server, TRACES) == [{"name": "hour", "row_count": 60}]
    page = server.get("/sql", pane__sql=TRACES)
    assert page.status == 200
    assert '<td class="s">hour</td><td class="n">60</td>' in page.text
    assert f">{TRACES}</textarea>" in page.text
    file = server.get("/sql/rows.csv", pane__sql=TRACES)
    assert file.headers["Content-Disposition"] == 'attachment; filename="rows.csv"'
    assert list(csv.reader(io.StringIO(file.text))) == [["name", "row_count"], ["hour", "60"]]
    assert server.get("/sql/rows.json", pane__sql=TRACES).json == [{"name": "hour", "row_count": 60}]


def test_a_query_of_several_lines_with_remarks_is_read_line_by_line(server: Served) -> None:
    assert rows(server, "SELECT 1 AS one -- the first\r\n, 2 AS two") == [{"one": 1, "two": 2}]


def test_a_named_query_takes_its_parameters_and_traces_by_their_names(server: Served) -> None:
    told = server.get("/sql.json", pane__named="trace_lengths", pane__param__trace_id="hour").json
    assert [(row["field"], row["p50"]) for row in told["rows"]] == [("input_tokens", 89), ("output_tokens", 120)]
    page = server.get("/sql", pane__named="trace_lengths").text
    assert "query trace_lengths needs --param trace_id=..." in page
    assert 'name="pane.param.trace_id"' in page


def test_many_rows_are_counted_a_page_shows_the_first_and_a_file_has_all(server: Served) -> None:
    many = "SELECT range AS n FROM range(1234)"
    told = server.get("/sql.json", pane__sql=many).json
    assert (len(told["rows"]), told["total"]) == (200, 1234)
    assert "1,034 further rows are not shown" in server.get("/sql", pane__sql=many).text
    assert len(server.get("/sql/rows.json", pane__sql=many).json) == 1234
    too_many = server.get("/sql/rows.csv", pane__sql="SELECT * FROM range(600000)")
    assert too_many.status == 422
    assert "600,000 rows, too much for a download" in too_many.text


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY trace TO '/tmp/planner-escape.csv'",
        "ATTACH '/tmp/planner-escape.duckdb'",
        "DELETE FROM trace",
        "SET memory_limit = '10GB'",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "SELECT getenv('HOME')",
        "SELECT * FROM nothing",
        "nonsense",
    ],
)
def test_escapes_and_nonsense_are_refused_beside_the_query(server: Served, query: str) -> None:
    told = server.get("/sql.json", pane__sql=query).json
    assert told["problem"]
    assert "\n" not in told["problem"]
    assert told["rows"] == []
    page = server.get("/sql", pane__sql=query)
    assert page.status == 200
    assert 'role="alert"' in page.text
    assert server.get("/sql/rows.json", pane__sql=query).status == 422
    assert not any(Path("/tmp").glob("planner-escape*"))


def test_hostile_cells_are_inert_and_long_ones_are_cut(server: Served) -> None:
    page = server.get("/sql", pane__sql="SELECT '<script>alert(1)</script>' AS \"<b>\", repeat('x', 9999) AS long").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page
    assert "x" * 401 not in page
    formula = server.get("/sql/rows.csv", pane__sql="SELECT '=1+1' AS cell").text
    assert formula.splitlines() == ["cell", "'=1+1"]


def test_while_a_night_is_at_work_the_published_copy_is_read(server: Served, folder: Path) -> None:
    publish(Store(folder / "planner.duckdb"))
    with scheduler_lock(folder / "planner.duckdb"):
        told = server.get("/sql.json", pane__sql=TRACES).json
        assert told["published"]
        assert told["rows"] == [{"name": "hour", "row_count": 60}]
        refused = server.get("/sql.json", pane__sql="SELECT count(*) FROM request").json
        assert refused["problem"] == "the published copy leaves out request; read the store itself with --live"
    assert not server.get("/sql.json", pane__sql=TRACES).json["published"]
