"""Servers that compute prompts and streams on the same GPUs, by hand: what users of a closed loop get."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.catalogue.read import engine_node, engine_profile, model
from planner.core.fleet.engine import Engine, Scale
from planner.core.fleet.serving import Load, Served, held_streams, prefill_us, serve
from planner.core.fleet.step import Batch, step_time
from planner.errors import CannotServe, UsageError
from planner.settings.engines import EngineProfile

PROFILES = tuple(engine_profile(name) for name in ("vllm", "sglang", "tensorrt-llm"))
VLLM, SGLANG, _ = PROFILES
LLAMA = Engine(model=model("llama-3.1-8b"), hardware=engine_node("h100"), weights="bf16", profile=VLLM)
BASE: dict[str, Any] = {"concurrency": 32, "input_tokens": 2000, "output_tokens": 400}


def served(engine: Engine = LLAMA, gpus: int = 1, **changes: Any) -> Served:
    return serve(engine, gpus, Load(**{**BASE, **changes}))


def with_prompts(engine: Engine, **changes: Any) -> Engine:
    prompts = engine.profile.prompts.model_copy(update=changes)
    return replace(engine, profile=engine.profile.model_copy(update={"prompts": prompts}))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_user_alone_waits_for_nobody(profile: EngineProfile) -> None:
    """A token takes a step of one stream, at the mean context: all input and half of the output."""
    engine = replace(LLAMA, profile=profile)
    one = served(engine, concurrency=1)
    step = float(step_time(engine, Batch(streams=1, kv_tokens=2000 + 400 / 2)).us)
    assert one.tpot_us == pytest.approx(step)
    prompt = step_time(replace(engine, overlap="off"), Batch(prompt_tokens=2000, context=1000, length=2000)).us
    assert one.prompt_us == pytest.approx(float(prompt))
    p = profile.prompts
    launched = 32 * p.alone_layer_us
    assert one.ttft_us == pytest.approx(p.first_token_us + 2000 * p.token_us + p.alone * float(prompt) + launched)


def test_others_prompts_lengthen_a_token_by_their_share_and_by_how_they_come() -> None:
    """31 prompts of others are computed in the lifetime of a stream of 400 tokens."""
    even = with_prompts(LLAMA, interleave=1.0)
    apart, beside = served(even, prompts_apart=True), served(even)
    work = (beside.tpot_us - apart.tpot_us) * 400 / 31
    assert work > 0
    half = served(with_prompts(LLAMA, interleave=0.5))
    assert half.tpot_us - apart.tpot_us == pytest.approx(31 * work / 400 / 2)
    assert apart.tpot_us == pytest.approx(float(step_time(LLAMA, Batch(streams=32, kv_tokens=2200)).us))


@pytest.mark.parametrize("profile", PROFILES)
def test_time_is_spent_once(profile: EngineProfile) -> None:
    """Where prompts come evenly and fill their steps, all places give their tokens per time per token: conservation.

    n streams of 400 tokens pass in 400 steps and n prompts, of which each stream waits for all but its own.
    """
    engine = with_prompts(replace(LLAMA, profile=profile), interleave=1.0, full_load=1.0)
    found = served(engine)
    work = float(found.tpot_us - served(engine, prompts_apart=True).tpot_us) * 400 / 31
    turn = 400 * float(found.tpot_us) + work
    assert found.tokens_per_s == pytest.approx(32 * 400 / turn * 1e6)
    alone = served(engine, prompts_apart=True)
    assert alone.tokens_per_s == pytest.approx(32 / float(alone.tpot_us) * 1e6)


def test_more_users_never_get_a_faster_token_and_never_less_together() -> None:
    users = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
    for profile in PROFILES:
        found = served(replace(LLAMA, profile=profile), concurrency=users, input_tokens=500)
        assert (np.diff(found.tpot_us) >= 0).all()
        assert (np.diff(found.ttft_us) >= 0).all()
        assert (np.diff(found.tokens_per_s) >= 0).all()


def test_streams_are_no_more_than_fit_the_memory() -> None:
    """Beyond its KV cache users wait for a place: what a stream gets stays the same."""
    cap = float(LLAMA.batch_cap(8400))
    assert 1 < cap < 1000
    few, many = (served(concurrency=users, input_tokens=8000) for users in (cap, 100 * cap))
    assert many.streams == few.streams == cap
    assert many.tokens_per_s == few.tokens_per_s
    # a step is at the mean context, memory is kept for the longest
    longer = served(concurrency=1e6, input_tokens=8000, output_tokens=4000)
    assert longer.streams == float(LLAMA.batch_cap(12_000))


def test_streams_are_no_more_than_the_engine_takes() -> None:
    limits = VLLM.limits.model_copy(update={"max_sequences": 10})
    engine = replace(LLAMA, profile=VLLM.model_copy(update={"limits": limits}))
    assert served(engine, concurrency=500).streams == 10
    assert served(engine, gpus=4, concurrency=500).streams == 40
    assert held_streams(engine, 1, [3, 10, 11], 100.0).tolist() == [3, 10, 10]
    # of a group of GPUs, not of each of them
    assert served(replace(engine, tensor_parallel=2), gpus=4, concurrency=500).streams == 20


def test_servers_of_several_groups_are_as_many_servers() -> None:
    one, four = served(concurrency=8), served(gpus=4, concurrency=32)
    assert four.tpot_us == pytest.approx(float(one.tpot_us))
    assert four.ttft_us == pytest.approx(float(one.ttft_us))
    assert four.tokens_per_s == pytest.approx(4 * float(one.tokens_per_s))
    # with fewer users than groups a busy group has one
    assert served(gpus=4, concurrency=2).tpot_us == pytest.approx(float(served(concurrency=1).tpot_us))


def test_cached_tokens_save_the_work_of_their_prompt_but_not_their_context() -> None:
    none, half, all_of_it = served(cached_tokens=np.array([0, 1000, 2000])).prompt_us
    assert none > half > all_of_it
    found = served(cached_tokens=np.array([0, 1000, 2000]))
    assert (np.diff(found.tpot_us) < 0).all()
    assert (np.diff(found.ttft_us) < 0).all()
    assert (np.diff(found.tokens_per_s) > 0).all()
    # one token of a prompt that is all in the cache is computed, and attends to all of it
    last = step_time(replace(LLAMA, overlap="off"), Batch(prompt_tokens=1, context=2000.5, length=2000)).us
    assert all_of_it == pytest.approx(float(last))
    assert served(cached_tokens=1000, concurrency=1).tpot_us == pytest.approx(float(served(concurrency=1).tpot_us))


def test_a_prompt_longer_than_a_step_takes_several() -> None:
    """20,000 tokens at most 8,192 at a time: two full steps and one of 3,616."""
    found = served(concurrency=1, input_tokens=20_000)
    steps = [
        float(step_time(LLAMA, Batch(prompt_tokens=tokens, context=10_000, length=20_000)).us)
        for tokens in (8192, 20_000 - 2 * 8192)
    ]
    assert found.prompt_us == pytest.approx(2 * steps[0] + steps[1])


def test_drafts_that_are_accepted_divide_the_time_per_token() -> None:
    drafts = replace(LLAMA, rows_per_stream=4.0, accepted=2.5)
    step = float(step_time(drafts, Batch(streams=1, kv_tokens=2200)).us)
    assert served(drafts, concurrency=1).tpot_us == pytest.approx(step / 2.5)


def test_a_fitted_factor_of_prompts_scales_what_prompts_take() -> None:
    slow = replace(LLAMA, scale=Scale(prompts=2.0))
    plain, twice, apart = served(), served(slow), served(prompts_apart=True)
    assert twice.prompt_us == pytest.approx(2 * float(plain.prompt_us))
    assert twice.tpot_us - apart.tpot_us == pytest.approx(2 * float(plain.tpot_us - apart.tpot_us))


def test_many_loads_at_once_are_those_one_by_one() -> None:
    users, inputs = np.array([1.0, 20.0, 300.0])[:, None], np.array([100.0, 5000.0])
    grid = served(concurrency=users, input_tokens=inputs)
    for i, j in np.ndindex(3, 2):
        alone = served(concurrency=users[i, 0], input_tokens=inputs[j])
        for name in ("streams", "tpot_us", "ttft_us", "prompt_us", "tokens_per_s"):
            assert getattr(grid, name)[i, j] == pytest.approx(float(getattr(alone, name))), name


def test_a_model_that_does_not_fit_serves_nobody() -> None:
    with pytest.raises(CannotServe, match="does not fit H100"):
        served(replace(LLAMA, model=model("llama-3.1-70b")))


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"concurrency": 0}, "concurrency must be numbers above 0"),
        ({"concurrency": float("nan")}, "concurrency must be numbers above 0"),
        ({"input_tokens": -5}, "input tokens must be numbers above 0"),
        ({"output_tokens": 0}, "output tokens must be numbers above 0"),
        ({"output_tokens": float("inf")}, "output tokens must be numbers above 0"),
        ({"cached_tokens": 2001}, "cached tokens must be at least 0 and at most the input tokens"),
        ({"cached_tokens": -1}, "cached tokens must be at least 0"),
    ],
)
def test_an_impossible_load_gives_one_line(changes: dict[str, Any], cure: str) -> None:
    with pytest.raises(UsageError, match=f"^serving: {cure}"):
        served(**changes)


def prefill(engine: Engine = LLAMA, gpus: int = 1, **changes: Any) -> float:
    return float(prefill_us(engine, gpus, Load(**{**BASE, "prompts_apart": True, **changes})))


def test_a_batch_of_one_prompt_takes_what_its_first_token_waits_for_beside_the_api() -> None:
    p = VLLM.prompts
    first = float(served(concurrency=1).ttft_us)
    assert prefill(concurrency=1) == pytest.approx(first - p.first_token_us - p.token_us * 2000)


def test_prompts_of_a_batch_share_steps_as_far_as_the_engine_takes_their_tokens() -> None:
    """Twelve prompts of 1,000 tokens: a step of 8,192 and one of 3,808, each launched once."""
    step = step_time(
        replace(LLAMA, overlap="off"), Batch(prompt_tokens=np.array([8192, 3808]), context=500, length=1000)
    ).us.sum()
    p = with_prompts(LLAMA, alone=2.0, alone_layer_us=10.0, alone_experts_us=0.0)
    assert prefill(p, concurrency=12, input_tokens=1000) == pytest.approx(2 * step + 2 * 32 * 10)


def test_groups_of_a_server_prefill_their_shares_of_a_batch_at_once() -> None:
    assert prefill(gpus=4, concurrency=16) == pytest.approx(prefill(gpus=1, concurrency=4))
