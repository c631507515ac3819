"""How long one decode step takes: five overlapped stages per layer and micro-batch. Pure.

A layer has two micro-batches; while one computes, the other's tokens travel. With n rows per GPU and micro-batch,
L the mean KV length and ik, ie, id the imbalance (largest over mean) of KV, experts and dispatch, a layer takes

    2 * [ max(shared expert + attention before its core, dispatch * id)
          + max(weights of the routed experts, n rows through them * ie)
          + max(attention core * ik + attention after it, combine * id)
          + overhead ]

Without overlap there is one batch and the stages add up. Every stage follows from the model's dimensions and the
speeds in the hardware catalogue; two overheads per layer are fitted. The max() stages matter: an affine fit in
streams and KV length is up to 12 % off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.errors import UsageError
from planner.scenario.machines import Hardware, Model

Floats = NDArray[np.float64]

LAYER_OVERHEAD_US = 60.0
"""Per layer and micro-batch. Fitted to five published steps (catalogue/checkpoints/decode.toml), rounded; rms 3 %."""
ROW_OVERHEAD_US = 0.6
"""Per layer and row. Fitted together with LAYER_OVERHEAD_US."""
HOST_US = 1500.0
"""Per step on the host: sampling, scheduling. Assumed."""
WEIGHT_BYTES = 1
"""Of a weight in fp8."""
CACHE_BYTES = 2
"""Of a cached value, and of a weight of the output head, in bf16."""

MOST_STREAMS, MOST_KV_TOKENS = 1024.0, 131_072.0
"""Validity: several times the published points; beyond lies extrapolation."""


@dataclass(frozen=True)
class Imbalance:
    """Largest over mean: KV of a GPU's streams, tokens of a GPU's experts, tokens a GPU sends."""

    kv: float = 1.0
    experts: float = 1.0
    dispatch: float = 1.0


@dataclass(frozen=True)
class Stages:
    """Microseconds of one layer's stages for n rows, arrays of one shape; constants are of weights read."""

    before_core: float
    shared: float
    dispatch: Floats
    routed: Floats
    core: Floats
    after_core: float
    combine: Floats


def step_us(
    model: Model,
    hardware: Hardware,
    streams: ArrayLike,
    kv_tokens: ArrayLike,
    *,
    experts_per_gpu: float,
    rows_per_stream: float = 1.0,
    overlap: bool = True,
    imbalance: Imbalance = Imbalance(),
) -> Floats:
    """Time of one decode step in microseconds; streams and kv_tokens broadcast.

    streams: per GPU. kv_tokens: mean context per stream. experts_per_gpu: routed experts that a GPU holds.
    rows_per_stream: 1, or 2 with a draft token. Raises UsageError outside the validity range.
    """
    batch, context = np.broadcast_arrays(np.asarray(streams, np.float64), np.asarray(kv_tokens, np.float64))
    _check(batch, context, experts_per_gpu, rows_per_stream, imbalance)
    batches = 2 if overlap else 1
    rows = batch * rows_per_stream / batches
    s = _stages(model, hardware, rows, context, experts_per_gpu, imbalance)
    overhead = LAYER_OVERHEAD_US + ROW_OVERHEAD_US * rows
    if overlap:
        sparse = np.maximum(s.shared + s.before_core, s.dispatch) + s.routed
        sparse = sparse + np.maximum(s.core + s.after_core, s.combine) + overhead
    else:
        sparse = s.shared + s.before_core + s.dispatch + s.routed + s.core + s.after_core + s.combine + overhead
    dense_weights = _read_us(3 * model.hidden * model.experts.dense_width * WEIGHT_BYTES, hardware)
    dense = batches * (s.before_core + s.core + s.after_core + overhead) + dense_weights
    head = _read_us(model.vocabulary * model.hidden * CACHE_BYTES, hardware)
    sparse_layers = model.layers - model.dense_layers
    step: Floats = sparse_layers * batches * sparse + model.dense_layers * dense + head + HOST_US
    return step


def tokens_per_s_per_node(step: ArrayLike, streams: ArrayLike, gpus_per_node: int, accepted: float = 1.0) -> Floats:
    """Output tokens per second of a node. step: microseconds; accepted: tokens per step and stream."""
    rate: Floats = gpus_per_node * np.asarray(streams, np.float64) * accepted / np.asarray(step, np.float64) * 1e6
    return rate


def _stages(
    model: Model, hardware: Hardware, rows: Floats, context: Floats, experts_per_gpu: float, imbalance: Imbalance
) -> Stages:
    a, e, k = model.attention, model.experts, hardware.kernels
    expert = 3 * model.hidden * e.width
    before = (
        model.hidden * (a.query_rank + a.kv_rank + a.rope_head)
        + a.query_rank * a.heads * (a.nope_head + a.rope_head)
        + a.heads * a.nope_head * a.kv_rank
    )
    after = a.heads * a.value_head * (a.kv_rank + model.hidden)
    copies = rows * e.active
    kv_read = (a.kv_rank + a.rope_head) * CACHE_BYTES / (k.attention_tb_s * 1e6)
    kv_flops = a.heads * 2 * (2 * a.kv_rank + a.rope_head) / (k.attention_tflops * 1e6)
    return Stages(
        before_core=_read_us(before * WEIGHT_BYTES, hardware),
        shared=_read_us(e.shared * expert * WEIGHT_BYTES, hardware),
        dispatch=copies * model.dispatch.dispatch_bytes / (k.dispatch_gb_s * 1e3) * imbalance.dispatch,
        routed=np.maximum(
            _read_us(experts_per_gpu * expert * WEIGHT_BYTES, hardware),
            copies * 2 * expert / (k.grouped_gemm_tflops * 1e6) * imbalance.experts,
        ),
        core=rows * context * imbalance.kv * max(kv_read, kv_flops),
        after_core=_read_us(after * WEIGHT_BYTES, hardware),
        combine=copies * model.dispatch.combine_bytes / (k.combine_gb_s * 1e3) * imbalance.dispatch,
    )


def _read_us(weight_bytes: float, hardware: Hardware) -> float:
    return weight_bytes / (hardware.kernels.gemm_tb_s * 1e6)


def _check(streams: Any, kv_tokens: Any, experts_per_gpu: float, rows_per_stream: float, imbalance: Imbalance) -> None:
    problems = []
    for name, values, most in (("streams", streams, MOST_STREAMS), ("kv_tokens", kv_tokens, MOST_KV_TOKENS)):
        if not (np.isfinite(values).all() and (values > 0).all() and (values <= most).all()):
            problems.append(f"{name} must be above 0 and at most {most:,.0f}")
    if not 0 < experts_per_gpu < np.inf or not 1 <= rows_per_stream <= 2:
        problems.append("experts_per_gpu must be above 0, and rows_per_stream from 1 to 2")
    if min(imbalance.kv, imbalance.experts, imbalance.dispatch) < 1:
        problems.append("an imbalance is at least 1")
    if problems:
        raise UsageError(f"decode step: {'; '.join(problems)}")
