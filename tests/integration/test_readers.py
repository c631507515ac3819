"""Every reader: what it makes of its format's own rows, and what it refuses, with the reason."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from planner.trace.imports.mapping import ready_mappings
from planner.trace.imports.readers import readers
from tests.conftest import Cli
from tests.helpers.gateway_logs import imported
from tests.helpers.logs import (
    AIPERF,
    AIPERF_CANCELLED,
    BURST_1,
    BURST_3,
    DAYS,
    INFERENCE_PERF,
    LITELLM,
    bucket,
    qwen,
    span,
)


def log(path: Path, *records: object) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def text(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def requests_of(cli: Cli) -> list[tuple[Any, ...]]:
    """Arrival in seconds, tokens, class and session of every request."""
    query = (
        "SELECT arrival_us / 1e6 AS at, r.input_tokens AS i, r.cached_input_tokens AS c, r.output_tokens AS o, "
        "coalesce(class, '') AS class, session_id AS s FROM request AS r LEFT JOIN request_class USING "
        "(trace_id, class_id) ORDER BY request_seq"
    )
    return [tuple(row.values()) for row in cli("sql", query, "--format", "json").json]


def test_every_reader_says_what_it_reads_and_has_its_tests_here_in_test_import_or_test_windows() -> None:
    assert set(readers()) - set(ready_mappings()) == {
        "aiperf", "azure", "azure-lmm", "burstgpt", "csv", "inference-perf", "jsonl", "litellm", "mooncake",
        "openai-usage", "otel", "parquet", "prometheus", "qwen", "servegen", "sglang", "vllm", "windows",
    }  # fmt: skip
    assert all(reader.description for reader in readers().values())


def test_azure_2024_mixes_times_with_and_without_fraction_and_offset(cli: Cli, tmp_path: Path) -> None:
    times = ["00:00:00.009930+00:00", "00:00:01+00:00", "00:00:02", "00:00:03.5", "00:00:04Z", "02:00:05.0000001+02:00"]
    rows = [f"2024-05-10 {time},100,{number}" for number, time in enumerate(times)]
    found = imported(cli, text(tmp_path / "a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens", *rows))
    assert (found["format"], found["rows_rejected"]) == ("azure", 0)
    start = 1_715_299_200
    assert [row[0] - start for row in requests_of(cli)] == pytest.approx([0.00993, 1, 2, 3.5, 4, 5], abs=1e-6)


def test_azure_lmm_tells_requests_with_images(cli: Cli, tmp_path: Path) -> None:
    rows = ["2025-01-01 00:00:00.5,2,1000,10", "2025-01-01 00:00:01,0,10,3", "2025-01-01 00:00:01,,10,3"]
    path = text(tmp_path / "a.csv", "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens", *rows)
    assert imported(cli, path)["rejects"] == {"NumImages is not a whole number from 0 to 2147483647": 1}
    start = 1_735_689_600
    assert requests_of(cli) == [
        (start + 0.5, 1000, None, 10, "with images", None),
        (start + 1, 10, None, 3, "text only", None),
    ]


def test_burstgpt_is_read_by_name_in_both_versions(cli: Cli, tmp_path: Path) -> None:
    found = imported(cli, text(tmp_path / "1.csv", *BURST_1), "--start", "2023-01-01T00:00+08:00")
    assert found["format"] == "burstgpt"
    assert requests_of(cli) == [(1_672_502_405, 472, None, 18, "ChatGPT", None)]
    assert cli("trace", "delete", "t").code == 0
    assert imported(cli, text(tmp_path / "3.csv", *BURST_3))["rejects"] == {"failed: has no response tokens": 1}
    assert requests_of(cli) == [(5, 472, None, 18, "ChatGPT", 0), (118.5, 417, None, 276, "GPT-4", None)]


def test_qwen_turns_are_one_conversation_and_hit_its_blocks(cli: Cli, tmp_path: Path) -> None:
    turns = [
        qwen(159, -1, 61.114, 1, 2, 3, 4),
        qwen(160, 159, 62, 1, 2, 3, 5),
        qwen(161, 160, 63, 1, 2, 3, 5),
        qwen(7, 6, 64, 9, 9, 9, 9),
        qwen(8, -1, 64, 1),
        qwen(20, 21, 65, 1, 2, 3, 4),
        qwen(21, 20, 66, 1, 2, 3, 4),
    ]
    found = imported(cli, log(tmp_path / "q.jsonl", *turns))
    assert (found["format"], found["block_tokens"]) == ("qwen", 16)
    assert found["rejects"] == {"hash_ids does not hold one id per 16 input tokens": 1}
    assert [(row[2], row[5]) for row in requests_of(cli)] == [
        (0, 159),
        (48, 159),
        (50, 159),  # the last block, partial, is there too
        (0, 7),  # the turn before is not in the log
        (50, 20),
        (50, 21),  # turns that name each other stay apart
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "nested.parquet", "json", "jsonl"])
def test_litellm_spend_logs_are_the_same_from_every_export(cli: Cli, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"spend.{suffix}"
    whole = [{key: json.dumps(value) if key == "metadata" else value for key, value in row.items()} for row in LITELLM]
    if suffix == "csv":
        pl.DataFrame(whole).write_csv(path)
    elif suffix == "parquet":
        time = pl.col("startTime").str.strip_chars("Z").str.to_datetime()
        pl.DataFrame(whole).with_columns(time).write_parquet(path)
    elif suffix == "json":
        path.write_text(json.dumps(LITELLM, indent=2))
    elif suffix == "nested.parquet":
        pl.DataFrame(LITELLM).write_parquet(path)
    else:
        log(path, *LITELLM)
    found = imported(cli, path)
    assert found["format"] == "litellm"
    assert found["rejects"] == {"answered by the proxy: cache_hit is true": 1, "failed: status is failure": 1}
    start = 1_740_787_200
    assert requests_of(cli) == [(start + 0.25, 100, 64, 7, "gpt", 0), (start + 1, 10, None, 1, "gpt", None)]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_aiperf_records_are_requests_at_their_start(cli: Cli, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "jsonl":
        log(path, AIPERF, AIPERF_CANCELLED)
    else:
        pl.DataFrame([AIPERF, AIPERF_CANCELLED]).write_parquet(path)
    found = imported(cli, path)
    assert (found["format"], found["rejects"]) == ("aiperf", {"failed: has an error": 1})
    assert requests_of(cli) == [(pytest.approx(1_759_813_207.532900, abs=1e-6), 550, None, 9, "", 0)]


def test_aiperf_fields_may_be_flat(cli: Cli, tmp_path: Path) -> None:
    flat = {"request_start_ns": [2_000_000_000], "input_sequence_length": [5], "output_sequence_length": [6]}
    pl.DataFrame(flat).write_parquet(tmp_path / "a.parquet")
    assert imported(cli, tmp_path / "a.parquet")["format"] == "aiperf"
    assert requests_of(cli) == [(2, 5, None, 6, "", None)]


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet"])
def test_inference_perf_counts_what_the_server_reported_first(cli: Cli, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"i.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(INFERENCE_PERF))
    elif suffix == "jsonl":
        log(path, *INFERENCE_PERF)
    else:
        pl.DataFrame(INFERENCE_PERF).write_parquet(path)
    found = imported(cli, path, "--start", "2025-01-01T00:00Z")
    assert (found["format"], found["rejects"]) == ("inference-perf", {"failed: has an error": 1})
    start = 1_735_689_600
    assert requests_of(cli) == [(start + 10.5, 25, 16, 6, "", None), (start + 12, 3, None, 4, "", None)]


@pytest.mark.parametrize("shape", ["page", "printed", "buckets"])
def test_openai_usage_is_demand_per_bucket_with_cached_tokens_in_the_input(
    cli: Cli, tmp_path: Path, shape: str
) -> None:
    page = {"object": "page", "data": DAYS, "has_more": False}
    path = tmp_path / "usage.json"
    if shape == "buckets":
        log(path, *DAYS)
    else:
        path.write_text(json.dumps(page, indent=2 if shape == "printed" else None))
    found = imported(cli, path)
    assert (found["format"], found["origin"], found["rows_read"]) == ("openai-usage", "windows", 4)
    totals = [found[name] for name in ("requests", "input_tokens", "cached_input_tokens", "output_tokens")]
    assert totals == [8, 1014, 800, 507]
    days = cli("sql", "SELECT requests, input_tokens FROM demand_window", "--format", "json").json
    assert [tuple(day.values()) for day in days] == [(6, 1010), (0, 0), (2, 4)]


def test_openai_usage_can_be_drawn_as_requests_of_a_stated_weight(cli: Cli, tmp_path: Path) -> None:
    path = log(tmp_path / "usage.json", *DAYS)
    whole = imported(cli, path, "--draw", "1")
    totals = [whole[name] for name in ("rows", "input_tokens", "cached_input_tokens", "output_tokens")]
    assert totals == [8, 1014, 800, 507]
    assert cli("trace", "delete", "t").code == 0
    half = imported(cli, path, "--draw", "2")
    assert (half["rows"], half["sample_weight"], half["requests"], half["input_tokens"]) == (4, 2, 8, 1014)


def test_openai_usage_that_cannot_be_is_refused(cli: Cli, tmp_path: Path) -> None:
    odd = {**bucket(1_730_764_800), "results": 7}
    found = imported(
        cli,
        log(
            tmp_path / "u.json", *DAYS, bucket(1_730_678_400, (1, 5, 6, 1)), odd, {**odd, "end_time": 0, "results": []}
        ),
    )
    assert found["rejects"] == {
        "end_time is not a number of seconds after start_time": 1,
        "cached tokens exceed the input tokens": 1,
        "results is not a list of objects": 1,
    }


def test_spans_of_calls_are_requests_whatever_their_attributes_are_called(cli: Cli, tmp_path: Path) -> None:
    new = span(
        5,
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=5,
        gen_ai__usage__cache_read__input_tokens=10,
        gen_ai__request__model="m",
        gen_ai__conversation__id="c",
    )
    old = span(6, gen_ai__usage__prompt_tokens=7, gen_ai__usage__completion_tokens=2, gen_ai__response__model="m")
    other = span(7, http__method="GET")
    agent = span(8, gen_ai__operation__name="invoke_agent", gen_ai__usage__input_tokens=107)
    packets = [
        {"resourceSpans": [{"scopeSpans": [{"spans": [new, other]}, {"spans": [old]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [agent]}]}]},
        {"resourceSpans": []},
    ]
    found = imported(cli, log(tmp_path / "t.jsonl", *packets))
    assert (found["format"], found["rows_read"]) == ("otel", 5)
    assert found["rejects"] == {
        "is not a model call: has no usage": 2,
        "is of an agent, workflow or tool, whose model calls have spans of their own": 1,
    }
    assert requests_of(cli) == [(5, 100, 10, 5, "m", 0), (6, 7, None, 2, "m", None)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3, "gen_ai.request.model": "q"},
        {"llm.token_count.prompt": 12, "llm.token_count.completion": 3, "llm.model_name": "q"},
        {"llm.usage.prompt_tokens": "12", "llm.usage.completion_tokens": 3, "gen_ai.response.model": "q"},
        {"ai.usage.promptTokens": 12, "ai.usage.completionTokens": 3, "ai.model.id": "q"},
        {
            "gen_ai.usage.prompt_tokens": 12,
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.completion_tokens": 3,
            "ai.model.id": "q",
        },
    ],
)
def test_a_span_a_line_with_an_object_of_attributes(cli: Cli, tmp_path: Path, attributes: dict[str, object]) -> None:
    start = {"name": "chat", "start_time": "1970-01-01T00:00:02.000001Z"}
    assert imported(cli, log(tmp_path / "t.jsonl", {**start, "attributes": attributes}))["format"] == "otel"
    assert requests_of(cli) == [(2.000001, 12, None, 3, "q", None)]


@pytest.mark.parametrize(
    "attribute",
    [
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.cached_input_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ],
)
def test_cached_tokens_go_by_many_names(cli: Cli, tmp_path: Path, attribute: str) -> None:
    usage = {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3, attribute: 8}
    imported(cli, log(tmp_path / "t.jsonl", {"start_time": "1970-01-01T00:00:02Z", "attributes": usage}))
    assert requests_of(cli) == [(2, 12, 8, 3, "", None)]


@pytest.mark.parametrize(
    "start",
    [
        {"startTimeUnixNano": "2000000000"},
        {"startTimeUnixNano": 2_000_000_000},
        {"start_time_unix_nano": 2_000_000_000},
        {"start_time": "1970-01-01T00:00:02Z"},
        {"startTime": "1970-01-01T01:00:02+01:00"},
        {"timestamp": "1970-01-01 00:00:02"},
    ],
)
def test_spans_start_by_many_names(cli: Cli, tmp_path: Path, start: dict[str, object]) -> None:
    usage = {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3}
    assert imported(cli, log(tmp_path / "t.jsonl", {**start, "attributes": usage}))["format"] == "otel"
    assert requests_of(cli) == [(2, 12, None, 3, "", None)]


@pytest.mark.parametrize("kind", [{"gen_ai.operation.name": "embeddings"}, {"openinference.span.kind": "RERANKER"}])
def test_spans_that_generate_nothing_are_refused(cli: Cli, tmp_path: Path, kind: dict[str, str]) -> None:
    start = {"start_time": "1970-01-01T00:00:02Z"}
    usage = {"gen_ai.usage.input_tokens": 12}
    spans = [{**start, "attributes": {**usage, **kind}}, {**start, "attributes": {**usage, "ai.usage.outputTokens": 1}}]
    found = imported(cli, log(tmp_path / "t.jsonl", *spans))
    assert found["rejects"] == {"is of an embedding or ranking, which generates no tokens": 1}


@pytest.mark.parametrize(
    "operation", ["image_generation", "moderation", "speech", "transcription", "count_tokens", "ai.generateImage"]
)
def test_spans_of_other_kinds_of_call_are_refused(cli: Cli, tmp_path: Path, operation: str) -> None:
    usage = {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3}
    spans = [
        {"start_time": "1970-01-01T00:00:02Z", "attributes": {**usage, "gen_ai.operation.name": name}}
        for name in (operation, "chat", "generate_content")
    ]
    found = imported(cli, log(tmp_path / "t.jsonl", *spans))
    assert found["rejects"] == {f"is no generation: its operation is {operation.lower()}": 1}


def test_clickhouse_writes_times_of_spans_in_utc_whatever_the_zone_of_the_trace(cli: Cli, tmp_path: Path) -> None:
    usage = {"gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": "3"}
    span = {"Timestamp": "1970-01-01 00:00:02.000000000", "TraceId": "t", "SpanId": "s", "SpanAttributes": usage}
    imported(cli, log(tmp_path / "t.jsonl", span), "--timezone", "Asia/Shanghai")
    assert requests_of(cli) == [(2, 12, None, 3, "", None)]


def test_printed_spans_are_read_like_lines(cli: Cli, tmp_path: Path) -> None:
    printed = {
        "start_time": "1970-01-01T00:00:02Z",
        "attributes": {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 2},
    }
    (tmp_path / "t.json").write_text(json.dumps(printed, indent=4) + "\n" + json.dumps(printed, indent=4))
    assert imported(cli, tmp_path / "t.json")["rows_imported"] == 2


def test_any_monitoring_can_be_brought_as_windows(cli: Cli, tmp_path: Path) -> None:
    rows = ["0,3600,10,1000,400,50", "3600,7200,0,0,,0", "7200,7200,1,1,0,1", "x,2,1,1,0,1", "7200,7300,1,1,2,1"]
    path = text(tmp_path / "w.csv", "from,window_end,requests,input_tokens,cached_input_tokens,output_tokens", *rows)
    found = imported(cli, path, "--column", "window_start=from", "--start", "2025-01-01T00:00Z", "--cached", "inside")
    assert (found["format"], found["requests"], found["cached_input_tokens"]) == ("windows", 10, 400)
    assert found["first_arrival"] == "2025-01-01T00:00:00+00:00"
    assert found["rejects"] == {
        "cached tokens exceed the input tokens": 1,
        "window_end is not after window_start": 1,
        "window_start is not a time": 1,
    }
