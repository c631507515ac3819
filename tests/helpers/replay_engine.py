"""The fast engine of the replay, run and compared with the reference; fleets and requests for it."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from math import inf, isnan

import numpy as np

from planner.core.replay.requests.followers import follow
from planner.core.replay.requests.kernels.layout import FULL, HOUR_US, LATE, LONG
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span, StepTables
from planner.core.replay.requests.stages import DecodeStage, FirstSizes, PrefillStage, hand_overs
from planner.settings.replay import BalancerName
from planner.units import Floats, Ints
from tests.helpers.replay_cases import Case
from tests.helpers.replay_reference import Replay
from tests.helpers.replay_units import Outcome

Stages = tuple[PrefillStage, DecodeStage]
Loop = tuple[Ints, Floats]
"""By request the one that it follows, -1 for none, and how long after it, us."""
SMALL = FirstSizes(pool=4, slots=1, affinities=2)
"""Arrays begin small and have to grow."""


def run(
    case: Case, span: Span, chunks: Iterable[int] = (), ranks: int = 1, rank_balancer: BalancerName = "two-key"
) -> Stages:
    """Both stages to the end, fed in chunks that end before these rows."""
    service, prefill_lives, decode_lives, rules, requests, _ = case
    keep = len(requests)
    prefill = PrefillStage(service, prefill_lives, rules, span, keep=keep, first=SMALL)
    decode = DecodeStage(
        service, decode_lives, rules, span, keep=keep, ranks=ranks, rank_balancer=rank_balancer, first=SMALL
    )
    batches = (requests.part(slice(begin, end)) for begin, end in pairwise([0, *chunks, len(requests)]))
    for handed in hand_overs(batches, prefill, decode.fails_us, decode.fail):
        decode.feed(handed)
    decode.finish()
    return prefill, decode


def run_closed(
    case: Case, span: Span, loop: Loop, ranks: int = 1, rank_balancer: BalancerName = "two-key"
) -> tuple[Stages, Floats]:
    """Both stages to the end where requests follow others, and when each came."""
    service, prefill_lives, decode_lives, rules, requests, _ = case
    keep = len(requests)
    prefill = PrefillStage(service, prefill_lives, rules, span, keep=keep, first=SMALL)
    decode = DecodeStage(
        service,
        decode_lives,
        rules,
        span,
        keep=keep,
        ranks=ranks,
        rank_balancer=rank_balancer,
        closed=True,
        first=SMALL,
    )
    return (prefill, decode), follow(prefill, decode, requests, follows=loop[0], think_us=loop[1])


def fared(stages: Stages) -> list[tuple[object, ...]]:
    """What became of each request, as `wanted` has it."""
    names = {FULL: "rejected-queue", LATE: "rejected-timeout", LONG: "rejected-length"}
    return [
        (
            names.get(int(first["status"]), "in-flight") if isnan(then["finish_us"]) else "completed",
            float(first["first_us"]),
            float(then["finish_us"]),
            int(then["step"]),
            int(then["moved"]),
            int(then["lost"]),
        )
        for first, then in zip(stages[0].kept, stages[1].kept, strict=True)
    ]


def wanted(outcome: Outcome) -> tuple[object, ...]:
    return outcome.status, outcome.first_token_us, outcome.finish_us, outcome.finish_step, outcome.moved, outcome.lost


def compare(case: Case, chunks: Iterable[int], ranks: int, rank_balancer: BalancerName) -> Replay:
    """Assert that requests, units and samples are those of the reference."""
    reference = Replay(*case[:5], ranks, rank_balancer)
    reference.run(case[5])
    assert_same(reference, run(case, until(case[5]), chunks, ranks, rank_balancer), case[5])
    return reference


def until(end_us: float) -> Span:
    """All that arrives up to the end counts."""
    return Span(from_us=0.0, to_us=end_us + 1.0, end_us=end_us, classes=3)


def assert_same(reference: Replay, stages: Stages, end_us: float) -> None:
    """Assert that requests, units and samples are those of a reference that was run to the same end."""
    prefill, decode = stages
    outcomes = [request.outcome for request in reference.requests]
    assert repr(fared((prefill, decode))) == repr([wanted(outcome) for outcome in outcomes])
    done = [outcome for outcome in outcomes if outcome.status == "completed"]
    for outcome in done:
        assert prefill.kept["unit"][outcome.seq] == outcome.prefill_unit
        assert decode.kept["unit"][outcome.seq] == outcome.decode_unit
    assert repr(prefill.drain_us.tolist()) == repr([unit.log.drain_us for unit in reference.prefill])
    assert repr(decode.drain_us.tolist()) == repr([unit.log.drain_us for unit in reference.decode])
    assert prefill.units["passes"].tolist() == [unit.log.steps for unit in reference.prefill]
    assert decode.units["steps"].tolist() == [unit.log.steps for unit in reference.decode]
    assert decode.units["moved"].tolist() == [unit.log.moved_out for unit in reference.decode]
    assert prefill.units["lost"].tolist() == [unit.log.lost for unit in reference.prefill]
    assert decode.units["lost"].tolist() == [unit.log.lost for unit in reference.decode]
    assert decode.lost == decode.units["lost"].sum()
    assert decode.samples.tolist() == reference.samples
    assert prefill.samples.tolist() == reference.prefill_samples
    came = [request for request in reference.requests if request.arrival <= end_us]
    assert prefill.hours["hit_tokens"].sum() == sum(request.outcome.hits for request in came)
    assert prefill.hours["input_tokens"].sum() == sum(request.input for request in came)
    assert prefill.hours["retried"].sum() == sum(request.outcome.tries for request in came)


def units(count: int) -> Lives:
    """Units that are always there."""
    return Lives(np.zeros(count), np.full(count, inf), np.full(count, inf))


def flat_steps(step_us: float, most_streams: int) -> StepTables:
    none = np.zeros(most_streams + 1)
    return StepTables(none + step_us, none, none, none)


SERVICE = Service(
    prefill_ranks=1,
    prefill_share=1.0,
    missed_us=1.0,
    context_us=0.0,
    pass_us=0.0,
    pass_tokens=1,
    chunk_tokens=1 << 30,
    kv_us_per_token=0.0,
    kv_capacity_tokens=inf,
    most_streams=8,
    steps=flat_steps(1000.0, 8),
)


def poisson(rng: np.random.Generator, count: int, gap_us: float, **columns: np.ndarray) -> Requests:
    """Requests at random times; without prompt and answer unless columns say otherwise."""
    none = np.zeros(count, np.int64)
    arrival_us = np.cumsum(rng.exponential(gap_us, count)).astype(np.int64)
    named = {"input_tokens": none, "cached_input_tokens": none, "output_tokens": none, **columns}
    return Requests(arrival_us=arrival_us, **named, class_id=none, session_id=none - 1)


def until_empty(requests: Requests) -> Span:
    end_us = float(requests.arrival_us[-1]) + HOUR_US
    return Span(from_us=0.0, to_us=end_us, end_us=end_us)


def busy_case(seed: int, load: float, count: int) -> Case:
    """Thousands of requests for two prefill and three decode units, of which one each is exchanged half way."""
    rng = np.random.default_rng(seed)
    streams = np.arange(25)
    service = Service(
        prefill_ranks=4,
        prefill_share=0.75,
        missed_us=0.171875,
        context_us=1 / 4096,
        pass_us=16.0,
        pass_tokens=512,
        chunk_tokens=256,
        kv_us_per_token=1 / 16,
        kv_capacity_tokens=5000.0,
        most_streams=24,
        steps=StepTables(12 + streams / 8, streams / 8192, 4 + streams / 2, streams / 8192),
    )
    # 24 streams of some 170 tokens take 27 us a step and 24 steps each: 27 us a request and unit
    gap_us = 27 / 3 / load
    half = float(round(count * gap_us / 2))
    prefill = Lives(np.array([0.0, 0.0, half]), np.array([inf, half, inf]), np.full(3, inf))
    decode = Lives(
        np.array([0.0, 0.0, 0.0, half]), np.array([inf, inf, half, inf]), np.array([inf, inf, half + 300, inf])
    )
    tokens = np.minimum(np.round(rng.lognormal(4.5, 1.0, count)), 3000).astype(np.int64)
    requests = poisson(
        rng,
        count,
        gap_us,
        input_tokens=tokens,
        cached_input_tokens=np.where(rng.random(count) < 0.5, tokens // 2, 0),
        output_tokens=1 + np.minimum(rng.geometric(1 / 24, count), 400),
    )
    requests = replace(requests, session_id=rng.integers(-1, 300, count))
    rules = QueueRules(prefill_balancer="prefix-aware", decode_balancer="two-key", timeout_us=5000.0)
    return service, prefill, decode, rules, requests, float(requests.arrival_us[-1])
