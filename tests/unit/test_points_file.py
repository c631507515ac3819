"""A file of measured points: every cell has its type, and what is wrong is said with line, column and cure."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import PlannerError
from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.measured.points_table import COLUMNS, COUNTS, METRICS, NUMBERS

POINT = {
    "id": "a1",
    "model": "example-70b",
    "gpu": "H100",
    "n_gpus": "8",
    "tp": "4",
    "dp": "2",
    "ep": "1",
    "moe_tp": "1",
    "moe_ep": "1",
    "weights": "fp8",
    "kv": "bf16",
    "backend": "vllm",
    "backend_version": "1.2",
    "serving": "aggregated",
    "isl": "1000",
    "osl": "200",
    "concurrency": "16",
    "streams_per_gpu": "2",
    "kv_tokens": "1100",
    "metric": "tpot_ms",
    "value": "21.5",
    "suspect": "0",
}
NAME = "points.csv"


def row(**values: str) -> dict[str, str]:
    return POINT | values


def text(*points: dict[str, str], names: tuple[str, ...] = COLUMNS) -> str:
    lines = [",".join(names), *(",".join(point.get(name, "") for name in names) for point in points)]
    return "\n".join(lines) + "\n"


def written(content: str | bytes) -> Path:
    path = Path(NAME)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(content: str | bytes) -> str:
    with pytest.raises(PlannerError) as caught:
        read_points_file(written(content))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(NAME)
    return message


def test_every_column_has_its_type_and_an_empty_cell_is_unknown() -> None:
    later = row(id="a2", metric="ttft_ms", value="250", concurrency="", n_gpus="8.0", dp="", suspect="1", kv="")
    table = read_points_file(written(text(POINT, later)))
    frame = table.frame
    assert frame.columns == list(COLUMNS)
    for name in COLUMNS:
        numeric = pl.Int64 if name in COUNTS else pl.Float64 if name in NUMBERS else pl.String
        assert frame.schema[name] == (pl.Boolean if name == "suspect" else numeric)
    assert frame.row(0, named=True) == {
        **POINT,
        **{name: int(POINT[name]) for name in COUNTS},
        **{name: float(POINT[name]) for name in NUMBERS},
        "suspect": False,
    }
    second = frame.row(1, named=True)
    assert (second["concurrency"], second["dp"], second["kv"]) == (None, None, None)
    assert (second["n_gpus"], second["suspect"]) == (8, True)
    assert (table.source, table.notes) == (NAME, ())


def test_further_columns_are_carried_along_as_text_and_columns_may_stand_in_any_order() -> None:
    names = ("group", *reversed(COLUMNS))
    frame = read_points_file(written(text(row(group="007"), names=names))).frame
    assert frame.columns == list(names)
    assert frame["group"].to_list() == ["007"]
    assert frame["value"].to_list() == [21.5]


def test_a_byte_order_mark_blank_lines_blanks_and_carriage_returns_do_not_matter() -> None:
    plain = text(POINT)
    frame = read_points_file(written(plain)).frame
    for other in (
        b"\xef\xbb\xbf" + plain.encode(),
        ("\n" + plain + "\n").encode(),
        plain.replace("\n", "\r\n").encode(),
        plain.replace(",", " , ").encode(),
    ):
        assert read_points_file(written(other)).frame.equals(frame)


def test_all_columns_that_are_missing_are_named_at_once() -> None:
    names = tuple(name for name in COLUMNS if name not in ("gpu", "kv", "suspect"))
    assert "line 1: the columns gpu, kv, suspect are missing" in refusal(text(POINT, names=names))
    assert "line 1: the column gpu is missing" in refusal(
        text(POINT, names=tuple(name for name in COLUMNS if name != "gpu"))
    )
    assert "separate columns by commas" in refusal(text(POINT).replace(",", ";"))
    assert '"isl" is there twice' in refusal(text(POINT, names=(*COLUMNS, "isl")))


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("value", "fast", '"fast" is not a number'),
        ("value", "0", '"0" is not a number above 0'),
        ("value", "-3", "above 0"),
        ("value", "nan", "above 0"),
        ("value", "inf", "above 0"),
        ("value", "1e300", "above 0"),
        ("value", "", "is empty"),
        ("id", " ", "is empty"),
        ("model", "", "is empty"),
        ("gpu", "", "is empty"),
        ("metric", "", "is empty"),
        ("metric", "tpot", f"give one of {', '.join(METRICS)}"),
        ("isl", "1k", "is not a number"),
        ("isl", "-1", "above 0"),
        ("concurrency", "0", "above 0"),
        ("tp", "2.5", "not a whole number"),
        ("n_gpus", "0", "not a whole number"),
        ("n_gpus", "9000000", "not a whole number"),
        ("ep", "all", "is not a number"),
        ("weights", "fp16x", "give one of bf16, fp8"),
        ("kv", "int3", "give one of bf16, fp8"),
        ("suspect", "yes", "is not a number"),
        ("suspect", "2", "is not 0 or 1"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_line_and_column(column: str, cell: str, said: str) -> None:
    message = refusal(text(POINT, row(id="a2"), row(**({"id": "a3"} | {column: cell}))))
    assert message.startswith(f'{NAME}, line 4, column "{column}": ')
    assert said in message


def test_the_line_is_that_of_the_file_and_further_wrong_cells_are_counted() -> None:
    note = row(note='"one\ntwo\nthree"')
    wrong = [row(id=f"w{number}", value="fast") for number in range(3)]
    content = text(note, *wrong, names=(*COLUMNS, "note")).replace("\nw0", "\n\nw0")
    assert "line 6, column" in refusal(content)
    assert "(2 further cells of this column too)" in refusal(content)


def test_two_points_with_one_id_are_refused_with_both_lines() -> None:
    assert 'line 4, column "id": "a1" stands in line 2 too' in refusal(text(POINT, row(id="a2"), POINT))


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("tpot_ms", ("0.0215", "0.02", "0.3")),
        ("tpot_ms", ("21500", "20000", "3000")),
        ("ttft_ms", ("0.25", "0.3", "2")),
        ("ttft_ms", ("250000", "300000", "100")),
        ("prefill_ms", ("0.1", "0.2", "5")),
        ("e2e_ms", ("4.3", "3.5", "17")),
        ("tokens_per_s", ("6.3", "0.4", "66")),
    ],
)
def test_a_metric_in_another_unit_is_refused_by_its_median(metric: str, values: tuple[str, ...]) -> None:
    points = [row(id=f"p{number}", metric=metric, value=value) for number, value in enumerate(values)]
    message = refusal(text(row(), *points))
    assert f"the median of {metric} is" in message or metric == "tpot_ms"
    assert "looks like the wrong unit" in message
    assert ("tokens per second" if metric == "tokens_per_s" else "milliseconds") in message


def test_one_figure_far_from_the_others_is_no_wrong_unit() -> None:
    points = [row(id=f"p{number}", value=value) for number, value in enumerate(("0.2", "20", "30", "9000"))]
    assert read_points_file(written(text(*points))).frame.height == 4


@pytest.mark.parametrize(("metric", "value"), [("tpot_ms", "0.02"), ("tpot_ms", "90000"), ("ttft_ms", "0.3")])
def test_a_figure_that_cannot_be_is_in_another_unit_though_the_others_are_not(metric: str, value: str) -> None:
    """20 ms in seconds, 90 ms in microseconds, 300 ms in seconds; what is known to be wrong is not looked at."""
    points = [row(id=f"p{number}", metric=metric, value="40") for number in range(3)]
    odd = row(id="odd", metric=metric, value=value)
    message = refusal(text(*points, odd))
    assert message.endswith(
        f'line 5, column "value": "{value}" cannot be a {metric}; give milliseconds, or mark the point as suspect'
    )
    assert read_points_file(written(text(*points, odd | {"suspect": "1"}))).frame.height == 4


def test_gpus_that_are_not_tp_times_dp_are_a_note() -> None:
    odd = row(id="a2", n_gpus="16")
    (note,) = read_points_file(written(text(POINT, odd, odd | {"id": "a3"}))).notes
    assert "2 points have n_gpus other than tp x dp, the first in line 3" in note


def test_a_model_and_a_gpu_that_nobody_knows_are_no_error() -> None:
    frame = read_points_file(written(text(row(model="nobody-1t", gpu="ABACUS", backend="?")))).frame
    assert frame.select("model", "gpu", "backend").row(0) == ("nobody-1t", "ABACUS", "?")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (text().encode(), "has a header and no points"),
        (text(POINT).encode() + b"\xff\xfe\n", "line 3: is not UTF-8"),
        (text(POINT).encode("utf-16"), "is not UTF-8"),
        (b'"id,model\n', "missing"),
        (text(POINT).encode() + b"a2,b\n", "line 3: has 2 cells for 22 columns"),
        (text(POINT).rstrip().encode() + b",more\n", "line 2: has 23 cells for 22 columns"),
        (text(row(backend='"vllm')).encode(), "cells for 22 columns"),
        (text(row(backend="x" * 200_000)).encode(), "200,000 bytes"),
        (b"\x00" * 50, "missing"),
    ],
)
def test_what_is_no_table_of_points_is_refused_in_one_line(content: bytes, said: str) -> None:
    assert said in refusal(content)


def test_what_is_no_file_is_refused_in_one_line() -> None:
    with pytest.raises(PlannerError, match="cannot be read"):
        read_points_file(Path("nowhere.csv"))
    with pytest.raises(PlannerError, match="is a folder"):
        read_points_file(Path.cwd())


def test_every_column_and_metric_stands_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "measurements.md").read_text(encoding="utf-8")
    assert [name for name in (*COLUMNS, *METRICS) if f"`{name}`" not in page] == []


def test_a_cell_does_nothing_to_a_terminal() -> None:
    assert "\x1b" not in refusal(text(row(value="\x1b[2J")))


@settings(max_examples=60)
@given(st.sampled_from(COLUMNS), st.text(st.characters(codec="utf-8"), max_size=8))
def test_no_cell_ends_in_a_traceback(column: str, cell: str) -> None:
    try:
        table, message = read_points_file(written(text(POINT, row(**({"id": "a2"} | {column: cell}))))), ""
    except PlannerError as error:
        table, message = None, str(error)
    assert "\n" not in message
    assert (table is None) == bool(message)


def test_the_shared_points_are_read_whole(shared_points: Path) -> None:
    table = read_points_file(shared_points)
    assert table.frame.height == len(shared_points.read_text(encoding="utf-8").splitlines()) - 1
    assert set(table.frame["metric"]) <= set(METRICS)
    assert table.notes == ()
