"""Models as data: their dimensions, and how they are usually spread over GPUs."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from planner.settings.closed import Closed, Count, PositiveCount, WeightDtype, as_written


class LatentAttention(Closed):
    """Multi-head latent attention."""

    kind: Literal["latent"]
    """The kind of attention."""
    heads: PositiveCount
    """Attention heads."""
    query_rank: PositiveCount | None = None
    """Rank of compressed queries, values; left out: queries are not compressed (DeepSeek-V2-Lite)."""
    kv_rank: PositiveCount
    """Rank of compressed keys and values in the cache, values per token, the rotary part left out."""
    rope_head: PositiveCount
    """Values of a head's query and key with rotary position."""
    nope_head: PositiveCount
    """Values of a head's query and key without position."""
    value_head: PositiveCount
    """Values of a head's value."""

    # of all fields but the one that tells the kind, which takes no validator
    @field_validator("heads", "query_rank", "kv_rank", "rope_head", "nope_head", "value_head", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(cls, value, info)


class GroupedAttention(Closed):
    """Grouped-query attention; with as many KV heads as heads it is multi-head attention."""

    kind: Literal["grouped"]
    """The kind of attention."""
    heads: PositiveCount
    """Query heads; a multiple of kv_heads."""
    kv_heads: PositiveCount
    """Heads of keys and values."""
    head_dim: PositiveCount
    """Values of one head's query and key."""
    value_head: PositiveCount | None = None
    """Values of one head's value; left out: as head_dim. MiMo V2 has 192 and 128."""
    gate: bool = False
    """Whether heads are gated by a second projection as large as that of the queries (Qwen3.5: attn_output_gate)."""
    values_from_keys: bool = False
    """Whether values are made from the projection of the keys, which spares their own; the cache holds both (Gemma 4:
    attention_k_eq_v)."""

    @field_validator("heads", "kv_heads", "head_dim", "value_head", "gate", "values_from_keys", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(cls, value, info)

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        _check_groups(self.heads, self.kv_heads)
        if self.values_from_keys and self.value_head not in (None, self.head_dim):
            raise ValueError("values made from keys are as long as keys; leave out value_head")
        return self


def _check_groups(heads: int, kv_heads: int) -> None:
    if heads % kv_heads:
        raise ValueError(f"{kv_heads} KV heads do not divide {heads} heads; correct kv_heads")


class Window(Closed):
    """Layers with grouped attention to the last tokens only; their cache grows no further than the window.

    Chunked attention (Llama 4) is taken as a window of the chunk's length, which is the most that it sees.
    """

    layers: PositiveCount
    """Layers with such attention."""
    tokens: PositiveCount
    """Tokens that one of them sees, its own included."""
    heads: PositiveCount
    """Query heads; a multiple of kv_heads."""
    kv_heads: PositiveCount
    """Heads of keys and values."""
    head_dim: PositiveCount
    """Values of one head's query and key."""
    value_head: PositiveCount | None = None
    """Values of one head's value; left out: as head_dim."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        _check_groups(self.heads, self.kv_heads)
        return self


class Recurrent(Closed):
    """Layers with linear attention or a state space: a state of fixed size in place of a cache that grows."""

    kind: Literal["gated-delta", "mamba2", "kda"]
    """The recurrence: gated delta rule (Qwen3.5), Mamba 2 (Nemotron), Kimi delta attention."""
    layers: PositiveCount
    """Layers with it."""
    weights: PositiveCount
    """Weights of one layer: its projections in and out, and its convolution."""
    state_values: PositiveCount
    """Values of the state of one stream in one layer."""
    state_dtype: Literal["fp32", "bf16"]
    """Number format of the state."""
    convolution_values: Count = 0
    """Values of one stream in one layer that its convolution looks back on, kept in bf16."""
    heads: PositiveCount | None = None
    """Heads that GPUs share out among them, of keys where these are fewer than of values; left out: any number of GPUs
    is taken to share them."""


class TokenSelection(Closed):
    """Sparse attention: an indexer scores all tokens of the context, and attention reads those that score best."""

    tokens: PositiveCount
    """Most tokens that attention reads."""
    heads: PositiveCount
    """Query heads of the indexer."""
    head_dim: PositiveCount
    """Values of an indexer's query, and of the key that it keeps per token."""
    layers: PositiveCount | None = None
    """Layers whose attention selects; left out: all that see the whole context."""
    indexers: PositiveCount | None = None
    """Layers with an indexer of their own, the others taking over its choice; left out: as layers."""

    @model_validator(mode="after")
    def _own_indexers(self) -> Self:
        if self.layers and self.indexers and self.indexers > self.layers:
            raise ValueError(f"{self.indexers} indexers for {self.layers} layers that select; lower indexers")
        return self


class Experts(Closed):
    """A mixture of experts, in each of the sparse layers."""

    routed: PositiveCount
    """Experts that tokens are routed to."""
    active: PositiveCount
    """Routed experts that a token goes to."""
    shared: Count
    """Experts that every token goes to."""
    width: PositiveCount
    """Feed-forward width of one routed expert, values."""
    shared_width: PositiveCount | None = None
    """Feed-forward width of one shared expert, values; left out: as width. A dense feed-forward beside the experts
    (Gemma 4) is a shared expert."""
    hidden: PositiveCount | None = None
    """Values of a token as routed experts take it, where a projection before and one after them make it smaller
    (Nemotron 3: moe_latent_size); left out: the model's."""
    groups: PositiveCount = 1
    """Expert groups that routing chooses among first."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.active > self.routed:
            raise ValueError(f"a token goes to {self.active} of {self.routed} experts; lower active")
        if self.shared_width and not self.shared:
            raise ValueError("has a shared_width but no shared expert; set shared, or leave it out")
        return self


class Serving(Closed):
    """How a model is usually spread over GPUs."""

    source: str
    """Where the numbers come from, "kind: source"."""
    prefill_gpus: PositiveCount
    """GPUs of a prefill unit."""
    decode_gpus: PositiveCount
    """GPUs of a decode unit."""
    redundant_experts: Count
    """Redundant copies of routed experts in each unit."""
    tensor_parallel: PositiveCount
    """GPUs that share attention and dense layers."""


class Model(Closed):
    """A model's dimensions."""

    name: str
    """Short name."""
    description: str
    """One line on what it is."""
    source: str
    """Where the dimensions come from."""
    hidden: PositiveCount
    """Hidden size: values of a token between layers."""
    layers: PositiveCount
    """All blocks, as its configuration counts them: most have attention and a feed-forward; those of Nemotron-H have
    one of them or a state space."""
    attention_layers: Count | None = None
    """Layers whose attention sees the whole context; left out: those that are neither window nor recurrent."""
    dense_layers: Count
    """Layers with a dense feed-forward instead of experts."""
    sparse_layers: Count | None = None
    """Layers with experts; left out: those that are not dense."""
    dense_width: Count = 0
    """Feed-forward width of the dense layers, values."""
    gated: bool = True
    """Whether feed-forwards, those of experts included, are gated: three matrices (SwiGLU), or else two."""
    qk_norm: bool = False
    """Whether queries and keys are normalised, by small kernels of their own."""
    vocabulary: PositiveCount
    """Tokens in the vocabulary."""
    context_tokens: PositiveCount | None = None
    """Longest request that it takes, input and output tokens together; left out: no limit is known."""
    tied_embeddings: bool = False
    """Whether the output head shares the embedding's weights."""
    weight_dtype: WeightDtype
    """Number format that the weights are published in."""
    attention_dtype: WeightDtype | None = None
    """Number format that attention and recurrent layers keep where the model is served in 4 bits; left out: as the
    rest."""
    dense_dtype: WeightDtype | None = None
    """Number format that dense feed-forwards and shared experts keep where the model is served in 4 bits; left out: as
    the rest."""
    parameters_published: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Weights in all as its publisher says, billions; computed figures are compared with it."""
    active_published: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Weights that one token uses as its publisher says, billions."""
    published_source: str | None = None
    """Where the published counts stand, "kind: source"."""
    left_out: tuple[str, ...] = ()
    """Parts of its configuration that are not modelled, such as a vision tower."""
    attention: Annotated[LatentAttention | GroupedAttention, Field(discriminator="kind")]
    """Attention of the layers that see the whole context."""
    window: Window | None = None
    """Layers whose attention sees the last tokens only; left out: none."""
    recurrent: Recurrent | None = None
    """Layers with linear attention or a state space; left out: none."""
    selection: TokenSelection | None = None
    """Sparse attention in the layers that see the whole context; left out: attention reads all of it."""
    experts: Experts | None = None
    """Mixture of experts of the sparse layers; left out for a dense model."""
    serving: Serving
    """How it is usually spread over GPUs."""

    @property
    def full_attention_layers(self) -> int:
        """Layers whose attention sees the whole context."""
        if self.attention_layers is not None:
            return self.attention_layers
        return self.layers - self._other_mixers

    @property
    def expert_layers(self) -> int:
        """Layers with experts."""
        if self.sparse_layers is not None:
            return self.sparse_layers
        return self.layers - self.dense_layers

    @property
    def mixer_layers(self) -> int:
        """Layers that mix tokens: by attention of either kind or a recurrence."""
        return self.full_attention_layers + self._other_mixers

    @property
    def feed_forward_layers(self) -> int:
        """Layers with a feed-forward, be it dense or of experts."""
        return self.dense_layers + self.expert_layers

    @property
    def _other_mixers(self) -> int:
        return (self.window.layers if self.window else 0) + (self.recurrent.layers if self.recurrent else 0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.dense_layers > self.layers:
            raise ValueError(f"{self.dense_layers} dense layers of {self.layers} in all; lower dense_layers")
        if self.experts is None and self.expert_layers:
            raise ValueError("has layers without a dense feed-forward but no [experts]; add the table")
        if self.experts and not self.expert_layers:
            raise ValueError("has [experts] but no layer with them; lower dense_layers, or leave out the table")
        if self.dense_layers and not self.dense_width:
            raise ValueError("has dense layers but no dense_width; add it")
        if self.feed_forward_layers > self.layers:
            raise ValueError(f"{self.feed_forward_layers} dense and sparse layers of {self.layers} in all; lower them")
        return self

    @model_validator(mode="after")
    def _mixers(self) -> Self:
        full = self.full_attention_layers
        if full < 0 or self.mixer_layers > self.layers:
            own = "" if self.attention_layers is None else f" and {full} attention_layers"
            raise ValueError(
                f"{self._other_mixers} window and recurrent layers{own} of {self.layers} in all; lower them"
            )
        if not full and not self.window:
            raise ValueError("has no layer with attention, which is not modelled; add a [window] or attention_layers")
        if self.selection and isinstance(self.attention, LatentAttention) and not self.attention.query_rank:
            raise ValueError("the indexer of [selection] works on compressed queries; add attention.query_rank")
        chosen = self.selection.layers or self.selection.indexers if self.selection else None
        if chosen and chosen > self.full_attention_layers:
            raise ValueError(
                f"{chosen} layers select of {self.full_attention_layers} that see the whole context; "
                "lower the layers of [selection]"
            )
        if (self.parameters_published or self.active_published) and not self.published_source:
            raise ValueError("has published counts but no published_source; add it")
        return self
