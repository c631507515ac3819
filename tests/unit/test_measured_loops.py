"""Closed loops of measured conditions: what clients ask and servers have room for, and what holds users up."""

from dataclasses import replace

import numpy as np
import pytest

from planner.capacity.aggregated import step_limits
from planner.capacity.setups import Setup, engine_of
from planner.core.fleet.engine import Engine
from planner.core.fleet.step import Batch, step_time
from tests.bench.closed_loops import Loop, loop_times

NVIDIA = "InferenceX and NVIDIA measurements, by way of aiconfigurator (Apache-2.0)"


def engine(backend: str, *, data_parallel: int = 1) -> Engine:
    setup = Setup(
        model="qwen3-32b",
        gpu="H100",
        backend=backend,
        weights="fp8",
        kv="fp8",
        tensor_parallel=2,
        data_parallel=data_parallel,
    )
    return engine_of(setup)[0]


VLLM, SGLANG = engine("vllm"), engine("sglang")
LOOP = Loop(users=8, inputs=1_024, outputs=128)


@pytest.mark.parametrize(
    ("served", "gpus", "loop", "tokens"),
    [
        (VLLM, 2, LOOP, 1_024 + 8 + 1_500),
        # four groups of two GPUs share eight users
        (VLLM, 8, LOOP, 4 * (1_024 + 2 + 1_500)),
        (SGLANG, 2, LOOP, 2 * 1_024),
        (SGLANG, 2, replace(LOOP, inputs=4_096), 4_096),
        (SGLANG, 2, replace(LOOP, inputs=10_000), 8_192),
    ],
)
def test_what_nvidia_measured_has_room_for_a_prompt_and_all_users(
    served: Engine, gpus: int, loop: Loop, tokens: int
) -> None:
    assert loop.launched(served, gpus, NVIDIA) == replace(step_limits(served, gpus), max_batched_tokens=tokens)


@pytest.mark.parametrize(("loop", "source"), [(replace(LOOP, outputs=1_024), NVIDIA), (LOOP, "docs.nvidia.com/nim")])
def test_others_have_the_steps_of_their_engine(loop: Loop, source: str) -> None:
    assert loop.launched(VLLM, 2, source) == step_limits(VLLM, 2)


def test_answers_are_as_long_as_told_unless_they_are_those_of_inferencex() -> None:
    prompts, answers = LOOP.lengths(seed=1)
    assert len(prompts) == 80
    assert 0.98 * 1_024 - 1 <= prompts.min() < prompts.max() <= 1_024
    assert set(answers) == {128}
    drawn, longer = replace(LOOP, users=100, outputs=1_024).lengths(seed=1)
    for each in (drawn, longer):
        assert 0.8 * 1_024 - 1 <= each.min() < 0.81 * 1_024
        assert 0.99 * 1_024 < each.max() <= 1_024


def test_steps_that_first_tokens_come_late_by_are_told_and_hold_nobody_up() -> None:
    prompts = VLLM.profile.prompts
    later = replace(
        VLLM,
        profile=VLLM.profile.model_copy(update={"prompts": prompts.model_copy(update={"step": prompts.step + 1})}),
    )
    limits = LOOP.launched(VLLM, 2, NVIDIA)
    (tpot_us, ttft_us), (same_us, late_us) = (loop_times(each, 2, LOOP, limits, seed=1) for each in (VLLM, later))
    step_us = float(step_time(VLLM, Batch(streams=4.0, kv_tokens=1_024 + 64.0)).us)
    assert np.array_equal(same_us, tpot_us)
    assert late_us - ttft_us == pytest.approx(step_us, rel=1e-3)


def test_what_an_engine_takes_outside_of_steps_holds_users_up() -> None:
    """A tenth of a second: answers of one length end before prompts begin, which then wait for each other."""
    outside = VLLM.profile.prompts.model_copy(update={"first_token_us": 100_000.0})
    held = replace(VLLM, profile=VLLM.profile.model_copy(update={"prompts": outside}))
    limits = LOOP.launched(VLLM, 2, NVIDIA)
    (tpot_us, ttft_us), (less_us, more_us) = (loop_times(each, 2, LOOP, limits, seed=1) for each in (VLLM, held))
    assert less_us.mean() < 0.97 * tpot_us.mean()
    assert more_us.mean() > ttft_us.mean() + 100_000
