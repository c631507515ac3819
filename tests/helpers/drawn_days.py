"""Days of demand drawn on the published day's shape, with noise and what goes wrong, for forecasts."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import forecaster
from planner.core.forecast.past import NOTHING_DECLARED, Declared
from planner.core.load import log_noise
from planner.trace.synthetic.profile import load_profile
from planner.units import Floats, to_us

UTC = ZoneInfo("UTC")
MONDAY = datetime(2025, 3, 10, tzinfo=UTC)
WEEK = np.array([1, 1, 1, 1, 1, 0.8, 0.7])
"""Load of each weekday, Monday first."""


def drawn(days: int, noise: float, seed: int, slots: int = 96) -> Floats:
    """Tokens per slot of so many days from a Monday on, (days, slots)."""
    shape = load_profile("deepseek-2025-02-27").cell_share.reshape(slots, -1).sum(axis=1)
    noises = np.exp(log_noise(noise, seed, days, slots)).reshape(days, slots)
    tokens: Floats = 1e9 * shape * WEEK[np.arange(days) % 7][:, None] * noises
    return tokens


def demand_of(tokens: Floats, start: datetime = MONDAY, interval_s: int | None = None) -> Demand:
    """A demand of these tokens, in days of slots or in a row: four input tokens for an output token."""
    counts = np.rint(tokens.ravel()).astype(np.int64)
    grid = Grid(to_us(start), interval_s or 86_400 // tokens.shape[1], len(counts))
    return Demand(
        grid=grid,
        requests=counts // 4_000,
        input_tokens=counts,
        cached_input_tokens=0 * counts,
        output_tokens=counts // 4,
    )


def nightly(
    tokens: Floats, method: str = "profile-level", declared: Declared = NOTHING_DECLARED, column: str = "input_tokens"
) -> Floats:
    """What was forecast of every day by the log up to two days before, as nights plan; (days, slots)."""
    days, slots = tokens.shape
    history = DemandHistory.of(demand_of(tokens), UTC, 2 * slots, declared=declared)
    rows = history.rows(forecaster(method, 86_400 // slots, "day"), column, 2 * slots)
    plans = np.full(tokens.shape, np.nan)
    for day in range(1, days - 1):
        plans[day + 1] = rows[day * slots, slots:]
    return plans


def wape(plans: Floats, tokens: Floats) -> float:
    """Sum of errors over the sum of what came, where it was forecast."""
    known = ~np.isnan(plans)
    return float(np.abs(plans - tokens)[known].sum() / tokens[known].sum())
