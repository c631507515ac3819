"""The chart of training jobs: which job ran when, and what the GPUs of the lent nodes did."""

from datetime import datetime, timedelta

import altair as alt
import numpy as np
import polars as pl

from planner.report.colours import MAIN, MIDDLE, PALE, SECOND
from planner.report.drawing import Chart, ChartRows, finish_chart
from planner.runs.jobs import JobsView
from planner.runs.local_time import local_times
from planner.runs.read import RunView
from planner.units import S_PER_HOUR, US_PER_S

_WIDTH = 800
_COLORS = {"useful": MAIN, "loading": MIDDLE, "lost": SECOND, "unused": PALE}
_MOST_SEGMENTS = 1_500
"""Bars drawn at most: more would blur together, and pages stay small."""
_MOST_INTERVALS = 1_000
_LEAST_GPUS = 1e-6
"""Less is a rounding error, and not drawn."""


def job_charts(run: RunView, jobs: JobsView) -> list[Chart]:
    """The chart of a run's training jobs; none where no job ran."""
    return [jobs_chart(run, jobs)] if jobs.segments.height else []


def jobs_chart(run: RunView, jobs: JobsView) -> Chart:
    """A bar per job and uninterrupted period: loading, useful, lost; below it the GPUs of lent nodes by use."""
    bars = _bars(jobs.segments)
    x = _time(run)
    color = alt.Color("state:N", scale=alt.Scale(domain=list(_COLORS), range=list(_COLORS.values())))
    names = jobs.jobs["job"].unique(maintain_order=True).to_list()
    drawn = bars.sort("gpu_s", descending=True).head(_MOST_SEGMENTS).sort("from", "job")
    rows = ChartRows()
    # points that are not seen let the axis reach over the whole plan
    whole = alt.Chart(rows.of(_local(run, pl.DataFrame({"from": _edges(run)})))).mark_point(opacity=0).encode(x=x)
    gantt = (
        alt.Chart(rows.of(_local(run, drawn)))
        .mark_bar(height={"band": 0.7})
        .encode(x=x, x2="to:T", y=alt.Y("job:N", sort=names, title=None, axis=alt.Axis(labelLimit=110)), color=color)
    )
    use = (
        alt.Chart(rows.of(_local(run, _gpus_by_use(run, bars))))
        .mark_bar()
        .encode(x=x, x2="to:T", y=alt.Y("below:Q", title="GPUs of lent nodes"), y2="above:Q", color=color)
    )
    drawn_panels = alt.vconcat(
        (whole + gantt).properties(width=_WIDTH, height=alt.Step(24)),
        (whole + use).properties(width=_WIDTH, height=170),
    )
    s = jobs.summary
    description = (
        "Above, when each training job held nodes; below, the GPUs of all lent nodes by use, as means. "
        f"Of {s.lent_node_hours:,.0f} lent node-hours {s.useful_node_hours:,.1f} were useful, "
        f"{s.lost_node_hours:,.1f} lost when inference called nodes back, {s.restarting_node_hours:,.1f} spent "
        f"on loading and {s.unused_node_hours:,.1f} unused; {s.finished} of {s.jobs} jobs finished."
    )
    if bars.height > _MOST_SEGMENTS:
        description += f" The {_MOST_SEGMENTS:,} largest bars are drawn."
    title = "Training jobs"
    return finish_chart("jobs", title, description, drawn_panels, local_times(jobs.segments, run.scenario.zone), rows)


def job_table(run: RunView, jobs: JobsView) -> pl.DataFrame:
    """A row per job, for the page and CSV; times in ISO-8601 with the local offset."""
    what_came_out = (
        "job", "gpus", "status", "deadline_met", "call_backs", "useful_gpu_hours", "lost_gpu_hours",
        "restarting_gpu_hours", "value_usd",
    )  # fmt: skip
    others = [name for name in jobs.jobs.columns if name not in (*what_came_out, "job_index")]
    return local_times(jobs.jobs.select(*what_came_out, *others), run.scenario.zone)


def _bars(segments: pl.DataFrame) -> pl.DataFrame:
    """What a job did from when to when, with its GPU-seconds: loading, then useful, then lost."""
    parts = pl.col("restarting_gpu_s", "useful_gpu_s", "lost_gpu_s")
    whole = segments.group_by("job_index", "segment_index", maintain_order=True).agg(
        pl.col("job", "start_at").first(), pl.col("gpus").sum(), parts.sum()
    )
    frames, since = [], pl.col("start_at")
    for column, state in (("restarting_gpu_s", "loading"), ("useful_gpu_s", "useful"), ("lost_gpu_s", "lost")):
        until = since + pl.duration(seconds=pl.col(column) // pl.col("gpus"))
        frames.append(
            whole.select(
                "job", pl.lit(state).alias("state"), since.alias("from"), until.alias("to"), gpu_s=pl.col(column)
            )
        )
        since = until
    return pl.concat(frames).filter(pl.col("gpu_s") > 0)


def _gpus_by_use(run: RunView, bars: pl.DataFrame) -> pl.DataFrame:
    """Mean GPUs of lent nodes by what they did, stacked, interval by interval, or by hour in long plans."""
    start_us, per_node = _us(run.intervals["interval_start"])[0], run.scenario.fleet.gpus_per_node
    bin_s = run.record.interval_s
    count = run.intervals.height
    if count > _MOST_INTERVALS:
        count, bin_s = -(-count * bin_s // S_PER_HOUR), S_PER_HOUR
    edges = start_us + np.arange(count + 1, dtype=np.float64) * bin_s * US_PER_S
    gpu_s = {state: np.zeros(count) for state in _COLORS}

    def spread(state: str, from_us: int, to_us: int, gpu_seconds: float) -> None:
        gpu_s[state] += gpu_seconds / (to_us - from_us) * np.diff(edges.clip(from_us, to_us))

    times = zip(bars["state"], _us(bars["from"]), _us(bars["to"]), bars["gpu_s"], strict=True)
    for state, from_us, to_us, gpu_seconds in times:
        spread(state, from_us, to_us, gpu_seconds)
    used = sum(gpu_s.values())
    windows = run.training
    lent = zip(_us(windows["window_start"]), _us(windows["window_end"]), windows["training_node_hours"], strict=True)
    for from_us, to_us, node_hours in lent:
        spread("unused", from_us, to_us, node_hours * per_node * S_PER_HOUR)
    gpu_s["unused"] -= used
    starts = [run.intervals["interval_start"][0] + timedelta(seconds=bin_s * number) for number in range(count)]
    below = np.zeros(count)
    frames = []
    for state, seconds in gpu_s.items():
        above = below + seconds / bin_s
        frames.append(pl.DataFrame({"from": starts, "state": [state] * count, "below": below, "above": above}))
        below = above
    steps = pl.concat(frames).with_columns(to=pl.col("from") + pl.duration(seconds=bin_s))
    return steps.filter(pl.col("above") - pl.col("below") > _LEAST_GPUS)


def _us(times: pl.Series) -> list[int]:
    found: list[int] = times.dt.epoch("us").to_list()
    return found


def _time(run: RunView) -> alt.X:
    """Local time at the offset of the plan's start, on a UTC scale."""
    start, end = _edges(run)
    return alt.X(
        "from:T",
        title=f"local time, {run.record.timezone}",
        scale=alt.Scale(type="utc", nice=False),
        axis=alt.Axis(format="%H:%M" if (end - start).days < 2 else "%d %b", labelOverlap=True),
    )


def _edges(run: RunView) -> tuple[datetime, datetime]:
    """Where a plan begins and ends."""
    start, last = (run.intervals["interval_start"][index] for index in (0, -1))
    return start, last + timedelta(seconds=run.record.interval_s)


def _local(run: RunView, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame's times at the offset of the plan's start, without a zone."""
    offset = run.intervals["interval_start"][0].astimezone(run.scenario.zone).utcoffset()
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.col(times).dt.replace_time_zone(None) + offset)
