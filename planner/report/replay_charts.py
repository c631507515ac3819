"""Charts of a replay: percentile bands of latency by hour; queues, streams and KV by minute."""

import altair as alt
import polars as pl

from planner.report.colours import EDGE, MAIN, MIDDLE, PALE
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes
from planner.runs.local_time import local_times
from planner.runs.read import ReplayView, RunView

_WIDTH = 900

_FEW_HOURS, _MOST_WIDTH = 8, 60
"""Fewer hours have bars of so many pixels. Assumed: a page has room for as many."""
_NAMES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "time to last token"}


def replay_charts(run: RunView, replay: ReplayView) -> list[Chart]:
    """The charts of a run's replay."""
    return [latency_chart(run, replay), attainment_chart(run, replay), use_chart(run, replay)]


def latency_chart(run: RunView, replay: ReplayView) -> Chart:
    """Median, 90th and 99th percentile of each latency, hour by hour of arrival."""
    wide = replay.percentiles.pivot("percentile", index=["interval_start", "metric"], values="latency_ms")
    wide = wide.rename({name: f"p{name}" for name in wide.columns if name.isdigit()})
    zone = run.scenario.zone
    local = wide.with_columns(
        hour=pl.Series([moment.astimezone(zone).strftime("%d %H:%M") for moment in wide["interval_start"]])
    )
    panels, rows = [], ChartRows()
    for metric, name in _NAMES.items():
        own = local.filter(pl.col("metric") == metric).drop("interval_start")
        base = alt.Chart(rows.of(own), width=_WIDTH, height=150).encode(
            x=alt.X("hour:O", title="local hour of arrival", axis=alt.Axis(labelAngle=0, labelOverlap=True))
        )
        # a few hours have bars no wider than those of many
        size = _MOST_WIDTH if own.height < _FEW_HOURS else alt.Undefined
        y = alt.Y("p50:Q", title=f"{name}, ms")
        panels.append(
            alt.layer(
                base.mark_bar(color=PALE, stroke=EDGE, strokeWidth=0.7, size=size).encode(y=y, y2="p99:Q"),
                base.mark_bar(color=MIDDLE, size=size).encode(y=alt.Y("p50:Q"), y2="p90:Q"),
                base.mark_tick(color=MAIN, thickness=3, width=18).encode(y=alt.Y("p50:Q")),
            )
        )
    description = (
        f"Latency of {replay.summary.completed:,} completed requests: the line is the median, the dark bar reaches "
        "the 90th and the light one the 99th percentile."
    )
    return finish_chart(
        "latency", "Latency for users", description, alt.vconcat(*panels), local_times(local.drop("hour"), zone), rows
    )


def attainment_chart(run: RunView, replay: ReplayView) -> Chart:
    """Share of requests within the targets, hour by hour of arrival and class by class."""
    zone, slo = run.scenario.zone, run.scenario.slo
    named = replay.attainment.with_columns(
        pl.col("class").fill_null("all"),
        hour=pl.Series([at.astimezone(zone).strftime("%d %H:%M") for at in replay.attainment["interval_start"]]),
    )
    classes = named["class"].unique(maintain_order=True).to_list()
    by_class = {
        "color": alt.Color("class:N", scale=line_colours(classes)),
        "strokeDash": alt.StrokeDash("class:N", scale=line_dashes(classes)),
    }
    rows = ChartRows()
    panels = [
        alt.Chart(rows.of(named.select("hour", "class", name).drop_nulls()), width=_WIDTH, height=120)
        .mark_line(point=True if len(classes) > 1 else alt.OverlayMarkDef(color=MAIN), color=MAIN)
        .encode(
            x=alt.X("hour:O", title="local hour of arrival", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            **(by_class if len(classes) > 1 else {}),
        )
        for name, title in (("ttft_attainment", "TTFT in time"), ("tpot_attainment", "TPOT in time"))
    ]
    description = (
        f"Share of requests with a first token within {slo.ttft_ms:,.0f} ms, and with at most {slo.tpot_ms:,.1f} ms "
        "per further token. Requests that were rejected, or had not finished at the end though their time had passed, "
        "were not in time."
    )
    return finish_chart(
        "attainment", "Targets met", description, alt.vconcat(*panels), local_times(replay.attainment, zone), rows
    )


def use_chart(run: RunView, replay: ReplayView) -> Chart:
    """Requests waiting for either role, streams per unit that decodes and KV in use, minute by minute."""
    zone, both = run.scenario.zone, run.scenario.fleet.serving == "aggregated"
    offset = replay.minutes["minute_start"][0].astimezone(zone).utcoffset()
    local = replay.minutes.with_columns(local_time=pl.col("minute_start").dt.replace_time_zone(None) + offset)
    queues = {"prefill_queue_requests": "prefill queue", "decode_queue_requests": "decode queue"}
    series = {
        **({"prefill_queue_requests": "queue"} if both else queues),
        "streams_per_unit": "streams per unit",
        "kv_tokens_per_unit": "KV tokens per unit",
    }
    rows = ChartRows()
    panels = [
        alt.Chart(rows.of(local.select("local_time", name)), width=_WIDTH, height=120)
        .mark_line(color=MAIN, strokeWidth=2)
        .encode(
            x=alt.X("local_time:T", title="local time", scale=alt.Scale(type="utc"), axis=alt.Axis(format="%H:%M")),
            y=alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format="~s")),
        )
        for name, title in series.items()
    ]
    description = (
        f"Requests waiting{'' if both else ' for prefill and for decode'}, and streams and tokens of KV per "
        f"{'' if both else 'decode '}unit: means over each minute, warm-up and cool-down included. At most "
        f"{replay.summary.kv_peak_ratio:.0%} of a unit's KV memory was in use while requests were counted."
    )
    return finish_chart(
        "use", "Queues, streams and memory", description, alt.vconcat(*panels), local_times(replay.minutes, zone), rows
    )
