"""Charts of plans of many days: nodes by weekday and hour as a map, and days as bars.

A line of a fortnight has more steps than a page has room for; what decides is the time of the week, and the day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from planner.report.colours import EDGE, HEAT, HEAT_TEXT, MAIN, PALE
from planner.report.drawing import Chart, ChartRows, finish_chart
from planner.runs.documents import PlanWeekHour, plan_week
from planner.runs.read import RunView
from planner.settings.closed import WEEKDAYS
from planner.units import MICROS_PER_USD, S_PER_DAY, S_PER_HOUR, Floats

LONG_DAYS = 4
"""Plans of more days are drawn by week and day. Assumed: four days have a pixel a quarter-hour."""
_WIDTH = 900
_DARK_FROM = 4
"""The first step of the map that is so dark, on light pages, that figures on it are light."""


@dataclass(frozen=True, kw_only=True)
class Shading:
    """How a map is shaded.

    Attributes:
        column: Of the figures.
        unit: What they count.
        edges: Of the steps of shade, one more than there are steps.
        names: Of the steps.
        format: Of the figures, as Vega writes it.
    """

    column: str
    unit: str
    edges: Floats
    names: Sequence[str]
    format: str


def is_long(run: RunView) -> bool:
    """Whether a plan is drawn by week and day."""
    return run.summary.intervals * run.summary.interval_s > LONG_DAYS * S_PER_DAY


def week_charts(run: RunView) -> list[Chart]:
    """The charts of a long plan that stand in place of its lines."""
    return [week_chart(run), day_chart(run)]


def week_chart(run: RunView) -> Chart:
    """A map of the most nodes that inference holds by weekday and hour of the local clock."""
    week = plan_week(run)
    frame = pl.DataFrame([vars(each) for each in week]).select("weekday", "hour", "hours", "peak_nodes", "mean_nodes")
    edges = _edges(week)
    # the last step holds its upper edge as well
    ends = [*(edges[1:-1] - 1), edges[-1]]
    names = [
        f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
        for low, high in zip(edges[:-1], ends, strict=True)
    ]
    shading = Shading(column="peak_nodes", unit="nodes", edges=edges, names=names, format=",d")
    rows = ChartRows()
    drawn = week_map(rows, frame, shading, run.record.timezone)
    busiest = max(week, key=lambda each: each.peak_nodes)
    calmest = min(week, key=lambda each: each.peak_nodes)
    description = (
        "The most nodes that inference holds in each hour of the week, over all weeks of the plan: from "
        f"{calmest.peak_nodes:,} on {calmest.weekday.title()} at {calmest.hour:02d}:00 to {busiest.peak_nodes:,} on "
        f"{busiest.weekday.title()} at {busiest.hour:02d}:00."
    )
    return finish_chart("week", "Nodes by weekday and hour", description, drawn, frame, rows)


def week_map(rows: ChartRows, frame: pl.DataFrame, shading: Shading, timezone: str) -> Any:
    """Cells by weekday and hour of the local clock, each with its figure. frame: with the columns weekday and hour."""
    edges, names = shading.edges, list(shading.names)
    step = np.clip(np.searchsorted(edges, frame[shading.column].to_numpy(), side="right") - 1, 0, len(edges) - 2)
    drawn = frame.select(
        pl.col("weekday").str.to_titlecase(),
        pl.format("{}:00", pl.col("hour").cast(pl.String).str.zfill(2)).alias("hour"),
        pl.col(shading.column).alias(shading.unit),
        step=pl.Series([names[each] for each in step]),
        text=pl.Series(["high" if each >= _DARK_FROM else "low" for each in step]),
    )
    base = alt.Chart(rows.of(drawn), width=_WIDTH, height=alt.Step(19)).encode(
        x=alt.X(
            "weekday:O",
            sort=[day.title() for day in WEEKDAYS],
            title=None,
            axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False),
        ),
        y=alt.Y("hour:O", title=f"local hour, {timezone}", axis=alt.Axis(domain=False, ticks=False)),
    )
    cells = base.mark_rect().encode(
        fill=alt.Fill("step:N", scale=alt.Scale(domain=names, range=list(HEAT[: len(names)])), sort=names)
    )
    figures = base.mark_text(fontSize=11).encode(
        text=alt.Text(f"{shading.unit}:Q", format=shading.format),
        color=alt.Color("text:N", scale=alt.Scale(domain=["low", "high"], range=list(HEAT_TEXT)), legend=None),
    )
    return cells + figures


def day_chart(run: RunView) -> Chart:
    """Bars of every day: most and mean nodes of inference; theoretical revenue and cost."""
    frame = day_table(run)
    rows = ChartRows()
    held = {"most in any interval": "peak_nodes", "mean": "mean_nodes"}
    nodes = _bars(rows, frame, held, alt.Y("value:Q", title="nodes of inference"))
    earned = {"theoretical revenue": "revenue_usd", "cost of inference": "cost_usd"}
    dollars = alt.Axis(format="$,.0f")
    money = _bars(rows, frame, earned, alt.Y("value:Q", title="US dollars a day", axis=dollars))
    most, least = (frame.sort("cost_usd")["day"][index] for index in (-1, 0))
    description = (
        f"Above, nodes that inference holds on each of {frame.height} days: the most in any interval, and the mean. "
        f"Below, theoretical revenue and the cost of inference, the most on {most} and the least on {least}."
    )
    parts = frame.filter(pl.col("hours") < S_PER_DAY / S_PER_HOUR - 1)  # a day on which the clock goes forward is whole
    if parts.height:
        told = ", ".join(f"{hours:g} h of {day}" for day, hours in parts.select("day", "hours").rows())
        description += f" The plan has only {told}."
    drawn = alt.vconcat(nodes, money, spacing=24).resolve_scale(color="independent", fill="independent")
    return finish_chart("days", "Nodes and cost by day", description, drawn, frame, rows)


def day_table(run: RunView) -> pl.DataFrame:
    """A row per local day."""
    zone, seconds = run.scenario.zone, run.record.interval_s
    days = [start.astimezone(zone).date().isoformat() for start in run.intervals["interval_start"]]
    held = pl.sum_horizontal("serving_node_s", "starting_node_s", "draining_node_s")
    lent = pl.sum_horizontal("training_node_s", "restoring_node_s")
    short = [f"{when}_shortfall_{kind}_tokens" for when in ("steady", "start_up") for kind in ("input", "output")]
    return (
        run.intervals.with_columns(day=pl.Series(days))
        .group_by("day", maintain_order=True)
        .agg(
            hours=pl.len() * seconds / S_PER_HOUR,
            peak_nodes=pl.col("inference_nodes").max(),
            mean_nodes=held.sum() / (pl.len() * seconds),
            training_node_hours=lent.sum() / S_PER_HOUR,
            cost_usd=pl.col("cost_usd_micros").sum() / MICROS_PER_USD,
            revenue_usd=pl.col("revenue_usd_micros").sum() / MICROS_PER_USD,
            shortfall_tokens=pl.sum_horizontal(short).sum(),
        )
    )


def _edges(week: list[PlanWeekHour]) -> Any:
    """The edges of the map's steps, whole nodes."""
    peaks = [each.peak_nodes for each in week]
    low, high = min(peaks), max(peaks)
    steps = min(len(HEAT), high - low + 1)
    return np.unique(np.round(np.linspace(low, high, steps + 1))) if high > low else np.array([low, high])


def _bars(rows: ChartRows, frame: pl.DataFrame, columns: dict[str, str], y: alt.Y) -> Any:
    """Bars by day, the second within the first."""
    colour = alt.Scale(domain=list(columns), range=[PALE, MAIN])
    day = pl.col("day").str.to_date().dt.strftime("%d %b")
    return alt.layer(
        *(
            alt.Chart(rows.of(frame.select(day, value=column, series=pl.lit(name))), width=_WIDTH, height=170)
            .mark_bar(stroke=EDGE, strokeWidth=0.7, width={"band": share})
            .encode(
                x=alt.X("day:O", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
                y=y,
                fill=alt.Fill("series:N", scale=colour),
            )
            for (name, column), share in zip(columns.items(), (0.8, 0.5), strict=True)
        )
    )
