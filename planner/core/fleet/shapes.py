"""Quantities from a model's dimensions: weights, bytes of KV cache and state, arithmetic of the attention core. Pure.

Layers are of up to three kinds by how they mix tokens: attention to the whole context, whose cache grows with it;
attention to a window, whose cache stops growing; and recurrences, whose state has one size. Norms, biases and other
vectors are left out of all counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.documents import Document
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.models import GroupedAttention, LatentAttention, Model, Window
from planner.units import Floats

WEIGHT_BYTES: dict[WeightDtype, float] = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5}
"""Of one weight; scales are left out: under 3 % of 8-bit weights, 6 to 13 % of 4-bit ones (a scale per 32 or 16)."""
HEAD_BYTES = 2.0
"""Of a weight of the embedding and the output head, which stay in bf16."""
SCALED_GROUP, SCALE_BYTES = 128, 4
"""fp8 caches of latent attention hold a 4-byte scale per 128 values and the rotary part in bf16: 656 bytes per token
and layer for DeepSeek-V3 (published: FlashMLA's fp8 cache format)."""


INDEX_SCALE_BYTES = 4
"""An indexer keeps one fp8 key per token and a 4-byte scale per 128 values of it (published: DeepSeek-V3.2-Exp's
inference code and vLLM's DeepseekV32IndexerCache); assumed to hold for other models with an indexer."""
STATE_BYTES = {"fp32": 4, "bf16": 2}
"""Of one value of a recurrent state."""
CONVOLUTION_BYTES = 2
"""Of one value that a convolution looks back on, in bf16."""
FOUR_BITS: tuple[WeightDtype, ...] = ("fp4", "int4")


@dataclass(frozen=True, kw_only=True)
class AttentionShape:
    """One attention layer, whole: weights of the products before and after the core, and the core's arithmetic.

    stored: weights held in memory. kv_heads: over how many GPUs the cache can be split. decode_flops and
    prefill_flops: of one query token against one cached token; latent attention decodes on the compressed cache and
    prefills on expanded keys and values.
    """

    before: int
    after: int
    stored: int
    heads: int
    kv_heads: int
    decode_flops: int
    prefill_flops: int


@dataclass(frozen=True, kw_only=True)
class ModelParts(Document):
    """Weights of a model by part, over all its layers; copies that an engine makes are left out."""

    attention: int
    """Of layers that see the whole context."""
    window: int
    """Of layers that see a window."""
    recurrent: int
    """Of linear attention and state spaces."""
    indexer: int
    """Of sparse attention."""
    dense: int
    """Feed-forwards of dense layers."""
    shared: int
    """Shared experts."""
    routed: int
    """Routed experts."""
    latent: int
    """Projections before and after routed experts that take smaller tokens."""
    router: int
    embedding: int
    """0 where the head shares its weights."""
    head: int

    @property
    def total(self) -> int:
        """All weights."""
        return self.mixing + self.dense + self.shared + self.routed + self.latent + self.router + self.tables

    @property
    def mixing(self) -> int:
        """Of attention of either kind, its indexers and recurrences."""
        return self.attention + self.window + self.recurrent + self.indexer

    @property
    def tables(self) -> int:
        """Of the embedding and the output head."""
        return self.embedding + self.head


def attention_shape(model: Model) -> AttentionShape:
    """The attention of one layer that sees the whole context."""
    a, hidden = model.attention, model.hidden
    if isinstance(a, GroupedAttention):
        return _grouped_shape(hidden, a)
    absorbed = a.heads * a.kv_rank * (a.nope_head + a.value_head)
    made_of = a.query_rank or hidden
    before = (
        hidden * ((a.query_rank or 0) + a.kv_rank + a.rope_head)
        + made_of * a.heads * (a.nope_head + a.rope_head)
        + a.heads * a.nope_head * a.kv_rank
    )
    after = a.heads * a.value_head * (a.kv_rank + hidden)
    return AttentionShape(
        before=before,
        after=after,
        # decode works on a transposed copy of the projections that expand keys and values
        stored=before + after + absorbed,
        heads=a.heads,
        kv_heads=1,
        decode_flops=2 * a.heads * (2 * a.kv_rank + a.rope_head),
        prefill_flops=2 * a.heads * (a.nope_head + a.rope_head + a.value_head),
    )


def window_shape(model: Model) -> AttentionShape | None:
    """The attention of one layer that sees a window; None where there is none."""
    return _grouped_shape(model.hidden, model.window) if model.window else None


def _grouped_shape(hidden: int, a: GroupedAttention | Window) -> AttentionShape:
    keys, values = a.kv_heads * a.head_dim, a.kv_heads * value_head(a)
    before = hidden * (a.heads * a.head_dim + keys + values)
    if isinstance(a, GroupedAttention):
        before += hidden * (a.heads * value_head(a) if a.gate else 0)
        before -= hidden * (values if a.values_from_keys else 0)
    after = a.heads * value_head(a) * hidden
    flops = 2 * a.heads * (a.head_dim + value_head(a))
    return AttentionShape(
        before=before,
        after=after,
        stored=before + after,
        heads=a.heads,
        kv_heads=a.kv_heads,
        decode_flops=flops,
        prefill_flops=flops,
    )


def value_head(a: GroupedAttention | Window) -> int:
    """Values of one head's value."""
    return a.value_head or a.head_dim


def kv_bytes_per_token(model: Model, dtype: CacheDtype) -> int:
    """KV cache of one more token of a long context, bytes: in layers that see all of it, and in their indexers."""
    kept = model.full_attention_layers * kv_bytes_per_token_and_layer(model, dtype)
    return kept + indexer_layers(model) * index_bytes_per_token_and_layer(model)


def kv_bytes_per_token_and_layer(model: Model, dtype: CacheDtype) -> int:
    """KV cache of one token in one layer that sees the whole context, bytes."""
    a = model.attention
    if isinstance(a, LatentAttention):
        if dtype == "bf16":
            return 2 * (a.kv_rank + a.rope_head)
        return a.kv_rank + a.kv_rank // SCALED_GROUP * SCALE_BYTES + 2 * a.rope_head
    return _grouped_bytes(a, dtype)


def window_bytes_per_token_and_layer(model: Model, dtype: CacheDtype) -> int:
    """KV cache of one token in one layer that sees a window, bytes; 0 where there is none."""
    return _grouped_bytes(model.window, dtype) if model.window else 0


def _grouped_bytes(a: GroupedAttention | Window, dtype: CacheDtype) -> int:
    return (2 if dtype == "bf16" else 1) * a.kv_heads * (a.head_dim + value_head(a))


def selecting_layers(model: Model) -> int:
    """Layers whose attention reads the tokens that an indexer chose."""
    return (model.selection.layers or model.full_attention_layers) if model.selection else 0


def indexer_layers(model: Model) -> int:
    """Layers with an indexer of their own."""
    return (model.selection.indexers or selecting_layers(model)) if model.selection else 0


def index_bytes_per_token_and_layer(model: Model) -> int:
    """What one indexer keeps of a token, and reads of it in each step, bytes."""
    if model.selection is None:
        return 0
    dim = model.selection.head_dim
    return dim + -(-dim // SCALED_GROUP) * INDEX_SCALE_BYTES


def indexer_weights(model: Model) -> int:
    """Weights of one indexer: its queries and its key.

    With latent attention, queries are made of the compressed ones, and a third projection weighs the heads (published:
    DeepSeek-V3.2-Exp's inference code); MiniMax M3 has two projections of the token itself (names of its weights).
    """
    s, a = model.selection, model.attention
    if s is None:
        return 0
    if isinstance(a, LatentAttention):
        return (a.query_rank or model.hidden) * s.heads * s.head_dim + model.hidden * (s.head_dim + s.heads)
    return model.hidden * (s.heads + 1) * s.head_dim


def index_flops(model: Model) -> int:
    """Arithmetic of one indexer for one query token against one token of the context."""
    return 2 * model.selection.heads * model.selection.head_dim if model.selection else 0


def kv_bytes_of_stream(
    model: Model, dtype: CacheDtype, tokens: ArrayLike, *, block: int = 1, tensor_parallel: int = 1
) -> Floats:
    """KV cache of a stream with so many tokens of context, bytes; pages of `block` tokens are half used at the end.

    Layers that see a window hold at most its tokens. tensor_parallel: over all GPUs of a group of so many, each of
    which holds a copy of what has fewer KV heads than the group has GPUs.
    """
    context, unused = np.asarray(tokens, np.float64), (block - 1) / 2
    copies = tensor_parallel / min(tensor_parallel, attention_shape(model).kv_heads)
    held: Floats = (context + unused) * kv_bytes_per_token(model, dtype) * copies
    if model.window is None:
        return held
    copies = tensor_parallel / min(tensor_parallel, model.window.kv_heads)
    each = model.window.layers * window_bytes_per_token_and_layer(model, dtype)
    seen: Floats = np.minimum(context, float(model.window.tokens)) + unused
    return held + seen * each * copies


def state_bytes_per_stream(model: Model) -> int:
    """State of all recurrent layers that a stream holds, whatever its context, bytes."""
    r = model.recurrent
    if r is None:
        return 0
    return r.layers * (r.state_values * STATE_BYTES[r.state_dtype] + r.convolution_values * CONVOLUTION_BYTES)


def expert_weights(model: Model) -> int:
    """Weights of one routed expert; 0 for a dense model."""
    e = model.experts
    return _matrices(model) * (e.hidden or model.hidden) * e.width if e else 0


def shared_weights(model: Model) -> int:
    """Weights of the shared experts of one layer; 0 where there is none."""
    e = model.experts
    return e.shared * _matrices(model) * model.hidden * (e.shared_width or e.width) if e else 0


def latent_weights(model: Model) -> int:
    """Weights of one layer's projections before and after routed experts that take smaller tokens; else 0."""
    e = model.experts
    return 2 * model.hidden * e.hidden if e and e.hidden else 0


def dense_weights(model: Model) -> int:
    """Weights of one dense layer's feed-forward."""
    return _matrices(model) * model.hidden * model.dense_width


def _matrices(model: Model) -> int:
    """Matrices of a feed-forward."""
    return 3 if model.gated else 2


def parts(model: Model) -> ModelParts:
    """A model's weights by part."""
    full, window, sparse, e = attention_shape(model), window_shape(model), model.expert_layers, model.experts
    table = model.vocabulary * model.hidden
    return ModelParts(
        attention=model.full_attention_layers * (full.before + full.after),
        window=model.window.layers * (window.before + window.after) if model.window and window else 0,
        recurrent=model.recurrent.layers * model.recurrent.weights if model.recurrent else 0,
        indexer=indexer_layers(model) * indexer_weights(model),
        dense=model.dense_layers * dense_weights(model),
        shared=sparse * shared_weights(model),
        routed=sparse * e.routed * expert_weights(model) if e else 0,
        latent=sparse * latent_weights(model),
        router=sparse * model.hidden * e.routed if e else 0,
        embedding=0 if model.tied_embeddings else table,
        head=table,
    )


def total_parameters(model: Model) -> int:
    """All weights but norms: attention, feed-forward, router, embedding and head."""
    return parts(model).total


def active_parameters(model: Model) -> int:
    """Weights that one token passes through, the embedding table left out."""
    whole, e = parts(model), model.experts
    passed_by = model.expert_layers * (e.routed - e.active) * expert_weights(model) if e else 0
    return whole.total - whole.embedding - passed_by


def mixing_dtype(model: Model, weights: WeightDtype) -> WeightDtype:
    """The format of attention and recurrent layers where an engine holds the model in `weights`."""
    return model.attention_dtype or weights if weights in FOUR_BITS else weights


def dense_dtype(model: Model, weights: WeightDtype) -> WeightDtype:
    """The format of dense feed-forwards and shared experts where an engine holds the model in `weights`."""
    return model.dense_dtype or weights if weights in FOUR_BITS else weights


def weight_bytes(model: Model, weights: WeightDtype) -> float:
    """One copy of all weights in memory, bytes. weights: the format that the model is served in."""
    whole = parts(model)
    return (
        whole.mixing * WEIGHT_BYTES[mixing_dtype(model, weights)]
        + (whole.dense + whole.shared + whole.latent) * WEIGHT_BYTES[dense_dtype(model, weights)]
        + whole.routed * WEIGHT_BYTES[weights]
        + (whole.router + whole.tables) * HEAD_BYTES
    )
