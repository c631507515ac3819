"""Batching by hand: windows, queue rules, idle experts, pipelines, one user alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import engine_profile, hardware, model
from planner.core.fleet.batching import (
    DepthRule,
    batch_at,
    collect,
    idle_expert_probability,
    pipeline_bubble,
    ridge_tokens,
    single_stream_roofline,
    tokens_per_expert,
)
from planner.core.fleet.engine import Engine
from planner.errors import UsageError
from tests.conftest import Cli

R1 = model("deepseek-r1")
EP144 = Engine(
    model=R1,
    hardware=hardware("h800"),
    weights="fp8",
    profile=engine_profile("deepseek-ep"),
    expert_parallel=144,
    redundant_experts=32,
)


def test_a_window_longer_than_the_service_collects_rate_times_window() -> None:
    """10 requests/s for half a second are five; they wait a quarter of a second; 0.1 s of work in 0.5 s."""
    found = collect(0.5, 10, 32, lambda _: 0.1)
    assert (found.batch, found.mean_wait_s, found.duty) == (5, 0.25, pytest.approx(0.2))


def test_a_service_longer_than_the_window_sets_the_pace() -> None:
    """A batch takes 1 s whatever its size: ten arrive meanwhile, and the server never rests."""
    found = collect(0.1, 10, 32, lambda _: 1.0)
    assert (found.batch, found.mean_wait_s, found.duty) == (10, 0.5, 1)


def test_a_server_that_looks_every_tick_waits_for_the_next_one() -> None:
    found = collect(0.25, 10, 32, lambda _: 0.1, tick_s=0.2)
    assert (found.batch, found.mean_wait_s) == (pytest.approx(4), pytest.approx(0.2))


def test_the_batch_settles_where_as_many_arrive_as_are_served() -> None:
    """0.1 s and 0.05 s a request at 10 requests/s: 10 * (0.1 + 0.05 b) = b gives two."""
    found = collect(0.0, 10, 32, lambda batch: 0.1 + 0.05 * batch)
    assert found.batch == pytest.approx(2)
    assert found.duty == pytest.approx(1)


def test_rare_requests_are_served_alone_and_wait_as_in_a_simulated_queue() -> None:
    rate, service = 0.6, 1.0
    draw, clock, free, waited, count = random.Random(1), 0.0, 0.0, 0.0, 200_000
    for _ in range(count):
        clock += draw.expovariate(rate)
        start = max(clock, free)
        waited, free = waited + start - clock, start + service
    found = collect(0.0, rate, 8, lambda batch: service * batch)
    assert found.batch == 1
    assert found.mean_wait_s == pytest.approx(waited / count, rel=0.03)
    assert found.duty == pytest.approx(0.6)


@given(st.floats(0, 2), st.floats(0.01, 50), st.integers(1, 64), st.floats(0.001, 0.2), st.floats(0, 0.2))
def test_a_server_never_works_more_than_all_the_time(
    w: float, rate: float, most: int, fixed: float, each: float
) -> None:
    try:
        found = collect(w, rate, most, lambda batch: fixed + each * batch)
    except UsageError as error:
        assert "raise the largest batch" in str(error)  # noqa: PT017  either outcome is right, a wrong number is not
        return
    assert 0 < found.duty <= 1 + 1e-6
    assert 1 <= found.batch <= most
    assert found.mean_wait_s >= 0


def test_rules_choose_the_batch_by_how_many_wait() -> None:
    rules = [DepthRule(0, 4), DepthRule(10, 16), DepthRule(50, 32)]
    assert [batch_at(rules, depth) for depth in (0, 9, 10, 49, 50, 10_000)] == [4, 4, 16, 16, 32, 32]


def test_tokens_spread_over_experts_and_leave_few_idle() -> None:
    """8 of 256 experts per token: 320 tokens give 10 each; none of n comes with probability (31/32)^n."""
    assert tokens_per_expert(R1, 320) == 10
    assert idle_expert_probability(R1, 1) == pytest.approx(31 / 32)
    assert idle_expert_probability(R1, 100) == pytest.approx((31 / 32) ** 100)


def test_experts_are_bound_by_arithmetic_from_some_thousand_tokens() -> None:
    """Reading a weight takes 1 B / 2.4 TB/s, computing a row 2 FLOP / 950 TFLOP/s: 198 rows, 6,333 tokens."""
    assert ridge_tokens(EP144) == pytest.approx(950 / (2 * 2.4) * 32)


def test_a_pipelines_bubble_by_hand() -> None:
    assert pipeline_bubble(8, 4) == pytest.approx(7 / 11)
    assert pipeline_bubble(8, 64) == pytest.approx(0.0986, abs=1e-4)
    assert pipeline_bubble(1, 1) == 0


def test_one_stream_cannot_read_its_weights_faster_than_the_memory_gives_them() -> None:
    """36.6 B active weights less the head in fp8, 0.93 B of the head in bf16, from eight memories of 3.35 TB/s."""
    read = (36.62e9 - 129_280 * 7168) + 2 * 129_280 * 7168
    assert single_stream_roofline(EP144, 8) == pytest.approx(8 * 3.35e12 / read, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: collect(0, 100, 8, lambda batch: batch), "100 requests/s arrive and batches of 8 serve 1"),
        (lambda: collect(-1, 1, 8, lambda _: 1), "window and tick must be at least 0"),
        (lambda: collect(0, 1, 0, lambda _: 1), "the largest batch at least 1"),
        (lambda: batch_at([], 3), "rules must ascend in depth from 0"),
        (lambda: batch_at([DepthRule(1, 4)], 3), "rules must ascend in depth from 0"),
        (lambda: batch_at([DepthRule(0, 4), DepthRule(0, 5)], 3), "rules must ascend"),
        (lambda: batch_at([DepthRule(0, 4)], -1), "give 0 or more"),
        (lambda: tokens_per_expert(model("llama-3.1-70b"), 1), "is dense"),
        (lambda: pipeline_bubble(0, 1), "at least one stage"),
        (lambda: single_stream_roofline(EP144, 0), "number of GPUs must be at least 1"),
    ],
)
def test_bad_input_gives_one_line(call: object, cure: str) -> None:
    assert callable(call)
    with pytest.raises(UsageError, match=cure):
        call()


def test_the_command_tells_the_whole_story(cli: Cli) -> None:
    found = cli("batching", "--json").json
    curve = found["curve"]
    assert curve[0]["streams"] == 1
    assert curve[-1]["streams"] == 127
    costs = [row["usd_per_million_tokens"] for row in curve]
    assert costs == sorted(costs, reverse=True)
    user = found["one_user"]
    assert user["usd_per_million_tokens"]["reported"] == pytest.approx(16 / (20 * 3600) * 1e6)
    assert 650 < user["times_the_fleet"]["reported"] < 850
    assert user["fits"]
    shown = cli("batching", "--windows-ms", "0,1000", "--rate", "3").out
    assert "one user on one node" in shown
    assert "expert idle" in shown


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("--windows-ms", "a,b"), "is not a list of numbers"),
        (("--rate", "0"), "arrivals above 0"),
        (("--rate", "500"), "add nodes"),
        (("--most", "0"), "the largest batch at least 1"),
        (("--what-ifs", "nope"), 'no batching what-ifs "nope"'),
        (("--node", "nope"), 'no hardware "nope"'),
    ],
)
def test_a_wrong_option_gives_one_line(cli: Cli, arguments: tuple[str, ...], cure: str) -> None:
    result = cli("batching", *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert cure in result.err
