"""Forecasts of a demand, as policies take them. Pure."""

from typing import NamedTuple

import numpy as np

from planner.core.demand import Demand
from planner.core.forecast.methods import forecaster, require_history
from planner.core.forecast.quantiles import rolling_quantiles
from planner.units import Floats


class DemandForecasts(NamedTuple):
    """Rolling forecasts of a demand of n intervals, in tokens per interval.

    input_tokens, output_tokens: (n, horizon); row t is made from the intervals before t, for t and those after it, nan
    where too little is known. first_known: the first row without a nan in either; n if there is none.
    """

    input_tokens: Floats
    output_tokens: Floats
    first_known: int


def demand_forecasts(
    demand: Demand, method: str, horizon: int, quantile: float | None = None, season: str = "day"
) -> DemandForecasts:
    """Forecast every interval of a demand from those before it, `horizon` intervals ahead.

    method: one of METHODS. quantile: a share in (0, 1), such as 0.9 for what nine actuals in ten have stayed below;
    None for the forecast itself. season: day or week. Raises UsageError for an unknown method, for intervals that do
    not divide a day, and for a demand that is shorter than what the method needs.
    """
    maker = forecaster(method, demand.grid.interval_s, season)
    require_history(maker, demand.grid, "the demand")
    rows = []
    for tokens in (demand.input_tokens, demand.output_tokens):
        series = tokens.astype(np.float64)
        forecasts = maker.rolling(series, horizon)
        if quantile is not None:
            (forecasts,) = rolling_quantiles(series, forecasts, (quantile,), maker.settled)
        rows.append(forecasts[: len(series)])
    unknown = np.isnan(rows[0] + rows[1]).any(axis=1)
    first = demand.grid.count if unknown.all() else int(np.argmin(unknown))
    return DemandForecasts(rows[0], rows[1], first)
