"""The fast replay step by step: tallies, chunks, conservation, and queues whose answers are known."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.kernels.layout import E2E, HOUR_US, RING, TPOT
from planner.core.replay.requests.missed import missed
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Span
from tests.helpers.iteration_cases import (
    IterationCase,
    compare,
    cuts,
    iteration_cases,
    run_engine,
    run_reference,
    until,
)
from tests.helpers.iteration_reference import Asked
from tests.helpers.replay_engine import flat_steps, poisson, units, until_empty

HUNDRED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
FIFTY = settings(HUNDRED, max_examples=50)

ALONE = Replica(
    steps=flat_steps(1000.0, 8),
    prompts=PromptTable(1 << 20, np.tile([0.0, float(1 << 20)], (9, 1))),
    context_us=0.0,
    max_batched_tokens=1 << 20,
    max_sequences=8,
    prefill_first=False,
    kv_blocks=1 << 24,
    block_tokens=16,
)
"""A microsecond a prompt token, and a millisecond a step of rows."""


def slowed(case: IterationCase, factor: float) -> IterationCase:
    """The same with all times multiplied by a power of two, and an end that is not too far."""
    replica, rules = case.replica, case.rules
    end_us = min(case.end_us, 2.0 * case.requests.arrival_us[-1] + 1000.0) * factor
    return replace(
        case,
        replica=replica.slower(factor, factor),
        lives=Lives(*(getattr(case.lives, field.name) * factor for field in fields(Lives))),
        rules=replace(rules, timeout_us=rules.timeout_us * factor, retry_after_us=rules.retry_after_us * factor),
        requests=replace(case.requests, arrival_us=case.requests.arrival_us * int(factor)),
        end_us=end_us,
        think_us=case.think_us * factor,
    )


def by_hour(span: Span, requests: Iterable[Asked], classes: np.ndarray, value: Callable[[Asked], float]) -> np.ndarray:
    """Sums over the requests that count, by hour and class."""
    table = np.zeros((span.hours, span.classes))
    for request in requests:
        if span.from_us <= request.arrival < span.to_us:
            table[int((request.arrival - span.from_us) // HOUR_US), classes[request.seq]] += value(request)
    return table


def histogram(span: Span, requests: list[Asked], classes: np.ndarray, value: Callable[[Asked], float]) -> np.ndarray:
    """Requests that count by hour, class and bucket: 128 in each doubling from 1 us on."""
    places = np.arange(40 * 128)
    edges = 2.0 ** (places // 128) * (1 + places % 128 / 128)
    table = np.zeros((span.hours, span.classes, len(places)))
    for request in requests:
        bucket = max(0, int(np.searchsorted(edges, value(request), side="right")) - 1)
        table[:, :, bucket] += by_hour(span, [request], classes, lambda _: 1.0)
    return table


@HUNDRED
@given(iteration_cases(), st.data())
def test_tallies_by_hour_and_class_are_sums_over_the_requests_that_count(
    case: IterationCase, data: st.DataObject
) -> None:
    case = slowed(case, data.draw(st.sampled_from((2.0**18, 2.0**23))))
    ttft_us, tpot_us = (data.draw(st.sampled_from((20.0, 80.0, 500.0))) * 2.0**20 for _ in range(2))
    last = float(case.requests.arrival_us[-1])
    from_us, to_us = data.draw(st.sampled_from(((0.0, case.end_us), (last // 3, case.end_us), (0.0, last // 2))))
    span = Span(
        from_us=from_us,
        to_us=max(from_us, to_us) + 1.0,
        end_us=case.end_us,
        classes=3,
        ttft_us=ttft_us,
        tpot_us=tpot_us,
    )
    reference, stage = run_reference(case), run_engine(case, data.draw(cuts(len(case.requests))), span)
    came, classes = [reference.requests[seq] for seq in reference.came], case.requests.class_id
    read, done = [each for each in came if not isnan(each.first)], [each for each in came if not isnan(each.finish)]
    several = [request for request in done if request.output > 1]

    def ttft(request: Asked) -> float:
        return request.first - request.arrival

    def e2e(request: Asked) -> float:
        return request.finish - request.arrival

    def tpot(request: Asked) -> float:
        return (request.finish - request.first) / (request.output - 1)

    def good(request: Asked) -> bool:
        return ttft(request) <= ttft_us and (request.output <= 1 or tpot(request) <= tpot_us)

    def of_status(status: str) -> list[Asked]:
        return [request for request in came if request.status == status]

    prompts, streams = stage.prompts, stage.streams
    for tally, name, requests, value in (
        (prompts.hours, "arrived", came, lambda _: 1.0),
        (prompts.hours, "full", of_status("rejected-queue"), lambda _: 1.0),
        (prompts.hours, "late", of_status("rejected-timeout"), lambda _: 1.0),
        (prompts.hours, "long", of_status("rejected-length"), lambda _: 1.0),
        (prompts.hours, "retried", came, lambda request: request.tries),
        (prompts.hours, "read", read, lambda _: 1.0),
        (prompts.hours, "first", read, lambda request: request.output > 0),
        (prompts.hours, "ttft_us", read, ttft),
        (prompts.hours, "ttft_met", read, lambda request: ttft(request) <= ttft_us),
        (prompts.hours, "hit_tokens", came, lambda request: request.hits),
        (streams.hours, "completed", done, lambda _: 1.0),
        (streams.hours, "good", done, good),
        (streams.hours, "e2e_us", done, e2e),
        (streams.hours, "with_tpot", several, lambda _: 1.0),
        (streams.hours, "tpot_us", several, tpot),
        (streams.hours, "tpot_met", several, lambda request: tpot(request) <= tpot_us),
    ):
        np.testing.assert_allclose(tally[name], by_hour(span, requests, classes, value), 1e-12, err_msg=name)
    assert (prompts.ttft == histogram(span, read, classes, ttft)).all()
    assert (streams.histograms[E2E] == histogram(span, done, classes, e2e)).all()
    assert (streams.histograms[TPOT] == histogram(span, several, classes, tpot)).all()
    waiting = [each for each in came if isnan(each.first) and each.status == "in-flight"]
    late = by_hour(span, [each for each in waiting if case.end_us - each.arrival > ttft_us], classes, lambda _: 1.0)
    assert (missed(prompts, streams, span).ttft == late).all()  # type: ignore[arg-type]


@HUNDRED
@given(iteration_cases(), st.data())
def test_tallies_by_minute_are_what_is_there_times_how_long(case: IterationCase, data: st.DataObject) -> None:
    case = slowed(case, 2.0**20)
    reference, stage = run_reference(case), run_engine(case, data.draw(cuts(len(case.requests))))
    minutes = range(len(stage.minutes))
    for name in ("busy_us", "prompt_us", "stream_us", "kv_token_us", "block_us"):
        want = [reference.minutes[name, minute] for minute in minutes]
        np.testing.assert_allclose(stage.minutes[name], want, 1e-9, 1e-3, err_msg=name)
    for name in ("prompt_tokens", "output_tokens", "steps"):
        assert stage.minutes[name].tolist() == [reference.minutes[name, minute] for minute in minutes], name
    want = [reference.minutes["queue_us", minute] for minute in minutes]
    np.testing.assert_allclose(stage.prompts.queue_us, want, 1e-9, 1.0)
    assert stage.minutes["most_blocks"].tolist() == [reference.most_blocks[minute] for minute in minutes]
    assert not stage.streams.queue_us.any()
    assert (stage.minutes["work_us"] <= stage.minutes["prompt_us"] * (1 + 1e-12)).all()
    size = case.replica.block_tokens
    assert (stage.streams.minutes["kv_token_us"] == stage.minutes["block_us"] * size).all()


@FIFTY
@given(iteration_cases(), st.data())
def test_how_a_trace_is_cut_into_chunks_changes_nothing(case: IterationCase, data: st.DataObject) -> None:
    case = replace(slowed(case, 2.0**20), follows=np.zeros(0, np.int64))
    one, other = run_engine(case), run_engine(case, data.draw(cuts(len(case.requests))))
    assert repr(one.kept.tolist()) == repr(other.kept.tolist())
    for name in ("minutes", "hours", "stream_hours", "samples", "ttft", "histograms"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert repr(one.streams.units.tolist()) == repr(other.streams.units.tolist())
    assert one.queue_us.tolist() == other.queue_us.tolist()


@HUNDRED
@given(iteration_cases(), st.data())
def test_what_arrives_is_completed_in_flight_or_rejected(case: IterationCase, data: st.DataObject) -> None:
    from_us, to_us = (data.draw(st.sampled_from(part)) * (case.end_us + 1) for part in ((0.0, 0.2), (1.0, 0.3, 0.2)))
    span = Span(from_us=from_us, to_us=to_us, end_us=case.end_us, classes=3)
    stage = run_engine(case, data.draw(cuts(len(case.requests))), span)
    came = np.count_nonzero(span.counts(stage.kept["arrival_us"]))
    hours, completed = stage.prompts.hours, stage.streams.hours["completed"].sum()
    assert hours["arrived"].sum() == came
    rejected = sum(hours[name].sum() for name in ("full", "late", "long"))
    assert completed + rejected + stage.prompts.in_flight + stage.streams.in_flight == came
    assert hours["read"].sum() == completed + stage.streams.in_flight
    whole = run_engine(case)
    there = whole.prompts.in_flight + whole.streams.in_flight
    assert there == len(whole.prompts.in_system) + len(whole.streams.in_system)


def test_answers_longer_than_the_ring_leave_in_their_step() -> None:
    rng = np.random.default_rng(5)
    outputs = np.array([*rng.integers(RING - 3, 3 * RING, 12), RING, RING + 1, RING + 2, 2 * RING + 1, 30, 2])
    lives = Lives(np.array([0.0, 0.0, 9000.0]), np.array([inf, 20000.0, inf]), np.array([inf, 60000.0, inf]))
    requests = poisson(rng, len(outputs), 2000.0, input_tokens=outputs % 7, output_tokens=outputs)
    for blocks in (1 << 24, 2500):
        # with few blocks those that leave beyond the ring are preempted too
        replica = replace(ALONE, steps=flat_steps(8.0, 8), kv_blocks=blocks)
        case = IterationCase(
            replica=replica,
            lives=lives,
            rules=QueueRules(prefill_balancer="random"),
            requests=requests,
            end_us=1e6,
            follows=np.zeros(0, np.int64),
            think_us=np.zeros(0),
        )
        reference = compare(case, [4, 11])
        assert any(request.preempted for request in reference.requests) == (blocks == 2500)


def test_units_and_requests_may_be_none() -> None:
    none = poisson(np.random.default_rng(1), 0, 1.0)
    some = poisson(np.random.default_rng(1), 3, 1.0, output_tokens=np.array([2, 1, 2]))
    for count, requests, want in ((1, none, 0), (0, none, 0), (0, some, 3)):
        stage = IterationStage(ALONE, units(count), QueueRules(), until(1e4))
        stage.feed(requests)
        stage.finish()
        assert stage.prompts.in_flight == want


def test_units_beyond_count_are_opened_one_after_the_other() -> None:
    begin = np.repeat(np.arange(40) * 500.0, 2)
    lives = Lives(begin, begin + 600, begin + 700)
    rng = np.random.default_rng(3)
    tokens, outputs = rng.integers(0, 9, 2000), rng.geometric(1 / 20, 2000)
    case = IterationCase(
        replica=replace(ALONE, steps=flat_steps(2.0, 8)),
        lives=lives,
        rules=QueueRules(prefill_balancer="two-key"),
        requests=poisson(rng, 2000, 10.0, input_tokens=tokens, output_tokens=outputs),
        end_us=25000.0,
        follows=np.zeros(0, np.int64),
        think_us=np.zeros(0),
    )
    reference = compare(case, range(100, 2000, 100))
    assert sum(unit.moved for unit in reference.units) > 0


@pytest.mark.parametrize("prompts_first", [True, False])
def test_mean_requests_are_completions_per_second_times_their_time(prompts_first: bool) -> None:
    rng, count = np.random.default_rng(7), 40_000
    replica = replace(ALONE, steps=flat_steps(100.0, 8), prefill_first=prompts_first)
    outputs, tokens = rng.geometric(1 / 20, count), rng.integers(1, 200, count)
    requests = poisson(rng, count, 150.0, input_tokens=tokens, output_tokens=outputs)
    end_us = float(requests.arrival_us[-1])
    stage = IterationStage(replica, units(4), QueueRules(), Span(from_us=0.0, to_us=end_us, end_us=end_us))
    stage.feed(requests)
    stage.finish()
    hours, minutes = stage.streams.hours, stage.minutes
    # rows count from the step after their prompt, which is told as their first token; with prompts first they also
    # wait for steps of others' prompts, in which nobody is a row
    in_rows = hours["e2e_us"].sum() - stage.prompts.hours["ttft_us"].sum()
    there = minutes["stream_us"].sum()
    assert there > 5 * end_us
    if prompts_first:
        assert there < in_rows
        return
    assert there == pytest.approx(in_rows, rel=0.002)


def interval(values: list[float]) -> tuple[float, float]:
    """99 % confidence interval of the mean of ten (Student's t with nine degrees of freedom: 3.250)."""
    assert len(values) == 10
    half = 3.250 * np.std(values, ddof=1) / np.sqrt(10)
    return np.mean(values) - half, np.mean(values) + half


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_sequence_at_a_time_waits_as_in_a_queue_with_one_server(load: float, fixed: bool) -> None:
    mean, count, waits = 10_000.0, 100_000, []
    table = PromptTable(1 << 20, np.tile([0.0, float(1 << 20)], (2, 1)))
    replica = replace(ALONE, steps=flat_steps(0.0, 1), prompts=table, max_sequences=1)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        work = np.full(count, round(mean)) if fixed else np.ceil(rng.exponential(mean, count)).astype(np.int64)
        requests = poisson(rng, count, mean / load, input_tokens=work)
        stage = IterationStage(replica, units(1), QueueRules(), until_empty(requests))
        stage.feed(requests)
        stage.finish()
        waits.append(stage.queue_us.sum() / count)
    # Pollaczek-Khinchine, M/D/1 and M/M/1
    low, high = interval(waits)
    assert low < (0.5 if fixed else 1.0) * load / (1 - load) * mean < high
    assert high - low < 0.25 * high


def test_users_who_ask_again_after_their_answer_and_a_thought_keep_so_many_requests_there() -> None:
    # eight users, a prompt of 500 us and nine steps of a millisecond each, then 2 ms of thinking
    users, turns = 8, 50
    count = users * turns
    none = np.zeros(count, np.int64)
    requests = Requests(
        arrival_us=none,
        input_tokens=none + 500,
        cached_input_tokens=none,
        output_tokens=none + 10,
        class_id=none,
        session_id=none - 1,
    )
    follows = np.arange(count) - users
    stage = IterationStage(ALONE, units(users), QueueRules(), until(1e9, 1), keep=count)
    came = stage.follow(requests, np.maximum(follows, -1), np.full(count, 2000.0))
    stage.finish()
    # each on a unit of its own: a turn takes 500 + 9,000 and a thought of 2,000
    assert came.tolist() == [11_500.0 * (seq // users) for seq in range(count)]
    assert (stage.kept["finish_us"] - came).tolist() == [9500.0] * count
