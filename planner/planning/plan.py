"""Plans: decided, replayed interval by interval, priced, and stored."""

from dataclasses import replace
from datetime import datetime

from planner.capacity.latency import latency_notes
from planner.core.replay.intervals.plan import IntervalPlan
from planner.core.replay.jobs.outcome import JobsPlan, jobs_of, run_jobs
from planner.files import version
from planner.planning.aggregated import UnitLimits, limits_note
from planner.planning.bands import plan_bands
from planner.planning.decide import decide
from planner.planning.foresight import source_seen
from planner.planning.idle import idle_notes
from planner.planning.inputs import inputs_of
from planner.planning.notes import job_notes, plan_notes, shortfall_notes, sight_notes
from planner.planning.prepare import Prepared, prepare
from planner.planning.price import check_countable, costs_of, revenue_of
from planner.runs.outcome import PlanOutcome
from planner.runs.write import save_plan
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.units import Progress


def plan(prepared: Prepared) -> PlanOutcome:
    """Decide, replay and price what is prepared; nothing is stored. Raises UsageError, RunError."""
    scenario, prices, expected = prepared.scenario, prepared.prices, prepared.expected
    decided = decide(prepared)
    policy, intervals = decided.policy, decided.plan
    jobs = _run_jobs(prepared, intervals, known=policy.ahead)
    costs = costs_of(scenario, intervals, prices.gpu.usd_per_gpu_hour)
    revenue = revenue_of(scenario.economics, prices, prepared.demand)
    check_countable(costs, revenue)
    return PlanOutcome(
        scenario=scenario,
        trace=prepared.trace,
        policy=policy.name,
        demand_source=source_seen(scenario, policy, expected=expected),
        demand=prepared.demand,
        plan=intervals,
        costs=costs,
        revenue=revenue,
        notes=(
            *prepared.caution,
            *shortfall_notes(scenario, prepared.demand, intervals),
            *plan_notes(scenario, policy, intervals, rates=prices.gpu_rates),
            *_limit_notes(prepared),
            *(() if expected else sight_notes(scenario, policy, decided.seen)),
            *job_notes(prepared.jobs, jobs),
            *prepared.notes,
        ),
        inputs=inputs_of(prepared),
        jobs=jobs,
        bands=plan_bands(prepared, decided),
    )


def plan_and_store(store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None) -> str:
    """Plan a scenario and store the run: the main job.

    Args:
        store: Where traces and runs are stored; it is created if it does not exist.
        scenario: What to plan, from `planner.load_scenario`.
        now: When the run is stored, with a time zone.
        progress: Called with the requests drawn and their total where the trace has to be drawn.

    Returns:
        The id of the run, such as "run-00001".

    Raises:
        UsageError: The scenario cannot be planned; the text names every problem.
        TraceError: The trace that it names cannot be found or read.
        RunError: The plan cannot be made.
        StoreError: The store cannot be used.
    """
    outcome = plan(prepare(store, scenario, now=now, progress=progress))
    outcome = replace(outcome, notes=(*outcome.notes, *idle_notes(scenario)))
    return save_plan(store, outcome, now=now, version=version())


def _limit_notes(prepared: Prepared) -> list[str]:
    """Assumptions behind the latency limits that the policy looks at."""
    limits = prepared.limits
    if isinstance(limits, UnitLimits):
        return limits_note(prepared.scenario, limits)
    return [] if limits is None else latency_notes(prepared.scenario, limits)


def _run_jobs(prepared: Prepared, intervals: IntervalPlan, *, known: bool) -> JobsPlan | None:
    """What becomes of the training jobs. known: whether windows are known before they begin."""
    if prepared.jobs is None:
        return None
    scenario, grid = prepared.scenario, intervals.grid
    jobs = jobs_of(prepared.jobs, scenario.training, grid, scenario.zone)
    return run_jobs(jobs, intervals.windows, grid, scenario.fleet, scenario.training, known=known)
