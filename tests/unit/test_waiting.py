"""Waiting for the first token: the model of passes against known answers and the replay of every request."""

from dataclasses import replace

import numpy as np
import pytest

from planner.core.fleet.waiting import PrefillUnit, Prompts, largest_rate, ttft
from planner.core.replay.requests.latency import quantiles_ms
from planner.core.replay.requests.model import QueueRules, Service, Span, StepTables
from planner.core.replay.requests.stages import PrefillStage
from planner.errors import UsageError
from planner.settings.replay import BalancerName
from tests.helpers.replay_engine import poisson, units

ONE = np.ones(1)
ROOMY = 1 << 30

UNIT = PrefillUnit(
    parallel=27.072,
    missed_us=105.98,
    context_us=0.0111,
    pass_us=3660.0,
    pass_tokens=131_072,
    chunk_tokens=2048,
    pooled=8,
)
"""A prefill unit of 32 GPUs, as modelled for deepseek-r1 on H800."""


def lognormal_prompts() -> Prompts:
    """Prompts whose length not in the cache is lognormal, of 1,600 tokens in the mean, and as many found."""
    edges = np.exp(np.linspace(np.log(8), np.log(40_000), 61))
    middle = np.sqrt(edges[1:] * edges[:-1])
    share = np.exp(-((np.log(middle) - np.log(1600) + 0.5) ** 2) / 2)
    return Prompts(share / share.sum(), np.round(middle), np.round(middle))


def test_the_time_of_a_prompt_alone_is_its_chunks_one_after_the_other() -> None:
    unit = PrefillUnit(parallel=4.0, missed_us=2.0, context_us=0.5, pass_us=10.0, pass_tokens=1000, chunk_tokens=100)
    prompts = Prompts(ONE, np.array([250.0]), np.array([20.0]))
    times, there = unit.chunks(prompts)
    # 100 tokens after 20, 100 after 120, 50 after 220: each twice their number, and half of their mean context
    assert times[:, 0].tolist() == [100 * (2 + 0.5 * 70), 100 * (2 + 0.5 * 170), 50 * (2 + 0.5 * 245)]
    assert there[:, 0].tolist() == [1, 1, 1]
    assert unit.load(prompts, 100.0) == pytest.approx(times.sum() / 4 * 100 / 1e6)
    alone = ttft(unit, prompts, 1e-3, 50_000.0)
    assert alone.mean_us == pytest.approx(times.sum() + 3 * 10, rel=0.001)


def test_prompts_of_one_length_that_find_the_unit_busy_wait_for_half_a_pass_and_then_one() -> None:
    # 1000 prompts a second, passes of 10 ms whatever their number: someone is always there
    unit = PrefillUnit(
        parallel=1000.0, missed_us=10.0, context_us=0.0, pass_us=0.0, pass_tokens=ROOMY, chunk_tokens=ROOMY
    )
    found = ttft(unit, Prompts(ONE, np.array([1000.0]), np.zeros(1)), 1000.0, 40_000.0)
    assert found.mean_us == pytest.approx(15_000, rel=0.01)
    assert found.quantile_us(0.5) == pytest.approx(15_000, rel=0.02)
    assert found.quantile_us(0.99) == pytest.approx(19_900, rel=0.02)
    assert found.probability.sum() == pytest.approx(1)


def test_prompts_without_work_take_a_pass() -> None:
    unit = PrefillUnit(
        parallel=8.0, missed_us=100.0, context_us=0.0, pass_us=5000.0, pass_tokens=1000, chunk_tokens=2048
    )
    found = ttft(unit, Prompts(ONE, np.zeros(1), np.array([500.0])), 1e-3, 20_000.0)
    assert found.mean_us == pytest.approx(5000, rel=0.01)


def test_time_grows_with_the_load_and_the_largest_load_meets_the_target() -> None:
    prompts = lognormal_prompts()
    full = 1 / UNIT.load(prompts, 1.0)
    means = [ttft(UNIT, prompts, share * full, 8e6).mean_us for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert means == sorted(means)
    rates = [largest_rate(UNIT, prompts, target, 0.99) for target in (3e6, 4e6, 6e6)]
    assert rates == sorted(rates)
    for rate, target in zip(rates, (3e6, 4e6, 6e6), strict=True):
        assert 0 < rate < full
        assert ttft(UNIT, prompts, rate, 1.5 * target).quantile_us(0.99) <= target
        assert ttft(UNIT, prompts, rate + 0.005 * full, 1.5 * target).quantile_us(0.99) > 0.99 * target
    assert largest_rate(UNIT, prompts, 1e5, 0.99) == 0


def test_more_than_a_unit_can_read_is_refused() -> None:
    prompts = lognormal_prompts()
    with pytest.raises(UsageError, match="more than a prefill unit can process"):
        ttft(UNIT, prompts, 1.01 / UNIT.load(prompts, 1.0), 1e6)


def replayed_ms(prompts: Prompts, load: float, balancer: BalancerName) -> tuple[float, float]:
    """Mean and 99th percentile over eight units, ten minutes of Poisson arrivals, the first minute left out."""
    none = np.zeros(1025)
    service = Service(
        prefill_ranks=32,
        prefill_share=UNIT.parallel / 32,
        missed_us=UNIT.missed_us,
        context_us=UNIT.context_us,
        pass_us=UNIT.pass_us,
        pass_tokens=UNIT.pass_tokens,
        chunk_tokens=UNIT.chunk_tokens,
        kv_us_per_token=0.0,
        kv_capacity_tokens=np.inf,
        most_streams=1024,
        steps=StepTables(none + 1, none, none, none),
    )
    rng = np.random.default_rng(7)
    per_s = 8 * load / UNIT.load(prompts, 1.0)
    kinds = rng.choice(len(prompts.share), int(600 * per_s), p=prompts.share)
    missed, hit = (column[kinds].astype(np.int64) for column in (prompts.missed, prompts.hit))
    requests = poisson(rng, len(kinds), 1e6 / per_s, input_tokens=missed + hit, cached_input_tokens=hit)
    stage = PrefillStage(
        service, units(8), QueueRules(prefill_balancer=balancer), Span(from_us=60e6, to_us=600e6, end_us=700e6)
    )
    stage.feed(requests)
    stage.finish()
    (slowest,) = quantiles_ms(stage.ttft.sum(axis=(0, 1)), (0.99,))
    assert slowest is not None
    return float(stage.hours["ttft_us"].sum() / stage.hours["read"].sum() / 1e3), slowest


@pytest.mark.parametrize("load", [0.1, 0.3, 0.5, 0.7, 0.75])
def test_mean_and_99th_percentile_come_out_as_in_the_replay_of_every_request(load: float) -> None:
    prompts = lognormal_prompts()
    found = ttft(UNIT, prompts, load / UNIT.load(prompts, 1.0), 15e6)
    mean, slowest = replayed_ms(prompts, load, "two-key")
    assert found.mean_us / 1e3 == pytest.approx(mean, rel=0.15)
    assert found.quantile_us(0.99) / 1e3 == pytest.approx(slowest, rel=0.15)


def test_where_more_comes_than_passes_hold_no_target_is_met_and_queues_grow_in_the_replay() -> None:
    prompts = lognormal_prompts()
    found = ttft(UNIT, prompts, 0.85 / UNIT.load(prompts, 1.0), 15e6)
    assert found.quantile_us(0.5) == np.inf
    assert replayed_ms(prompts, 0.85, "two-key")[0] > 10_000


def test_a_balancer_that_does_not_look_at_queues_is_modelled_as_worse_and_is_worse_still() -> None:
    prompts = lognormal_prompts()
    alone, pooled = (
        ttft(replace(UNIT, pooled=count), prompts, 0.75 / UNIT.load(prompts, 1.0), 15e6).quantile_us(0.99) / 1e3
        for count in (1, 8)
    )
    slowest = replayed_ms(prompts, 0.75, "random")[1]
    assert 1.5 * pooled < alone
    assert 0.55 * slowest < alone < slowest
