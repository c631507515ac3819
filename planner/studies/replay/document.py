"""The results of a replay, as JSON documents.

Keys that the whole window, its hours and its classes share are in base classes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from planner.capacity.bands import TimeBand
from planner.documents import Document, Time
from planner.runs.outcome import FigureBand
from planner.settings.replay import BalancerName, QueueMode

MANY_IN_FLIGHT = 0.01
"""Share of unfinished requests at which latencies are those of the faster ones, and of those that queues grow by at
which a fleet does not keep up. Assumed: there the 99th percentile begins to move."""


@dataclass(frozen=True, kw_only=True)
class LatencySummary(Document):
    """Mean and quantiles of a latency, milliseconds; null if no request has one. Quantiles are within 0.4 %."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, kw_only=True)
class SloAttainment(Document):
    """Shares of the counted requests that were within their targets; null if there was none.

    A request that was rejected, or was unfinished at the end past its target time, has missed its target.
    """

    ttft_attainment: float | None
    """Share with a first token within slo.ttft_ms."""
    tpot_attainment: float | None
    """Share with at most slo.tpot_ms per further token."""
    both_attainment: float | None
    """Share within both targets."""


@dataclass(frozen=True, kw_only=True)
class Arrivals(Document):
    """Requests of the window: arrived = completed + in flight + rejected, each counted separately."""

    arrived: int
    completed: int
    in_flight: int
    """Not finished when the simulation ended."""
    rejected: int
    """Turned away by a full queue or a timeout, after all retries, or longer than a unit can serve."""
    retried: int
    """Further attempts of rejected requests."""


@dataclass(frozen=True, kw_only=True)
class RequestOutcomes(Document):
    """Requests by what became of them."""

    requests: int
    """Requests that arrived."""
    completed: int
    rejected: int
    """Turned away by a full queue or a timeout, after all retries, or longer than a unit can serve."""


@dataclass(frozen=True, kw_only=True)
class ServiceQuality(Document):
    """Quality of service for users."""

    ttft_ms: LatencySummary
    """Time to the first token."""
    tpot_ms: LatencySummary
    """Time per output token after the first."""
    e2e_ms: LatencySummary
    """Time to the last token."""
    goodput_requests_per_s: float
    """Requests a second that were within both targets."""
    hit_ratio: float | None
    """Share of input tokens found in a prefix cache."""


@dataclass(frozen=True, kw_only=True)
class UnitUse(Document):
    """How units were used; null if there were no units."""

    prefill_queue_requests: float | None
    """Requests waiting for prefill, mean over time."""
    decode_queue_requests: float | None
    """Requests waiting for decode, mean over time."""
    streams_per_gpu: float | None
    """Streams on a GPU of a decode unit, mean over time."""
    kv_occupancy: float | None
    """Share of the KV memory of decode units that was in use, mean over time."""
    prefill_busy: float | None
    """Share of the time that prefill units were in passes."""
    prefill_utilisation: float | None
    """Share of the time that prefill units had work for all their GPUs."""
    decode_busy: float | None
    """Share of the time that decode units were in steps."""
    missed_tokens_per_s_per_prefill_node: float | None
    """Input tokens computed, not found in a cache, a second and prefill node."""
    tokens_per_s_per_decode_node: float | None
    """Output tokens a second and decode node."""
    tokens_per_s_per_stream: float | None
    """Output tokens a second and stream."""


@dataclass(frozen=True, kw_only=True)
class DeliveryCost(Document):
    """What inference cost according to the plan, and what it delivered."""

    cost_usd: float
    """Cost of the nodes that inference held."""
    output_tokens: float
    """Output tokens delivered, first tokens included."""
    cost_usd_per_million_output_tokens: float | None
    """Null where no token was delivered."""


@dataclass(frozen=True, kw_only=True)
class ReplayHourStart(Document):
    """When an hour of a replay begins."""

    start: Time


@dataclass(frozen=True, kw_only=True)
class ReplayHour(DeliveryCost, UnitUse, ServiceQuality, SloAttainment, RequestOutcomes, ReplayHourStart):
    """One hour of the counted window, by arrival; the last one may be shorter."""


@dataclass(frozen=True, kw_only=True)
class TrafficClass(Document):
    """A class of requests: a model, tier or tenant."""

    class_id: int
    """Its number in the trace."""
    name: Annotated[str | None, Field(serialization_alias="class")]
    """Its name in the trace."""


@dataclass(frozen=True, kw_only=True)
class ReplayClass(ServiceQuality, RequestOutcomes, TrafficClass):
    """One class of requests over the counted window."""

    slo: SloAttainment


@dataclass(frozen=True, kw_only=True)
class Balancers(Document):
    """The balancer that sends requests to the units of each role."""

    prefill: BalancerName
    decode: BalancerName


@dataclass(frozen=True, kw_only=True)
class FailureCounts(Document):
    """Failures of the units of one role until the end of the simulation."""

    units: int
    """Units that failed."""
    requests: int
    """Requests that they held, which were restarted."""


@dataclass(frozen=True, kw_only=True)
class FailuresByRole(Document):
    """Failures of units by role."""

    prefill: FailureCounts
    decode: FailureCounts
    aggregated: FailureCounts


@dataclass(frozen=True, kw_only=True)
class LoadImbalance(Document):
    """Largest over mean load among units while requests were counted: mean over time, and 99th percentile.

    rank_: among the GPUs inside decode units, mean over units; null if GPUs were not replayed one by one.
    """

    kv_imbalance_mean: float | None
    """KV tokens of decode units."""
    kv_imbalance_p99: float | None
    stream_imbalance_mean: float | None
    """Streams of decode units."""
    stream_imbalance_p99: float | None
    prefill_token_imbalance_mean: float | None
    """Tokens that prefill units have to compute."""
    prefill_token_imbalance_p99: float | None
    prefill_request_imbalance_mean: float | None
    """Requests in prefill units."""
    prefill_request_imbalance_p99: float | None
    rank_kv_imbalance_mean: float | None
    """KV tokens of the GPUs inside decode units."""
    rank_kv_imbalance_p99: float | None
    rank_stream_imbalance_mean: float | None
    """Streams of the GPUs inside decode units."""
    rank_stream_imbalance_p99: float | None
    rank_kv_imbalance_table: float | None
    """KV tokens of the GPUs inside decode units, as measured for the balancer at the mean number of streams."""


@dataclass(frozen=True, kw_only=True)
class TimeFactors(Document):
    """90 % bands of the times that units take, which are modelled also where a plan's capacities are observed."""

    prompts: TimeBand
    """Of computing prompts."""
    decode_steps: TimeBand


@dataclass(frozen=True, kw_only=True)
class ReplaySetup(Document):
    """What was replayed, and how."""

    run_id: str
    scenario: str
    trace: str
    """The trace that was replayed: at full scale, where the plan's is a sample drawn from a profile."""
    policy: str
    serving: Literal["disaggregated", "aggregated"]
    """Whether prompts are read on units of their own, or on those that decode (fleet.serving)."""
    capacity: Literal["observed", "modelled"]
    """Where the capacities of the plan come from (fleet.capacity)."""
    window_start: Time
    """Requests that arrive from this time on are counted."""
    window_end: Time
    """Requests that arrive before this time are counted."""
    ranks: Literal["measured", "exact"]
    """How the GPUs of a decode unit are simulated (replay.ranks)."""
    balancers: Balancers
    queue_mode: QueueMode
    """When a prefill pass starts (replay.queue_mode)."""
    hits: Literal["trace", "routed"]
    """Whose prefix cache hits: the trace's, or those found by routing (replay.hits)."""


@dataclass(frozen=True, kw_only=True)
class Shifts(Document):
    """What a closed loop of sessions changed of arrivals (replay.sessions), in the simulated time.

    The time to think is the gap between turns in the trace less what the answer takes on an idle unit.
    """

    turns: int
    """Requests that follow others of their session."""
    absent: int
    """Those of them that did not come before the end, because the turn before was not answered in time."""
    hasty: int
    """Those that came in the trace before the answer could end on an idle unit: they come with it."""
    mean_s: float | None
    """By how many seconds the others came later than in the trace; below 0: earlier."""
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, kw_only=True)
class ReplayTotals(Document):
    """Requests of the window by what became of them: requests = completed + in flight + rejected. And the work done."""

    requests: int
    """Requests that arrived in the window."""
    completed: int
    in_flight: int
    """Not finished when the simulation ended."""
    rejected: int
    """Turned away by a full queue or a timeout, after all retries, or longer than a unit can serve."""
    rejects: dict[str, int]
    """Rejected requests by reason: rejected-queue, rejected-timeout, rejected-length."""
    retried: int
    """Further attempts of rejected requests."""
    waited_for_start: int
    """Requests that came while a role held no unit that served, as the service slept or woke: they waited for a start.
    """
    waited_for_repair: int
    """The other requests that came while no unit of a role served: all that it held had failed."""
    moved: int
    """Streams moved to other units, because their unit had not drained by its deadline."""
    preempted: int
    """How often requests lost their KV to others on a full unit that does both, and were read again."""
    shifts: Shifts | None
    """What a closed loop of sessions changed of arrivals; null where sessions are open."""
    failures: FailuresByRole
    simulated_requests: int
    """Requests of the window, of its warm-up and of its cool-down."""
    wall_s: float
    """Time that the simulation took, reading of requests included."""
    requests_per_s: float | None
    """Requests simulated a second."""


@dataclass(frozen=True, kw_only=True)
class ReplayDocument(DeliveryCost, UnitUse, ServiceQuality, ReplayTotals, ReplaySetup):
    """A replay of the requests of a time window through a plan."""

    ttft_target_ms: float
    """The target of the time to the first token (slo.ttft_ms)."""
    tpot_target_ms: float
    """The target of the time per further token of a request (slo.tpot_ms)."""
    slo: SloAttainment
    kv_peak_ratio: float
    """Largest share of a decode unit's KV memory in use while requests were counted."""
    imbalance: LoadImbalance
    time_factors: TimeFactors
    bands: tuple[FigureBand, ...]
    """90 % bands of latencies and attainments, from replays of units that are as fast, and as slow, as time_factors
    allow; none unless asked for with --bands. A latency has no upper end where units so slow do not keep up."""
    drain_s: tuple[float, ...]
    """Seconds that each departing unit that decodes took to drain."""
    prefill_drain_s: tuple[float, ...]
    """The same of prefill units; none where units do both."""
    notes: tuple[str, ...]
    """What is taken of a stored trace and how its requests are changed; what the targets mean, how streams stand to
    what was observed of them, and the notes of the plan."""
    missed_limits: tuple[str, ...]
    """Limits of the scenario that the replay misses."""
    classes: tuple[ReplayClass, ...]
    hours: tuple[ReplayHour, ...]

    @property
    def in_flight_ratio(self) -> float:
        """Share of the requests that had not finished when the simulation ended."""
        return self.in_flight / self.requests if self.requests else 0.0
