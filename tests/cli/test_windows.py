"""Demand per window: kept as windows or drawn as requests, totals kept; ServeGen folders."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.demand import Grid
from planner.errors import TraceError
from planner.trace import windows
from planner.trace.imports import servegen
from planner.trace.windows import DemandWindows, demand_of, draw_evenly, windows_of
from tests.conftest import Cli
from tests.helpers.logs import HISTOGRAMS, SMALL, folder

MINUTE_US = 60_000_000


def rows(*found: tuple[int, int, int, int, float, float, float]) -> pl.DataFrame:
    """Windows of minutes: start, end, requests, those with lengths, input, cached and output tokens."""
    names = [field.name for field in fields(DemandWindows) if field.name not in ("knows_cached", "cached_unknown")]
    frame = pl.DataFrame([list(map(float, row)) for row in found], schema=names, orient="row")
    return frame.with_columns(
        (pl.col("start_us", "end_us") * MINUTE_US).cast(int), pl.col("requests", "requests_with_lengths").cast(int)
    )


def test_windows_of_equal_times_are_added_up() -> None:
    found = windows_of(rows((0, 1, 1, 1, 10, 0, 2), (1, 2, 5, 5, 1, 0, 1), (0, 1, 2, 0, 0, 0, 0)), "log")
    assert found.requests.tolist() == [3, 5]
    assert found.requests_with_lengths.tolist() == [1, 5]


def test_expected_tokens_are_rounded_so_that_their_sum_stays() -> None:
    found = windows_of(rows(*((at, at + 1, 1, 1, 0.4, 0, 0.5) for at in range(10))), "log")
    assert found.input_tokens.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
    assert found.output_tokens.sum() == 5


def test_windows_that_overlap_are_refused() -> None:
    with pytest.raises(TraceError, match=r"log: the windows from 1970-01-01T00:00:00.* overlap"):
        windows_of(rows((0, 2, 1, 1, 1, 0, 1), (1, 3, 1, 1, 1, 0, 1)), "log")


def test_windows_are_spread_evenly_over_intervals() -> None:
    frame = windows_of(rows((0, 10, 100, 100, 1000, 500, 10), (20, 30, 30, 30, 300, 0, 3)), "log").frame(1)
    demand = demand_of(frame, Grid(-5 * MINUTE_US, 900, 3))
    assert demand.requests.tolist() == [100, 15, 15]
    finer = demand_of(frame, Grid(0, 240, 8))
    assert finer.requests.tolist() == [40, 40, 20, 0, 0, 12, 12, 6]
    assert finer.cached_input_tokens.tolist() == [200, 200, 100, 0, 0, 0, 0, 0]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9000), st.integers(0, 900)), min_size=1, max_size=12),
    st.integers(1, 7),
)
def test_drawn_requests_keep_the_totals_of_their_windows(found: list[tuple[int, int, int]], weight: int) -> None:
    made = windows_of(rows(*((at, at + 1, n, n, i, i // 3, o) for at, (n, i, o) in enumerate(found))), "log")
    batches = [batch.to_pydict() for batch in draw_evenly(made, weight, seed=3)]
    arrivals = [at for batch in batches for at in batch["arrival_us"]]
    assert arrivals == sorted(arrivals)
    assert abs(len(arrivals) - made.requests.sum() / weight) <= 0.5
    for batch in batches:
        assert len({at // MINUTE_US for at in batch["arrival_us"]}) == 1
        assert max(batch["input_tokens"]) - min(batch["input_tokens"]) <= 1
        assert all(
            hit <= tokens for hit, tokens in zip(batch["cached_input_tokens"], batch["input_tokens"], strict=True)
        )
    if weight == 1 and made.requests[-1]:
        for name in ("input_tokens", "cached_input_tokens", "output_tokens"):
            assert sum(sum(batch[name]) for batch in batches) == getattr(made, name).sum()


PARTLY = (
    "window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens",
    "2026-11-02T09:00Z,2026-11-02T10:00Z,8,800,400,80",
    "2026-11-02T09:00Z,2026-11-02T10:00Z,2,20,,20",
)


def test_cached_tokens_of_one_row_stay_where_another_of_its_window_tells_none(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("\n".join(PARTLY) + "\n")
    found = cli("trace", "import", str(path), "--name", "w", "--json").json
    assert (found["requests"], found["input_tokens"]) == (10, 820)
    assert (found["cached_input_tokens"], found["cached_unknown"]) == (400, 2)
    assert found["notes"][-1] == "cached input is unknown for 2 of 10 requests; planned as none cached"
    stored = cli("sql", "SELECT cached_input_tokens AS c, cached_unknown AS u FROM demand_window", "--format", "json")
    assert stored.json == [{"c": 400, "u": 2}]
    assert cli("trace", "expand", "w", "--to", "full").code == 0
    rows = cli(
        "sql",
        "SELECT r.input_tokens AS i, r.cached_input_tokens AS c FROM request AS r JOIN trace USING (trace_id) "
        "WHERE name = 'full'",
        "--format",
        "json",
    ).json
    assert sorted((row["i"], row["c"] or -1) for row in rows) == [(82, -1), (82, -1), *[(82, 50)] * 8]


def test_cached_tokens_that_exceed_an_even_share_take_the_input_that_holds_them() -> None:
    found = rows((0, 1, 1, 1, 1000, 900, 1), (0, 1, 9, 9, 90, 0, 9))
    unknown = found.with_columns(cached_input_tokens=pl.Series([900.0, None]))
    (batch,) = draw_evenly(windows_of(unknown, "log"), 1, seed=1)
    drawn = zip(batch["input_tokens"].to_pylist(), batch["cached_input_tokens"].to_pylist(), strict=True)
    inputs = {hits: tokens for tokens, hits in drawn}
    assert inputs[900] == 900
    assert sum(batch["input_tokens"].to_pylist()) == 1090
    assert batch["cached_input_tokens"].null_count == 9


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 900)), min_size=1, max_size=9),
    st.integers(1, 9),
)
def test_drawn_requests_know_as_much_as_their_windows(found: list[tuple[int, int, int]], weight: int) -> None:
    # tokens come with requests: those without any go to the next window that has one
    told = [
        (at, at + 1, known, known, *((i, i // 2) if known else (0, 0)), 0) for at, (known, _, i) in enumerate(found)
    ]
    untold = [(at, at + 1, unknown, unknown, i if unknown else 0, 0, 0) for at, (_, unknown, i) in enumerate(found)]
    cached = pl.Series([float(row[5]) for row in told] + [None] * len(untold))
    made = windows_of(rows(*told, *untold).with_columns(cached_input_tokens=cached), "log")
    batches = list(draw_evenly(made, weight, seed=3))
    nulls = sum(batch["cached_input_tokens"].null_count for batch in batches)
    if weight == 1:
        assert nulls == made.cached_unknown.sum() == sum(unknown for _, unknown, _ in found)
    for batch in batches:
        for tokens, hits in zip(
            *(batch[name].to_pylist() for name in ("input_tokens", "cached_input_tokens")), strict=True
        ):
            assert hits is None or hits <= tokens
    if weight == 1 and made.requests[-1] > made.cached_unknown[-1]:
        drawn = sum(hits or 0 for batch in batches for hits in batch["cached_input_tokens"].to_pylist())
        assert drawn == made.cached_input_tokens.sum()


def test_clients_without_lengths_are_reported_and_not_dropped(cli: Cli, tmp_path: Path) -> None:
    path = folder(tmp_path / "g", SMALL, HISTOGRAMS)
    found = cli("trace", "import", str(path), "--name", "g", "--json").json
    assert (found["format"], found["rows_read"], found["rows_imported"]) == ("servegen", 6, 6)
    assert found["requests"] == 6 + 30 + 300
    assert found["input_tokens"] == 36 * 25
    assert found["output_tokens"] == 36 * 4
    assert found["coverage"] == {
        "requests": 336,
        "requests_with_lengths": 36,
        "request_share": 36 / 336,
        "clients": 2,
        "clients_with_lengths": 1,
        "expected_input_tokens": 900.0,
        "expected_output_tokens": 144.0,
    }
    shown = cli("trace", "show", "g", "--json").json
    assert shown["coverage"] == found["coverage"]
    assert [hour["requests"] for hour in shown["hours"]] == [336]
    assert cli("trace", "show", "g").code == 0


def test_a_trace_of_windows_plans_and_names_what_it_cannot_do(cli: Cli, tmp_path: Path) -> None:
    path = folder(tmp_path / "g", SMALL, HISTOGRAMS)
    assert cli("trace", "import", str(path), "--name", "g").code == 0
    planned = cli("plan", "--trace", "g", "--set", "interval_s=60", "--json")
    assert planned.code == 0
    assert (planned.json["requests"], planned.json["input_tokens"]) == (336, 900)
    assert any("the lengths of 89.3% of the requests are unknown" in note for note in planned.json["notes"])
    for words in (("replay", "--set", "trace.name=g"), ("trace", "export", "g", "--out", "g.csv")):
        refused = cli(*words)
        assert refused.code == 1
        assert "has demand per window but no requests; draw them with `planner trace expand g --to FULL`" in refused.err
    assert cli("trace", "delete", "g").code == 0
    assert cli("sql", "SELECT count(*) AS n FROM demand_window", "--format", "json").json == [{"n": 0}]


def test_requests_drawn_from_a_folder_are_the_same_every_time(cli: Cli, tmp_path: Path) -> None:
    path = str(folder(tmp_path / "g", SMALL, HISTOGRAMS))
    query = "SELECT arrival_us, r.input_tokens, r.output_tokens, class FROM request AS r JOIN request_class USING "
    found = {}
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done = cli("trace", "import", path, "--name", name, "--draw", "1", "--seed", seed, "--json")
        assert (done.json["rows"], done.json["output_tokens"]) == (36, 144)
        where = f"(trace_id, class_id) JOIN trace USING (trace_id) WHERE name = '{name}' ORDER BY request_seq"
        found[name] = cli("sql", query + where, "--format", "json").json
    assert found["a"] == found["b"] != found["c"]
    assert {row["class"] for row in found["a"]} == {"chunk-0"}
    assert {row["input_tokens"] for row in found["a"]} == {10, 30}
    assert sum(row["arrival_us"] < 600_000_000 for row in found["a"]) == 6


@pytest.mark.parametrize(
    ("histogram", "reason"),
    [
        ("__import__('os').abort()", "is not a histogram"),
        ("{1: 0.5, 2: 0.4}", "sum to 0.9"),
        ("{-1: 1.0}", "impossible lengths"),
        ("{1: nan}", "more than pairs of numbers"),
        ("{1: 1e999}", "sum to inf"),
        ("{1: 0.5, 2}", "more than pairs of numbers"),
        (7, "not a file of lengths"),
    ],
)
def test_lengths_are_taken_apart_and_never_evaluated(cli: Cli, tmp_path: Path, histogram: str, reason: str) -> None:
    lengths = {0: {"0": {"input_tokens": histogram, "output_tokens": "{1: 1.0}"}}}
    result = cli("trace", "import", str(folder(tmp_path / "g", SMALL, lengths)), "--name", "g")
    assert result.code == 1
    assert "chunk-0-dataset.json: is not a file of lengths" in result.err
    assert reason in result.err


def test_windows_that_cannot_be_are_refused_with_their_line(cli: Cli, tmp_path: Path) -> None:
    bad = "0,0.01,1,Gamma,1,1\n600,x,0,,0,0\n1200,0.0005,0,,0,0\n1800,0.01,1,Cauchy,1,1\n2400,1\n-600,0,0,,0,0\n"
    path = folder(tmp_path / "g", {0: bad}, {})
    found = cli("trace", "import", str(path), "--name", "g", "--json").json
    assert found["rejects"] == {
        "has 2 fields and the header has 6": 1,
        "pattern is not Gamma, Weibull or empty": 1,
        "rate is not a number from 0": 1,
        "rate times 600 s is not a whole number of requests": 1,
        "t is not a whole number of seconds from 0": 1,
    }
    rejects = cli("sql", "SELECT file, line FROM import_reject ORDER BY line", "--format", "json").json
    assert rejects == [{"file": "chunk-0-trace.csv", "line": line} for line in range(2, 7)]


WINDOWS = "window_start,window_end,requests,input_tokens,output_tokens\n"


def test_tokens_of_a_window_may_be_of_requests_that_end_in_the_next_one(cli: Cli, tmp_path: Path) -> None:
    hours = "2026-11-02T09:00Z,2026-11-02T10:00Z,0,600,20\n2026-11-02T10:00Z,2026-11-02T11:00Z,5,400,30\n"
    (tmp_path / "l.csv").write_text(WINDOWS + hours)
    found = cli("trace", "import", str(tmp_path / "l.csv"), "--name", "w", "--json").json
    assert (found["rows_imported"], found["requests"], found["input_tokens"]) == (2, 5, 1000)


def test_tokens_without_a_request_in_any_window_are_refused_with_the_cure(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(WINDOWS + "2026-11-02T09:00Z,2026-11-02T10:00Z,0,600000,2000\n")
    result = cli("trace", "import", str(tmp_path / "l.csv"), "--name", "w")
    assert result.code == 1
    assert "counts no request in any window, but tokens; name their column with --column requests=NAME" in result.err
    told = cli("trace", "import", str(tmp_path / "l.csv"), "--name", "w", "--constant", "requests=7", "--json").json
    assert (told["requests"], told["input_tokens"]) == (7, 600_000)
    usage = {"input_tokens": 1000, "output_tokens": 500, "num_model_requests": 0}
    bucket = {"object": "bucket", "start_time": 1_793_610_000, "end_time": 1_793_613_600, "results": [usage]}
    (tmp_path / "u.json").write_text(json.dumps({"object": "page", "data": [bucket], "has_more": False}))
    result = cli("trace", "import", str(tmp_path / "u.json"), "--name", "u")
    assert (result.code, "counts no request in any window, but tokens; check the file" in result.err) == (1, True)


def test_too_many_requests_to_draw_are_named_before_the_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MOST_ROWS", 10)
    path = folder(tmp_path / "g", SMALL, HISTOGRAMS)
    result = cli("trace", "import", str(path), "--name", "g", "--draw", "1")
    assert result.code == 1
    assert "36 requests would be drawn, and 10 is the limit; draw one in 4 or more" in result.err


def test_requests_of_a_log_are_not_drawn(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("arrival,input_tokens,output_tokens\n1,1,1\n")
    result = cli("trace", "import", "l.csv", "--name", "l", "--draw", "10")
    assert result.code == 2
    assert "--draw is for demand per window" in result.err


@pytest.mark.parametrize(
    ("where", "entry", "field"),
    [
        ("language/m-small-cut", "servegen_m_small_cut_14d", "input_tokens"),
        ("multimodal/mm-image", "servegen_mm_image_24h", "text_tokens"),
    ],
)
def test_the_real_folders_have_the_reference_figures(
    cli: Cli, shared_traces: Path, where: str, entry: str, field: str
) -> None:
    reference = json.loads((shared_traces / "reference.json").read_text())[entry]
    totals, expected = reference["totals"], reference["expected_tokens"]
    found = cli("trace", "import", str(shared_traces / "servegen" / "data" / where), "--name", "g", "--json").json
    assert found["rows_read"] == found["rows_imported"] == totals["rows"]
    assert found["requests"] == totals["requests"]
    coverage = found["coverage"]
    assert coverage["clients"] == totals["clients"]
    assert coverage["requests_with_lengths"] == expected["requests_with_length_data"]
    assert coverage["expected_input_tokens"] == pytest.approx(expected[f"expected_{field}"], rel=1e-14)
    assert coverage["expected_output_tokens"] == pytest.approx(expected["expected_output_tokens"], rel=1e-14)
    for name, value in reference.get("expected_image_tokens", {}).items():
        assert coverage[name] == pytest.approx(value, rel=1e-14)
    hours = cli("trace", "show", "g", "--json").json["hours"]
    assert [hour["requests"] for hour in hours] == [count for _, count in reference["hourly"]["rows"]]
    known = {hour: (inputs, outputs) for hour, _, inputs, outputs in reference["expected_tokens_hourly"]["rows"]}
    for number, hour in enumerate(hours):
        inputs, outputs = known.get(number, (0, 0))
        assert abs(hour["input_tokens"] - inputs) <= 1
        assert abs(hour["output_tokens"] - outputs) <= 1


def test_requests_drawn_from_a_real_folder_meet_what_is_expected(cli: Cli, shared_traces: Path) -> None:
    reference = json.loads((shared_traces / "reference.json").read_text())["servegen_mm_image_24h"]
    path = str(shared_traces / "servegen" / "data" / "multimodal" / "mm-image")
    found = cli("trace", "import", path, "--name", "g", "--draw", "1", "--json").json
    expected = reference["expected_tokens"]
    assert found["rows"] == expected["requests"]
    assert abs(found["input_tokens"] - expected["expected_text_tokens"]) < 4 * expected["sd_text_tokens"]
    assert abs(found["output_tokens"] - expected["expected_output_tokens"]) < 4 * expected["sd_output_tokens"]
    hours = cli("trace", "show", "g", "--json").json["hours"]
    assert [hour["requests"] for hour in hours] == [count for _, count in reference["hourly"]["rows"]]
    tenth = cli("trace", "import", path, "--name", "tenth", "--draw", "10", "--json").json
    assert abs(tenth["requests"] - expected["requests"]) <= 10 * 35


def test_lengths_before_the_first_histogram_are_not_known() -> None:
    client = servegen.Client("c", Path("c"), {21_600: {}})
    assert client.lengths_at(0) is None
    assert client.lengths_at(21_600) is None
    assert np.isclose(servegen.Lengths(np.array([1, 3]), np.array([0.5, 0.5])).mean, 2)
