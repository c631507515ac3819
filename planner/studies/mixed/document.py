"""The plan and the replay of a mixed fleet, as JSON documents."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from planner.documents import Document, Time
from planner.studies.replay.document import (
    DeliveryCost,
    ReplayClass,
    ReplayHourStart,
    RequestOutcomes,
    ServiceQuality,
    SloAttainment,
)


@dataclass(frozen=True, kw_only=True)
class MixTotals(Document):
    """What a plan of one pool, or of several together, comes to."""

    peak_nodes: int
    """Most nodes that inference holds in an interval, of all pools together."""
    mean_nodes: float
    """Nodes that inference holds, mean over time."""
    node_hours: float
    """Node-hours that inference holds."""
    cost_usd: float
    """Cost of the nodes that inference holds, each at the price of its pool."""
    shortfall_tokens: int
    """Tokens beyond the capacity of the pools that they were routed to."""
    shortfall_ratio: float
    """Their share of all tokens."""


@dataclass(frozen=True, kw_only=True)
class PlannedPool(MixTotals):
    """A pool with its part of the requests."""

    name: str
    run_id: str
    """The stored plan of the pool."""
    serving: Literal["disaggregated", "aggregated"]
    node_type: str
    nodes: int
    """Nodes of the pool."""
    usd_per_node_hour: float
    request_share: float
    """Share of the requests that are routed to the pool."""
    notes: tuple[str, ...]
    """Of its plan."""


@dataclass(frozen=True, kw_only=True)
class SplitFigures(MixTotals):
    """What a way to route requests comes to."""

    split: Literal["cheapest", "proportional", "alone"]
    """At the least cost, in proportion to what pools could carry, or all in one pool, which is then all of the
    fleet."""
    pool: str | None
    """The pool that carries everything; null where all do."""
    fits: bool
    """Whether the pools have the nodes in every interval, at their target utilisation."""
    routed_cost_usd: float | None
    """Cost of the nodes that the routed requests occupy at the target utilisation, at least those of the pools' floors:
    without the rounding to whole units, and without start-ups and drains, which a plan has. Null where they do not
    fit."""


@dataclass(frozen=True, kw_only=True)
class ClassWeights(Document):
    """What a router is told of a class of requests."""

    name: Annotated[str | None, Field(serialization_alias="class")]
    """Null where the trace has no classes."""
    weights: dict[str, float]
    """The share of its requests that goes to each pool."""


@dataclass(frozen=True, kw_only=True)
class MixInterval(Document):
    """An interval of the plan of a mixed fleet."""

    start: Time
    requests: int
    nodes: dict[str, int]
    """Nodes that inference holds in each pool, at the most."""
    cost_usd: float
    shortfall_tokens: int
    fits: bool
    """Whether the pools have the nodes, at their target utilisation; where not, requests go in proportion."""
    routes: tuple[ClassWeights, ...]


@dataclass(frozen=True, kw_only=True)
class MixedPlanDocument(MixTotals):
    """The plan of a mixed fleet."""

    name: str
    split: Literal["cheapest", "proportional"]
    trace: str
    interval_s: int
    pools: tuple[PlannedPool, ...]
    splits: tuple[SplitFigures, ...]
    """Both ways to route, and each pool alone."""
    saved_usd: float | None
    """Against the cheapest pool that carries everything alone; null where none does."""
    intervals: tuple[MixInterval, ...]
    missed_limits: tuple[str, ...]
    """Limits of the pools' scenarios that the plan misses."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MixService(DeliveryCost, ServiceQuality, RequestOutcomes):
    """What users got of a pool, or of all pools together."""

    in_flight: int
    """Not finished when the simulation ended."""
    retried: int
    """Further attempts of rejected requests."""
    slo: SloAttainment
    """Each request by the targets of its pool."""


@dataclass(frozen=True, kw_only=True)
class ReplayedPool(MixService):
    """What users got of a pool. Its stored replay has everything else."""

    name: str
    run_id: str
    """The stored replay of the pool."""
    request_share: float
    """Share of the requests of the window that went to the pool."""
    routed_share: float
    """Share that the weights of the intervals and classes give; later turns stay with their session."""
    ttft_target_ms: float
    tpot_target_ms: float
    simulated_requests: int
    """Requests of the window, of its warm-up and of its cool-down."""
    wall_s: float
    """Time that the simulation took."""
    notes: tuple[str, ...]
    """Of its replay."""


@dataclass(frozen=True, kw_only=True)
class MixHour(ServiceQuality, SloAttainment, RequestOutcomes, ReplayHourStart):
    """One hour of the counted window over all pools, by arrival; the last one may be shorter."""


@dataclass(frozen=True, kw_only=True)
class MixedReplayDocument(MixService):
    """A replay of the requests of a time window through the pools of a mixed fleet."""

    name: str
    split: Literal["cheapest", "proportional"]
    trace: str
    window_start: Time
    window_end: Time
    pools: tuple[ReplayedPool, ...]
    classes: tuple[ReplayClass, ...]
    hours: tuple[MixHour, ...]
    missed_limits: tuple[str, ...]
    """Limits of the pools' scenarios that the replay misses."""
    notes: tuple[str, ...]
