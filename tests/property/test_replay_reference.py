"""The reference replay by hand: passes, steps, waiting, units that come and go, and nothing lost."""

from collections import Counter
from dataclasses import replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, StepTables
from planner.settings.replay import BalancerName
from tests.helpers.replay_cases import Case, cases
from tests.helpers.replay_reference import Replay, simulate
from tests.helpers.replay_units import Outcome, UnitLog

Result = tuple[list[Outcome], list[UnitLog], list[UnitLog]]


def steps(low: float, low_token: float = 0.0, high: float = 0.0, high_token: float = 0.0) -> StepTables:
    """Steps of max(low * n + low_token * K, high + high_token * K) us."""
    return StepTables(
        np.array([low * n for n in range(9)]), np.full(9, low_token), np.full(9, high), np.full(9, high_token)
    )


PLAIN = Service(
    prefill_ranks=1,
    prefill_share=1.0,
    missed_us=2.0,
    context_us=0.0,
    pass_us=10.0,
    pass_tokens=100,
    chunk_tokens=100,
    kv_us_per_token=0.0,
    kv_capacity_tokens=1000.0,
    most_streams=8,
    steps=steps(10.0),
)


def units(*rows: tuple[float, float, float]) -> Lives:
    return Lives(*np.array(rows or [(0.0, inf, inf)], np.float64).T)


STAYS = units()
SIMPLE = QueueRules()


def replay(
    *rows: tuple[int, int, int, int],
    service: Service = PLAIN,
    prefill: Lives = STAYS,
    decode: Lives = STAYS,
    end_us: float = inf,
    rules: QueueRules = SIMPLE,
) -> Result:
    """Rows: arrival, input, cached and output tokens."""
    arrival, tokens, cached, output = np.array(rows, np.int64).T
    none = np.full(len(rows), -1, np.int64)
    return simulate(
        service,
        prefill,
        decode,
        rules,
        Requests(
            arrival_us=arrival,
            input_tokens=tokens,
            cached_input_tokens=cached,
            output_tokens=output,
            class_id=none,
            session_id=none,
        ),
        end_us,
    )


def first_tokens(result: Result) -> list[float]:
    return [outcome.first_token_us for outcome in result[0]]


def finishes(result: Result) -> list[float]:
    return [outcome.finish_us for outcome in result[0]]


def states(result: Result) -> list[str]:
    return [outcome.status for outcome in result[0]]


def test_one_request_alone_takes_a_pass_its_transfer_and_its_steps() -> None:
    service = replace(PLAIN, context_us=0.5, kv_us_per_token=1.0, steps=steps(10.0, 0.5))
    outcomes, prefill, decode = replay((100, 30, 10, 4), service=service)
    # 20 missed after 10: 20 * (2 + 0.5 * (10 + 10)) = 240, and 10 for the pass: 350
    # its 30 tokens travel until 380; steps of 10 + 0.5 * (30, 31, 32) = 25, 25.5, 26
    assert outcomes == [
        Outcome(
            seq=0,
            status="completed",
            prefill_unit=0,
            enqueued_us=100.0,
            first_token_us=350.0,
            decode_unit=0,
            finish_step=3,
            finish_us=456.5,
            moved=0,
        )
    ]
    assert (outcomes[0].finish_us - outcomes[0].first_token_us) / 3 == 35.5
    assert (prefill[0].steps, prefill[0].clock_us, prefill[0].busy_us) == (1, 350.0, 250.0)
    assert (decode[0].steps, decode[0].clock_us, decode[0].busy_us) == (3, 456.5, 76.5)
    assert isnan(prefill[0].drain_us)
    assert isnan(decode[0].drain_us)


def test_a_step_takes_the_longer_of_two_lines() -> None:
    # max(10, 0.5 K) for K = 18, 19, 20, 21
    assert finishes(replay((0, 18, 18, 5), service=replace(PLAIN, steps=steps(10.0, 0.0, 0.0, 0.5)))) == [50.5]


@pytest.mark.parametrize("output", [0, 1])
def test_no_token_or_one_ends_with_prefill(output: int) -> None:
    outcomes, _, decode = replay((0, 10, 0, output))
    assert outcomes == [
        Outcome(
            seq=0,
            status="completed",
            prefill_unit=0,
            enqueued_us=0.0,
            first_token_us=30.0,
            decode_unit=-1,
            finish_step=-1,
            finish_us=30.0,
            moved=0,
        )
    ]
    assert repr(decode) == repr([UnitLog()])


def test_requests_that_wait_go_into_one_pass() -> None:
    # 0 to 30 the first; then 10 + 20 + 40
    assert first_tokens(replay((0, 10, 0, 1), (5, 10, 0, 1), (6, 20, 0, 1))) == [30.0, 100.0, 100.0]


def test_a_long_prompt_bounds_the_pass_of_many_ranks() -> None:
    # the ranks do 60 us of work in 60 / (4 * 0.5) = 30, but the prompt of 20 tokens is on one rank: 40
    service = replace(PLAIN, prefill_ranks=4, prefill_share=0.5)
    assert first_tokens(replay((0, 10, 0, 1), (5, 10, 0, 1), (6, 20, 0, 1), service=service)) == [30.0, 80.0, 80.0]


def test_a_pass_takes_as_many_missed_tokens_as_it_may_and_one_prompt_at_least() -> None:
    service = replace(PLAIN, pass_tokens=25)
    rows = [(0, 10, 0, 1)] + [(5, 10, 0, 1)] * 3
    assert first_tokens(replay(*rows, service=service)) == [30.0, 80.0, 80.0, 110.0]
    assert first_tokens(replay((0, 60, 0, 1), (5, 60, 10, 1), (6, 1, 0, 1), service=service)) == [130.0, 240.0, 252.0]


def test_a_prompt_goes_through_passes_in_pieces() -> None:
    service = replace(PLAIN, context_us=0.5, chunk_tokens=8)
    # 20 missed after 4: 8 * (2 + 0.5 * (4 + 4)) = 48, 8 * (2 + 0.5 * (12 + 4)) = 80, 4 * (2 + 0.5 * (20 + 2)) = 52
    outcomes, logs, _ = replay((0, 24, 4, 1), service=service)
    assert outcomes[0].first_token_us == 58.0 + 90.0 + 62.0
    assert (logs[0].steps, logs[0].busy_us) == (3, 210.0)
    # the second joins the second pass, before the end of the first: 10 + 80 + 4 * (2 + 0.5 * 2)
    assert first_tokens(replay((0, 24, 4, 1), (5, 4, 0, 1), service=service)) == [222.0, 160.0]
    # unless the piece of the first leaves no room: then both are in the third pass, 10 + 52 + 12
    assert first_tokens(replay((0, 24, 4, 1), (5, 4, 0, 1), service=replace(service, pass_tokens=8))) == [222.0, 222.0]


def test_a_prompt_that_was_begun_stays_whatever_the_time_out_and_the_drain() -> None:
    lives = units((0.0, 15.0, 15.0), (40.0, inf, inf))
    service = replace(PLAIN, chunk_tokens=10)
    rows, rules = [(0, 25, 0, 1), (5, 0, 0, 1)], QueueRules(timeout_us=35.0)
    result = replay(*rows, service=service, prefill=lives, rules=rules)
    # passes of 30, 30 and 20 on the first unit; the other request is dispatched anew, at 40
    assert first_tokens(result) == [80.0, 50.0]
    assert (result[1][0].steps, result[1][0].drain_us) == (3, 65.0)
    assert isnan(replay(*rows, service=service, prefill=lives, rules=rules, end_us=70.0)[1][0].drain_us)


def test_a_second_stream_joins_at_the_next_boundary_and_lengthens_the_step() -> None:
    # first: steps 10-20, 20-30, 30-50; second handed over at 20, when the step of that moment has begun: 30-50, 50-60
    result = replay((0, 0, 0, 4), (5, 0, 0, 3))
    assert finishes(result) == [50.0, 60.0]
    assert [outcome.finish_step for outcome in result[0]] == [3, 4]
    assert result[2][0].steps == 4


def test_an_idle_unit_begins_with_the_first_that_is_handed_over_even_of_one_pass() -> None:
    # both of the second pass are there at 20; the step 20-30 begins with the first alone
    assert finishes(replay((0, 0, 0, 1), (5, 0, 0, 2), (5, 0, 0, 2))) == [10.0, 30.0, 40.0]


def test_the_head_of_the_line_waits_for_its_tokens_and_so_does_who_stands_behind() -> None:
    service = replace(PLAIN, kv_us_per_token=1.0)
    assert finishes(replay((0, 0, 0, 1), (5, 50, 50, 2), (5, 0, 0, 2), service=service)) == [10.0, 90.0, 90.0]


def test_a_step_begins_without_those_whose_tokens_are_under_way() -> None:
    # handed over at 20, ready at 45: the boundaries at 30 and 40 are too early
    service = replace(PLAIN, kv_us_per_token=1.0)
    assert finishes(replay((0, 0, 0, 5), (0, 25, 25, 2), service=service)) == [50.0, 60.0]


def test_a_request_waits_for_room_in_the_cache() -> None:
    service = replace(PLAIN, kv_capacity_tokens=30.0)
    # handed over at 20; at the boundary at 30 the first holds 22 tokens
    assert finishes(replay((0, 20, 20, 4), (0, 8, 8, 3), service=service)) == [50.0, 60.0]
    assert finishes(replay((0, 20, 20, 4), (0, 9, 9, 3), service=service)) == [40.0, 60.0]


def test_what_each_stream_takes_beside_its_tokens_fills_the_cache_too() -> None:
    """As above with 30 tokens of room, but for 3 more of each of two streams."""
    service = replace(PLAIN, kv_capacity_tokens=36.0, kv_stream_tokens=3.0)
    assert finishes(replay((0, 20, 20, 4), (0, 8, 8, 3), service=service)) == [50.0, 60.0]
    assert finishes(replay((0, 20, 20, 4), (0, 9, 9, 3), service=service)) == [40.0, 60.0]


def test_nobody_overtakes_who_waits_for_room() -> None:
    service = replace(PLAIN, kv_capacity_tokens=30.0)
    assert finishes(replay((0, 20, 20, 4), (0, 20, 20, 2), (0, 1, 1, 2), service=service)) == [40.0, 60.0, 60.0]


def test_a_request_waits_while_there_are_most_streams() -> None:
    service = replace(PLAIN, most_streams=1)
    assert finishes(replay((0, 0, 0, 4), (0, 0, 0, 2), service=service)) == [40.0, 50.0]


def test_an_empty_unit_takes_even_what_is_larger_than_its_cache() -> None:
    assert finishes(replay((0, 50, 50, 3), service=replace(PLAIN, kv_capacity_tokens=30.0))) == [30.0]


def test_a_window_gathers_requests_for_a_pass() -> None:
    rules = QueueRules(mode="window", window_us=100.0)
    # at 100, before the arrival of that moment; which waits from 100 to 200
    rows = [(0, 10, 0, 1), (60, 10, 0, 1), (100, 10, 0, 1)]
    assert first_tokens(replay(*rows, rules=rules)) == [150.0, 150.0, 230.0]
    # a full pass does not wait; the window of the third ends at 170, long after that pass
    rows = [(0, 10, 0, 1), (60, 10, 0, 1), (70, 10, 0, 1)]
    assert first_tokens(replay(*rows, rules=rules, service=replace(PLAIN, pass_tokens=20))) == [110.0, 110.0, 200.0]
    # a window that ended during a pass: the next pass begins when that one ends
    rows = [(0, 95, 0, 1), (150, 0, 0, 1)]
    assert first_tokens(replay(*rows, rules=rules)) == [300.0, 310.0]


def test_without_a_window_a_pass_begins_at_once() -> None:
    rows = [(0, 10, 0, 1), (0, 10, 0, 1), (70, 10, 0, 1)]
    at_once = replay(*rows)
    assert first_tokens(at_once) == [30.0, 60.0, 100.0]
    assert repr(replay(*rows, rules=QueueRules(mode="window"))) == repr(at_once)


def test_the_depth_of_the_queue_sets_the_batch() -> None:
    rules = QueueRules(mode="depth", depth_from=(0, 3), depth_batch=(1, 2))
    rows = [(0, 0, 0, 1)] + [(5, 0, 0, 1)] * 4
    # four wait at 10: two go; then two wait: one goes
    assert first_tokens(replay(*rows, rules=rules)) == [10.0, 20.0, 20.0, 30.0, 40.0]


def test_a_full_queue_rejects() -> None:
    rows = [(0, 0, 0, 1), (1, 0, 0, 1), (2, 0, 0, 1), (15, 0, 0, 1)]
    result = replay(*rows, rules=QueueRules(queue_limit=1))
    assert states(result) == ["completed", "completed", "rejected-queue", "completed"]
    assert repr(result[0][2]) == repr(Outcome(seq=2, status="rejected-queue"))


def test_a_rejected_request_comes_again_as_often_as_it_may() -> None:
    rows = [(0, 0, 0, 1), (1, 0, 0, 1), (2, 0, 0, 1), (3, 0, 0, 1)]
    rules = QueueRules(queue_limit=1, retries=1, retry_after_us=4.0)
    # the pass ends at 10 and begins the second; the third comes again at 6, the fourth at 7, and both find it waiting
    assert states(replay(*rows, rules=rules)) == ["completed", "completed", "rejected-queue", "rejected-queue"]
    outcomes = replay(*rows, rules=replace(rules, retries=3))[0]
    # at 10, as the pass ends, the third finds an empty queue; the fourth comes at 7, 11, 15 and finds it there
    assert [outcome.status for outcome in outcomes] == ["completed"] * 3 + ["rejected-queue"]
    assert [(outcome.first_token_us, outcome.tries) for outcome in outcomes[:3]] == [(10.0, 0), (20.0, 0), (30.0, 2)]


def test_a_time_out_counts_anew_from_each_try() -> None:
    rows = [(0, 10, 0, 1), (5, 0, 0, 1)]
    rules = QueueRules(timeout_us=10.0, retries=1, retry_after_us=7.0)
    outcomes = replay(*rows, rules=rules)[0]
    # the first pass ends at 30: 25 us are too long, at 37 the unit is free
    assert (outcomes[1].first_token_us, outcomes[1].tries) == (47.0, 1)


def with_blocks(rows: list[tuple[int, int, int, int]], blocks: list[list[int]]) -> Requests:
    arrival, tokens, cached, output = np.array(rows, np.int64).T
    none = np.full(len(rows), -1, np.int64)
    starts = np.cumsum([0, *(len(each) for each in blocks)])
    return Requests(
        arrival_us=arrival,
        input_tokens=tokens,
        cached_input_tokens=cached,
        output_tokens=output,
        class_id=none,
        session_id=none,
        block_from=starts,
        block_ids=np.array([block for each in blocks for block in each], np.int64),
    )


def test_hits_are_the_leading_blocks_that_the_chosen_unit_had_last() -> None:
    rows, blocks = [(0, 10, 0, 1), (100, 20, 9, 1), (200, 20, 9, 1), (300, 20, 9, 1)], [[1], [1, 2], [1, 2], [1, 3]]
    two = units((0.0, inf, inf), (0.0, inf, inf))

    def hits(balancer: BalancerName) -> list[tuple[int, int]]:
        rules = QueueRules(prefill_balancer=balancer, block_tokens=8)
        outcomes, _, _ = simulate(PLAIN, two, STAYS, rules, with_blocks(rows, blocks), inf)
        return [(outcome.prefill_unit, outcome.hits) for outcome in outcomes]

    assert hits("prefix-aware") == [(0, 0), (0, 8), (0, 16), (0, 8)]
    assert hits("round-robin") == [(0, 0), (1, 0), (0, 0), (1, 0)], "each takes the blocks from the other"


def test_hits_are_those_of_the_trace_unless_routing_is_to_find_them() -> None:
    requests = with_blocks([(0, 10, 3, 1), (100, 20, 9, 1)], [[1], [1, 2]])
    outcomes, _, _ = simulate(PLAIN, STAYS, STAYS, QueueRules(prefill_balancer="prefix-aware"), requests, inf)
    assert [outcome.hits for outcome in outcomes] == [3, 9]


def test_who_waited_too_long_is_rejected_when_its_turn_comes() -> None:
    rows = [(0, 10, 0, 1), (5, 0, 0, 1), (20, 0, 0, 1), (25, 0, 0, 1)]
    result = replay(*rows, rules=QueueRules(timeout_us=10.0))
    assert states(result) == ["completed", "rejected-timeout", "completed", "completed"]
    assert first_tokens(result)[2:] == [40.0, 40.0], "10 us are not too long"
    late = replay((0, 10, 0, 1), (5, 0, 0, 1), (40, 0, 0, 1), rules=QueueRules(timeout_us=10.0))
    assert first_tokens(late)[2] == 50.0, "a pass of nobody takes no time"
    assert late[1][0].steps == 2


def test_a_full_pass_still_rejects_the_next_in_line_that_waited_too_long() -> None:
    rules = QueueRules(prefill_balancer="round-robin", mode="depth", timeout_us=27.0)
    rows = [(0, 5, 0, 1), (0, 50, 0, 1), (1, 0, 0, 1), (2, 0, 0, 1), (25, 0, 0, 1)]
    # the fourth comes from the second unit at 28, behind the fifth; at 30 the fifth alone goes
    result = replay(*rows, prefill=units((0.0, inf, inf), (0.0, 28.0, inf)), rules=rules, end_us=35.0)
    assert states(result)[2:] == ["completed", "rejected-timeout", "in-flight"]


def test_the_depth_counts_those_that_are_rejected_then() -> None:
    rules = QueueRules(mode="depth", depth_from=(0, 3), depth_batch=(1, 2), timeout_us=20.0)
    rows = [(0, 10, 0, 1), (1, 0, 0, 1), (25, 0, 0, 1), (26, 0, 0, 1)]
    assert first_tokens(replay(*rows, rules=rules))[2:] == [40.0, 40.0]


def test_a_prefill_unit_that_drains_hands_its_queue_over_and_ends_its_pass() -> None:
    lives = units((0.0, 20.0, 21.0), (0.0, inf, inf))
    rows = [(0, 20, 0, 1), (1, 20, 0, 1), (2, 20, 0, 1), (3, 20, 0, 1)]
    outcomes, logs, _ = replay(*rows, prefill=lives, rules=QueueRules(prefill_balancer="round-robin", queue_limit=1))
    # 1 to 51 the second unit's first pass, then the fourth request and behind it the third, whatever the limit
    assert [outcome.first_token_us for outcome in outcomes] == [50.0, 51.0, 141.0, 141.0]
    assert [outcome.prefill_unit for outcome in outcomes] == [0, 1, 1, 1]
    assert [outcome.enqueued_us for outcome in outcomes] == [0.0, 1.0, 20.0, 3.0]
    assert (logs[0].steps, logs[0].drain_us) == (1, 30.0)
    assert isnan(logs[1].drain_us)


def test_requests_wait_for_the_first_prefill_unit_and_count_from_their_arrival() -> None:
    lives = units((100.0, inf, inf))
    result = replay((0, 0, 0, 1), (50, 0, 0, 1), (100, 0, 0, 1), prefill=lives)
    assert first_tokens(result) == [110.0, 120.0, 120.0]
    limited = replay((0, 0, 0, 1), (50, 0, 0, 1), (60, 0, 0, 1), prefill=lives, rules=QueueRules(queue_limit=1))
    assert states(limited) == ["completed", "completed", "rejected-queue"], "as if they arrived at 100"
    late = replay((0, 0, 0, 1), (50, 0, 0, 1), prefill=lives, rules=QueueRules(timeout_us=60.0))
    assert states(late) == ["rejected-timeout", "completed"]


def test_a_unit_that_starts_later_takes_work_from_that_moment() -> None:
    lives = units((0.0, inf, inf), (20.0, inf, inf))
    rows = [(0, 0, 0, 1), (19, 0, 0, 1), (20, 0, 0, 1), (21, 0, 0, 1)]
    outcomes, _, _ = replay(*rows, prefill=lives, rules=QueueRules(prefill_balancer="round-robin"))
    assert [outcome.prefill_unit for outcome in outcomes] == [0, 0, 1, 0]


def test_streams_wait_for_the_first_decode_unit_and_then_travel() -> None:
    service = replace(PLAIN, kv_us_per_token=1.0)
    result = replay((0, 7, 7, 2), service=service, decode=units((500.0, inf, inf)))
    assert finishes(result) == [517.0]
    assert result[0][0].first_token_us == 10.0


def test_a_decode_unit_past_its_deadline_moves_its_stragglers() -> None:
    service = replace(PLAIN, kv_us_per_token=1.0)
    lives = units((0.0, 25.0, 45.0), (0.0, inf, inf))
    # steps 20-30, 30-40, 40-50; then 13 tokens travel until 63, and 5 steps are to go
    outcomes, _, logs = replay((0, 10, 10, 9), service=service, decode=lives)
    assert outcomes == [
        Outcome(
            seq=0,
            status="completed",
            prefill_unit=0,
            enqueued_us=0.0,
            first_token_us=10.0,
            decode_unit=1,
            finish_step=5,
            finish_us=113.0,
            moved=1,
        )
    ]
    assert logs[0] == UnitLog(steps=3, clock_us=50.0, drain_us=25.0, moved_out=1, busy_us=30.0)
    assert (logs[1].steps, logs[1].moved_out) == (5, 0)


def test_a_deadline_at_a_boundary_lets_the_step_that_begins_then_end() -> None:
    outcomes, _, logs = replay((0, 0, 0, 9), decode=units((0.0, 25.0, 40.0), (0.0, inf, inf)))
    assert (logs[0].steps, logs[0].drain_us, logs[1].steps) == (4, 25.0, 4)
    assert outcomes[0].finish_us == 90.0


def test_stragglers_go_in_order_of_their_departure() -> None:
    lives = units((0.0, 45.0, 45.0), (45.0, inf, inf), (45.0, inf, inf), (45.0, inf, inf))
    rows = [(0, 0, 0, 1), (5, 0, 0, 20), (5, 0, 0, 10), (5, 0, 0, 4)]
    outcomes, _, logs = replay(*rows, decode=lives, rules=QueueRules(decode_balancer="round-robin"))
    # all handed over at 20: 20-30 the first alone, 30-60 three; then those with 2, 8 and 17 steps to go
    assert [outcome.decode_unit for outcome in outcomes] == [-1, 3, 2, 1]
    assert [outcome.moved for outcome in outcomes] == [0, 1, 1, 1]
    assert (logs[0].moved_out, logs[0].clock_us, logs[0].drain_us) == (3, 60.0, 15.0)


def test_stragglers_wait_for_a_unit_when_none_takes_work() -> None:
    lives = units((0.0, 15.0, 15.0), (100.0, inf, inf))
    outcomes, _, _ = replay((0, 5, 5, 3), decode=lives, service=replace(PLAIN, kv_us_per_token=0.25))
    # 11.25 to 21.25 the first step; 6 tokens travel from 100
    assert (outcomes[0].finish_us, outcomes[0].moved) == (111.5, 1)


def test_who_waits_at_a_decode_unit_that_drains_travels_on_at_once() -> None:
    service = replace(PLAIN, kv_us_per_token=1.0, most_streams=1)
    lives = units((0.0, 45.0, inf), (45.0, inf, inf))
    outcomes, _, logs = replay((0, 0, 0, 9), (0, 30, 30, 2), service=service, decode=lives)
    # handed over at 20 and ready at 50; from 45 anew to 75. The other ends 10 + 8 steps
    assert [outcome.finish_us for outcome in outcomes] == [90.0, 85.0]
    assert [outcome.moved for outcome in outcomes] == [0, 0]
    assert (logs[0].drain_us, logs[0].moved_out) == (45.0, 0)


def test_an_empty_unit_drains_in_no_time() -> None:
    lives = units((0.0, 20.0, 25.0), (0.0, inf, inf))
    _, prefill, decode = replay((0, 0, 0, 2), prefill=lives, decode=lives)
    assert (prefill[0].drain_us, decode[0].drain_us) == (0.0, 0.0)


def test_the_end_is_part_of_the_replay_and_what_is_later_is_not() -> None:
    assert states(replay((0, 0, 0, 2), (10, 0, 0, 2), end_us=20.0)) == ["completed", "in-flight"]
    result = replay((0, 0, 0, 2), end_us=19.0, decode=units((0.0, 15.0, inf)))
    assert states(result) == ["in-flight"]
    assert (result[2][0].steps, result[2][0].clock_us, result[2][0].busy_us) == (0, 10.0, 0.0)
    assert isnan(result[2][0].drain_us), "it has not drained yet"


def inside(replayed: Replay) -> list[int]:
    """Numbers of the requests that are somewhere in the fleet."""
    requests, streams = list(replayed.unassigned_requests), list(replayed.unassigned_streams)
    for prefill in replayed.prefill:
        requests += prefill.queue + prefill.in_pass
    for decode in replayed.decode:
        streams += decode.fifo + decode.active + decode.stragglers
    requests += replayed.coming_again
    return sorted(request.seq for request in requests + [stream.request for stream in streams])


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_nothing_is_lost(case: Case) -> None:
    service, prefill, decode, rules, requests, end_us = case
    replayed = Replay(service, prefill, decode, rules, requests)
    replayed.run(end_us)
    later = [seq for seq in range(len(requests)) if requests.arrival_us[seq] > end_us]
    outcomes = [request.outcome for request in replayed.requests]
    in_flight = [outcome.seq for outcome in outcomes if outcome.status == "in-flight"]
    assert in_flight == sorted(inside(replayed) + later)
    moved_out = sum(unit.log.moved_out for unit in replayed.decode)
    assert sum(outcome.moved for outcome in outcomes) == moved_out


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_with_a_unit_of_each_role_that_stays_everything_ends_in_its_time(case: Case) -> None:
    service, prefill, decode, rules, requests, _ = case
    prefill, decode = (
        Lives(np.append(lives.serve_us, 0.0), np.append(lives.drain_us, inf), np.append(lives.gone_us, inf))
        for lives in (prefill, decode)
    )
    outcomes, prefill_logs, decode_logs = simulate(service, prefill, decode, rules, requests, inf)
    for outcome, arrival, output in zip(outcomes, requests.arrival_us, requests.output_tokens, strict=True):
        assert outcome.status != "in-flight"
        assert (outcome.status == "completed") == (not isnan(outcome.finish_us))
        if outcome.status == "completed":
            assert outcome.first_token_us >= arrival + service.pass_us
            assert (outcome.decode_unit >= 0) == (output > 1)
            shortest = max(output - 1, 0) * service.steps.at(1, 0)
            assert outcome.finish_us >= outcome.first_token_us + shortest
    for logs, lives in ((prefill_logs, prefill), (decode_logs, decode)):
        assert [isnan(log.drain_us) for log in logs] == [drain == inf for drain in lives.drain_us]
        for log, serve in zip(logs, lives.serve_us, strict=True):
            assert log.busy_us <= max(log.clock_us - serve, 0.0)


def test_the_random_cases_reach_what_is_to_be_compared() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases() | cases(stressed=True))
    def collect(case: Case) -> None:
        outcomes, prefill, decode = simulate(*case)
        seen.update({outcome.status for outcome in outcomes})
        seen["routed hits"] += case[3].block_tokens > 0 and any(outcome.hits > 0 for outcome in outcomes)
        seen["by blocks"] += case[3].prefill_balancer == "prefix-aware" and case[4].block_from is not None
        seen.update(
            name for name in ("moved", "finish_step", "tries") if any(getattr(out, name) > 0 for out in outcomes)
        )
        seen["drained"] += any(log.drain_us > 0 for log in prefill) + any(log.drain_us > 0 for log in decode)
        seen["read anew"] += any(log.lost for log in prefill)
        seen["read again"] += any(log.lost for log in decode)
        seen[case[3].mode] += 1

    collect()
    names = {"completed", "in-flight", "rejected-queue", "rejected-timeout", "moved", "finish_step", "drained"}
    names |= {"tries", "routed hits", "read anew", "read again"}
    assert seen["by blocks"] >= 1
    assert min(seen[name] for name in names | {"at-once", "window", "depth"}) >= 10, seen


def test_stressed_cases_reach_failures_together_with_retries_and_prefix_blocks() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases(stressed=True))
    def collect(case: Case) -> None:
        outcomes, prefill, decode = simulate(*case)
        together = {
            "retries": any(outcome.tries for outcome in outcomes),
            "routed hits": case[3].block_tokens > 0 and any(outcome.hits for outcome in outcomes),
            "prefix-aware": case[3].prefill_balancer == "prefix-aware",
        }
        for role, logs in (("prefill", prefill), ("decode", decode)):
            if any(log.lost for log in logs):
                seen.update((role, name) for name, found in together.items() if found)

    collect()
    assert len(seen) == 6
    assert min(seen.values()) >= 5, seen
