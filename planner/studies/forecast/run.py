"""Forecasts of stored demand: history from traces, back-tests of every method, the time after the last interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from planner.core.demand import Demand, Grid
from planner.core.forecast import BUILT_IN, forecaster
from planner.core.forecast.backtest import BackTest, back_test
from planner.core.forecast.history import Stretch, joined
from planner.planning.allowance import check_own_hits
from planner.planning.declared import demand_history
from planner.planning.prepare import ensure_trace
from planner.planning.selection import (
    check_selection,
    clock_notes,
    describe_selection,
    narrow_classes,
    selected_history,
    selection_of,
    window_notes,
)
from planner.planning.told import DemandFinding, tell
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo, by_name
from planner.units import Progress

SHARES = (0.5, 0.9, 0.99)
"""Quantiles that are shown besides the scenario's own."""


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """A back-test with the traces that it was made from.

    findings: what forecasts heed, in order of time. notes: what is taken of the traces, how it is changed, and what is
    heeded.
    """

    scenario: Scenario
    traces: tuple[str, ...]
    test: BackTest
    findings: tuple[DemandFinding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def trace(self) -> str:
        """The traces' names, joined by commas."""
        return ", ".join(self.traces)


@dataclass(frozen=True)
class History:
    """Demand that forecasts are made from, the traces that it is read from, and what is taken of them."""

    demand: Demand
    traces: tuple[str, ...]
    notes: tuple[str, ...] = ()


def history(
    store: Store, scenario: Scenario, traces: Sequence[str], *, now: datetime, progress: Progress | None = None
) -> History:
    """The demand of stored traces combined, or of the scenario's trace, drawn if it is not stored.

    Trace settings apply to the traces as to one. Raises TraceError for an unknown trace, UsageError for gaps, overlaps
    and settings that stored traces cannot follow.
    """
    check_own_hits(scenario, "forecasts are of tokens, found in a cache or not")
    names = tuple(dict.fromkeys(traces)) or ((scenario.trace.name,) if scenario.trace.name is not None else ())
    if not names:
        check_selection(scenario)
        drawn = ensure_trace(store, scenario, now=now, progress=progress)
        with store.read() as session:
            return History(joined([_stretch(session, scenario, drawn)]), (drawn.name,))
    check_selection(scenario, stored=True)
    selection = selection_of(scenario, stored=True)
    with store.read() as session:
        stretches, infos = [], [by_name(session, name) for name in names]
        for info in infos:
            if selection.settings.classes is not None:
                narrow_classes(session, info, selection.settings.classes)
            stretches.append(_stretch(session, scenario, info, ends=selection.windowed))
    whole, title = joined(stretches), f"trace {', '.join(names)}"
    notes = [*clock_notes(scenario, infos), *describe_selection(selection, title)]
    if selection.windowed:
        notes += window_notes(whole.grid, selection.window_on(whole.grid, scenario, title), scenario, title)
    return History(selected_history(whole, scenario, title), names, tuple(notes))


def _stretch(session: Session, scenario: Scenario, info: TraceInfo, *, ends: bool = False) -> Stretch:
    """The demand of a trace. ends: whether intervals at its ends that it half covers are kept."""
    demand = binned(session, info, scenario.interval_s, scenario.zone)
    grid = demand.grid
    covered = (grid.start_us, grid.end_us) if ends else (info.window_start_us, info.window_end_us)
    return Stretch(info.name, demand, *covered)


def forecast(
    store: Store,
    scenario: Scenario,
    *,
    traces: Sequence[str] = (),
    methods: Sequence[str] = BUILT_IN,
    now: datetime,
    progress: Progress | None = None,
    drawing: Progress | None = None,
) -> Forecasts:
    """Back-test forecasts on stored days, and forecast what follows them. Only a drawn trace is stored.

    progress: methods done; drawing: requests drawn. Raises UsageError, TraceError.
    """
    past = history(store, scenario, traces, now=now, progress=drawing)
    return forecast_of(past, scenario, methods=methods, progress=progress)


def forecast_of(
    past: History, scenario: Scenario, *, methods: Sequence[str] = BUILT_IN, progress: Progress | None = None
) -> Forecasts:
    """The same from a history that is read already. Raises UsageError."""
    settings = scenario.forecast
    # the scenario's own method is kept unless another is better
    own = forecaster(settings.method, scenario.interval_s, settings.season).name
    methods = sorted(methods, key=lambda method: method != own)
    horizon = -(-settings.horizon_s // scenario.interval_s)
    known = demand_history(scenario, past.demand, horizon)
    test = back_test(
        known,
        methods,
        season=settings.season,
        horizon=horizon,
        shares=sorted({*SHARES, scenario.policy.quantile}),
        share=scenario.policy.quantile,
        name=f"trace {', '.join(past.traces)}",
        progress=progress,
    )
    grid = past.demand.grid
    told = tell(known, scenario, Grid(grid.end_us, grid.interval_s, horizon))
    return Forecasts(
        scenario=scenario,
        traces=past.traces,
        test=test,
        findings=told.findings,
        notes=(*past.notes, *told.notes),
    )
