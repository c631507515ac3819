"""Whatever the order of rows and files: rows are read or refused, unknown stays unknown, requests count once."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.store.staging import Lies, staging
from planner.trace.imports import readers as formats
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.parse import parse
from planner.trace.imports.unpacking import Log

OPTIONS = ImportOptions(timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))
Stored = tuple[int, int | None, int]
"""Input, cached and output tokens of a request."""


@dataclass(frozen=True)
class Row:
    """A row as a log tells it; None is what it does not tell."""

    number: int
    input: int | None
    cached: int | None
    written: int | None
    output: int | None


def rows(most: int) -> st.SearchStrategy[list[Row]]:
    """Rows that differ by their numbers. most: cached or written tokens."""
    count = st.none() | st.integers(0, 40)
    hits = st.none() | st.integers(0, most)
    fields = st.tuples(count, hits, hits, count)
    return st.lists(fields, min_size=1, max_size=8).map(lambda all_: [Row(n, *one) for n, one in enumerate(all_)])


def as_csv(told: Sequence[Row]) -> str:
    head = "request_id,arrival,input_tokens,cached_input_tokens,cache_creation_input_tokens,output_tokens"
    cells = ([f"r{r.number}", f"{r.number}", r.input, r.cached, r.written, r.output] for r in told)
    return "\n".join([head, *(",".join("" if cell is None else str(cell) for cell in row) for row in cells)]) + "\n"


def as_litellm(told: Sequence[Row]) -> str:
    def record(row: Row) -> dict[str, object]:
        usage = {"cache_read_input_tokens": row.cached, "cache_creation_input_tokens": row.written}
        own = {"request_id": f"r{row.number}", "startTime": f"2026-11-02T09:00:{row.number:02}Z", "model": "m"}
        tokens = {"prompt_tokens": row.input, "completion_tokens": row.output}
        return {**own, **tokens, "call_type": "completion", "metadata": {"usage_object": usage}}

    return "".join(json.dumps(record(row)) + "\n" for row in told)


def as_spans(told: Sequence[Row]) -> str:
    def record(row: Row) -> dict[str, object]:
        named = {
            "gen_ai.usage.input_tokens": row.input,
            "gen_ai.usage.cache_read.input_tokens": row.cached,
            "gen_ai.usage.cache_creation.input_tokens": row.written,
            "gen_ai.usage.output_tokens": row.output,
        }
        own = {"trace_id": "t", "span_id": f"s{row.number}", "start_time": f"2026-11-02T09:00:{row.number:02}Z"}
        return {**own, "attributes": {key: value for key, value in named.items() if value is not None}}

    return "".join(json.dumps(record(row)) + "\n" for row in told)


WRITERS = {"csv": as_csv, "litellm": as_litellm, "otel": as_spans}


def read(
    folder: Path, name: str, files: Sequence[Sequence[Row]], cached: Lies | None = None
) -> tuple[Counter[Stored], int]:
    """The requests that an import of several files stores, and how many rows it reads."""
    with staging(cached=cached) as stage:
        for index, told in enumerate(files):
            path = folder / f"{index}.log"
            path.write_text(WRITERS[name](told))
            parse(stage, index, Log(path), formats.readers()[name], OPTIONS)
        counts = stage.request_counts()
        columns = ["input_tokens", "cached_input_tokens", "output_tokens"]
        batches = stage.requests(columns, 1000, numbered_sessions=False)
        found = Counter(tuple(row.values()) for batch in batches for row in batch.to_pylist())
        assert counts.rows_imported == found.total()
        assert sum(stage.reasons().values()) == counts.rows_rejected
        return found, counts.rows_read  # type: ignore[return-value]


def expected(told: Sequence[Row], name: str, cached: Lies | None) -> Counter[Stored]:
    """What the rules make of rows with ids of their own."""
    whole = [row for row in told if row.input is not None and row.output is not None]
    if name != "csv":
        whole = [row for row in whole if row.input or row.output or row.cached or (row.written and name == "otel")]
    outside = cached or ("outside" if any(beyond(row) > 0 for row in whole) else "inside")
    if outside == "inside":
        return Counter((row.input or 0, row.cached, row.output or 0) for row in whole if beyond(row) <= 0)
    added = ((row.cached or 0) + (row.written or 0) for row in whole)
    return Counter(
        ((row.input or 0) + more, row.cached, row.output or 0) for row, more in zip(whole, added, strict=True)
    )


def beyond(row: Row) -> int:
    """By how much cached tokens exceed the input, if there are any."""
    hits = (row.cached or 0) + (row.written or 0)
    return hits - (row.input or 0) if hits else 0


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=6, deadline=None)
@given(rows(60) | rows(3), st.sampled_from([None, "inside", "outside"]))
def test_every_row_is_stored_by_the_rules_or_refused_and_unknown_stays_unknown(
    tmp_path_factory: pytest.TempPathFactory, name: str, told: list[Row], cached: Lies | None
) -> None:
    found, rows_read = read(tmp_path_factory.mktemp("rows"), name, [told], cached)
    assert rows_read == len(told)
    assert found == expected(told, name, cached)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=4, deadline=None)
@given(rows(60) | rows(3), st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_files_and_sending_again_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, told: list[Row], random: object, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    found, _ = read(folder, name, [told])
    mixed = list(told)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    files = [part for part in (mixed[:cut], mixed[cut:], told) if part]
    again, rows_read = read(folder, name, files)
    assert rows_read == 2 * len(told)
    assert again == found
