"""Texts that were cut inside a character, as loggers cut prompts: no format reads them, and they cost no record."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planner.store import Store
from planner.trace.imports import surrogates
from tests.helpers.imports import imported, requests_of, write

RECORD = {"startTime": "2026-11-02T09:00:00Z", "prompt_tokens": 100, "completion_tokens": 5}
HALVES = {
    r"\ud83d": r"\ufffd", r"x\uDE00": r"x\ufffd", r"\ud83d\ud83d\ude00": r"\ufffd\ud83d\ude00",
    r"\ud83d\\ude00": r"\ufffd\\ufffd", r"\\ud83d\ude00": r"\\ufffd\ufffd",  # a backslash, and text
    r"\ud83d\ude00": r"\ud83d\ude00", r"\\\ud83d\ude00": r"\\\ud83d\ude00",  # whole, after a backslash too
    r"\\ud83d\\ude00": r"\\ud83d\\ude00", r"\u00e9 \ucafe": r"\u00e9 \ucafe",
}  # fmt: skip


@pytest.mark.parametrize("half", HALVES)
def test_half_a_character_is_one_that_is_none(half: str) -> None:
    assert surrogates.whole_text(half) == HALVES[half]


@pytest.mark.parametrize("shape", ["lines", "array", "spans", "csv"])
def test_a_text_that_was_cut_inside_a_character_costs_no_record(store: Store, tmp_path: Path, shape: str) -> None:
    cut = r'"prompt": "\ud83d"'
    row = f"{json.dumps(RECORD)[:-1]}, {cut}}}"
    usage = f'{{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 5, {cut}}}'
    span = f'{{"startTimeUnixNano": "1793610000000000000", "attributes": {usage}}}'
    quoted = f'{{""in"": 100, {cut.replace(chr(34), chr(34) * 2)}}}'
    text = {
        "lines": f"{row}\n{row}\n",
        "array": f"[{row},\n{row}]",
        "spans": f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{span}, {span}]}}]}}]}}\n',
        "csv": f'arrival,usage,output_tokens\n2026-11-02T09:00:00Z,"{quoted}",5\n2026-11-02T09:00:01Z,"{quoted}",5\n',
    }[shape]
    columns = {"columns": {"input_tokens": "usage.in"}} if shape == "csv" else {}
    outcome = imported(store, write(tmp_path / "l.txt", text), "csv" if columns else "auto", **columns)
    assert (outcome.rows_read, outcome.rows) == (2, 2)


def test_half_a_character_inside_json_of_a_parquet_column_costs_nothing_else(store: Store, tmp_path: Path) -> None:
    details = '{"prompt_tokens_details": {"cached_tokens": 4}}'
    metadata = [
        f'{{"usage_object": {details}, "prompt": "\\ud83d"}}',
        '{"status": "failure", "prompt": "\\ud83d"}',
        "no JSON",
    ]
    columns = {"startTime": ["2026-11-02T09:00:00Z"] * 3, "prompt_tokens": [10] * 3, "completion_tokens": [2] * 3}
    pq.write_table(pa.table({**columns, "metadata": metadata}), tmp_path / "l.parquet")
    assert imported(store, tmp_path / "l.parquet", "litellm").rejects == {"failed: status in metadata is failure": 1}
    assert [row[1:] for row in requests_of(store)] == [(10, 4, 2), (10, None, 2)]
