"""Curves of a capacity study as a chart: SVG, PNG or a self-contained page."""

from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from planner.errors import PlannerError, UsageError
from planner.report.drawing import CONFIG, inline_values

_AXES = {
    "batch": ("streams", "streams per GPU"),
    "kv": ("kv_tokens", "mean KV length, tokens"),
    "hit": ("hit_ratio", "cache hit ratio"),
    "ep": ("ep", "GPUs that share the experts"),
}
_RATE, _COST = ("tokens_per_s_per_node", "tokens/s per node"), ("usd_per_million_tokens", "USD per million tokens")
_BATCH, _TPOT = ("streams", "largest batch per GPU"), ("tpot_ms", "time per output token, ms")
_SERIES = {
    "batch": (_RATE, _TPOT, _COST),
    "kv": (_BATCH, _RATE, _COST),
    "hit": (_RATE, _COST),
    "ep": (_BATCH, _RATE, _COST),
}
_WIDTH, _HEIGHT = 760, 170
_COLOUR = "#0b4f6c"


def write_curve(found: dict[str, Any], path: Path, subtitle: str) -> None:
    """Draw a sweep of `planner.studies`. subtitle: what is held fixed.

    Raises UsageError for another ending or a folder that is not there, PlannerError where the file cannot be written.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: is no folder; make it, or name another --chart")
    spec = _specification(found, subtitle)
    if path.suffix == ".svg":
        content = vl_convert.vegalite_to_svg(spec).encode()
    elif path.suffix == ".png":
        content = vl_convert.vegalite_to_png(spec, scale=2)
    elif path.suffix == ".html":
        content = vl_convert.vegalite_to_html(spec, bundle=True).encode()
    else:
        raise UsageError(f'{path}: ends in "{path.suffix}"; end --chart in .svg, .png or .html')
    try:
        path.write_bytes(content)
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another --chart") from error


def _specification(found: dict[str, Any], subtitle: str) -> dict[str, Any]:
    field, title = _AXES[found["sweep"]]
    # a batch of 0 says that nothing fits or meets the target: no point of the curve
    rows = [row for row in found["rows"] if row["tokens_per_s_per_node"]]
    if not rows:
        raise UsageError("no point of the curve can be served; relax --tpot-ms or use other nodes")
    frame = pl.DataFrame(rows)
    panels = [
        alt.Chart(inline_values(frame.select(field, name)), width=_WIDTH, height=_HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(color=_COLOUR), strokeWidth=2.5, color=_COLOUR)
        .encode(
            x=alt.X(f"{field}:Q", title=title, scale=_scale(found["sweep"], [row[field] for row in rows])),
            y=alt.Y(f"{name}:Q", title=label),
        )
        for name, label in _SERIES[found["sweep"]]
    ]
    head = f"{found['model']} on {found['node']}, weights {found['weights']}, KV {found['kv']}"
    chart = alt.vconcat(*panels).properties(title=alt.TitleParams(head, subtitle=subtitle), background="white")
    spec: dict[str, Any] = chart.configure(**CONFIG).to_dict()
    return spec


def _scale(what: str, values: list[float]) -> alt.Scale:
    """KV lengths by their logarithm, from the shortest drawn to the longest: whole decades would leave gaps."""
    if what != "kv":
        return alt.Scale(zero=False)
    return alt.Scale(type="log", domain=[min(values), max(values)], nice=False)
