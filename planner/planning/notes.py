"""What the reader of a plan should know, one line each."""

from collections.abc import Sequence

from planner.capacity.engines import notes as engine_notes
from planner.catalogue.read import built_in, hardware
from planner.claims import judge_claim
from planner.core.demand import Grid
from planner.core.fleet.deployment import Deployment
from planner.core.policy import Policy, Seen, Sight
from planner.core.replay.intervals.plan import IntervalPlan
from planner.core.replay.jobs.outcome import JobsPlan
from planner.planning.foresight import unseen_intervals
from planner.settings.scenario import Scenario
from planner.settings.training_jobs import JobList
from planner.store import Session
from planner.trace.stored import TraceInfo
from planner.units import S_PER_HOUR


def sampling_notes(session: Session, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    """What a sample leaves uncertain about the demand of an interval, and how many requests have unknown lengths."""
    coverage = trace.arguments.coverage
    share = coverage.request_share if coverage else None
    unknown = []
    if share is not None and share < 1:
        unknown = [f"the lengths of {1 - share:.1%} of the requests are unknown; the demand lacks their tokens"]
    return (*unknown, *_sample_notes(session, trace, grid))


def _sample_notes(session: Session, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    if trace.sample_weight == 1:
        return ()
    head = f"the trace is a sample: each stored row stands for {trace.sample_weight} requests; "
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


def sight_notes(scenario: Scenario, policy: Policy, coming: Sequence[tuple[Seen, ...]]) -> list[str]:
    """What the policy bases its decisions on."""
    if policy.sight == Sight.OBSERVED:
        return ["the policy sees the demand of the previous interval, whatever policy.demand_source says"]
    if policy.sight == Sight.SOURCE and scenario.policy.demand_source == "trace":
        return ["the policy sees the trace's own demand: perfect foresight, not a forecast"]
    if policy.sight != Sight.SOURCE or scenario.policy.demand_source != "forecast":
        return []
    settings = scenario.forecast
    return [
        f"the policy sees the {scenario.policy.quantile:.0%} quantile of {settings.method} forecasts of a season of a "
        f"{settings.season}, made an interval before from the trace's own earlier intervals; nothing is forecast for "
        f"the first {unseen_intervals(coming)} intervals"
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


def plan_notes(scenario: Scenario, policy: Policy, plan: IntervalPlan, *, rates: str) -> list[str]:
    """Assumptions behind a plan. rates: name of the sheet of GPU rates."""
    deployment = Deployment(scenario.fleet)
    notes = [*_claim_notes(scenario), *policy.notes]
    if plan.floored:
        nodes = deployment.nodes(deployment.floor(scenario.policy.floor_nodes))
        notes.append(f"{plan.floored} intervals were raised to the floor of {nodes} nodes")
    if S_PER_HOUR % scenario.interval_s:
        notes.append(
            f"intervals of {scenario.interval_s // 60} min do not divide an hour: each counts towards the hour in "
            f"which it begins, and the plan covers {plan.grid.length_s / S_PER_HOUR:.2f} h"
        )
    if scenario.fleet.capacity == "modelled":
        notes += engine_notes(scenario.fleet.engine)
        served = hardware(scenario.fleet.engine.hardware).name
        # a sheet of the user's may be for any hardware
        if built_in("gpu_rates", rates) not in (None, served.lower()):
            notes.append(f"nodes of {served} are priced at the GPU rates of {rates}: set economics.gpu_rates")
    beyond = scenario.fleet.nodes - deployment.nodes(deployment.full)
    if beyond:
        notes.append(f"{beyond} nodes do not make up a whole scaling step: inference never uses them")
    return notes


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
