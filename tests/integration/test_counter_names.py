"""Counters of every version and every writing, names of one's own, and servers that want a token."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, Result
from tests.helpers.counters import START
from tests.helpers.fake_prometheus import Series, fake_prometheus

SPAN = [datetime.fromtimestamp(START + 60 * at, UTC).isoformat() for at in (0, 10)]
VLLM: Series = {
    "vllm:request_success_total{finished_reason=stop}": (5, 6),
    "vllm:prompt_tokens_total": (500, 600),
    "vllm:generation_tokens_total": (50, 60),
}
TOTALS = {"requests": 60, "input_tokens": 6000, "output_tokens": 600}


def read(cli: Cli, url: str, *words: str) -> Result:
    return cli("trace", "import", url, "--name", "t", "--from", SPAN[0], "--to", SPAN[1], "--json", *words)


def found(cli: Cli, series: Series, *words: str) -> Any:
    with fake_prometheus(series) as server:
        result = read(cli, server.url, *words)
        assert result.code == 0, result.err
        return result.json


def totals(account: Mapping[str, Any]) -> dict[str, Any]:
    return {name: account[name] for name in TOTALS}


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        ({"vllm:prefix_cache_hits_total": (0, 200)}, 2000),
        ({"vllm_prefix_cache_hits": (0, 200)}, 2000),
        ({"vllm:gpu_prefix_cache_hits_total": (0, 200)}, 2000),
        ({"vllm:gpu_prefix_cache_hits": (0, 200)}, 2000),
        ({"vllm:prompt_tokens_cached_total": (0, 200)}, 2000),
        ({"vllm:prefix_cache_hits_total": (0, 200), "vllm:external_prefix_cache_hits_total": (0, 50)}, 2500),
        ({"vllm_gpu_prefix_cache_hits": (0, 200), "vllm_external_prefix_cache_hits": (0, 50)}, 2500),
        # one server that tells it under both names, and another that knows the old one only
        ({"vllm:prefix_cache_hits_total": (0, 200), "vllm:gpu_prefix_cache_hits_total": (0, 200)}, 2000),
        ({"vllm:prefix_cache_hits_total{pod=a}": (0, 200), "vllm:gpu_prefix_cache_hits_total{pod=b}": (0, 30)}, 2300),
    ],
)
def test_hits_are_read_under_the_names_of_all_versions(cli: Cli, cached: Series, expected: int) -> None:
    account = found(cli, {**VLLM, **cached})
    assert account["format"] == "vllm"
    assert totals(account) == TOTALS
    assert account["cached_input_tokens"] == expected


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
@pytest.mark.parametrize("separator", [":", "_"])
@pytest.mark.parametrize("ending", ["", "_total"])
def test_names_have_colons_or_underscores_and_total_or_not(cli: Cli, kind: str, separator: str, ending: str) -> None:
    names = {
        "vllm": ("request_success", "prompt_tokens", "prefix_cache_hits", "generation_tokens"),
        "sglang": ("num_requests", "prompt_tokens", "cached_tokens", "generation_tokens"),
    }[kind]
    rates = (6, 600, 200, 60)
    account = found(
        cli, {f"{kind}{separator}{name}{ending}": (9, rate) for name, rate in zip(names, rates, strict=True)}
    )
    assert (account["format"], account["cached_input_tokens"], account["notes"]) == (kind, 2000, [])
    assert totals(account) == TOTALS


def test_a_name_that_meant_blocks_once_is_said(cli: Cli) -> None:
    (note,) = found(cli, {**VLLM, "vllm:gpu_prefix_cache_hits_total": (0, 200)})["notes"]
    assert (
        "vllm:gpu_prefix_cache_hits_total counts tokens in later versions of vLLM and blocks in its first ones" in note
    )


def test_hits_of_all_caches_are_added_up(cli: Cli) -> None:
    series = {
        "sglang:num_requests_total": (0, 6),
        "sglang:prompt_tokens_total": (0, 600),
        "sglang:generation_tokens_total": (0, 60),
        "sglang:cached_tokens_total{cache_source=device}": (0, 200),
        "sglang:cached_tokens_total{cache_source=host}": (0, 20),
    }
    assert found(cli, series)["cached_input_tokens"] == 2200


def test_counts_of_histograms_stand_in_for_counters_and_are_said(cli: Cli) -> None:
    series = {
        "vllm:e2e_request_latency_seconds_count": (0, 6),
        "vllm:request_prompt_tokens_sum": (0, 600),
        "vllm:request_generation_tokens_sum": (0, 60),
        "vllm:prefix_cache_hits_total": (0, 200),
    }
    account = found(cli, series)
    assert totals(account) == TOTALS
    assert "requests are counted by vllm:e2e_request_latency_seconds_count" in account["notes"]


@pytest.mark.parametrize("missing", list(VLLM))
def test_a_counter_that_a_plan_needs_is_not_taken_for_0(cli: Cli, missing: str) -> None:
    with fake_prometheus({name: value for name, value in VLLM.items() if name != missing}) as server:
        refused = read(cli, server.url)
    fields = dict(zip(VLLM, TOTALS, strict=True))
    assert refused.code == 1
    assert f"has no counter of {fields[missing]} from --from to --to" in refused.err
    assert f"name it with --metric {fields[missing]}=NAME" in refused.err
    assert refused.err.count("\n") == 1
    assert cli("trace", "list", "--json").code != 0  # nothing was stored, not even a store


def test_unknown_hits_are_said(cli: Cli) -> None:
    account = found(cli, VLLM)
    note, counted = account["notes"]
    assert counted == "cached input is unknown for 60 of 60 requests; planned as none cached"
    assert note.startswith("cached tokens are not counted (vllm:prefix_cache_hits_total + ")
    assert "so they are unknown and planned as none" in note


OWN: Series = {
    "gateway_requests_total{status=ok}": (0, 6),
    "gateway.tokens.in": (0, 500),
    "gateway.tokens.more": (0, 100),
    "gateway_tokens_out": (0, 60),
    "gateway_hits": (0, 200),
}
MAPPED = ("requests=gateway_requests_total", "input_tokens=gateway.tokens.in", "input_tokens=gateway.tokens.more")
WORDS = [word for pair in (*MAPPED, "output_tokens=gateway_tokens_out") for word in ("--metric", pair)]


def test_counters_of_ones_own_are_named(cli: Cli) -> None:
    account = found(cli, OWN, *WORDS, "--metric", "cached_input_tokens=gateway_hits")
    assert (account["format"], account["cached_input_tokens"]) == ("prometheus", 2000)
    assert totals(account) == TOTALS


def test_one_counter_of_ones_own_replaces_that_of_the_format(cli: Cli) -> None:
    account = found(cli, {**VLLM, "hits": (0, 300)}, "--metric", "cached_input_tokens=hits")
    assert (account["format"], account["cached_input_tokens"]) == ("vllm", 3000)


def test_a_name_that_is_not_there_is_refused(cli: Cli) -> None:
    with fake_prometheus(OWN) as server:
        refused = read(cli, server.url, *WORDS[:-1], "output_tokens=nothing")
    assert (refused.code, "has no counter of output_tokens" in refused.err) == (1, True)
    assert "(output_tokens: nothing)" in refused.err


SECRET = "s3cret-tok.en"


@pytest.mark.parametrize("way", ["file", "header", "login"])
def test_a_server_that_wants_a_token_gets_it(cli: Cli, tmp_path: Path, way: str) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    words = {
        "file": ("--bearer-token-file", "token"),
        "header": ("--header", f"X-Scope-OrgID: {SECRET}", "--header", "X-Other: 1"),
        "login": (),
    }[way]
    accepted = {
        "file": {"Authorization": f"Bearer {SECRET}"},
        "header": {"X-Scope-OrgID": SECRET, "X-Other": "1"},
        "login": {"Authorization": "Basic bWU6czNjcmV0LXRvay5lbg=="},
    }[way]
    with fake_prometheus(VLLM, accepted) as server:
        url = server.url.replace("//", f"//me:{SECRET}@") if way == "login" else server.url
        told = read(cli, url, *words)
        assert told.code == 0, told.err
        assert totals(told.json) == TOTALS
    stored = cli("sql", "SELECT * FROM trace", "--format", "json")
    for text in (told.out, told.err, stored.out):
        assert SECRET not in text


def test_a_token_that_is_refused_is_not_shown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    with fake_prometheus(VLLM, {"Authorization": "Bearer other"}) as server:
        without = read(cli, server.url)
        refused = read(cli, server.url, "--bearer-token-file", "token")
    assert "answers 401" in without.err
    assert "give a token or a header that it accepts" in without.err
    assert (refused.code, SECRET in refused.err, "***" in refused.err) == (1, False, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--header", f"no colon {SECRET}"), "--header number 1 is not written as 'Name: value'"),
        (("--header", f"A: {SECRET}\nB: x"), "--header number 1 is not written as 'Name: value'"),
        (("--bearer-token-file", "none"), "--bearer-token-file none: cannot be read: No such file"),
        (("--bearer-token-file", "empty"), "--bearer-token-file empty: is empty"),
        (("--bearer-token-file", "two"), "--bearer-token-file two: is not one token"),
        (("--bearer-token-file", "token", "--header", "authorization: x"), "the header authorization is given twice"),
        (("--metric", "inputs=a"), "--metric inputs: is not one of requests, input_tokens"),
        (("--metric", "requests"), "--metric: write FIELD=NAME"),
        (("--metric", 'requests=sum(rate(x{a="b"}))'), "is not the name of a metric"),
    ],
)
def test_options_of_servers_are_checked(cli: Cli, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    for name, text in {"empty": " \n", "two": f"{SECRET} {SECRET}", "token": SECRET}.items():
        (tmp_path / name).write_text(text)
    with fake_prometheus(VLLM) as server:
        refused = read(cli, server.url, *words)
    assert refused.code == 2
    assert why in refused.err
    assert SECRET not in refused.err


def test_options_of_servers_have_no_effect_on_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("arrival,input_tokens,output_tokens\n1,2,3\n")
    for words in (("--metric", "requests=a"), ("--header", "A: b"), ("--bearer-token-file", "f")):
        refused = cli("trace", "import", "l.csv", "--name", "t", *words)
        assert (refused.code, f"{words[0]}: is for counters of a server" in refused.err) == (2, True)
