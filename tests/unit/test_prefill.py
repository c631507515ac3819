"""Prefill: how the rate falls with the context is the model's own; the level is brought by a free factor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity.engines import prefill_of
from planner.capacity.units import service_of
from planner.catalogue.read import engine_node, engine_profile, hardware, model
from planner.catalogue.scenarios import load_scenario
from planner.core.fleet.engine import Engine
from planner.core.fleet.prefill import input_tokens_per_s_per_node, missed_tokens_per_s_per_node, us_per_missed_token
from planner.core.fleet.serving import Load, prefill_us
from planner.errors import UsageError
from planner.settings.closed import WeightDtype
from planner.studies.capacity.check import check_model, prefill_factor
from tests.helpers.pages import ROOT

DEEPSEEK = engine_profile("deepseek-ep")
EP32 = Engine(
    model=model("deepseek-r1"),
    hardware=hardware("h800"),
    weights="fp8",
    profile=DEEPSEEK,
    expert_parallel=32,
    redundant_experts=32,
)


def test_published_rates_fall_with_the_prompt_as_the_model_says_within_one_per_cent() -> None:
    rows = [row for row in check_model().rows if "prompts of" in row.point]
    assert len(rows) == 3
    assert max(abs(row.relative_error) for row in rows) < 0.01
    assert all("free factor" in row.point for row in rows)
    assert prefill_factor() == pytest.approx(0.8, abs=0.02)


def test_without_its_attention_the_model_would_miss_the_fall() -> None:
    """So the test above can fail: a rate that does not fall is off by 7 % at one end."""
    published = np.array([57_674, 54_543, 50_302])
    assert np.abs(published / np.exp(np.log(published).mean()) - 1).max() > 0.06


def test_a_token_passes_the_weights_and_attends_to_its_context_by_hand() -> None:
    """71.4 GFLOP of products, 81,920 FLOP per layer and attended token at 450 TFLOP/s, 0.6 us per layer."""
    none, thousand = us_per_missed_token(EP32, [0, 1000])
    assert thousand - none == pytest.approx(61 * 81_920 * 1000 / 450e6, rel=1e-3)
    attention, dense, shared = 61 * 187.1e6, 3 * 3 * 7168 * 18_432, 58 * 44.04e6
    products = 2 * (attention + dense + shared) / 1150e6 + 2 * 58 * 8 * 44.04e6 / 950e6
    assert none == pytest.approx(products + 61 * 0.6, rel=1e-3)


def test_a_tensor_parallel_group_shares_the_work_and_adds_up_over_its_links() -> None:
    llama = model("llama-3.1-70b")
    rowless = DEEPSEEK.model_copy(update={"overheads": DEEPSEEK.overheads.model_copy(update={"row_us": 0.0})})
    one, eight = (
        Engine(model=llama, hardware=hardware("h100"), weights="bf16", profile=rowless, tensor_parallel=tp)
        for tp in (1, 8)
    )
    alone, shared = float(us_per_missed_token(one, 1000)), float(us_per_missed_token(eight, 1000))
    assert alone / 8 < shared < alone / 4


def test_a_groups_pass_is_of_as_many_tokens_on_each_gpu_so_that_its_experts_compute_and_do_not_read() -> None:
    """All 94 layers of Qwen3-235B in one group: two flops per active weight and token, 512 rows for each expert."""
    qwen = Engine(
        model=model("qwen3-235b-a22b"), hardware=hardware("h800"), weights="bf16", profile=DEEPSEEK, tensor_parallel=8
    )
    each = 3 * 4096 * 1536
    attention = 4096 * 128 * (64 + 2 * 4) + 64 * 128 * 4096
    half = 989 / 1979
    products = 2 * 94 * attention / 8 / (1150e6 * half) + 2 * 94 * 8 * each / 8 / (950e6 * half)
    added = 94 * float(qwen.speeds.all_reduce(1, 4096, 8))
    assert us_per_missed_token(qwen, 0) == pytest.approx(products + added + 94 * 0.6, rel=1e-6)


@given(st.floats(0, 100_000), st.floats(0, 100_000), st.floats(0, 0.99), st.floats(0, 0.99))
def test_longer_contexts_never_speed_up_and_hits_never_slow_down(c1: float, c2: float, h1: float, h2: float) -> None:
    slow, fast = (
        float(missed_tokens_per_s_per_node(EP32, context, balance=0.8)) for context in (max(c1, c2), min(c1, c2))
    )
    assert slow <= fast
    few, many = (float(input_tokens_per_s_per_node(fast, ratio)) for ratio in (min(h1, h2), max(h1, h2)))
    assert few <= many


def test_without_hits_all_input_is_missed() -> None:
    assert float(input_tokens_per_s_per_node(50_000, 0)) == 50_000
    assert float(input_tokens_per_s_per_node(50_000, 0.5)) == 100_000


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: us_per_missed_token(EP32, -1), "context must be from 0"),
        (lambda: us_per_missed_token(EP32, 1e9), "to 131,072 tokens"),
        (lambda: input_tokens_per_s_per_node(1, 1), "hit ratio must be at least 0 and below 1"),
        (lambda: missed_tokens_per_s_per_node(EP32, 1, balance=0), "above 0 and at most 1"),
    ],
)
def test_bad_input_gives_one_line(call: object, cure: str) -> None:
    assert callable(call)
    with pytest.raises(UsageError, match=cure):
        call()


@pytest.mark.parametrize(
    ("name", "node", "weights", "tensor"),
    [("llama-3.1-70b", "h100", "fp8", 8), ("gpt-oss-120b", "b200", "fp4", 1), ("qwen3-30b-a3b", "h100", "fp8", 2)],
)
def test_a_unit_in_full_passes_computes_as_fast_as_prompts_that_fill_them_alone(
    name: str, node: str, weights: WeightDtype, tensor: int
) -> None:
    profile = engine_profile("vllm")
    experts = model(name).experts is not None
    engine = Engine(
        model=model(name),
        hardware=engine_node(node),
        weights=weights,
        profile=profile,
        tensor_parallel=tensor,
        expert_tensor=tensor if experts else 1,
    )
    tokens = float(profile.limits.max_batched_tokens)
    alone = prefill_us(engine, tensor, Load(concurrency=1.0, input_tokens=tokens, output_tokens=1.0))
    rate = missed_tokens_per_s_per_node(engine, tokens / 2, balance=1.0)
    assert rate == pytest.approx(engine.hardware.gpus_per_node / tensor * tokens / float(alone) * 1e6, rel=1e-6)


@pytest.mark.parametrize("name", ["examples/llama-70b-h100.toml", None])
def test_a_replayed_prompt_takes_what_the_model_says_at_the_mean_context(name: str | None) -> None:
    # of measured kernels the first tokens of context are the dearest, so a line through these would be far too steep
    scenario = load_scenario(None if name is None else str(ROOT / name)).scenario
    unit, engine = service_of(scenario.fleet, scenario.replay, 4000.0), prefill_of(scenario.fleet)
    for context, within in ((0.0, 1e-9), (4000.0, 1e-9), (2000.0, 0.02), (8000.0, 0.02)):
        told = unit.missed_us + unit.context_us * context
        assert told == pytest.approx(float(us_per_missed_token(engine, context)), rel=within)
