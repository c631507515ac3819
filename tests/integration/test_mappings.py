"""The mappings that are shipped: each reads a small log in the form that its source documents, found by its content."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from planner.trace.imports.mapping import ready_mappings
from tests.conftest import Cli

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
    "openai-batch": (BATCH, (100, 60, 5)),
    "openrouter": (OPENROUTER, (100, 60, 5)),
}
"""By format: a log in its documented form, and the tokens of its one request at FIRST."""


def written(path: Path, name: str, document: object) -> Path:
    if name == "azure-apim":
        assert isinstance(document, dict)
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(document))
            table.writeheader()
            table.writerow(document)
    else:
        path.write_text(json.dumps(document) + "\n")
    return path


def imported(cli: Cli, path: Path, *words: str) -> dict[str, Any]:
    result = cli("trace", "import", str(path), "--name", "t", "--json", *words)
    assert result.code == 0, result.err
    found: dict[str, Any] = result.json
    return found


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
    assert "1 rows left out by --where type=GENERATION" in account["notes"]


def test_columns_of_arrays_are_rows_and_count_from_the_first(tmp_path: Path, cli: Cli) -> None:
    path = written(tmp_path / "l.json", "vllm-bench", VLLM)
    account = imported(cli, path, "--start", "2026-11-02T09:00:04Z")
    assert (account["format"], account["rows_imported"], account["rows_left_out"]) == ("vllm-bench", 2, 1)
    assert (account["input_tokens"], account["output_tokens"]) == (300, 11)
    assert (account["first_arrival"], account["last_arrival"]) == (FIRST, "2026-11-02T09:00:04.760000+00:00")


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


def usage_page(
    *, has_more: bool, kind: str = "organization.usage.completions.result", start_s: int = 1793577600
) -> Any:
    result = {
        "object": kind,
        "input_tokens": 100,
        "output_tokens": 5,
        "input_cached_tokens": 60,
        "num_model_requests": 2,
    }
    bucket = {"object": "bucket", "start_time": start_s, "end_time": start_s + 3600, "results": [result]}
    return {"object": "page", "data": [bucket], "has_more": has_more, "next_page": "x" if has_more else None}


def test_a_page_that_is_not_the_last_is_said_to_be_incomplete(tmp_path: Path, cli: Cli) -> None:
    first = written(tmp_path / "1.json", "", usage_page(has_more=True))
    assert any("the log is incomplete" in note for note in imported(cli, first)["notes"])
    written(tmp_path / "2.json", "", usage_page(has_more=False, start_s=1793581200))
    whole = cli("trace", "import", str(tmp_path / "*.json"), "--name", "whole", "--json").json
    assert whole["notes"] == []
    assert whole["requests"] == 4


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
