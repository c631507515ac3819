"""The built-in day, computed and compared with what was published about it, quantity by quantity."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from planner.capacity.engines import Modelled, with_capacity
from planner.core.economics.ledger import margin_ratio
from planner.documents import Document
from planner.errors import UsageError
from planner.planning.capacity import modelled_capacity
from planner.planning.plan import plan
from planner.planning.prepare import prepare
from planner.runs.outcome import PlanOutcome
from planner.settings.profile import Published
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace.synthetic.profile import Profile, load_profile
from planner.units import S_PER_HOUR, US_PER_S, Progress, from_us, usd

Kind = Literal["input", "fitted", "inferred", "emergent"]

NOTES = (
    "input: given to the planner (token totals, fleet, prices); it comes back unchanged",
    "inferred: read off the published chart (trough, day window, scaling step, units)",
    "fitted: chosen to reproduce a published figure (request population, target utilisation)",
    "emergent: follows from the rule applied to the stored requests; these are the tests, above all the mean "
    "and the night intervals",
    "where the policy does not look at the demand, nodes and cost are inputs too",
    "the published timeline is on a 15-minute grid; at other intervals it is not compared interval by interval",
    "rows that begin with modelled belong to a second plan, whose capacities are computed from the hardware up instead "
    "of observed; its prefill level is reproduced by a free factor, not predicted; its two capacities are compared "
    "with the least that nodes must have done in the busiest quarter-hour, computed from what was published",
    "revenue differs from the published figure because the published token totals are rounded",
)


@dataclass(frozen=True, kw_only=True)
class ReferenceRow(Document):
    """One quantity, computed and published."""

    quantity: str
    """Its name, ending in its unit."""
    computed: int | float
    published: int | float
    relative_error: float
    """(computed - published) / published."""
    kind: Kind
    """Whether the quantity was given, fitted, inferred, or follows from the rule."""


@dataclass(frozen=True, kw_only=True)
class ReferenceDocument(Document):
    """A scenario, computed and compared with what was published about it."""

    scenario: str
    rows: tuple[ReferenceRow, ...]
    notes: tuple[str, ...]


def compare_with_published(
    store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None
) -> ReferenceDocument:
    """Plan the scenario without storing a run, and compare it with its profile's published figures.

    Draws the trace if it is not stored. Raises UsageError if the profile has no published figures.
    """
    rows = reference_rows(store, scenario, now=now, progress=progress)
    return ReferenceDocument(scenario=scenario.name, rows=tuple(rows), notes=NOTES)


def row(quantity: str, computed: float, published: float, kind: Kind) -> ReferenceRow:
    """A quantity, with its relative error."""
    error = (computed - published) / published
    return ReferenceRow(quantity=quantity, computed=computed, published=published, relative_error=error, kind=kind)


def reference_rows(
    store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None
) -> list[ReferenceRow]:
    """Every quantity of a scenario, computed and published. Raises UsageError if none were published, or for units
    that do both."""
    if scenario.trace.profile is None or scenario.trace.name is not None:
        raise UsageError("reference compares the trace of a profile; give trace.profile and leave out trace.name")
    if scenario.fleet.serving == "aggregated":
        raise UsageError(
            "reference compares prefill and decode nodes with published ones, and aggregated units are neither; set "
            "fleet.serving=disaggregated"
        )
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
            replace(each, quantity=f"modelled_{each.quantity}")
            for each in (*_node_rows(modelled, published, profile), *_money_rows(modelled, published))
            if each.kind == "emergent" and each.quantity != "revenue_usd"
        ),
    ]


def _capacity_rows(scenario: Scenario, capacity: Modelled) -> list[ReferenceRow]:
    """Modelled capacity of a node and the observed one: the least that a node must be able to do at the peak."""
    fleet = scenario.fleet
    return [
        row(
            "modelled_decode_capacity_tokens_per_s_per_node",
            capacity.decode_tokens_per_s,
            fleet.decode.node_tokens_per_s,
            "emergent",
        ),
        row(
            "modelled_prefill_capacity_tokens_per_s_per_node",
            capacity.prefill_tokens_per_s,
            fleet.prefill.node_tokens_per_s,
            "fitted",
        ),
    ]


def _load_rows(outcome: PlanOutcome, published: Published, kv: float) -> list[ReferenceRow]:
    demand = outcome.demand
    total_input, cached = int(demand.input_tokens.sum()), int(demand.cached_input_tokens.sum())
    return [
        row("input_tokens", total_input, published.input_tokens, "input"),
        row("cached_input_tokens", cached, published.cached_input_tokens, "input"),
        row("output_tokens", int(demand.output_tokens.sum()), published.output_tokens, "input"),
        row("cache_hit_ratio", cached / total_input, published.cache_hit_ratio, "input"),
        row("kv_tokens_per_output_token", kv, published.kv_tokens_per_output_token, "fitted"),
    ]


def _node_rows(outcome: PlanOutcome, published: Published, profile: Profile) -> list[ReferenceRow]:
    plan, demand, fleet = outcome.plan, outcome.demand, outcome.scenario.fleet
    prefill_node_s = int(plan.prefill_units.sum()) * fleet.prefill.nodes * plan.grid.interval_s
    decode_node_s = int(plan.decode_units.sum()) * fleet.decode.nodes * plan.grid.interval_s
    node_hours = int(plan.inference_node_s.sum()) / S_PER_HOUR
    timeline = profile.published_nodes()
    kind = _kind(outcome)
    return [
        row("peak_nodes", int(plan.inference_nodes.max()), published.peak_nodes, "input"),
        row("trough_nodes", int(plan.inference_nodes.min()), min(timeline.values()), "inferred"),
        row("mean_nodes", node_hours / (plan.grid.length_s / S_PER_HOUR), published.mean_nodes, kind),
        row("node_hours", node_hours, sum(timeline.values()) * _spacing_s(timeline) / S_PER_HOUR, kind),
        row(
            "input_tokens_per_s_per_prefill_node",
            int(demand.input_tokens.sum()) / prefill_node_s,
            published.input_tokens_per_s_per_prefill_node,
            kind,
        ),
        row(
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


def _interval_rows(outcome: PlanOutcome, timeline: Mapping[int, int]) -> list[ReferenceRow]:
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
    return [row(name, equal, compared, _kind(outcome)) for name, (equal, compared) in same.items() if compared]


def _money_rows(outcome: PlanOutcome, published: Published) -> list[ReferenceRow]:
    cost, earned = sum(outcome.costs.inference), sum(outcome.revenue.theoretical)
    margin = margin_ratio(cost, earned)
    assert margin is not None, "the floor holds nodes, and nodes cost something"
    return [
        row("cost_usd", usd(cost), published.cost_usd, _kind(outcome)),
        row("revenue_usd", usd(earned), published.revenue_usd, "emergent"),
        row("margin_ratio", margin, published.margin_ratio, _kind(outcome)),
    ]
