"""How the layers of a configuration mix tokens: attention of each kind, linear attention and state spaces."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

from planner.catalogue.configurations.tree import Configuration
from planner.settings.models import GroupedAttention, LatentAttention, Recurrent, TokenSelection, Window
from planner.settings.plain import shown

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
MOST_LAYERS = 10_000
"""Many times what any model has: they are counted one by one."""
HIDDEN = ("hidden_size", "n_embd", "n_embed", "d_model")
HEADS = ("num_attention_heads", "n_head")
KV_HEADS = ("num_key_value_heads", "num_kv_heads")

Kind = Literal["full", "window", "recurrent"]
_LAYER_TYPES: dict[str, Kind] = {
    "full_attention": "full",
    "sliding_attention": "window",
    "chunked_attention": "window",
    "linear_attention": "recurrent",
}
"""What transformers calls kinds of layers (its configuration_utils: ALLOWED_LAYER_TYPES)."""
_ALL_WINDOWED = frozenset({"mistral", "mixtral", "starcoder2", "phi3"})
"""Architectures whose sliding_window is that of all layers (transformers: their modelling code)."""
_LLAMA_4_INTERVAL = 4
"""Every so many layers of Llama 4 one sees the whole context and has no rotary position (published: its configuration
class, no_rope_layer_interval)."""


@dataclass(frozen=True, kw_only=True)
class Mixers:
    """The layers of a model by how they mix tokens."""

    attention: GroupedAttention | LatentAttention
    full_layers: int
    window: Window | None = None
    recurrent: Recurrent | None = None
    selection: TokenSelection | None = None


def layers_of(c: Configuration) -> int:
    """How many layers there are."""
    return c.count(*LAYERS, most=MOST_LAYERS)


def grouped(c: Configuration, *, gate: bool = False) -> GroupedAttention:
    """Attention of queries over fewer or as many heads of keys and values."""
    heads = c.count(*HEADS)
    return c.made(
        GroupedAttention,
        kind="grouped",
        heads=heads,
        # as transformers has it: left out, there are as many as heads, or one
        kv_heads=c.count(*KV_HEADS, default=1 if c.flag("multi_query") else heads),
        head_dim=head_dim(c, heads),
        value_head=c.count("v_head_dim") if c.has("v_head_dim") else None,
        gate=gate,
    )


def head_dim(c: Configuration, heads: int) -> int:
    """Values of a head; left out, heads share the hidden size."""
    if c.has("head_dim", "attention_head_dim"):
        return c.count("head_dim", "attention_head_dim")
    hidden = c.count(*HIDDEN)
    if c.has(*HIDDEN) and hidden % heads:
        c.problems.append(f"hidden_size {hidden} is not a multiple of {heads} heads, and head_dim is missing")
    return max(hidden // heads, 1)


def latent(c: Configuration) -> LatentAttention:
    """Multi-head latent attention (DeepSeek-V2's configuration class names the keys)."""
    c.has("head_dim", *KV_HEADS, "qk_head_dim")
    return c.made(
        LatentAttention,
        kind="latent",
        heads=c.count(*HEADS),
        query_rank=c.count("q_lora_rank") if c.has("q_lora_rank") else None,
        kv_rank=c.count("kv_lora_rank"),
        rope_head=c.count("qk_rope_head_dim"),
        nope_head=c.count("qk_nope_head_dim"),
        value_head=c.count("v_head_dim"),
    )


def usual_mixers(c: Configuration, layers: int) -> Mixers:
    """Grouped or latent attention, in all layers or all but those with a window; an indexer where there is one."""
    kinds = layer_kinds(c, layers)
    if c.has("kv_lora_rank"):
        if kinds["window"] or kinds["recurrent"]:
            c.gaps.append("latent attention together with other kinds of layers is not modelled")
        return Mixers(attention=latent(c), full_layers=layers, selection=indexer(c))
    full = grouped(c)
    if kinds["recurrent"]:
        c.gaps.append(f"linear attention of model_type {shown(c.model_type)} is not modelled")
    tokens = c.count("sliding_window", "attention_chunk_size") if kinds["window"] else 0
    return Mixers(
        attention=full,
        full_layers=layers - kinds["window"] - kinds["recurrent"],
        window=window_like(c, full, kinds["window"], tokens),
    )


def window_like(c: Configuration, full: GroupedAttention, layers: int, tokens: int) -> Window | None:
    """A window in some layers, whose heads are those of the others; None for no layer."""
    if not layers:
        return None
    return c.made(
        Window,
        layers=layers,
        tokens=tokens,
        heads=full.heads,
        kv_heads=full.kv_heads,
        head_dim=full.head_dim,
        value_head=full.value_head,
    )


def layer_kinds(c: Configuration, layers: int) -> Counter[str]:
    """How many layers there are of each kind, from whatever key tells it."""
    if any(each != 1 for each in c.series("attn_type_list", layers) or []):
        # MiniMax: 1 is softmax attention, 0 lightning attention
        c.gaps.append("attn_type_list has layers with lightning attention, which is not modelled")
    if c.has("layer_types"):
        return _told_kinds(c, layers)
    if c.has("full_attention_interval"):
        full = layers // c.count("full_attention_interval")
        return Counter(full=full, recurrent=layers - full)
    return _window_kinds(c, layers)


def _told_kinds(c: Configuration, layers: int) -> Counter[str]:
    told = c.series("layer_types", layers) or []
    c.has("sliding_window_pattern", "full_attention_interval", "max_window_layers", "use_sliding_window")
    strange = [each for each in told if str(each) not in _LAYER_TYPES]
    if strange:
        c.gaps.append(f"layer_types has {shown(strange[0])}, a kind of layer that is not modelled")
    return Counter(_LAYER_TYPES[str(each)] for each in told if str(each) in _LAYER_TYPES)


def _window_kinds(c: Configuration, layers: int) -> Counter[str]:
    none = Counter(full=layers)
    tokens = c.few("sliding_window")
    switched_off = c.has("use_sliding_window") and not c.flag("use_sliding_window")
    if not tokens or switched_off or (tokens >= c.count("max_position_embeddings", default=2**30)):
        c.has("max_window_layers", "sliding_window_pattern")
        return none
    if c.has("sliding_window_pattern"):
        full = layers // c.count("sliding_window_pattern")
        return Counter(full=full, window=layers - full)
    if c.has("use_sliding_window"):
        full = min(c.few("max_window_layers"), layers)
        return Counter(full=full, window=layers - full)
    if c.model_type in _ALL_WINDOWED:
        return Counter(window=layers)
    c.problems.append(f"sliding_window is {tokens}, but no layer_types tells which layers have it")
    return none


def indexer(c: Configuration) -> TokenSelection | None:
    """The indexer of DeepSeek Sparse Attention; None where there is none.

    Published: DeepSeek-V3.2-Exp's inference code. In GLM 5.2, layers that indexer_types calls "shared" take over the
    choice of one before them.
    """
    if not c.has("index_topk"):
        return None
    kinds = c.series("indexer_types")
    own = kinds.count("full") if kinds else 0
    c.has("index_topk_freq", "index_topk_pattern", "index_skip_topk_offset")
    if kinds and set(map(str, kinds)) - {"full", "shared"}:
        c.problems.append("indexer_types has other kinds than full and shared")
    return c.made(
        TokenSelection,
        tokens=c.count("index_topk"),
        heads=c.count("index_n_heads"),
        head_dim=c.count("index_head_dim"),
        indexers=own if kinds and own < len(kinds) else None,
    )


def block_selection(c: Configuration, layers: int) -> TokenSelection | None:
    """MiniMax M3's choice of blocks of tokens, by the best-scored token of each."""
    table = c.table("sparse_attention_config")
    if not table.flag("use_sparse_attention"):
        return None
    chosen = table.series("sparse_attention_freq", layers) or [1] * layers
    if table.text("sparse_score_type") not in ("", "max"):
        c.gaps.append(f"sparse_score_type {shown(table.text('sparse_score_type'))} is not modelled")
    selecting = sum(bool(each) for each in chosen)
    return c.made(
        TokenSelection,
        tokens=table.count("sparse_topk_blocks") * table.count("sparse_block_size"),
        heads=table.count("sparse_num_index_heads"),
        head_dim=table.count("sparse_index_dim"),
        layers=selecting if selecting < layers else None,
    )


def gated_delta(c: Configuration, layers: int) -> Recurrent:
    """A gated delta rule: its projections of queries, keys, values and output gate, of two numbers per head, and out.

    Published: transformers' modelling code of Qwen3-Next and Qwen3.5.
    """
    hidden = c.count(*HIDDEN)
    key_heads, heads = c.count("linear_num_key_heads"), c.count("linear_num_value_heads")
    key, value = c.count("linear_key_head_dim"), c.count("linear_value_head_dim")
    mixed, kernel = 2 * key_heads * key + heads * value, c.count("linear_conv_kernel_dim")
    return c.made(
        Recurrent,
        kind="gated-delta",
        layers=layers,
        weights=hidden * (mixed + heads * value + 2 * heads) + mixed * kernel + heads * value * hidden,
        state_values=heads * key * value,
        state_dtype=_state_dtype(c, "mamba_ssm_dtype"),
        convolution_values=mixed * (kernel - 1),
        heads=gcd(key_heads, heads),
    )


def mamba_2(c: Configuration, layers: int) -> Recurrent:
    """A Mamba 2 layer (published: transformers' modelling code of Nemotron-H)."""
    hidden, heads = c.count(*HIDDEN), c.count("mamba_num_heads")
    inner, states = heads * c.count("mamba_head_dim"), c.count("ssm_state_size")
    mixed, kernel = inner + 2 * c.count("n_groups") * states, c.count("conv_kernel")
    return c.made(
        Recurrent,
        kind="mamba2",
        layers=layers,
        weights=hidden * (inner + mixed + heads) + mixed * kernel + inner * hidden,
        state_values=inner * states,
        state_dtype=_state_dtype(c, "mamba_ssm_cache_dtype"),
        convolution_values=mixed * (kernel - 1),
        heads=heads,
    )


def kimi_delta(c: Configuration, table: Configuration, layers: int) -> Recurrent:
    """Kimi delta attention: queries, keys and values, decay and gate of low rank, a number per head, and out.

    Published: modelling code of moonshotai/Kimi-Linear-48B-A3B-Instruct; engines keep its state in fp32.
    """
    hidden, heads, dim = c.count(*HIDDEN), table.count("num_heads"), table.count("head_dim")
    inner, kernel = heads * dim, table.count("short_conv_kernel_size")
    return c.made(
        Recurrent,
        kind="kda",
        layers=layers,
        weights=hidden * (3 * inner + 2 * dim + heads) + 2 * dim * inner + 3 * inner * kernel + inner * hidden,
        state_values=inner * dim,
        state_dtype="fp32",
        convolution_values=3 * inner * (kernel - 1),
        heads=heads,
    )


def _state_dtype(c: Configuration, key: str) -> str:
    """The format of a recurrent state; engines keep it as the model's own where nothing is said."""
    told = c.text(key) or c.text("torch_dtype", "dtype") or "bfloat16"
    return "fp32" if told == "float32" else "bf16"


def chunk_counts(c: Configuration, layers: int) -> Counter[str]:
    """Llama 4: chunked attention in the layers that have rotary position."""
    rotary = c.series("no_rope_layers", layers)
    # 0 is a layer without rotary position, which sees the whole context; an empty list stands for every fourth
    full = sum(not each for each in rotary) if rotary else layers // _LLAMA_4_INTERVAL
    return Counter(full=full, window=layers - full)


def blocks_of(c: Configuration) -> Sequence[str]:
    """The blocks of Nemotron-H, one word for each."""
    words = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
    told = c.series("layers_block_type")
    if told is None:
        pattern = c.text("hybrid_override_pattern")
        if not pattern:
            c.problems.append("hybrid_override_pattern or layers_block_type is missing")
        told = [words.get(each, each) for each in pattern]
    strange = sorted({str(each) for each in told} - set(words.values()))
    if strange:
        c.gaps.append(f"blocks of the kind {shown(strange[0])} are not modelled")
    if c.has(*LAYERS) and told and layers_of(c) != len(told):
        c.problems.append(f"{len(told)} blocks are listed for num_hidden_layers {layers_of(c)}")
    return [str(each) for each in told]
