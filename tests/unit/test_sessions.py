"""Sessions in a closed loop: turns, thinking and shifts by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.core.replay.iterations.alone import answered_alone_us
from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span, StepTables
from planner.core.replay.requests.sessions import (
    NONE,
    ArrivalShifts,
    answered_apart_us,
    shifts_of,
    thinking_us,
    turns_before,
)
from planner.units import Ints
from tests.helpers.replay_cases import services
from tests.helpers.replay_engine import run, units, until

HUNDRED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
STEP_US, PIECE_US, TOKEN_US = 1000.0, 500.0, 10.0


def replica(**changed: float) -> Replica:
    """A unit of two sequences: a step of rows takes a millisecond, a prompt half of one and 10 us for each token."""
    rows = 3
    steps = StepTables(np.full(rows, STEP_US), np.zeros(rows), np.full(rows, STEP_US), np.zeros(rows))
    line = PIECE_US + TOKEN_US * np.array([0.0, 100.0])
    own = {
        "steps": steps,
        "prompts": PromptTable(100, np.tile(line, (rows, 1))),
        "context_us": 0.0,
        "max_batched_tokens": 100,
        "max_sequences": 2,
        "prefill_first": False,
        "kv_blocks": 1000,
        "block_tokens": 16,
    }
    return Replica(**{**own, **changed})  # type: ignore[arg-type]  # numbers of their fields


def requests(rows: list[tuple[int, int, int, int]]) -> Requests:
    """Requests as (arrival in us, input tokens, output tokens, session)."""
    arrival, inputs, outputs, session = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    none: Ints = np.zeros(len(rows), np.int64)
    return Requests(
        arrival_us=arrival,
        input_tokens=inputs,
        cached_input_tokens=none,
        output_tokens=outputs,
        class_id=none,
        session_id=session,
    )


def test_a_turn_follows_the_one_before_it_in_its_session() -> None:
    assert turns_before(np.array([7, 3, 7, -1, 3, -1, 7])).tolist() == [NONE, NONE, 0, NONE, 1, NONE, 2]
    assert turns_before(np.array([], np.int64)).tolist() == []


def test_an_answer_alone_takes_its_prompt_and_its_steps() -> None:
    asked = requests([(0, 50, 3, 0), (0, 250, 1, 0), (0, 100, 0, 0)])
    # 500 + 10 * 50 and two steps; two full pieces and one of 50 tokens; one full piece
    assert answered_alone_us(replica(), asked).tolist() == [3000.0, 4000.0, 1500.0]
    later = replica(first_us=40.0, first_us_per_token=2.0)
    assert answered_alone_us(later, asked).tolist() == [3140.0, 4540.0, 1740.0]
    attending = replica(context_us=0.1)
    assert answered_alone_us(attending, asked)[0] == pytest.approx(3000 + 0.1 * 50 * 25)


def test_an_answer_of_two_roles_alone_takes_its_passes_its_kv_and_its_steps() -> None:
    none = np.zeros(2)
    service = Service(
        prefill_ranks=2,
        prefill_share=1.0,
        missed_us=2.0,
        context_us=0.0,
        pass_us=100.0,
        pass_tokens=60,
        chunk_tokens=40,
        kv_us_per_token=0.5,
        kv_capacity_tokens=1e6,
        most_streams=1,
        steps=StepTables(none + 1000.0, none + 1.0, none, none),
    )
    asked = requests([(0, 50, 3, 0), (0, 40, 1, 0), (0, 0, 0, 0)])
    # two passes of 50 tokens, KV of 50, two steps of 50 and 51 tokens of KV; one pass of 40; one of nothing
    assert answered_apart_us(service, QueueRules(), 1, asked).tolist() == [300.0 + 25 + 2101, 180.0, 100.0]
    # four ranks: the one with the stream sets the pace as if all held as much
    assert answered_apart_us(service, QueueRules(), 4, asked)[0] == 300.0 + 25 + 2404
    # a prompt that fills a pass waits for no window
    window = QueueRules(mode="window", window_us=7.0)
    large = requests([(0, 50, 1, 0), (0, 60, 1, 0)])
    assert answered_apart_us(service, window, 1, large).tolist() == [307.0, 320.0]
    half = replace(service, prefill_ranks=1, prefill_share=0.5, context_us=0.25)
    cached = replace(asked, cached_input_tokens=np.array([30, 0, 0]))
    # 20 tokens after 30, on half a rank
    assert answered_apart_us(half, QueueRules(), 1, cached)[0] == 100 + 2 * 20 * (2 + 0.25 * 40) + 25 + 2101


@HUNDRED
@given(services(), st.integers(0, 40), st.integers(0, 40), st.sampled_from((0.0, 0.5, 1.0)), st.sampled_from((1, 3)))
def test_the_engine_takes_as_long_for_a_request_alone(
    service: Service, tokens: int, outputs: int, share: float, ranks: int
) -> None:
    # one line of the step's two, so that the mean of its steps is the step of the mean
    service = replace(service, steps=replace(service.steps, high_us=0 * service.steps.high_us))
    service = replace(service, steps=replace(service.steps, high_us_per_token=0 * service.steps.high_us))
    asked = requests([(0, tokens, outputs, 0)])
    asked = replace(asked, cached_input_tokens=np.array([int(share * tokens)]))
    case = (service, units(1), units(1), QueueRules(), asked, 1e9)
    _, decode = run(case, until(1e9), ranks=ranks)
    wanted = answered_apart_us(service, QueueRules(), ranks, asked)
    assert decode.kept["finish_us"].tolist() == pytest.approx(wanted.tolist())


def test_users_think_for_what_is_left_of_the_gap_and_never_less_than_no_time() -> None:
    asked = requests([(0, 50, 3, 0), (4000, 50, 1, 0), (4500, 50, 1, 0)])
    before = turns_before(asked.session_id)
    # 3,000 of the first gap are the answer; the third comes before the second can be answered
    assert thinking_us(asked, before, answered_alone_us(replica(), asked)).tolist() == [0.0, 1000.0, 0.0]


def closed(asked: Requests, *, end_us: float = 1e6) -> tuple[np.ndarray, np.ndarray]:
    """When requests came and ended on one unit."""
    unit = replica()
    before = turns_before(asked.session_id)
    stage = IterationStage(
        unit,
        Lives(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf)),
        QueueRules(),
        Span(from_us=0.0, to_us=end_us, end_us=end_us),
        keep=len(asked),
    )
    came = stage.follow(asked, before, thinking_us(asked, before, answered_alone_us(unit, asked)))
    stage.finish()
    return came, stage.streams.kept["finish_us"]


def test_at_light_load_turns_come_when_they_came() -> None:
    asked = requests([(0, 50, 3, 0), (9000, 50, 3, 0), (30_000, 50, 3, 0)])
    came, _ = closed(asked)
    assert came.tolist() == asked.arrival_us.tolist()


def test_a_turn_comes_as_much_later_as_the_answer_before_it_is() -> None:
    # two others read their prompts beside the first session's answer
    asked = requests([(0, 50, 3, 0), (100, 50, 3, 1), (200, 50, 3, 2), (9000, 50, 3, 0)])
    came, ended = closed(asked)
    assert came[:3].tolist() == [0.0, 100.0, 200.0]
    assert ended[0] > 3000.0
    assert came[3] == 9000.0 + ended[0] - 3000.0


def test_shifts_by_hand() -> None:
    asked = requests([(0, 50, 3, 0), (4_000_000, 50, 1, 0), (9_000_000, 50, 1, 0), (0, 50, 1, 1), (5, 50, 1, 1)])
    before = turns_before(asked.session_id)
    thinks = np.array([0.0, 1000.0, 1000.0, 0.0, 0.0])
    came = np.array([0.0, 5_000_000.0, 12_000_000.0, 0.0, np.nan])
    told = shifts_of(asked, before, thinks, came)
    assert (told.turns, told.absent, told.hasty) == (3, 1, 1)
    assert (told.mean_s, told.p50_s, told.p99_s) == (2.0, 1.0, 3.0)
    alone = requests([(0, 50, 3, -1)])
    none = ArrivalShifts(turns=0, absent=0, hasty=0, mean_s=None, p50_s=None, p99_s=None)
    assert shifts_of(alone, turns_before(alone.session_id), np.zeros(1), np.zeros(1)) == none
