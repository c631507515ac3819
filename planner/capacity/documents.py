"""Documents on what a node can do with a model: the overview, and curves over batch, KV length, hits or EP size."""

from dataclasses import dataclass
from typing import Literal

from planner.capacity.bands import Estimate, TimeBand
from planner.capacity.engines import Workload
from planner.core.fleet.operating import OperatingPoint, RequestCost
from planner.documents import Document, Maybe
from planner.errors import ServingObstacle
from planner.settings.closed import CacheDtype, WeightDtype

Sweep = Literal["batch", "kv", "hit", "ep"]


@dataclass(frozen=True, kw_only=True)
class EngineHead(Document):
    """What all documents on an engine have in common."""

    notes: tuple[str, ...]
    """What the figures rest on."""
    node: str
    model: str
    engine: str
    """Serving engine."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    tensor_parallel: int
    """GPUs that share attention and dense layers."""
    target_tpot_ms: float
    """Time per output token that the batch has to meet."""
    usd_per_gpu_hour: float


@dataclass(frozen=True, kw_only=True)
class MemoryUse(Document):
    """Memory of one GPU of the decode unit."""

    memory_gb: float
    weights_gb: float
    reserve_gb: float
    """Activations, graphs and buffers."""
    kv_gb: float
    """What is left for KV cache."""
    kv_bytes_per_token: int
    block_tokens: int
    """Tokens of a KV page; 1 without pages."""
    batch_cap: float
    """Most streams whose KV cache fits, at the workload's mean KV length."""


@dataclass(frozen=True, kw_only=True)
class DecodeUnit(Document):
    """Size and balance of a decode unit."""

    gpus: int
    ranks: int
    """Groups of GPUs that wait for each other in a step."""
    kv_imbalance: float
    """KV tokens of the busiest rank over the mean."""
    expert_sampling: float | None
    """Imbalance of the experts by chance alone, largest over mean; null for a dense model."""


# of two bases, the keys of the one named last come first
@dataclass(frozen=True, kw_only=True)
class DecodeCapacity(OperatingPoint, DecodeUnit):
    """A decode unit at the largest batch that meets the target and fits the memory."""


@dataclass(frozen=True, kw_only=True)
class PrefillCapacity(Document):
    """A prefill unit at the workload's mean context."""

    gpus: int
    missed_tokens_per_s_per_node: float
    """Input tokens without cache hits."""
    tokens_per_s_per_node: float
    """Input tokens, cache hits included."""
    usd_per_million_tokens: float
    """Of input tokens, cache hits included."""


@dataclass(frozen=True, kw_only=True)
class CapacityOverview(EngineHead):
    """Memory, decode, prefill and the cost of requests at the operating point."""

    serving: Literal["disaggregated"]
    """Whether prefill and decode run on units of their own."""
    tpot_ms: Estimate
    """Time per output token at the decode unit's batch."""
    ttft_ms: Estimate
    """Time to the first token of one prompt of the workload's length on an idle prefill unit."""
    streams: Estimate
    """Per GPU of the decode unit, within the target."""
    tokens_per_s_per_node: Estimate
    """Output tokens of a decode node, within the target."""
    input_tokens_per_s_per_node: Estimate
    """Input tokens of a prefill node, cache hits included."""
    parameters: int
    """Weights of the whole model."""
    active_parameters: int
    """Weights that one token uses."""
    memory: MemoryUse
    decode: DecodeCapacity
    prefill: PrefillCapacity
    request: RequestCost
    workload: Workload


@dataclass(frozen=True, kw_only=True)
class BatchRow(Document):
    """Decode at one batch."""

    streams: float
    """Per GPU."""
    step_ms: float
    tpot_ms: float
    tokens_per_s_per_stream: float
    tokens_per_s_per_node: float
    usd_per_million_tokens: float


@dataclass(frozen=True, kw_only=True)
class LargestBatch(Document):
    """Decode at the largest batch that meets the target and fits the memory."""

    streams: float
    """Per GPU; 0 where not even one stream can be served."""
    tpot_ms: float | None
    tokens_per_s_per_node: float
    usd_per_million_tokens: float | None


@dataclass(frozen=True, kw_only=True)
class KvLength(Document):
    """One mean KV length."""

    kv_tokens: float


@dataclass(frozen=True, kw_only=True)
class KvRow(LargestBatch, KvLength):
    """Decode at one mean KV length."""


@dataclass(frozen=True, kw_only=True)
class HitRow(Document):
    """Prefill at one cache hit ratio."""

    hit_ratio: float
    missed_tokens_per_s_per_node: float
    """Input tokens without cache hits."""
    tokens_per_s_per_node: float
    """Input tokens, cache hits included."""
    usd_per_million_tokens: float


@dataclass(frozen=True, kw_only=True)
class EpSize(Document):
    """One size of the group of GPUs that share the experts."""

    ep: int
    """GPUs that share one copy of the routed experts."""
    nodes: int
    redundant_experts: int
    """The fewest further copies with which the experts divide evenly."""


@dataclass(frozen=True, kw_only=True)
class EpRow(LargestBatch, EpSize):
    """Decode at one EP size."""

    why: str
    """What keeps the batch from growing, or the unit from serving."""
    reason: Maybe[ServingObstacle] = None
    """What keeps the unit from serving; left out if it serves, or cannot be modelled."""


CurveRow = BatchRow | KvRow | HitRow | EpRow


@dataclass(frozen=True, kw_only=True)
class CapacityCurve(EngineHead):
    """A curve over batch, KV length, hit ratio or EP size, with all else fixed."""

    sweep: Sweep
    """The quantity that is swept."""
    times: TimeBand
    """90 % band of the times behind the rows: of prefill where hits are swept, else of decode."""
    workload: Workload
    rows: tuple[CurveRow, ...]
