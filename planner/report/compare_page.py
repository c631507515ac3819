"""The page of a comparison: the ranking, cost against shortfall, nodes over time."""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from planner.core.demand import Grid
from planner.core.replay.intervals.plan import IntervalPlan
from planner.report.band_tables import band_columns
from planner.report.colours import SOFT
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes
from planner.report.pages import write_page
from planner.report.wording import dollars, percent
from planner.runs.bands import basis
from planner.studies.compare.document import ComparisonDocument
from planner.units import S_PER_DAY, iso

_WIDTH = 900
_DAYS_SHOWN = 3
"""Lines of more days would overlap."""


def write_compare_page(
    document: ComparisonDocument, plans: Mapping[str, IntervalPlan], grid: Grid, zone: ZoneInfo, folder: Path
) -> list[Path]:
    """Write the page, charts as SVG and PNG and tables as CSV into a folder; returns the files. Raises PlannerError.

    plans: by policy.
    """
    drawn = [trade_chart(document), nodes_chart(plans, grid, zone)]
    context = {
        "comparison": document,
        "sentence": best_sentence(document),
        "tuned": any(row.at_equal_shortfall for row in document.policies),
        "start": iso(grid.start_us, zone),
        "end": iso(grid.end_us, zone),
        "minutes": grid.interval_s // 60,
        "basis": basis(bands) if (bands := [band for policy in document.policies for band in policy.bands]) else "",
    }
    tables = {chart.name: chart.table for chart in drawn} | {"policies": policy_table(document)}
    views = {"ranking": ranking_table(document), "configured": configured_table(document)}
    return write_page("compare.html.j2", folder, drawn, tables, context, views=views)


def policy_table(document: ComparisonDocument) -> pl.DataFrame:
    """A row per policy, for CSV: as configured, with the bands of figures where there are any, and tuned."""
    rows = []
    for row in document.policies:
        tuned, band = row.at_equal_shortfall, band_columns(row.bands)
        rows.append(
            {
                "policy": row.policy,
                "tuned_node_hours": tuned.node_hours if tuned else None,
                "tuned_over_bound_%": _percent(tuned.gap_to_bound if tuned else None),
                "tuned_utilisation_%": _percent(tuned.target_utilisation if tuned else None),
                "cost_usd": row.cost_usd,
                **_beside("cost_usd", band.get("cost_usd")),
                "shortfall_%": 100 * row.shortfall_ratio,
                **_beside("shortfall_%", band.get("shortfall_ratio")),
                "over_bound_%": _percent(row.gap_to_bound),
                "mean_nodes": row.mean_nodes,
                **_beside("mean_nodes", band.get("mean_nodes")),
                "peak_nodes": row.peak_nodes,
                **_beside("peak_nodes", band.get("peak_nodes")),
                "scale_actions": row.scale_actions,
                "wasted_node_hours": row.wasted_node_hours,
                "training_node_hours": row.training_node_hours,
                **_beside("training_node_hours", band.get("training_node_hours")),
                "run": row.run_id,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def ranking_table(document: ComparisonDocument) -> pl.DataFrame:
    """A row per policy at equal shortfall, by rank, as the page has it."""
    rows = [
        {
            "rank": place,
            "policy": row.policy,
            "node-hours": tuned.node_hours if tuned else None,
            "over bound %": _percent(tuned.gap_to_bound if tuned else None),
            "cost (USD)": tuned.cost_usd if tuned else None,
            "shortfall %": 100 * tuned.shortfall_ratio if tuned else None,
            "target utilisation %": _percent(tuned.target_utilisation if tuned else None),
        }
        for place, row in enumerate(document.policies, 1)
        for tuned in (row.at_equal_shortfall,)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def configured_table(document: ComparisonDocument) -> pl.DataFrame:
    """A row per policy as configured, as the page has it: bands stand in the cells of their figures."""
    rows = []
    for row in document.policies:
        band = band_columns(row.bands)

        def beside(figure: str, text: str, band: dict[str, str] = band) -> str:
            low, _, high = band.get(figure, "").partition(" to ")
            return text if low == high else f"{text} ({band[figure]})"

        rows.append(
            {
                "policy": row.policy,
                "cost (USD)": beside("cost_usd", f"{row.cost_usd:,.0f}"),
                "shortfall": beside("shortfall_ratio", f"{100 * row.shortfall_ratio:.3g} %"),
                "over bound": "–" if row.gap_to_bound is None else percent(row.gap_to_bound),
                "mean nodes": beside("mean_nodes", f"{row.mean_nodes:,.2f}"),
                "peak nodes": beside("peak_nodes", f"{row.peak_nodes:,}"),
                "training node-hours": beside("training_node_hours", f"{row.training_node_hours:,.0f}"),
                "wasted node-hours": f"{row.wasted_node_hours:,.0f}",
                "scale actions": f"{row.scale_actions:,}",
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def best_sentence(document: ComparisonDocument) -> str:
    """Which policy takes the fewest node-hours, at equal shortfall if policies were tuned, and how good that is."""
    first = document.policies[0]
    tuned = first.at_equal_shortfall
    within = [row for row in document.policies if row.within_allowance]
    if tuned is None and within:
        best = min(within, key=lambda row: row.node_hours)
        above = "" if best.gap_to_bound is None else f", {percent(best.gap_to_bound)} above the proven bound"
        return (
            f"{best.policy} takes the fewest node-hours of the policies within the allowed shortfall: "
            f"{best.node_hours:,.1f} for {dollars(best.cost_usd)}{above}."
        )
    if tuned is None:
        return f"No policy keeps the shortfall within {document.max_shortfall_ratio:.2%} of tokens."
    above = "" if tuned.gap_to_bound is None else f", {percent(tuned.gap_to_bound)} above the proven bound"
    return (
        f"{first.policy} takes the fewest node-hours at equal shortfall: {tuned.node_hours:,.1f} for "
        f"{dollars(tuned.cost_usd)}{above}."
    )


def trade_chart(document: ComparisonDocument) -> Chart:
    """Cost against shortfall: each policy as configured and tuned to the allowance, and the bound."""
    points = []
    ranked = [f"{place} {row.policy}" for place, row in enumerate(document.policies, 1)]
    for name, row in zip(ranked, document.policies, strict=True):
        points.append((name, "as configured", row.cost_usd, 100 * row.shortfall_ratio))
        tuned = row.at_equal_shortfall
        if tuned is not None:
            points.append((name, "at the allowed shortfall", tuned.cost_usd, 100 * tuned.shortfall_ratio))
    frame = pl.DataFrame(points, ["policy", "setting", "cost_usd", "shortfall_percent"], orient="row")
    allowed = document.max_shortfall_ratio
    most = max(100 * allowed, *frame["shortfall_percent"])
    rows = ChartRows()
    layers: list[alt.Chart] = [
        alt.Chart(rows.of(frame), width=_WIDTH, height=320)
        .mark_point(size=90, filled=True, opacity=1)
        .encode(
            x=alt.X("shortfall_percent:Q", title="tokens beyond the capacity, %", scale=alt.Scale(domain=[0, most])),
            y=alt.Y("cost_usd:Q", title="cost of inference, USD", scale=alt.Scale(zero=False)),
            color=alt.Color("policy:N", scale=line_colours(ranked)),
            shape=alt.Shape("setting:N", legend=alt.Legend(symbolFillColor=SOFT, symbolStrokeColor=SOFT)),
            tooltip=["policy:N", "setting:N", "cost_usd:Q", "shortfall_percent:Q"],
        )
    ]
    least = document.bound.cost_usd
    figures = alt.Chart(rows.of(frame.with_columns(place=pl.col("policy").str.extract(r"^(\d+)"))))
    numbers = figures.mark_text(align="left", dx=8, fontSize=12)
    layers.append(numbers.encode(x="shortfall_percent:Q", y="cost_usd:Q", text="place:N"))
    limit = pl.DataFrame({"shortfall_percent": [100 * allowed]})
    layers.append(alt.Chart(rows.of(limit)).mark_rule(strokeDash=[2, 3], color=SOFT).encode(x="shortfall_percent:Q"))
    description = (
        f"Cost of each policy, numbered by rank, against its shortfall; {allowed:.2%} of tokens are allowed, "
        "which is the dotted line."
    )
    if least is not None:
        line = pl.DataFrame({"cost_usd": [least]})
        layers.append(alt.Chart(rows.of(line)).mark_rule(strokeDash=[6, 4], color=SOFT).encode(y=alt.Y("cost_usd:Q")))
        description += f" No policy within the allowance costs less than the dashed line, {least:,.0f} USD."
    return finish_chart("trade", "Cost against shortfall", description, alt.layer(*layers), frame, rows)


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
    rows = ChartRows()
    drawn = (
        alt.Chart(rows.of(long), width=_WIDTH, height=320)
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(
            x=alt.X(
                "local_time:T",
                title=f"local time, {zone.key}",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%d %b %H:%M", labelOverlap=True),
            ),
            y=alt.Y("nodes:Q", title="nodes of inference"),
            color=alt.Color("policy:N", scale=line_colours(list(plans))),
            strokeDash=alt.StrokeDash("policy:N", scale=line_dashes(list(plans))),
        )
    )
    description = "Nodes that inference holds under each policy, and under the best schedule that was found."
    if grid.count > shown:
        description += f" The last {_DAYS_SHOWN} days are drawn; the table has every day."
    return finish_chart("nodes", "Nodes over time", description, drawn, frame, rows)


def _beside(column: str, band: str | None) -> dict[str, str]:
    """A column with the band of the one before it; none where that has none."""
    return {} if band is None else {f"{column}_band": band}


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio
