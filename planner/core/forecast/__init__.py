"""Forecasts of demand, one file per method, with quantiles from past errors and back-tests. Pure.

A new method is a file with a class like Forecaster and a line in `methods`.
"""

from planner.core.forecast.ahead import DemandForecasts, demand_forecasts
from planner.core.forecast.base import Forecaster, Seasons
from planner.core.forecast.methods import AUTO, BUILT_IN, METHODS, forecaster, require_history
from planner.core.forecast.quantiles import quantile_name, rolling_quantiles
from planner.units import Floats

__all__ = [
    "AUTO",
    "BUILT_IN",
    "METHODS",
    "DemandForecasts",
    "Floats",
    "Forecaster",
    "Seasons",
    "demand_forecasts",
    "forecaster",
    "quantile_name",
    "require_history",
    "rolling_quantiles",
]
