"""The page of a sweep: quantiles, what matters most, how outcomes spread."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import altair as alt
import polars as pl

from planner.report.colours import MAIN, MIDDLE
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes
from planner.report.pages import write_page
from planner.studies.sweep.case import Metric
from planner.studies.sweep.document import SweepDocument

_WIDTH = 900
_SHOWN: dict[Metric, tuple[str, str]] = {
    "cost_usd": ("cost of inference, US dollars", "$,.0f"),
    "shortfall_ratio": ("shortfall, share of tokens", ".1%"),
}
"""Metrics that are drawn, with the titles and formats of their axes."""
_POINTS = 201
"""Quantiles that a curve of the spread is drawn through."""


def write_sweep_page(sweep: SweepDocument, cases: pl.DataFrame, folder: Path) -> list[Path]:
    """Write the page, charts as SVG and PNG and tables as CSV into a folder; returns the files. Raises PlannerError.

    cases: a row per case, as in the table sweep_case.
    """
    drawn = [tornado_chart(sweep), spread_chart(sweep, cases)]
    tables = {chart.name: chart.table for chart in drawn} | {
        "parameters": parameter_table(sweep),
        "quantiles": quantile_table(sweep),
        "attainment": attainment_table(sweep),
        "cases": cases,
    }
    return write_page("sweep.html.j2", folder, drawn, tables, {"sweep": sweep})


def tornado_chart(sweep: SweepDocument) -> Chart:
    """What each uncertain value does by itself to cost and to shortfall, the widest first; of the first policy."""
    frame = pl.DataFrame(map(asdict, sweep.tornado), infer_schema_length=None).rename({"from_": "from"})
    panels, rows = [], ChartRows()
    for metric, (title, axis) in _SHOWN.items():
        bars = frame.filter(pl.col("metric") == metric)
        order = bars["parameter"].to_list()
        long = pl.concat(
            bars.select("parameter", "base", pl.col(end).alias("value"), series=pl.lit(name))
            for end, name in (("low", "low end"), ("high", "high end"))
        ).sort((pl.col("value") - pl.col("base")).abs(), descending=True)
        y = alt.Y("parameter:N", sort=order, title=None, axis=None)
        ends = (
            alt.Chart(rows.of(long))
            .mark_bar(height={"band": 0.42}, yOffset=8)
            .encode(
                x=alt.X("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=axis)),
                x2="base:Q",
                y=y,
                color=alt.Color(
                    "series:N",
                    scale=alt.Scale(domain=["low end", "high end"], range=[MIDDLE, MAIN]),
                    legend=alt.Legend(),
                ),
            )
        )
        rule = alt.Chart(rows.of(long.head(1))).mark_rule(strokeWidth=1.5).encode(x="base:Q")
        # above the bars, where there is room for words on a narrow page as well
        names = (
            alt.Chart(rows.of(bars.select("parameter")))
            .mark_text(align="left", dx=4, dy=-9, fontSize=12)
            .encode(x=alt.value(0), y=y, text="parameter:N")
        )
        panels.append((ends + rule + names).properties(width=_WIDTH, height=40 * len(order)))
    widest = {metric: frame.filter(pl.col("metric") == metric).head(1).to_dicts()[0]["parameter"] for metric in _SHOWN}
    description = (
        f"Each uncertain value from the low to the high end of its range, all others as in the scenario, for "
        f"{sweep.policy}; the line is the scenario. Cost depends most on {widest['cost_usd']}, shortfall on "
        f"{widest['shortfall_ratio']}. Bars of the noise reach from the 5 % to the 95 % quantile of its draws."
    )
    table = _in_per_cent(frame, ("base", "low", "high", "swing"))
    return finish_chart("tornado", "What matters most", description, alt.vconcat(*panels, spacing=30), table, rows)


def spread_chart(sweep: SweepDocument, cases: pl.DataFrame) -> Chart:
    """The share of the sampled cases at or below a cost and a shortfall, for every policy."""
    names = [each.policy for each in sweep.policies]
    shares = [step / (_POINTS - 1) for step in range(_POINTS)]
    sampled = cases.filter(pl.col("role") == "sample").with_columns(
        cost_usd=pl.col("cost_usd_micros") / 1e6,
        shortfall_ratio=pl.when(pl.col("demanded_tokens") > 0)
        .then(pl.col("shortfall_tokens") / pl.col("demanded_tokens"))
        .otherwise(0.0),
    )
    frame = pl.concat(
        pl.DataFrame({"policy": [name] * _POINTS, "share_of_cases": shares}).with_columns(
            pl.Series(metric, [values.quantile(share, "linear") for share in shares])
            for metric in _SHOWN
            for values in (sampled.filter(pl.col("policy") == name)[metric],)
        )
        for name in names
    )
    rows = ChartRows()
    panels = [
        alt.Chart(rows.of(frame.with_columns(series=pl.col("policy"))))
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X(f"{metric}:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=axis)),
            y=alt.Y("share_of_cases:Q", title="share of cases at or below", axis=alt.Axis(format=".0%")),
            order="share_of_cases:Q",
            color=alt.Color("series:N", scale=line_colours(names)),
            strokeDash=alt.StrokeDash("series:N", scale=line_dashes(names)),
        )
        .properties(width=_WIDTH, height=200)
        for metric, (title, axis) in _SHOWN.items()
    ]
    held = ", ".join(f"{each.policy} {each.attainment.max_shortfall_ratio.ratio:.0%}" for each in sweep.policies)
    description = (
        f"Share of the {sweep.cases:,} sampled cases with a cost, and with a shortfall, at or below each value. "
        f"Cases within slo.max_shortfall_ratio: {held}."
    )
    return finish_chart("spread", "How outcomes spread", description, alt.vconcat(*panels, spacing=30), frame, rows)


def quantile_table(sweep: SweepDocument) -> pl.DataFrame:
    """A row per policy and metric: the scenario's own figure, quantiles and mean of the samples."""
    rows = [
        {"policy": each.policy, "metric": metric, "scenario": each.base.value(metric), **asdict(quantiles)}
        for each in sweep.policies
        for metric, quantiles in each.quantiles.items()
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return _in_per_cent(frame, frame.columns[2:])


def _in_per_cent(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Figures with ratios in per cent, named accordingly: displayed tables have two decimals."""
    is_ratio = pl.col("metric").str.ends_with("_ratio")
    factor = pl.when(is_ratio).then(100.0).otherwise(1.0)
    name = pl.col("metric").str.replace("_ratio$", " (%)").str.replace_all("_", " ")
    return frame.with_columns(*(pl.col(column) * factor for column in columns), metric=name)


def parameter_table(sweep: SweepDocument) -> pl.DataFrame:
    """The ranges; numbers as text, since some are small and some are not."""
    numbers = ("low", "high", "base")
    rows = [
        {name: f"{value:.5g}" if name in numbers and value is not None else value for name, value in vars(each).items()}
        for each in sweep.parameters
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def attainment_table(sweep: SweepDocument) -> pl.DataFrame:
    """A row per policy and limit: how many of the cases meet it."""
    rows = [
        {"policy": each.policy, "limit_on": name, **asdict(met)}
        for each in sweep.policies
        for name, met in each.attainment.limits
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
