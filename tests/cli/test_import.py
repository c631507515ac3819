"""Imports: rows read = imported + refused, in arrival order, whole or not at all."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import TraceError, UsageError
from planner.store import Store
from tests.conftest import Cli
from tests.helpers.imports import imported, requests_of, write
from tests.helpers.logs import AZURE, MOONCAKE


def test_azure_rows_come_sorted_with_their_duplicates(store: Store, tmp_path: Path) -> None:
    outcome = imported(store, write(tmp_path / "a.csv", AZURE), "azure")
    at_us = 1_700_158_623_979_960
    assert requests_of(store) == [
        (at_us, 4808, None, 10),
        (at_us + 52_000, 3180, None, 8),
        (1_700_158_625_000_000, 110, None, 27),
        (1_700_158_625_000_000, 110, None, 27),
    ]
    assert (outcome.rows_read, outcome.rows, outcome.rows_rejected) == (4, 4, 0)


def test_times_without_an_offset_are_in_the_given_zone(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path / "a.csv", AZURE), "azure", timezone="Asia/Shanghai")
    shifted = [row[0] for row in requests_of(store)]
    assert shifted[0] == 1_700_158_623_979_960 - 8 * 3_600_000_000
    assert shifted[-1] == 1_700_158_625_000_000, "its own offset counts"


def test_mooncake_blocks_become_cached_tokens(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "m.jsonl", "\n".join(json.dumps(row) for row in MOONCAKE))
    outcome = imported(store, log, "mooncake", start=datetime(2025, 1, 1, tzinfo=UTC))
    start_us = 1_735_689_600_000_000
    assert requests_of(store) == [
        (start_us, 1100, 0, 5),
        (start_us + 10_000, 1030, 1024, 6),  # two whole blocks
        (start_us + 10_000, 600, 600, 7),  # both, the last partial
        (start_us + 20_000, 100, 0, 0),
    ]
    assert outcome.block_tokens == 512
    with store.read() as session:
        rows = session.connection.execute(
            "SELECT request_seq, block_index, block_id FROM request_block ORDER BY ALL"
        ).fetchall()
    assert rows == [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 1), (1, 1, 2), (1, 2, 4), (2, 0, 1), (2, 1, 2), (3, 0, 9)]


def test_requests_that_arrive_together_do_not_find_each_others_blocks(store: Store, tmp_path: Path) -> None:
    rows = [{"timestamp": at, "input_length": 1024, "output_length": 1, "hash_ids": [1, 2]} for at in (5, 5, 6)]
    imported(store, write(tmp_path / "m.jsonl", "\n".join(json.dumps(row) for row in rows)), "mooncake")
    assert [row[2] for row in requests_of(store)] == [0, 0, 1024]


def test_a_small_cache_hits_less(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "m.jsonl", "\n".join(json.dumps(row) for row in MOONCAKE))
    imported(store, log, "mooncake", cache_blocks=1)
    assert [row[2] for row in requests_of(store)] == [0, 512, 512, 0]


def test_any_csv_by_a_column_mapping(store: Store, tmp_path: Path) -> None:
    log = write(
        tmp_path / "l.csv",
        'when,prompt,hit,gen,model,chat,other\n1.5,100,64,7,"r1, big",c1,x\n0.25,50,,3,v3,c2,y\n2,10,0,1,v3,c1,z\n',
    )
    columns = {
        "arrival": "when",
        "input_tokens": "prompt",
        "cached_input_tokens": "hit",
        "output_tokens": "gen",
        "class": "model",
        "session_id": "chat",
    }
    imported(store, log, "csv", columns=columns)
    assert requests_of(store) == [(250_000, 50, None, 3), (1_500_000, 100, 64, 7), (2_000_000, 10, 0, 1)]
    with store.read() as session:
        rows = session.connection.execute(
            "SELECT class, session_id FROM request JOIN request_class USING (trace_id, class_id) ORDER BY request_seq"
        ).fetchall()
    assert rows == [("v3", 1), ("r1, big", 0), ("v3", 0)]


def test_parquet_with_typed_columns(store: Store, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "arrival": [datetime(2025, 3, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, 0, 0, 0, 7, tzinfo=UTC), None],
            "input_tokens": [10.0, 20.0, 30.0],
            "output_tokens": [1, 2, 3],
        }
    )
    frame.write_parquet(tmp_path / "l.parquet")
    outcome = imported(store, tmp_path / "l.parquet", "parquet")
    start = 1_740_787_200_000_000
    assert requests_of(store) == [(start + 7, 20, None, 2), (start + 3_600_000_000, 10, None, 1)]
    assert dict(outcome.rejects) == {"arrival is not a time": 1}


def test_bad_rows_are_kept_with_file_line_and_reason(store: Store, tmp_path: Path) -> None:
    lines = [
        b"arrival,input_tokens,output_tokens,cached_input_tokens",
        b"2025-03-01T00:00:00Z,1,1,0",
        b"soon,1,1,0",
        b"2025-03-01T00:00:00Z,-1,1,0",
        b"2025-03-01T00:00:00Z,1.5,1,0",
        b"2025-03-01T00:00:00Z,1,99999999999,0",
        b"2025-03-01T00:00:00Z,1,1,2",
        b"2025-03-01T00:00:00Z,1,1",
        b"2025-03-01T00:00:00Z,1,\xff\xfe,0",
        b"",
        b"arrival,input_tokens,output_tokens,cached_input_tokens",
        b"2025-03-01T00:00:01Z,2,NaN,0",
        b"2025-03-01T00:00:01Z,2,2,0",
    ]
    outcome = imported(store, write(tmp_path / "l.csv", b"\xef\xbb\xbf" + b"\n".join(lines)), "csv", cached="inside")
    with store.read() as session:
        rows = session.connection.execute("SELECT file, line, reason FROM import_reject ORDER BY line").fetchall()
    whole = "is not a whole number from 0 to 2147483647"
    assert rows == [
        ("l.csv", 3, "arrival is not a time"),
        ("l.csv", 4, f"input_tokens {whole}"),
        ("l.csv", 5, f"input_tokens {whole}"),
        ("l.csv", 6, f"output_tokens {whole}"),
        ("l.csv", 7, "cached tokens exceed the input tokens"),
        ("l.csv", 8, "has 3 fields and the header has 4"),
        ("l.csv", 9, "is not UTF-8 text"),
        ("l.csv", 10, "is empty"),
        ("l.csv", 11, "arrival is not a time"),
        ("l.csv", 12, f"output_tokens {whole}"),
    ]
    assert (outcome.rows_read, outcome.rows, outcome.rows_rejected) == (12, 2, 10)


def test_line_numbers_count_line_ends_inside_quotes(store: Store, tmp_path: Path) -> None:
    text = 'arrival,input_tokens,output_tokens,class\n1,1,1,"two\nlines"\nx,1,1,a\n2,1,1\n3,1,1,"b\n\n"\ny,1,1,a\n'
    imported(store, write(tmp_path / "l.csv", text), "csv")
    with store.read() as session:
        rows = session.connection.execute("SELECT line, reason FROM import_reject ORDER BY line").fetchall()
    assert [row[0] for row in rows] == [4, 5, 9]


def test_an_open_quote_is_named_where_it_swallows_rows(store: Store, tmp_path: Path) -> None:
    text = 'arrival,input_tokens,output_tokens\n1,1,1\n2,"1,1\n3,1,1\n'
    assert list(imported(store, write(tmp_path / "l.csv", text), "csv").rejects) == [
        "has 2 fields and the header has 3; a quote may not be closed"
    ]


def test_rows_of_empty_fields_are_counted(store: Store, tmp_path: Path) -> None:
    outcome = imported(store, write(tmp_path / "l.csv", "arrival,input_tokens,output_tokens\n1,1,1\n,,\n\n"), "csv")
    assert outcome.rows_read == 3
    assert dict(outcome.rejects) == {"is empty": 2}


@pytest.mark.parametrize("strict", [False, True])
def test_blank_lines_between_records_are_no_rows(store: Store, tmp_path: Path, strict: bool) -> None:
    record = '{"arrival": "2026-11-02T09:00Z", "input_tokens": 1, "output_tokens": 1}'
    path = write(tmp_path / "l.jsonl", f"\n\n{record}\n   \n\r\n{record}\n\n")
    outcome = imported(store, path, "jsonl", strict=strict)
    assert (outcome.rows_read, outcome.rows_imported, dict(outcome.rejects)) == (2, 2, {})


def test_blank_lines_count_in_the_numbers_of_lines(store: Store, tmp_path: Path, cli: Cli) -> None:
    record = '{"arrival": "2026-11-02T09:00Z", "input_tokens": 1, "output_tokens": 1}'
    imported(store, write(tmp_path / "l.jsonl", f"\n{record}\n\nbroken\n"), "jsonl")
    assert cli("sql", "SELECT line FROM import_reject", "--format", "json").json == [{"line": 4}]


@pytest.mark.parametrize(
    "ids", ["[1.6, 2.2]", '["1", "2"]', "[1, null]", "{}", "7", "[1e3, 2]", "[18446744073709551616, 2]"]
)
def test_block_ids_that_are_no_whole_numbers_are_refused(store: Store, tmp_path: Path, ids: str) -> None:
    good = json.dumps(MOONCAKE[0])
    bad = f'{{"timestamp": 1, "input_length": 600, "output_length": 1, "hash_ids": {ids}}}'
    outcome = imported(store, write(tmp_path / "m.jsonl", f"{good}\n{bad}\n"), "mooncake")
    assert dict(outcome.rejects) == {"hash_ids is not a list of whole numbers of 64 bits": 1}


@pytest.mark.parametrize("ids", ["1.6 2", "a b", "1  2", "1,2", "1e3 2", "-1 2", "9223372036854775808 2", "1 NULL"])
def test_block_ids_of_a_table_are_whole_numbers_with_a_blank_between(store: Store, tmp_path: Path, ids: str) -> None:
    head = "arrival,input_tokens,output_tokens,block_ids,block_tokens\n1,600,1,9223372036854775807 0,512\n"
    outcome = imported(store, write(tmp_path / "l.csv", head + f'2,600,1,"{ids}",512\n'), "csv")
    assert dict(outcome.rejects) == {"block_ids is not a list of whole numbers from 0 to 9223372036854775807": 1}
    with store.read() as session:
        rows = session.connection.execute("SELECT block_id FROM request_block ORDER BY block_index").fetchall()
    assert rows == [(9223372036854775807,), (0,)]


def test_blocks_that_do_not_fit_the_input_are_refused(store: Store, tmp_path: Path) -> None:
    head = "arrival,input_tokens,output_tokens,block_ids,block_tokens\n1,600,1,1 2,512\n"
    outcome = imported(store, write(tmp_path / "l.csv", head + "2,10,1,1 2 3,512\n3,10,1,1,0\n4,10,1,1,-3\n"), "csv")
    assert dict(outcome.rejects) == {
        "block_tokens is not a whole number from 1": 2,
        "block_ids does not hold one id per block of input tokens": 1,
    }
    with pytest.raises(TraceError, match="block_tokens differs"):
        imported(store, write(tmp_path / "l.csv", head + "2,10,1,1,256\n"), "csv", name="other")


def test_sessions_keep_their_numbers_through_export_and_import(store: Store, tmp_path: Path, cli: Cli) -> None:
    rows = "\n".join(f"{second},1,1,u{second:02d}" for second in range(1, 13))
    imported(store, write(tmp_path / "l.csv", f"arrival,input_tokens,output_tokens,session_id\n{rows}\n"), "csv")
    assert cli("trace", "export", "t", "--out", "out.csv").code == 0
    assert cli("trace", "import", "out.csv", "--format", "csv", "--name", "again").code == 0
    query = "SELECT session_id FROM request WHERE trace_id = {} ORDER BY request_seq"
    first, second = (cli("sql", query.format(trace), "--format", "json").json for trace in (1, 2))
    assert first == second == [{"session_id": number} for number in range(12)]


def test_a_trace_needs_a_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--name is empty"):
        imported(store, write(tmp_path / "a.csv", AZURE), "azure", name=" ")


def test_a_stray_date_is_named_instead_of_planned_for_ever(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "l.csv", "arrival,input_tokens,output_tokens\n1970-01-01T00:00Z,1,1\n2025-01-01T00:00Z,1,1\n")
    assert cli("trace", "import", "l.csv", "--format", "csv", "--name", "gap").code == 0
    result = cli("plan", "--trace", "gap")
    assert result.code == 1
    assert "check the log for stray dates" in result.err
    assert "1970-01-01" in result.err
    shown = cli("trace", "show", "gap", "--json").json
    assert shown["hours"] == []
    assert shown["hours_left_out"] > 400_000
    assert cli("trace", "show", "gap").code == 0


def test_strict_refuses_everything_for_one_bad_row(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "l.csv", "arrival,input_tokens,output_tokens\n1,1,1\n2,x,1\n")
    with pytest.raises(TraceError, match=r"line 3 .*leave out --strict; nothing is stored"):
        imported(store, log, "csv", strict=True)
    assert not store.path.exists()


@pytest.mark.parametrize(
    ("content", "format_name", "message"),
    [
        (b"", "azure", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "azure", "is not a CSV file"),
        (bytes(range(256)) * 20, "csv", "is not a CSV file"),
        (bytes(range(256)) * 20, "parquet", "is not a Parquet file"),
        (bytes(range(256)) * 20, "mooncake", "is not mooncake"),
        (b"a,b,c\n1,2,3\n", "azure", "has no column TIMESTAMP, ContextTokens, GeneratedTokens (it has a, b, c)"),
        (b"a,b,c\n1,2,3\n", "csv", "map it with --column"),
        (b"a,b,c\n1,2,3\n", "mooncake", "is not mooncake"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "azure", "has no row below its header"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\nx,y,z\n", "azure", "no row can be imported, the first at line 2"),
        (b"TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens\n1,1,1,1\n", "azure", "TIMESTAMP more than once"),
        (b"PAR1rubbishPAR1", "parquet", "is not a Parquet file"),
        (b'{"timestamp": 1, "input_length": 2, "output_length": "', "mooncake", "no row can be imported"),
        (b"arrival,input_tokens,output_tokens,sample_weight\n1,1,1,10\n2,1,1,20\n", "csv", "sample_weight differs"),
        (b"arrival,input_tokens,output_tokens,block_ids\n1,1,1,1 2\n", "csv", "has block_ids and no block_tokens"),
    ],
)
def test_what_is_no_log_gets_one_line_and_stores_nothing(
    store: Store, tmp_path: Path, content: bytes, format_name: str, message: str
) -> None:
    with pytest.raises(TraceError) as caught:
        imported(store, write(tmp_path / "log", content), format_name)
    assert message in str(caught.value)
    assert not store.path.exists()


def test_a_folder_and_a_missing_file_are_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceError, match="has no log file"):
        imported(store, tmp_path / "empty", "azure")
    with pytest.raises(TraceError, match="No such file"):
        imported(store, tmp_path / "nope.csv", "azure")


def test_unknown_formats_and_fields_list_the_known_ones(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "l.csv", "a\n1\n")
    with pytest.raises(UsageError, match=r"use auto or one of .*azure, .*csv, .*mooncake, .*parquet"):
        imported(store, log, "excel")
    with pytest.raises(UsageError, match="has the fields arrival, input_tokens"):
        imported(store, log, "csv", columns={"tokens": "a"})


def test_a_name_that_is_taken_is_refused(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "a.csv", AZURE)
    imported(store, log, "azure")
    with pytest.raises(TraceError, match="is already stored"):
        imported(store, log, "azure", timezone="Asia/Shanghai")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_exported_trace_comes_back_the_same(store: Store, tmp_path: Path, cli: Cli, suffix: str) -> None:
    log = write(tmp_path / "m.jsonl", "\n".join(json.dumps(row) for row in MOONCAKE))
    imported(store, log, "mooncake")
    out = tmp_path / f"out.{suffix}"
    assert cli("trace", "export", "t", "--out", str(out)).code == 0
    assert cli("trace", "import", str(out), "--format", suffix, "--name", "again").code == 0
    assert requests_of(store, "again") == requests_of(store, "t")
    with store.read() as session:
        one, two = (
            session.connection.execute(
                "SELECT request_seq, block_index, block_id FROM request_block WHERE trace_id = $t ORDER BY ALL",
                {"t": t},
            ).fetchall()
            for t in (1, 2)
        )
    assert one == two
    assert cli("trace", "show", "again", "--json").json["block_tokens"] == 512


def test_a_sample_keeps_its_weight_through_export_and_import(store: Store, tmp_path: Path, cli: Cli) -> None:
    log = write(tmp_path / "l.csv", "arrival,input_tokens,output_tokens,sample_weight\n1,10,1,100\n2,20,2,100\n")
    imported(store, log, "csv")
    assert cli("trace", "export", "t", "--out", "out.parquet").code == 0
    assert cli("trace", "import", "out.parquet", "--format", "parquet", "--name", "again").code == 0
    shown = cli("trace", "show", "again", "--json").json
    assert (shown["sample_weight"], shown["requests"], shown["input_tokens"]) == (100, 200, 3000)


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["cut", "swap", "byte", "drop", "double", "crlf", "bom", "nul"]), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_whatever_happens_to_a_log_no_row_is_lost_in_silence(
    tmp_path_factory: pytest.TempPathFactory, mutations: list[str], random: object
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    data = AZURE.replace("\r\n", "\n").encode() + b"\n" + b"2023-11-16 18:17:09,5,5\n" * 5
    for mutation in mutations:
        data = mutated(data, mutation, random)
    store = Store(folder / "p.duckdb", wait_s=5)
    log = write(folder / "l.csv", data)
    try:
        account = imported(store, log, "azure")
    except TraceError:
        assert not store.path.exists()
        return
    assert account.rows_read == account.rows + account.rows_rejected
    assert len(requests_of(store)) == account.rows
    assert [row[0] for row in requests_of(store)] == sorted(row[0] for row in requests_of(store))


def mutated(data: bytes, mutation: str, random: "object") -> bytes:
    at = random.randrange(len(data) + 1)  # type: ignore[attr-defined]
    lines = data.split(b"\n")
    if mutation == "cut":
        return data[:at]
    if mutation == "swap":
        random.shuffle(lines)  # type: ignore[attr-defined]
        return b"\n".join(lines)
    if mutation == "byte":
        return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]  # type: ignore[attr-defined]
    if mutation == "drop":
        return data[:at] + data[at + 7 :]
    if mutation == "double":
        return data + data
    if mutation == "crlf":
        return data.replace(b"\n", b"\r\n")
    if mutation == "bom":
        return b"\xef\xbb\xbf" + data
    return data[:at] + b"\x00" + data[at:]


def test_compressed_rubbish_is_no_csv(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="is not a CSV file"):
        imported(store, write(tmp_path / "a.csv", gzip.compress(bytes(range(256)) * 20)), "azure")


def shown(cli: Cli, name: str) -> dict[str, object]:
    document: dict[str, object] = cli("trace", "show", name, "--json").json
    return document


def test_the_real_azure_trace_has_the_reference_figures(cli: Cli, shared_traces: Path) -> None:
    reference = json.loads((shared_traces / "reference.json").read_text())["azure_llm_2023_code"]
    totals = reference["totals"]
    log = str(shared_traces / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv")
    result = cli("trace", "import", log, "--format", "azure", "--name", "a", "--json")
    assert result.code == 0
    found = result.json
    assert found["rows_read"] == found["rows_imported"] == found["requests"] == totals["n"]
    assert found["input_tokens"] == totals["input_tokens"]
    assert found["output_tokens"] == totals["output_tokens"]
    assert found["first_arrival"] == totals["first_ts"].replace(" ", "T") + "+00:00"
    assert found["last_arrival"] == totals["last_ts"].replace(" ", "T") + "+00:00"
    document = cli("trace", "show", "a", "--json").json
    lengths = {row["field"]: row for row in document["lengths"]}
    for field, short in (("input_tokens", "in"), ("output_tokens", "out")):
        assert lengths[field]["mean"] == pytest.approx(totals[f"{short}_mean"], rel=1e-12)
        for figure in ("p50", "p95", "p99", "max"):
            assert lengths[field][figure] == totals[f"{short}_{figure}"]
    hours = [[h["requests"], h["input_tokens"], h["output_tokens"]] for h in document["hours"]]
    assert hours == [row[1:] for row in reference["hourly_clock"]["rows"]]


def test_the_real_mooncake_trace_has_the_reference_figures(cli: Cli, shared_traces: Path) -> None:
    reference = json.loads((shared_traces / "reference.json").read_text())["mooncake_fast25_synthetic"]
    totals, hits = reference["totals"], reference["prefix_cache_infinite_row_order"]
    log = str(shared_traces / "mooncake_fast25" / "synthetic_trace.jsonl")
    found = cli("trace", "import", log, "--format", "mooncake", "--name", "m", "--json").json
    assert found["requests"] == totals["n"]
    assert found["input_tokens"] == totals["input_tokens"]
    assert found["output_tokens"] == totals["output_tokens"]
    assert found["cached_input_tokens"] == hits["hit_tokens"]
    cold = cli(
        "sql",
        "SELECT count(*) FILTER (WHERE cached_input_tokens = 0) AS cold, "
        "count(*) FILTER (WHERE cached_input_tokens = input_tokens) AS full FROM request",
        "--format",
        "json",
    )
    assert cold.json == [{"cold": hits["cold_rows"], "full": hits["fully_cached_rows"]}]
    blocks = cli("sql", "SELECT count(*) AS n, count(DISTINCT block_id) AS ids FROM request_block", "--format", "json")
    assert blocks.json == [{"n": hits["blocks"], "ids": hits["unique_blocks"]}]
    values = ("trace_id=1", "start_us=0", "end_us=2000000000", "interval_us=60000000")
    params = [word for value in values for word in ("--param", value)]
    minutes = cli("sql", "--name", "demand_bins", *params, "--format", "json")
    per_minute = [[r["interval_index"], r["row_count"], r["input_tokens"], r["output_tokens"]] for r in minutes.json]
    assert per_minute == reference["per_minute_from_start"]["rows"]


@pytest.mark.parametrize("policy", ["night-training", "fixed", "timetable"])
def test_real_traces_plan_and_report_without_special_cases(cli: Cli, shared_traces: Path, policy: str) -> None:
    azure = str(shared_traces / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv")
    mooncake = str(shared_traces / "mooncake_fast25" / "synthetic_trace.jsonl")
    assert cli("trace", "import", azure, "--format", "azure", "--name", "a").code == 0
    assert cli("trace", "import", mooncake, "--format", "mooncake", "--name", "m").code == 0
    for name in ("a", "m"):
        result = cli("plan", "--trace", name, "--policy", policy, "--set", "interval_s=60", "--json")
        assert result.code == 0, result.err
        assert sum(hour["input_tokens"] for hour in result.json["hours"]) == result.json["input_tokens"]
        assert cli("report", "--out", f"report-{name}").code == 0
