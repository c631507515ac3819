"""The page of a comparison: the ranking, cost against shortfall, nodes over time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from planner.core.demand import Grid
from planner.core.replay.intervals.plan import IntervalPlan
from planner.report.drawing import Chart, finish_chart, inline_values
from planner.report.pages import write_page
from planner.units import S_PER_DAY, iso

_WIDTH = 900
_DAYS_SHOWN = 3
"""More days would hide each other's lines."""


def write_compare_page(
    told: dict[str, Any], plans: Mapping[str, IntervalPlan], grid: Grid, zone: ZoneInfo, folder: Path
) -> list[Path]:
    """Write the page, charts as SVG and PNG and tables as CSV into a folder; returns the files. Raises PlannerError.

    told: the document of the comparison. plans: by policy.
    """
    drawn = [trade_chart(told), nodes_chart(plans, grid, zone)]
    context = {
        "told": told,
        "start": iso(grid.start_us, zone),
        "end": iso(grid.end_us, zone),
        "minutes": grid.interval_s // 60,
    }
    tables = {chart.name: chart.table for chart in drawn} | {"policies": policy_table(told)}
    return write_page("compare.html.j2", folder, drawn, tables, context)


def policy_table(told: dict[str, Any]) -> pl.DataFrame:
    """A row per policy: as it is set, and at equal shortfall."""
    rows = []
    for row in told["policies"]:
        level = row["at_equal_shortfall"] or {}
        rows.append(
            {
                "policy": row["policy"],
                "tuned_node_hours": level.get("node_hours"),
                "tuned_over_bound_%": _percent(level.get("gap_to_bound")),
                "tuned_utilisation_%": _percent(level.get("target_utilisation")),
                "cost_usd": row["cost_usd"],
                "shortfall_%": 100 * row["shortfall_ratio"],
                "over_bound_%": _percent(row["gap_to_bound"]),
                "mean_nodes": row["mean_nodes"],
                "peak_nodes": row["peak_nodes"],
                "scale_actions": row["scale_actions"],
                "wasted_node_hours": row["wasted_node_hours"],
                "training_node_hours": row["training_node_hours"],
                "run": row["run_id"],
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def trade_chart(told: dict[str, Any]) -> Chart:
    """Cost against shortfall: each policy as it is set and tuned to the allowance, and the bound."""
    points = []
    for row in told["policies"]:
        points.append((row["policy"], "as it is set", row["cost_usd"], 100 * row["shortfall_ratio"]))
        level = row["at_equal_shortfall"]
        if level is not None:
            short = 100 * level["shortfall_ratio"]
            points.append((row["policy"], "at the allowed shortfall", level["cost_usd"], short))
    frame = pl.DataFrame(points, ["policy", "setting", "cost_usd", "shortfall_percent"], orient="row")
    layers: list[Any] = [
        alt.Chart(inline_values(frame), width=_WIDTH, height=320)
        .mark_point(size=90, filled=True)
        .encode(
            x=alt.X("shortfall_percent:Q", title="tokens beyond the capacity, %", scale=alt.Scale(zero=True)),
            y=alt.Y("cost_usd:Q", title="cost of inference, USD", scale=alt.Scale(zero=False)),
            color=alt.Color("policy:N", title="policy"),
            shape=alt.Shape("setting:N", title="setting"),
            tooltip=["policy:N", "setting:N", "cost_usd:Q", "shortfall_percent:Q"],
        )
    ]
    least, allowed = told["bound"]["cost_usd"], told["max_shortfall_ratio"]
    description = f"Cost of each policy against its shortfall; {allowed:.2%} of tokens are allowed."
    if least is not None:
        line = pl.DataFrame({"cost_usd": [least]})
        layers.append(
            alt.Chart(inline_values(line)).mark_rule(strokeDash=[6, 4], color="#555").encode(y=alt.Y("cost_usd:Q"))
        )
        description += f" No policy within the allowance costs less than the dashed line, {least:,.0f} USD."
    return finish_chart("trade", "Cost against shortfall", description, alt.layer(*layers), frame)


def nodes_chart(plans: Mapping[str, IntervalPlan], grid: Grid, zone: ZoneInfo) -> Chart:
    """Mean nodes of inference, interval by interval, policy by policy, and the bound's schedule."""
    starts = grid.local_starts(zone)
    shown = _DAYS_SHOWN * S_PER_DAY // grid.interval_s
    frame = pl.DataFrame(
        {
            "interval_start": [start.isoformat() for start in starts],
            **{name: plan.inference_node_s / grid.interval_s for name, plan in plans.items()},
        }
    )
    long = (
        frame.tail(shown)
        .with_columns(local_time=pl.col("interval_start").str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S"))
        .drop("interval_start")
        .unpivot(index="local_time", variable_name="policy", value_name="nodes")
    )
    drawn = (
        alt.Chart(inline_values(long), width=_WIDTH, height=320)
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(
            x=alt.X(
                "local_time:T",
                title=f"local time, {zone.key}",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%d %b %H:%M"),
            ),
            y=alt.Y("nodes:Q", title="nodes of inference"),
            color=alt.Color("policy:N", title="policy"),
        )
    )
    description = "Nodes that inference holds under each policy, and under the best schedule that was found."
    if grid.count > shown:
        description += f" The last {_DAYS_SHOWN} days are drawn; the table has all."
    return finish_chart("nodes", "Nodes over time", description, drawn, frame)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio
