"""The demand of a stored trace per interval, counted by the store."""

from datetime import tzinfo

from planner.demand import Demand, from_bins, grid_over
from planner.store import Session
from planner.trace.catalogue import TraceInfo


def binned(session: Session, trace: TraceInfo, interval_s: int, zone: tzinfo) -> Demand:
    """The demand of a trace's rows, sample weight applied, over the time that the trace covers."""
    grid = grid_over(trace.window_start_us, trace.window_end_us, interval_s, zone)
    bins = session.frame(
        "demand_bins",
        trace_id=trace.trace_id,
        start_us=grid.start_us,
        end_us=grid.end_us,
        interval_us=grid.interval_us,
    )
    return from_bins(grid, {name: bins[name].to_numpy() for name in bins.columns}, trace.sample_weight)
