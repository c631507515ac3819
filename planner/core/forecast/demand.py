"""A demand with what its past tells, and forecasts of it by one method. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property

import numpy as np

from planner.core.demand import Demand
from planner.core.forecast.base import Forecaster
from planner.core.forecast.past import NOTHING_DECLARED, Declared, Mask, Past
from planner.core.forecast.quantiles import rolling_quantiles
from planner.core.forecast.tracking import Tracker
from planner.units import Floats, Ints


@dataclass(frozen=True)
class DemandHistory:
    """A demand that forecasts are made from, and what its past tells. horizon: intervals, at most, ahead."""

    demand: Demand
    tracker: Tracker

    @classmethod
    def of(
        cls,
        demand: Demand,
        zone: tzinfo,
        horizon: int,
        *,
        declared: Declared = NOTHING_DECLARED,
        unknown: Mask | None = None,
    ) -> "DemandHistory":
        """Read a demand by the clock of a zone. unknown: intervals without a log. Raises UsageError, as Past.of."""
        return cls(demand, Tracker(past=Past.of(demand, zone, horizon, declared=declared, unknown=unknown)))

    def rows(self, maker: Forecaster, column: str, horizon: int) -> Floats:
        """Forecasts of every interval from those before it, (n + 1, horizon); see Forecaster."""
        past = self.tracker.past
        return past.unfolded(maker.of(self.tracker, column, past.reach(horizon)), horizon)

    def quantiles(
        self, maker: Forecaster, column: str, forecasts: Floats, shares: Sequence[float], every: int = 1
    ) -> Floats:
        """Quantiles of rows of forecasts, (shares, n + 1, horizon), from errors that say something of the time to come.

        Incidents do not count, nor what was said before a change of level was known of the time since.
        """
        return rolling_quantiles(
            self.usual(column),
            forecasts,
            shares,
            settled=maker.settled,
            blind=self._blind,
            bursts=self._bursts,
            hurt=self._hurt,
            every=every,
            overlap=self.tracker.past.slots,
        )

    def usual(self, column: str) -> Floats:
        """The demand of every interval, (n,); nan where it is unknown, declared unusual, or looks like an outage."""
        place = self.tracker.past.place[: self.demand.grid.count]
        values: Floats = np.where(self.tracker.outages[place], np.nan, self.scored(column))
        return values

    def scored(self, column: str) -> Floats:
        """The demand of every interval that forecasts are scored by, (n,); nan where it is unknown or declared unusual.

        What a method takes for an outage counts: it may be the method that is wrong.
        """
        past = self.tracker.past
        place = past.place[: past.grid.count]
        left_out = np.isnan(past.columns[column]) | past.unlearned
        values: Floats = np.where(left_out[place], np.nan, getattr(self.demand, column).astype(np.float64))
        return values

    def slot_us(self, slot: int) -> int:
        """When a slot begins, UTC epoch microseconds; the end of the demand for one after it."""
        grid, place = self.demand.grid, self.tracker.past.place
        at = np.flatnonzero(place[: grid.count] >= slot)
        return grid.start_us + (int(at[0]) if len(at) else grid.count) * grid.interval_us

    @cached_property
    def _hurt(self) -> Mask:
        """Rows that were made in the middle of an outage; (n + 1,)."""
        place = self.tracker.past.place[: self.demand.grid.count]
        return np.concatenate([[False], self.tracker.outages[place]])

    @cached_property
    def _blind(self) -> tuple[tuple[int, int], ...]:
        """Changes of level as intervals: where each began, and the first row that knew."""
        return tuple(
            (self._row(change.first), self._row(change.known))
            for change in self.tracker.changes
            if change.known <= self.tracker.past.count
        )

    @cached_property
    def _bursts(self) -> tuple[tuple[int, Ints], ...]:
        """The first row that knew of a burst, and its intervals."""
        place = self.tracker.past.place[: self.demand.grid.count]
        return tuple(
            (self._row(known), np.flatnonzero(np.isin(place, slots)))
            for known, slots in self.tracker.bursts
            if known <= self.tracker.past.count
        )

    def _row(self, slot: int) -> int:
        """The first interval that is not before a slot; the number of intervals for one after them."""
        after = self.tracker.past.place[: self.demand.grid.count] >= slot
        return int(np.argmax(after)) if after.any() else len(after)
