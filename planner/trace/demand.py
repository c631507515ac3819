"""The demand of a stored trace per interval, counted by the store."""

from datetime import tzinfo

from planner.core.demand import Demand, Grid, from_bins, grid_over, whole_days
from planner.errors import TraceError
from planner.store import Session
from planner.trace.stored import TraceInfo
from planner.trace.windows import demand_of
from planner.units import iso

MOST_INTERVALS = 200_000
"""More than four months of minutes: beyond, a stray date in a log is likelier than a plan."""


def binned(
    session: Session, trace: TraceInfo, interval_s: int, zone: tzinfo, window_us: tuple[int, int] | None = None
) -> Demand:
    """The demand of a trace's rows, sample weight applied, or of its windows, over the time that the trace covers.

    Days of an imported trace that lack only a silent beginning or end are whole, unless its import named the time.
    window_us: start and end of another time, on marks of the grid, taken as it is. Raises TraceError for a time
    of more than MOST_INTERVALS.
    """
    grid = grid_over(*(window_us or (trace.window_start_us, trace.window_end_us)), interval_s, zone)
    if grid.count > MOST_INTERVALS:
        spans = window_us or (trace.first_arrival_us, trace.last_arrival_us)
        raise TraceError(
            f"trace {trace.name} spans {iso(spans[0], zone)} to {iso(spans[1], zone)}: "
            f"{grid.count:,} intervals of {interval_s} s, and at most {MOST_INTERVALS:,} are possible; "
            "check the log for stray dates, or use longer intervals"
        )
    demand = _on(session, trace, grid)
    return demand if window_us or trace.window_is_named else whole_days(demand, zone)


def _on(session: Session, trace: TraceInfo, grid: Grid) -> Demand:
    """The demand in the intervals of a grid."""
    if trace.windowed:
        return demand_of(session.frame("demand_windows", trace_id=trace.trace_id), grid)
    bins = session.frame(
        "demand_bins",
        trace_id=trace.trace_id,
        start_us=grid.start_us,
        end_us=grid.end_us,
        interval_us=grid.interval_us,
    )
    return from_bins(grid, {name: bins[name].to_numpy() for name in bins.columns}, trace.sample_weight)
