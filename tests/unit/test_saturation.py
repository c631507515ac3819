"""What a unit that does both carries while it is kept busy: by hand, and as a loop of its steps gives it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.saturation import Asked, most_sequences, region_of, steady
from planner.core.replay.requests.model import StepTables
from tests.helpers.closed_loop import closed_loop

ROWS = np.arange(65.0)
FLAT = np.zeros(65)
STEPS = StepTables(FLAT, FLAT, 1_000.0 + 100.0 * ROWS, np.full(65, 0.01))
"""A step of n rows takes 1,000 + 100 n us, and 0.01 us for each token of KV."""


def unit(*, prefill_first: bool = False, tokens: int = 4096) -> Replica:
    """Prompts add 500 us to a step, 10 us for each of their tokens, and 0.001 us for each token that one attends to."""
    table = np.tile(500.0 + 10.0 * np.arange(0.0, tokens + 1, 32), (65, 1))
    return Replica(
        steps=STEPS,
        prompts=PromptTable(32, table),
        context_us=0.001,
        max_batched_tokens=tokens,
        max_sequences=64,
        prefill_first=prefill_first,
        kv_blocks=1 << 20,
        block_tokens=16,
    )


ASKED = Asked(prompt_tokens=100.0, context=50.0, hit_ratio=0.0, output_tokens=101.0, kv_tokens=150.0)


def test_one_request_takes_the_steps_of_its_answer_and_one_for_its_prompt() -> None:
    """100 steps of 1,000 + 100 + 1.5 us, and one of 500 + 100 * (10 + 0.001 * 50) us that no other waits for."""
    alone = steady(unit(), ASKED, 1)
    assert 1 / alone.requests_per_us == pytest.approx(100 * 1_101.5 + 1_505, rel=1e-4)
    assert alone.tpot_us == pytest.approx(1_101.5, rel=0.02)


def test_what_99_of_100_answers_hold_follows_from_how_often_prompts_come() -> None:
    """Of ten requests a tenth begins in a step, together in 1 - 0.99^10 = 9.56 steps of prompts for 100 of streams."""
    often = 1 - 0.99**10
    prompts_us = often * 500 + 10 * 10.05  # in the mean step: ten tokens of prompts
    busy = steady(unit(prefill_first=True), ASKED, 10)
    by_chance = 2.326 * prompts_us / often * (often / 100) ** 0.5
    assert busy.late_us - busy.tpot_us == pytest.approx(0.9 * by_chance, rel=1e-6)
    assert steady(unit(), replace(ASKED, prompt_tokens=0.0), 10).late_us == pytest.approx(2_015)


@pytest.mark.parametrize("prefill_first", [False, True])
def test_without_prompts_a_unit_takes_its_steps_of_streams(prefill_first: bool) -> None:
    """20 streams: 1,000 + 2,000 + 0.01 * 20 * 150 us."""
    only = replace(ASKED, prompt_tokens=0.0)
    busy = steady(unit(prefill_first=prefill_first), only, 20)
    assert busy.tpot_us == pytest.approx(3_030)
    assert busy.requests_per_us == pytest.approx(20 / 100 / 3_030)


def test_answers_of_one_token_are_steps_of_prompts_as_full_as_they_get() -> None:
    """4,096 tokens at 10.05 us each and 500 us a step, 100 tokens a request; no streams decode."""
    busy = steady(unit(), replace(ASKED, output_tokens=1.0), 64)
    assert busy.requests_per_us == pytest.approx(40.96 / (500 + 4_096 * 10.05))
    assert busy.tpot_us == 0.0


def test_rows_leave_room_for_prompts_in_a_step_that_is_full() -> None:
    """Ten tokens of prompt for each row: 128 tokens hold 128 / 11 = 11.6 rows of 64."""
    busy = steady(unit(tokens=128), replace(ASKED, prompt_tokens=1_000.0), 64)
    rows = 128 / 11
    us = 1_000 + 100 * rows + 0.01 * 150 * rows + 500 + (128 - rows) * 10.05
    assert busy.requests_per_us == pytest.approx(rows / 100 / us)


def test_sequences_are_the_most_that_hold_a_time_per_token() -> None:
    replica, target = unit(), 4_000.0
    held = most_sequences(replica, ASKED, target)
    assert steady(replica, ASKED, held).late_us <= target < steady(replica, ASKED, held + 1).late_us


def test_sequences_fit_the_memory_and_the_limits() -> None:
    """Streams of 150 tokens take 9.4 pages of 16, half a page more, and 2 beside: 16 and the 4 they vary by fit 240."""
    assert most_sequences(replace(unit(), kv_blocks=240, stream_blocks=2), ASKED, 1e9) == 16
    assert most_sequences(replace(unit(), kv_blocks=237, stream_blocks=2), ASKED, 1e9) == 15
    assert most_sequences(replace(unit(), kv_blocks=12, stream_blocks=2), ASKED, 1e9) == 1
    assert most_sequences(replace(unit(), kv_blocks=11, stream_blocks=2), ASKED, 1e9) == 0
    assert most_sequences(unit(), ASKED, 1e9) == 64
    assert most_sequences(unit(), ASKED, 1_000.0) == 0


@pytest.mark.parametrize("prefill_first", [False, True])
def test_a_region_ends_at_the_largest_batch_and_at_full_steps_of_prompts(prefill_first: bool) -> None:
    """At 4,030 us 29 streams decode without prompts: 1,000 + 2,900 + 43.5 us are less, and those of 30 are more."""
    replica = unit(prefill_first=prefill_first)
    region = region_of(replica, replace(ASKED, hit_ratio=0.2), 4_030.0)
    assert region is not None
    assert region.pairs[0] == pytest.approx((0.0, 29 / 3_943.5e-6))
    most = 4_096 / 0.8 / (500 + 4_096 * 10.05) * 1e6
    assert region.most[0] == pytest.approx(most, rel=0.05)
    assert all(here[0] < there[0] and here[1] > there[1] for here, there in pairwise(region.pairs))


def test_a_region_has_the_rates_of_the_own_mix() -> None:
    replica, target = unit(), 4_000.0
    region, held = region_of(replica, ASKED, target), most_sequences(replica, ASKED, target)
    assert region is not None
    ended = steady(replica, ASKED, held).requests_per_us * 1e6
    assert (ended * 100, ended * 101) in [pytest.approx(pair) for pair in region.pairs]


def test_there_is_no_region_where_one_request_misses_the_target() -> None:
    assert region_of(unit(), ASKED, 1_000.0) is None


MIXES = [(100, 200), (400, 100), (1_000, 50)]


@pytest.mark.parametrize("prefill_first", [False, True])
@pytest.mark.parametrize(("prompt", "output"), MIXES)
def test_requests_that_wait_are_answered_at_the_rates_of_the_region(
    prompt: int, output: int, prefill_first: bool
) -> None:
    """A loop of twice as many users as sequences, lengths log-normal: its rate is the region's within 3 %."""
    replica, rng, count = unit(prefill_first=prefill_first), np.random.default_rng(prompt), 6_000
    prompts, outputs = (
        np.maximum(2, np.rint(mean * rng.lognormal(-0.125, 0.5, count))).astype(np.int64) for mean in (prompt, output)
    )
    asked = Asked(
        prompt_tokens=float(prompts.mean()),
        context=float((prompts**2).sum() / prompts.sum() / 2),
        hit_ratio=0.0,
        output_tokens=float(outputs.mean()),
        kv_tokens=float((outputs * (prompts + outputs / 2)).sum() / outputs.sum()),
    )
    sequences = most_sequences(replica, asked, 6_000.0)
    assert 4 < sequences < 64
    loop = closed_loop(_of_sequences(replica, sequences), 2 * sequences, prompts, outputs)
    said = steady(replica, asked, sequences)
    order = np.argsort(loop.last_us)
    inner = order[count // 4 : 3 * count // 4]
    span_us = loop.last_us[inner[-1]] - loop.last_us[inner[0]]
    tokens_per_us = (prompts + outputs)[inner[1:]].sum() / span_us
    assert tokens_per_us == pytest.approx(said.requests_per_us * (prompts + outputs).mean(), rel=0.03)
    decoding_us = (loop.last_us - loop.first_us)[inner].sum() / (outputs - 1)[inner].sum()
    assert decoding_us == pytest.approx(said.tpot_us, rel=0.05)


def _of_sequences(replica: Replica, sequences: int) -> Replica:
    tables = StepTables(*(column[: sequences + 1] for column in vars(replica.steps).values()))
    prompts = PromptTable(replica.prompts.width, replica.prompts.us[: sequences + 1])
    return replace(replica, steps=tables, prompts=prompts, max_sequences=sequences)
