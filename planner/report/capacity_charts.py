"""Charts of what units can do, with the 90 % band of their times."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from planner.capacity.documents import BatchRow, CapacityCurve
from planner.core.fleet.region import CapacityRegion
from planner.report.colours import MAIN, PALE, SECOND
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes

_WIDTH = 900


def batch_chart(curve: CapacityCurve, streams: float) -> Chart:
    """Time per output token and tokens/s of a decode node by its batch. streams: per GPU at which the target is met."""
    times = curve.times
    table = pl.DataFrame(
        {
            "streams": row.streams,
            "tpot_ms": row.tpot_ms,
            "tpot_ms low": row.tpot_ms * times.low,
            "tpot_ms high": row.tpot_ms * times.high,
            "tokens_per_s_per_node": row.tokens_per_s_per_node,
            "tokens_per_s_per_node low": row.tokens_per_s_per_node / times.high,
            "tokens_per_s_per_node high": row.tokens_per_s_per_node / times.low,
        }
        for row in curve.rows
        if isinstance(row, BatchRow)
    )
    rows = ChartRows()
    target = alt.Chart(rows.of(pl.DataFrame({"at": [curve.target_tpot_ms]}))).mark_rule(color=SECOND, strokeDash=[6, 4])
    drawn = alt.vconcat(
        _panel(rows, table, "tpot_ms", "ms per output token") + target.encode(y="at:Q"),
        _panel(rows, table, "tokens_per_s_per_node", "output tokens/s per node"),
    )
    description = (
        "Above, the time per output token by streams per GPU, with its 90 % band; the dashed line is the target of "
        f"{curve.target_tpot_ms:g} ms, which {streams:g} streams meet. Below, output tokens/s of a node."
    )
    return finish_chart("batch", "Decode by batch", description, drawn, table, rows)


def _panel(rows: ChartRows, table: pl.DataFrame, name: str, title: str) -> Any:
    frame = table.select("streams", value=name, low=f"{name} low", high=f"{name} high")
    base = alt.Chart(rows.of(frame), width=_WIDTH, height=190).encode(x=alt.X("streams:Q", title="streams per GPU"))
    band = base.mark_area(color=PALE).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    return band + base.mark_line(color=MAIN, strokeWidth=2.5).encode(y=alt.Y("value:Q", title=title))


def region_chart(regions: Mapping[str, CapacityRegion]) -> Chart:
    """What a unit carries of input and output at once. regions: by what they are of."""
    table = pl.DataFrame(
        {"series": name, "input_tokens_per_s": inputs, "output_tokens_per_s": outputs}
        for name, region in regions.items()
        for inputs, outputs in region.pairs
    )
    rows, names = ChartRows(), list(regions)
    drawn = (
        alt.Chart(rows.of(table), width=_WIDTH, height=300)
        .mark_line(point=True, strokeWidth=2.5)
        .encode(
            x=alt.X("input_tokens_per_s:Q", title="input tokens/s of a unit"),
            y=alt.Y("output_tokens_per_s:Q", title="output tokens/s of a unit"),
            color=alt.Color("series:N", scale=line_colours(names)),
            strokeDash=alt.StrokeDash("series:N", scale=line_dashes(names)),
            order="input_tokens_per_s:Q",
        )
    )
    description = (
        f"Input and output tokens a second that a unit keeps up at once: {', '.join(names)}. What is less of one kind "
        "at the same of the other is carried too."
    )
    return finish_chart("region", "What a unit carries", description, drawn, table, rows)
