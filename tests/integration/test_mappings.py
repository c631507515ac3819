"""The mappings that are shipped: each reads a small log in the form that its source documents, found by its content."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from planner.trace.imports.mapping import ready_mappings
from tests.conftest import Cli
from tests.helpers.gateway_logs import imported, usage_page, written

FIRST = "2026-11-02T09:00:04+00:00"

BEDROCK = {
    "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-11-02T09:00:04Z",
    "accountId": "000000000000", "region": "us-east-1", "requestId": "r1", "operation": "ConverseStream",
    "modelId": "m", "input": {"inputContentType": "application/json", "inputTokenCount": 30,
                              "cacheReadInputTokenCount": 60, "cacheWriteInputTokenCount": 10},
    "output": {"outputContentType": "application/json", "outputTokenCount": 5},
}  # fmt: skip
LANGFUSE = {
    "data": [
        {"id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": "2026-11-02T09:00:04.000Z", "model": "m",
         "usageDetails": {"input": 40, "cache_read_input_tokens": 60, "output": 5, "total": 105}},
        {"id": "o2", "traceId": "t1", "type": "SPAN", "startTime": "2026-11-02T09:00:03.000Z", "usageDetails": {}},
    ],
    "meta": {"page": 1, "limit": 50, "totalItems": 2, "totalPages": 1},
}  # fmt: skip
EXPORTED = {
    "id": "o1", "trace_id": "t1", "project_id": "p", "environment": "default", "type": "GENERATION",
    "parent_observation_id": "", "start_time": "2026-11-02 09:00:04.000000", "end_time": "2026-11-02 09:00:06.500000",
    "provided_model_name": "m", "model_parameters": '{"temperature":0.7}', "session_id": "s",
    "usage_details": {"input": 40, "input_cached_tokens": 60, "output": 5, "total": 105}, "total_cost": 0.01,
}  # fmt: skip
HELICONE = {
    "data": [
        {"request_id": "r", "request_created_at": "2026-11-02T09:00:04.000Z", "response_status": 200, "model": "m",
         "prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_read_tokens": 60, "delay_ms": 900},
        {"request_id": "r2", "request_created_at": "2026-11-02T09:00:05.000Z", "response_status": 500, "model": "m",
         "prompt_tokens": None, "completion_tokens": None, "prompt_cache_read_tokens": None, "delay_ms": 900},
    ],
    "error": None,
}  # fmt: skip
CLOUDFLARE = {
    "result": [
        {"id": "1", "cached": False, "created_at": "2026-11-02T09:00:04Z", "duration": 900, "model": "m", "path": "p",
         "provider": "x", "success": True, "tokens_in": 100, "tokens_out": 5, "status_code": 200},
        {"id": "2", "cached": True, "created_at": "2026-11-02T09:00:05Z", "duration": 1, "model": "m", "path": "p",
         "provider": "x", "success": True, "tokens_in": 100, "tokens_out": 5, "status_code": 200},
    ],
    "success": True,
}  # fmt: skip
ENVOY = {
    "start_time": "2026-11-02T09:00:04.000Z", "method": "POST", "response_code": "200", "duration": "900",
    "gen_ai.request.model": "m", "gen_ai.response.model": "m", "gen_ai.provider.name": "b",
    "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "5", "session.id": None,
}  # fmt: skip
KONG = {
    "started_at": 1793610004000, "latencies": {"request": 900}, "request": {"id": "r"},
    "ai": {"proxy": {"meta": {"request_model": "m", "response_model": "m", "provider_name": "p"},
                     "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
                               "prompt_tokens_details": {"cached_tokens": 60}}}},
}  # fmt: skip
BATCH = {
    "id": "batch_req_1", "custom_id": "1", "error": None,
    "response": {"status_code": 200, "request_id": "r", "body": {
        "id": "c", "object": "chat.completion", "created": 1793610004, "model": "m",
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60}}}},
}  # fmt: skip
OPENROUTER = {
    "data": {"id": "gen-1", "model": "m", "created_at": "2026-11-02T09:00:04Z", "tokens_prompt": 90,
             "tokens_completion": 4, "native_tokens_prompt": 100, "native_tokens_completion": 5,
             "native_tokens_cached": 60},
}  # fmt: skip
APIM = {"TimeGenerated [UTC]": "11/2/2026, 9:00:04.000 AM", "CorrelationId": "c", "ModelName": "m",
        "PromptTokens": "100", "CompletionTokens": "5", "TotalTokens": "105"}  # fmt: skip
VLLM = {
    "date": "20261102-090004", "model_id": "m", "num_prompts": 3, "completed": 2, "input_lens": [100, 200, 50],
    "output_lens": [5, 6, 0], "start_times": [353399.72, 353400.48, 353401.0], "ttfts": [0.1, 0.1, 0.0],
    "itls": [[], [], []], "errors": ["", "", "timed out"],
}  # fmt: skip
GUIDELLM = {
    "benchmarks": [
        {"type_": "generative_benchmark", "requests": {
            "successful": [{"type_": "generative_request_stats", "request_id": "1", "prompt_tokens": 100,
                            "output_tokens": 5, "request_start_time": 1793610004.0}],
            "incomplete": [], "errored": []}}
    ],
}  # fmt: skip
ANTHROPIC = {
    "data": [
        {"starting_at": "2026-11-02T00:00:00Z", "ending_at": "2026-11-03T00:00:00Z", "results": [
            {"uncached_input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 5,
             "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 6}}]},
        {"starting_at": "2026-11-03T00:00:00Z", "ending_at": "2026-11-04T00:00:00Z", "results": []},
    ],
    "has_more": False, "next_page": None,
}  # fmt: skip
REQUESTS: dict[str, tuple[object, tuple[int, int, int]]] = {
    "azure-apim": (APIM, (100, 0, 5)),
    "bedrock": (BEDROCK, (100, 60, 5)),
    "cloudflare": (CLOUDFLARE, (100, 0, 5)),
    "envoy": (ENVOY, (100, 0, 5)),
    "guidellm": (GUIDELLM, (100, 0, 5)),
    "helicone": (HELICONE, (100, 60, 5)),
    "kong": (KONG, (100, 60, 5)),
    "langfuse": (LANGFUSE, (100, 60, 5)),
    "langfuse-export": (EXPORTED, (100, 60, 5)),
    "openai-batch": (BATCH, (100, 60, 5)),
    "openrouter": (OPENROUTER, (100, 60, 5)),
}
"""By format: a log in its documented form, and the tokens of its one request at FIRST."""


def test_every_mapping_says_where_its_form_is_documented_and_has_a_test_here() -> None:
    assert set(ready_mappings()) == {*REQUESTS, "vllm-bench", "anthropic-usage"}
    for mapping in ready_mappings().values():
        assert mapping.source.startswith("https://")
        assert mapping.description
        assert mapping.signatures


@pytest.mark.parametrize("name", REQUESTS)
def test_a_log_is_found_by_its_content_and_read(name: str, tmp_path: Path, cli: Cli) -> None:
    document, tokens = REQUESTS[name]
    account = imported(cli, written(tmp_path / "l.log", name, document))
    assert (account["format"], account["rows_imported"], account["first_arrival"]) == (name, 1, FIRST)
    assert (account["input_tokens"], account["cached_input_tokens"], account["output_tokens"]) == tokens
    assert account["rows_read"] == 1 + account["rows_rejected"] + account["rows_left_out"]
    if name != "guidellm":
        assert cli("sql", "SELECT class FROM request_class", "--format", "json").json == [{"class": "m"}]


@pytest.mark.parametrize("name", ["bedrock", "langfuse", "azure-apim"])
def test_a_format_can_be_named_and_its_columns_replaced(name: str, tmp_path: Path, cli: Cli) -> None:
    document, _ = REQUESTS[name]
    path = written(tmp_path / "l.log", name, document)
    account = imported(cli, path, "--format", name, "--constant", "class=mine", "--constant", "output_tokens=9")
    assert (account["format"], account["output_tokens"]) == (name, 9)
    assert cli("sql", "SELECT class FROM request_class", "--format", "json").json == [{"class": "mine"}]


def test_what_a_mapping_leaves_out_is_counted_and_said(tmp_path: Path, cli: Cli) -> None:
    account = imported(cli, written(tmp_path / "l.json", "langfuse", LANGFUSE))
    assert (account["rows_left_out"], account["rows_rejected"]) == (1, 0)
    assert "1 row left out by --where type=GENERATION" in account["notes"]


def test_columns_of_arrays_are_rows_and_count_from_the_first(tmp_path: Path, cli: Cli) -> None:
    path = written(tmp_path / "l.json", "vllm-bench", VLLM)
    account = imported(cli, path, "--start", "2026-11-02T09:00:04Z")
    assert (account["format"], account["rows_imported"], account["rows_left_out"]) == ("vllm-bench", 2, 1)
    assert (account["input_tokens"], account["output_tokens"]) == (300, 11)
    assert (account["first_arrival"], account["last_arrival"]) == (FIRST, "2026-11-02T09:00:04.760000+00:00")


def test_runs_that_lie_on_each_other_are_said(tmp_path: Path, cli: Cli) -> None:
    def notes_of(*documents: object) -> list[str]:
        path = tmp_path / f"{len(documents)}.jsonl"
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
        notes: list[str] = imported(cli, path, "--format", "vllm-bench", "--start", "2026-11-02T09:00:04Z")["notes"]
        return notes

    assert not any("runs" in note for note in notes_of(VLLM))
    cli("trace", "delete", "t")
    notes = notes_of(VLLM, VLLM)
    assert any("the log has 2 runs" in note and "begin at --start and lie on each other" in note for note in notes)


def test_a_record_may_have_a_hundred_thousand_requests(tmp_path: Path, cli: Cli) -> None:
    many = 100_000  # each takes room for itself only: 4,000 once took more than the import may have
    lists = {"input_lens": [100] * many, "output_lens": [5] * many, "errors": [""] * many}
    starts = [353399.5 + place / 8 for place in range(many)]
    path = written(tmp_path / "l.json", "vllm-bench", {**VLLM, **lists, "start_times": starts[::-1]})
    account = imported(cli, path, "--start", "2026-11-02T09:00:04Z")
    assert (account["rows_imported"], account["input_tokens"], account["output_tokens"]) == (many, 100 * many, 5 * many)
    assert (account["first_arrival"], account["last_arrival"]) == (FIRST, "2026-11-02T12:28:23.875000+00:00")


def test_a_report_that_counts_no_requests_needs_their_number(tmp_path: Path, cli: Cli) -> None:
    path = written(tmp_path / "l.json", "anthropic-usage", ANTHROPIC)
    result = cli("trace", "import", str(path), "--name", "t")
    assert result.code == 1
    assert "the log counts none, so give --constant requests=N" in result.err
    account = imported(cli, path, "--constant", "requests=2")
    assert (account["format"], account["requests"]) == ("anthropic-usage", 2)
    assert (account["input_tokens"], account["cached_input_tokens"], account["output_tokens"]) == (100, 60, 5)


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A record with other values at some paths, with bars between the keys; None takes a key away."""
    record: dict[str, Any] = json.loads(json.dumps(document))
    for path, value in changes.items():
        place, *keys = (record, *path.split("|"))
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
    return record


def records_of(name: str) -> dict[str, Any]:
    """The first record of a format, without what is around it."""
    document: Any = REQUESTS[name][0]
    for key in ("data", "result"):
        inside = document.get(key, document)
        document = inside[0] if isinstance(inside, list) else inside
    record: dict[str, Any] = document
    return record


NO_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("bedrock", {"errorCode": "ThrottlingException"}, "failed: errorCode is ThrottlingException"),
    ("bedrock", {"operation": "CountTokens"}, "is no generation: operation is CountTokens"),
    (
        "bedrock",
        {"modelId": "amazon.titan-embed-text-v2:0"},
        "is no generation: modelId is amazon.titan-embed-text-v2:0",
    ),
    ("langfuse", {"level": "ERROR"}, "failed: level is ERROR"),
    ("langfuse", {"model": "text-embedding-3-small"}, "is no generation: model is text-embedding-3-small"),
    ("helicone", {"response_status": 429}, "failed: response_status is 429"),
    ("helicone", {"request_path": "/v1/embeddings?x=1"}, "is no generation: request_path is /v1/embeddings"),
    (
        "helicone",
        {"cache_reference_id": "0b0c-1"},
        "answered by the gateway, from its own cache: cache_reference_id is 0b0c-1",
    ),
    ("cloudflare", {"status_code": 503}, "failed: status_code is 503"),
    ("cloudflare", {"path": "embeddings"}, "is no generation: path is embeddings"),
    ("envoy", {"response_code": 503}, "failed: response_code is 503"),
    ("envoy", {"path": "/v1/embeddings"}, "is no generation: path is /v1/embeddings"),
    ("envoy", {"gen_ai.operation.name": "moderation"}, "is no generation: gen_ai.operation.name is moderation"),
    ("kong", {"response|status": 500}, "failed: response.status is 500"),
    ("kong", {"request|uri": "/v1/embeddings"}, "is no generation: request.uri is /v1/embeddings"),
    (
        "kong",
        {"ai|proxy|cache|cache_status": "Hit"},
        "answered by the gateway, from its own cache: ai.proxy.cache.cache_status is Hit",
    ),
    ("azure-apim", {"ResponseCode": 429}, "failed: ResponseCode is 429"),
    ("azure-apim", {"OperationName": "Embeddings_Create"}, "is no generation: OperationName is Embeddings_Create"),
    ("openrouter", {"finish_reason": "error"}, "failed: finish_reason is error"),
    ("openrouter", {"api_type": "embeddings"}, "is no generation: api_type is embeddings"),
    ("openai-batch", {"error|code": "batch_expired"}, "failed: error.code is batch_expired"),
]
"""By format: what the record of a call that is none has, and the reason why it is refused."""


@pytest.mark.parametrize(("name", "told", "reason"), NO_CALLS)
def test_calls_that_failed_or_generate_nothing_are_refused_by_reason(
    name: str, told: dict[str, Any], reason: str, tmp_path: Path, cli: Cli
) -> None:
    record, others = records_of(name), {"error": {}} if name == "openai-batch" else {}
    other = changed(record, others | told)
    account = imported(cli, lines(tmp_path / "l.jsonl", [record, other]), "--format", name)
    assert (account["rows_read"], account["rows_imported"], account["rejects"]) == (2, 1, {reason: 1})


def test_what_succeeded_is_a_call_however_its_log_says_so(tmp_path: Path, cli: Cli) -> None:
    told: list[dict[str, Any]] = [
        {"response_status": 201}, {"response_status": "-"}, {"response_status": None},
        {"cache_reference_id": "00000000-0000-0000-0000-000000000000"}, {"request_path": "/v1/chat/completions"},
    ]  # fmt: skip
    rows = [changed(records_of("helicone"), {"request_id": f"r{place}", **one}) for place, one in enumerate(told)]
    assert imported(cli, lines(tmp_path / "l.jsonl", rows))["rows_imported"] == len(told)


NOTHING = {
    "bedrock": {"input": {"inputTokenCount": 0}, "output|outputTokenCount": 0},
    "langfuse": {"usageDetails": {"input": 0, "output": 0}},
    "helicone": {"prompt_tokens": 0, "completion_tokens": 0, "prompt_cache_read_tokens": 0},
    "cloudflare": {"tokens_in": 0, "tokens_out": 0},
    "envoy": {"gen_ai.usage.input_tokens": "0", "gen_ai.usage.output_tokens": "0"},
    "kong": {"ai|proxy|usage": {"prompt_tokens": 0, "completion_tokens": 0}},
    "azure-apim": {"PromptTokens": 0, "CompletionTokens": 0},
    "openrouter": {"native_tokens_prompt": 0, "native_tokens_completion": 0, "native_tokens_cached": 0},
    "openai-batch": {"response|body|usage": {"prompt_tokens": 0, "completion_tokens": 0}},
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_call_without_any_token_is_none_in_logs_of_services(name: str, tmp_path: Path, cli: Cli) -> None:
    record = records_of(name)
    ids = {"id": "other", "requestId": "other", "request_id": "other", "CorrelationId": "other", "request|id": "other"}
    keys = {path: value for path, value in ids.items() if path.split("|")[0] in record}
    rows = [record, changed(record, {**keys, **NOTHING[name]})]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows), "--format", name)
    assert (account["rows_imported"], account["rejects"]) == (1, {"has no tokens: 0 in and 0 out": 1})


def test_a_request_without_tokens_stays_one_in_a_trace_that_was_exported(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.csv"
    path.write_text("arrival,input_tokens,output_tokens\n2026-11-02T09:00:04Z,0,0\n2026-11-02T09:00:05Z,1,1\n")
    assert imported(cli, path)["rows_imported"] == 2


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # the API adds the sum of all keys, which are exclusive
        (
            {"usageDetails": {"input": 5, "input_cached_tokens": 95, "output": 10}, "usage": {"input": 100}},
            (100, 95, 10),
        ),
        (
            {
                "usageDetails": {
                    "input": 2, "cache_read_input_tokens": 10692, "cache_creation_input_tokens": 592, "output": 3,
                },
                "usage": {"input": 11286, "output": 3},
            },
            (11286, 10692, 3),
        ),
        (
            {"usageDetails": {"input": 2, "input_cache_read": 40, "input_cache_creation_5m": 8, "output": 3}},
            (50, 40, 3),
        ),
        (
            {"usageDetails": {"input": 50, "input_audio_tokens": 20, "output": 5, "output_reasoning_tokens": 95}},
            (70, 0, 100),
        ),
        ({"usageDetails": {"total": 75}, "usage": {"input": 70, "output": 5}}, (70, 0, 5)),
    ],
)  # fmt: skip
def test_langfuse_has_a_key_for_each_kind_of_token_and_all_add_up(
    usage: dict[str, Any], tokens: tuple[int, int, int], tmp_path: Path, cli: Cli
) -> None:
    account = imported(cli, lines(tmp_path / "l.jsonl", [{**records_of("langfuse"), **usage}]))
    assert (account["input_tokens"], account["cached_input_tokens"], account["output_tokens"]) == tokens


def test_a_kind_of_token_that_is_no_number_refuses_its_row(tmp_path: Path, cli: Cli) -> None:
    rows = [
        changed(records_of("langfuse"), {"id": f"o{place}", **told})
        for place, told in enumerate(
            [{}, {"usageDetails|input_audio_tokens": "many"}, {"usageDetails|cache_read_input_tokens": "many"}]
        )
    ]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert account["rows_imported"] == 1
    assert sum(account["rejects"].values()) == 2


def test_of_nested_generations_the_innermost_with_usage_is_the_call(tmp_path: Path, cli: Cli) -> None:
    whole = records_of("langfuse")
    rows = [
        {**whole, "id": "outer"},
        {**whole, "id": "between", "type": "SPAN", "parentObservationId": "outer", "usageDetails": {}},
        {**whole, "id": "inner", "parentObservationId": "between"},
        {**whole, "id": "alone", "parentObservationId": "elsewhere"},
        {**whole, "id": "above", "startTime": "2026-11-02T09:00:09Z"},
        {**whole, "id": "failed", "parentObservationId": "above", "level": "ERROR", "usageDetails": {}},
    ]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert (account["rows_imported"], account["rows_left_out"]) == (3, 1)
    assert account["rejects"] == {
        "failed: level is ERROR": 1,
        "sums up the model calls below it, which are counted themselves": 1,
    }


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("helicone", ("request_id", "provider", "prompt_tokens", "prompt_cache_read_tokens")),
        (
            "envoy",
            ("x", "gen_ai.provider.name", "gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens"),
        ),
    ],
)
def test_each_provider_of_a_gateway_tells_where_its_cached_tokens_lie(
    name: str, fields: tuple[str, str, str, str], tmp_path: Path, cli: Cli
) -> None:
    told = [(f"o{place}", "OPENAI", 100, 80) for place in range(9)] + [("a", "ANTHROPIC", 5, 1000)]
    rows = [{**records_of(name), **dict(zip(fields, row, strict=True))} for row in told]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert (account["rows_imported"], account["input_tokens"]) == (10, 9 * 100 + 1005)
    assert account["cached_input_tokens"] == 9 * 80 + 1000


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("openai-batch", "response|body|usage|prompt_tokens"),
        ("kong", "ai|proxy|usage|prompt_tokens"),
        ("openrouter", "native_tokens_prompt"),
    ],
)
def test_a_damaged_row_does_not_change_what_a_format_defines(name: str, usage: str, tmp_path: Path, cli: Cli) -> None:
    one = records_of(name)
    key = "request|id" if name == "kong" else "id"
    rows = [changed(one, {key: f"r{place}", usage: 50 if place == 9 else 100}) for place in range(10)]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert account["rejects"] == {"cached tokens exceed the input tokens": 1}
    assert (account["input_tokens"], account["cached_input_tokens"]) == (900, 540)


def test_times_of_log_analytics_are_in_utc_whatever_the_zone_of_the_trace(tmp_path: Path, cli: Cli) -> None:
    path = written(tmp_path / "l.csv", "azure-apim", APIM)
    account = imported(cli, path, "--timezone", "Asia/Shanghai")
    assert account["first_arrival"] == "2026-11-02T17:00:04+08:00"
    generic = ["--format", "csv", "--column", "arrival=TimeGenerated [UTC]", "--column", "input_tokens=PromptTokens"]
    result = cli(
        "trace", "import", str(path), "--name", "own", "--json", "--timezone", "Asia/Shanghai",
        *generic, "--column", "output_tokens=CompletionTokens",
    )  # fmt: skip
    assert result.json["first_arrival"] == "2026-11-02T17:00:04+08:00"
    local = cli(
        "trace", "import", str(path), "--name", "local", "--json", "--timezone", "Asia/Shanghai",
        "--constant", "arrival=2026-11-02T09:00:04",
    )  # fmt: skip
    assert local.json["first_arrival"] == "2026-11-02T09:00:04+08:00"


def test_a_long_message_of_log_analytics_is_one_call_in_several_rows(tmp_path: Path, cli: Cli) -> None:
    rows = [{**APIM, "RequestId": "r", "SequenceNumber": place} for place in range(2)]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert (account["rows_imported"], account["input_tokens"]) == (1, 100)
    assert account["rejects"] == {"repeats request id: another row has the same": 1}


def test_a_day_without_usage_is_a_window_without_demand(tmp_path: Path, cli: Cli) -> None:
    """Before, between and after days with some; --where keeps it, as it tells of no model."""
    days = [
        {
            "starting_at": f"2026-11-0{day}T00:00:00Z",
            "ending_at": f"2026-11-0{day + 1}T00:00:00Z",
            "results": [{**ANTHROPIC["data"][0]["results"][0], "model": "m"}] if day in (2, 4) else [],
        }
        for day in range(1, 6)
    ]
    path = tmp_path / "l.json"
    path.write_text(json.dumps({"data": days, "has_more": False}))
    for name, words in (("all", []), ("m", ["--where", "results.model=m"])):
        account = cli(
            "trace", "import", str(path), "--name", name, "--json", "--constant", "requests=2", *words
        ).json  # fmt: skip
        assert (account["rows_imported"], account["rows_rejected"], account["rows_left_out"]) == (5, 0, 0)
        assert (account["requests"], account["input_tokens"], account["output_tokens"]) == (4, 200, 10)
        assert account["first_arrival"] == "2026-11-01T00:00:00+00:00"
        assert account["last_arrival"].startswith("2026-11-05T23:59:59")


def test_what_an_access_log_does_not_tell_is_a_hyphen(tmp_path: Path, cli: Cli) -> None:
    absent = {"gen_ai.usage.cache_read.input_tokens": "-", "session.id": "-", "gen_ai.response.model": "-"}
    rows = [{**ENVOY, **absent}, {**ENVOY, "gen_ai.usage.input_tokens": "-"}]
    account = imported(cli, lines(tmp_path / "l.jsonl", rows))
    assert (account["rows_imported"], account["cached_unknown"]) == (1, 1)
    assert account["rejects"] == {"input_tokens is not a whole number from 0 to 2147483647": 1}
    assert "sessions" not in account or not account["sessions"]
    assert cli("sql", "SELECT count(session_id) AS sessions FROM request", "--format", "json").json == [{"sessions": 0}]
    assert cli("sql", "SELECT class FROM request_class", "--format", "json").json == [{"class": "m"}]


SPAN_TAGS = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": "100",
             "gen_ai.usage.output_tokens": "5"}  # fmt: skip
ZIPKIN = [{"traceId": "a1", "id": "b1", "name": "chat m", "timestamp": 1793610004000000, "duration": 5000,
           "tags": SPAN_TAGS}]  # fmt: skip
JAEGER = {"data": [{"traceID": "a1", "processes": {}, "spans": [
    {"traceID": "a1", "spanID": "b1", "operationName": "chat m", "references": [], "startTime": 1793610004000000,
     "duration": 5000, "tags": [{"key": key, "type": "string", "value": value} for key, value in SPAN_TAGS.items()]},
]}]}  # fmt: skip
OTEL_LOGS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [
    {"timeUnixNano": "1793610004000000000", "eventName": "gen_ai.client.inference.operation.details",
     "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in SPAN_TAGS.items()]},
    {"timeUnixNano": "1793610004000000000", "body": {"stringValue": "started"}, "attributes": []},
]}]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document", "refused"), [("zipkin", ZIPKIN, 0), ("jaeger", JAEGER, 0), ("otel-logs", OTEL_LOGS, 1)]
)
def test_spans_and_log_records_in_other_forms(
    name: str, document: object, refused: int, tmp_path: Path, cli: Cli
) -> None:
    account = imported(cli, written(tmp_path / "l.json", name, document))
    assert (account["format"], account["rows_imported"], account["rows_rejected"]) == ("otel", 1, refused)
    assert (account["input_tokens"], account["output_tokens"], account["first_arrival"]) == (100, 5, FIRST)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_export_of_langfuse_is_read_in_all_its_forms(suffix: str, tmp_path: Path, cli: Cli) -> None:
    rows = [EXPORTED, {**EXPORTED, "id": "o2", "type": "SPAN", "usage_details": {}}]
    path = tmp_path / f"l.{suffix}"
    if suffix == "csv":
        texts = [
            {key: json.dumps(each) if isinstance(each, dict) else each for key, each in row.items()} for row in rows
        ]
        pl.DataFrame(texts).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    account = imported(cli, path)
    assert (account["format"], account["rows_imported"], account["first_arrival"]) == ("langfuse-export", 1, FIRST)
    assert (account["input_tokens"], account["cached_input_tokens"], account["output_tokens"]) == (100, 60, 5)
    elsewhere = cli("trace", "import", str(path), "--name", "z", "--timezone", "Asia/Singapore", "--json").json
    assert elsewhere["first_arrival"] == "2026-11-02T17:00:04+08:00", "exports are in UTC, whatever --timezone says"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (usage_page(has_more=False, kind="organization.costs.result"), "is an answer of OpenAI's costs API"),
        (usage_page(has_more=False, kind="organization.usage.embeddings.result"), "is OpenAI's usage of embeddings"),
        ({"completed": 2, "total_input_tokens": 9, "total_output_tokens": 9}, "--save-result --save-detailed"),
        ({"version": 1, "experiments": []}, "is a profile export of GenAI-Perf"),
    ],
)
def test_what_is_known_and_cannot_be_read_says_what_to_export_instead(
    document: object, message: str, tmp_path: Path, cli: Cli
) -> None:
    result = cli("trace", "import", str(written(tmp_path / "l.json", "", document)), "--name", "t")
    assert result.code == 1
    assert message in result.err


def test_the_export_of_a_dashboard_says_what_to_export_instead(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.csv"
    path.write_text("start_time,end_time,start_time_iso,num_model_requests,input_tokens,output_tokens\n1,2,x,5,1,1\n")
    result = cli("trace", "import", str(path), "--name", "t")
    assert result.code == 1
    assert "is the CSV export of OpenAI's usage dashboard" in result.err
    assert "/v1/organization/usage/completions" in result.err
