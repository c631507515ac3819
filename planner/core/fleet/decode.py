"""How long one decode step takes: five overlapped stages per layer and micro-batch. Pure.

A layer has two micro-batches; while one computes, the other's tokens travel. With n rows per GPU and micro-batch,
L the mean KV length and ik, ie, id the imbalance (largest over mean) of KV, experts and dispatch, a layer takes

    2 * [ max(shared expert + attention before its core, dispatch * id)
          + max(weights of the routed experts, n rows through them * ie)
          + max(attention core * ik + attention after it, combine * id)
          + overhead ]

Without overlap there is one batch and the stages add up. A product takes the time to read its weights or the time to
compute its rows, whichever is longer. Every stage follows from the model's dimensions and the speeds in the hardware
catalogue; two overheads per layer are fitted. The max() stages matter: an affine fit in streams and KV length is up
to 12 % off.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine
from planner.core.fleet.shapes import (
    HEAD_BYTES,
    SCALE_BYTES,
    SCALED_GROUP,
    WEIGHT_BYTES,
    attention_shape,
    dense_weights,
    expert_weights,
    kv_bytes_per_token_and_layer,
)
from planner.errors import UsageError
from planner.settings.fleet import Overlap
from planner.units import Floats

OVERLAPS: tuple[Overlap, Overlap] = ("on", "off")


@dataclass(frozen=True)
class Imbalance:
    """Largest over mean: KV of a GPU's streams, tokens of a GPU's experts, tokens a GPU sends."""

    kv: float | Floats = 1.0
    experts: float | Floats = 1.0
    dispatch: float | Floats = 1.0


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Microseconds of one layer's stages and micro-batch, arrays of one shape."""

    before_core: Floats
    shared: Floats
    dispatch: Floats
    routed: Floats
    core: Floats
    after_core: Floats
    combine: Floats
    overhead: Floats


def step_us(engine: Engine, streams: ArrayLike, kv_tokens: ArrayLike, *, imbalance: Imbalance = Imbalance()) -> Floats:
    """Time of one decode step in microseconds; arguments broadcast.

    streams: per GPU. kv_tokens: mean context per stream. Raises UsageError outside the validity range.
    """
    batch, context = np.broadcast_arrays(np.asarray(streams, np.float64), np.asarray(kv_tokens, np.float64))
    if engine.overlap == "auto":
        on, off = (step_us(replace(engine, overlap=choice), batch, context, imbalance=imbalance) for choice in OVERLAPS)
        return np.minimum(on, off)
    _check(engine, batch, context, imbalance)
    s = stages(engine, batch, context, imbalance)
    if engine.splits_batches:
        return _together(engine, batch, s, np.maximum(s.core + s.after_core, s.combine))
    return _together(engine, batch, s, s.core + s.after_core + s.combine)


@dataclass(frozen=True)
class StepLines:
    """A step as the longer of two lines in the KV tokens of a GPU: us at none, and us per token, by streams."""

    low_us: Floats
    low_us_per_token: Floats
    high_us: Floats
    high_us_per_token: Floats


def step_lines(engine: Engine, streams: Floats, kv_tokens: float, imbalance: Imbalance) -> StepLines:
    """The step of so many streams per GPU, (n,) above 0, as max(low + low' K, high + high' K); exact.

    K: KV tokens of a GPU. The low line is that of a layer in which the combine takes longer than the attention core.
    Where overlap is auto, each batch is overlapped or not, whichever is faster at the mean context kv_tokens.
    Raises UsageError outside the validity range.
    """
    if engine.overlap == "auto":
        on, off = (replace(engine, overlap=choice) for choice in OVERLAPS)
        faster = step_us(on, streams, kv_tokens, imbalance=imbalance) <= step_us(
            off, streams, kv_tokens, imbalance=imbalance
        )
        modes = [step_lines(each, streams, kv_tokens, imbalance) for each in (on, off)]
        return StepLines(*(np.where(faster, *(getattr(lines, f.name) for lines in modes)) for f in fields(StepLines)))
    _check(engine, streams, np.full_like(streams, max(engine.validity.least_kv_tokens, 1.0)), imbalance)
    # stages at two context lengths give the lines, as the core is proportional to the context
    short, long = (stages(engine, streams, np.full_like(streams, length), imbalance) for length in (1.0, 2.0))
    ends = []
    for s in (short, long):
        if engine.splits_batches:
            pair = (_together(engine, streams, s, s.combine), _together(engine, streams, s, s.core + s.after_core))
        else:
            both = _together(engine, streams, s, s.core + s.after_core + s.combine)
            pair = (both, both)
        ends.append(pair)
    (low_1, high_1), (low_2, high_2) = ends
    return StepLines(2 * low_1 - low_2, (low_2 - low_1) / streams, 2 * high_1 - high_2, (high_2 - high_1) / streams)


def _together(engine: Engine, streams: Floats, s: Stages, last: Floats) -> Floats:
    """A step from its stages; last: the attention core, what follows it and the combine."""
    model, batches = engine.model, 2 if engine.splits_batches else 1
    first = s.shared + s.before_core + s.dispatch
    if engine.splits_batches:
        first = np.maximum(s.shared + s.before_core, s.dispatch)
    rows = streams * engine.rows_per_stream * engine.tensor_parallel
    feed_forward = product_us(engine, dense_weights(model) / engine.tensor_parallel, rows) + all_reduce_us(engine, rows)
    dense = batches * (s.before_core + s.core + s.after_core) + feed_forward
    head = model.vocabulary * model.hidden * HEAD_BYTES / engine.tensor_parallel
    kernels = (
        (model.layers - model.dense_layers) * batches * (first + s.routed + last)
        + model.dense_layers * dense
        + head / (engine.hardware.kernels.gemm_tb_s * 1e6)
    )
    between = model.layers * batches * s.overhead + engine.overheads.host_us
    step: Floats = kernels * engine.overheads.kernel_factor + between
    return step


def tokens_per_s_per_node(engine: Engine, streams: ArrayLike, step: ArrayLike) -> Floats:
    """Output tokens per second of a node. streams: per GPU; step: microseconds."""
    tokens = engine.hardware.gpus_per_node * np.asarray(streams, np.float64) * engine.accepted
    rate: Floats = tokens / np.asarray(step, np.float64) * 1e6
    return rate


def stages(engine: Engine, streams: Floats, context: Floats, imbalance: Imbalance) -> Stages:
    """The stages of a layer with experts and one micro-batch; a dense layer has before, core and after."""
    shape, kernels, tp = attention_shape(engine.model), engine.hardware.kernels, engine.tensor_parallel
    batches = 2 if engine.splits_batches else 1
    held = streams * tp / batches
    rows = held * engine.rows_per_stream
    read = held * context * kv_bytes_per_token_and_layer(engine.model, engine.kv) / min(tp, shape.kv_heads)
    computed = rows * context * shape.decode_flops / tp
    core = np.maximum(read / (kernels.attention_tb_s * 1e6), computed / (kernels.attention_tflops * 1e6))
    shared = engine.model.experts.shared if engine.model.experts else 0
    own = rows / tp
    dispatch, routed, combine = _expert_stages(engine, own, imbalance)
    return Stages(
        before_core=product_us(engine, shape.before / tp, rows),
        shared=product_us(engine, shared * expert_weights(engine.model), own),
        dispatch=dispatch,
        routed=routed,
        core=core * imbalance.kv,
        after_core=product_us(engine, shape.after / tp, rows) + all_reduce_us(engine, rows),
        combine=combine,
        overhead=engine.overheads.layer_us + engine.overheads.row_us * rows,
    )


def product_us(engine: Engine, weights: float, rows: ArrayLike) -> Floats:
    """A matrix product with weights on one GPU: reading them, or computing the rows, whichever takes longer."""
    kernels = engine.hardware.kernels
    read = weights * WEIGHT_BYTES[engine.weights] / (kernels.gemm_tb_s * 1e6)
    tflops = kernels.gemm_tflops * engine.peak_of_kernel_dtype
    longer: Floats = np.maximum(read, 2 * weights * np.asarray(rows, np.float64) / (tflops * 1e6))
    return longer


def all_reduce_us(engine: Engine, rows: ArrayLike) -> Floats:
    """Adding up the rows of a tensor-parallel group over its links, by a ring; 0 for one GPU."""
    tp = engine.tensor_parallel
    sent = 2 * (tp - 1) / tp * engine.model.hidden * 2
    reduced: Floats = np.asarray(rows, np.float64) * sent / (_near_link_gb_s(engine) * 1e3)
    return reduced


def _expert_stages(engine: Engine, rows: Floats, imbalance: Imbalance) -> tuple[Floats, Floats, Floats]:
    """Dispatch, routed experts and combine of n rows per GPU."""
    experts, kernels, none = engine.model.experts, engine.hardware.kernels, np.zeros_like(rows)
    if experts is None:
        return none, none, none
    copies = rows * experts.active
    weights = expert_weights(engine.model)
    tflops = kernels.grouped_gemm_tflops * engine.peak_of_kernel_dtype
    routed = np.maximum(
        touched_experts(engine, rows) * weights * WEIGHT_BYTES[engine.weights] / (kernels.gemm_tb_s * 1e6),
        copies * 2 * weights / (tflops * 1e6) * imbalance.experts,
    )
    if engine.expert_parallel == 1:
        return none, routed, none
    # nearby GPUs exchange tokens over their own links, at the share of their speed that the network's kernels reach
    inside = engine.expert_parallel <= engine.hardware.nvlink_gpus
    link = _near_link_gb_s(engine) / kernels.dispatch_gb_s if inside else 1.0
    # tokens travel in fp8 with a scale per group of values and come back in bf16 (published: DeepEP)
    out = engine.model.hidden + -(-engine.model.hidden // SCALED_GROUP) * SCALE_BYTES
    dispatch = copies * out / (kernels.dispatch_gb_s * link * 1e3) * imbalance.dispatch
    combine = copies * 2 * engine.model.hidden / (kernels.combine_gb_s * link * 1e3) * imbalance.dispatch
    return dispatch, routed, combine


def touched_experts(engine: Engine, rows: Floats) -> Floats:
    """Experts whose weights the busiest GPU reads for n rows per GPU, at most those it holds.

    Mean and spread of independent choices; the largest of G normal deviates lies up to sqrt(2 ln G) above the mean, so
    that few tokens are modelled a little too slow, by under a quarter of this stage.
    """
    assert engine.model.experts is not None
    slots, gpus = engine.expert_slots, engine.expert_parallel
    share = engine.model.experts.active / (slots * gpus)
    hit = 1 - (1 - share) ** (rows * gpus)
    touched: Floats = np.minimum(slots, slots * hit + np.sqrt(2 * np.log(gpus) * slots * hit * (1 - hit)))
    return touched


def _near_link_gb_s(engine: Engine) -> float:
    """One direction of a GPU's links to nearby GPUs at the share of the peak that dispatch reaches on the network."""
    hardware = engine.hardware
    return hardware.nvlink_gb_s / 2 * hardware.kernels.dispatch_gb_s / hardware.nic_gb_s


def _check(engine: Engine, streams: Floats, kv_tokens: Floats, imbalance: Imbalance) -> None:
    valid = engine.validity
    ranges = (
        ("streams", streams, valid.least_streams, valid.most_streams),
        ("kv_tokens", kv_tokens, valid.least_kv_tokens, valid.most_kv_tokens),
    )
    problems = [
        f"{name} must be {f'at least {least:,.4g}' if least else 'above 0'} and at most {most:,.0f}"
        for name, values, least, most in ranges
        if not (np.isfinite(values).all() and (values > 0).all() and (values >= least).all() and (values <= most).all())
    ]
    if min(np.min(imbalance.kv), np.min(imbalance.experts), np.min(imbalance.dispatch)) < 1:
        problems.append("an imbalance must be at least 1")
    if problems:
        raise UsageError(f"decode step: {'; '.join(problems)}")
