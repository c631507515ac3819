"""The contents of each 15-minute cell of a synthetic trace: rows and token totals, before anything is drawn.

Totals follow the profile, the demand factor, the weekday, the growth and the noise. Running sums are rounded, so
that remainders are carried from cell to cell and the whole is met exactly.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.load import log_noise
from planner.errors import UsageError
from planner.settings.trace import TraceSettings
from planner.trace.synthetic.profile import Profile
from planner.units import S_PER_DAY, Floats, Ints, from_us, to_us

LEAST_ROWS = 30
"""Fewest rows of a cell: below, conditioning on the totals would distort the lengths."""


MOST_ROWS = 1_000_000_000
"""Rows of a drawn trace: 20 GB in the store, and some ten minutes."""
_MOST = 2.0**53
"""Sums beyond it are not exact as floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cells in order. All arrays (cells,); tokens and rows are of stored rows, each standing for `weight` requests.

    index: number of the cell from the profile's start, which seeds its draw.
    slope: (rate at the end - rate at the start) / mean rate.
    """

    weight: int
    length_us: int
    index: Ints
    start_us: Ints
    rows: Ints
    input_tokens: Ints
    cached_blocks: Ints
    output_tokens: Ints
    slope: Floats

    def __len__(self) -> int:
        return len(self.index)


def lay_cells(profile: Profile, settings: TraceSettings) -> Cells:
    """The cells to draw. Raises UsageError for a window off the cells or a scale that leaves too few rows."""
    cells = cells_of(profile, settings)
    rows = int(cells.rows.sum())
    if rows > MOST_ROWS:
        scale = math.ceil(cells.weight * rows / MOST_ROWS)
        raise UsageError(
            f"the trace has {rows:,} rows, and at most {MOST_ROWS:,} are drawn, which take 20 GB; lower trace.days or "
            f"trace.demand_factor, or use a scale of at most {1 / scale:.6g} (1/{scale})"
        )
    weight, thinnest = cells.weight, int(cells.rows.min())
    if thinnest < LEAST_ROWS:
        most = max(1, math.floor(weight * thinnest / LEAST_ROWS * 0.99))
        raise UsageError(
            f"a scale of 1/{weight} leaves {thinnest} requests in the thinnest cell, and {LEAST_ROWS} are needed; "
            f"use a scale of at least {1 / most:.6g} (1/{most})"
        )
    return cells


def cells_of(profile: Profile, settings: TraceSettings) -> Cells:
    """The contents of a trace's cells, drawable or not. Raises UsageError for a window off the cells."""
    weight = settings.weight
    noise = log_noise(settings.noise, settings.seed, settings.days, len(profile.cell_share))
    load = expected_load(profile, settings) * np.exp(noise)
    totals = profile.settings.totals
    block = profile.settings.population.block_tokens
    count = len(load)
    rows = _carried(load, totals.requests / weight)
    input_tokens = _carried(load, totals.input_tokens / weight)
    output_tokens = _carried(load, totals.output_tokens / weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        # a load that falls to nothing has no slope, and too few rows to be drawn
        slope = np.nan_to_num((np.roll(load, -1) - np.roll(load, 1)) / (2 * load))
    part = _window(profile, settings, count)
    index = np.arange(count, dtype=np.int64)
    return Cells(
        weight=weight,
        length_us=profile.cell_us,
        index=index[part],
        start_us=(profile.start_us + index * profile.cell_us)[part],
        rows=rows[part],
        input_tokens=input_tokens[part],
        cached_blocks=_carried(load, totals.cached_input_tokens / weight / block)[part],
        output_tokens=output_tokens[part],
        slope=np.clip(slope, -1.9, 1.9)[part],
    )


def demand_of(cells: Cells, block_tokens: int, grid: Grid) -> Demand:
    """The demand of intervals of whole cells, exactly as it is counted in the drawn requests.

    block_tokens: of the profile's population. Raises IndexError for a grid that does not cover the cells.
    """
    index = (cells.start_us - grid.start_us) // grid.interval_us

    def summed(rows: Ints, each: int) -> Ints:
        sums = np.zeros(grid.count, np.int64)
        np.add.at(sums, index, rows * (each * cells.weight))
        return sums

    return Demand(
        grid=grid,
        requests=summed(cells.rows, 1),
        input_tokens=summed(cells.input_tokens, 1),
        cached_input_tokens=summed(cells.cached_blocks, block_tokens),
        output_tokens=summed(cells.output_tokens, 1),
    )


def expected_load(profile: Profile, settings: TraceSettings) -> Floats:
    """Load of every cell over all days without noise, as shares of the profile's day; (days * cells per day,)."""
    per_day = len(profile.cell_share)
    load = np.tile(profile.cell_share, settings.days) * settings.demand_factor
    starts = profile.start_us + np.arange(len(load)) * profile.cell_us
    weekdays = [from_us(int(start), profile.zone).weekday() for start in starts]
    days = np.arange(len(load)) // per_day
    with np.errstate(over="ignore"):
        # what overflows is refused where it is counted
        factors = np.array(settings.weekday_factors)[weekdays] * (1 + settings.growth_per_day) ** days
        result: Floats = load * factors
    return result


def expected_demand(
    profile: Profile, settings: TraceSettings, starts_us: Ints, interval_us: int
) -> tuple[Floats, Floats]:
    """Input and output tokens that the profile predicts for intervals; cells outside its days are empty.

    Within a cell the load is spread evenly. Returns two arrays like starts_us.
    """
    load = expected_load(profile, settings)
    edges = profile.start_us + np.arange(len(load) + 1) * profile.cell_us
    running = np.concatenate([[0.0], np.cumsum(load)])
    share = np.interp(starts_us + interval_us, edges, running) - np.interp(starts_us, edges, running)
    totals = profile.settings.totals
    return share * totals.input_tokens, share * totals.output_tokens


def _carried(load: Floats, total: float) -> Ints:
    """Whole numbers that add up to the total of the load. Raises UsageError beyond _MOST."""
    with np.errstate(over="ignore"):
        running = np.cumsum(load) * total
    if not running[-1] < _MOST:
        raise UsageError(
            "the demand is too large to be counted; lower trace.days, trace.demand_factor, trace.weekday_factors or "
            "trace.growth_per_day"
        )
    whole: Ints = np.rint(running).astype(np.int64)
    return np.diff(whole, prepend=0)


def _window(profile: Profile, settings: TraceSettings, count: int) -> slice:
    """The cells between start_at and end_at."""
    bounds = []
    for name, moment, default in (("start", settings.start_at, 0), ("end", settings.end_at, count)):
        if moment is None:
            bounds.append(default)
            continue
        cell, off = divmod(to_us(moment) - profile.start_us, profile.cell_us)
        if off:
            minutes = profile.settings.cell_s // 60
            raise UsageError(f"the {name} {moment.isoformat()} is not on a {minutes}-minute mark; move it onto one")
        if not 0 <= cell <= count:
            first = profile.settings.start
            last = first + timedelta(seconds=S_PER_DAY * settings.days)
            raise UsageError(
                f"the {name} {moment.isoformat()} is outside the trace, "
                f"{first.isoformat()} to {last.isoformat()}; move it inside or draw more days"
            )
        bounds.append(cell)
    return slice(*bounds)


def window_us(cells: Cells) -> tuple[int, int]:
    """Start and end of the time that the cells cover, in microseconds."""
    return int(cells.start_us[0]), int(cells.start_us[-1]) + cells.length_us
