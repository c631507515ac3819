"""The settings of the fleet: its nodes, the units they form, and the engine that serves on them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.settings.closed import (
    CacheDtype,
    Closed,
    DayOfSeconds,
    GpusPerNode,
    NodeCount,
    PositiveFloat,
    PositiveNodeCount,
    Share,
    WeightDtype,
)

Overlap = Literal["auto", "on", "off"]


class UnitSettings(Closed):
    """One kind of deployment unit: the smallest group of nodes that serves its role."""

    nodes: PositiveNodeCount
    """Nodes of one unit."""
    tokens_per_s_per_node: PositiveFloat | None = None
    """Tokens per second of one serving node: input (cache hits included) for prefill, output for decode. Left out:
    unknown, so that it has to be modelled (fleet.capacity)."""

    @property
    def node_tokens_per_s(self) -> float:
        """Tokens per second of one serving node, where it is observed or modelled already."""
        assert self.tokens_per_s_per_node is not None, "capacities are modelled before they are used"
        return self.tokens_per_s_per_node


class UnitCounts(Closed):
    """A number of units of each role."""

    prefill: NodeCount
    """Prefill units."""
    decode: NodeCount
    """Decode units."""


class EngineSettings(Closed):
    """The engine, for capacities modelled from the hardware; an expert-parallel group is one deployment unit."""

    name: str
    """Serving engine: a built-in name (`planner catalogue engines` lists them) or the path of a TOML file."""
    hardware: str
    """Kind of node that the model computes with: a built-in name or the path of a TOML file."""
    model: str
    """Model that is served: a built-in name or the path of a TOML file."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    redundant_experts: NodeCount
    """Redundant copies of routed experts in each unit."""
    tensor_parallel: PositiveNodeCount
    """GPUs that share attention and dense layers."""
    expert_tensor: PositiveNodeCount | None = None
    """GPUs that share every routed expert; left out: as the engine splits experts, all that share attention or one."""
    pipeline_parallel: PositiveNodeCount = 1
    """Groups of GPUs that hold a model's layers one after the other."""
    rows_per_stream: Annotated[float, Field(ge=1, le=16)]
    """Tokens computed per stream and step, 1 to 16: one more than draft tokens."""
    accepted: Annotated[float, Field(ge=1, le=16)]
    """Tokens that a stream gains per step, at most as many as are computed: above 1 with draft tokens."""
    overlap: Overlap
    """Two micro-batches that overlap computing and exchange: on, off, or whichever is faster at each batch."""
    reserve_gb: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
    """Memory per GPU that is neither weights nor KV cache, GB."""
    block_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    """Tokens of a KV page; 1 for no paging."""
    balancer: str
    """Balancer that sends requests to GPUs; the KV imbalance of each was measured."""
    kv_imbalance: Annotated[float, Field(ge=1, le=1000)] | None = None
    """Largest over mean KV of the GPUs, with even streams; left out: both as measured for the balancer."""
    expert_imbalance: Annotated[float, Field(ge=1, le=1000)]
    """Largest over mean of the tokens that the GPUs' experts get, at least 1."""
    dispatch_imbalance: Annotated[float, Field(ge=1, le=1000)]
    """Largest over mean of what GPUs with equal streams send; multiplied by the measured imbalance of streams."""
    prefill_balance: Annotated[float, Field(ge=0.001, le=1)]
    """Share of the balanced prefill rate that the fleet reaches, 0.001 to 1."""
    prefill_utilisation: Annotated[float, Field(ge=0.001, le=1)]
    """Free factor: the share of the modelled prefill rate that plans count on. A replay uses the full rate."""
    calibration: str | None = None
    """Overheads and validity range fitted to own measurements: the path of what `planner capacity fit` wrote."""


class ObservedSettings(Closed):
    """What observed capacities were observed on; a plan that differs says so first.

    It is about the capacities that are given here too: one of your own, which differs, is not compared with it. To have
    your own compared, set all of these to what you observed it on.
    """

    source: str
    """Where it was observed: a trace, a profile, a load test."""
    prefill_tokens_per_s_per_node: PositiveFloat
    """The capacity of a prefill node that was observed, input tokens a second, cache hits included."""
    decode_tokens_per_s_per_node: PositiveFloat
    """The capacity of a decode node that was observed, output tokens a second."""
    model: str
    """Name of the model that was served."""
    hardware: str
    """Name of the kind of node."""
    gpus_per_node: GpusPerNode
    """GPUs of one node."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    tensor_parallel: PositiveNodeCount
    """GPUs that shared attention and dense layers."""
    prefill_nodes: PositiveNodeCount
    """Nodes of a prefill unit."""
    decode_nodes: PositiveNodeCount
    """Nodes of a decode unit."""
    hit_ratio: Share
    """Share of the input tokens that were found in a cache."""
    input_tokens: PositiveFloat
    """Mean input tokens of a request, cache hits included."""
    output_tokens: PositiveFloat
    """Mean output tokens of a request."""
    least_tokens_per_s_per_stream: PositiveFloat | None = None
    """The least tokens a second that a stream got on average; left out: unknown, and replays do not compare with it."""
    most_tokens_per_s_per_stream: PositiveFloat | None = None
    """The most tokens a second that a stream got on average."""


class FleetSettings(Closed):
    """The nodes owned, how they form units, and how fast units come and go."""

    nodes: PositiveNodeCount
    """Nodes of the whole fleet, serving and training; at most 100,000."""
    node_type: str
    """Kind of node, named in reports."""
    gpus_per_node: GpusPerNode
    """GPUs of one node, for prices per GPU-hour."""
    capacity: Literal["observed", "modelled"]
    """Where unit capacities come from: observed, the throughput in the fields below; modelled, from the hardware up."""
    prefill: UnitSettings
    """The prefill unit."""
    decode: UnitSettings
    """The decode unit."""
    base: UnitCounts
    """The fewest units that a fleet serves with."""
    step: UnitCounts
    """Units that scale together: one scaling step. Where roles scale apart, each role's own; 0: that role does not."""
    scaling: Literal["bundled", "independent"] = "bundled"
    """How roles scale: bundled, both in whole scaling steps; independent, each in steps of its own, by its demand."""
    start_up_s: DayOfSeconds
    """Seconds from joining inference until a unit serves, at most a day: loading weights, warm-up."""
    drain_deadline_s: DayOfSeconds
    """Seconds, at most a day, that a leaving unit may take to finish its streams before they are handed over."""
    engine: EngineSettings
    """The serving engine, where capacity is modelled."""
    observed: ObservedSettings | None = None
    """What observed capacities were observed on. Left out: not told, and nothing is compared with it."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        base = self.base.prefill * self.prefill.nodes + self.base.decode * self.decode.nodes
        if self.base.prefill < 1 or self.base.decode < 1:
            raise ValueError("base needs at least one prefill and one decode unit; raise base.prefill or base.decode")
        if base > self.nodes:
            raise ValueError(
                f"the base units need {base} nodes and the fleet has {self.nodes}; "
                "raise nodes, or lower base.prefill or base.decode"
            )
        for role in ("prefill", "decode"):
            if self.capacity == "observed" and getattr(self, role).tokens_per_s_per_node is None:
                raise ValueError(
                    f"capacity is observed and {role}.tokens_per_s_per_node is left out; give what a node was observed "
                    "to do, or set fleet.capacity=modelled"
                )
        if self.step.prefill + self.step.decode < 1:
            raise ValueError("step has no unit; set step.prefill or step.decode to at least 1")
        steps = (self.step.prefill * self.prefill.nodes, self.step.decode * self.decode.nodes)
        step = sum(steps) if self.scaling == "bundled" else max(steps)
        if step > self.nodes:
            raise ValueError(
                f"a scaling step takes {step} nodes and the fleet has {self.nodes}; raise nodes, or lower step.prefill "
                "or step.decode"
            )
        return self
