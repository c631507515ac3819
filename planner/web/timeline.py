"""The timeline of the first screen: what every node does, interval by interval, of plan A and of plan B."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from planner.report.colours import INK, MAIN, MARK, MIDDLE, PALE, SECOND
from planner.report.drawing import CONFIG
from planner.runs.read import RunView

STATES = {"serving": "serving", "starting": "starting or draining", "training": "training", "idle": "idle"}
"""What a node does, by its column, in words."""
_COLUMNS = {
    "serving": ("serving_node_s",),
    "starting": ("starting_node_s", "draining_node_s"),
    "training": ("training_node_s", "restoring_node_s"),
    "idle": ("idle_node_s",),
}
_COLOURS = {"serving": MAIN, "starting": SECOND, "training": MIDDLE, "idle": PALE}
_LINES = {"a": INK, "b": MARK}
Rows = Sequence[Mapping[str, Any]]


def shown_intervals(run: RunView, window: tuple[datetime, datetime] | None) -> pl.DataFrame:
    """The intervals of a plan that are looked at."""
    if window is None:
        return run.intervals
    start, end = window
    return run.intervals.filter((pl.col("interval_start") >= start) & (pl.col("interval_start") < end))


def timeline_rows(run: RunView, intervals: pl.DataFrame) -> list[dict[str, Any]]:
    """A row per interval: its local start, mean nodes by what they do, and the nodes that inference holds.

    Local times are at the zone's offset at the plan's start and look like UTC. The last row closes the last interval.
    """
    seconds = run.record.interval_s
    offset = run.intervals["interval_start"][0].astimezone(run.scenario.zone).utcoffset()
    closed = pl.concat(
        [intervals, intervals.tail(1).with_columns(pl.col("interval_start") + pl.duration(seconds=seconds))]
    )
    local = pl.col("interval_start").dt.replace_time_zone(None) + offset
    states = {state: pl.sum_horizontal(names) / seconds for state, names in _COLUMNS.items()}
    held = pl.col("inference_nodes").alias("held")
    return closed.select(local.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("start"), held, **states).to_dicts()


def timeline_table(run: RunView, intervals: pl.DataFrame) -> pl.DataFrame:
    """The same as a table."""
    rows = pl.DataFrame(timeline_rows(run, intervals)[:-1])
    return rows.with_columns(pl.col("start").str.slice(0, 16).str.replace("T", " ")).rename(
        {"start": "local_time", "held": "nodes_held"}
    )


def timeline_spec(run: RunView, intervals: pl.DataFrame, rows: Mapping[str, Rows]) -> dict[str, Any]:
    """The chart: areas of A by what nodes do, and a line for the nodes that inference holds in A, and in B.

    A drag over it chooses a time, in the selection `window`. rows: of each side.
    """
    start, end = (intervals["interval_start"][at].astimezone(run.scenario.zone) for at in (0, -1))
    offset = run.intervals["interval_start"][0].astimezone(run.scenario.zone).strftime("%z")
    x = {
        "field": "start",
        "type": "temporal",
        "title": f"local time, {run.record.timezone} (UTC{offset[:3]}:{offset[3:]})",
        "axis": {"format": "%H:%M" if (end - start).days < 2 else "%a %d %b", "labelOverlap": True, "tickCount": 8},
        "scale": {"type": "utc"},
    }
    words = "{" + ", ".join(f"{state}: '{text}'" for state, text in STATES.items()) + "}"
    area = {
        "data": {"name": "a"},
        "params": [{"name": "window", "select": {"type": "interval", "encodings": ["x"]}}],
        "transform": [
            {"fold": list(STATES), "as": ["key", "nodes"]},
            {"calculate": f"{words}[datum.key]", "as": "state"},
            {"calculate": f"indexof({list(STATES)}, datum.key)", "as": "order"},
        ],
        "mark": {"type": "area", "interpolate": "step-after"},
        "encoding": {
            "x": x,
            "y": {"field": "nodes", "type": "quantitative", "stack": "zero", "title": "nodes"},
            "order": {"field": "order", "type": "quantitative"},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": list(STATES.values()), "range": list(_COLOURS.values())},
                "legend": {"title": None, "orient": "top", "columns": 2},
            },
        },
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": 280,
        "layer": [area, *(_line(x, side, is_b=side == "b", named=len(rows) > 1) for side in rows)],
        "datasets": dict(rows),
        "config": CONFIG,
    }


def _line(x: dict[str, Any], side: str, *, is_b: bool, named: bool) -> dict[str, Any]:
    """Nodes that inference holds, of one side; dashed in B, and named at its end where there are two."""
    encoding = {"x": x, "y": {"field": "held", "type": "quantitative"}}
    line = {
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "stroke": _LINES[side],
            "strokeWidth": 2.5,
            "strokeDash": [6, 4] if is_b else [1, 0],
        },
        "encoding": encoding,
    }
    label = {
        # A at the left, B at the right, so that names of lines that are alike do not cover each other
        "transform": [
            {"window": [{"op": "row_number", "as": "row"}]},
            {"joinaggregate": [{"op": "count", "as": "rows"}]},
            {"filter": "datum.row == datum.rows" if is_b else "datum.row == 1"},
        ],
        "mark": {
            "type": "text",
            "align": "right" if is_b else "left",
            "dx": -4 if is_b else 4,
            "dy": -8,
            "fontSize": 13,
            "fontWeight": "bold",
            "fill": _LINES[side],
            "text": f"held in {side.upper()}",
        },
        "encoding": encoding,
    }
    return {"data": {"name": side}, "layer": [line, label] if named else [line]}
