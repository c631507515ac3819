"""Architectures by the model_type of a configuration: how each is read, what is refused, what is left out."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from planner.catalogue.configurations.feed_forwards import (
    ROUTED,
    WIDTH,
    FeedForwards,
    dense_width,
    experts,
    gated,
    shared_experts,
    usual_feed_forwards,
)
from planner.catalogue.configurations.mixers import (
    HEADS,
    KV_HEADS,
    Mixers,
    block_selection,
    blocks_of,
    chunk_counts,
    gated_delta,
    grouped,
    head_dim,
    indexer,
    latent,
    layer_kinds,
    layers_of,
    mamba_2,
    usual_mixers,
    window_like,
)
from planner.catalogue.configurations.tree import Configuration
from planner.settings.models import GroupedAttention, Window
from planner.settings.plain import shown


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """All blocks of a model."""

    layers: int
    mixers: Mixers
    feed_forwards: FeedForwards

    @property
    def mixing(self) -> int:
        """Blocks that mix tokens."""
        window, recurrent = self.mixers.window, self.mixers.recurrent
        others = (window.layers if window else 0) + (recurrent.layers if recurrent else 0)
        return self.mixers.full_layers + others

    @property
    def feeding(self) -> int:
        """Blocks with a feed-forward."""
        return self.feed_forwards.dense_layers + self.feed_forwards.sparse_layers


def read_blocks(c: Configuration) -> Blocks:
    """The blocks of a configuration. Raises UsageError for an architecture that cannot be modelled."""
    kind = c.model_type.removesuffix("_text")
    refused = next((each for each in (str(c.outer.get("model_type")), kind) if each in _REFUSED), None)
    if refused:
        raise c.refuse(f"model_type {refused} is not modelled: {_REFUSED[refused]}")
    reader = _READERS.get(kind, _usual)
    blocks = reader(c)
    if kind not in _READERS and kind not in _USUAL:
        _check_strange(c)
        c.notes.append(
            f"the architecture {shown(c.model_type)} is not known: its keys are read as those of Llama and its kin"
        )
    return blocks


def _usual(c: Configuration) -> Blocks:
    layers = layers_of(c)
    return Blocks(layers=layers, mixers=usual_mixers(c, layers), feed_forwards=usual_feed_forwards(c, layers))


def _latent(c: Configuration) -> Blocks:
    layers = layers_of(c)
    mixers = Mixers(attention=latent(c), full_layers=layers, selection=indexer(c))
    return Blocks(layers=layers, mixers=mixers, feed_forwards=usual_feed_forwards(c, layers))


def _qwen_hybrid(c: Configuration) -> Blocks:
    """Qwen3-Next and Qwen3.5: gated attention in every fourth layer, a gated delta rule in the others."""
    layers = layers_of(c)
    kinds = layer_kinds(c, layers)
    gate = c.flag("attn_output_gate", default=True)
    if kinds["window"]:
        c.problems.append("sliding attention beside linear attention is not modelled")
    mixers = Mixers(
        attention=grouped(c, gate=gate),
        full_layers=kinds["full"],
        recurrent=gated_delta(c, kinds["recurrent"]) if kinds["recurrent"] else None,
    )
    return Blocks(layers=layers, mixers=mixers, feed_forwards=usual_feed_forwards(c, layers))


def _nemotron_h(c: Configuration) -> Blocks:
    """Nemotron-H and Nemotron 3: each block is a state space, attention, a feed-forward or experts."""
    told = blocks_of(c)
    mamba, attention, dense, sparse = (told.count(each) for each in ("mamba", "attention", "mlp", "moe"))
    if not attention:
        c.problems.append("it has no block with attention, which is not modelled")
    shared, width = shared_experts(c)
    feed_forwards = FeedForwards(
        dense_layers=dense,
        sparse_layers=sparse,
        dense_width=c.count(*WIDTH) if dense else 0,
        gated=gated(c),
        experts=experts(c, shared=shared, shared_width=width) if sparse else None,
    )
    c.has(*WIDTH, *ROUTED)
    mixers = Mixers(attention=grouped(c), full_layers=attention, recurrent=mamba_2(c, mamba) if mamba else None)
    return Blocks(layers=max(len(told), 1), mixers=mixers, feed_forwards=feed_forwards)


def _gemma_4(c: Configuration) -> Blocks:
    """Gemma 4: windows with heads of their own; a dense feed-forward beside experts is a shared one.

    Published: transformers' modelling code. Values are made from keys only in layers that see the whole context.
    """
    if c.few("num_kv_shared_layers") or c.few("hidden_size_per_layer_input") or c.flag("use_double_wide_mlp"):
        c.problems.append("layers that share their cache, or take embeddings of their own, are not modelled")
    layers = layers_of(c)
    kinds, window = layer_kinds(c, layers), grouped(c)
    full = c.made(
        GroupedAttention,
        kind="grouped",
        heads=window.heads,
        kv_heads=c.count("num_global_key_value_heads", default=window.kv_heads),
        head_dim=c.count("global_head_dim", default=window.head_dim),
        values_from_keys=c.flag("attention_k_eq_v"),
    )
    tokens = c.count("sliding_window") if kinds["window"] else 0
    mixers = Mixers(attention=full, full_layers=kinds["full"], window=window_like(c, window, kinds["window"], tokens))
    has_experts = c.flag("enable_moe_block") and c.few(*ROUTED) > 1
    feed_forwards = FeedForwards(
        dense_layers=0 if has_experts else layers,
        sparse_layers=layers if has_experts else 0,
        dense_width=0 if has_experts else dense_width(c),
        gated=True,
        experts=experts(c, shared=1, shared_width=c.count(*WIDTH)) if has_experts else None,
    )
    return Blocks(layers=layers, mixers=mixers, feed_forwards=feed_forwards)


def _llama_4(c: Configuration) -> Blocks:
    """Llama 4: chunked attention in three of four layers; experts in every so many, with one shared."""
    layers = layers_of(c)
    full, kinds = grouped(c), chunk_counts(c, layers)
    if not c.has("attention_chunk_size"):
        kinds.update(full=kinds["window"], window=-kinds["window"])
    tokens = c.count("attention_chunk_size") if kinds["window"] else 0
    mixers = Mixers(attention=full, full_layers=kinds["full"], window=window_like(c, full, kinds["window"], tokens))
    listed, step = c.series("moe_layers"), c.count("interleave_moe_layer_step", default=1)
    sparse = len(listed) if listed else layers // step
    width = c.count("intermediate_size")
    feed_forwards = FeedForwards(
        dense_layers=layers - sparse,
        sparse_layers=sparse,
        dense_width=c.count("intermediate_size_mlp") if sparse < layers else 0,
        gated=True,
        experts=experts(c, shared=1, shared_width=None, width=width),
    )
    c.has("intermediate_size_mlp")
    return Blocks(layers=layers, mixers=mixers, feed_forwards=feed_forwards)


def _mimo_v2(c: Configuration) -> Blocks:
    """MiMo V2: layers with 1 in hybrid_layer_pattern have a window and heads of their own."""
    layers = layers_of(c)
    told = c.series("hybrid_layer_pattern", layers) or []
    windowed = sum(bool(each) for each in told)
    c.has("sliding_window_size", "attention_chunk_size")
    window = None
    if windowed:
        heads = c.count("swa_num_attention_heads", *HEADS)
        window = c.made(
            Window,
            layers=windowed,
            tokens=c.count("sliding_window", "sliding_window_size"),
            heads=heads,
            kv_heads=c.count("swa_num_key_value_heads", *KV_HEADS, default=heads),
            head_dim=c.count("swa_head_dim", default=head_dim(c, heads)),
            value_head=c.count("swa_v_head_dim") if c.has("swa_v_head_dim") else None,
        )
    mixers = Mixers(attention=grouped(c), full_layers=layers - windowed, window=window)
    return Blocks(layers=layers, mixers=mixers, feed_forwards=usual_feed_forwards(c, layers))


def _minimax_m3(c: Configuration) -> Blocks:
    """MiniMax M3: attention of most layers reads the blocks of tokens that an indexer chooses."""
    layers = layers_of(c)
    if c.flag("attention_output_gate"):
        c.problems.append("attention_output_gate is not modelled for MiniMax M3")
    mixers = Mixers(attention=grouped(c), full_layers=layers, selection=block_selection(c, layers))
    return Blocks(layers=layers, mixers=mixers, feed_forwards=usual_feed_forwards(c, layers))


def _falcon(c: Configuration) -> Blocks:
    """Falcon: one head of keys and values, or a group, or as many as heads."""
    layers, heads = layers_of(c), c.count(*HEADS)
    kv_heads = c.count(*KV_HEADS, default=heads) if c.flag("new_decoder_architecture") else heads
    if c.flag("multi_query", default=True) and not c.flag("new_decoder_architecture"):
        kv_heads = 1
    attention = c.made(GroupedAttention, kind="grouped", heads=heads, kv_heads=kv_heads, head_dim=head_dim(c, heads))
    mixers = Mixers(attention=attention, full_layers=layers)
    return Blocks(layers=layers, mixers=mixers, feed_forwards=usual_feed_forwards(c, layers))


_READERS: dict[str, Callable[[Configuration], Blocks]] = {
    "deepseek_v2": _latent,
    "deepseek_v3": _latent,
    "deepseek_v32": _latent,
    "falcon": _falcon,
    "gemma4": _gemma_4,
    "glm_moe_dsa": _latent,
    "kimi_k2": _latent,
    "llama4": _llama_4,
    "mimo_v2_flash": _mimo_v2,
    "minimax_m3": _minimax_m3,
    "minimax_m3_vl": _minimax_m3,
    "nemotron_h": _nemotron_h,
    "qwen3_5": _qwen_hybrid,
    "qwen3_5_moe": _qwen_hybrid,
    "qwen3_next": _qwen_hybrid,
}
_USUAL = frozenset(
    {
        *("bloom", "gpt_neox", "gptj", "opt", "starcoder2", "phi3"),
        *("llama", "mistral", "mistral3", "mixtral", "gemma3", "gpt_oss", "glm4_moe"),
        *("mimo", "minimax_m2", "nemotron", "qwen2", "qwen2_moe", "qwen2_5_vl", "qwen2_vl"),
        *("qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_moe"),
    }
)
"""Architectures whose keys all mean what they mean for Llama, Mixtral or DeepSeek."""
_REFUSED = {
    "deepseek_ref": "the compressed attention of DeepSeek V4 (compress_ratios) and its hyper-connections",
    "deepseek_v4": "its compressed attention (compress_ratios) and hyper-connections",
    "kimi_k3": "its Kimi delta attention with full-rank gates (linear_attn_config) and attention residuals",
    "kimi_linear": "its Kimi delta attention (linear_attn_config)",
    "nemotron-nas": "its layers differ from each other (block_configs)",
    "deci": "its layers differ from each other (block_configs)",
}
_RECURRENT = re.compile(
    r"mamba|ssm|rwkv|recurren|compress|lightning|block_configs|layers_block_type|hybrid_|attn_type_list"
    r"|linear_(attn|num|key|value|conv)|altup|laurel|per_layer_input|kv_shared"
)
"""Keys that change what a step of an unknown architecture does beyond what is read."""
_EXPERTS = re.compile(r"expert|moe")
_NOTABLE = re.compile(r"window|chunk|linear|ssm|moe|expert|ratio|index|compress|sparse|swa|rank|latent|sink|attn|mlp")
_HARMLESS = frozenset(
    {
        *("_attn_implementation", "attn_implementation", "attn_pdrop", "attn_dropout", "attn_temperature_tuning"),
        *("attn_scale", "mlp_bias", "chunk_size", "chunk_size_feed_forward", "ep_size", "final_logit_softcapping"),
        *("add_full_attention_sink_bias", "add_swa_attention_sink_bias", "swa_rope_theta", "indexer_rope_interleave"),
        *("index_share_for_mtp_iteration", "ignore_index", "mlp_hidden_act", "moe_router_dtype", "router_dtype"),
        *("moe_router_scaling_factor", "moe_shared_expert_overlap", "moe_renormalize", "time_step_rank"),
        *("use_moe_router_bias", "expert_dtype", "attn_logit_softcapping", "router_jitter_noise"),
        *("moe_router_activation_func", "router_aux_loss_coef", "moe_intermediate_size", "shared_expert_gate"),
    }
)
"""Keys of numbers, biases and training that change neither weights nor work by much."""
_DRAFTING = ("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers", "mtp_transformer_layers")
_TOWERS = re.compile(r"(vision|audio|visual|speech|image|video)_(config|tower|encoder)|vision|vit_config|code2wav.*")


def _check_strange(c: Configuration) -> None:
    """Problems for keys of an unknown architecture that would make its figures wrong."""
    left = [name for name in _left(c) if _RECURRENT.search(name)]
    if left:
        c.problems.append(f"{left[0]} is not understood for model_type {shown(c.model_type)}, which is not known")
    has_experts = c.few(*ROUTED) > 1
    untold = [name for name in _left(c) if _EXPERTS.search(name) and _above_one(c.keys[name])]
    if untold and not has_experts:
        c.problems.append(f"{untold[0]} tells of experts, but the number of experts is under no key that is known")


def _above_one(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def left_out(c: Configuration) -> tuple[str, ...]:
    """The parts of a configuration that are not modelled, named by their keys."""
    parts = []
    for name in sorted({*c.outer, *c.keys}):
        value = c.outer.get(name) or c.keys.get(name)
        if value and isinstance(value, dict) and _TOWERS.fullmatch(name):
            parts.append(f"{name} ({name.partition('_')[0]} input)")
    drafting = next((name for name in _DRAFTING if _above_none(c.keys.get(name))), None)
    if drafting:
        parts.append(f"{drafting} (layers that draft tokens)")
    parts += [f"{name} (not understood)" for name in _left(c) if _NOTABLE.search(name) and name not in _DRAFTING]
    return tuple(parts)


def _above_none(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _left(c: Configuration) -> list[str]:
    """Keys that nobody asked for and that say something."""
    return [
        name
        for name, value in c.keys.items()
        if name not in c.asked and name not in _HARMLESS and not _TOWERS.fullmatch(name) and _says(value)
    ]


def _says(value: object) -> bool:
    """Whether a value says more than that something is not there, or there once."""
    return bool(value) and (isinstance(value, bool) or value != 1)
