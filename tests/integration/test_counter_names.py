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


def of_pods(*pods: str) -> dict[str, tuple[float, ...]]:
    """The counters of servers that are there all the time."""
    names = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    return {f"{name}{{pod={pod}}}": (0, rate) for pod in pods for name, rate in zip(names, (6, 600, 60), strict=True)}


@pytest.mark.parametrize(
    ("hits", "cached", "unknown"),
    [
        ({"vllm:prefix_cache_hits_total{pod=a}": (0, 200, 5, 10)}, 1000, 30),
        (
            {"vllm:prefix_cache_hits_total{pod=a}": (0, 200, 0, 10), "vllm:prefix_cache_hits_total{pod=b}": (0, 0)},
            2000,
            0,
        ),
        # what a sample more would tell is not missed
        ({"vllm:prefix_cache_hits_total{pod=a}": (0, 200, 0.25, 9.75)}, 1900, 0),
    ],
)
def test_hits_are_unknown_while_they_are_not_counted(cli: Cli, hits: Series, cached: int, unknown: int) -> None:
    account = found(cli, {**of_pods("a"), **hits})
    assert totals(account) == TOTALS
    assert (account["cached_input_tokens"], account["cached_unknown"] or 0) == (cached, unknown)
    assert any("cached tokens are not counted in 5 of 10 windows" in note for note in account["notes"]) == bool(unknown)


def test_hits_are_unknown_where_one_of_the_servers_does_not_count_them(cli: Cli) -> None:
    account = found(cli, {**of_pods("a", "b"), "vllm:prefix_cache_hits_total{pod=a}": (0, 200)})
    assert (account["requests"], account["cached_input_tokens"], account["cached_unknown"]) == (120, 0, 120)
    assert "cached tokens are not counted in 10 of 10 windows on a server that counts input" in account["notes"][0]


def test_a_server_that_serves_nothing_lacks_nothing(cli: Cli) -> None:
    idle = {"vllm:prompt_tokens_total{pod=b}": (50, 0)}
    account = found(cli, {**of_pods("a"), **idle, "vllm:prefix_cache_hits_total{pod=a}": (0, 200)})
    assert (totals(account), account["cached_input_tokens"], account["rejects"]) == (TOTALS, 2000, {})


@pytest.mark.parametrize("lacking", list(of_pods("a")))
def test_windows_in_which_a_needed_counter_is_not_there_are_refused(cli: Cli, lacking: str) -> None:
    rate = of_pods("a")[lacking][1]
    account = found(cli, {**of_pods("a"), lacking: (0, rate, 0, 6)})
    assert (account["rows_read"], account["rows_imported"]) == (10, 6)
    assert totals(account) == {name: value * 6 // 10 for name, value in TOTALS.items()}
    ((reason, rows),) = account["rejects"].items()
    assert rows == 4
    assert f"are not counted ({lacking.removesuffix('{pod=a}')}) on a server that counts" in reason


def test_a_counter_that_one_server_lacks_all_the_time_is_named_with_the_cure(cli: Cli) -> None:
    series = {name: value for name, value in of_pods("a", "b").items() if name != "vllm:request_success_total{pod=b}"}
    with fake_prometheus(series) as server:
        refused = read(cli, server.url)
    assert refused.code == 1
    assert (
        "in every window requests are not counted (vllm:request_success_total) on a server that counts" in refused.err
    )
    assert "name another counter with --metric requests=NAME, or leave that server out with --selector" in refused.err


def test_counters_of_a_gateway_go_with_those_of_the_servers_behind_it(cli: Cli) -> None:
    gateway = {"gateway_requests_total{pod=g}": (0, 12)}
    account = found(cli, {**of_pods("a", "b"), **gateway}, "--metric", "requests=gateway_requests_total")
    assert totals(account) == {name: value * 2 for name, value in TOTALS.items()}


def test_tokens_without_any_request_are_not_told_requests(cli: Cli) -> None:
    flat = {name: (5, 0) if "request" in name else value for name, value in VLLM.items()}
    with fake_prometheus(flat) as server:
        refused = read(cli, server.url)
    assert refused.code == 1
    assert "counts no request in any window, but tokens; name a counter" in refused.err
    assert "--metric requests=NAME" in refused.err


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
