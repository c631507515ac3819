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
    query_rank: PositiveCount
    """Rank of compressed queries, values."""
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
    """Values of one head."""

    @field_validator("heads", "kv_heads", "head_dim", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(cls, value, info)

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.kv_heads} KV heads do not divide {self.heads} heads; correct kv_heads")
        return self


class Experts(Closed):
    """A mixture of experts, in each of the layers that are not dense."""

    routed: PositiveCount
    """Experts that tokens are routed to."""
    active: PositiveCount
    """Routed experts that a token goes to."""
    shared: Count
    """Experts that every token goes to."""
    width: PositiveCount
    """Feed-forward width of one expert, values."""
    groups: PositiveCount = 1
    """Expert groups that routing chooses among first."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.active > self.routed:
            raise ValueError(f"a token goes to {self.active} of {self.routed} experts; lower active")
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
    """Transformer layers, dense ones included."""
    dense_layers: Count
    """Layers with a dense feed-forward instead of experts."""
    dense_width: Count = 0
    """Feed-forward width of the dense layers, values."""
    vocabulary: PositiveCount
    """Tokens in the vocabulary."""
    context_tokens: PositiveCount | None = None
    """Longest request that it takes, input and output tokens together; left out: no limit is known."""
    tied_embeddings: bool = False
    """Whether the output head shares the embedding's weights."""
    weight_dtype: WeightDtype
    """Number format that the weights are published in."""
    attention: Annotated[LatentAttention | GroupedAttention, Field(discriminator="kind")]
    """Attention of every layer."""
    experts: Experts | None = None
    """Mixture of experts of the layers that are not dense; left out for a dense model."""
    serving: Serving
    """How it is usually spread over GPUs."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.dense_layers > self.layers:
            raise ValueError(f"{self.dense_layers} dense layers of {self.layers} in all; lower dense_layers")
        if self.experts is None and self.dense_layers < self.layers:
            raise ValueError("has layers without a dense feed-forward but no [experts]; add the table")
        if self.dense_layers and not self.dense_width:
            raise ValueError("has dense layers but no dense_width; add it")
        return self
