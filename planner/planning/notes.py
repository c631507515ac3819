"""What the reader of a plan should know, one line each."""

import re

from planner.capacity.engines import notes as engine_notes
from planner.catalogue.read import built_in, hardware
from planner.catalogue.scenarios import load_scenario
from planner.claims import judge_claim
from planner.core.demand import Demand, Grid, grid_over
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import ROLES, Units
from planner.core.forecast import AUTO
from planner.core.policy import Policy, Sight, keeps_bundle
from planner.core.replay.intervals.plan import IntervalPlan
from planner.core.replay.jobs.outcome import JobsPlan
from planner.planning.foresight import Visible
from planner.settings.fleet import FleetSettings
from planner.settings.scenario import Scenario
from planner.settings.training_jobs import JobList
from planner.store import Session
from planner.trace.describe import unknown_notes
from planner.trace.stored import TraceInfo
from planner.units import S_PER_HOUR, counted, from_us

FIRST_NOTE = "nothing is observed before the first interval: it is decided as if the interval before had had its demand"

SAMPLED = "the trace is a sample: "
"""How the note on a sampled trace begins."""


def sampling_notes(session: Session, trace: TraceInfo, grid: Grid, *, whole: bool = True) -> tuple[str, ...]:
    """What a sample leaves uncertain about the demand of an interval, and how many lengths and hits are unknown.

    whole: whether all of the trace is taken.
    """
    coverage = trace.arguments.coverage
    share = coverage.request_share if coverage else None
    unknown = []
    if share is not None and share < 1:
        unknown = [f"the lengths of {1 - share:.1%} of the requests are unknown; the demand lacks their tokens"]
    return (*unknown, *hit_notes(trace, whole=whole), *_expansion_notes(trace), *_sample_notes(session, trace, grid))


def hit_notes(trace: TraceInfo, *, whole: bool = True) -> tuple[str, ...]:
    """How many requests have unknown cached tokens. whole: whether all of the trace is taken."""
    weight = trace.sample_weight
    return tuple(unknown_notes(trace.cached_unknown * weight, trace.row_count * weight, whole=whole))


def silence_notes(scenario: Scenario, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    """Which hours without rows are planned as hours without demand."""
    window = scenario.trace
    if trace.window_is_named or window.start_at is not None or window.end_at is not None:
        return ()
    own = grid_over(trace.window_start_us, trace.window_end_us, grid.interval_s, scenario.zone)
    parts = []
    if grid.start_us < own.start_us:
        parts.append(f"before {from_us(own.start_us, scenario.zone):%Y-%m-%d %H:%M}")
    if grid.end_us > own.end_us:
        parts.append(f"from {from_us(own.end_us, scenario.zone):%Y-%m-%d %H:%M} on")
    if not parts:
        return ()
    return (
        f"the trace has nothing {' and '.join(parts)}, which is planned as silence, so that local days are whole; if "
        "the log began late or ended early, import it with --from and --to",
    )


def _expansion_notes(trace: TraceInfo) -> tuple[str, ...]:
    """What of the trace was drawn, where it was expanded."""
    origin = trace.arguments.expanded_from
    if origin is None:
        return ()
    return (
        f"{1 - origin.rows_kept / trace.row_count:.1%} of the requests were drawn from trace {origin.trace}, by seed "
        f"{trace.arguments.seed}; single requests and bursts are those of a draw",
    )


def _sample_notes(session: Session, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    if trace.sample_weight == 1:
        return ()
    head = f"{SAMPLED}each stored row stands for {trace.sample_weight} requests; "
    cell_s = trace.arguments.cell_s
    if cell_s and grid.interval_s % cell_s == 0:
        return (head + "tokens per interval are exact, as they are drawn to the profile's totals",)
    (error,) = session.rows(
        "demand_sampling_error",
        trace_id=trace.trace_id,
        start_us=grid.start_us,
        end_us=grid.end_us,
        interval_us=grid.interval_us,
    )
    if error["median_error"] is None:
        return (head + "it has no output tokens",)
    return (
        head + f"if they are an independent sample, the standard error of an interval's output tokens is "
        f"{error['median_error']:.1%} in the median and {error['worst_error']:.1%} at worst",
    )


def sight_notes(scenario: Scenario, policy: Policy, seen: Visible) -> list[str]:
    """What the policy bases its decisions on. seen: what it saw of the demand to come."""
    source = scenario.policy.demand_source
    if policy.sight == Sight.OBSERVED:
        return ["the policy sees the demand of the previous interval, whatever policy.demand_source says", FIRST_NOTE]
    if policy.sight == Sight.SOURCE and source == "previous":
        return [FIRST_NOTE]
    if policy.sight == Sight.SOURCE and source == "trace":
        return ["the policy sees the trace's own demand: perfect foresight, not a forecast"]
    if policy.sight != Sight.SOURCE or source != "forecast":
        return []
    chosen = ", the best of them so far at this lead" if scenario.forecast.method == AUTO else ""
    return [
        f"the policy sees the {scenario.policy.quantile:.0%} quantile of forecasts by {' and '.join(seen.methods)}"
        f"{chosen}, made an interval before from the trace's own earlier intervals; nothing is forecast for the first "
        f"{seen.unforeseen} intervals, which are decided by the demand of the interval before each",
        FIRST_NOTE,
        *seen.notes,
    ]


def _claim_notes(scenario: Scenario) -> list[str]:
    """What was claimed, and whether it can hold, if the scenario uses a claim's settings."""
    if scenario.what_if is None:
        return []
    judged = judge_claim(scenario.what_if)
    return [
        f"what-if {judged.name}, claimed by {judged.source}: {judged.claim}",
        f"what-if {judged.name}, {judged.verdict}: {judged.summary}",
    ]


def plan_notes(scenario: Scenario, policy: Policy, plan: IntervalPlan, *, rates: str | None) -> list[str]:
    """Assumptions behind a plan. rates: name of the sheet of GPU rates; None where none is used."""
    deployment = Deployment(scenario.fleet)
    notes = [*_claim_notes(scenario), *policy.notes]
    if deployment.apart and keeps_bundle(scenario.policy):
        notes.append(
            "night-training scales prefill and decode in whole scaling steps, though fleet.scaling is independent: set "
            "policy.night_bundle=false to scale them apart"
        )
    if plan.floored:
        nodes = deployment.nodes(deployment.floor(scenario.policy.floor_nodes))
        were = "was" if plan.floored == 1 else "were"
        notes.append(f"{counted(plan.floored, 'interval')} {were} raised to the floor of {counted(nodes, 'node')}")
    if S_PER_HOUR % scenario.interval_s:
        notes.append(
            f"intervals of {scenario.interval_s // 60} min do not divide an hour: each counts towards the hour in "
            f"which it begins, and the plan covers {plan.grid.length_s / S_PER_HOUR:.2f} h"
        )
    if scenario.fleet.capacity == "modelled":
        notes += engine_notes(scenario.fleet.engine, apart=not deployment.aggregated)
        served = hardware(scenario.fleet.engine.hardware).name
        if not _words(served) <= _words(scenario.fleet.node_type):
            notes.append(
                f"fleet.node_type is {scenario.fleet.node_type}, and capacities are modelled for nodes of {served} "
                "(fleet.engine.hardware): set both to the nodes of the fleet"
            )
        # a sheet of the user's may be for any hardware, and one that was named was meant
        sheet = None if rates is None else built_in("gpu_rates", rates)
        if sheet not in (None, served.lower()) and not _chosen(scenario, "economics.gpu_rates"):
            notes.append(
                f"nodes of {served} are priced at the GPU rates of {rates}, as in the built-in scenario: name your "
                "sheet in economics.gpu_rates"
            )
    unused = scenario.fleet.gpus_per_node % scenario.fleet.unit_gpus if deployment.aggregated else 0
    if deployment.aggregated and scenario.fleet.unit_gpus < scenario.fleet.gpus_per_node and unused:
        notes.append(f"{unused} GPU{'s' * (unused > 1)} of each node hold no part of a unit, and are paid with it")
    beyond = scenario.fleet.nodes - deployment.nodes(deployment.full)
    if beyond and not deployment.apart:
        few = f"{counted(beyond, 'node')} {'does' if beyond == 1 else 'do'}"
        notes.append(f"{few} not make up a whole scaling step: inference never uses {'it' if beyond == 1 else 'them'}")
    return notes


def _words(name: str) -> set[str]:
    return set(re.findall(r"\w+", name.casefold()))


def _chosen(scenario: Scenario, path: str) -> bool:
    """Whether a field was set, and is not left as in the built-in scenario."""
    return scenario.provenance.get(path) != load_scenario().scenario.provenance.get(path)


def shortfall_notes(scenario: Scenario, demand: Demand, plan: IntervalPlan) -> list[str]:
    """The fleet that would carry the demand, where the plan does not."""
    if not plan.shortfall_tokens.any():
        return []
    deployment, owned = Deployment(scenario.fleet), scenario.fleet.nodes
    units = deployment.enough(demand.input_tokens, demand.output_tokens, demand.grid.interval_s)
    needed = deployment.nodes(units)
    head = (
        f"{counted(needed, 'node')} would carry the busiest interval at full use, as {described(units, deployment)}; "
        f"the fleet has {owned}"
    )
    if not deployment.reaches(units):
        return [f"{head}: {_growth(scenario.fleet, units, needed)}"]
    if (plan.steady_shortfall_input_tokens + plan.steady_shortfall_output_tokens).any():
        return [f"{head}, so that it is enough: the policy holds fewer in intervals that are short"]
    return [f"{head}, so that it is enough: tokens are short only while units start or drain"]


def described(units: Units, deployment: Deployment) -> str:
    """Units by their roles, in words."""
    if deployment.aggregated:
        return counted(units.aggregated, "unit")
    return f"{units.prefill:,} prefill and {counted(units.decode, 'decode unit')}"


def _growth(fleet: FleetSettings, units: Units, nodes: int) -> str:
    """How to set a fleet that has these units as base units and whole steps."""
    sets = [f"fleet.nodes={nodes}"] if nodes > fleet.nodes else []
    for role in ROLES if fleet.serving == "disaggregated" else ():
        if not getattr(fleet.step, role) and getattr(units, role) > getattr(fleet.base, role):
            sets.append(f"fleet.base.{role}={getattr(units, role)}")
    return f"set {' and '.join(sets)} to carry it"


def job_notes(jobs: JobList | None, plan: JobsPlan | None) -> list[str]:
    """What the reader should know of training jobs. jobs: those asked for. plan: what became of them."""
    if jobs is None or plan is None:
        return []
    placed = {outcome.job.name for outcome in plan.outcomes}
    absent = [job.name for job in jobs.job if job.name not in placed]
    notes = ["useful training node-hours assume that nodes always train; training jobs show how much is used"]
    if absent:
        notes.append(f"training jobs that may not start before the plan ends: {', '.join(absent)}")
    return notes
