"""Hardware and models as data: what a node can do, what a model is made of, what was measured of both."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.settings.scenario import CacheDtype, Closed, Count, PositiveCount, PositiveFloat, WeightDtype


class Kernels(Closed):
    """What kernels reach on a GPU."""

    dtype: Literal["bf16", "fp8"]
    """Number format that the two matrix-product rates hold for; others scale with the dense peak."""
    gemm_tb_s: PositiveFloat
    """Weights read by matrix products of few rows, TB/s."""
    gemm_tflops: PositiveFloat
    """Matrix products of many rows, TFLOP/s."""
    grouped_gemm_tflops: PositiveFloat
    """Grouped products of the routed experts, TFLOP/s."""
    attention_tb_s: PositiveFloat
    """KV read by the attention core, TB/s."""
    attention_tflops: PositiveFloat
    """Attention core of decode where it is bound by arithmetic, TFLOP/s."""
    prefill_attention_tflops: PositiveFloat
    """Attention core of prefill, TFLOP/s."""
    dispatch_gb_s: PositiveFloat
    """All-to-all between nodes that brings tokens to experts, GB/s per GPU."""
    combine_gb_s: PositiveFloat
    """All-to-all between nodes that brings results back, GB/s per GPU."""


class Hardware(Closed):
    """One kind of node. Decimal units: 1 GB is 1e9 bytes."""

    name: str
    description: str
    memory_gb: PositiveFloat
    hbm_tb_s: PositiveFloat
    nvlink_gb_s: PositiveFloat
    """Link between nearby GPUs, both directions together, GB/s per GPU."""
    nvlink_gpus: PositiveCount
    """GPUs that such links join: a node's, or a whole rack's."""
    nic_gb_s: PositiveFloat
    """Network per GPU, one direction, GB/s."""
    gpus_per_node: PositiveCount
    node_kw: PositiveFloat
    """Power of the whole node under load, kW."""
    usd_per_gpu_hour: PositiveFloat
    dense_tflops: dict[str, PositiveFloat]
    """Peak without sparsity by number format; bf16 is always there."""
    kernels: Kernels
    provenance: dict[str, str]

    @model_validator(mode="after")
    def _known_formats(self) -> Self:
        missing = {"bf16", self.kernels.dtype} - set(self.dense_tflops)
        if missing:
            raise ValueError(f"dense_tflops has no {' and no '.join(sorted(missing))}; add the peak")
        return self


class LatentAttention(Closed):
    """Multi-head latent attention."""

    kind: Literal["latent"]
    heads: PositiveCount
    query_rank: PositiveCount
    kv_rank: PositiveCount
    rope_head: PositiveCount
    nope_head: PositiveCount
    value_head: PositiveCount


class GroupedAttention(Closed):
    """Grouped-query attention; with as many KV heads as heads it is multi-head attention."""

    kind: Literal["grouped"]
    heads: PositiveCount
    kv_heads: PositiveCount
    head_dim: PositiveCount

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.kv_heads} KV heads do not divide {self.heads} heads; correct kv_heads")
        return self


class Experts(Closed):
    """A mixture of experts."""

    routed: PositiveCount
    active: PositiveCount
    """Routed experts that a token goes to."""
    shared: Count
    width: PositiveCount
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
    prefill_gpus: PositiveCount
    """GPUs of a prefill unit."""
    decode_gpus: PositiveCount
    """GPUs of a decode unit."""
    redundant_experts: Count
    tensor_parallel: PositiveCount


class Model(Closed):
    """A model's dimensions."""

    name: str
    description: str
    source: str
    hidden: PositiveCount
    layers: PositiveCount
    dense_layers: Count
    """Layers with a dense feed-forward instead of experts."""
    dense_width: Count = 0
    """Feed-forward width of the dense layers."""
    vocabulary: PositiveCount
    tied_embeddings: bool = False
    """Whether the output head is the embedding."""
    weight_dtype: WeightDtype
    """Number format that the weights are published in."""
    attention: Annotated[LatentAttention | GroupedAttention, Field(discriminator="kind")]
    experts: Experts | None = None
    serving: Serving

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.dense_layers > self.layers:
            raise ValueError(f"{self.dense_layers} dense layers of {self.layers}; lower dense_layers")
        if self.experts is None and self.dense_layers < self.layers:
            raise ValueError("has layers without a dense feed-forward and no [experts]; add the table")
        if self.dense_layers and not self.dense_width:
            raise ValueError("has dense layers and no dense_width; add it")
        return self


class DecodePoint(Closed):
    """A published decode step."""

    name: str
    source: str
    hardware: str
    model: str
    streams: PositiveFloat
    kv_tokens: PositiveFloat
    expert_parallel: PositiveCount
    redundant_experts: Count
    rows_per_stream: PositiveFloat
    overlap: bool
    step_ms: PositiveFloat


class PrefillPoint(Closed):
    """A published prefill rate of prompts without cache hits, input tokens/s per node."""

    name: str
    source: str
    hardware: str
    model: str
    prompt_tokens: PositiveCount
    expert_parallel: PositiveCount
    redundant_experts: Count
    tokens_per_s_per_node: PositiveFloat


class DecodePoints(Closed):
    """Published decode steps in a file."""

    point: tuple[DecodePoint, ...]


class PrefillPoints(Closed):
    """Published prefill rates in a file."""

    point: tuple[PrefillPoint, ...]


class WorkloadFile(Closed):
    """What requests ask of a fleet per token; tokens unless said otherwise."""

    name: str
    description: str
    kv_tokens: PositiveFloat
    """Mean KV length of an output token."""
    hit_ratio: float = Field(ge=0, lt=1)
    missed_context_tokens: PositiveFloat
    """Mean attention context of missed tokens."""
    input_tokens: PositiveFloat
    """Mean per request."""
    output_tokens: PositiveFloat
    """Mean per request."""
    provenance: dict[str, str]


class MixPool(Closed):
    """Nodes of one kind in a mixed fleet."""

    hardware: str
    nodes: Count
    usd_per_gpu_hour: PositiveFloat | None = None
    """Left out: the catalogue's."""


class MixClass(Closed):
    """Requests that are alike, per request in tokens, and what they are promised."""

    name: str
    requests_per_s: float = Field(ge=0, allow_inf_nan=False)
    input_tokens: PositiveFloat
    cached_input_tokens: float = Field(ge=0, allow_inf_nan=False)
    output_tokens: PositiveFloat
    tpot_ms: PositiveFloat
    ttft_ms: PositiveFloat
    """Limit of the time to the first token, queueing left out."""

    @model_validator(mode="after")
    def _something_missed(self) -> Self:
        if self.cached_input_tokens >= self.input_tokens:
            raise ValueError("all input is cached; at least the last token has to be computed")
        return self


class Mix(Closed):
    """A mixed fleet and the requests to route over it."""

    name: str
    description: str
    model: str
    pool: tuple[MixPool, ...] = Field(min_length=1)
    request_class: tuple[MixClass, ...] = Field(alias="class", min_length=1)
    provenance: dict[str, str] = Field(default_factory=dict)


class BatchRule(Closed):
    """A batch for queues of at least so many requests."""

    from_depth: Count
    batch: PositiveCount


class Pipeline(Closed):
    """Stages of a pipeline and the micro-batches in it."""

    stages: PositiveCount
    micro_batches: PositiveCount


class SingleUser(Closed):
    """One user alone on a node: number format that fits, and what was reported."""

    weights: WeightDtype
    reported_tokens_per_s: PositiveFloat


class BatchingFile(Closed):
    """Batching what-ifs."""

    name: str
    description: str
    rule: tuple[BatchRule, ...] = Field(min_length=1)
    pipeline: tuple[Pipeline, ...]
    single_user: SingleUser
    provenance: dict[str, str]


class BalancerRow(Closed):
    """Simulated imbalance of a request balancer, largest over mean."""

    balancer: str
    ranks: PositiveCount
    streams: PositiveFloat
    kv: PositiveFloat
    count: PositiveFloat
    kv_p99: PositiveFloat
    count_p99: PositiveFloat


class BalancerRows(Closed):
    """Simulated imbalances in a file, and how they were simulated."""

    steps: PositiveCount
    seeds: PositiveCount
    population: dict[str, object]
    standard_error: dict[str, dict[str, float]]
    rows: tuple[BalancerRow, ...]


class CalibrationFile(Closed):
    """What `planner capacity fit` writes: fitted overheads, where they hold, and how well they meet the points."""

    model: str
    hardware: str
    weights: WeightDtype
    kv: CacheDtype
    gpus: PositiveCount
    tensor_parallel: PositiveCount
    redundant_experts: Count
    points: PositiveCount
    source: str
    rms: float = Field(ge=0)
    left_out_rms: float = Field(ge=0)
    kernel_factor: float = Field(ge=0)
    layer_us: float = Field(ge=0)
    row_us: float = Field(ge=0)
    host_us: float = Field(ge=0)
    least_streams: PositiveFloat
    most_streams: PositiveFloat
    least_kv_tokens: PositiveFloat
    most_kv_tokens: PositiveFloat
