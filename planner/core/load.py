"""Changes of a load that is known: a factor, growth from day to day, weekdays, noise, hits; and parts of it. Pure.

Drawn traces and stored ones are changed by the same laws.
"""

import math
from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo

import numpy as np

from planner.core.demand import Demand, Grid
from planner.errors import UsageError
from planner.units import S_PER_DAY, US_PER_S, Floats, Ints, from_us

NOISE_STEP_S = 900
"""Duration of one step of the noise of a stored trace: as the cells of the built-in profiles."""
_COUNTED = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
_MOST = 2.0**53
"""Sums beyond it are not exact as floating-point numbers."""

_DAY_SHARE = 0.5
"""Part of the noise's variance that a whole day shares; assumed."""
_MEMORY = 0.9
"""Correlation of the rest of the noise from one step to the next; assumed."""
_NOISE_STREAM = 1


@dataclass(frozen=True, kw_only=True)
class LoadChange:
    """How a load differs from the one that is known; the fields are those of TraceSettings."""

    demand_factor: float = 1.0
    growth_per_day: float = 0.0
    weekday_factors: tuple[float, ...] = (1.0,) * 7
    noise: float = 0.0
    seed: int = 1

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self != LoadChange(seed=self.seed)

    def factors(self, grid: Grid, anchor_us: int, zone: tzinfo) -> Floats:
        """The factor of every interval; (intervals,).

        Days and noise are counted from the anchor, so that a part of a load is changed as the whole is. zone: of
        weekdays. An interval has the mean noise of the quarter-hours that it touches.
        """
        if not self.active:
            return np.ones(grid.count)
        begin_s = np.maximum((grid.starts_us - anchor_us) // US_PER_S, 0)
        weekdays = [moment.weekday() for moment in grid.local_starts(zone)]
        with np.errstate(over="ignore"):
            # what overflows is refused where demand is multiplied
            growth = (1 + self.growth_per_day) ** (begin_s // S_PER_DAY)
            factors: Floats = self.demand_factor * growth * np.array(self.weekday_factors)[weekdays]
        return factors * self._noise(begin_s, grid.interval_s) if self.noise else factors

    def _noise(self, begin_s: Ints, interval_s: int) -> Floats:
        days = (int(begin_s.max()) + interval_s) // S_PER_DAY + 1
        steps = np.exp(log_noise(self.noise, self.seed, days, S_PER_DAY // NOISE_STEP_S))
        first, last = begin_s // NOISE_STEP_S, (begin_s + interval_s - 1) // NOISE_STEP_S
        running = np.concatenate([[0.0], np.cumsum(steps)])
        means: Floats = (running[last + 1] - running[first]) / (last + 1 - first)
        return means


def log_noise(noise: float, seed: int, days: int, per_day: int) -> Floats:
    """Log of the noise factor of every step; mean factor 1. A day's draw does not depend on the days after it.

    noise: standard deviation of the log, as in TraceSettings. per_day: steps of a day. Returns (days * per_day,).
    """
    if noise == 0:
        return np.zeros(per_day * days)
    logs, state = [], 0.0
    for day in range(days):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_NOISE_STREAM, day)))
        whole_day, *steps = random.standard_normal(per_day + 1)
        if day == 0:
            state = steps[0]
        for step in steps:
            state = _MEMORY * state + math.sqrt(1 - _MEMORY**2) * step
            logs.append(math.sqrt(_DAY_SHARE) * whole_day + math.sqrt(1 - _DAY_SHARE) * state)
    return noise * np.array(logs) - noise**2 / 2


def scaled(demand: Demand, factors: Floats) -> Demand:
    """Demand with every count of an interval times its factor; remainders are carried on, so that sums are right.

    Raises UsageError beyond _MOST.
    """
    if (factors == 1).all():
        return demand
    whole = {name: _times(getattr(demand, name), factors) for name in _COUNTED}
    whole["cached_input_tokens"] = np.minimum(whole["cached_input_tokens"], whole["input_tokens"])
    return Demand(grid=demand.grid, **whole)


def _times(counts: Ints, factors: Floats) -> Ints:
    """Counts times factors in whole numbers; none where there are none, and every running sum is right to within one.

    Raises UsageError.
    """
    some = counts > 0
    with np.errstate(over="ignore", invalid="ignore"):
        running = np.cumsum(counts[some] * factors[some])
    if len(running) and not running[-1] < _MOST:
        raise UsageError(
            "the changed demand is too large to be counted; lower trace.demand_factor or trace.growth_per_day"
        )
    times = np.zeros(len(counts), np.int64)
    times[some] = np.diff(np.rint(running).astype(np.int64), prepend=0)
    return times


@dataclass(frozen=True)
class HitChange:
    """Another share of input found in a cache: every request keeps the same part of its hits, then of its misses.

    At most one of them is below 1: fewer hits leave all misses, and more hits leave all that there were.
    """

    hits: float = 1.0
    misses: float = 1.0

    @classmethod
    def between(cls, before: float, after: float) -> "HitChange":
        """The change from one share of all input to another."""
        if after < before:
            return cls(hits=after / before)
        return cls(misses=(1 - after) / (1 - before)) if after > before else cls()


def hit_ratio(demand: Demand) -> float:
    """Share of the input tokens that is found in a cache; 0 without input."""
    total = int(demand.input_tokens.sum())
    return int(demand.cached_input_tokens.sum()) / total if total else 0.0


def with_hits(demand: Demand, before: float, after: float) -> Demand:
    """Demand with another share of its input in the cache. before, after: shares of the whole trace's input.

    For fewer hits all intervals lose the same share of their hits; for more, the same share of their misses.
    """
    cached, change = demand.cached_input_tokens, HitChange.between(before, after)
    if after < before:
        cached = np.rint(cached * change.hits).astype(np.int64)
    elif after > before:
        missed = demand.input_tokens - cached
        cached = demand.input_tokens - np.rint(missed * change.misses).astype(np.int64)
    return replace(demand, cached_input_tokens=cached)


def part_of(demand: Demand, start_us: int, end_us: int) -> Demand:
    """The demand from one mark of its grid to another; none where the grid does not reach.

    start_us, end_us: UTC epoch microseconds, a whole number of intervals from the grid's start.
    """
    grid = demand.grid
    first, end = ((at - grid.start_us) // grid.interval_us for at in (start_us, end_us))
    inside = slice(max(first, 0), max(min(end, grid.count), 0))
    before, after = max(min(-first, end - first), 0), max(min(end - grid.count, end - first), 0)

    def cut(values: Ints) -> Ints:
        return np.pad(values[inside], (before, after))

    return Demand(
        grid=replace(grid, start_us=start_us, count=end - first),
        requests=cut(demand.requests),
        input_tokens=cut(demand.input_tokens),
        cached_input_tokens=cut(demand.cached_input_tokens),
        output_tokens=cut(demand.output_tokens),
    )


def window_on(
    grid: Grid, start_us: int | None, end_us: int | None, days: int | None, zone: tzinfo, name: str
) -> tuple[int, int]:
    """Where the window of a trace begins and ends, UTC epoch microseconds; both on marks of its grid.

    days: local days from the start. name: what the trace is called. Raises UsageError for times off the marks, a window
    that holds nothing of the trace, and more days than there are.
    """
    begin, end = grid.start_us if start_us is None else start_us, grid.end_us if end_us is None else end_us
    reach = f"{from_us(grid.start_us, zone).isoformat()} to {from_us(grid.end_us, zone).isoformat()}"
    if days is not None:
        if end_us is not None:
            raise UsageError("trace.days and trace.end_at both say where the trace ends; leave one out")
        end = _days_later(begin, days, zone)
        if end > grid.end_us:
            have = max(grid.end_us - begin, 0) / (S_PER_DAY * US_PER_S)
            raise UsageError(
                f"trace.days is {days}, and {name} has {have:.2f} days from {from_us(begin, zone).isoformat()} "
                "on; lower it, or give trace.end_at to plan for no demand after its end"
            )
    for field, at in (("start_at", begin), ("end_at", end)):
        if (at - grid.start_us) % grid.interval_us:
            raise UsageError(
                f"trace.{field} {from_us(at, zone).isoformat()} is not on a mark of {grid.interval_s // 60} min; "
                "move it onto one"
            )
    if begin >= grid.end_us or end <= grid.start_us or begin >= end:
        raise UsageError(
            f"{name} covers {reach}, and {from_us(begin, zone).isoformat()} to {from_us(end, zone).isoformat()} "
            "holds none of it; correct trace.start_at or trace.end_at"
        )
    return begin, end


def _days_later(at_us: int, days: int, zone: tzinfo) -> int:
    """The same local time some days later. Raises UsageError beyond the calendar."""
    moment = from_us(at_us, zone)
    try:
        wall = moment.replace(tzinfo=None) + timedelta(days=days)
    except OverflowError as error:
        raise UsageError(f"trace.days is {days}, beyond the calendar; lower it") from error
    return round(wall.replace(tzinfo=zone).timestamp()) * US_PER_S
