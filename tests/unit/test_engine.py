"""What the catalogue's models and nodes come to: weights, KV cache, what fits, what does not go together."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import decode_points, engine_profile, hardware, model, names, prefill_points, workload
from planner.core.fleet.engine import Engine
from planner.core.fleet.shapes import (
    active_parameters,
    kv_bytes_per_token,
    kv_bytes_per_token_and_layer,
    total_parameters,
)
from planner.errors import CannotServe, UsageError
from planner.settings.hardware import Hardware
from planner.settings.models import GroupedAttention
from tests.helpers.models import model_of

R1, H800 = model("deepseek-r1"), hardware("h800")
DEEPSEEK = engine_profile("deepseek-ep")
SLIDING: dict[str, Any] = {"layers": 2, "tokens": 64, "head_dim": 16}
STATE_SPACE: dict[str, Any] = {
    "kind": "mamba2",
    "layers": 1,
    "weights": 1000,
    "state_values": 1000,
    "state_dtype": "fp32",
}
EP144 = Engine(model=R1, hardware=H800, weights="fp8", profile=DEEPSEEK, expert_parallel=144, redundant_experts=32)


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [("deepseek-r1", 671e9, 37e9), ("llama-3.1-70b", 70.6e9, 70.6e9), ("qwen3-235b-a22b", 235e9, 22e9)],
)
def test_a_models_dimensions_give_its_published_size(name: str, total: float, active: float) -> None:
    assert total_parameters(model(name)) == pytest.approx(total, rel=0.002)
    assert active_parameters(model(name)) == pytest.approx(active, rel=0.02)


def test_kv_bytes_by_kind_of_attention_and_number_format() -> None:
    """DeepSeek caches 576 values per layer, in fp8 656 bytes; Llama 8 heads of 128 keys and values."""
    assert kv_bytes_per_token(R1, "bf16") == 576 * 2 * 61 == 70_272
    assert kv_bytes_per_token_and_layer(R1, "fp8") == 656
    llama = model("llama-3.1-70b")
    assert kv_bytes_per_token(llama, "bf16") == 2 * 8 * 128 * 2 * 80
    assert kv_bytes_per_token(llama, "fp8") == 2 * 8 * 128 * 80
    assert isinstance(llama.attention, GroupedAttention)
    multi_head = llama.model_copy(update={"attention": llama.attention.model_copy(update={"kv_heads": 64})})
    assert kv_bytes_per_token(multi_head, "bf16") == 8 * kv_bytes_per_token(llama, "bf16")


def test_decode_weights_and_batch_cap_are_the_published_ones() -> None:
    """25.0 GB per GPU at EP144; with 10 GB reserve 128 streams of 4,989 tokens, 225 with fp8 KV."""
    assert EP144.weights_gb == pytest.approx(25.0, abs=0.05)
    assert EP144.batch_cap(4989) == 128
    assert replace(EP144, kv="fp8").batch_cap(4989) == 225


def test_the_last_page_of_a_stream_is_half_used() -> None:
    paged = replace(EP144, block_tokens=64)
    assert paged.kv_bytes_per_stream(1000) == pytest.approx((1000 + 63 / 2) * 70_272)
    assert paged.batch_cap(4989) == 127


def test_a_tensor_parallel_group_splits_kv_heads_and_copies_what_it_cannot_split() -> None:
    """Eight GPUs hold one of Llama's 8 KV heads each; of Qwen's 4 every head twice; a latent cache eight times."""
    llama = Engine(model=model("llama-3.1-70b"), hardware=H800, weights="bf16", profile=DEEPSEEK, tensor_parallel=8)
    assert llama.kv_bytes_per_stream(1000) == 1000 * kv_bytes_per_token(llama.model, "bf16")
    qwen = replace(llama, model=model("qwen3-235b-a22b"), expert_parallel=32)
    assert qwen.kv_bytes_per_stream(1000) == 2 * 1000 * kv_bytes_per_token(qwen.model, "bf16")
    latent = replace(EP144, tensor_parallel=8)
    assert latent.kv_bytes_per_stream(1000) == 8 * 1000 * 70_272


def test_fp8_weights_of_671_gb_do_not_fit_eight_gpus_and_four_bit_ones_do() -> None:
    eight = Engine(model=R1, hardware=H800, weights="fp8", profile=DEEPSEEK, expert_parallel=8)
    with pytest.raises(
        CannotServe, match=r"does not fit H800: .* GB of weights .* use a smaller number format"
    ) as caught:
        _ = eight.kv_gb
    assert caught.value.reason == "memory"
    assert replace(eight, weights="int4").kv_gb > 0


@given(st.floats(1, 100_000), st.floats(1, 100_000))
def test_longer_contexts_never_allow_more_streams(one: float, other: float) -> None:
    assert EP144.batch_cap(max(one, other)) <= EP144.batch_cap(min(one, other))


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"expert_parallel": 100}, "EP100 does not divide 288 expert copies.*use 12 more redundant experts"),
        ({"expert_parallel": 0}, "at least 1"),
        ({"tensor_parallel": 3}, "TP3 does not divide 128 heads"),
        ({"redundant_experts": -1}, "redundant_experts at least 0"),
        ({"rows_per_stream": 17.0}, "rows_per_stream must be from 1 to 16"),
        ({"rows_per_stream": 0.5}, "rows_per_stream must be from 1 to 16"),
        ({"expert_tensor": 0}, "expert_tensor, tensor_parallel and pipeline_parallel must be at least 1"),
        ({"expert_tensor": 3}, "expert_tensor 3 does not divide the width 2048"),
        ({"pipeline_parallel": 62}, "62 pipeline stages for 61 layers; use fewer"),
        ({"tensor_parallel": 12}, "TP12 does not divide 128 heads"),
        ({"accepted": 1.5}, "accepted from 1 to rows_per_stream"),
        ({"reserve_gb": 90.0}, "less than the memory"),
        ({"block_tokens": 0}, "block_tokens at least 1"),
        ({"model": model("llama-3.1-70b")}, "the model is dense; set expert_parallel and expert_tensor to 1"),
    ],
)
def test_parts_that_do_not_go_together_give_one_line(changes: dict[str, Any], cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        replace(EP144, **changes)


def test_every_figure_of_the_catalogue_says_where_it_comes_from() -> None:
    for name in names("hardware"):
        found = hardware(name)
        # curves say it themselves
        fields = set(Hardware.model_fields) - {"name", "description", "kernels", "provenance", "curves"}
        if found.curves_like is None:
            fields -= {"curves_like"}
        fields |= {f"kernels.{key}" for key in type(found.kernels).model_fields}
        assert set(found.provenance) == fields
        kinds = {text.partition(": ")[0] for text in found.provenance.values()}
        assert kinds <= {"published", "computed", "fitted", "inferred", "assumed"}
    assert all(point.source for point in (*decode_points(), *prefill_points()))
    assert all(model(name).source and model(name).serving.source for name in names("models"))
    day = workload("deepseek-2025-02-27")
    assert set(day.provenance) == set(type(day).model_fields) - {"name", "description", "provenance"}


def test_assumed_kernel_speeds_are_the_share_of_the_peak_that_was_measured_on_h800() -> None:
    share = {
        "gemm_tb_s": ("hbm", 2.4 / 3.35),
        "attention_tb_s": ("hbm", 3.0 / 3.35),
        "gemm_tflops": ("kernel", 1150 / 1979),
        "grouped_gemm_tflops": ("kernel", 950 / 1979),
        "attention_tflops": ("bf16", 580 / 989),
        "prefill_attention_tflops": ("bf16", 450 / 989),
        "dispatch_gb_s": ("nic", 39.4 / 50),
        "combine_gb_s": ("nic", 39.8 / 50),
    }
    for name in set(names("hardware")) - {"h800", "h100"}:
        found = hardware(name)
        peaks = {
            "hbm": found.hbm_tb_s,
            "nic": found.nic_gb_s,
            "bf16": found.dense_tflops["bf16"],
            "kernel": found.dense_tflops[found.kernels.dtype],
        }
        for field, (peak, part) in share.items():
            assert getattr(found.kernels, field) == pytest.approx(peaks[peak] * part, rel=1e-3), (name, field)


@pytest.mark.parametrize(
    ("served", "tensor_parallel", "message"),
    [
        ({"attention": {"kind": "grouped", "heads": 24, "kv_heads": 6, "head_dim": 16}}, 4, "TP4 neither divides 6 h"),
        ({"attention": {"kind": "grouped", "heads": 24, "kv_heads": 6, "head_dim": 16}}, 8, "TP8 neither divides 6 h"),
        ({"window": {**SLIDING, "heads": 6, "kv_heads": 2}}, 4, "TP4 does not divide 6 heads of layers with a window"),
        ({"window": {**SLIDING, "heads": 24, "kv_heads": 3}}, 4, "TP4 neither divides 3 heads of keys and values of l"),
        ({"recurrent": {**STATE_SPACE, "heads": 12}}, 8, "TP8 does not divide 12 heads of recurrent layers"),
    ],
)
def test_heads_of_every_kind_of_layer_are_shared_out_evenly(
    served: dict[str, Any], tensor_parallel: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Engine(
            model=model_of(**served),
            hardware=hardware("h100"),
            weights="bf16",
            profile=DEEPSEEK,
            tensor_parallel=tensor_parallel,
        )


@pytest.mark.parametrize(
    "served",
    [
        {"attention": {"kind": "grouped", "heads": 8, "kv_heads": 2, "head_dim": 16}},
        {"window": {**SLIDING, "heads": 8, "kv_heads": 1}},
        {"recurrent": {**STATE_SPACE, "heads": 16}},
        {"recurrent": STATE_SPACE},
    ],
)
def test_fewer_heads_of_keys_and_values_than_gpus_are_held_by_several(served: dict[str, Any]) -> None:
    """A state space that does not tell its heads is taken to be shared out by any number of GPUs."""
    Engine(model=model_of(**served), hardware=hardware("h100"), weights="bf16", profile=DEEPSEEK, tensor_parallel=8)
