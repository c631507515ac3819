"""What the forecasts of a stored plan heeded, found again in the demand that is stored with it."""

from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.forecast.history import COUNTED
from planner.errors import UsageError
from planner.planning.declared import declared_times, demand_history
from planner.planning.told import DemandFinding, declared_findings, tell
from planner.runs.read import RunView


@dataclass(frozen=True)
class RunFlags:
    """Findings in order of time, and why none can be told; empty if they are."""

    findings: tuple[DemandFinding, ...] = ()
    problem: str = ""


NO_FLAGS = RunFlags()


def run_flags(run: RunView) -> RunFlags:
    """What is declared and found in the demand of a plan that forecasts; of a night, what is declared of its day.

    The demand of a night is a forecast: what was found in its history stands in the notes of the plan.
    """
    is_nightly = run.record.kind == "nightly"
    if not is_nightly and run.summary.demand_source != "forecast":
        return NO_FLAGS
    starts = run.intervals["interval_start"].dt.epoch("us")
    grid = Grid(int(starts[0]), run.record.interval_s, run.intervals.height)
    try:
        if is_nightly:
            declared = declared_times(run.scenario, grid.start_us, grid.end_us)
            return RunFlags(tuple(declared_findings(declared, None, grid)))
        columns = {name: run.intervals[name].cast(int).to_numpy().astype(np.int64) for name in COUNTED}
        history = demand_history(run.scenario, Demand(grid=grid, **columns), 1)
        return RunFlags(tell(history, run.scenario, grid).findings)
    except UsageError as error:
        # the library of holidays may be missing where a report is written; the plan needs it no more
        return RunFlags(problem=str(error))
