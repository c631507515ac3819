"""Rows of stored runs as types: the run itself, its figures, what a replay of it counted."""

from dataclasses import dataclass
from datetime import date, datetime

from planner.documents import Document, Time


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The row of a stored run. settings, inputs: JSON."""

    run_id: str
    created_at: datetime
    kind: str
    scenario: str
    settings: str
    trace_id: int
    trace: str
    profile: str | None
    policy: str
    demand_source: str
    interval_s: int
    timezone: str
    seed: int | None
    notes: list[str]
    inputs: str
    result_digest: str
    planner_version: str
    logical_date: date | None


@dataclass(frozen=True, kw_only=True)
class RunFigures(Document):
    """The main figures of a run."""

    run_id: str
    created_at: Time
    scenario: str
    trace: str
    policy: str
    demand_source: str
    """What the policy saw of the demand to come: trace, profile, previous, forecast or none."""
    peak_nodes: int
    """Most nodes that inference holds in an interval."""
    mean_nodes: float
    """Nodes that inference holds, mean over time."""
    cost_usd: float
    """Cost of the nodes that inference holds."""
    revenue_usd: float
    """What all demanded tokens earn at list prices."""
    revenue_served_usd: float
    """What of that is earned by requests within the capacity: of each interval, the smaller of the shares of input and
    output tokens that its units carry."""
    shortfall_ratio: float
    """Share of the demanded tokens beyond the capacity."""


@dataclass(frozen=True, kw_only=True)
class RunSummary(RunFigures):
    """All figures of a run, a row of the view run_summary."""

    kind: str
    """plan, replay, compare or nightly."""
    interval_s: int
    """Length of an interval, seconds."""
    intervals: int
    node_hours: float
    """Node-hours that inference holds."""
    training_node_hours: float
    """Node-hours lent to training, restoring included."""
    useful_training_node_hours: float
    """Node-hours lent to training, without restoring."""
    idle_node_hours: float
    """Node-hours that neither inference nor training holds."""
    requests: int
    input_tokens: int
    cached_input_tokens: int
    """Input tokens whose prefix was found in the KV cache."""
    output_tokens: int
    cache_hit_ratio: float | None
    """Cached over all input tokens; null if there are none."""
    expected_revenue_usd: float
    """Revenue after other price sheets, discounts and unpaid use."""
    expected_revenue_served_usd: float
    """What of the expected revenue is earned by requests within the capacity, as in revenue_served_usd."""
    margin_ratio: float | None
    """(revenue - cost) / cost, as if all demanded tokens were served; null if nothing is spent."""
    margin_served_ratio: float | None
    """(served revenue - cost) / cost; null if nothing is spent."""
    fleet_cost_usd: float
    """Cost of all nodes that are owned."""
    training_cost_usd: float
    """Cost of the nodes that training holds."""
    idle_cost_usd: float
    training_charge_usd: float
    """What training is charged for its nodes: their cost times economics.training_rate_ratio."""
    steady_shortfall_tokens: int
    """Tokens beyond what all units held could carry if all of them served."""
    start_up_shortfall_tokens: int
    """Tokens beyond the capacity because some units load or drain."""
    shortfall_tokens: int
    result_digest: str
    """sha256 of the plan and its ledger; equal plans have equal digests."""
    planner_version: str


@dataclass(frozen=True, kw_only=True)
class ReplayRecord:
    """What a replay counted and how it was made, a row of replay_run; the ratios are largest over mean."""

    window_start: datetime
    window_end: datetime
    simulated_from: datetime
    simulated_to: datetime
    ranks: str
    prefill_balancer: str
    decode_balancer: str
    arrived: int
    completed: int
    in_flight: int
    rejected: int
    moved: int
    simulated_requests: int
    wall_s: float
    kv_peak_ratio: float | None
    kv_imbalance_mean: float | None
    kv_imbalance_p99: float | None
    stream_imbalance_mean: float | None
    stream_imbalance_p99: float | None
    rank_kv_imbalance_mean: float | None
    rank_stream_imbalance_mean: float | None
    retried: int | None
    rank_kv_imbalance_table: float | None
    rank_kv_imbalance_p99: float | None
    rank_stream_imbalance_p99: float | None
    prefill_token_imbalance_mean: float | None
    prefill_token_imbalance_p99: float | None
    prefill_request_imbalance_mean: float | None
    prefill_request_imbalance_p99: float | None
    waited_for_start: int | None
    waited_for_repair: int | None


@dataclass(frozen=True, kw_only=True)
class ReplayFigures:
    """What users got over a whole replay, a row of the query replay_whole; None where there was no such request."""

    ttft_p99_ms: float | None
    tpot_p99_ms: float | None
    ttft_attainment: float | None
    tpot_attainment: float | None
    both_attainment: float | None
