"""The one way from a scenario to the inputs of a plan: files checked, the trace stored, everything resolved once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from planner.catalogue.read import gpu_rates, price_sheet, scenario_gpu_rate
from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Demand
from planner.core.load import hit_ratio, scaled
from planner.core.policy import Entry
from planner.errors import UsageError
from planner.files import version
from planner.planning.allowance import Allowance, allowance_notes, check_own_hits, down_notes, with_set_hits
from planner.planning.capacity import Ends, Limits, length_notes, policy_limits, with_ends
from planner.planning.check import jobs_named, require
from planner.planning.notes import hit_notes, sampling_notes, silence_notes
from planner.planning.observed import observed_notes
from planner.planning.selection import describe_selection, reading, selected_demand, selection_notes, selection_of
from planner.planning.timetable import read_timetable
from planner.settings.economics import EconomicsSettings
from planner.settings.scenario import Scenario
from planner.settings.sheets import GpuRate, PriceSheet
from planner.settings.training_jobs import JobList
from planner.store import Session, Store
from planner.trace import stored
from planner.trace.stored import TraceInfo
from planner.trace.synthetic import build
from planner.trace.synthetic.profile import load_profile
from planner.units import Progress


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The prices that a scenario names.

    gpu_rates: name of the sheet that the rate of a GPU comes from; None where the scenario has a price of its own.
    other_tokens: None where no traffic has others.
    """

    gpu_rates: str | None
    gpu: GpuRate
    tokens: PriceSheet
    other_tokens: PriceSheet | None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The inputs of a plan.

    Attributes:
        scenario: With the capacities to plan with.
        trace: The stored trace.
        demand: What is planned for: the trace's demand, or a forecast.
        prices: Of GPUs and tokens.
        jobs: Training jobs; None if the scenario names none.
        timetable: Entries of the timetable that the policy follows.
        timetable_notes: What the reader should know of it.
        limits: What units do within the latency targets, for the policy slo; None for others.
        caution: What is said first: on what else the capacities were observed.
        notes: What the reader should know of the demand.
        expected: Whether the demand is a forecast, and the policy sees that.
        ends: Both ends of the band of modelled capacities; None where capacities are observed.
    """

    scenario: Scenario
    trace: TraceInfo
    demand: Demand
    prices: Prices
    jobs: JobList | None
    timetable: Sequence[Entry] = ()
    timetable_notes: tuple[str, ...] = ()
    limits: Limits | None = None
    caution: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    expected: bool = False
    ends: Ends | None = None

    def for_demand(self, demand: Demand) -> "Prepared":
        """The same for another demand, without the notes on the trace's own."""
        return replace(self, demand=demand, notes=())

    def at_utilisation(self, target: float) -> "Prepared":
        """The same with another target utilisation of the policy, without the notes on the demand."""
        policy = self.scenario.policy.model_copy(update={"target_utilisation": target})
        return replace(self, scenario=self.scenario.model_copy(update={"policy": policy}), notes=())


def prepare(
    store: Store,
    scenario: Scenario,
    *,
    now: datetime,
    progress: Progress | None = None,
    replayed: bool = False,
    planned: bool = False,
) -> Prepared:
    """Prepare the plan of a scenario: check its files, draw its trace if it is not stored, resolve what it names.

    replayed: whether its requests are replayed too. planned: whether it is that of a stored run, with the capacities
    that were planned with. Raises UsageError with every problem of the scenario, TraceError.
    """
    require(scenario)
    trace = ensure_trace(store, scenario, now=now, progress=progress)
    with reading(store, scenario, trace) as session:
        demand = selected_demand(session, scenario, trace)
        return prepare_on(session, scenario, trace, demand, replayed=replayed, planned=planned)


def prepare_on(
    session: Session,
    scenario: Scenario,
    trace: TraceInfo,
    demand: Demand,
    *,
    replayed: bool = False,
    planned: bool = False,
) -> Prepared:
    """Prepare a checked scenario for a trace and its demand, as the scenario takes them. Raises UsageError.

    demand: with the trace's own hits; those that the scenario sets are set here. Others: as for `prepare`.
    """
    notes = (
        *selection_notes(scenario, trace),
        *silence_notes(scenario, trace, demand.grid),
        *sampling_notes(session, trace, demand.grid, whole=not selection_of(scenario).takes_part),
    )
    prepared = _resolve_modelled(session, scenario, trace, demand, replayed=replayed, planned=planned)
    lengths = length_notes(session, scenario, trace)
    allowed = allowance_notes(scenario, hit_ratio(demand))
    return replace(prepared, notes=notes, caution=(*prepared.caution, *allowed, *lengths))


def prepare_ahead(
    store: Store, scenario: Scenario, trace: TraceInfo, forecast: Demand, notes: tuple[str, ...]
) -> Prepared:
    """Prepare the plan of a forecast demand, changed as the scenario asks. trace: shows what requests are like.

    Raises UsageError.
    """
    require(scenario)
    check_own_hits(scenario, "a forecast day has the hits of the days that it is forecast from")
    selection = selection_of(scenario, stored=True)
    forecast = scaled(forecast, selection.change.factors(forecast.grid, forecast.grid.start_us, scenario.zone))
    notes = (*describe_selection(selection, "the forecast"), *notes, *hit_notes(trace))
    with store.read() as session:
        prepared = _resolve_modelled(session, scenario, trace, forecast)
    caution = (*prepared.caution, *down_notes(scenario))
    return replace(prepared, notes=notes, caution=caution, expected=True)


def _resolve_modelled(
    session: Session,
    scenario: Scenario,
    trace: TraceInfo,
    demand: Demand,
    *,
    replayed: bool = False,
    planned: bool = False,
) -> Prepared:
    """Look up what a scenario names, set its hits, and model the capacities and limits that it asks for.

    Raises UsageError.
    """
    caution = observed_notes(session, scenario, trace, replayed=replayed)
    scenario, ends = with_ends(session, scenario, trace)
    limits = policy_limits(session, scenario, trace)
    allowance = Allowance.of(scenario, hit_ratio(demand), planned=planned)
    scenario = allowance.scenario(scenario)
    return replace(
        resolve(scenario, trace, with_set_hits(demand, scenario)),
        limits=allowance.limited(limits, scenario.fleet),
        caution=caution,
        ends=allowance.ends(ends),
    )


def resolve(scenario: Scenario, trace: TraceInfo, demand: Demand) -> Prepared:
    """Look up what a scenario names: prices, jobs, timetable. Its capacities are used as they are.

    Raises UsageError.
    """
    entries, notes = read_timetable(scenario)
    return Prepared(
        scenario=scenario,
        trace=trace,
        demand=demand,
        prices=prices_named(scenario.economics),
        jobs=jobs_named(scenario),
        timetable=entries,
        timetable_notes=notes,
    )


def prices_named(economics: EconomicsSettings) -> Prices:
    """The prices that a scenario names. Raises UsageError."""
    return Prices(
        gpu_rates=gpu_rates(economics.gpu_rates).name if economics.gpu_usd_per_hour is None else None,
        gpu=scenario_gpu_rate(economics),
        tokens=price_sheet(economics.price_sheet),
        other_tokens=None if (other := other_prices(economics)) is None else price_sheet(other),
    )


def other_prices(economics: EconomicsSettings) -> str | PriceSheet | None:
    """The prices of the traffic that other_share names; None where a scenario with prices of its own has no such share.

    The built-in scenario names them though its share is 0: that is part of what was published.
    """
    if not economics.other_share and economics.price_sheet != _published_prices():
        return None
    return economics.other_price_sheet


@cache
def _published_prices() -> str | PriceSheet:
    """The token prices of the built-in scenario."""
    return load_scenario().scenario.economics.price_sheet


def ensure_trace(store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None) -> TraceInfo:
    """The trace that the scenario names, or the one it describes, drawn if it is not stored yet.

    Raises TraceError, UsageError.
    """
    settings = scenario.trace
    if settings.name is not None:
        with store.read() as session:
            return stored.by_name(session, settings.name)
    if settings.profile is None:
        raise UsageError(
            f"scenario {scenario.name} names no trace; give --trace NAME or set trace.name (`planner trace list` shows "
            "the stored ones, `planner trace import` stores a log)"
        )
    profile = load_profile(settings.profile)
    return build.find(store, profile, settings) or build.generate(
        store, profile, settings, name=None, now=now, version=version(), progress=progress
    )
