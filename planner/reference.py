"""The built-in day, computed and compared with what was published of it, quantity by quantity."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from planner.economics.ledger import margin_ratio
from planner.errors import UsageError
from planner.pipeline import Progress, compute_plan, ensure_trace
from planner.results import PlanOutcome
from planner.scenario.models import Scenario
from planner.store import Store
from planner.trace.bins import binned
from planner.trace.profile import Profile, Published, load_profile
from planner.units import S_PER_HOUR, from_us, usd

Kind = Literal["input", "fitted", "inferred", "emergent"]

NOTES = (
    "input: given to the planner (token totals, fleet, prices); it can only come out as it went in",
    "inferred: read off the published chart (trough, day window, scaling step, units)",
    "fitted: chosen so that a published figure comes out (request population, target utilisation)",
    "emergent: follows from the rule applied to the stored requests; these are the tests, above all the mean "
    "and the night intervals",
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
    if scenario.trace.profile is None:
        raise UsageError("reference needs a scenario with a profile; give trace.profile")
    profile = load_profile(scenario.trace.profile)
    published = profile.settings.published
    if published is None:
        raise UsageError(f'profile "{profile.name}" has no published figures to compare with')
    trace = ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
        kv = session.rows("trace_kv_length", trace_id=trace.trace_id)[0]["kv_tokens_per_output_token"]
    outcome = compute_plan(scenario, trace, demand)
    return [
        *_load_rows(outcome, published, float(kv)),
        *_node_rows(outcome, published, profile),
        *_money_rows(outcome, published),
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
    length_s = plan.grid.length_s
    mean = int(plan.inference_node_s.sum()) / length_s
    prefill_node_s = int(plan.prefill_units.sum()) * fleet.prefill.nodes * plan.grid.interval_s
    decode_node_s = int(plan.decode_units.sum()) * fleet.decode.nodes * plan.grid.interval_s
    timeline = profile.published_nodes()
    equal, compared, night_equal, night = _equal_intervals(outcome, timeline)
    published_hours = sum(timeline.values()) * outcome.scenario.interval_s / S_PER_HOUR if compared else 0
    rows = [
        Row("peak_nodes", int(plan.inference_nodes.max()), published.peak_nodes, "input"),
        Row("trough_nodes", int(plan.inference_nodes.min()), min(timeline.values()), "inferred"),
        Row("mean_nodes", mean, published.mean_nodes, "emergent"),
        Row(
            "input_tokens_per_s_per_prefill_node",
            int(demand.input_tokens.sum()) / prefill_node_s,
            published.input_tokens_per_s_per_prefill_node,
            "emergent",
        ),
        Row(
            "output_tokens_per_s_per_decode_node",
            int(demand.output_tokens.sum()) / decode_node_s,
            published.output_tokens_per_s_per_decode_node,
            "emergent",
        ),
    ]
    if compared:
        node_hours = int(plan.inference_node_s.sum()) / S_PER_HOUR
        rows.insert(3, Row("node_hours", node_hours, published_hours, "emergent"))
        rows += [
            Row("intervals_equal_to_published", equal, compared, "emergent"),
            Row("night_intervals_equal_to_published", night_equal, night, "emergent"),
        ]
    return rows


def _equal_intervals(outcome: PlanOutcome, timeline: Mapping[int, int]) -> tuple[int, int, int, int]:
    """Intervals with the published nodes and intervals compared, over all and outside the day window."""
    window, zone = outcome.scenario.policy.window, outcome.scenario.zone
    equal = compared = night_equal = night = 0
    for start, nodes in zip(outcome.plan.grid.starts_us, outcome.plan.inference_nodes, strict=True):
        if int(start) not in timeline:
            continue
        same = int(nodes) == timeline[int(start)]
        compared += 1
        equal += same
        if not window.holds(from_us(int(start), zone).time()):
            night += 1
            night_equal += same
    return equal, compared, night_equal, night


def _money_rows(outcome: PlanOutcome, published: Published) -> list[Row]:
    cost, earned = sum(outcome.costs.inference), sum(outcome.revenue.theoretical)
    margin = margin_ratio(cost, earned)
    assert margin is not None, "a plan with nodes costs something"
    return [
        Row("cost_usd", usd(cost), published.cost_usd, "emergent"),
        Row("revenue_usd", usd(earned), published.revenue_usd, "emergent"),
        Row("margin_ratio", margin, published.margin_ratio, "emergent"),
    ]
