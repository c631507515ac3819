"""Arrow and Parquet files: every type of column is read, or named."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest

from planner.errors import TraceError
from planner.store import Store
from planner.trace.stored import by_name
from tests.helpers.imports import imported, requests_of


def arrow_log(path: Path, columns: Mapping[str, pa.Array], kind: str) -> Path:
    data = pa.table(dict(columns))
    if kind == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(data, path)
    else:
        with ipc.new_file(path, data.schema) as writer:
            writer.write_table(data)
    return path


@pytest.mark.parametrize("index", [pa.uint32(), pa.int8()])
@pytest.mark.parametrize("text", [pa.string(), pa.string_view(), pa.large_string()])
def test_arrow_columns_of_categories_are_read_as_their_texts(
    index: pa.DataType, text: pa.DataType, store: Store, tmp_path: Path
) -> None:
    names = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], index), pa.array(["small", "large"], text))
    columns = {
        "arrival": pa.array(["2026-11-02T09:00:00Z"] * 3, pa.string_view()),
        "input_tokens": pa.array([1, 2, 3]),
        "output_tokens": pa.array([1, 1, 1]),
        "model": pa.StructArray.from_arrays([names], names=["size"]),
        "class": names,
    }
    by_class = imported(store, arrow_log(tmp_path / "l.arrow", columns, "arrow"), "parquet")
    del columns["class"]
    log = arrow_log(tmp_path / "inside.arrow", columns, "arrow")
    inside = imported(store, log, "parquet", name="inside", columns={"class": "model.size"})
    for name in (by_class.trace, inside.trace):
        assert classes(store, name) == [(1, "large"), (2, ""), (3, "small")]


def classes(store: Store, name: str) -> list[tuple[int, str]]:
    """Input tokens and class of every request."""
    with store.read() as session:
        info = by_name(session, name)
        kinds = {row["class_id"]: row["class"] for row in session.rows("trace_class_names", trace_id=info.trace_id)}
        frame = session.frame("trace_rows", trace_id=info.trace_id)
    return sorted((tokens, kinds[kind]) for tokens, kind in frame.select("input_tokens", "class_id").iter_rows())


def test_an_arrow_type_that_is_not_read_is_named(store: Store, tmp_path: Path) -> None:
    ages = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    columns = {name: pa.array([1]) for name in ("arrival", "input_tokens", "output_tokens")}
    log = arrow_log(tmp_path / "l.arrow", {**columns, "age": ages}, "arrow")
    with pytest.raises(TraceError, match="has a column of a type that is not read"):
        imported(store, log, "parquet")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize(
    "times",
    [
        pa.array([1_793_610_004_500_000_000], pa.timestamp("ns", "UTC")),
        pa.array([1_793_610_004_500_000_000], pa.timestamp("ns", "+00:00")),
        pa.array([1_793_610_004_500_000_000], pa.timestamp("ns", "America/New_York")),
        pa.array([1_793_610_004_500_000_000], pa.timestamp("ns")),
        pa.array([1_793_610_004_500], pa.timestamp("ms", "UTC")),
        pa.array(["2026-11-02T09:00:04.5Z"], pa.string_view()),
        pa.array(["2026-11-02T09:00:04.5Z"]).dictionary_encode(),
        pa.array([1793610004.5], pa.float64()),
        pa.array(["1793610004.500000000"]).cast(pa.decimal128(38, 9)),
    ],
)
def test_times_of_every_type_are_the_same_moment(store: Store, tmp_path: Path, times: pa.Array, kind: str) -> None:
    columns = {"arrival": times, "input_tokens": pa.array([10]), "output_tokens": pa.array([1])}
    imported(store, arrow_log(tmp_path / "l", columns, kind), "auto")
    assert requests_of(store) == [(1_793_610_004_500_000, 10, None, 1)]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("inputs", "imported_rows"),
    [
        (pa.array([7.0, float("nan"), float("inf"), -float("inf"), None, 7.5]), 1),
        (pa.array([7, None, -1, 2**31, None, None], pa.int64()), 1),
        (pa.array([7, None, 2**64 - 1, 8, None, None], pa.uint64()), 2),
        (pa.array(["7", "-1", None, "99999999999", None, None]).cast(pa.decimal128(38, 0)), 1),
        (pa.array(["7", "7.5", None, "-1", None, None]).cast(pa.decimal128(10, 2)), 1),
        (pa.array([7, None, None, None, None, None], pa.float16()), 1),
        (pa.array(["7", "", "x", "NaN", None, "8"], pa.large_string()), 2),
        (pa.array([[7]] * 6), 6),
        (pa.array([True] * 5 + [None]), 0),
        (pa.nulls(6), 0),
    ],
)
def test_numbers_of_every_type_are_read_or_refused_row_by_row(
    store: Store, tmp_path: Path, inputs: pa.Array, imported_rows: int, kind: str
) -> None:
    columns = {"arrival": pa.array(range(6)), "input_tokens": inputs, "output_tokens": pa.array([1] * 6)}
    log = arrow_log(tmp_path / "l", columns, kind)
    if not imported_rows:
        with pytest.raises(TraceError, match="no row can be imported, the first at line 1"):
            imported(store, log, "auto")
        return
    outcome = imported(store, log, "auto")
    assert (outcome.rows_read, outcome.rows, outcome.rows_rejected) == (6, imported_rows, 6 - imported_rows)
    assert {row[1] for row in requests_of(store)} <= {7, 8}


def test_whole_decimals_name_sessions_as_they_are(store: Store, tmp_path: Path) -> None:
    columns = {name: pa.array([1, 2]) for name in ("arrival", "input_tokens", "output_tokens")}
    columns["session_id"] = pa.array(["41", "42"]).cast(pa.decimal128(38, 0))
    imported(store, arrow_log(tmp_path / "l.parquet", columns, "parquet"), "parquet")
    with store.read() as session:
        assert session.connection.execute("SELECT session_id FROM request ORDER BY ALL").fetchall() == [(41,), (42,)]
