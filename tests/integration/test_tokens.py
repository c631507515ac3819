"""What tokens and ids of a log mean: input is all that was read, unknown is not zero, and a call counts once."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from planner.store import Store
from tests.conftest import Cli
from tests.helpers.imports import requests_of

CSV = "arrival,input_tokens,cached_input_tokens,output_tokens"
UNKNOWN = "cached input is unknown for {} of {} requests; planned as none cached"
AT = "2026-11-02T09:00:0"
START = "1793610000000000000"  # the same in nanoseconds


def read(cli: Cli, path: str | Path, *options: str, name: str = "t") -> dict[str, Any]:
    result = cli("trace", "import", str(path), "--name", name, "--json", *options)
    assert result.code == 0, result.err
    found: dict[str, Any] = result.json
    assert found["rows_read"] == found["rows_imported"] + found["rows_rejected"]
    return found


def table(name: str, header: str, *rows: str) -> str:
    Path(name).write_text("\n".join([header, *rows]) + "\n")
    return name


def lines(name: str, *records: Mapping[str, Any]) -> str:
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return name


def tokens(store: Store, name: str = "t") -> list[tuple[int, ...]]:
    """Input, cached and output tokens of every request."""
    return [row[1:] for row in requests_of(store, name)]


# where cached tokens lie


def test_a_row_with_more_cached_than_input_tokens_tells_where_those_of_the_log_lie(cli: Cli, store: Store) -> None:
    found = read(cli, table("l.csv", CSV, f"{AT}0Z,191,2304,291", f"{AT}1Z,3000,1000,10", f"{AT}2Z,7,,1"))
    assert tokens(store) == [(2495, 2304, 291), (4000, 1000, 10), (7, None, 1)]
    assert "1 of 2 rows with cached tokens have more of these than of those" in found["notes"][0]
    assert found["notes"][1:] == [UNKNOWN.format(1, 3)]
    assert found["cached_unknown"] == 1


def test_one_row_in_a_hundred_is_taken_for_damaged_and_more_for_proof(cli: Cli, store: Store) -> None:
    plain = [f"{AT}0Z,100,10,5"] * 198
    few = read(cli, table("few.csv", CSV, *plain, *[f"{AT}1Z,100,500,5"] * 2), name="few")
    assert few["rejects"] == {"cached tokens exceed the input tokens": 2}
    assert any("2 of 200 rows with cached tokens" in note and "too few" in note for note in few["notes"])
    assert set(tokens(store, "few")) == {(100, 10, 5)}
    enough = read(cli, table("enough.csv", CSV, *plain, *[f"{AT}1Z,100,500,5"] * 3), name="enough")
    assert enough["rejects"] == {}
    assert set(tokens(store, "enough")) == {(110, 10, 5), (600, 500, 5)}


def test_where_no_row_tells_cached_tokens_are_taken_to_be_inside_and_that_is_said(cli: Cli, store: Store) -> None:
    log = table("l.csv", CSV, f"{AT}0Z,3000,1000,10")
    assert "state it with --cached outside" in read(cli, log)["notes"][0]
    assert read(cli, log, "--cached", "inside", name="inside")["notes"] == []
    assert read(cli, log, "--cached", "outside", name="outside")["notes"] == []
    assert [tokens(store, name) for name in ("t", "inside", "outside")] == [
        [(3000, 1000, 10)],
        [(3000, 1000, 10)],
        [(4000, 1000, 10)],
    ]


def test_tokens_written_to_a_cache_are_input_that_is_not_cached(cli: Cli, store: Store) -> None:
    header = "arrival,input_tokens,cached_input_tokens,cache_creation_input_tokens,output_tokens"
    log = table("l.csv", header, f"{AT}0Z,5,128955,1253,300", f"{AT}1Z,5,0,130208,300")
    read(cli, log)
    assert tokens(store) == [(130_213, 128_955, 300), (130_213, 0, 300)]


def test_rows_that_break_what_is_stated_are_refused(cli: Cli) -> None:
    log = table("l.csv", CSV, f"{AT}0Z,10,11,1", f"{AT}1Z,2147483647,1,1", f"{AT}2Z,5,1,1")
    assert read(cli, log, "--cached", "inside")["rejects"] == {"cached tokens exceed the input tokens": 1}
    outside = read(cli, log, "--cached", "outside", name="outside")["rejects"]
    assert outside == {"input and cached tokens together exceed 2147483647": 1}


def test_windows_follow_the_same_rule(cli: Cli) -> None:
    header = "window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens"
    rows = [f"{AT}0Z,{AT}1Z,2,10,90,5", f"{AT}1Z,{AT}2Z,1,10,,5", f"{AT}2Z,{AT}3Z,1,100,50,5"]
    found = read(cli, table("w.csv", header, *rows))
    assert (found["input_tokens"], found["cached_input_tokens"], found["cached_unknown"]) == (260, 140, 1)
    stored = cli("sql", "SELECT cached_input_tokens AS c FROM demand_window ORDER BY ALL", "--format", "json").json
    assert [row["c"] for row in stored] == [50, 90, None]


def test_cached_is_refused_where_there_is_nothing_to_state(cli: Cli) -> None:
    log = table("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens", "2026-11-02 09:00:00,1,1")
    refused = cli("trace", "import", log, "--name", "a", "--cached", "inside")
    assert (refused.code, "has no cached tokens; leave it out" in refused.err) == (2, True)
    told = lines("p.jsonl", {"request_start_ns": 1, "input_sequence_length": 1, "output_sequence_length": 1})
    refused = cli("trace", "import", told, "--name", "a", "--cached", "inside")
    assert (refused.code, "tells where they lie; leave it out" in refused.err) == (2, True)
    refused = cli("trace", "import", log, "--name", "a", "--cached", "both")
    assert (refused.code, "use inside" in refused.err) == (2, True)
    plain = table("l.csv", "arrival,input_tokens,output_tokens", f"{AT}0Z,1,1")
    assert read(cli, plain, "--cached", "outside")["notes"][0].startswith("--cached has no effect")


# unknown is not zero


def test_unknown_cached_tokens_stay_unknown_and_are_planned_as_none(cli: Cli, store: Store) -> None:
    rows = [f"2026-11-02T{hour:02}:00:00Z,1000,{'' if hour % 2 else 500},10" for hour in range(24)]
    found = read(cli, table("l.csv", CSV, *rows), "--cached", "inside")
    assert (found["cached_unknown"], found["notes"]) == (12, [UNKNOWN.format(12, 24)])
    planned = cli("plan", "--trace", "t", "--json").json
    assert UNKNOWN.format(12, 24) in planned["notes"]
    assert planned["cache_hit_ratio"] == 0.25
    shown = cli("trace", "show", "t", "--json").json
    lengths = {row["field"]: row["mean"] for row in shown["lengths"]}
    assert (shown["cached_unknown"], lengths["cached_input_tokens"]) == (12, 500)
    assert cli("trace", "export", "t", "--out", "out.csv").code == 0
    read(cli, "out.csv", "--cached", "inside", name="again")
    assert tokens(store, "again") == tokens(store)


def test_a_trace_of_which_no_row_tells_hits_has_no_hit_ratio(cli: Cli) -> None:
    read(cli, table("l.csv", "arrival,input_tokens,output_tokens", f"{AT}0Z,100,1"))
    assert cli("trace", "show", "t", "--json").json["cache_hit_ratio"] is None


SPELLED = {
    "100.0": 100, "1e3": 1000, "1.0E+02": 100, "1,234": 1234, "1 234": 1234, "+100": 100, "0100": 100,
    "1,234,567": 1_234_567, "1.5e1": 15, "1.5": None, "1.234": None, "100,0": None, "1e-1": None, "-1": None,
    "NaN": None, "null": None, "": None, "2147483648": None, "3e9": None, "1,23": None, "1,234 567": None, "x1": None,
    "1.000": None, "12.000": None, "250.000": None, "12.": 12, "12.0": 12, "12.00": 12, "12.0000": 12, "1000.000": 1000,
    "0.000": 0, "1,234.000": 1234,
}  # fmt: skip


def test_numbers_of_tokens_are_read_where_they_mean_one_thing(cli: Cli, store: Store) -> None:
    rows = [f'{AT}0Z,"{text}",{place}' for place, text in enumerate(SPELLED)]
    account = read(cli, table("l.csv", "arrival,input_tokens,output_tokens", *rows))
    found = {row[2]: row[0] for row in tokens(store)}
    assert {text: found.get(place) for place, text in enumerate(SPELLED)} == SPELLED
    assert account["rows_rejected"] == list(SPELLED.values()).count(None)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_numbers_that_are_no_texts_mean_one_thing_with_any_decimals(cli: Cli, store: Store, suffix: str) -> None:
    if suffix == "jsonl":
        Path("l.jsonl").write_text(f'{{"arrival": "{AT}0Z", "input_tokens": 12.000, "output_tokens": 1}}\n')
    else:
        number = pl.Series([Decimal("12.000")], dtype=pl.Decimal(10, 3))
        pl.DataFrame({"arrival": [f"{AT}0Z"], "input_tokens": number, "output_tokens": [1]}).write_parquet("l.parquet")
    read(cli, f"l.{suffix}")
    assert tokens(store) == [(12, None, 1)]


NO_NUMBER = "input_tokens is not a whole number from 0 to 2147483647"


def test_a_sum_of_what_is_told_has_no_part_that_cannot_be_read(cli: Cli, store: Store) -> None:
    parts = [("x", "2"), ("1", "-2"), ("1", "2.5"), ("", "2"), ("null", "2"), ("1", "2"), ("", "")]
    rows = [f"{AT}{second}Z,{one},{other},7" for second, (one, other) in enumerate(parts)]
    log = table("l.csv", "arrival,one,other,output_tokens", *rows)
    found = read(cli, log, "--format", "csv", "--column", "input_tokens=one + other")
    assert tokens(store) == [(2, None, 7), (2, None, 7), (3, None, 7)]
    assert found["rejects"] == {NO_NUMBER: 4}


def test_a_number_told_twice_is_refused_where_one_of_them_cannot_be_read(cli: Cli, store: Store) -> None:
    Path("m.toml").write_text(
        'format = "csv"\n[columns]\narrival = "at"\ninput_tokens = ["one", "other"]\noutput_tokens = "out"\n'
    )
    told = [("0", "8"), ("", "8"), ("8", "3"), ("-5", "8"), ("8", "x"), ("8", "2.5")]
    rows = [f"{AT}{second}Z,{one},{other},7" for second, (one, other) in enumerate(told)]
    found = read(cli, table("l.csv", "at,one,other,out", *rows), "--mapping", "m.toml")
    assert tokens(store) == [(8, None, 7)] * 3
    assert found["rejects"] == {NO_NUMBER: 3}
    span = {"attributes": {"gen_ai.usage.input_tokens": 8, "gen_ai.usage.output_tokens": 7}, "startTimeUnixNano": START}
    damaged = {**span, "attributes": {**span["attributes"], "gen_ai.usage.prompt_tokens": -5}}
    found = read(cli, lines("o.jsonl", span, damaged), name="spans")
    assert tokens(store, "spans") == [(8, None, 7)]
    assert found["rejects"] == {"input tokens are not a whole number from 0 to 2147483647": 1}


# LiteLLM


def test_payloads_of_litellms_loggers_start_at_numbers_and_have_ids_of_their_own(cli: Cli, store: Store) -> None:
    payload = {
        "id": "chatcmpl-1", "trace_id": "t", "call_type": "acompletion", "status": "success", "stream": True,
        "startTime": 1_793_610_000.123, "endTime": 1_793_610_003.5, "prompt_tokens": 100, "completion_tokens": 10,
        "model": "m", "model_group": "g", "response_cost": 0.1, "cache_hit": None,
        "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 64}}},
    }  # fmt: skip
    others = [
        {**payload, "id": f"chatcmpl-{number}", "startTime": at} for number, at in ((2, 1_793_610_001_000), (3, 5))
    ]
    found = read(cli, lines("l.jsonl", payload, payload, *others))
    arrivals = [(1_793_610_000_123_000, 100, 64, 10), (1_793_610_001_000_000, 100, 64, 10)]
    assert requests_of(store) == arrivals
    assert found["rejects"] == {
        REPEATS: 1,
        "startTime is a number that is no time of the years 2000 to 2099, in s, ms, us or ns": 1,
    }


def test_cache_creation_of_litellm_that_cannot_be_read_is_refused(cli: Cli) -> None:
    usage = {"cache_read_input_tokens": 5, "cache_creation_input_tokens": "x"}
    call = {"startTime": f"{AT}0Z", "prompt_tokens": 9, "completion_tokens": 1}
    log = lines("l.jsonl", call, {**call, "metadata": {"usage_object": usage}})
    why = "cache creation tokens in metadata are not a whole number from 0 to 2147483647"
    assert read(cli, log)["rejects"] == {why: 1}


def call(second: int, call_type: str = "acompletion", size: tuple[int, int] = (100, 10), **more: Any) -> dict[str, Any]:
    row = {"request_id": f"r{second}", "startTime": f"{AT}{second}Z", "model": "m", "call_type": call_type}
    return {**row, "prompt_tokens": size[0], "completion_tokens": size[1], "status": "success", "metadata": {}, **more}


def usage(**told: Any) -> dict[str, Any]:
    return {"metadata": {"usage_object": told}}


def test_the_largest_of_litellms_cached_tokens_counts(cli: Cli, store: Store) -> None:
    none = {"prompt_tokens_details": {"cached_tokens": 0}}
    log = lines("s.jsonl", call(0, **usage(**none, cache_read_input_tokens=64)), call(1, **usage(**none)), call(2))
    assert read(cli, log)["notes"] == [UNKNOWN.format(1, 3)]
    assert tokens(store) == [(100, 64, 10), (100, 0, 10), (100, None, 10)]


def test_litellms_input_lacks_cached_tokens_where_a_row_of_its_model_shows_it(cli: Cli, store: Store) -> None:
    passed = usage(cache_read_input_tokens=500, cache_creation_input_tokens=30)
    fits = usage(cache_read_input_tokens=60)
    read(cli, lines("s.jsonl", call(0, **passed), call(1, **fits), call(2, **{**fits, "model": "other"})))
    assert tokens(store) == [(630, 500, 10), (160, 60, 10), (100, 60, 10)]


def test_litellms_calls_that_generate_nothing_or_failed_are_refused_by_kind(cli: Cli) -> None:
    failed = {"status": "", "metadata": {"error_information": {"error_code": "429"}}}
    log = lines(
        "s.jsonl",
        call(0),
        call(1, "aembedding", (5000, 0)),
        call(2, "aretrieve_batch", (10**6, 10**5)),
        call(3, "atranscription", (0, 0)),
        call(4, size=(0, 0)),
        call(5, **{**failed, "metadata": {"status": "failure"}}),
        call(6, **failed),
    )
    assert read(cli, log)["rejects"] == {
        "failed: metadata has error_information": 1,
        "failed: status in metadata is failure": 1,
        "has no tokens: 0 in and 0 out": 1,
        "is no generation: call_type is aembedding": 1,
        "is no generation: call_type is aretrieve_batch": 1,
        "is no generation: call_type is atranscription": 1,
    }


# OpenTelemetry


def span(number: int, above: int | None = None, size: tuple[int, int] | None = (100, 9), **more: Any) -> dict[str, Any]:
    """A span with a number, below another; attributes with _ for the points of their names are in `more`."""
    told: dict[str, Any] = {"gen_ai.request.model": "m"}
    if size:
        told |= {"gen_ai.usage.input_tokens": size[0], "gen_ai.usage.output_tokens": size[1]}
    ids = {"trace_id": "t", "span_id": f"s{number}", "parent_id": f"s{above}" if above is not None else None}
    return {"start_time": f"{AT}{number}Z", **ids, "attributes": told | more.pop("attributes", {}), **more}


REPEATS = "repeats request id: another row has the same"
SUMS = "sums up the model calls below it, which are counted themselves"


def test_spans_that_sum_up_calls_below_them_are_no_calls_however_deep_and_in_whatever_file(
    cli: Cli, store: Store
) -> None:
    spans = [
        span(0),
        span(1, 0, None),
        span(2, 1, (60, 5)),
        span(3, 1, (40, 4)),
        span(4, size=(7, 1)),
        span(5, 4, None),
    ]
    whole = read(cli, lines("whole.jsonl", *spans))
    assert whole["rejects"] == {"has no usage: the tokens of the call are not told": 2, SUMS: 1}
    Path("parts").mkdir()
    for place, one in enumerate(reversed(spans)):
        lines(f"parts/{place}.jsonl", one)
    assert read(cli, "parts", name="parts")["rejects"] == whole["rejects"]
    assert tokens(store, "parts") == tokens(store) == [(60, None, 5), (40, None, 4), (7, None, 1)]


def test_providers_tell_cached_tokens_in_their_own_ways(cli: Cli, store: Store) -> None:
    def cached(number: int, provider: str, hits: int) -> dict[str, Any]:
        told = {"gen_ai.provider.name": provider, "gen_ai.usage.cache_read.input_tokens": hits}
        return span(number, attributes=told)

    log = lines("o.jsonl", cached(0, "anthropic", 500), cached(1, "anthropic", 50), cached(2, "openai", 50))
    notes = read(cli, log)["notes"]
    assert tokens(store) == [(600, 500, 9), (150, 50, 9), (100, 50, 9)]
    assert "of anthropic are added to the input tokens" in notes[0]
    assert "input tokens of openai are taken to hold" in notes[1]


def test_cached_tokens_of_spans_have_many_names_of_which_the_largest_counts(cli: Cli, store: Store) -> None:
    names = [
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
    ]
    spans = [span(place, attributes={name: 64, "gen_ai.usage.cached_tokens": 0}) for place, name in enumerate(names)]
    read(cli, lines("o.jsonl", *spans))
    assert tokens(store) == [(100, 64, 9)] * len(names)


def test_spans_start_at_numbers_of_any_unit(cli: Cli, store: Store) -> None:
    at_s = 1_793_610_000
    starts = [at_s, float(at_s), at_s * 10**3, at_s * 10**6, at_s * 10**9, [at_s, 0], str(at_s)]
    read(cli, lines("o.jsonl", *(span(place, start_time=start) for place, start in enumerate(starts))))
    assert requests_of(store) == [(at_s * 10**6, 100, None, 9)] * len(starts)


def test_attributes_may_be_nested(cli: Cli, store: Store) -> None:
    counts = {"prompt": 100, "completion": 9, "prompt_details": {"cache_read": 64}}
    nested = {"llm": {"token_count": counts, "model_name": "m"}, "openinference": {"span": {"kind": "LLM"}}}
    read(cli, lines("o.jsonl", {"start_time": f"{AT}0Z", "attributes": nested}))
    assert tokens(store) == [(100, 64, 9)]


def test_spans_say_why_they_are_no_calls(cli: Cli) -> None:
    kinds = ["workflow", "AGENT", "GUARDRAIL", "EVALUATOR", "execute_tool"]
    others = [span(place, attributes={"openinference.span.kind": kind}) for place, kind in enumerate(kinds)]
    error = span(6, size=None, status={"code": 2})
    found = read(cli, lines("o.jsonl", *others, span(5), error, span(7, size=None), span(8, size=(0, 0))))
    assert found["rejects"] == {
        "failed: has an error and no usage": 1,
        "has no tokens: 0 in and 0 out": 1,
        "has no usage: the tokens of the call are not told": 1,
        "is of an agent, workflow or tool, whose model calls have spans of their own": 5,
    }


def test_log_records_that_tell_usage_are_calls(cli: Cli, store: Store) -> None:
    told = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 3,
    }
    attributes = [{"key": key, "value": {"intValue": str(value)}} for key, value in told.items()]
    record = {"timeUnixNano": "1793610000000000000", "attributes": attributes}
    read(cli, lines("o.jsonl", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}))
    assert requests_of(store) == [(1_793_610_000_000_000, 100, 3, 9)]


def told_usage(second: int, into: int, out: int, **more: Any) -> dict[str, Any]:
    """What spans and log records have in common."""
    usage = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": into, "gen_ai.usage.output_tokens": out}
    attributes = {**usage, **more.pop("attributes", {})}
    started = more.pop("started", "timeUnixNano")
    at = more.pop("at", str(int(START) + second * 10**9))
    return {started: at, "attributes": attributes, "traceId": "t", **more}


def test_several_log_records_in_one_span_are_calls_of_their_own(cli: Cli, store: Store) -> None:
    records = [told_usage(second, 100 + second, 9, spanId="s") for second in range(3)]
    assert read(cli, lines("o.jsonl", *records))["rejects"] == {}
    assert tokens(store) == [(100, None, 9), (101, None, 9), (102, None, 9)]


def test_log_records_with_an_id_of_their_own_count_once(cli: Cli, store: Store) -> None:
    records = [
        told_usage(second, 100 + second, 9, spanId="s", attributes={"gen_ai.response.id": f"c{second % 2}"})
        for second in range(3)
    ]
    assert read(cli, lines("o.jsonl", *records))["rejects"] == {REPEATS: 1}
    assert tokens(store) == [(101, None, 9), (102, None, 9)]


def test_a_log_record_and_the_span_around_it_are_one_call_or_the_span_sums_up_several(cli: Cli, store: Store) -> None:
    span = told_usage(0, 100, 9, spanId="s", started="startTimeUnixNano")
    found = read(cli, lines("one.jsonl", told_usage(4, 100, 9, spanId="s"), span), name="one")
    assert found["rejects"] == {REPEATS: 1}
    assert requests_of(store, "one") == [(1_793_610_000_000_000, 100, None, 9)]  # the call began with its span
    records = [told_usage(1, 60, 5, spanId="s"), told_usage(2, 40, 4, spanId="s")]
    found = read(cli, lines("sum.jsonl", span, *records), name="sum")
    assert found["rejects"] == {SUMS: 1}
    assert tokens(store, "sum") == [(60, None, 5), (40, None, 4)]


def test_a_time_of_0_is_not_known(cli: Cli, store: Store) -> None:
    records = [
        told_usage(0, 1, 9, at="0", observedTimeUnixNano=START),
        told_usage(0, 2, 9, at=0),
        told_usage(0, 3, 9, at="0", started="startTimeUnixNano"),
        told_usage(0, 4, 9, at=[0, 0], started="startTime"),
        told_usage(0, 5, 9, at="1970-01-01T00:00:00Z", started="start_time"),
    ]
    found = read(cli, lines("o.jsonl", *records))
    assert requests_of(store) == [(1_793_610_000_000_000, 1, None, 9)]
    assert found["rejects"] == {"has no start time": 4}


# AIPerf


def test_aiperf_counts_what_the_server_tells_where_it_counts_nothing_itself(cli: Cli, store: Store) -> None:
    def request(number: int, **metrics: int) -> dict[str, Any]:
        values = {name: {"value": value, "unit": "tokens"} for name, value in metrics.items()}
        return {
            "metadata": {"request_start_ns": number, "x_request_id": f"r{number}"},
            "metrics": values,
            "error": None,
        }

    own = {"input_sequence_length": 550, "output_sequence_length": 160}
    told = {"usage_prompt_tokens": 552, "usage_completion_tokens": 161}
    log = lines(
        "a.jsonl",
        request(1000, **own, **told, usage_prompt_cache_read_tokens=512),
        request(2000, **told),
        request(3000, **own),
        request(3000, **own),
    )
    assert read(cli, log, "--format", "aiperf")["rejects"] == {REPEATS: 1}
    assert tokens(store) == [(550, 512, 160), (552, None, 161), (550, None, 160)]


# ids


@pytest.mark.parametrize("column", ["request_id", "ref"])
def test_rows_with_an_id_count_once_however_often_they_are_sent(cli: Cli, store: Store, column: str) -> None:
    header = f"{column},arrival,input_tokens,output_tokens"
    rows = [f"a,{AT}0Z,100,5", f"b,{AT}1Z,200,6", f",{AT}2Z,1,1", f",{AT}2Z,1,1"]
    table("1.csv", header, *rows)
    table("2.csv", header, rows[1], f"c,{AT}3Z,300,7")
    mapped = ["--column", "id=ref"] if column == "ref" else []
    result = cli("trace", "import", "1.csv", "2.csv", "--name", "t", "--json", *mapped)
    assert result.json["rejects"] == {REPEATS: 1}
    assert [row[0] for row in tokens(store)] == [100, 200, 1, 1, 300]


WORDS = ["-", "--", "undefined", "Unknown", "null", "none", "N/A", "<nil>", "0", "00000000-0000-0000-0000-000000000000"]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_nothing_is_no_id_and_no_session(cli: Cli, store: Store, word: str) -> None:
    rows = [f"{word},{AT}{second}Z,{second + 1},5,{word}" for second in range(3)]
    log = table("l.csv", "request_id,arrival,input_tokens,output_tokens,session_id", *rows)
    found = read(cli, log)
    assert (found["rows_imported"], len(tokens(store))) == (3, 3)
    stored = cli("sql", "SELECT count(session_id) AS n FROM request", "--format", "json").json
    assert stored == [{"n": 3 if word == "0" else 0}]  # sessions are often numbers from 0


def test_ids_of_zeros_are_no_ids_of_spans(cli: Cli, store: Store) -> None:
    spans = [
        {**told_usage(second, 100 + second, 9, spanId="0" * 16, started="startTimeUnixNano"), "traceId": "0" * 32}
        for second in range(3)
    ]
    assert read(cli, lines("o.jsonl", *spans))["rejects"] == {}
    assert [row[0] for row in tokens(store)] == [100, 101, 102]


def test_rows_without_an_id_all_count_and_that_is_said(cli: Cli, store: Store) -> None:
    header = "arrival,input_tokens,output_tokens"
    rows = [f"{AT}{second}Z,{second + 1},5" for second in range(9)]
    table("1.csv", header, *rows[:6])
    table("2.csv", header, *rows[4:])
    note = cli("trace", "import", "1.csv", "2.csv", "--name", "t", "--json").json["notes"][0]
    assert len(tokens(store)) == 11
    assert note.startswith("2 rows equal a row of another file and carry no id, so that all count")
    twice = read(cli, table("3.csv", header, *rows, *rows), name="twice")["notes"]
    assert twice[0].startswith("9 rows equal another row and carry no id")


@pytest.mark.parametrize("header", ["arrival,input_tokens,output_tokens", "arrival,input_tokens,output_tokens,class"])
def test_equal_rows_are_said_whatever_else_the_rows_have(cli: Cli, header: str) -> None:
    rows = [f"{AT}{second}Z,{second + 1},5" + (",chat" if "class" in header else "") for second in range(9)]
    twice = read(cli, table("1.csv", header, *(row for row in rows for _ in range(2))), name="twice")["notes"]
    assert twice[0].startswith("9 rows equal another row and carry no id")
    table("2.csv", header, *rows[:5])
    table("3.csv", header, *rows[4:])  # begins with the last row of the one before
    notes = cli("trace", "import", "2.csv", "3.csv", "--name", "bounds", "--json").json["notes"]
    assert notes[0].startswith("1 rows equal a row of another file and carry no id")
    once = read(cli, table("4.csv", header, *rows), name="once")["notes"]
    assert not any("equal" in note for note in once)


def test_requests_of_one_moment_are_equal_only_if_all_they_tell_is(cli: Cli) -> None:
    header = "arrival,input_tokens,output_tokens,cached_input_tokens"
    rows = [f"{AT}1Z,7,5,", f"{AT}1Z,7,5,0", f"{AT}1Z,7,6,", f"{AT}1Z,8,5,"]
    notes = read(cli, table("1.csv", header, *rows))["notes"]
    assert not any("equal" in note for note in notes)


def test_of_rows_with_one_id_the_one_that_tells_most_counts(cli: Cli, store: Store) -> None:
    rows: Sequence[str] = [f"a,{AT}0Z,100,0", f"a,{AT}0Z,100,50", f"a,{AT}0Z,x,60"]
    for name, order in (("t", rows), ("reversed", rows[::-1])):
        read(cli, table(f"{name}.csv", "request_id,arrival,input_tokens,output_tokens", *order), name=name)
        assert tokens(store, name) == [(100, None, 50)]
