"""Sweeps: how a plan's figures vary with uncertain inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.load import hit_ratio
from planner.errors import UsageError
from planner.planning.aggregated import UnitLimits
from planner.planning.allowance import Allowance, allowance_notes, with_set_hits
from planner.planning.capacity import Limits, modelled_limits, policy_limits, with_modelled_capacity
from planner.planning.check import require
from planner.planning.foresight import drawn_from
from planner.planning.notes import sampling_notes, silence_notes
from planner.planning.observed import observed_notes
from planner.planning.prepare import ensure_trace, resolve
from planner.planning.selection import (
    anchor_us,
    reading,
    selected_demand,
    selection_notes,
    selection_of,
    stored_demand,
)
from planner.settings.scenario import Scenario
from planner.settings.trace import TraceSettings
from planner.store import Session, Store
from planner.studies.sweep.base import SweepBase
from planner.studies.sweep.case import CaseOutcome, Role
from planner.studies.sweep.design import design
from planner.studies.sweep.processes import run_all
from planner.studies.sweep.ranges import Parameter, check_ends, place_ranges, read_ranges
from planner.trace.stored import TraceInfo
from planner.trace.synthetic.cells import cells_of, demand_of
from planner.trace.synthetic.profile import Profile
from planner.units import Progress

MOST_CASES = 100_000
"""Assumed: far more than quantiles need; a larger number is more likely a typing error."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished sweep. cases: samples for each policy. outcomes: of all cases, by policy and index."""

    scenario: Scenario
    trace: TraceInfo
    policies: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    cases: int
    seed: int
    outcomes: tuple[CaseOutcome, ...]
    notes: tuple[str, ...]

    @property
    def plan_s(self) -> int:
        """Duration of the plan, seconds."""
        return self.outcomes[0].plan_s

    def of(self, policy: str, role: Role) -> list[CaseOutcome]:
        """The outcomes of a policy's cases in one role, in order."""
        return [each for each in self.outcomes if (each.case.policy, each.case.role) == (policy, role)]


def sweep(
    store: Store,
    scenario: Scenario,
    *,
    policies: Sequence[str] = (),
    cases: int = 1000,
    seed: int = 1,
    vary: Sequence[str] = (),
    workers: int | None = None,
    now: datetime,
    progress: Progress | None = None,
    drawing: Progress | None = None,
) -> Sweep:
    """Plan a scenario at sampled values, one at a time at the ends of each range, and at the base.

    Nothing is stored but a drawn trace. policies: none for the scenario's own. vary: "PATH=LOW:HIGH" or "PATH=base".
    workers: processes; None for what the machine has. The outcomes do not depend on it. Raises UsageError.
    """
    if not 2 <= cases <= MOST_CASES:
        raise UsageError(f"--cases is {cases}; give 2 to {MOST_CASES:,}")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give 0 or more")
    names = tuple(dict.fromkeys(policies)) or (scenario.policy.name,)
    ranges = read_ranges(scenario, vary)
    require(*(_with_policy(scenario, name) for name in names))
    trace = ensure_trace(store, scenario, now=now, progress=drawing)
    base, notes = base_of(store, scenario, trace, names)
    parameters, further = place_ranges(base, ranges)
    if not parameters and not base.settings.noise:
        raise UsageError("nothing is uncertain: sweep.vary is empty; give --vary PATH=LOW:HIGH")
    for parameter in parameters:
        check_ends(base, parameter)
    planned = design(base, parameters, names, cases, seed)
    outcomes = run_all(base, planned, workers=workers, progress=progress)
    return Sweep(
        scenario=base.scenario,
        trace=trace,
        policies=names,
        parameters=tuple(parameters),
        cases=cases,
        seed=seed,
        outcomes=tuple(outcomes),
        notes=(*notes, *further),
    )


def base_of(store: Store, scenario: Scenario, trace: TraceInfo, policies: Sequence[str]) -> tuple[SweepBase, list[str]]:
    """The base of a sweep, and what the reader should know of it. Raises UsageError."""
    with reading(store, scenario, trace) as session:
        stored = stored_demand(session, scenario, trace)
        demand = selected_demand(session, scenario, trace)
        notes = [
            *observed_notes(session, scenario, trace),
            *allowance_notes(scenario, hit_ratio(demand)),
            *selection_notes(scenario, trace),
            *silence_notes(scenario, trace, demand.grid),
            *sampling_notes(session, trace, demand.grid, whole=not selection_of(scenario).takes_part),
        ]
        scenario = with_modelled_capacity(session, scenario, trace)
        limits, why = _limits(session, scenario, trace, policies)
    allowance = Allowance.of(scenario, hit_ratio(demand))
    scenario = allowance.scenario(scenario)
    limits = allowance.limited(limits, scenario.fleet)
    source = _source(scenario, trace, stored)
    if source.by_cells:
        notes.append("the demand of a case is exactly that of a trace drawn with its level, growth, noise and seed")
    else:
        times = "level and noise" if source.drawn else "level and noise, and growth"
        notes.append(
            f"the demand of a case is the stored demand of every interval times {times}; the noise is that of "
            "drawn traces, on top of what is stored"
        )
    notes += why if limits is None else [_latency_note(scenario, limits)]
    base = SweepBase(
        scenario=scenario,
        trace=trace,
        demand=demand,
        stored=stored,
        anchor_us=anchor_us(scenario, trace),
        **vars(source),
        limits=limits,
        prepared={
            name: resolve(_with_policy(scenario, name), trace, with_set_hits(demand, scenario))
            for name in dict.fromkeys((scenario.policy.name, *policies))
        },
    )
    return base, notes


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What the demand of cases comes from; the fields are those of SweepBase."""

    profile: Profile | None
    settings: TraceSettings
    by_cells: bool
    drawn: bool


def _source(scenario: Scenario, trace: TraceInfo, stored: Demand) -> _Source:
    """What the demand of cases comes from: the profile, or the stored demand as the scenario takes it."""
    selection = selection_of(scenario)
    as_stored = _Source(profile=None, settings=selection.settings, by_cells=False, drawn=False)
    if selection.takes_part or selection.change.active:
        return as_stored
    try:
        drawn = drawn_from(scenario, trace)
    except UsageError:
        # the profile is missing or has changed: only the stored demand is left
        drawn = None
    if drawn is None:
        return as_stored
    profile, settings = drawn
    if stored.grid.interval_s % profile.settings.cell_s == 0:
        of_cells = demand_of(cells_of(profile, settings), profile.settings.population.block_tokens, stored.grid)
        columns = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
        if all((getattr(of_cells, name) == getattr(stored, name)).all() for name in columns):
            return _Source(profile=profile, settings=settings, by_cells=True, drawn=True)
    quiet = settings.model_copy(update={"noise": 0.0})
    return _Source(profile=profile, settings=quiet, by_cells=False, drawn=True)


def _limits(
    session: Session, scenario: Scenario, trace: TraceInfo, policies: Sequence[str]
) -> tuple[Limits | None, list[str]]:
    """What units do within the latency targets, or why that is not known. Raises UsageError for a policy that asks."""
    for name in policies:
        limits = policy_limits(session, _with_policy(scenario, name), trace)
        if limits is not None:
            return limits, []
    try:
        return modelled_limits(session, scenario, trace), []
    except UsageError as error:
        return None, [f"latencies are not modelled: {error}"]


def _latency_note(scenario: Scenario, limits: Limits) -> str:
    slo = scenario.slo
    if isinstance(limits, UnitLimits):
        most = f"units up to {limits.most_use:.0%}"
    else:
        capacity = Deployment(scenario.fleet).capacity(Units(1, 1), 1)
        most = (
            f"prefill units up to {limits.input_tokens_per_s / capacity[0]:.0%} and decode units up to "
            f"{limits.output_tokens_per_s / capacity[1]:.0%}"
        )
    return (
        "latency_met_ratio is the share of requests in intervals whose serving units are modelled to give 99 % of "
        f"first tokens within {slo.ttft_ms:g} ms and {slo.tpot_ms:g} ms per token on average: {most} of the "
        "scenario's capacity; replay a plan to check"
    )


def _with_policy(scenario: Scenario, name: str) -> Scenario:
    return scenario.model_copy(update={"policy": scenario.policy.model_copy(update={"name": name})})
