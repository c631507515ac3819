"""How long one step takes: rows of streams, and chunks of prompts, through all layers of a model. Pure.

One formula serves decode units (no prompts), prefill units (no streams) and servers that do both. With r rows on a
group of GPUs that share attention, a layer with experts takes

    attention: products before its core, core of streams, core of prompts, product after it, adding up over the group
    experts:   shared ones, dispatch of rows to routed ones, routed ones, combine (or adding up over the group)
    overheads: per layer, and per layer and row

and a dense layer a feed-forward in place of experts. Without overlap stages add up. With it a step has two
micro-batches, one computing while the other's tokens travel, and a layer and micro-batch takes

    max(shared experts + products before the core, dispatch) + routed experts + max(core + product after it, combine)

A product takes the time to read its weights or to compute its rows, as kernels of the GPU do it at that size
(`speeds`). What kernels leave out stands in the engine's profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.shapes import (
    STATE_BYTES,
    attention_shape,
    dense_dtype,
    dense_weights,
    expert_weights,
    index_bytes_per_token_and_layer,
    index_flops,
    indexer_layers,
    indexer_weights,
    kv_bytes_per_token_and_layer,
    latent_weights,
    mixing_dtype,
    selecting_layers,
    shared_weights,
    window_bytes_per_token_and_layer,
    window_shape,
)
from planner.core.fleet.speeds import HEAD_DTYPE, quantised
from planner.settings.closed import WeightDtype
from planner.settings.fleet import Overlap
from planner.settings.models import LatentAttention
from planner.units import Floats

OVERLAPS: tuple[Overlap, Overlap] = ("on", "off")


@dataclass(frozen=True)
class Imbalance:
    """Largest over mean: KV of a GPU's streams, tokens of a GPU's experts, tokens a GPU sends."""

    kv: float | Floats = 1.0
    experts: float | Floats = 1.0
    dispatch: float | Floats = 1.0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step computes, arrays that broadcast.

    streams: per GPU. kv_tokens: mean context of a stream. prompt_tokens: of prompts, per GPU. context: mean context of
    these. length: of the prompts that they are of. All are at least 0.
    """

    streams: ArrayLike = 0.0
    kv_tokens: ArrayLike = 0.0
    prompt_tokens: ArrayLike = 0.0
    context: ArrayLike = 0.0
    length: ArrayLike = 1.0
    imbalance: Imbalance = field(default_factory=Imbalance)

    def arrays(self) -> tuple[Floats, ...]:
        """All five, of one shape."""
        asked = (self.streams, self.kv_tokens, self.prompt_tokens, self.context, self.length)
        return tuple(np.broadcast_arrays(*(np.asarray(each, np.float64) for each in asked)))


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Microseconds of all layers of a kind together and one micro-batch, arrays of one shape.

    before, core, prompts, after: attention of layers with experts. The others, `plain`, are dense layers and those that
    mix tokens but have no experts after, whole. prompts: attention of prompts.
    """

    before: Floats
    core: Floats
    prompts: Floats
    after: Floats
    shared: Floats
    dispatch: Floats
    routed: Floats
    combine: Floats
    plain: Floats
    head: Floats


@dataclass(frozen=True)
class StepTime:
    """A step: what kernels and exchange take, and what is on top, microseconds."""

    kernels_us: Floats
    overheads_us: Floats

    @property
    def us(self) -> Floats:
        return self.kernels_us + self.overheads_us


def step_time(engine: Engine, batch: Batch) -> StepTime:
    """One step, overlapped or not as the engine says; where it leaves that open, whichever is faster at each point."""
    if engine.overlap == "auto":
        if engine.expert_gpus == 1 or not engine.profile.dispatch:
            return step_time(on_same_kernels(engine, overlap="off"), batch)
        on, off = (step_time(on_same_kernels(engine, overlap=choice), batch) for choice in OVERLAPS)
        faster = on.us <= off.us
        return StepTime(
            np.where(faster, on.kernels_us, off.kernels_us), np.where(faster, on.overheads_us, off.overheads_us)
        )
    return StepTime(together(engine, stages(engine, batch)), overheads_us(engine, batch))


def together(engine: Engine, s: Stages, *, last: Floats | None = None) -> Floats:
    """Kernels of a step from its stages. last: what ends a layer with experts, else as the engine overlaps."""
    batches = 2 if engine.splits_batches else 1
    if engine.splits_batches:
        first = np.maximum(s.shared + s.before, s.dispatch)
        ends = np.maximum(s.core + s.prompts + s.after, s.combine) if last is None else last
    else:
        first = s.shared + s.before + s.dispatch
        ends = s.core + s.prompts + s.after + s.combine if last is None else last
    waiting = 1 + engine.profile.factors.waiting_groups * np.log2(_waiting_groups(engine))
    taken: Floats = (batches * (first + s.routed + ends) + s.plain + s.head) * engine.scale.kernels * waiting
    return taken


def _waiting_groups(engine: Engine) -> float:
    """Groups of GPUs that share attention, and that wait for each other in every layer with experts."""
    return max(engine.expert_gpus / engine.tensor_parallel, 1.0)


def overheads_us(engine: Engine, batch: Batch) -> Floats:
    """What a step takes beside its kernels, microseconds."""
    o = engine.profile.overheads
    batches = 2 if engine.splits_batches else 1
    streams, _, prompt_tokens, _, _ = batch.arrays()
    held = streams * engine.tensor_parallel
    rows = (held * engine.rows_per_stream + prompt_tokens * engine.tensor_parallel) / batches
    each = _all_layers_us(engine, rows, prompt_tokens > 0)
    taken: Floats = (batches * each + o.step_us + o.stream_us * held) * engine.scale.overheads
    return taken


def pass_overheads_us(engine: Engine) -> float:
    """What a pass of prompts alone takes for all its layers beside kernels and rows, microseconds."""
    return float(_all_layers_us(engine, np.zeros(()), np.ones((), np.bool_))) * engine.scale.overheads


def launching_us(engine: Engine) -> float:
    """What a pass of prompts alone takes for kernels that are launched one by one, microseconds; fitted."""
    model, prompts = engine.model, engine.profile.prompts
    layers = (model.mixer_layers + model.feed_forward_layers) / 2
    return layers * prompts.alone_layer_us + model.expert_layers * prompts.alone_experts_us


def _all_layers_us(engine: Engine, rows: Floats, with_prompts: np.ndarray) -> Floats:
    """What all layers take beside their kernels for so many rows of a micro-batch, microseconds."""
    model, o = engine.model, engine.profile.overheads
    # a block with attention alone, or with a feed-forward alone, counts as half a layer
    layers = (model.mixer_layers + model.feed_forward_layers) / 2
    taken: Floats = (
        layers * (o.layer_us + o.row_us * rows + o.prompt_layer_us * with_prompts)
        + _quantised_layers(engine) * o.quantised_us
        + (model.mixer_layers if model.qk_norm else 0) * o.norm_us
        + model.expert_layers * o.experts_us
        + _collectives(engine) * o.collective_us
    )
    return taken


def stages(engine: Engine, batch: Batch) -> Stages:
    """The stages of a step and one micro-batch; what has no experts after it is whole."""
    model, tp = engine.model, engine.tensor_parallel
    batches = 2 if engine.splits_batches else 1
    streams, kv_tokens, prompt_tokens, context, length = batch.arrays()
    held, chunk = streams * tp / batches, prompt_tokens * tp / batches
    rows = held * engine.rows_per_stream + chunk
    before, after = _mixing_products(engine, held, rows)
    core = _stream_cores(engine, held, kv_tokens) * batch.imbalance.kv
    prompts = _prompt_cores(engine, chunk, context, length)
    shared, dispatch, routed, combine = _expert_stages(engine, rows, chunk, batch.imbalance)
    # layers that mix tokens in different ways are spread evenly over those with experts and those without
    sparse = model.expert_layers / model.mixer_layers
    dense = _feed_forward(engine, rows * batches) + _added_up(engine, rows * batches)
    plain = batches * (1 - sparse) * (before + core + prompts + after) + model.dense_layers * dense
    return Stages(
        before=sparse * before,
        core=sparse * core,
        prompts=sparse * prompts,
        after=sparse * after,
        shared=model.expert_layers * shared,
        dispatch=model.expert_layers * dispatch,
        routed=model.expert_layers * routed,
        combine=model.expert_layers * combine,
        plain=plain,
        head=_head(engine, held * batches) + _pipeline(engine, rows * batches),
    )


def touched_experts(engine: Engine, rows: Floats) -> Floats:
    """Experts whose weights the busiest GPU reads for n rows per GPU, at most those it holds.

    Mean and spread of independent choices; the largest of G normal deviates lies up to sqrt(2 ln G) above the mean, so
    that few tokens are modelled a little too slow, by under a quarter of this stage.
    """
    assert engine.model.experts is not None
    slots, groups = engine.expert_slots, engine.expert_parallel
    share = engine.model.experts.active / (slots * groups)
    hit = 1 - (1 - share) ** (rows * engine.expert_gpus)
    touched: Floats = np.minimum(slots, slots * hit + np.sqrt(2 * np.log(groups) * slots * hit * (1 - hit)))
    return touched


def _products(engine: Engine, weights: Sequence[float], dtype: WeightDtype, rows: Floats) -> Floats:
    taken: Floats = engine.profile.factors.products * engine.speeds.products(weights, dtype, rows)
    return taken


def _mixing_products(engine: Engine, held: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Products before and after the cores of all layers that mix tokens, recurrent states and adding up among them."""
    model, tp = engine.model, engine.tensor_parallel
    dtype, shape = mixing_dtype(model, engine.weights), attention_shape(model)
    full = model.full_attention_layers
    before = full * _products(engine, _before(engine, shape.before), dtype, rows)
    after = full * _products(engine, [shape.after / tp], dtype, rows)
    indexers = indexer_layers(model)
    if indexers:
        # every GPU of a group works out the whole choice
        before = before + indexers * _products(engine, [indexer_weights(model)], dtype, rows)
    window = window_shape(model)
    if model.window and window:
        before = before + model.window.layers * _products(engine, [window.before / tp], dtype, rows)
        after = after + model.window.layers * _products(engine, [window.after / tp], dtype, rows)
    if model.recurrent:
        r = model.recurrent
        # two thirds of the weights make what enters the recurrence, one third what leaves it
        taken = _products(engine, [r.weights * 2 / 3 / tp, r.weights / 3 / tp], dtype, rows)
        # states are read and written once for each stream
        moved = 2 * held / tp * r.state_values * STATE_BYTES[r.state_dtype]
        after = after + r.layers * (taken + moved / (engine.hardware.hbm_tb_s * 1e6))
    return before, after + model.mixer_layers * _added_up(engine, rows)


def _before(engine: Engine, weights: int) -> list[float]:
    """Weights of the products before a core, on one GPU of a group."""
    a, tp = engine.model.attention, engine.tensor_parallel
    if not isinstance(a, LatentAttention) or engine.profile.kernels == "shares":
        return [weights / tp]
    # compressing is not split: every GPU of a group needs what it gives whole
    compressing = engine.model.hidden * ((a.query_rank or 0) + a.kv_rank + a.rope_head)
    absorbed = a.heads * a.nope_head * a.kv_rank
    return [compressing, (weights - compressing - absorbed) / tp, absorbed / tp]


def _stream_cores(engine: Engine, held: Floats, kv_tokens: Floats) -> Floats:
    """Attention of streams in all layers with any."""
    model, tp, kv = engine.model, engine.tensor_parallel, engine.kv
    shape, speeds, latent = attention_shape(model), engine.speeds, isinstance(model.attention, LatentAttention)
    rows = held * engine.rows_per_stream
    full, selecting = model.full_attention_layers, selecting_layers(model)
    each = kv_bytes_per_token_and_layer(model, kv) / min(tp, shape.kv_heads)

    def core(tokens: Floats) -> Floats:
        return speeds.attention(held * tokens * each, rows * tokens * shape.decode_flops / tp, kv, latent=latent)

    taken = (full - selecting) * core(kv_tokens)
    if model.selection:
        taken = taken + selecting * core(np.minimum(kv_tokens, float(model.selection.tokens)))
        scored = held * kv_tokens * index_bytes_per_token_and_layer(model)
        # keys are scored in fp8
        taken = taken + indexer_layers(model) * speeds.attention(
            scored, rows * kv_tokens * index_flops(model) / 2, kv, latent=latent
        )
    window = window_shape(model)
    if model.window and window:
        seen = np.minimum(kv_tokens, float(model.window.tokens))
        read = held * seen * window_bytes_per_token_and_layer(model, kv) / min(tp, window.kv_heads)
        taken = taken + model.window.layers * speeds.attention(
            read, rows * seen * window.decode_flops / tp, kv, latent=False
        )
    cores: Floats = taken * engine.profile.factors.attention
    return cores


def _prompt_cores(engine: Engine, chunk: Floats, context: Floats, length: Floats) -> Floats:
    """Attention of prompts in all layers with any."""
    model, tp, speeds = engine.model, engine.tensor_parallel, engine.speeds
    shape = attention_shape(model)
    full, selecting = model.full_attention_layers, selecting_layers(model)
    taken = (full - selecting) * speeds.prompt_attention(chunk * context * shape.prefill_flops / tp, length)
    if model.selection:
        seen = np.minimum(context, float(model.selection.tokens))
        taken = taken + selecting * speeds.prompt_attention(chunk * seen * shape.prefill_flops / tp, length)
        scored = chunk * context * index_flops(model) / 2
        taken = taken + indexer_layers(model) * speeds.prompt_attention(scored, length)
    window = window_shape(model)
    if model.window and window:
        seen = np.minimum(context, float(model.window.tokens))
        flops = chunk * seen * window.prefill_flops / tp
        taken = taken + model.window.layers * speeds.prompt_attention(flops, np.minimum(length, model.window.tokens))
    cores: Floats = taken * engine.profile.factors.prompt_attention
    return cores


def _feed_forward(engine: Engine, rows: Floats) -> Floats:
    """A dense layer's feed-forward."""
    each, tp = dense_weights(engine.model), engine.tensor_parallel
    return _products(engine, _matrices(engine, each / tp), dense_dtype(engine.model, engine.weights), rows)


def _matrices(engine: Engine, weights: float) -> list[float]:
    """The products of a feed-forward: those into it are one."""
    into = 2 / 3 if engine.model.gated else 1 / 2
    return [weights * into, weights * (1 - into)]


def _added_up(engine: Engine, rows: Floats) -> Floats:
    """Adding up rows over a group that shares attention; 0 for one GPU."""
    taken: Floats = engine.profile.factors.all_reduce * engine.speeds.all_reduce(
        rows, engine.model.hidden, engine.tensor_parallel
    )
    return taken


def _expert_stages(
    engine: Engine, rows: Floats, chunk: Floats, imbalance: Imbalance
) -> tuple[Floats, Floats, Floats, Floats]:
    """Shared experts, dispatch, routed experts and combine of one layer, for the rows of a group."""
    model, experts, none = engine.model, engine.model.experts, np.zeros_like(rows)
    if experts is None:
        return none, none, none, none
    tp, speeds, factors = engine.tensor_parallel, engine.speeds, engine.profile.factors
    own = rows / tp
    beside = dense_dtype(model, engine.weights)
    # each GPU has shared experts of its own for its rows where tokens travel; else the group splits them
    split, of = (1, own) if engine.profile.dispatch else (tp, rows)
    shared = none
    if experts.shared:
        shared = _products(engine, _matrices(engine, shared_weights(model) / split), beside, of)
    if experts.hidden:
        shared = shared + _products(engine, [latent_weights(model) / 2 / split] * 2, beside, of)
    if not engine.profile.dispatch:
        shared = shared + _products(engine, [model.hidden * experts.routed], HEAD_DTYPE, rows)
    routed = factors.experts * _routed(engine, own, imbalance)
    if factors.prompt_experts != factors.experts:
        # on top of what prompts alone take, not a mean over rows: with it, more streams would make a step shorter
        routed = routed + (factors.prompt_experts - factors.experts) * _routed(engine, chunk / tp, imbalance)
    if not engine.profile.dispatch and engine.expert_gpus <= tp:
        return shared, none, routed, _added_up(engine, rows)
    # prompts hide their exchange behind computing where kernels of their own carry it
    sent = (own - chunk / tp if engine.profile.dispatch else own) * experts.active
    dispatch, combine = speeds.exchange(sent, experts.hidden or model.hidden, engine.expert_gpus)
    return (
        shared,
        factors.all_reduce * dispatch * imbalance.dispatch,
        routed,
        factors.all_reduce * combine * imbalance.dispatch,
    )


def _routed(engine: Engine, own: Floats, imbalance: Imbalance) -> Floats:
    """Routed experts of one layer as they are measured alone, for so many rows of each GPU."""
    model = engine.model
    assert model.experts is not None
    return engine.speeds.experts(
        touched_experts(engine, own),
        expert_weights(model) / engine.expert_tensor,
        engine.weights,
        own * model.experts.active * engine.expert_tensor,
        imbalance.experts,
    )


def _head(engine: Engine, held: Floats) -> Floats:
    """The output head, for the rows of streams; prompts have one row each, which is left out."""
    weights = engine.model.vocabulary * engine.model.hidden / engine.tensor_parallel
    rows = held * engine.rows_per_stream
    # at one share of each peak, reading it was taken to bind at any batch
    rows = np.zeros_like(rows) if engine.profile.kernels == "shares" else np.maximum(rows, 1.0)
    return _products(engine, [weights], HEAD_DTYPE, rows)


def _pipeline(engine: Engine, rows: Floats) -> Floats:
    """Handing rows from one group of layers to the next; 0 for one group."""
    hops = engine.pipeline_parallel - 1
    gpus = engine.tensor_parallel * engine.pipeline_parallel
    link = engine.hardware.nvlink_gb_s / 2 if gpus <= engine.hardware.nvlink_gpus else engine.hardware.nic_gb_s
    taken: Floats = hops * rows * engine.model.hidden * 2 / engine.tensor_parallel / (link * 1e3)
    return taken


def _quantised_layers(engine: Engine) -> float:
    """Layers whose products quantise activations, those of attention and of feed-forwards a half each."""
    model, hardware = engine.model, engine.hardware
    mixing = quantised(hardware, mixing_dtype(model, engine.weights)) * model.mixer_layers
    dense = quantised(hardware, dense_dtype(model, engine.weights)) * model.dense_layers
    sparse = quantised(hardware, engine.weights) * model.expert_layers
    return (mixing + dense + sparse) / 2


def _collectives(engine: Engine) -> float:
    """Exchanges between GPUs in a step."""
    model = engine.model
    shared = (model.mixer_layers + model.dense_layers) * (engine.tensor_parallel > 1)
    if engine.expert_gpus > engine.tensor_parallel:
        return shared + 2 * model.expert_layers + engine.pipeline_parallel - 1
    return shared + model.expert_layers * (engine.tensor_parallel > 1) + engine.pipeline_parallel - 1
