"""The chart of a stored trace: its mean hour by weekday and hour of the local clock."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from planner.report.colours import HEAT
from planner.report.drawing import Chart, ChartRows, finish_chart
from planner.report.week_charts import Shading, week_map
from planner.trace.documents import TraceDescription, TraceWeekHour

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Quantity:
    """What a map of a trace counts. column: of the week. words: what they are."""

    column: str
    words: str


QUANTITIES = {
    "requests": Quantity("mean_requests", "requests"),
    "input_tokens": Quantity("mean_input_tokens", "input tokens"),
    "output_tokens": Quantity("mean_output_tokens", "output tokens"),
}
"""By name."""


def trace_week_chart(trace: TraceDescription, quantity: Quantity) -> Chart:
    """A map of the mean hour. Asked for traces whose hours are listed."""
    frame = pl.DataFrame([vars(each) for each in trace.week])

    def load(slot: TraceWeekHour) -> float:
        value: float = getattr(slot, quantity.column)
        return value

    busiest, calmest = max(trace.week, key=load), min(trace.week, key=load)
    low, high = load(calmest), load(busiest)
    edges = np.linspace(low, high, len(HEAT) + 1) if high > low else np.array([low, high])
    names = [f"{_short(start)} to {_short(end)}" for start, end in pairwise(edges)]
    if len(set(names)) < len(names):
        # they differ in less than three digits
        edges, names = np.array([low, high]), [f"{_short(low)} to {_short(high)}"]
    shading = Shading(column=quantity.column, unit=quantity.words, edges=edges, names=names, format=".3~s")
    rows = ChartRows()
    description = (
        f"The mean {quantity.words} an hour by weekday and hour of the local clock: from {_short(low)} on "
        f"{calmest.weekday.title()} at {calmest.hour:02d}:00 to {_short(high)} on {busiest.weekday.title()} at "
        f"{busiest.hour:02d}:00."
    )
    drawn = week_map(rows, frame, shading, trace.timezone)
    title = f"Mean {quantity.words} an hour by weekday and hour"
    return finish_chart("trace-week", title, description, drawn, frame, rows)


def _short(value: float) -> str:
    """A figure in three digits, as the map has it."""
    for scale, letter in _SCALES:
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"
