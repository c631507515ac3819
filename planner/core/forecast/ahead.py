"""Forecasts of a demand, as policies take them. Pure."""

from typing import NamedTuple

import numpy as np

from planner.core.forecast.choice import SERIES, Leads, rolling_forecasts
from planner.core.forecast.demand import DemandHistory
from planner.units import Floats


class DemandForecasts(NamedTuple):
    """Rolling forecasts of a demand of n intervals, in tokens per interval.

    input_tokens, output_tokens: (n, horizon); row t is made from the intervals before t, for t and those after it, nan
    where too little is known. first_known: the first row without a nan in either; n if there is none. methods: what
    made them, in order of first use.
    """

    input_tokens: Floats
    output_tokens: Floats
    first_known: int
    methods: tuple[str, ...]


def demand_forecasts(
    history: DemandHistory,
    method: str,
    horizon: int,
    quantile: float | None = None,
    season: str = "day",
    *,
    first: int = 0,
) -> DemandForecasts:
    """Forecast every interval of a demand from those before it, `horizon` intervals ahead, as far as its history.

    method: one of METHODS, or auto. quantile: a share in (0, 1), such as 0.9 for what nine actuals in ten have stayed
    below; None for the forecast itself. season: day or week. first: the nearest interval that is used, by which auto
    chooses. Raises UsageError for an unknown method, and for a demand that is shorter than what the method needs.
    """
    count = history.demand.grid.count
    made = rolling_forecasts(history, method, Leads(first, horizon - first), share=quantile, season=season)
    rows = [made.rows[column].quantile[:count] for column in SERIES]
    unknown = np.isnan(rows[0] + rows[1]).any(axis=1)
    known = count if unknown.all() else int(np.argmin(unknown))
    return DemandForecasts(rows[0], rows[1], known, tuple(dict.fromkeys(made.methods)))
