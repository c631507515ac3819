"""The one place that composes the stages: load, decide, replay, price, store."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version as installed_version
from operator import attrgetter

from pydantic import BaseModel

from planner.capacity.engines import Modelled, Workload, decode_engine, model_capacity, prefill_engine, with_capacity
from planner.capacity.engines import notes as sizing_notes
from planner.capacity.units import LatencyLimits, latency_limits, latency_notes, prompts_of
from planner.catalogue.read import gpu_rate, gpu_rates, hardware, job_list, price_sheet
from planner.claims import document
from planner.core.demand import Demand, Grid
from planner.core.economics.ledger import Costs, Revenue, RevenueTerms, costs, revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.core.fleet.deployment import Deployment, Units
from planner.core.policy import Entry, Given, Known, Policy, Seen, Sight, decide_all, make_policy, policies_in
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.core.replay.jobs.outcome import JobsPlan, check_jobs, jobs_of, run_jobs
from planner.errors import UsageError
from planner.planning.foresight import drawn_from, known_demand, told, unseen_intervals, visible
from planner.runs.results import Input, PlanOutcome, RunView, resolve_run, save_plan
from planner.runs.results import load_run as read_run
from planner.settings.scenario import Scenario
from planner.settings.training_jobs import JobList
from planner.store import Session, Store
from planner.trace import stored as catalogue
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo
from planner.trace.synthetic import build
from planner.trace.synthetic.profile import load_profile
from planner.trace.timetables import load_timetable
from planner.units import S_PER_HOUR, Progress


def version() -> str:
    """The installed version."""
    return installed_version("inference-planner")


def check(scenario: Scenario) -> list[str]:
    """Problems that only the files behind a scenario show, one line each; empty where it can be planned."""
    problems = []
    economics = scenario.economics
    checks: tuple[Callable[[], object], ...] = (
        lambda: scenario.trace.profile is None or load_profile(scenario.trace.profile),
        lambda: policy_of(scenario, Given(meets=lambda *_: True, known=Known((), scenario.interval_s))),
        lambda: gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate),
        lambda: price_sheet(economics.price_sheet),
        lambda: price_sheet(economics.other_price_sheet),
        lambda: _job_list(scenario),
        lambda: (
            (scenario.fleet.capacity == "observed" and "slo" not in policies_in(scenario.policy)) or _kv_room(scenario)
        ),
    )
    for attempt in checks:
        try:
            attempt()
        except UsageError as error:
            problems.append(str(error))
    return problems


def ensure_trace(store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None) -> TraceInfo:
    """The trace that the scenario names, or the one it describes, drawn if it is not stored yet."""
    settings = scenario.trace
    if settings.name is not None:
        with store.read() as session:
            return catalogue.by_name(session, settings.name)
    assert settings.profile is not None, "the model asks for a name or a profile"
    profile = load_profile(settings.profile)
    return build.find(store, profile, settings) or build.generate(
        store, profile, settings, name=None, now=now, version=version(), progress=progress
    )


def modelled_capacity(session: Session, scenario: Scenario, trace: TraceInfo) -> Modelled:
    """What a node of each role does with the trace's requests, from the hardware up. Raises UsageError."""
    return model_capacity(scenario.fleet, scenario.slo.tpot_ms, modelled_workload(session, trace))


def modelled_workload(session: Session, trace: TraceInfo) -> Workload:
    """What a trace asks for per token. Raises UsageError where it asks for nothing to model, TraceError for windows."""
    catalogue.check_requests(trace)
    (row,) = session.rows("trace_workload", trace_id=trace.trace_id)
    return Workload.of_row(row, trace.name)


def trace_workload(store: Store, name: str) -> Workload:
    """What a stored trace asks for per token. Raises TraceError, UsageError."""
    with store.read() as session:
        return modelled_workload(session, catalogue.by_name(session, name))


def sized(session: Session, scenario: Scenario, trace: TraceInfo) -> Scenario:
    """The scenario with the capacities to plan with: as they stand, or modelled where it asks for that."""
    if scenario.fleet.capacity == "observed":
        return scenario
    return with_capacity(scenario, modelled_capacity(session, scenario, trace))


def policy_of(scenario: Scenario, given: Given) -> Policy:
    """The scenario's policy, with its timetable if it follows one. given: what else it needs. Raises UsageError."""
    deployment = Deployment(scenario.fleet)
    entries: list[Entry] = []
    if "timetable" in policies_in(scenario.policy):
        for moment, held in load_timetable(scenario.policy.timetable, scenario.zone):
            entries.append((moment, held if isinstance(held, int) else Units(*held)))
    late = [at for at, _ in entries if (at.hour * 3600 + at.minute * 60 + at.second) % scenario.interval_s]
    notes = [
        f"{len(late)} timetable rows, the first at {at:%H:%M}, lie inside an interval: they hold from the next"
        for at in late[:1]
    ]
    return make_policy(scenario.policy, deployment, replace(given, timetable=entries, timetable_notes=tuple(notes)))


def slo_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> LatencyLimits | None:
    """What units do within the latency targets, for the policy slo; None for others. Raises UsageError."""
    if "slo" not in policies_in(scenario.policy):
        return None
    kv_tokens = modelled_workload(session, trace).kv_tokens
    return latency_limits(scenario, kv_tokens, prompts_of(session.rows("trace_prompts", trace_id=trace.trace_id)))


def sampling_notes(session: Session, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    """What a sample leaves uncertain about the demand of an interval, and what no length is known of."""
    share = (json.loads(trace.settings).get("coverage") or {}).get("request_share")
    if share is not None and share < 1:
        unknown = f"the lengths of {1 - share:.1%} of the requests are not known, and their tokens not in the demand"
        return (unknown, *_sampling_notes(session, trace, grid))
    return _sampling_notes(session, trace, grid)


def _sampling_notes(session: Session, trace: TraceInfo, grid: Grid) -> tuple[str, ...]:
    if trace.sample_weight == 1:
        return ()
    head = f"the trace is a sample: each stored row stands for {trace.sample_weight} requests; "
    cell_s = json.loads(trace.settings).get("cell_s")
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
        return (head + "it asks for no output tokens",)
    return (
        head + f"if they are an independent sample, the standard error of an interval's output tokens is "
        f"{error['median_error']:.1%} in the median and {error['worst_error']:.1%} at worst",
    )


def inputs_of(scenario: Scenario, trace: TraceInfo) -> tuple[Input, ...]:
    """The numbers from other files that a plan depends on, with where they come from: rates, prices, the profile."""
    economics = scenario.economics
    rate = gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate)
    hourly = f"{rate.usd_per_gpu_hour} USD per GPU-hour"
    found = [Input(f"gpu_rates/{economics.gpu_rates}.{economics.gpu_rate}", hourly, rate.kind, rate.source)]
    for name in dict.fromkeys((economics.price_sheet, economics.other_price_sheet)):
        sheet = price_sheet(name)
        for field, price in sheet.usd_per_million_tokens.model_dump().items():
            found.append(Input(f"prices/{name}.{field}", f"{price} USD per million tokens", sheet.kind, sheet.source))
        if sheet.off_peak:
            discount = f"{sheet.off_peak.price_ratio:.0%} of list, {sheet.off_peak.window_utc} UTC"
            found.append(Input(f"prices/{name}.off_peak", discount, sheet.kind, sheet.source))
    found += _job_inputs(scenario)
    if scenario.fleet.capacity == "modelled":
        node = hardware(scenario.fleet.engine.hardware)
        for path, text in node.provenance.items():
            kind, _, source = text.partition(": ")
            found.append(Input(f"hardware/{node.name}.{path}", str(attrgetter(path)(node)), kind, source))
    try:
        drawn = drawn_from(scenario, trace)
    except UsageError as error:
        # a stored trace can be planned without the file it was drawn from; the report says that it is gone
        return (*found, Input(f"profile/{trace.profile}", "-", "assumed", str(error)))
    if drawn is not None:
        profile = drawn[0]
        for path, text in profile.settings.provenance.items():
            kind, _, source = text.partition(": ")
            value = attrgetter(path)(profile.settings)
            plain = json.dumps(value.model_dump(mode="json")) if isinstance(value, BaseModel) else str(value)
            found.append(Input(f"profile/{profile.name}.{path}", plain, kind, source))
    return tuple(found)


@dataclass(frozen=True)
class Decided:
    """What a policy decided, and what becomes of it. coming: what it saw of every interval and those after it."""

    policy: Policy
    coming: Sequence[tuple[Seen, ...]]
    plan: IntervalPlan


def decided(
    scenario: Scenario,
    trace: TraceInfo,
    demand: Demand,
    limits: LatencyLimits | None = None,
    *,
    expected: bool = False,
) -> Decided:
    """Decide and replay; nothing is priced. limits: from slo_limits. Raises UsageError, RunError.

    expected: the demand is not the trace's but a forecast, and the policy sees that.
    """
    deployment = Deployment(scenario.fleet)
    grid = demand.grid
    known = known_demand(demand)
    policy = policy_of(scenario, Given(meets=limits.meets if limits else None, known=Known(known, grid.interval_s)))
    coming = visible(scenario, policy, trace, demand, expected=expected)
    targets = decide_all(policy, grid.local_starts(scenario.zone), grid.interval_s, [None, *known[:-1]], coming)
    floor = deployment.floor(scenario.policy.floor_nodes)
    plan = replay_intervals(targets, demand, deployment, scenario.training, ahead=policy.ahead, floor=floor)
    return Decided(policy, coming, plan)


def usd_per_gpu_hour(scenario: Scenario) -> float:
    """The GPU rate that the scenario names. Raises UsageError."""
    economics = scenario.economics
    return gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate).usd_per_gpu_hour


def spent(scenario: Scenario, plan: IntervalPlan, gpu_hour_usd: float) -> Costs:
    """What a plan costs at a price of a GPU-hour."""
    return costs(
        plan.inference_node_s,
        plan.training_node_s + plan.restoring_node_s,
        scenario.fleet.nodes * plan.grid.interval_s,
        node_hour_micros(gpu_hour_usd, scenario.fleet.gpus_per_node),
        scenario.economics.training_rate_ratio,
    )


def earned(scenario: Scenario, demand: Demand) -> Revenue:
    """What the demanded tokens earn at the scenario's prices. Raises UsageError."""
    economics = scenario.economics
    terms = RevenueTerms(
        rates=TokenRates.of(price_sheet(economics.price_sheet)),
        other_rates=TokenRates.of(price_sheet(economics.other_price_sheet)),
        other_share=economics.other_share,
        off_peak=economics.off_peak,
        unpaid_share=economics.unpaid_share,
    )
    return revenue(demand, terms)


def compute_plan(
    scenario: Scenario,
    trace: TraceInfo,
    demand: Demand,
    further_notes: Sequence[str] = (),
    *,
    limits: LatencyLimits | None = None,
    expected: bool = False,
) -> PlanOutcome:
    """Decide, replay and price; nothing is stored. limits, expected: as of decided. Raises UsageError, RunError."""
    found = decided(scenario, trace, demand, limits, expected=expected)
    policy, plan = found.policy, found.plan
    jobs = _run_jobs(scenario, plan, known=policy.ahead)
    return PlanOutcome(
        scenario=scenario,
        trace=trace,
        policy=policy.name,
        demand_source=told(scenario, policy, expected=expected),
        demand=demand,
        plan=plan,
        costs=spent(scenario, plan, usd_per_gpu_hour(scenario)),
        revenue=earned(scenario, demand),
        notes=(
            *_notes(scenario, policy, plan),
            *(latency_notes(scenario, limits) if limits else ()),
            *(() if expected else _sight_notes(scenario, policy, found.coming)),
            *_job_notes(scenario, jobs),
            *further_notes,
        ),
        inputs=inputs_of(scenario, trace),
        jobs=jobs,
    )


def plan(store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None) -> str:
    """The main job: load or draw the trace, decide, replay, price, store. Returns the run_id."""
    problems = check(scenario)
    if problems:
        raise UsageError("; ".join(problems))
    trace = ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
        sampling = sampling_notes(session, trace, demand.grid)
        scenario = sized(session, scenario, trace)
        limits = slo_limits(session, scenario, trace)
    outcome = compute_plan(scenario, trace, demand, sampling, limits=limits)
    return save_plan(store, outcome, now=now, version=version())


def load_run(store: Store, run_id: str | None = None) -> RunView:
    """A stored run; the newest without an id. Raises RunError, StoreError."""
    with store.read() as session:
        return read_run(session, run_id)


def find_run(store: Store, run_id: str | None) -> str:
    """That run_id, or the newest. Raises RunError, StoreError."""
    with store.read() as session:
        return resolve_run(session, run_id)


def _job_list(scenario: Scenario) -> JobList | None:
    """The training jobs that the scenario names, None where it names none. Raises UsageError."""
    if scenario.training.jobs is None:
        return None
    jobs = job_list(scenario.training.jobs)
    check_jobs(jobs, scenario.fleet)
    return jobs


def _run_jobs(scenario: Scenario, plan: IntervalPlan, *, known: bool) -> JobsPlan | None:
    jobs = _job_list(scenario)
    if jobs is None:
        return None
    found = jobs_of(jobs, scenario.training, plan.grid, scenario.zone)
    return run_jobs(found, plan.windows, plan.grid, scenario.fleet, scenario.training, known=known)


def _job_notes(scenario: Scenario, plan: JobsPlan | None) -> list[str]:
    jobs = _job_list(scenario)
    if jobs is None or plan is None:
        return []
    there = {one.job.name for one in plan.outcomes}
    absent = [job.name for job in jobs.job if job.name not in there]
    notes = [
        "useful training node-hours are those of nodes that always train; what jobs make of them is told with the jobs"
    ]
    if absent:
        notes.append(f"training jobs whose start does not come within the plan: {', '.join(absent)}")
    return notes


def _job_inputs(scenario: Scenario) -> list[Input]:
    """What the jobs of the scenario ask for, field by field."""
    jobs = _job_list(scenario)
    found = []
    for job in jobs.job if jobs else ():
        for field in sorted(job.model_fields_set - {"name", "provenance"}):
            kind, _, source = job.provenance.get(field, f"set: {scenario.training.jobs}").partition(": ")
            found.append(Input(f"jobs/{job.name}.{field}", str(getattr(job, field)), kind, source))
    return found


def _kv_room(scenario: Scenario) -> list[float]:
    """GB per GPU of either role; raises UsageError where the model cannot be served as the scenario says."""
    fleet = scenario.fleet
    prefill = prefill_engine(fleet.engine, fleet.prefill.nodes * fleet.gpus_per_node)
    return [prefill.kv_gb, decode_engine(fleet.engine, fleet.decode.nodes * fleet.gpus_per_node).kv_gb]


def _sight_notes(scenario: Scenario, policy: Policy, coming: Sequence[tuple[Seen, ...]]) -> list[str]:
    """What the policy goes by."""
    if policy.sight == Sight.OBSERVED:
        return ["the policy sees the demand of the interval before, whatever policy.demand_source says"]
    if policy.sight == Sight.SOURCE and scenario.policy.demand_source == "trace":
        return ["the policy sees the trace's own demand: perfect foresight, not a forecast"]
    if policy.sight != Sight.SOURCE or scenario.policy.demand_source != "forecast":
        return []
    settings = scenario.forecast
    return [
        f"the policy sees the {scenario.policy.quantile:.0%} quantile of {settings.method} forecasts of a season of a "
        f"{settings.season}, made an interval before from the trace's own earlier intervals; nothing is foreseen of "
        f"the first {unseen_intervals(coming)} intervals"
    ]


def _claim_notes(scenario: Scenario) -> list[str]:
    """What was claimed, and whether it can hold, where the scenario takes a claim's settings."""
    if scenario.what_if is None:
        return []
    claim = document(scenario.what_if)
    return [
        f"what-if {claim['name']}, claimed by {claim['source']}: {claim['claim']}",
        f"what-if {claim['name']}, {claim['verdict']}: {claim['summary']}",
    ]


def _notes(scenario: Scenario, policy: Policy, plan: IntervalPlan) -> tuple[str, ...]:
    deployment = Deployment(scenario.fleet)
    notes = [*_claim_notes(scenario), *policy.notes]
    if plan.floored:
        nodes = deployment.nodes(deployment.floor(scenario.policy.floor_nodes))
        notes.append(f"{plan.floored} intervals were raised to the floor of {nodes} nodes")
    if S_PER_HOUR % scenario.interval_s:
        notes.append(
            f"intervals of {scenario.interval_s // 60} min do not divide an hour: each counts to its first hour, "
            f"and the plan covers {plan.grid.length_s / S_PER_HOUR:.2f} h"
        )
    if scenario.fleet.capacity == "modelled":
        notes += sizing_notes(scenario.fleet.engine)
        priced, served = gpu_rates(scenario.economics.gpu_rates).name, hardware(scenario.fleet.engine.hardware).name
        if priced.lower() != served.lower():
            notes.append(f"nodes of {served} are priced by the GPU rates of {priced}: set economics.gpu_rates")
    beyond = scenario.fleet.nodes - deployment.nodes(deployment.full)
    if beyond:
        notes.append(f"{beyond} nodes form no whole scaling step: inference never uses them")
    return tuple(notes)
