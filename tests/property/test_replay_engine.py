"""The fast engine against the reference, request by request and tally by tally; chunks, conservation, queues."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import factorial, inf, isnan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.core.replay.requests.kernels import choice as choice_kernels
from planner.core.replay.requests.kernels.layout import E2E, HOUR_US, MINUTE_US, RING, TPOT
from planner.core.replay.requests.latency import quantiles_ms
from planner.core.replay.requests.missed import missed
from planner.core.replay.requests.model import (
    BALANCERS,
    Lives,
    QueueRules,
    Requests,
    Span,
    StepTables,
)
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.errors import UsageError
from tests.helpers.replay_cases import Case, cases, slowed
from tests.helpers.replay_engine import (
    SERVICE,
    busy_case,
    compare,
    fared,
    flat_steps,
    poisson,
    run,
    units,
    until_empty,
)
from tests.helpers.replay_reference import Replay
from tests.helpers.replay_units import Begun

HUNDRED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def cuts(draw: st.DrawFn, rows: int) -> list[int]:
    """Where a trace is cut into chunks, some of them empty."""
    return sorted(draw(st.lists(st.integers(0, rows), max_size=5)))


@pytest.mark.parametrize("quarter", range(4))
@HUNDRED
@given(case=cases(), data=st.data())
def test_every_request_fares_as_in_the_reference(quarter: int, case: Case, data: st.DataObject) -> None:
    # four times a hundred cases, so that processes share them
    case = slowed(case, data.draw(st.sampled_from((1.0, 2.0**18))))
    ranks = data.draw(st.sampled_from((1, 1, 2, 5)))
    compare(case, data.draw(cuts(len(case[4]))), ranks, data.draw(st.sampled_from(BALANCERS)))


@HUNDRED
@given(cases(stressed=True), st.data())
def test_failures_retries_and_prefix_blocks_together_fare_as_in_the_reference(case: Case, data: st.DataObject) -> None:
    compare(slowed(case, 2.0**18), data.draw(cuts(len(case[4]))), data.draw(st.sampled_from((1, 2))), "two-key")


def by_hour_and_class(
    span: Span, requests: Requests, seqs: Iterable[int], values: Callable[[int], float]
) -> np.ndarray:
    """Sums of values of requests that count."""
    table = np.zeros((span.hours, span.classes))
    for seq in seqs:
        if span.from_us <= requests.arrival_us[seq] < span.to_us:
            hour = int((requests.arrival_us[seq] - span.from_us) // HOUR_US)
            table[hour, requests.class_id[seq]] += values(seq)
    return table


def histogram(span: Span, requests: Requests, seqs: list[int], latency_us: Callable[[int], float]) -> np.ndarray:
    """Requests that count by hour, class and bucket: 128 in each doubling from 1 us on."""
    places = np.arange(40 * 128)
    edges = 2.0 ** (places // 128) * (1 + places % 128 / 128)
    table = np.zeros((span.hours, span.classes, len(places)))
    for seq in seqs:
        bucket = max(0, int(np.searchsorted(edges, latency_us(seq), side="right")) - 1)
        table[:, :, bucket] += by_hour_and_class(span, requests, [seq], lambda _: 1.0)
    return table


@HUNDRED
@given(cases(), st.data())
def test_tallies_by_hour_and_class_are_sums_over_the_requests_that_count(case: Case, data: st.DataObject) -> None:
    case = slowed(case, data.draw(st.sampled_from((2.0**18, 2.0**23))))
    requests, end_us = case[4], case[5]
    targets = [data.draw(st.sampled_from((20.0, 80.0, 500.0))) * 2.0**20 for _ in range(2)]
    from_us = data.draw(st.sampled_from((0.0, float(requests.arrival_us[len(requests) // 3]))))
    to_us = data.draw(st.sampled_from((end_us, float(requests.arrival_us[-1] // 2)))) + 1.0
    span = Span(
        from_us=from_us,
        to_us=max(from_us, to_us),
        end_us=end_us,
        classes=3,
        ttft_us=targets[0],
        tpot_us=targets[1],
    )
    reference = Replay(*case[:5])
    reference.run(end_us)
    prefill, decode = run(case, span, data.draw(cuts(len(requests))))
    outcomes = [request.outcome for request in reference.requests]
    read = [outcome.seq for outcome in outcomes if not isnan(outcome.first_token_us)]
    done = [outcome.seq for outcome in outcomes if outcome.status == "completed"]
    several = [seq for seq in done if requests.output_tokens[seq] > 1]

    def ttft(seq: int) -> float:
        return outcomes[seq].first_token_us - float(requests.arrival_us[seq])

    def e2e(seq: int) -> float:
        return outcomes[seq].finish_us - float(requests.arrival_us[seq])

    def tpot(seq: int) -> float:
        return (outcomes[seq].finish_us - outcomes[seq].first_token_us) / int(requests.output_tokens[seq] - 1)

    def good(seq: int) -> bool:
        return ttft(seq) <= span.ttft_us and (seq not in several or tpot(seq) <= span.tpot_us)

    arrived = [seq for seq in range(len(requests)) if requests.arrival_us[seq] <= end_us]
    full, late = ([seq for seq in arrived if outcomes[seq].status == f"rejected-{why}"] for why in ("queue", "timeout"))
    for tally, name, seqs, value in (
        (prefill.hours, "arrived", arrived, lambda _: 1.0),
        (prefill.hours, "full", full, lambda _: 1.0),
        (prefill.hours, "late", late, lambda _: 1.0),
        (prefill.hours, "read", read, lambda _: 1.0),
        (prefill.hours, "ttft_us", read, ttft),
        (prefill.hours, "ttft_met", read, lambda seq: ttft(seq) <= span.ttft_us),
        (decode.hours, "completed", done, lambda _: 1.0),
        (decode.hours, "good", done, good),
        (decode.hours, "e2e_us", done, e2e),
        (decode.hours, "with_tpot", several, lambda _: 1.0),
        (decode.hours, "tpot_us", several, tpot),
        (decode.hours, "tpot_met", several, lambda seq: tpot(seq) <= span.tpot_us),
    ):
        np.testing.assert_allclose(tally[name], by_hour_and_class(span, requests, seqs, value), 1e-12, err_msg=name)
    assert (prefill.ttft == histogram(span, requests, read, ttft)).all()
    assert (decode.histograms[E2E] == histogram(span, requests, done, e2e)).all()
    assert (decode.histograms[TPOT] == histogram(span, requests, several, tpot)).all()


@HUNDRED
@given(cases() | cases(stressed=True), st.data())
def test_tallies_by_minute_are_what_is_there_times_how_long(case: Case, data: st.DataObject) -> None:
    case = slowed(case, 2.0**20)
    reference = Replay(*case[:5])
    reference.run(case[5])
    prefill, decode = run(
        case, Span(from_us=0.0, to_us=case[5] + 1.0, end_us=case[5], classes=3), data.draw(cuts(len(case[4])))
    )

    def minutes(pairs: Iterable[tuple[float, float]]) -> np.ndarray:
        table = np.zeros(len(prefill.minutes))
        for at, value in pairs:
            table[min(int(at // MINUTE_US), len(table) - 1)] += value
        return table

    def sums(begun: list[Begun], value: Callable[[Begun], float]) -> np.ndarray:
        return minutes((each.at, value(each)) for each in begun)

    passes = [each for unit in reference.prefill for each in unit.log.begun]
    steps = [each for unit in reference.decode for each in unit.log.begun]
    ended = [each for unit in reference.decode for each in unit.log.begun[: unit.log.steps]]
    most = np.zeros(len(decode.minutes))
    for each in steps:
        minute = min(int(each.at // MINUTE_US), len(most) - 1)
        most[minute] = max(most[minute], each.tokens + each.number * case[0].kv_stream_tokens)
    for name in ("prefill busy_us", "prefill work_us", "decode busy_us", "decode stream_us", "decode kv_token_us"):
        role, field = name.split()
        tally = (prefill if role == "prefill" else decode).minutes[field]
        want = [reference.minutes[name, minute] for minute in range(len(tally))]
        np.testing.assert_allclose(tally, want, 1e-9, 1e-3, err_msg=name)
    for name, stage in (("prefill queue_us", prefill), ("decode queue_us", decode)):
        want = [reference.minutes[name, minute] for minute in range(len(stage.queue_us))]
        np.testing.assert_allclose(stage.queue_us, want, 1e-9, 1e-3, err_msg=name)
    for name, tally, want in (
        ("tokens", prefill.minutes, sums(passes, lambda each: each.tokens)),
        ("kv_tokens_most", decode.minutes, most),
        ("tokens", decode.minutes, minutes((each.at + each.lasts, each.number) for each in ended)),
    ):
        np.testing.assert_allclose(tally[name], want, 1e-12, err_msg=name)


@HUNDRED
@given(cases(), st.sampled_from((0.0, 30.0, 1e6)), st.sampled_from((0.0, 5.0, 1e6)))
def test_who_is_not_done_though_the_time_has_passed_has_missed_the_target(case: Case, ttft: float, tpot: float) -> None:
    decode = replace(case[2], fail_us=np.full(len(case[2]), inf))
    case = (*case[:2], decode, *case[3:])
    requests, end_us = case[4], case[5]
    span = Span(from_us=0.0, to_us=end_us + 1.0, end_us=end_us, classes=3, ttft_us=ttft, tpot_us=tpot)
    reference = Replay(*case[:5])
    reference.run(end_us)
    there = [
        request for request in reference.requests if request.outcome.status == "in-flight" and request.arrival <= end_us
    ]
    unread = [each for each in there if isnan(each.outcome.first_token_us)]
    read = [each for each in there if not isnan(each.outcome.first_token_us)]
    waits = [each.seq for each in unread if end_us - each.arrival > ttft]
    slow = [each.seq for each in read if end_us - each.outcome.first_token_us > tpot * (each.output - 1)]
    began_late = [each.seq for each in read if each.outcome.first_token_us - each.arrival > ttft]
    found = missed(*run(case, span), span)
    for counted, seqs in ((found.ttft, waits), (found.tpot, slow), (found.both, waits + sorted({*slow, *began_late}))):
        assert (counted == by_hour_and_class(span, requests, seqs, lambda _: 1.0)).all()


@HUNDRED
@given(cases() | cases(stressed=True), st.data())
def test_how_a_trace_is_cut_into_chunks_changes_nothing(case: Case, data: st.DataObject) -> None:
    case = slowed(case, 2.0**20)
    span = Span(from_us=0.0, to_us=case[5] + 1.0, end_us=case[5], classes=3)
    whole, cut = run(case, span), run(case, span, data.draw(cuts(len(case[4]))))
    for one, other in zip(whole, cut, strict=True):
        assert repr(one.kept.tolist()) == repr(other.kept.tolist())
        assert repr(one.drain_us.tolist()) == repr(other.drain_us.tolist())
        for name in one.minutes.dtype.names:
            assert (one.minutes[name] == other.minutes[name]).all()
        np.testing.assert_allclose(one.queue_us, other.queue_us, 1e-9, 1e-3)
        for name in one.hours.dtype.names:
            # times are summed in another order
            np.testing.assert_allclose(one.hours[name], other.hours[name], 1e-12)
    assert (whole[0].ttft == cut[0].ttft).all()
    assert (whole[1].histograms == cut[1].histograms).all()
    assert all((one.samples == other.samples).all() for one, other in zip(whole, cut, strict=True))


@pytest.mark.parametrize(("load", "ranks"), [(0.95, 1), (1.0, 6), (1.05, 1)])
def test_a_busy_fleet_fares_as_in_the_reference(load: float, ranks: int) -> None:
    case = busy_case(round(100 * load), load, 4000)
    reference = compare(case, range(500, 4000, 500), ranks, "least-kv")
    assert sum(request.outcome.status == "completed" for request in reference.requests) > 3000
    assert sum(unit.log.moved_out for unit in reference.decode) > 0


def test_answers_longer_than_the_ring_leave_in_their_step() -> None:
    rng = np.random.default_rng(5)
    outputs = np.array([*rng.integers(RING - 3, 3 * RING, 12), RING, RING + 1, RING + 2, 2 * RING + 1, 30, 2])
    lives = Lives(np.array([0.0, 0.0, 9000.0]), np.array([inf, 20000.0, inf]), np.array([inf, 60000.0, inf]))
    requests = poisson(rng, len(outputs), 2000.0, input_tokens=outputs % 7, output_tokens=outputs)
    service = replace(SERVICE, steps=StepTables(*np.array([[8.0] * 9, [0] * 9, range(9), [1 / 65536] * 9])))
    for ranks in (1, 3):
        compare((service, units(1), lives, QueueRules(), requests, 1e6), [4, 11], ranks, "random")


def test_units_and_requests_may_be_none() -> None:
    none, nobody = poisson(np.random.default_rng(1), 0, 1.0), units(0)
    some = poisson(np.random.default_rng(1), 3, 1.0, output_tokens=np.array([2, 1, 2]))
    span = Span(from_us=0.0, to_us=100.0, end_us=1e4)
    for prefill, decode, requests, want in (
        (units(1), units(1), none, []),
        (nobody, nobody, none, []),
        (nobody, units(1), some, ["in-flight"] * 3),
        (units(1), nobody, some, ["in-flight", "completed", "in-flight"]),
    ):
        stages = run((SERVICE, prefill, decode, QueueRules(), requests, 1e4), span, [0, 0])
        assert [row[0] for row in fared(stages)] == want


def test_units_beyond_count_are_opened_one_after_the_other() -> None:
    # forty pairs of units, each there for a while: rows and arrays of those that are gone are used again
    begin = np.repeat(np.arange(40) * 500.0, 2)
    lives = Lives(begin, begin + 600, begin + 700)
    rng = np.random.default_rng(3)
    requests = poisson(
        rng, 2000, 10.0, input_tokens=rng.integers(0, 9, 2000), output_tokens=rng.geometric(1 / 20, 2000)
    )
    service = replace(SERVICE, missed_us=0.125, pass_tokens=64, steps=flat_steps(2.0, 8))
    case = (service, lives, lives, QueueRules(), requests, 25000.0)
    compare(case, range(100, 2000, 100), 1, "two-key")
    _, decode = run(case, Span(from_us=0.0, to_us=25000.0, end_us=25000.0), range(100, 2000, 100))
    assert decode.slots < 16


def test_the_affinity_table_has_room_for_all_who_come_again_by_their_session() -> None:
    count = 50
    none, rows = np.zeros(count, np.int64), np.arange(count)
    # all share a block, one is read, one waits, and all others come again long after they arrived
    requests = Requests(
        arrival_us=rows,
        input_tokens=none + 500,
        cached_input_tokens=none,
        output_tokens=none,
        class_id=none,
        session_id=rows,
        block_from=np.arange(count + 1),
        block_ids=none,
    )
    rules = QueueRules(prefill_balancer="prefix-aware", queue_limit=1, retries=1, retry_after_us=2e5)
    case = (SERVICE, units(1), units(1), rules, requests, 1e6)
    compare(case, range(10, count, 10), 1, "two-key")
    prefill, _ = run(case, Span(from_us=0.0, to_us=1e6, end_us=1e6), range(10, count, 10))
    assert count - 2 < prefill.affinities <= prefill.affinity_slots / 2


def test_step_tables_have_one_entry_more_than_streams() -> None:
    with pytest.raises(UsageError, match="9 entries for 7 streams"):
        DecodeStage(replace(SERVICE, most_streams=7), units(1), QueueRules(), Span(from_us=0.0, to_us=1.0, end_us=1.0))


@HUNDRED
@given(cases() | cases(stressed=True), st.data())
def test_what_arrives_is_completed_in_flight_or_rejected(case: Case, data: st.DataObject) -> None:
    requests, end_us = case[4], case[5]
    from_us, to_us = (data.draw(st.sampled_from(part)) * (end_us + 1) for part in ((0.0, 0.2), (1.0, 0.3, 0.2)))
    prefill, decode = run(
        case, Span(from_us=from_us, to_us=to_us, end_us=end_us, classes=3), data.draw(cuts(len(requests)))
    )
    came = (requests.arrival_us <= end_us) & (requests.arrival_us >= from_us) & (requests.arrival_us < to_us)
    read, completed = prefill.hours["read"].sum(), decode.hours["completed"].sum()
    rejected = prefill.hours["full"].sum() + prefill.hours["late"].sum()
    assert prefill.hours["arrived"].sum() == np.count_nonzero(came)
    assert completed + rejected + prefill.in_flight + decode.in_flight == np.count_nonzero(came)
    assert rejected <= np.count_nonzero(came) - read
    if not decode.lost:
        assert (rejected + prefill.in_flight, completed + decode.in_flight) == (np.count_nonzero(came) - read, read)
    whole = run(case, Span(from_us=0.0, to_us=end_us + 1, end_us=end_us, classes=3))
    assert [stage.in_flight for stage in whole] == [len(stage.in_system) for stage in whole]


def test_mean_streams_are_completions_per_second_times_their_time() -> None:
    service, _, _, _, requests, end_us = busy_case(7, 0.7, 40000)
    stages = run(
        (service, units(2), units(3), QueueRules(), requests, end_us), Span(from_us=0.0, to_us=end_us, end_us=end_us)
    )
    minutes, hours = stages[1].minutes, stages[1].hours
    completed = hours["completed"].sum()
    in_steps = (hours["e2e_us"].sum() - stages[0].hours["ttft_us"].sum() - stages[1].queue_us.sum()) / completed
    assert minutes["stream_us"].sum() / end_us == pytest.approx(completed / end_us * in_steps, rel=0.002)
    assert minutes["stream_us"].sum() / end_us > 20


def interval(values: list[float]) -> tuple[float, float]:
    """99 % confidence interval of the mean of ten (Student's t with nine degrees of freedom: 3.250)."""
    assert len(values) == 10
    half = 3.250 * np.std(values, ddof=1) / np.sqrt(10)
    return np.mean(values) - half, np.mean(values) + half


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_prompts_wait_as_in_a_queue_with_one_server(load: float, fixed: bool) -> None:
    mean, count, waits = 10_000.0, 200_000, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        work = np.full(count, round(mean)) if fixed else np.ceil(rng.exponential(mean, count)).astype(np.int64)
        requests = poisson(rng, count, mean / load, input_tokens=work)
        prefill = PrefillStage(SERVICE, units(1), QueueRules(), until_empty(requests))
        prefill.feed(requests)
        prefill.finish()
        waits.append(prefill.queue_us.sum() / count)
    # Pollaczek-Khinchine, M/D/1 and M/M/1
    low, high = interval(waits)
    assert low < (0.5 if fixed else 1.0) * load / (1 - load) * mean < high
    assert high - low < 0.25 * high


def erlang_c(servers: int, load: float) -> float:
    """Probability that a customer waits (Erlang, 1917)."""
    offered = servers * load
    waits = offered**servers / factorial(servers) / (1 - load)
    return waits / (sum(offered**k / factorial(k) for k in range(servers)) + waits)


def test_streams_wait_for_a_slot_as_in_a_queue_with_as_many_servers() -> None:
    step_us, steps, load, count, waits = 1000.0, 400, 0.8, 30_000, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        output = 1 + rng.geometric(1 / steps, count)
        requests = poisson(rng, count, step_us * steps / 8 / load, output_tokens=output)
        stages = run((SERVICE, units(1), units(1), QueueRules(), requests, 0.0), until_empty(requests))
        waits.append(stages[1].queue_us.sum() / count)
    low, high = interval(waits)
    # who comes during a step waits half of one for its end
    assert low - step_us / 2 < erlang_c(8, load) * step_us * steps / 8 / (1 - load) < high
    assert high - low < 0.25 * high


def test_quantiles_from_buckets_are_within_a_percent_and_a_bit() -> None:
    values = np.random.default_rng(2).lognormal(12.0, 2.0, 20000)
    counts = np.zeros(choice_kernels.BUCKETS, np.int64)
    for value in values:
        counts[choice_kernels.bucket_of(value)] += 1
    shares = (0.01, 0.5, 0.9, 0.99, 0.999)
    exact = np.quantile(values, shares, method="inverted_cdf") / 1e3
    np.testing.assert_allclose(np.array(quantiles_ms(counts, shares), np.float64), exact, rtol=0.004)
    assert [choice_kernels.bucket_of(us) for us in (0.0, 0.5, 1.0, 2.0, 1e300)] == [0, 0, 0, 128, 5119]
