"""The settings of the fleet: its nodes, the units they form, and the engine that serves on them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

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
from planner.units import counted

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


Rate = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class AggregatedUnitSettings(Closed):
    """A unit that reads prompts and decodes on the same GPUs: a part of a node, a node, or several."""

    gpus: PositiveNodeCount | None = None
    """GPUs of one unit, all of which share attention: a part of a node, or whole nodes. Left out: unit.nodes has it."""
    nodes: PositiveNodeCount | None = None
    """Nodes of one unit, of which engine.tensor_parallel GPUs each share attention. Left out: unit.gpus says it."""
    tokens_per_s: tuple[tuple[Rate, Rate], ...] | None = None
    """Input (cache hits included) and output tokens a second that one unit carries at once: pairs for several mixes,
    from the least input to the most. Left out: unknown, so that they have to be modelled (fleet.capacity)."""

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if (self.gpus is None) == (self.nodes is None):
            raise ValueError("a unit has a size in GPUs or in nodes; give one of unit.gpus and unit.nodes")
        return self

    @field_validator("tokens_per_s")
    @classmethod
    def _ordered(cls, pairs: tuple[tuple[float, float], ...] | None) -> tuple[tuple[float, float], ...] | None:
        fault = None if pairs is None else fault_of_pairs(pairs)
        if fault is not None:
            raise ValueError(fault)
        return pairs


def fault_of_pairs(pairs: Sequence[tuple[float, float]]) -> str | None:
    """Why pairs of rates are not those of a frontier, more of one kind for less of the other; None where they are."""
    if not pairs:
        return "has no pair; give input and output tokens a second for at least one mix"
    ascend = all(one[0] < other[0] and one[1] > other[1] for one, other in pairwise(pairs))
    if not ascend:
        return (
            "pairs must have more input and less output from one to the next; sort them, and leave out those that "
            "another exceeds in both"
        )
    if pairs[-1][0] <= 0 or pairs[0][1] <= 0:
        return "no pair has input, or none has output; a unit does both, so give a pair of it at work"
    return None


class UnitCounts(Closed):
    """A number of units of each role."""

    prefill: NodeCount = 0
    """Prefill units."""
    decode: NodeCount = 0
    """Decode units."""
    aggregated: NodeCount = 1
    """Units that do both, where serving is aggregated."""


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
    serving: Literal["disaggregated", "aggregated"] = "disaggregated"
    """Where prompts are read: disaggregated, on units of their own (prefill, decode); aggregated, on the units that
    decode (unit)."""
    unit: AggregatedUnitSettings | None = None
    """The unit that does both, where serving is aggregated."""
    prefill: UnitSettings
    """The prefill unit, where serving is disaggregated."""
    decode: UnitSettings
    """The decode unit, where serving is disaggregated."""
    base: UnitCounts
    """The fewest units that a fleet serves with; none where the service may sleep while nothing comes."""
    step: UnitCounts
    """Units that scale together: one scaling step. Where roles scale apart, each role's own; 0: that role does not."""
    scaling: Literal["bundled", "independent"] = "bundled"
    """How roles scale: bundled, both in whole scaling steps; independent, each in steps of its own, by its demand."""
    start_up_s: DayOfSeconds
    """Seconds from joining inference until a unit serves, at most a day: loading weights, warm-up."""
    keeps: Literal["nothing", "sleep", "resident"] = "nothing"
    """What a unit keeps when it leaves, for when it comes back: nothing, so that it starts cold (start_up_s); sleep,
    its weights in host memory, as at level 1 of vLLM's sleep mode; resident, its weights in GPU memory, so that its
    nodes are not lent to training."""
    sleep_start_up_s: DayOfSeconds | None = None
    """Seconds until a unit serves whose weights are in host memory, where units keep these; at most start_up_s counts.
    Published for vLLM 0.11 on A100: 0.1 to 0.8 s for small models and 3 to 6 s for large ones, to wake an engine
    (blog.vllm.ai, 26 October 2025). Measure yours."""
    resident_start_up_s: DayOfSeconds | None = None
    """Seconds until a unit serves whose weights are in GPU memory, where units keep these; at most start_up_s
    counts."""
    drain_deadline_s: DayOfSeconds
    """Seconds, at most a day, that a leaving unit may take to finish its streams before they are handed over."""
    engine: EngineSettings
    """The serving engine, where capacity is modelled."""
    observed: ObservedSettings | None = None
    """What observed capacities were observed on. Left out: not told, and nothing is compared with it."""

    @model_validator(mode="before")
    @classmethod
    def _without_roles(cls, given: Any) -> Any:
        """What has no meaning where units do both may be left out."""
        if not (isinstance(given, dict) and given.get("serving") == "aggregated"):
            return given
        return {"prefill": {"nodes": 1}, "decode": {"nodes": 1}, "base": {}, "step": {}, **given}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.keeps != "nothing" and getattr(self, f"{self.keeps}_start_up_s") is None:
            raise ValueError(
                f"units keep their weights (keeps={self.keeps}) and {self.keeps}_start_up_s is left out; set it to the "
                "seconds that such a unit takes to serve again, or set keeps=nothing"
            )
        if self.serving == "aggregated":
            self._check_aggregated()
        else:
            self._check_roles()
        return self

    @property
    def warm_start_up_s(self) -> int:
        """Seconds until a unit serves that was there before: no unit takes less."""
        kept = {"nothing": None, "sleep": self.sleep_start_up_s, "resident": self.resident_start_up_s}[self.keeps]
        return self.start_up_s if kept is None else min(kept, self.start_up_s)

    @property
    def aggregated(self) -> AggregatedUnitSettings:
        """The unit that does both, where serving is aggregated."""
        assert self.unit is not None, "aggregated serving has a unit"
        return self.unit

    @property
    def unit_gpus(self) -> int:
        """GPUs of a unit that does both."""
        unit = self.aggregated
        return unit.gpus or (unit.nodes or 1) * self.gpus_per_node

    def gpus_of(self, role: str) -> int:
        """GPUs of the unit that reads prompts (prefill), or that decodes (decode)."""
        return self.unit_gpus if self.serving == "aggregated" else getattr(self, role).nodes * self.gpus_per_node

    @property
    def units_per_node(self) -> int:
        """Units that do both in a node: 1 where one has a whole node or several."""
        return max(self.gpus_per_node // self.unit_gpus, 1)

    @property
    def unit_nodes(self) -> int:
        """Nodes that a unit that does both has, or has a part of."""
        return max(self.unit_gpus // self.gpus_per_node, 1)

    def _check_aggregated(self) -> None:
        if self.unit is None:
            raise ValueError("serving is aggregated and unit is left out; set unit.gpus or unit.nodes")
        gpus, per_node = self.unit_gpus, self.gpus_per_node
        if gpus > per_node and gpus % per_node:
            raise ValueError(
                f"a unit of {gpus} GPUs is neither a part of a node of {per_node} nor whole nodes; set unit.gpus to a "
                f"multiple of {per_node}, or to at most {per_node}"
            )
        if self.scaling == "independent":
            raise ValueError(
                "scaling is independent, and units that do both have no roles that could scale apart; leave scaling "
                "out, or set serving=disaggregated"
            )
        if self.capacity == "observed" and self.unit.tokens_per_s is None:
            raise ValueError(
                "capacity is observed and unit.tokens_per_s is left out; give what a unit was observed to carry, or "
                "set fleet.capacity=modelled"
            )
        if self.step.aggregated < 1:
            raise ValueError("step has no unit; set step.aggregated to at least 1")
        most = self.nodes // self.unit_nodes * self.units_per_node
        for name in ("base", "step"):
            count = getattr(self, name).aggregated
            if count > most:
                raise ValueError(
                    f"{name}.aggregated is {count:,}, and {counted(self.nodes, 'node')} can hold "
                    f"{counted(most, 'unit')}; raise nodes, or lower {name}.aggregated"
                )

    def _check_roles(self) -> None:
        base = self.base.prefill * self.prefill.nodes + self.base.decode * self.decode.nodes
        sleeps = not base
        if not sleeps and (self.base.prefill < 1 or self.base.decode < 1):
            raise ValueError(
                "base needs at least one prefill and one decode unit; raise base.prefill or base.decode, or set both "
                "to 0 for a service that may sleep"
            )
        if base > self.nodes:
            raise ValueError(
                f"the base units need {counted(base, 'node')} and the fleet has {self.nodes}; "
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
        if sleeps and not (self.step.prefill and self.step.decode):
            raise ValueError(
                "base has no units and step has none of one role, so that it would never serve; set step.prefill and "
                "step.decode to at least 1, or give base units"
            )
        steps = (self.step.prefill * self.prefill.nodes, self.step.decode * self.decode.nodes)
        # a service that wakes needs both roles at once
        step = sum(steps) if self.scaling == "bundled" or sleeps else max(steps)
        if step > self.nodes:
            raise ValueError(
                f"a scaling step takes {counted(step, 'node')} and the fleet has {self.nodes}; raise nodes, or lower "
                "step.prefill or step.decode"
            )
