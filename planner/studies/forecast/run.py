"""Forecasts of stored demand: history from traces, back-tests of every method, the time after the last interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from planner.core.demand import Demand
from planner.core.forecast import BUILT_IN
from planner.core.forecast.backtest import BackTest, back_test
from planner.core.forecast.history import Stretch, joined
from planner.planning.prepare import ensure_trace
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace.demand import binned
from planner.trace.stored import by_name
from planner.units import Progress

SHARES = (0.5, 0.9, 0.99)
"""Quantiles that are shown besides the scenario's own."""


@dataclass(frozen=True)
class Forecasts:
    """A back-test with the traces that it was made from."""

    scenario: Scenario
    traces: tuple[str, ...]
    test: BackTest

    @property
    def trace(self) -> str:
        """The traces' names, joined by commas."""
        return ", ".join(self.traces)


def history(
    store: Store, scenario: Scenario, traces: Sequence[str], *, now: datetime, progress: Progress | None = None
) -> tuple[Demand, tuple[str, ...]]:
    """The demand of stored traces combined, or of the scenario's trace, drawn if it is not stored; and their names.

    Raises TraceError for an unknown trace, UsageError for gaps and overlaps.
    """
    drawn = None if traces else ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        infos = [drawn] if drawn else [by_name(session, name) for name in dict.fromkeys(traces)]
        stretches = [
            Stretch(
                info.name,
                binned(session, info, scenario.interval_s, scenario.zone),
                info.window_start_us,
                info.window_end_us,
            )
            for info in infos
        ]
    return joined(stretches), tuple(info.name for info in infos)


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
    demand, names = history(store, scenario, traces, now=now, progress=drawing)
    settings = scenario.forecast
    test = back_test(
        demand,
        methods,
        season=settings.season,
        horizon=-(-settings.horizon_s // scenario.interval_s),
        shares=sorted({*SHARES, scenario.policy.quantile}),
        name=f"trace {', '.join(names)}",
        progress=progress,
    )
    return Forecasts(scenario, names, test)
