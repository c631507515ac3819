"""Traces in the formats of published logs: what they carry comes back by import, and what they do not is said."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.store import Store
from planner.trace import stored, writers
from tests.conftest import Cli
from tests.helpers.imports import imported, requests_of, write
from tests.helpers.logs import AZURE, MOONCAKE

ROWS = (
    "arrival,input_tokens,cached_input_tokens,output_tokens,class,session_id,sample_weight\n"
    "2025-03-01T00:00:00.000001Z,1000,500,10,chat,7,10\n"
    "2025-03-01T00:00:00.5Z,0,0,0,batch,8,10\n"
    "2025-03-01T00:00:01.123456Z,2147483647,0,1,chat,7,10\n"
)


def again(cli: Cli, exported: str) -> list[str]:
    """The words of the import that an export prints, with a name."""
    words = shlex.split(exported.split("; planner ")[-1])
    words[words.index("...")] = "again"
    assert cli(*words).code == 0
    return words


def blocks_of(store: Store) -> list[list[tuple[int, int, int]]]:
    query = "SELECT request_seq, block_index, block_id FROM request_block WHERE trace_id = $t ORDER BY ALL"
    with store.read() as session:
        return [session.connection.execute(query, {"t": trace_id}).fetchall() for trace_id in (1, 2)]


@pytest.mark.parametrize("cache", [None, 3])
def test_a_mooncake_trace_comes_back_the_same(store: Store, tmp_path: Path, cli: Cli, cache: int | None) -> None:
    log = write(tmp_path / "m.jsonl", "\n".join(json.dumps(row) for row in MOONCAKE))
    imported(store, log, "mooncake", cache_blocks=cache)
    done = cli("trace", "export", "t", "--out", "out.jsonl")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == MOONCAKE
    words = again(cli, done.out)
    assert ("--cache" in words) == (cache is not None)
    assert requests_of(store, "again") == requests_of(store)
    one, two = blocks_of(store)
    assert one == two != []


def test_an_azure_trace_comes_back_the_same(store: Store, tmp_path: Path, cli: Cli) -> None:
    imported(store, write(tmp_path / "a.csv", AZURE), "azure", timezone="Asia/Shanghai")
    done = cli("trace", "export", "t", "--out", "out.csv", "--format", "azure")
    assert (done.code, done.err) == (0, "")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "TIMESTAMP,ContextTokens,GeneratedTokens"
    assert lines[1] == "2023-11-16 10:17:03.979960+00:00,4808,10"
    again(cli, done.out)
    assert requests_of(store, "again") == requests_of(store)
    shown = [cli("trace", "show", name, "--json").json for name in ("t", "again")]
    assert shown[0]["first_arrival"] == shown[1]["first_arrival"]


@pytest.mark.parametrize("to", ["mooncake", "azure"])
def test_what_a_format_does_not_carry_is_said(store: Store, tmp_path: Path, cli: Cli, to: str) -> None:
    imported(store, write(tmp_path / "l.csv", ROWS), "csv")
    done = cli("trace", "export", "t", "--out", "o", "--format", to)
    assert done.code == 0
    assert done.err.splitlines() == [
        f"planner: {to} cannot carry {what}"
        for what in (
            "the sample weight: each row stands for 10 requests, and will stand for one",
            "cached input tokens",
            "classes",
            "sessions",
        )
    ]
    shown = cli("trace", "export", "t", "--out", "o", "--format", to, "--json").json
    assert (shown["rows"], shown["format"], len(shown["left_out"])) == (3, to, 4)
    again(cli, f"; {shown['import']}")
    kept = [(row[0], row[1], row[3]) for row in requests_of(store, "again")]
    assert kept == [(row[0], row[1], row[3]) for row in requests_of(store)]


def test_csv_and_parquet_carry_everything(store: Store, tmp_path: Path, cli: Cli) -> None:
    imported(store, write(tmp_path / "l.csv", ROWS), "csv")
    for to in ("csv", "parquet"):
        assert cli("trace", "export", "t", "--out", f"o.{to}", "--json").json["left_out"] == []


def test_blocks_of_another_size_are_no_hash_ids(store: Store, tmp_path: Path, cli: Cli) -> None:
    rows = "arrival,input_tokens,output_tokens,block_ids,block_tokens\n0,100,1,5 6,64\n1,0,1,,64\n"
    imported(store, write(tmp_path / "l.csv", rows), "csv")
    done = cli("trace", "export", "t", "--out", "o.jsonl")
    assert done.err == "planner: mooncake cannot carry prefix blocks of 64 tokens\n"
    assert "hash_ids" not in (tmp_path / "o.jsonl").read_text()


def test_hits_of_a_csv_are_computed_anew_from_mooncake_blocks(store: Store, tmp_path: Path, cli: Cli) -> None:
    rows = (
        "arrival,input_tokens,cached_input_tokens,output_tokens,block_ids,block_tokens\n0,512,9,1,5,512\n1,0,0,1,,512\n"
    )
    imported(store, write(tmp_path / "l.csv", rows), "csv")
    done = cli("trace", "export", "t", "--out", "o.jsonl")
    assert "cached input tokens: import computes them from the blocks" in done.err
    assert [json.loads(line)["hash_ids"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [[5], []]
    again(cli, done.out)
    one, two = blocks_of(store)
    assert one == two


@pytest.mark.parametrize("to", ["mooncake", "azure"])
@settings(max_examples=3)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**13), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
        min_size=1,
        max_size=60,
    )
)
def test_times_and_tokens_come_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, to: str, rows: list[tuple[int, int, int]]
) -> None:
    """Arrivals are microseconds of several months."""
    folder = tmp_path_factory.mktemp("rows")
    store = Store(folder / "p.duckdb", wait_s=5)
    text = "arrival,input_tokens,output_tokens\n" + "".join(f"{at},{i},{o}\n" for at, i, o in rows)
    imported(store, write(folder / "l.csv", text), "csv", time_unit="us", is_started=True)
    with store.read() as session:
        info = stored.by_name(session, "t")
    writers.export(store, "t", folder / "out", to)
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=info.window_start_us)
    unit = {"time_unit": "ms"} if to == "mooncake" else {}  # as the command says that the export prints
    imported(store, folder / "out", to, "again", start=start, **unit)
    assert requests_of(store, "again") == requests_of(store)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--out", "o.txt"), 2, 'ends in ".txt"; use .csv, .parquet or .jsonl, or give --format'),
        (("--out", "o", "--format", "excel"), 2, '--format "excel": use one of csv, parquet, mooncake, azure'),
        (("--out", ".", "--format", "azure"), 1, "is a folder; name a file with --out"),
        (("--out", "no/o.csv"), 1, "there is no folder no; create it"),
    ],
)
def test_bad_input_gets_one_line(
    store: Store, tmp_path: Path, cli: Cli, words: tuple[str, ...], code: int, message: str
) -> None:
    imported(store, write(tmp_path / "l.csv", ROWS), "csv")
    before = sorted(tmp_path.iterdir())
    done = cli("trace", "export", "t", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("to", "file"),
    [
        ("mooncake", "mooncake_fast25/synthetic_trace.jsonl"),
        ("azure", "azure_llm_2023/AzureLLMInferenceTrace_code.csv"),
    ],
)
def test_a_published_trace_comes_back_row_by_row(
    store: Store, shared_traces: Path, tmp_path: Path, cli: Cli, to: str, file: str
) -> None:
    imported(store, shared_traces / file, to)
    done = cli("trace", "export", "t", "--out", "out", "--format", to)
    assert (done.code, done.err) == (0, "")
    again(cli, done.out)
    rows = requests_of(store)
    assert len(rows) > 1000
    assert requests_of(store, "again") == rows
