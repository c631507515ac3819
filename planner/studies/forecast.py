"""Forecasts of stored demand: history from traces, back-tests of every method, the time after the last interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from planner.core.demand import Demand
from planner.core.forecast import BUILT_IN
from planner.core.forecast.backtest import SERIES, BackTest, Score, Tested, back_test
from planner.core.forecast.history import Stretch, joined
from planner.planning.prepare import ensure_trace
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace import stored as catalogue
from planner.trace.demand import binned
from planner.units import S_PER_HOUR, Progress, from_us, iso

SHARES = (0.5, 0.9, 0.99)
"""Shares whose quantiles are shown, beside the scenario's own."""

_LEADS_H = (1, 3, 6, 12, 24, 48, 168)
"""Hours ahead at which errors are told, beside the next interval and the last."""


@dataclass(frozen=True)
class Forecasts:
    """A back-test with the traces that it was made from."""

    scenario: Scenario
    traces: tuple[str, ...]
    test: BackTest

    @property
    def trace(self) -> str:
        """The traces' names in one."""
        return ", ".join(self.traces)


def history(
    store: Store, scenario: Scenario, traces: Sequence[str], *, now: datetime, progress: Progress | None = None
) -> tuple[Demand, tuple[str, ...]]:
    """The demand of stored traces put together, or of the scenario's trace, drawn if it is not stored; and their names.

    Raises TraceError for an unknown trace, UsageError for gaps and overlaps.
    """
    drawn = None if traces else ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        infos = [drawn] if drawn else [catalogue.by_name(session, name) for name in dict.fromkeys(traces)]
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


def document(found: Forecasts) -> dict[str, Any]:
    """The back-test and the forecast, ready for JSON."""
    test, zone = found.test, found.scenario.zone
    grid = test.demand.grid
    return {
        "scenario": found.scenario.name,
        "trace": found.trace,
        "traces": list(found.traces),
        "interval_s": grid.interval_s,
        "season": test.season,
        "horizon": test.horizon,
        "horizon_s": test.horizon * grid.interval_s,
        "history": {"start": iso(grid.start_us, zone), "end": iso(grid.end_us, zone), "intervals": grid.count},
        "scored_from": iso(grid.start_us + test.first * grid.interval_us, zone),
        "methods": [_tested(each, grid.interval_s) for each in test.tested],
        "best": {"method": test.best(), **{name: test.best([name]) for name in SERIES}},
        "forecast": {"method": test.best(), "intervals": _ahead(test, zone)},
    }


def share_key(share: float) -> str:
    """Name of a quantile: q90 of 0.9."""
    return f"q{100 * share:g}"


def _tested(each: Tested, interval_s: int) -> dict[str, Any]:
    score = each.score
    return {
        "method": each.method,
        "series": each.series,
        "mape": score.mape,
        "wape": score.wape,
        "bias": score.bias,
        "coverage": {share_key(share): value for share, value in score.coverage.items()},
        "intervals": score.intervals,
        "pairs": score.pairs,
        "wape_by_lead": _by_lead(score, interval_s),
    }


def _by_lead(score: Score, interval_s: int) -> list[dict[str, Any]]:
    """wape of the next interval, of some hours ahead, and of the last; a lead is the time to the interval's end."""
    horizon = len(score.wape_by_step)
    steps = {0, horizon - 1} | {hours * S_PER_HOUR // interval_s - 1 for hours in _LEADS_H}
    return [
        {"lead_s": (step + 1) * interval_s, "wape": _plain(score.wape_by_step[step])}
        for step in sorted(steps)
        if 0 <= step < horizon
    ]


def _ahead(test: BackTest, zone: ZoneInfo) -> list[dict[str, Any]]:
    """The best method's forecast of every interval after the history, in tokens."""
    grid, best = test.demand.grid, test.of(test.best())
    return [
        {
            "start": from_us(grid.end_us + step * grid.interval_us, zone).isoformat(),
            **{
                name: {
                    "forecast": _plain(each.ahead[step]),
                    **{share_key(share): _plain(values[step]) for share, values in each.quantiles.items()},
                }
                for name, each in best.items()
            },
        }
        for step in range(test.horizon)
    ]


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
