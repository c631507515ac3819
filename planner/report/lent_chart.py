"""The chart of what is lent to training: nodes over time, or node-hours by day in long plans."""

from typing import Any

import altair as alt
import polars as pl

from planner.report.colours import EDGE, MAIN, MIDDLE
from planner.report.drawing import Chart, ChartRows, finish_chart
from planner.report.week_charts import is_long
from planner.runs.local_time import local_times
from planner.runs.read import RunView
from planner.units import S_PER_HOUR

_WIDTH = 900
_STATES = {"training_node_s": "useful", "restoring_node_s": "loading"}
_COLOUR = alt.Color("state:N", scale=alt.Scale(domain=list(_STATES.values()), range=[MAIN, MIDDLE]))


def lent_chart(run: RunView) -> Chart:
    """Nodes lent to training, of which some load a job."""
    rows = ChartRows()
    s = run.summary
    drawn = _by_day(run, rows) if is_long(run) else _over_time(run, rows)
    description = (
        f"{s.training_node_hours:,.0f} node-hours are lent to training, {s.useful_training_node_hours:,.0f} of them "
        f"useful; in the others jobs load. {_words(run)}"
    )
    return finish_chart("lent", "Lent to training", description, drawn, _table(run), rows)


def _words(run: RunView) -> str:
    most = max(run.intervals["training_nodes"])
    windows = run.training.height
    if not windows:
        return "No node is lent."
    return f"At most {most:,} nodes at a time, in {windows:,} window{'' if windows == 1 else 's'}."


def _table(run: RunView) -> pl.DataFrame:
    return local_times(
        run.intervals.select(
            "interval_start",
            "training_nodes",
            loading_node_hours=pl.col("restoring_node_s") / S_PER_HOUR,
            useful_node_hours=pl.col("training_node_s") / S_PER_HOUR,
        ),
        run.scenario.zone,
    )


def _over_time(run: RunView, rows: ChartRows) -> Any:
    """Mean nodes of every interval, the useful ones below."""
    offset = run.intervals["interval_start"][0].astimezone(run.scenario.zone).utcoffset()
    interval_s = run.record.interval_s
    useful, loading = (pl.col(name) / interval_s for name in _STATES)
    start = pl.col("interval_start").dt.replace_time_zone(None) + offset
    ends = {"from": start, "to": start + pl.duration(seconds=interval_s)}
    steps = pl.concat(
        run.intervals.select(**ends, state=pl.lit(name), below=below, above=above)
        for name, below, above in (("useful", pl.lit(0.0), useful), ("loading", useful, useful + loading))
    )
    x = alt.X(
        "from:T",
        title=f"local time, {run.record.timezone}",
        scale=alt.Scale(type="utc", nice=False),
        axis=alt.Axis(format="%H:%M", labelOverlap=True),
    )
    return (
        alt.Chart(rows.of(steps), width=_WIDTH, height=240)
        .mark_bar()
        .encode(x=x, x2="to:T", y=alt.Y("below:Q", title="nodes lent"), y2="above:Q", color=_COLOUR)
    )


def _by_day(run: RunView, rows: ChartRows) -> Any:
    days = [start.astimezone(run.scenario.zone).date() for start in run.intervals["interval_start"]]
    daily = (
        run.intervals.with_columns(day=pl.Series(days))
        .group_by("day", maintain_order=True)
        .agg((pl.col(name).sum() / S_PER_HOUR).alias(state) for name, state in _STATES.items())
        .unpivot(list(_STATES.values()), index="day", variable_name="state", value_name="node_hours")
        .with_columns(pl.col("day").dt.strftime("%d %b"))
    )
    return (
        alt.Chart(rows.of(daily), width=_WIDTH, height=240)
        .mark_bar(stroke=EDGE, strokeWidth=0.7)
        .encode(
            x=alt.X("day:O", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("node_hours:Q", title="node-hours lent a day"),
            color=_COLOUR,
        )
    )
