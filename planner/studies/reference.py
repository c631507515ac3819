"""The built-in day, computed and compared with what was published of it, quantity by quantity."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from planner.capacity.engines import Modelled, with_capacity
from planner.core.economics.ledger import margin_ratio
from planner.errors import UsageError
from planner.planning.capacity import modelled_capacity
from planner.planning.plan import plan
from planner.planning.prepare import prepare
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace.synthetic.profile import Profile, Published, load_profile
from planner.units import S_PER_HOUR, US_PER_S, Progress, from_us, usd

Kind = Literal["input", "fitted", "inferred", "emergent"]

NOTES = (
    "input: given to the planner (token totals, fleet, prices); it can only come out as it went in",
    "inferred: read off the published chart (trough, day window, scaling step, units)",
    "fitted: chosen so that a published figure comes out (request population, target utilisation)",
    "emergent: follows from the rule applied to the stored requests; these are the tests, above all the mean "
    "and the night intervals",
    "where the policy does not look at the demand, nodes and cost are inputs too",
    "the published timeline is on a 15-minute grid; at other intervals it is not compared interval by interval",
    "rows that begin with modelled are of a second plan, whose capacities come from the hardware up instead of from "
    "what was observed; its prefill level is reproduced by a free factor, not predicted; its two capacities stand "
    "beside the least that nodes must have done in the busiest quarter-hour, computed from what was published",
    "revenue differs from the published figure because the published token totals are rounded",
)


@dataclass(frozen=True)
class Row:
    """One quantity, computed and published. relative_error: (computed - published) / published."""

    quantity: str
    computed: float
    published: float
    kind: Kind

    @property
    def relative_error(self) -> float:
        return (self.computed - self.published) / self.published

    def document(self) -> dict[str, Any]:
        return {
            "quantity": self.quantity,
            "computed": self.computed,
            "published": self.published,
            "relative_error": self.relative_error,
            "kind": self.kind,
        }


def reference_rows(store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None) -> list[Row]:
    """Plan the scenario without storing a run, and compare it with its profile's published figures.

    Draws the trace if it is not stored. Raises UsageError where the profile has no published figures.
    """
    if scenario.trace.profile is None or scenario.trace.name is not None:
        raise UsageError("reference compares the trace of a profile; give trace.profile and leave out trace.name")
    profile = load_profile(scenario.trace.profile)
    published = profile.settings.published
    if published is None:
        raise UsageError(f'profile "{profile.name}" has no published figures; use one with a [published] table')
    observed = scenario.model_copy(update={"fleet": scenario.fleet.model_copy(update={"capacity": "observed"})})
    prepared = prepare(store, observed, now=now, progress=progress)
    with store.read() as session:
        capacity = modelled_capacity(session, scenario, prepared.trace)
    outcome = plan(prepared)
    modelled = plan(replace(prepared, scenario=with_capacity(observed, capacity)))
    return [
        *_load_rows(outcome, published, capacity.workload.kv_tokens),
        *_node_rows(outcome, published, profile),
        *_money_rows(outcome, published),
        *_capacity_rows(scenario, capacity),
        *(
            replace(row, quantity=f"modelled_{row.quantity}")
            for row in (*_node_rows(modelled, published, profile), *_money_rows(modelled, published))
            if row.kind == "emergent" and row.quantity != "revenue_usd"
        ),
    ]


def _capacity_rows(scenario: Scenario, capacity: Modelled) -> list[Row]:
    """Modelled capacity of a node beside the observed one: the least that a node must be able to do at the peak."""
    fleet = scenario.fleet
    return [
        Row(
            "modelled_decode_capacity_tokens_per_s_per_node",
            capacity.decode_tokens_per_s,
            fleet.decode.tokens_per_s_per_node,
            "emergent",
        ),
        Row(
            "modelled_prefill_capacity_tokens_per_s_per_node",
            capacity.prefill_tokens_per_s,
            fleet.prefill.tokens_per_s_per_node,
            "fitted",
        ),
    ]


def _load_rows(outcome: PlanOutcome, published: Published, kv: float) -> list[Row]:
    demand = outcome.demand
    total_input, cached = int(demand.input_tokens.sum()), int(demand.cached_input_tokens.sum())
    return [
        Row("input_tokens", total_input, published.input_tokens, "input"),
        Row("cached_input_tokens", cached, published.cached_input_tokens, "input"),
        Row("output_tokens", int(demand.output_tokens.sum()), published.output_tokens, "input"),
        Row("cache_hit_ratio", cached / total_input, published.cache_hit_ratio, "input"),
        Row("kv_tokens_per_output_token", kv, published.kv_tokens_per_output_token, "fitted"),
    ]


def _node_rows(outcome: PlanOutcome, published: Published, profile: Profile) -> list[Row]:
    plan, demand, fleet = outcome.plan, outcome.demand, outcome.scenario.fleet
    prefill_node_s = int(plan.prefill_units.sum()) * fleet.prefill.nodes * plan.grid.interval_s
    decode_node_s = int(plan.decode_units.sum()) * fleet.decode.nodes * plan.grid.interval_s
    node_hours = int(plan.inference_node_s.sum()) / S_PER_HOUR
    timeline = profile.published_nodes()
    kind = _kind(outcome)
    return [
        Row("peak_nodes", int(plan.inference_nodes.max()), published.peak_nodes, "input"),
        Row("trough_nodes", int(plan.inference_nodes.min()), min(timeline.values()), "inferred"),
        Row("mean_nodes", node_hours / (plan.grid.length_s / S_PER_HOUR), published.mean_nodes, kind),
        Row("node_hours", node_hours, sum(timeline.values()) * _spacing_s(timeline) / S_PER_HOUR, kind),
        Row(
            "input_tokens_per_s_per_prefill_node",
            int(demand.input_tokens.sum()) / prefill_node_s,
            published.input_tokens_per_s_per_prefill_node,
            kind,
        ),
        Row(
            "output_tokens_per_s_per_decode_node",
            int(demand.output_tokens.sum()) / decode_node_s,
            published.output_tokens_per_s_per_decode_node,
            kind,
        ),
        *_interval_rows(outcome, timeline),
    ]


def _kind(outcome: PlanOutcome) -> Kind:
    """What nodes and their cost are: they follow from the demand only where the policy looks at it."""
    return "input" if outcome.demand_source == "none" else "emergent"


def _spacing_s(timeline: Mapping[int, int]) -> int:
    """Seconds from one published interval to the next."""
    first, second, *_ = sorted(timeline)
    return (second - first) // US_PER_S


def _interval_rows(outcome: PlanOutcome, timeline: Mapping[int, int]) -> list[Row]:
    """Intervals with the published nodes, over all and outside the day window; none on another grid."""
    if outcome.plan.grid.interval_s != _spacing_s(timeline):
        return []
    window, zone = outcome.scenario.policy.window, outcome.scenario.zone
    same = {"intervals_equal_to_published": [0, 0], "night_intervals_equal_to_published": [0, 0]}
    for start, nodes in zip(outcome.plan.grid.starts_us, outcome.plan.inference_nodes, strict=True):
        if int(start) not in timeline:
            continue
        by_day = window.holds(from_us(int(start), zone).time())
        for name, counts in same.items():
            if name == "intervals_equal_to_published" or not by_day:
                counts[0] += int(nodes) == timeline[int(start)]
                counts[1] += 1
    return [Row(name, equal, compared, _kind(outcome)) for name, (equal, compared) in same.items() if compared]


def _money_rows(outcome: PlanOutcome, published: Published) -> list[Row]:
    cost, earned = sum(outcome.costs.inference), sum(outcome.revenue.theoretical)
    margin = margin_ratio(cost, earned)
    assert margin is not None, "the floor holds nodes, and nodes cost something"
    return [
        Row("cost_usd", usd(cost), published.cost_usd, _kind(outcome)),
        Row("revenue_usd", usd(earned), published.revenue_usd, "emergent"),
        Row("margin_ratio", margin, published.margin_ratio, _kind(outcome)),
    ]
