"""Curves of a capacity study as a chart: SVG, PNG or a self-contained page."""

import json
from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from planner.capacity.documents import CapacityCurve, Sweep
from planner.errors import PlannerError, UsageError
from planner.files import atomic_write
from planner.report.colours import MAIN, PAGE
from planner.report.drawing import CONFIG, ChartRows

_AXES: dict[Sweep, tuple[str, str]] = {
    "batch": ("streams", "streams per GPU"),
    "kv": ("kv_tokens", "mean KV length, tokens"),
    "hit": ("hit_ratio", "cache hit ratio"),
    "ep": ("ep", "GPUs that share the experts"),
}
_RATE, _COST = ("tokens_per_s_per_node", "tokens/s per node"), ("usd_per_million_tokens", "USD per million tokens")
_BATCH, _TPOT = ("streams", "largest batch per GPU"), ("tpot_ms", "time per output token, ms")
_SERIES: dict[Sweep, tuple[tuple[str, str], ...]] = {
    "batch": (_RATE, _TPOT, _COST),
    "kv": (_BATCH, _RATE, _COST),
    "hit": (_RATE, _COST),
    "ep": (_BATCH, _RATE, _COST),
}
_WIDTH, _HEIGHT = 760, 170


def write_curve(curve: CapacityCurve, path: Path, subtitle: str) -> None:
    """Draw a curve. subtitle: the fixed conditions.

    Raises UsageError for another extension or a missing folder, PlannerError if the file cannot be written.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder; create it, or name another --chart")
    spec = _specification(curve, subtitle)
    if path.suffix == ".svg":
        content = vl_convert.vegalite_to_svg(spec).encode()
    elif path.suffix == ".png":
        content = vl_convert.vegalite_to_png(spec, scale=2)
    elif path.suffix == ".html":
        content = vl_convert.vegalite_to_html(spec, bundle=True).encode()
    else:
        raise UsageError(f'{path} has the extension "{path.suffix}"; use .svg, .png or .html for --chart')
    try:
        with atomic_write(path) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another --chart") from error


def _specification(curve: CapacityCurve, subtitle: str) -> str:
    """The chart in Vega-Lite, as JSON."""
    field, title = _AXES[curve.sweep]
    # a batch of 0 means that nothing fits or meets the target: it is not a point of the curve
    frame = pl.DataFrame([vars(row) for row in curve.rows if row.tokens_per_s_per_node])
    if frame.is_empty():
        raise UsageError("no point of the curve can be served; relax --tpot-ms or use other nodes")
    rows = ChartRows()
    panels = [
        alt.Chart(rows.of(frame.select(field, name)), width=_WIDTH, height=_HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(color=MAIN), strokeWidth=2.5, color=MAIN)
        .encode(
            x=alt.X(f"{field}:Q", title=title, scale=_scale(curve.sweep, frame[field].to_list())),
            y=alt.Y(f"{name}:Q", title=label),
        )
        for name, label in _SERIES[curve.sweep]
    ]
    head = f"{curve.model} on {curve.node}, weights {curve.weights}, KV {curve.kv}"
    chart = alt.vconcat(*panels).properties(
        title=alt.TitleParams(head, subtitle=subtitle), background=PAGE["paper"].light
    )
    return json.dumps({**chart.configure(**CONFIG).to_dict(validate=False), "datasets": rows.sets})


def _scale(what: Sweep, values: list[float]) -> alt.Scale:
    """KV lengths by their logarithm, from the shortest drawn to the longest: whole decades would leave gaps."""
    if what != "kv":
        return alt.Scale(zero=False)
    return alt.Scale(type="log", domain=[min(values), max(values)], nice=False)
