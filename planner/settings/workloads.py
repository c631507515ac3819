"""What requests ask of nodes: workloads, mixed fleets with their request classes, and batching what-ifs."""

from typing import Self

from pydantic import Field, model_validator

from planner.settings.closed import Closed, Count, Milliseconds, NodeCount, PositiveCount, PositiveFloat, WeightDtype


class WorkloadFile(Closed):
    """What requests ask of a fleet per token; tokens unless said otherwise."""

    name: str
    """Short name."""
    description: str
    """One line on what it describes."""
    kv_tokens: PositiveFloat
    """Mean KV length of an output token."""
    hit_ratio: float = Field(ge=0, lt=1)
    """Share of the input tokens that are found in the KV cache."""
    missed_context_tokens: PositiveFloat
    """Mean attention context of missed tokens."""
    input_tokens: PositiveFloat
    """Mean per request."""
    output_tokens: PositiveFloat
    """Mean per request."""
    provenance: dict[str, str]
    """Where each value comes from, by field: "kind: source"."""


class MixPool(Closed):
    """Nodes of one kind in a mixed fleet."""

    hardware: str
    """Kind of node: a built-in name or the path of a TOML file."""
    nodes: NodeCount
    """Nodes of the pool."""
    usd_per_gpu_hour: PositiveFloat | None = None
    """Price of one GPU for an hour, USD; left out: the catalogue's."""


class MixClass(Closed):
    """A class of similar requests, per request in tokens, and its latency limits."""

    name: str
    """Name of the class."""
    requests_per_s: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    """Requests per second."""
    input_tokens: PositiveFloat
    """Input of a request, cache hits included, tokens."""
    cached_input_tokens: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    """Part of the input found in the KV cache, tokens; below input_tokens."""
    output_tokens: PositiveFloat
    """Output of a request, tokens."""
    tpot_ms: Milliseconds
    """Limit on the time per output token, ms."""
    ttft_ms: Milliseconds
    """Limit on the time to the first token, queueing excluded, ms."""

    @model_validator(mode="after")
    def _something_missed(self) -> Self:
        if self.cached_input_tokens >= self.input_tokens:
            raise ValueError("all input is cached; at least the last token has to be computed")
        return self


class Mix(Closed):
    """A mixed fleet and the requests to route over it."""

    name: str
    """Short name."""
    description: str
    """One line on what it describes."""
    model: str
    """Model that all nodes serve: a built-in name or the path of a TOML file."""
    pool: tuple[MixPool, ...] = Field(min_length=1)
    """The pools of nodes."""
    request_class: tuple[MixClass, ...] = Field(alias="class", min_length=1)
    """The classes of requests."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where values come from, by field, or all: "kind: source"."""


class BatchRule(Closed):
    """A batch size for queues of at least a given number of requests."""

    from_depth: Count
    """Waiting requests from which the rule applies."""
    batch: PositiveCount
    """Streams per GPU."""


class Pipeline(Closed):
    """Stages of a pipeline and the micro-batches in it."""

    stages: PositiveCount
    """Stages that the layers are cut into."""
    micro_batches: PositiveCount
    """Micro-batches that pass through one after the other."""


class SingleUser(Closed):
    """A single user on a node: number format that fits, and what was reported."""

    weights: WeightDtype
    """Number format of the weights."""
    reported_tokens_per_s: PositiveFloat
    """Output tokens per second that were reported."""


class BatchingFile(Closed):
    """Batching what-ifs."""

    name: str
    """Short name."""
    description: str
    """One line on what it describes."""
    rule: tuple[BatchRule, ...] = Field(min_length=1)
    """Rules of batches by queue depth."""
    pipeline: tuple[Pipeline, ...]
    """Pipelines to compare."""
    single_user: SingleUser
    """A single user on a node."""
    provenance: dict[str, str]
    """Where each value comes from, by field: "kind: source"."""
