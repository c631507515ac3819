"""One step by hand: every part of a model counted, its limits, and how it is spread over GPUs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.catalogue.read import engine_node, engine_profile, hardware, model
from planner.core.fleet.engine import Engine, Scale
from planner.core.fleet.step import Batch, Imbalance, overheads_us, pass_overheads_us, stages, step_time
from planner.settings.engines import EngineOverheads, EngineProfile
from planner.settings.models import Model
from tests.helpers.models import model_of

HBM, PEAK = 2.0, 100.0
"""TB/s and TFLOP/s of every kernel of the GPU below."""
KERNELS = {
    "dtype": "bf16",
    "gemm_tb_s": HBM,
    "gemm_tflops": PEAK,
    "grouped_gemm_tflops": PEAK,
    "attention_tb_s": HBM,
    "attention_tflops": PEAK,
    "prefill_attention_tflops": PEAK,
    "dispatch_gb_s": 50.0,
    "combine_gb_s": 50.0,
}
NODE = hardware("h100").model_copy(
    update={
        "hbm_tb_s": HBM,
        "dense_tflops": {"bf16": PEAK, "fp8": PEAK},
        "kernels": hardware("h100").kernels.model_copy(update=KERNELS),
    }
)
DEEPSEEK, VLLM, SGLANG = (engine_profile(name) for name in ("deepseek-ep", "vllm", "sglang"))


def bare(profile: EngineProfile) -> EngineProfile:
    """The profile without overheads and with kernels as measured."""
    update = {"overheads": EngineOverheads(layer_us=0, step_us=0), "factors": type(profile.factors)()}
    return profile.model_copy(update=update)


def shares(served: Model, **changes: Any) -> Engine:
    """A model at one share of each peak and without overheads, in bf16."""
    settings = {"weights": "bf16", "profile": bare(DEEPSEEK), "overlap": "off", **changes}
    return Engine(model=served, hardware=NODE, **settings)


def us(engine: Engine, **asked: Any) -> float:
    return float(step_time(engine, Batch(**asked)).us)


WEIGHTS = 4 * (64 * 16 * (8 + 2 * 2) + 8 * 16 * 64 + 3 * 64 * 256)
"""Of the small model's four layers."""
HEAD = 1000 * 64
SMALL_EXPERTS = {
    "dense_layers": 0,
    "dense_width": 0,
    "experts": {"routed": 16, "active": 2, "shared": 1, "width": 32},
}


def test_one_row_reads_all_weights_and_its_kv() -> None:
    """A key and a value of 2 heads of 16, in bf16, of each token and layer; 1 MB at 2 TB/s takes half a microsecond."""
    engine = shares(model_of())
    kv = 1000 * 4 * 2 * 2 * 16 * 2
    assert us(engine, streams=1, kv_tokens=1000) == pytest.approx(2 * (WEIGHTS + HEAD) / 2e6 + kv / 2e6)


def test_zero_context_leaves_the_weights_and_zero_rows_too() -> None:
    engine = shares(model_of())
    assert us(engine, streams=1, kv_tokens=0) == pytest.approx(2 * (WEIGHTS + HEAD) / 2e6)
    assert us(engine) == pytest.approx(2 * (WEIGHTS + HEAD) / 2e6)


def test_many_rows_compute_and_do_not_read() -> None:
    """Two flops per weight and row; the head was published to be bound by reading at any batch."""
    engine = shares(model_of())
    assert us(engine, streams=500, kv_tokens=0) == pytest.approx(2 * WEIGHTS * 500 / 100e6 + 2 * HEAD / 2e6)


def test_prompts_alone_compute_and_attend_and_leave_no_kv_to_read() -> None:
    """A token attends to its context with 8 heads of 16 for keys and for values: 4 flops per value and layer."""
    engine = shares(model_of())
    products = 2 * WEIGHTS * 1000 / 100e6 + 2 * HEAD / 2e6
    attention = 4 * 1000 * 500 * (2 * 8 * 2 * 16) / 100e6
    assert us(engine, prompt_tokens=1000, context=500, length=1000) == pytest.approx(products + attention)
    assert us(engine, prompt_tokens=1000, context=0) == pytest.approx(products)


def test_a_chunk_of_no_tokens_changes_nothing() -> None:
    for profile in (DEEPSEEK, VLLM):
        engine = Engine(model=model("llama-3.1-70b"), hardware=hardware("h100"), weights="bf16", profile=profile)
        alone = us(engine, streams=8, kv_tokens=2000)
        assert us(engine, streams=8, kv_tokens=2000, prompt_tokens=0, context=5000, length=8000) == alone


@pytest.mark.parametrize("profile", [DEEPSEEK, VLLM, SGLANG])
@pytest.mark.parametrize("served", ["llama-3.1-8b", "gpt-oss-20b", "qwen3-30b-a3b"])
def test_streams_and_prompts_together_take_less_than_one_after_the_other_and_more_than_either(
    profile: EngineProfile, served: str
) -> None:
    engine = Engine(model=model(served), hardware=hardware("h100"), weights="bf16", profile=profile, overlap="off")
    streams, chunk = np.array([1, 16, 128, 256])[:, None], np.array([16, 256, 2048, 8192])[None]
    rows, prompts = {"streams": streams, "kv_tokens": 3000}, {"prompt_tokens": chunk, "context": 1500, "length": 3000}
    decode, prefill, both = (step_time(engine, Batch(**asked)).us for asked in (rows, prompts, {**rows, **prompts}))
    assert (both >= np.maximum(decode, prefill) * (1 - 1e-9)).all()
    # a mean number of rows of experts that is shared costs no more than the rounding of the interpolation
    assert (both <= (decode + prefill) * (1 + 1e-6)).all()


def test_layers_of_experts_read_those_that_are_hit_and_compute_for_the_active_ones() -> None:
    """One GPU holds all 16 experts of 3 x 64 x 32 weights; many rows hit all, 2 and the shared compute each."""
    engine = shares(model_of(**SMALL_EXPERTS))
    s = stages(engine, Batch(streams=5000.0, kv_tokens=0))
    each = 3 * 64 * 32
    assert s.routed == pytest.approx(4 * 5000 * 2 * 2 * each / 100e6)
    assert s.shared == pytest.approx(4 * 2 * each * 5000 / 100e6)
    assert (s.dispatch, s.combine, s.plain) == (0, 0, 0)
    # a single row hits two at least, and no more than all of them
    one = float(stages(engine, Batch(streams=1.0)).routed)
    assert 4 * 2 * each * 2 / 2e6 <= one <= 4 * 16 * each * 2 / 2e6


def test_a_skewed_gpu_sets_the_pace_of_the_stage_that_it_is_skewed_in() -> None:
    engine = replace(shares(model_of(**SMALL_EXPERTS)), expert_parallel=4)
    even, skewed = (
        stages(engine, Batch(streams=5000.0, kv_tokens=3000, imbalance=each))
        for each in (Imbalance(), Imbalance(kv=2.0, experts=1.5, dispatch=3.0))
    )
    assert skewed.core == pytest.approx(2 * even.core)
    assert skewed.routed == pytest.approx(1.5 * even.routed)
    assert skewed.dispatch == pytest.approx(3 * even.dispatch)
    assert skewed.combine == pytest.approx(3 * even.combine)
    assert (skewed.before, skewed.after, skewed.shared) == (even.before, even.after, even.shared)


def test_layers_with_a_window_stop_growing_at_the_window() -> None:
    """Three of four layers see 128 tokens: beyond them only the fourth grows, by its 128 bytes of each token."""
    window = {"layers": 3, "tokens": 128, "heads": 8, "kv_heads": 2, "head_dim": 16}
    engine = shares(model_of(window=window))
    short, at, beyond = (us(engine, streams=1, kv_tokens=tokens) for tokens in (0, 128, 1128))
    assert at - short == pytest.approx(4 * 128 * 128 / 2e6)
    assert beyond - at == pytest.approx(1000 * 128 / 2e6)
    prompts = [us(engine, prompt_tokens=100, context=context, length=1e4) for context in (0, 128, 1128)]
    assert prompts[1] - prompts[0] == pytest.approx(4 * 100 * 128 * 512 / 100e6)
    assert prompts[2] - prompts[1] == pytest.approx(100 * 1000 * 512 / 100e6)


def test_sparse_attention_reads_its_tokens_at_most_and_scores_all() -> None:
    """An indexer of 4 heads of 128 reads 132 bytes of each token; attention reads 64 tokens at most."""
    engine = shares(model_of(selection={"tokens": 64, "heads": 4, "head_dim": 128}))
    none, at, beyond = (us(engine, streams=1, kv_tokens=tokens) for tokens in (0, 64, 1064))
    assert at - none == pytest.approx(4 * 64 * (128 + 132) / 2e6)
    assert beyond - at == pytest.approx(4 * 1000 * 132 / 2e6)
    plain = shares(model_of())
    indexers = 4 * 64 * (4 + 1) * 128
    assert none - us(plain, streams=1) == pytest.approx(indexers * 2 / 2e6)


def test_recurrent_layers_cost_the_same_at_any_context_and_move_their_state_once_per_stream() -> None:
    recurrent = {
        "kind": "mamba2",
        "layers": 3,
        "state_dtype": "fp32",
        "weights": 5000,
        "state_values": 1000,
        "convolution_values": 30,
    }
    engine = shares(model_of(recurrent=recurrent))
    short, long = (us(engine, streams=1, kv_tokens=tokens) for tokens in (0, 10_000))
    # one of four layers attends
    assert long - short == pytest.approx(10_000 * 128 / 2e6)
    attention = WEIGHTS / 4 - 3 * 64 * 256
    weights = attention + 3 * 5000 + 4 * 3 * 64 * 256 + HEAD
    states = 3 * 2 * 1000 * 4
    assert short == pytest.approx((2 * weights + states) / 2e6)
    # prompts keep their states on the GPU while they are computed
    assert us(engine, prompt_tokens=1) == pytest.approx(2 * weights / 2e6)


def test_tied_embeddings_are_read_once_as_the_head_and_not_held_twice() -> None:
    apart, tied = (shares(model_of(tied_embeddings=tied)) for tied in (False, True))
    assert us(tied, streams=3, kv_tokens=100) == us(apart, streams=3, kv_tokens=100)
    assert apart.weights_gb - tied.weights_gb == pytest.approx(HEAD * 2 / 1e9)


def test_several_draft_tokens_are_rows_that_share_the_kv_of_their_stream() -> None:
    plain = shares(model_of())
    drafts = replace(plain, rows_per_stream=6.0, accepted=3.0)
    kv = us(plain, streams=200, kv_tokens=1000) - us(plain, streams=200, kv_tokens=0)
    # 200 rows and 1,200 compute; what is read of KV is the same
    assert us(drafts, streams=200, kv_tokens=0) - us(plain, streams=200, kv_tokens=0) == pytest.approx(
        2 * WEIGHTS * 1000 / 100e6
    )
    assert us(drafts, streams=200, kv_tokens=1000) - us(drafts, streams=200, kv_tokens=0) == pytest.approx(kv)


def test_a_group_splits_weights_and_kv_and_adds_up_twice_a_layer() -> None:
    """Two GPUs hold one KV head each; a row of 64 values in bf16 is sent once each way, by a ring of two."""
    one, two = shares(model_of()), shares(model_of(), tensor_parallel=2)
    added = float(two.speeds.all_reduce(2, 64, 2))
    assert us(two, streams=1, kv_tokens=1000) == pytest.approx(us(one, streams=2, kv_tokens=1000) / 2 + 8 * added)
    # KV heads beyond their number are copied: four GPUs read as much as two
    four = shares(model_of(), tensor_parallel=4)
    kv = [
        us(e, streams=4 / e.tensor_parallel, kv_tokens=1000) - us(e, streams=4 / e.tensor_parallel) for e in (two, four)
    ]
    assert kv[0] == pytest.approx(kv[1])


def test_pipeline_stages_divide_weights_and_hand_rows_on() -> None:
    """Streams per GPU are a group's over all its GPUs: each stage works on its own, and rows pass three links."""
    one, four = shares(model_of()), shares(model_of(), pipeline_parallel=4)
    assert us(four, streams=2) - us(one, streams=2) == pytest.approx(3 * 2 * 64 * 2 / (NODE.nvlink_gb_s / 2 * 1e3))
    tables = 2 * HEAD * 2 / 1e9
    assert four.weights_gb - tables == pytest.approx((one.weights_gb - tables) / 4)
    # over nodes they pass the network
    far = shares(model_of(layers=16, dense_layers=16), pipeline_parallel=16)
    near = shares(model_of(layers=16, dense_layers=16))
    assert us(far, streams=2) - us(near, streams=2) == pytest.approx(15 * 2 * 64 * 2 / (NODE.nic_gb_s * 1e3))


def test_a_group_over_two_nodes_adds_up_over_the_network_too() -> None:
    h100, llama = engine_node("h100"), model("llama-3.1-405b")
    eight, sixteen = (
        Engine(model=llama, hardware=h100, weights="fp8", profile=bare(VLLM), tensor_parallel=tp) for tp in (8, 16)
    )
    spent = [float(e.speeds.all_reduce(16, llama.hidden, e.tensor_parallel)) for e in (eight, sixteen)]
    assert spent[1] > spent[0] + 30
    quick = replace(sixteen, hardware=h100.model_copy(update={"nvlink_gpus": 16}))
    over, inside = (us(e, streams=1, kv_tokens=1000) for e in (sixteen, quick))
    assert over > inside
    assert sixteen.weights_gb == pytest.approx(eight.weights_gb / 2)


def test_gpus_that_share_every_expert_hold_a_part_of_each_and_compute_for_all_their_rows() -> None:
    """16 experts over four GPUs: four whole ones on each, or a quarter of all 16; arithmetic is the same."""
    whole, split = (
        shares(model_of(**SMALL_EXPERTS), tensor_parallel=2, expert_parallel=ep, expert_tensor=et)
        for ep, et in ((4, 1), (1, 4))
    )
    assert whole.weights_gb == pytest.approx(split.weights_gb)
    assert (whole.expert_slots, split.expert_slots) == (4, 16)
    a, b = (float(stages(e, Batch(streams=4000.0)).routed) for e in (whole, split))
    assert a == pytest.approx(b) == pytest.approx(4 * 4000 * 2 * 2 * 3 * 64 * 32 / 100e6)


def test_an_engine_whose_experts_stay_in_the_group_adds_up_in_place_of_an_exchange() -> None:
    h100 = engine_node("h100")
    inside, over = (
        Engine(
            model=model("qwen3-30b-a3b"),
            hardware=h100,
            weights="bf16",
            profile=bare(VLLM),
            tensor_parallel=2,
            expert_parallel=ep,
        )
        for ep in (2, 8)
    )
    s, wide = (stages(e, Batch(streams=4.0, kv_tokens=100)) for e in (inside, over))
    assert s.dispatch == 0
    assert s.combine == pytest.approx(48 * float(inside.speeds.all_reduce(8, 2048, 2)))
    dispatch, combine = over.speeds.exchange(4 * 8, 2048, 8)
    assert (wide.dispatch, wide.combine) == (pytest.approx(48 * float(dispatch)), pytest.approx(48 * float(combine)))


def test_overheads_by_hand() -> None:
    """Qwen3: 48 layers with experts whose queries and keys are normalised; in fp8 all 48 quantise."""
    o = EngineOverheads(
        layer_us=1,
        row_us=0.01,
        quantised_us=2,
        norm_us=4,
        experts_us=8,
        prompt_layer_us=16,
        collective_us=32,
        step_us=1e4,
        stream_us=0.5,
        prompt_us=1e9,
    )
    engine = Engine(
        model=model("qwen3-30b-a3b"),
        hardware=engine_node("h100"),
        weights="fp8",
        profile=VLLM.model_copy(update={"overheads": o}),
        tensor_parallel=2,
        expert_parallel=2,
    )
    # ten streams of the group; adding up after attention and after experts of each layer
    each = 48 * (1 + 0.01 * 10 + 2 + 4 + 8) + 96 * 32
    streams = Batch(streams=5, kv_tokens=100)
    assert overheads_us(engine, streams) == pytest.approx(each + 1e4 + 0.5 * 10)
    both = Batch(streams=5, kv_tokens=100, prompt_tokens=100)
    assert overheads_us(engine, both) == pytest.approx(each + 48 * (0.01 * 200 + 16) + 1e4 + 0.5 * 10)
    assert pass_overheads_us(engine) == pytest.approx(48 * (1 + 2 + 4 + 8 + 16) + 96 * 32)
    twice = replace(engine, scale=Scale(overheads=2.0))
    assert overheads_us(twice, streams) == pytest.approx(2 * (each + 1e4 + 5))
    assert pass_overheads_us(twice) == pytest.approx(2 * pass_overheads_us(engine))


def test_a_fitted_factor_of_kernels_scales_them_and_nothing_else() -> None:
    engine = Engine(model=model("llama-3.1-8b"), hardware=engine_node("h100"), weights="bf16", profile=VLLM)
    batch = Batch(streams=16, kv_tokens=1000)
    plain, slow = (step_time(e, batch) for e in (engine, replace(engine, scale=Scale(kernels=1.5))))
    assert slow.kernels_us == pytest.approx(1.5 * plain.kernels_us)
    assert slow.overheads_us == plain.overheads_us


def test_attention_in_bf16_beside_experts_in_four_bits_is_read_in_its_own_format() -> None:
    """Kept in bf16, attention's weights take four times the bytes of fp4."""
    kept, plain = (
        shares(model_of(**SMALL_EXPERTS, weight_dtype="fp4", attention_dtype=dtype), weights="fp4")
        for dtype in ("bf16", None)
    )
    attention = 4 * (64 * 16 * 12 + 8 * 16 * 64)
    assert us(kept, streams=1) - us(plain, streams=1) == pytest.approx(1.5 * attention / 2e6)


def test_many_steps_at_once_are_those_one_by_one() -> None:
    engine = Engine(
        model=model("gpt-oss-120b"),
        hardware=engine_node("b200"),
        weights="fp4",
        profile=VLLM,
        tensor_parallel=2,
        expert_parallel=2,
    )
    streams, kv, chunk = np.array([1, 50.0]), np.array([100.0, 5000.0]), np.array([0.0, 512.0])
    grid = Batch(
        streams=streams[:, None, None], kv_tokens=kv[:, None], prompt_tokens=chunk, context=1000.0, length=2000.0
    )
    found = step_time(engine, grid).us
    assert found.shape == (2, 2, 2)
    for i, j, k in np.ndindex(2, 2, 2):
        alone = us(engine, streams=streams[i], kv_tokens=kv[j], prompt_tokens=chunk[k], context=1000.0, length=2000.0)
        assert found[i, j, k] == pytest.approx(alone)
