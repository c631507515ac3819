"""The charts of a plan: Vega-Lite specifications made by Altair, each with a title, a description and its table.

Lines differ by dash as well as by colour and areas by lightness, so that they stay distinct in black and
white. Times are local wall-clock times on a UTC scale, with the zone in the axis title: they look the same in
every browser.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import polars as pl

from planner.report.colours import EDGE, MAIN, PALE, SECOND
from planner.report.drawing import Chart, ChartRows, finish_chart
from planner.report.flags import flag_marks, flag_words, shown_flags
from planner.report.run_flags import NO_FLAGS, RunFlags
from planner.report.week_charts import is_long, week_charts
from planner.runs.local_time import local_times
from planner.runs.packing import held_units
from planner.runs.read import RunView
from planner.units import US_PER_S, from_us

_WIDTH = 900
_ROOM = 0.2
"""Share of the fleet from which training holds enough nodes for the words to stand in its area. Assumed."""

_LEVELS = ("level", "change")
_MOST_POINTS = 500
"""Above this many intervals lines are drawn by hour: more would blur together, and pages stay small."""


def charts(run: RunView, published_nodes: Mapping[int, int], flags: RunFlags = NO_FLAGS) -> list[Chart]:
    """All charts of a run. published_nodes: interval start in microseconds -> nodes, empty if none was published.

    flags: what is shaded in the demand.
    """
    over_time = week_charts(run) if is_long(run) else [node_chart(run, published_nodes), economics_chart(run)]
    waterfall = [waterfall_chart(run)] if has_steps(run) else []
    return [*over_time, demand_chart(run, flags), *waterfall]


def node_table(run: RunView, published_nodes: Mapping[int, int]) -> pl.DataFrame:
    """Nodes of inference and training in every interval, with the published ones where there are any."""
    return local_times(_nodes(run, published_nodes), run.scenario.zone)


def _nodes(run: RunView, published_nodes: Mapping[int, int]) -> pl.DataFrame:
    columns = ("interval_start", *(("aggregated_units",) if held_units(run) else ()))
    frame = run.intervals.select(*columns, "inference_nodes", "training_nodes").with_columns(
        published_nodes=pl.col("interval_start")
        .dt.epoch("us")
        .replace_strict(dict(published_nodes), default=None, return_dtype=pl.Int64)
    )
    return frame if frame["published_nodes"].is_not_null().any() else frame.drop("published_nodes")


def node_chart(run: RunView, published_nodes: Mapping[int, int]) -> Chart:
    """Inference nodes over time, with the published ones, and nodes in training as an area."""
    frame = _nodes(run, published_nodes)
    lines = {"inference_nodes": "inference", "published_nodes": "inference, published"}
    if "published_nodes" not in frame.columns:
        lines.pop("published_nodes")
    drawn = _drawn(run, frame)
    long = drawn.unpivot(list(lines), index="local_time", variable_name="series", value_name="nodes")
    long = long.with_columns(pl.col("series").replace_strict(lines)).drop_nulls("nodes")
    rows = ChartRows()
    area = (
        alt.Chart(
            rows.of(
                drawn.with_columns(
                    top=pl.col("inference_nodes") + pl.col("training_nodes"),
                    series=pl.lit("lent to training"),
                )
            )
        )
        .mark_area(interpolate="step-after", opacity=1, line={"color": EDGE, "strokeWidth": 1})
        .encode(
            x=_time(run),
            y=alt.Y("inference_nodes:Q", title="nodes"),
            y2="top:Q",
            fill=alt.Fill(
                "series:N",
                scale=alt.Scale(domain=["lent to training"], range=[PALE]),
                legend=alt.Legend(symbolType="square"),
            ),
        )
    )
    names = list(lines.values())
    line = (
        alt.Chart(rows.of(long))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=_time(run),
            y=alt.Y("nodes:Q", title="nodes"),
            color=_color(names, [MAIN, SECOND]),
            strokeDash=_dash(names),
        )
    )
    return _chart(
        "nodes",
        "Nodes serving and training",
        _node_words(run, frame),
        alt.layer(area, line, *_lent_words(run, drawn, rows)),
        run,
        frame,
        rows=rows,
    )


def _node_words(run: RunView, frame: pl.DataFrame) -> str:
    """The description of the nodes over time."""
    s, units = run.summary, held_units(run)
    text = (
        f"Nodes that inference holds over time: peak {s.peak_nodes}, mean {s.mean_nodes:,.2f}. "
        f"Above the line, in grey, the nodes lent to training: {s.training_node_hours:,.0f} node-hours."
    )
    if units:
        text += f" Units on them: {units.text}."
    if "published_nodes" in frame.columns:
        same = frame.filter(pl.col("inference_nodes") == pl.col("published_nodes")).height
        known = frame["published_nodes"].is_not_null().sum()
        text += f" Dashed: the published timeline, equal in {same} of {known} intervals."
    return text


def _lent_words(run: RunView, drawn: pl.DataFrame, rows: ChartRows) -> list[alt.Chart]:
    """What the area of training is, in its midst, where it is large enough for words."""
    most = drawn["training_nodes"].max()
    if not isinstance(most, int) or most < _ROOM * run.scenario.fleet.nodes:
        return []
    largest = drawn.filter(pl.col("training_nodes") == most)
    middle = largest.slice(largest.height // 2, 1).with_columns(
        at=pl.col("inference_nodes") + pl.col("training_nodes") / 2, words=pl.lit("lent to training")
    )
    return [alt.Chart(rows.of(middle)).mark_text(fontSize=12).encode(x=_time(run), y="at:Q", text="words:N")]


def economics_chart(run: RunView) -> Chart:
    """Cost and revenue per hour."""
    frame = run.hours.select("hour_start", "cost_usd", "revenue_usd", "expected_revenue_usd")
    drawn = _local(run, frame, "hour_start").with_columns(
        hour_end=pl.col("local_time") + pl.duration(minutes=54),
        local_time=pl.col("local_time") + pl.duration(minutes=6),
    )
    names = ["theoretical revenue", "cost of inference", "expected revenue"]
    color = _color(names, [PALE, MAIN, SECOND])

    rows = ChartRows()

    def bars(column: str, name: str) -> Any:
        return (
            alt.Chart(rows.of(drawn.with_columns(series=pl.lit(name))))
            .mark_bar(stroke=EDGE, strokeWidth=0.7)
            .encode(
                x=_time(run),
                x2="hour_end:T",
                y=alt.Y(f"{column}:Q", title="US dollars per hour", axis=alt.Axis(format="$,.0f")),
                y2=alt.datum(0),
                color=color,
            )
        )

    ticks = (
        alt.Chart(rows.of(drawn.with_columns(series=pl.lit(names[2]))))
        .mark_rule(strokeWidth=3)
        .encode(x=_time(run), x2="hour_end:T", y="expected_revenue_usd:Q", color=color)
    )
    s = run.summary
    description = (
        f"Per hour, theoretical revenue as light bars ({_dollars(s.revenue_usd)} in all), expected revenue as lines "
        f"({_dollars(s.expected_revenue_usd)}) and the cost of inference as dark bars ({_dollars(s.cost_usd)})."
    )
    layers = bars("revenue_usd", names[0]) + bars("cost_usd", names[1]) + ticks
    return _chart("economics", "Cost and revenue per hour", description, layers, run, frame, rows=rows)


def demand_chart(run: RunView, flags: RunFlags = NO_FLAGS) -> Chart:
    """Token rates demanded against those the serving nodes carry, of input and of output; flags are shaded."""
    seconds = run.record.interval_s
    both = run.scenario.fleet.serving == "aggregated"
    roles = (
        ("input tokens" if both else "prefill, input tokens", "input_tokens", "prefill_serving_tokens"),
        ("output tokens" if both else "decode, output tokens", "output_tokens", "decode_serving_tokens"),
    )
    frame = run.intervals.select(
        "interval_start",
        *(
            (pl.col(column) / seconds).alias(f"{column.removesuffix('_tokens')}_tokens_per_s")
            for _, demand, capacity in roles
            for column in (demand, capacity)
        ),
    )
    drawn = _drawn(run, frame)
    shown = _shown(run, flags)
    rows = ChartRows()
    marks = flag_marks(shown, _time(run), rows)
    names = ["demand", f"capacity of serving {'units' if both else 'nodes'}"]
    panels = []
    for title, demand, capacity in roles:
        columns = {
            f"{demand.removesuffix('_tokens')}_tokens_per_s": names[0],
            f"{capacity.removesuffix('_tokens')}_tokens_per_s": names[1],
        }
        long = drawn.unpivot(list(columns), index="local_time", variable_name="series", value_name="rate").with_columns(
            pl.col("series").replace_strict(columns), rate=pl.col("rate") / 1e6
        )
        lines = (
            alt.Chart(rows.of(long))
            .mark_line(interpolate="step-after", strokeWidth=2)
            .encode(
                x=_time(run),
                y=alt.Y("rate:Q", title="million tokens/s"),
                color=_color(names, [SECOND, MAIN]),
                strokeDash=_dash(names),
            )
        )
        layers = alt.layer(*marks, lines) if marks else lines
        panels.append(
            layers.properties(width=_WIDTH, height=160, title=alt.Title(title, fontSize=12, fontWeight="normal"))
        )
    s = run.summary
    carried = "carried by the serving nodes (dashed), for prefill and decode"
    if both:
        carried = "that units carry while they serve, at the mix of each interval (dashed), of input and of output"
    description = (
        f"Token rates demanded (solid) and {carried}. "
        f"Demand beyond capacity: {s.shortfall_tokens:,} tokens, {s.shortfall_ratio:.3%} of all."
    )
    description += flag_words(shown)
    if flags.problem:
        description += f" What forecasts heed is not shown: {flags.problem}."
    return _chart(
        "demand", "Demand against capacity", description, alt.vconcat(*panels, spacing=24), run, frame, rows=rows
    )


def has_steps(run: RunView) -> bool:
    """Whether anything lies between theoretical and expected revenue."""
    return _steps(run).height > len(_LEVELS)


def waterfall_chart(run: RunView) -> Chart:
    """From theoretical to expected revenue, by the steps that change something."""
    frame = _steps(run)
    steps, level = [], 0.0
    for index, (step, amount) in enumerate(frame.rows()):
        is_level = index in (0, frame.height - 1)
        start = 0.0 if is_level else level
        level = amount if is_level else level + amount
        kind = "level" if is_level else "change"
        steps.append({"step": step, "from": start, "to": level, "kind": kind, "label": f"{_dollars(amount)} {step}"})
    rows = ChartRows()
    order = frame["step"].to_list()
    base = alt.Chart(rows.of(pl.DataFrame(steps)), height=alt.Step(46)).encode(
        y=alt.Y("step:N", sort=order, title=None, axis=None)
    )
    bars = base.mark_bar(height={"band": 0.45}, yOffset=8).encode(
        x=alt.X("from:Q", title="US dollars", axis=alt.Axis(format="$,.0f", labelOverlap=True)),
        x2="to:Q",
        color=alt.Color("kind:N", scale=alt.Scale(domain=list(_LEVELS), range=[MAIN, SECOND])),
    )
    # above the bars, where there is room for words on a narrow page as well
    labels = base.mark_text(align="left", dy=-11, fontSize=12).encode(x=alt.value(0), text="label:N")
    first, last = frame["amount_usd"][0], frame["amount_usd"][-1]
    description = (
        f"From theoretical revenue, {_dollars(first)}, to expected revenue, {_dollars(last)}, by the steps that change "
        "it; their shares are scenario inputs."
    )
    return _chart("waterfall", "Theoretical to expected revenue", description, bars + labels, run, frame, rows=rows)


def _steps(run: RunView) -> pl.DataFrame:
    """Both levels, and the steps between them that change something."""
    numbered = run.waterfall.with_row_index()
    is_level = pl.col("index").is_in([0, numbered.height - 1])
    return numbered.filter(is_level | (pl.col("amount_usd") != 0)).select("step", "amount_usd")


def _chart(
    name: str, title: str, description: str, layers: Any, run: RunView, frame: pl.DataFrame, *, rows: ChartRows
) -> Chart:
    heights = {"nodes": 300, "economics": 260}
    if name != "demand":  # which has the width of its panels
        layers = layers.properties(width=_WIDTH)
    if name in heights:
        layers = layers.properties(height=heights[name])
    if run.intervals.height > _MOST_POINTS and name in ("nodes", "demand"):
        description += " Drawn by hour: peak demand and held nodes, least serving and training;"
        description += " the table has every interval."
    return finish_chart(name, title, description, layers, local_times(frame, run.scenario.zone), rows)


def _drawn(run: RunView, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as it is drawn, in local time, closed at the end of the last interval.

    Where it is long it is drawn by hour: the most that is demanded and held, the least that serves and trains.
    """
    step = pl.duration(seconds=run.record.interval_s)
    last = frame.tail(1).with_columns(pl.col("interval_start") + step)
    closed = pl.concat([frame, last])
    if frame.height > _MOST_POINTS:
        cautious = [name for name in frame.columns if name.startswith("training") or "serving" in name]
        closed = closed.group_by_dynamic("interval_start", every="1h").agg(
            pl.col(cautious).min(), pl.exclude("interval_start", *cautious).max()
        )
    return _local(run, closed, "interval_start")


def _local(run: RunView, frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Time at the zone's offset at the start of the plan in the column `local_time`, without a zone."""
    offset = _offset(run)
    return frame.with_columns(local_time=pl.col(column).dt.replace_time_zone(None) + offset).drop(column)


def _shown(run: RunView, flags: RunFlags) -> pl.DataFrame:
    """The flags within the plan, in the time of its charts."""
    offset, starts = _offset(run), run.intervals["interval_start"].dt.epoch("us")
    end_us = int(starts[-1]) + run.record.interval_s * US_PER_S
    return shown_flags(
        flags.findings, int(starts[0]), end_us, lambda at_us: from_us(at_us).replace(tzinfo=None) + offset
    )


def _offset(run: RunView) -> timedelta:
    start: datetime = run.intervals["interval_start"][0].astimezone(run.scenario.zone)
    offset = start.utcoffset()
    assert offset is not None
    return offset


def _time(run: RunView) -> alt.X:
    """The axis of local time. Data carry local times as if they were UTC, and the scale is UTC.

    One offset holds for the whole axis, so that no time comes twice where the clock changes.
    """
    start, end = (run.intervals["interval_start"][index].astimezone(run.scenario.zone) for index in (0, -1))
    offset = start.strftime("%z")
    title = f"local time, {run.record.timezone} (UTC{offset[:3]}:{offset[3:]})"
    if end.utcoffset() != start.utcoffset():
        title += " at the start; the clock changes during the plan"
    span = end - start
    pattern = "%H:%M" if span.days < 2 else "%d %b"
    return alt.X(
        "local_time:T",
        title=title,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format=pattern, labelOverlap=True),
    )


def _color(names: list[str], colors: list[str]) -> alt.Color:
    return alt.Color("series:N", scale=alt.Scale(domain=names, range=colors[: len(names)]))


def _dash(names: list[str]) -> alt.StrokeDash:
    return alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 4]][: len(names)]))


def _dollars(amount: float) -> str:
    return f"-${-amount:,.0f}" if amount < 0 else f"${amount:,.0f}"
