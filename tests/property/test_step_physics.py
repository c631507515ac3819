"""A step obeys physics, whatever the model, GPU, engine, format and parallelism: it grows with work."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from planner.catalogue.read import engine_node, engine_profile, model, names
from planner.core.fleet.engine import Engine
from planner.core.fleet.prefill import missed_tokens_per_s_per_node
from planner.core.fleet.shapes import (
    STATE_BYTES,
    WEIGHT_BYTES,
    attention_shape,
    dense_dtype,
    expert_weights,
    index_bytes_per_token_and_layer,
    indexer_layers,
    kv_bytes_per_token_and_layer,
    mixing_dtype,
    parts,
    selecting_layers,
    window_bytes_per_token_and_layer,
    window_shape,
)
from planner.core.fleet.speeds import CurveSpeeds
from planner.core.fleet.step import Batch, step_time
from planner.errors import UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.engines import EngineFactors
from planner.settings.hardware import Hardware
from planner.units import Floats

GPUS, MODELS, ENGINES = names("hardware"), names("models"), names("engines")
ROUNDING = 1 + 1e-9
TENSOR = (1, 2, 4, 8, 16)
BELOW = 0.84
"""Least share of its roofline that a step of a fitted engine takes: experts in bf16 on an RTX PRO 6000."""


@lru_cache
def engine(
    served: str, gpu: str, profile: str, weights: WeightDtype, kv: CacheDtype, tp: int, wide: int, split: bool
) -> Engine:
    """wide: groups that share the experts. split: every expert over the GPUs of a group, else whole ones to each.

    Raises UsageError for what does not go together.
    """
    has_experts = model(served).experts is not None
    across = tp if split and has_experts else 1
    return Engine(
        model=model(served),
        hardware=engine_node(gpu),
        weights=weights,
        kv=kv,
        profile=engine_profile(profile),
        tensor_parallel=tp,
        expert_parallel=tp * wide // across if has_experts else 1,
        expert_tensor=across,
        overlap="auto" if profile == "deepseek-ep" else "off",
    )


@st.composite
def engines(draw: st.DrawFn) -> Engine:
    """Models of the catalogue on GPUs of the catalogue, in formats that these have."""
    gpu = draw(st.sampled_from(GPUS))
    formats = [dtype for dtype in WEIGHT_BYTES if dtype in engine_node(gpu).dense_tflops or dtype == "int4"]
    try:
        found = engine(
            draw(st.sampled_from(MODELS)),
            gpu,
            draw(st.sampled_from(ENGINES)),
            draw(st.sampled_from(formats)),
            draw(st.sampled_from(["bf16", "fp8"])),
            draw(st.sampled_from(TENSOR)),
            draw(st.sampled_from([1, 1, 4])),
            draw(st.booleans()),
        )
    except UsageError:
        reject()
    rows = draw(st.sampled_from([1.0, 1.0, 2.0, 4.0]))
    return replace(found, rows_per_stream=rows)


@st.composite
def growing(draw: st.DrawFn, most: float) -> Floats:
    """Five values from 0 up, over several magnitudes."""
    logs = draw(st.lists(st.floats(-1, float(np.log10(most))), min_size=4, max_size=4))
    return np.array([0.0, *sorted(10**each for each in logs)])


def taken(served: Engine, streams: ArrayLike, kv: ArrayLike, chunk: ArrayLike) -> Floats:
    """Steps of all combinations: streams down, KV lengths across, chunks behind."""
    axes = np.asarray(streams)[:, None, None], np.asarray(kv)[:, None], np.asarray(chunk)
    return step_time(
        served, Batch(streams=axes[0], kv_tokens=axes[1], prompt_tokens=axes[2], context=900, length=1800)
    ).us


streams_of, kv_of, chunks_of = growing(1000), growing(100_000), growing(16_384)


@given(engines(), streams_of, kv_of, chunks_of)
def test_a_step_never_gets_shorter_with_streams_context_or_prompts(
    served: Engine, streams: Floats, kv: Floats, chunk: Floats
) -> None:
    found = taken(served, streams, kv, chunk)
    assert np.isfinite(found).all()
    for axis, what in enumerate(("streams", "KV length", "chunk")):
        few, many = np.delete(found, -1, axis), np.delete(found, 0, axis)
        assert (many >= few / ROUNDING).all(), what


@given(engines(), growing(100_000))
def test_a_step_never_gets_shorter_with_the_context_of_its_prompts(served: Engine, context: Floats) -> None:
    found = step_time(served, Batch(streams=3, kv_tokens=500, prompt_tokens=700, context=context, length=2000)).us
    assert (found[1:] >= found[:-1] / ROUNDING).all()


def faster(node: Hardware, *, shares: bool) -> dict[str, Hardware]:
    """The node with one of its speeds doubled. With one share of each peak, the shares are what is known: kernels."""
    if shares:
        doubled = ["gemm_tb_s", "gemm_tflops", "grouped_gemm_tflops", "attention_tb_s", "attention_tflops"]
        doubled += ["prefill_attention_tflops", "dispatch_gb_s", "combine_gb_s"]
        changes: dict[str, dict[str, Any]] = {
            name: {"kernels": node.kernels.model_copy(update={name: 2 * getattr(node.kernels, name)})}
            for name in doubled
        }
    else:
        changes = {name: {name: 2 * getattr(node, name)} for name in ("hbm_tb_s", "nic_gb_s")}
        for dtype, peak in node.dense_tflops.items():
            changes[dtype] = {"dense_tflops": {**node.dense_tflops, dtype: 2 * peak}}
    changes["nvlink_gb_s"] = {"nvlink_gb_s": 2 * node.nvlink_gb_s}
    return {name: node.model_copy(update=update) for name, update in changes.items()}


@given(engines(), streams_of, kv_of, chunks_of)
def test_a_step_never_gets_longer_on_a_gpu_with_faster_memory_arithmetic_or_links(
    served: Engine, streams: Floats, kv: Floats, chunk: Floats
) -> None:
    plain = taken(served, streams[::2], kv[::2], chunk[::2])
    for name, node in faster(served.hardware, shares=served.profile.kernels == "shares").items():
        assert (taken(replace(served, hardware=node), streams[::2], kv[::2], chunk[::2]) <= plain * ROUNDING).all(), (
            name
        )


@dataclass(frozen=True)
class Roofline:
    """Least times of a step on one GPU, microseconds: reading all that it must, and computing it."""

    reading_us: Floats
    computing_us: Floats


def roofline(served: Engine, streams: Floats, kv: Floats, chunk: Floats, context: float) -> Roofline:
    """Weights that are touched and KV over the memory's bandwidth; flops over the dense peaks of their formats.

    Of routed experts, the mean over GPUs of those that any row goes to, as if rows chose independently.
    """
    m, tp, node, whole = served.model, served.tensor_parallel, served.hardware, parts(served.model)
    full, window, seen = attention_shape(m), window_shape(m), np.asarray(context)
    held, rows = streams * tp, (streams * served.rows_per_stream + chunk) * tp
    formats = (
        (whole.mixing, mixing_dtype(m, served.weights)),
        (whole.dense + whole.shared + whole.latent, dense_dtype(m, served.weights)),
    )
    read = sum(weights / tp * WEIGHT_BYTES[dtype] for weights, dtype in formats) * np.ones_like(rows)
    computed = sum(2 * weights / tp * rows / peak(node, dtype) for weights, dtype in formats)
    read = read + whole.head / tp * 2 * (rows > 0)
    if m.experts:
        hit = 1 - (1 - m.experts.active / m.experts.routed) ** (rows / tp * served.expert_gpus)
        each = m.expert_layers * expert_weights(m)
        read = read + m.experts.routed * hit * each * WEIGHT_BYTES[served.weights] / served.expert_gpus
        computed = computed + 2 * m.experts.active * each * rows / tp / peak(node, served.weights)

    def attended(layers: int, tokens: Floats, past: Floats, size: int, shape: Any) -> tuple[Floats, Floats]:
        flops = rows_of * tokens * shape.decode_flops + chunk * tp * past * shape.prefill_flops
        return layers * held * tokens * size / min(tp, shape.kv_heads), layers * flops / tp / peak(node, "bf16")

    rows_of = held * served.rows_per_stream
    size = kv_bytes_per_token_and_layer(m, served.kv)
    selecting = selecting_layers(m)
    kinds = [(m.full_attention_layers - selecting, kv, seen, size, full)]
    if m.selection:
        kinds.append((selecting, np.minimum(kv, m.selection.tokens), np.minimum(seen, m.selection.tokens), size, full))
        read = read + indexer_layers(m) * held * kv * index_bytes_per_token_and_layer(m)
    if m.window and window:
        most = m.window.tokens
        size = window_bytes_per_token_and_layer(m, served.kv)
        kinds.append((m.window.layers, np.minimum(kv, most), np.minimum(seen, most), size, window))
    for each_kind in kinds:
        more_read, more_computed = attended(*each_kind)
        read, computed = read + more_read, computed + more_computed
    if m.recurrent:
        r = m.recurrent
        read = read + 2 * held / tp * r.layers * r.state_values * STATE_BYTES[r.state_dtype]
    return Roofline(read / (node.hbm_tb_s * 1e6), computed)


def peak(node: Hardware, dtype: WeightDtype) -> float:
    """Flops in a microsecond; formats that the GPU cannot compute in are computed in bf16."""
    return node.dense_tflops.get(dtype, node.dense_tflops["bf16"]) * 1e6


def with_factors(served: Engine, **changes: float) -> Engine:
    """The engine with other factors of kernels."""
    factors = served.profile.factors.model_copy(update=changes)
    return replace(served, profile=served.profile.model_copy(update={"factors": factors}))


def without_factors(served: Engine) -> Engine:
    """The engine whose kernels take what they were measured to take alone."""
    return with_factors(served, **EngineFactors().model_dump())


@given(engines(), streams_of, kv_of, chunks_of, st.floats(0, 100_000))
def test_no_kernels_beat_memory_and_arithmetic(
    served: Engine, streams: Floats, kv: Floats, chunk: Floats, context: float
) -> None:
    alone = without_factors(served)
    axes = np.broadcast_arrays(streams[1:, None, None], kv[:, None], chunk)
    found = step_time(
        alone, Batch(streams=axes[0], kv_tokens=axes[1], prompt_tokens=axes[2], context=context, length=2 * context)
    )
    least = roofline(alone, *axes, context)
    assert (found.kernels_us >= least.reading_us / ROUNDING).all()
    assert (found.kernels_us >= least.computing_us / ROUNDING).all()


@given(engines(), streams_of, kv_of, chunks_of, st.floats(0, 100_000))
def test_no_step_of_a_fitted_engine_beats_memory_and_arithmetic(
    served: Engine, streams: Floats, kv: Floats, chunk: Floats, context: float
) -> None:
    """By more than what its fit says of kernels that nearly reach it: one factor holds for all sizes and GPUs.

    The factor of prompts' attention is left out: it was fitted to short prompts, of which it is a small part.
    """
    served = with_factors(served, prompt_attention=1.0)
    axes = np.broadcast_arrays(streams[1:, None, None], kv[:, None], chunk)
    found = step_time(
        served, Batch(streams=axes[0], kv_tokens=axes[1], prompt_tokens=axes[2], context=context, length=2 * context)
    )
    least = roofline(served, *axes, context)
    assert (found.us >= BELOW * least.reading_us).all()
    assert (found.us >= BELOW * least.computing_us).all()


class FreeLinks(CurveSpeeds):
    """Kernels of a GPU whose group adds up in no time."""

    def all_reduce(self, rows: ArrayLike, hidden: int, gpus: int) -> Floats:  # noqa: ARG002
        return np.zeros_like(np.asarray(rows, np.float64))


@given(
    st.sampled_from([name for name in MODELS if model(name).experts is None]),
    st.sampled_from(GPUS),
    st.sampled_from(["vllm", "sglang", "tensorrt-llm"]),
    st.sampled_from([2, 4, 8]),
    st.floats(0, 20_000),
)
def test_a_group_prefills_no_slower_than_its_all_reduce_says(
    served: str, gpu: str, profile: str, tp: int, context: float
) -> None:
    """Against one GPU: nothing but adding up is slower, and that takes what was measured of it, twice a layer."""
    try:
        group = without_factors(engine(served, gpu, profile, "bf16", "bf16", tp, 1, False))
    except UsageError:
        reject()
    one, node = replace(group, tensor_parallel=1), group.hardware
    assert node.curves is not None
    tokens = group.profile.limits.max_batched_tokens
    batch = {"context": context, "length": 2 * context}
    alone = step_time(one, Batch(prompt_tokens=tokens, **batch)).kernels_us
    shared = step_time(group, Batch(prompt_tokens=tokens / tp, **batch)).kernels_us
    free = replace(group)
    free.__dict__["speeds"] = FreeLinks(node, node.curves)
    m = group.model
    added = (m.mixer_layers + m.dense_layers) * group.speeds.all_reduce(tokens, m.hidden, tp)
    assert shared - step_time(free, Batch(prompt_tokens=tokens / tp, **batch)).kernels_us == pytest.approx(added)
    assert shared <= (alone + added) * ROUNDING


@pytest.mark.parametrize("weights", ["fp8", "fp4"])
@pytest.mark.parametrize("profile", ["vllm", "sglang", "tensorrt-llm"])
def test_seventy_billion_weights_on_b200_prefill_as_measured_or_better(weights: WeightDtype, profile: str) -> None:
    """A node did 72, 62, 48 and 30 k tokens/s at TP 1, 2, 4 and 8, and decoded beside it."""
    for tp, measured in ((1, 72e3), (2, 62e3), (4, 48e3), (8, 30e3)):
        group = engine("llama-3.1-70b", "b200", profile, weights, "bf16", tp, 1, False)
        assert float(missed_tokens_per_s_per_node(group, 1000, balance=1.0)) >= 0.75 * measured


@given(engines(), st.floats(0, 50_000))
def test_prefill_does_not_beat_the_arithmetic_of_a_token(served: Engine, context: float) -> None:
    alone = without_factors(served)
    one = np.array([1.0 / alone.tensor_parallel])
    least = roofline(alone, np.zeros(1), np.zeros(1), one, context).computing_us[0]
    groups = served.hardware.gpus_per_node / served.tensor_parallel
    assert float(missed_tokens_per_s_per_node(alone, context, balance=1.0)) <= groups * 1e6 / least * ROUNDING
