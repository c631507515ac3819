"""Rules of the replay step by step, each by hand: what a step takes, who is in it, and who goes."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from planner.core.replay.iterations.model import PromptTable, Replica, step_us
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.model import Lives, QueueRules, Requests, StepTables
from planner.errors import UsageError
from planner.settings.replay import BalancerName, QueueMode
from tests.helpers.iteration_cases import IterationCase, compare, run_engine, until
from tests.helpers.replay_engine import flat_steps, units

Row = tuple[int, int, int]
"""Arrival, input and output tokens."""

PLAIN = Replica(
    steps=flat_steps(10.0, 4),
    prompts=PromptTable(1, np.tile(2.0 + np.arange(101), (5, 1))),
    context_us=0.0,
    max_batched_tokens=100,
    max_sequences=4,
    prefill_first=False,
    kv_blocks=1000,
    block_tokens=4,
)
"""A step of rows takes 10 us; prompts add 2 us and one for each token."""
IN_TURN = QueueRules(prefill_balancer="round-robin")
SMALL = replace(PLAIN, kv_blocks=4)
"""Room for 16 tokens."""


def case(
    *rows: Row,
    replica: Replica = PLAIN,
    lives: Lives | None = None,
    rules: QueueRules = IN_TURN,
    cached: int = 0,
    follows: tuple[int, ...] = (),
    think: tuple[float, ...] = (),
) -> IterationCase:
    arrival, tokens, outputs = np.array(rows, np.int64).T
    none = np.zeros(len(rows), np.int64)
    return IterationCase(
        replica=replica,
        lives=units(1) if lives is None else lives,
        rules=rules,
        requests=Requests(
            arrival_us=arrival,
            input_tokens=tokens,
            cached_input_tokens=none + cached,
            output_tokens=outputs,
            class_id=none,
            session_id=none - 1,
        ),
        end_us=1e4,
        follows=np.array(follows, np.int64),
        think_us=np.array(think),
    )


def times(given: IterationCase) -> list[tuple[float, float]]:
    """First token and end of each, of the engine and of the reference."""
    compare(given, ())
    kept = run_engine(given).kept
    return [(float(row["first_us"]), float(row["finish_us"])) for row in kept]


def statuses(given: IterationCase) -> list[str]:
    return [request.status for request in compare(given, ()).requests]


def serving(*rows: tuple[float, float, float, float]) -> Lives:
    """From when each serves, drains, is gone, and fails."""
    return Lives(*np.array(rows, np.float64).T)


def test_a_step_takes_what_its_rows_and_its_pieces_take() -> None:
    steps = StepTables(*(np.array([0.0, each, 2 * each]) for each in (3.0, 0.5, 5.0, 0.25)))
    knots = PromptTable(8, np.array([[1.0, 9.0, 25.0], [2.0, 10.0, 26.0], [3.0, 11.0, 27.0]]))
    replica = replace(PLAIN, steps=steps, prompts=knots, context_us=0.5, max_batched_tokens=16, max_sequences=2)
    assert step_us(replica, 0, 0, [(4, 0)]) == 1 + 4 + 0.5 * 4 * 2
    assert step_us(replica, 2, 4, []) == 12.0, "max(6 + 4, 10 + 2)"
    # 12 tokens: half way from 10 to 26, 4 after 8 and 8 after none
    assert step_us(replica, 1, 0, [(4, 8), (8, 0)]) == 5 + 18 + 0.5 * (4 * 10 + 8 * 4)


def test_the_first_token_comes_as_the_prompt_ends_and_each_other_after_one_step_more() -> None:
    assert times(case((0, 5, 3))) == [(7.0, 27.0)]
    assert times(case((0, 5, 1))) == times(case((0, 5, 0))) == [(7.0, 7.0)]


def test_a_prompt_longer_than_a_step_is_read_in_pieces() -> None:
    assert times(case((0, 20, 1), replica=replace(PLAIN, max_batched_tokens=8))) == [(26.0, 26.0)], "10 + 10 + 6"


def test_of_two_that_come_together_to_an_idle_unit_the_second_waits_for_the_next_step() -> None:
    assert times(case((0, 5, 1), (0, 5, 1))) == [(7.0, 7.0), (14.0, 14.0)]


def test_with_rows_first_a_prompt_is_read_beside_them() -> None:
    # 7, 17, then 10 + 2 + 6 until 35
    assert times(case((0, 5, 10), (8, 6, 3))) == [(7.0, 105.0), (35.0, 55.0)]


def test_with_prompts_first_rows_wait_for_them() -> None:
    assert times(case((0, 5, 10), (8, 6, 3), replica=replace(PLAIN, prefill_first=True))) == [
        (7.0, 105.0),
        (25.0, 45.0),
    ]


def test_prompts_get_what_rows_leave_of_the_tokens_of_a_step() -> None:
    replica = replace(PLAIN, max_batched_tokens=4)
    # 0-4 the first; beside it 2 tokens of the second and one of the third until 19; then two rows leave room for two
    found = times(case((0, 2, 9), (0, 2, 9), (1, 5, 1), replica=replica))
    assert [first for first, _ in found] == [4.0, 19.0, 47.0]


def test_a_prompt_is_begun_when_all_of_it_fits_the_memory_and_none_passes_it_in_line() -> None:
    # the first has 2 of 4 blocks and then 3 until 50; the second needs 3, the third one
    assert times(case((0, 8, 5), (1, 9, 1), (2, 1, 1), replica=SMALL)) == [(10.0, 50.0), (62.0, 62.0), (62.0, 62.0)]


def test_where_blocks_run_out_the_last_admitted_is_read_again_later() -> None:
    given = case((0, 7, 8), (1, 4, 6), replica=SMALL)
    # at 25 both need a block and one is free: the second goes with its first token, and its 5 tokens are read at 85
    assert times(given) == [(9.0, 85.0), (25.0, 132.0)]
    assert [request.preempted for request in compare(given, ()).requests] == [0, 1]


def test_blocks_of_a_stream_beside_its_tokens_are_taken_too() -> None:
    replica = replace(SMALL, stream_blocks=1)
    assert statuses(case((0, 12, 1), (0, 13, 1), replica=replica)) == ["completed", "rejected-length"]


def test_what_no_unit_can_hold_or_is_longer_than_allowed_is_rejected_as_it_comes() -> None:
    assert statuses(case((0, 14, 3), (0, 14, 4), replica=SMALL)) == ["completed", "rejected-length"]
    assert statuses(case((0, 5, 5), (0, 5, 6), replica=replace(PLAIN, longest_tokens=10)))[1] == "rejected-length"


def test_cached_tokens_are_there_but_one_is_computed() -> None:
    assert times(case((0, 8, 1), cached=6)) == [(4.0, 4.0)]
    assert times(case((0, 8, 1), cached=8)) == [(3.0, 3.0)]


def test_what_a_request_takes_on_top_of_steps_is_told_and_delays_no_other() -> None:
    replica = replace(PLAIN, first_us=100.0, first_us_per_token=1.0)
    # 7 for the first; 17 more for the second beside its row, then 10
    assert times(case((0, 5, 3), (0, 5, 1), replica=replica)) == [(112.0, 139.0), (129.0, 129.0)]


def test_a_line_that_is_full_rejects_and_who_waited_too_long_is_rejected_when_its_turn_comes() -> None:
    alone = replace(PLAIN, steps=flat_steps(10.0, 1), max_sequences=1, prompts=PromptTable(1, PLAIN.prompts.us[:2]))
    rows = ((0, 5, 1), (1, 5, 1), (2, 5, 1))
    assert statuses(case(*rows, replica=alone, rules=QueueRules(queue_limit=1)))[2] == "rejected-queue"
    late = case(*rows, replica=alone, rules=QueueRules(timeout_us=5.0))
    # at 7 the second has waited for 6 us, the third for 5
    assert statuses(late) == ["completed", "rejected-timeout", "completed"]
    again = replace(late, rules=QueueRules(timeout_us=5.0, retries=1, retry_after_us=4.0))
    assert times(again)[1] == (21.0, 21.0), "it comes again at 11, while the third is read until 14"


def test_a_unit_that_fails_loses_what_it_computed_but_not_what_it_told() -> None:
    given = case((0, 5, 4), lives=serving((0, inf, inf, 20), (0, inf, inf, inf)))
    # tokens at 7 and 17; its prompt and these two are read from 20 to 29, the fourth comes at 39
    assert times(given) == [(7.0, 39.0)]
    stage = run_engine(given)
    assert (stage.streams.units["lost"].tolist(), stage.prompts.units["lost"].tolist()) == ([1, 0], [0, 0])
    # in the first step nothing was told yet
    early = case((0, 5, 4), lives=serving((0, inf, inf, 6), (0, inf, inf, inf)))
    assert times(early) == [(13.0, 43.0)]
    assert run_engine(early).prompts.units["lost"].tolist() == [1, 0]


def test_a_unit_past_its_deadline_ends_its_step_and_hands_over() -> None:
    given = case((0, 5, 4), lives=serving((0, 8, 12, inf), (0, inf, inf, inf)))
    # the step ends at 17, then 7 tokens until 26, and one step more
    assert times(given) == [(7.0, 36.0)]
    stage = run_engine(given)
    assert (stage.moved, stage.drain_us[0], stage.streams.units["moved"].tolist()) == (1, 9.0, [1, 0])


def test_a_unit_that_drains_ends_what_it_began_and_sends_the_rest_elsewhere() -> None:
    rows = ((0, 5, 3), (1, 30, 1), (2, 5, 1), (3, 40, 1))
    given = case(*rows, lives=serving((0, 6, inf, inf), (0, inf, inf, inf)))
    # the third waits at the first until 6, and then at the second, which reads the second request until 33
    assert times(given)[2] == (33.0 + 47.0, 33.0 + 47.0)
    assert run_engine(given).drain_us[0] == 21.0


def test_requests_wait_where_no_unit_serves_yet() -> None:
    given = case((0, 5, 1), (50, 6, 1), lives=serving((100, inf, inf, inf)))
    # those that waited begin together
    assert times(given) == [(113.0, 113.0), (113.0, 113.0)]


def test_who_follows_comes_after_the_end_as_told_and_a_thought_or_after_a_rejection() -> None:
    replica = replace(PLAIN, first_us=100.0)
    given = case((0, 5, 1), (0, 5, 1), (0, 5, 1), replica=replica, follows=(-1, 0, 1), think=(0.0, 3.0, 0.0))
    assert times(given) == [(107.0, 107.0), (217.0, 217.0), (324.0, 324.0)]
    refused = case((4, 99, 1), (0, 5, 1), replica=SMALL, follows=(-1, 0), think=(0.0, 6.0))
    assert times(refused)[1] == (17.0, 17.0)


def test_two_keys_look_at_prompt_tokens_in_flight_and_at_requests() -> None:
    rules = QueueRules(prefill_balancer="two-key")
    given = case((0, 50, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1), lives=units(2), rules=rules)
    # one long prompt outweighs three short ones that were read meanwhile
    assert [request.unit for request in compare(given, ()).requests] == [0, 1, 1, 1]


def test_minutes_tell_how_full_steps_were() -> None:
    stage = run_engine(case((0, 5, 3)))
    (minute,) = stage.minutes
    # 7 us of a prompt, then two steps of a row with 5 and 6 tokens, each with 2 blocks
    assert minute["busy_us"] == 27.0
    assert (minute["prompt_us"], minute["work_us"], minute["prompt_tokens"]) == (7.0, 7.0, 5.0)
    assert (minute["stream_us"], minute["kv_token_us"], minute["output_tokens"]) == (20.0, 110.0, 2.0)
    assert (minute["block_us"], minute["most_blocks"], minute["steps"]) == (54.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("balancer", "mode", "words"), [("least-kv", "at-once", "two-key"), ("random", "window", "queue_mode is window")]
)
def test_what_has_no_meaning_here_is_refused(balancer: BalancerName, mode: QueueMode, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        IterationStage(PLAIN, units(1), QueueRules(prefill_balancer=balancer, mode=mode), until(1.0))


@pytest.mark.parametrize(
    ("follows", "think", "words"),
    [((-1,), (0.0, 0.0), "give one of each"), ((-1, 1), (0.0, 0.0), "not before it"), ((-1, 0), (0.0, nan), "finite")],
)
def test_who_follows_whom_is_checked(follows: tuple[int, ...], think: tuple[float, ...], words: str) -> None:
    given = case((0, 1, 1), (0, 1, 1))
    stage = IterationStage(PLAIN, units(1), given.rules, until(1.0))
    with pytest.raises(UsageError, match=words):
        stage.follow(given.requests, np.array(follows), np.array(think))
