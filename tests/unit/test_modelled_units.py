"""A unit that does both, from the hardware up: its tables, its limits, and the ends of what it carries."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from planner.capacity.aggregated import StepLimits, asked_of, modelled_unit, replica_of, step_limits
from planner.capacity.engines import Workload
from planner.capacity.longest import kv_room_per_gpu, longest_request
from planner.capacity.setups import Setup, engine_of
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import operating_point
from planner.core.fleet.prefill import missed_tokens_per_s_per_node
from planner.core.fleet.step import Batch, step_time
from planner.core.replay.iterations.saturation import steady
from planner.errors import CannotServe
from planner.studies.capacity.measured.points_file import read_points_file
from tests.bench.closed_loops import compared

WORKLOAD = Workload(
    kv_tokens=1_650.0, hit_ratio=0.25, missed_context_tokens=937.5, input_tokens=1_500.0, output_tokens=300.0
)


def engine(backend: str, gpus: int = 2) -> Engine:
    return engine_of(
        Setup(model="llama-3.1-70b", gpu="H100", backend=backend, weights="fp8", kv="fp8", tensor_parallel=gpus)
    )[0]


VLLM, SGLANG = engine("vllm"), engine("sglang")


@pytest.mark.parametrize("served", [VLLM, SGLANG])
@pytest.mark.parametrize("tpot_ms", [30.0, 60.0])
def test_a_region_ends_where_a_unit_does_one_thing_alone(served: Engine, tpot_ms: float) -> None:
    """All output is the operating point of decode, all input the rate of prefill without a fleet's utilisation."""
    region = modelled_unit(served, 2, WORKLOAD, tpot_ms, step_limits(served, 2)).region
    decode = operating_point(served, WORKLOAD.kv_tokens, tpot_ms)
    # whole streams of a unit, not of each of its GPUs
    # a unit keeps some memory for contexts that grow beyond their mean
    assert region.pairs[0] == (0.0, pytest.approx(decode.tokens_per_s_per_node / 4, rel=0.03))
    missed = float(missed_tokens_per_s_per_node(served, WORKLOAD.missed_context_tokens, balance=1.0))
    # attention is worked out at the context, and its kernel at the prompts' length
    assert region.pairs[-1] == (pytest.approx(missed / 0.75 / 4, rel=0.02), 0.0)


def test_steps_of_streams_are_those_of_the_engine() -> None:
    steps = replica_of(VLLM, 2, WORKLOAD, step_limits(VLLM, 2)).steps
    for streams in (1, 7, 64, 200):
        told = float(step_us(VLLM, streams / 2, WORKLOAD.kv_tokens))
        assert steps.at(streams, streams * WORKLOAD.kv_tokens) == pytest.approx(told, rel=1e-6)


def test_a_step_of_several_tokens_is_as_long_as_that_for_each() -> None:
    drafting = replace(VLLM, rows_per_stream=3.0, accepted=2.0)
    steps = replica_of(drafting, 2, WORKLOAD, step_limits(drafting, 2)).steps
    told = float(step_us(drafting, 8.0, WORKLOAD.kv_tokens))
    assert steps.at(16, 16 * WORKLOAD.kv_tokens) == pytest.approx(told / 2)


def test_prompts_beside_streams_take_what_they_add_and_what_was_fitted_to_them() -> None:
    """1.28 times what 2,048 tokens add to a step of 32 streams, and 4,342 us for admitting them: vLLM's, as fitted."""
    replica = replica_of(VLLM, 2, WORKLOAD, step_limits(VLLM, 2))
    streams = {"streams": 16.0, "kv_tokens": WORKLOAD.kv_tokens}
    with_prompts, without = (
        float(step_time(VLLM, Batch(prompt_tokens=tokens / 2, length=1_500.0, **streams)).us) for tokens in (2_048, 0)
    )
    added = replica.prompts.at(32, 2_048)
    assert added == pytest.approx(1.28 * (with_prompts - without + 4_342), rel=0.01)


def test_prompts_in_steps_of_their_own_take_what_they_take_before_a_first_token() -> None:
    """1.32 times the step, as fitted, and launching the kernels of 80 layers at 16.65 us."""
    replica = replica_of(SGLANG, 2, WORKLOAD, step_limits(SGLANG, 2))
    alone = float(step_time(SGLANG, Batch(prompt_tokens=1_024.0, length=1_500.0)).us)
    assert replica.prompts.at(0, 2_048) == pytest.approx(1.32 * alone + 80 * 16.65, rel=1e-6)


def test_a_first_token_comes_late_by_the_engines_least_time_and_the_steps_that_no_replay_has() -> None:
    """160 ms of SGLang, and of the 2.82 steps fitted all but the running one."""
    unit = modelled_unit(SGLANG, 2, WORKLOAD, 40.0, step_limits(SGLANG, 2))
    step = unit.replica.steps.at(unit.sequences, unit.sequences * WORKLOAD.kv_tokens)
    assert unit.replica.first_us == pytest.approx(160_191 + 1.82 * step)
    assert unit.replica.first_us_per_token == 4.37


def test_memory_is_the_room_of_all_gpus_in_pages() -> None:
    replica = replica_of(VLLM, 2, WORKLOAD, step_limits(VLLM, 2))
    room = kv_room_per_gpu(VLLM, WORKLOAD.kv_tokens)
    assert replica.block_tokens == 16
    assert replica.kv_blocks == int(2 * room.tokens / 16)
    assert replica.stream_blocks == 0
    assert replica.longest_tokens == longest_request(VLLM).tokens


def test_limits_are_the_engines_unless_told_and_those_of_all_groups() -> None:
    assert step_limits(VLLM, 2) == StepLimits(max_batched_tokens=8_192, max_sequences=1_024, prefill_first=False)
    assert step_limits(SGLANG, 2).prefill_first
    told = step_limits(VLLM, 4, max_batched_tokens=2_048, max_sequences=100, prefill_first=True)
    assert told == StepLimits(max_batched_tokens=4_096, max_sequences=200, prefill_first=True)


def test_a_prompt_is_not_shared_by_groups() -> None:
    """Of two groups one reads a prompt of 1,125 tokens, as long as it is alone; two of them are read side by side."""
    one, two = (replica_of(VLLM, gpus, WORKLOAD, step_limits(VLLM, gpus)).prompts for gpus in (2, 4))
    assert two.at(0, 1_125) == pytest.approx(one.at(0, 1_125), rel=0.02)
    assert two.at(0, 2_250) == pytest.approx(one.at(0, 1_125), rel=0.02)


def test_the_sequences_of_a_unit_hold_its_target() -> None:
    unit = modelled_unit(VLLM, 2, WORKLOAD, 40.0, step_limits(VLLM, 2))
    assert unit.tpot_ms <= 40.0
    more = steady(unit.replica, asked_of(WORKLOAD), unit.sequences + 1)
    assert more.late_us > 40e3


def test_a_target_that_one_request_misses_is_told_with_what_it_takes() -> None:
    with pytest.raises(CannotServe, match=r"no batch of llama-3\.1-70b on H100 meets 5 ms .* takes 1\d\.\d ms; raise"):
        modelled_unit(VLLM, 2, WORKLOAD, 5.0, step_limits(VLLM, 2))


def test_a_request_that_fills_the_memory_is_told() -> None:
    long = replace(WORKLOAD, kv_tokens=500_000.0)
    with pytest.raises(CannotServe, match=r"one request of 500,000 tokens does not fit the KV memory"):
        modelled_unit(VLLM, 2, long, 50.0, step_limits(VLLM, 2))


def test_closed_loops_of_measured_conditions_are_near_what_was_measured(shared_points: Path) -> None:
    """A hundred drawn: in the median first tokens are within 30 %, and times per token within 12 %."""
    frame = read_points_file(shared_points).frame
    wanted = frame.filter((pl.col("serving") == "aggregated") & (pl.col("metric") == "tpot_ms"))
    drawn = list(compared(wanted.sample(100, seed=11)))
    assert len(drawn) > 90
    early = [each.ttft for each in drawn if each.ttft is not None and each.users <= 64]
    assert np.median(np.abs(early)) < 0.30
    assert np.median([abs(each.tpot) for each in drawn]) < 0.12
