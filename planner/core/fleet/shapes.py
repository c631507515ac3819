"""Quantities from a model's dimensions: weights, bytes of KV cache, arithmetic of the attention core. Pure."""

from dataclasses import dataclass

from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.models import LatentAttention, Model

WEIGHT_BYTES: dict[WeightDtype, float] = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5}
"""Of one weight; scales, under 3 %, are left out."""
HEAD_BYTES = 2.0
"""Of a weight of the embedding and the output head, which stay in bf16."""
SCALED_GROUP, SCALE_BYTES = 128, 4
"""fp8 caches of latent attention hold a 4-byte scale per 128 values and the rotary part in bf16: 656 bytes per token
and layer for DeepSeek-V3 (published: FlashMLA's fp8 cache format)."""


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


def attention_shape(model: Model) -> AttentionShape:
    """The attention of one layer of a model."""
    a, hidden = model.attention, model.hidden
    if isinstance(a, LatentAttention):
        absorbed = a.heads * a.kv_rank * (a.nope_head + a.value_head)
        before = (
            hidden * (a.query_rank + a.kv_rank + a.rope_head)
            + a.query_rank * a.heads * (a.nope_head + a.rope_head)
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
    before, after = hidden * (a.heads + 2 * a.kv_heads) * a.head_dim, a.heads * a.head_dim * hidden
    flops = 4 * a.heads * a.head_dim
    return AttentionShape(
        before=before,
        after=after,
        stored=before + after,
        heads=a.heads,
        kv_heads=a.kv_heads,
        decode_flops=flops,
        prefill_flops=flops,
    )


def kv_bytes_per_token(model: Model, dtype: CacheDtype) -> int:
    """KV cache of one token over all layers, bytes."""
    return model.layers * kv_bytes_per_token_and_layer(model, dtype)


def kv_bytes_per_token_and_layer(model: Model, dtype: CacheDtype) -> int:
    """KV cache of one token in one layer, bytes."""
    a = model.attention
    if isinstance(a, LatentAttention):
        if dtype == "bf16":
            return 2 * (a.kv_rank + a.rope_head)
        return a.kv_rank + a.kv_rank // SCALED_GROUP * SCALE_BYTES + 2 * a.rope_head
    return (2 if dtype == "bf16" else 1) * 2 * a.kv_heads * a.head_dim


def expert_weights(model: Model) -> int:
    """Weights of one routed or shared expert; 0 for a dense model."""
    return 3 * model.hidden * model.experts.width if model.experts else 0


def dense_weights(model: Model) -> int:
    """Weights of one dense layer's feed-forward."""
    return 3 * model.hidden * model.dense_width


def total_parameters(model: Model) -> int:
    """All weights but norms: attention, feed-forward, router, embedding and head."""
    return _parameters(model, model.experts.routed if model.experts else 0) + _embedding(model)


def active_parameters(model: Model) -> int:
    """Weights that one token passes through, the embedding table left out."""
    return _parameters(model, model.experts.active if model.experts else 0) + model.vocabulary * model.hidden


def _parameters(model: Model, experts: int) -> int:
    shape = attention_shape(model)
    layers = model.layers * (shape.before + shape.after) + model.dense_layers * dense_weights(model)
    if model.experts:
        sparse = (experts + model.experts.shared) * expert_weights(model) + model.hidden * model.experts.routed
        layers += (model.layers - model.dense_layers) * sparse
    return layers


def _embedding(model: Model) -> int:
    return (1 if model.tied_embeddings else 2) * model.vocabulary * model.hidden
