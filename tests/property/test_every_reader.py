"""Every reader of files: rows are stored or refused, unknown never becomes 0, and order and files change nothing."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.store.staging import staging
from planner.trace.imports import readers as formats
from planner.trace.imports.job import ImportOptions, clock_of
from planner.trace.imports.opening import open_logs
from planner.trace.imports.parse import parse
from planner.trace.imports.told_by_rows import settle

OPTIONS = ImportOptions(timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))
START_S = 1_793_610_000


@dataclass(frozen=True)
class Row:
    """A request, or the demand of a minute, as a log tells it; None is what it does not tell."""

    number: int
    input: int | None
    cached: int | None
    output: int | None

    @property
    def at_s(self) -> int:
        return START_S + 60 * self.number

    @property
    def at(self) -> str:
        return f"{datetime.fromtimestamp(self.at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Rows of which some lack something. Cached tokens are at most the input, so that no row proves anything."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        input_ = draw(st.none() | st.integers(1, 60))
        cached = draw(st.none() | st.integers(0, 60 if input_ is None else input_))
        found.append(Row(number, input_, cached, draw(st.none() | st.integers(1, 60))))
    return found


@dataclass(frozen=True)
class Form:
    """How a format writes a row.

    time: where its time is, and the time. input, cached, output, id: where they are, as paths with bars; no cached
    tokens or no id where the format has none. more: what else a record has. outside: whether input leaves cached tokens
    out. whole: a document around the records; otherwise they are one a line, or rows of a table.
    """

    time: Callable[[Row], dict[str, Any]]
    input: str
    output: str
    cached: str | None = None
    id: str | None = None
    more: Callable[[Row], dict[str, Any]] = field(default=lambda _: {})
    kind: str = "json"
    outside: bool = False
    is_absolute: bool = True
    whole: Callable[[list[dict[str, Any]]], object] | None = None
    constants: dict[str, str] = field(default_factory=dict)

    def record(self, row: Row) -> dict[str, Any]:
        told: dict[str, object] = {self.input: row.input, self.output: row.output}
        if self.cached and (row.cached is not None or row.number % 2):  # what is not told is left out, or null
            told[self.cached] = row.cached
        if self.id:
            told[self.id] = f"r{row.number}"
        record: dict[str, Any] = {}
        for path, value in {**self.time(row), **self.more(row), **told}.items():
            place, *keys = (record, *path.split("|"))
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place[keys[-1]] = value
        return record

    def written(self, rows: Sequence[Row]) -> bytes:
        records = [self.record(row) for row in rows]
        names = list(dict.fromkeys(name for record in records for name in record))
        if self.kind == "csv":
            text = io.StringIO()
            table = csv.DictWriter(text, names, restval="")
            table.writeheader()
            table.writerows(records)
            return text.getvalue().encode()
        if self.kind == "parquet":
            whole = io.BytesIO()
            columns = {name: [record.get(name) for record in records] for name in names}
            numbers = {name: pl.Int64 for name in columns if name.endswith("tokens")}
            pl.DataFrame(columns, schema_overrides=numbers).write_parquet(whole)
            return whole.getvalue()
        if self.whole:
            return json.dumps(self.whole(records)).encode()
        return "".join(json.dumps(record) + "\n" for record in records).encode()


def at(name: str) -> Callable[[Row], dict[str, Any]]:
    return lambda row: {name: row.at}


def seconds(name: str, of: int = 1, since_s: int = 0) -> Callable[[Row], dict[str, Any]]:
    return lambda row: {name: (row.at_s - since_s) * of}


def window(first: str, end: str) -> Callable[[Row], dict[str, Any]]:
    return lambda row: {first: row.at, end: Row(row.number + 1, 1, 1, 1).at}


OWN = {"input": "input_tokens", "cached": "cached_input_tokens", "output": "output_tokens"}
USAGE = "response|body|usage|"
PROXY = "ai|proxy|usage|"
GEN = "attributes|gen_ai.usage."
FORMS = {
    "csv": Form(at("arrival"), **OWN, id="request_id", kind="csv"),
    "jsonl": Form(at("arrival"), **OWN, id="request_id"),
    "parquet": Form(at("arrival"), **OWN, id="request_id", kind="parquet"),
    "windows": Form(window("window_start", "window_end"), **OWN, more=lambda _: {"requests": 1}, kind="csv"),
    "azure": Form(at("TIMESTAMP"), "ContextTokens", "GeneratedTokens", kind="csv"),
    "azure-lmm": Form(at("TIMESTAMP"), "ContextTokens", "GeneratedTokens", more=lambda _: {"NumImages": 0}, kind="csv"),
    "burstgpt": Form(
        seconds("Timestamp", since_s=START_S), "Request tokens", "Response tokens", more=lambda _: {"Model": "m"},
        kind="csv",
    ),
    "qwen": Form(
        seconds("timestamp", since_s=START_S), "input_length", "output_length",
        more=lambda row: {"chat_id": row.number, "parent_chat_id": -1, "type": "text"},
    ),
    "mooncake": Form(seconds("timestamp", 1000, START_S), "input_length", "output_length", is_absolute=False),
    "aiperf": Form(
        seconds("metadata|request_start_ns", 10**9), "metrics|usage_prompt_tokens|value",
        "metrics|usage_completion_tokens|value", "metrics|usage_prompt_cached_tokens|value", "metadata|x_request_id",
    ),
    "inference-perf": Form(
        seconds("start_time"), "info|response_metrics|server_usage|prompt_tokens",
        "info|response_metrics|server_usage|completion_tokens",
        "info|response_metrics|server_usage|prompt_tokens_details|cached_tokens",
        more=lambda row: {"end_time": row.at_s + 1},
    ),
    "litellm": Form(
        at("startTime"), "prompt_tokens", "completion_tokens",
        "metadata|usage_object|prompt_tokens_details|cached_tokens", "request_id",
        more=lambda _: {"model": "m", "call_type": "completion", "status": "success"},
    ),
    "otel": Form(
        at("start_time"), f"{GEN}input_tokens", f"{GEN}output_tokens", f"{GEN}cache_read.input_tokens", "span_id",
        more=lambda _: {"trace_id": "t", "attributes|gen_ai.operation.name": "chat"},
    ),
    "openai-usage": Form(
        seconds("start_time"), "input_tokens", "output_tokens", "input_cached_tokens",
        more=lambda row: {"end_time": row.at_s + 60, "num_model_requests": 1},
        whole=lambda records: {"object": "page", "data": [
            {"object": "bucket", "start_time": one.pop("start_time"), "end_time": one.pop("end_time"), "results": [one]}
            for one in records
        ]},
    ),
    "anthropic-usage": Form(
        window("starting_at", "ending_at"), "uncached_input_tokens", "output_tokens", "cache_read_input_tokens",
        outside=True, constants={"requests": "1"},
        whole=lambda records: {"data": [
            {"starting_at": one.pop("starting_at"), "ending_at": one.pop("ending_at"), "results": [one]}
            for one in records
        ]},
    ),
    "azure-apim": Form(at("TimeGenerated"), "PromptTokens", "CompletionTokens", kind="csv"),
    "bedrock": Form(
        at("timestamp"), "input|inputTokenCount", "output|outputTokenCount", "input|cacheReadInputTokenCount",
        "requestId", more=lambda _: {"modelId": "m"}, outside=True,
    ),
    "cloudflare": Form(
        at("created_at"), "tokens_in", "tokens_out", id="id", more=lambda _: {"cached": False, "success": True}
    ),
    "envoy": Form(
        at("start_time"), "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
    ),
    "guidellm": Form(
        seconds("request_start_time"), "prompt_tokens", "output_tokens", id="request_id",
        whole=lambda records: {"benchmarks": [{"requests": {"successful": records, "errored": []}}]},
    ),
    "helicone": Form(
        at("request_created_at"), "prompt_tokens", "completion_tokens", "prompt_cache_read_tokens", "request_id"
    ),
    "kong": Form(
        seconds("started_at", 1000), f"{PROXY}prompt_tokens", f"{PROXY}completion_tokens",
        f"{PROXY}prompt_tokens_details|cached_tokens", "request|id",
    ),
    "langfuse": Form(
        at("startTime"), "usageDetails|input", "usageDetails|output", "usageDetails|cache_read_input_tokens", "id",
        more=lambda _: {"type": "GENERATION", "traceId": "t", "model": "m"}, outside=True,
    ),
    "langfuse-export": Form(
        at("start_time"), "usage_details|input", "usage_details|output", "usage_details|input_cached_tokens", "id",
        more=lambda _: {"type": "GENERATION", "trace_id": "t", "provided_model_name": "m"}, outside=True,
    ),
    "openai-batch": Form(
        seconds("response|body|created"), f"{USAGE}prompt_tokens", f"{USAGE}completion_tokens",
        f"{USAGE}prompt_tokens_details|cached_tokens", "id",
        more=lambda _: {"custom_id": "1", "response|status_code": 200},
    ),
    "openrouter": Form(
        at("created_at"), "native_tokens_prompt", "native_tokens_completion", "native_tokens_cached", "id"
    ),
    "vllm-bench": Form(
        seconds("start_times", since_s=START_S), "input_lens", "output_lens", is_absolute=False,
        whole=lambda records: {
            "model_id": "m", "errors": [""] * len(records),
            **{name: [one.get(name) for one in records] for name in ("start_times", "input_lens", "output_lens")},
        },
    ),
}  # fmt: skip
Stored = Counter[tuple[int, int, int | None, int]]
"""Second of arrival, input, cached and output tokens."""


def test_every_reader_of_files_has_a_form_here() -> None:
    of_files = {name for name, reader in formats.readers().items() if not {"folder", "url"} & set(reader.containers)}
    assert of_files == set(FORMS)


def read(folder: Path, name: str, files: Sequence[Sequence[Row]]) -> tuple[Stored, int, int]:
    """What an import of several files stores, how many rows it reads, and how many it refuses."""
    form = FORMS[name]
    paths = [folder / f"{place}.{form.kind}" for place in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        path.write_bytes(form.written(rows))
    stated = ImportOptions(timezone="UTC", start=OPTIONS.start, constants=form.constants)
    opened = open_logs(paths, name, stated, None)
    kind = "window" if opened.reader.demand else "request"
    with staging(kind, clock_of(opened.options), opened.options.cached) as stage:
        for index, log in enumerate(opened.logs):
            parse(stage, index, log, opened.reader, opened.options)
        columns = ["arrival_us", "input_tokens", "cached_input_tokens", "output_tokens"]
        if kind == "window":
            counts = stage.window_counts()
            found = stage.windows().select("start_us", *columns[1:]).rows()
        else:
            settle(stage, opened.reader, opened.options)
            counts = stage.request_counts()
            batches = stage.requests(columns, 1000, numbered_sessions=False)
            found = [tuple(row[column] for column in columns) for batch in batches for row in batch.to_pylist()]
        assert (counts.rows_imported, counts.rows_rejected) == (len(found), sum(stage.reasons().values()))
    return Counter((at_us // 10**6, *tokens) for at_us, *tokens in found), counts.rows_read, counts.rows_rejected


def expected(rows: Sequence[Row], form: Form) -> Stored:
    """Rows whose input and output are told, with the cached tokens where the format has any."""
    found: Stored = Counter()
    for row in rows:
        if row.input is not None and row.output is not None:
            cached = row.cached if form.cached else None
            whole = row.input + (cached or 0) * form.outside
            found[row.at_s, whole, cached, row.output] += 1
    return found


def without_times(stored: Stored) -> Counter[tuple[int | None, ...]]:
    found: Counter[tuple[int | None, ...]] = Counter()
    for (_, *tokens), count in stored.items():
        found[tuple(tokens)] += count
    return found


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=4, deadline=None)
@given(logs())
def test_every_row_is_stored_or_refused_and_unknown_is_not_zero(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[Row]
) -> None:
    found, rows_read, refused = read(tmp_path_factory.mktemp("rows"), name, [rows])
    assert rows_read == len(rows) == found.total() + refused
    assert without_times(found) == without_times(expected(rows, FORMS[name]))


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.is_absolute])
@settings(max_examples=3, deadline=None)
@given(logs(), st.randoms(use_true_random=False), st.integers(1, 11))
def test_order_and_files_change_nothing_and_rows_with_ids_count_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[Row], random: Any, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    mixed = list(rows)
    random.shuffle(mixed)
    again = rows if FORMS[name].id else []
    found, rows_read, _ = read(folder, name, [part for part in (mixed[:cut], mixed[cut:], again) if part])
    assert rows_read == len(rows) + len(again)
    since_s = 0 if min((key[0] for key in found), default=START_S) >= START_S else START_S
    assert Counter({(at_s + since_s, *rest): count for (at_s, *rest), count in found.items()}) == expected(
        rows, FORMS[name]
    )
