"""What all charts share: style, inline data, and the table with the same figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

CONFIG: dict[str, Any] = {
    "font": "Helvetica, Arial, 'DejaVu Sans', sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e4e7ea"},
    "legend": {
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "symbolStrokeWidth": 2.5,
        "labelLimit": 400,
    },
    "title": {"fontSize": 15, "anchor": "start", "fontWeight": "bold"},
    "view": {"stroke": None},
}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart: its Vega-Lite specification, and the table with the same figures.

    name: of its files. description: what it shows, in a sentence, for screen readers and captions.
    """

    name: str
    title: str
    description: str
    spec: Mapping[str, Any]
    table: pl.DataFrame


def finish_chart(name: str, title: str, description: str, drawn: Any, table: pl.DataFrame) -> Chart:
    """A chart of what Altair drew. table: its figures."""
    described = drawn.properties(title=title, description=description, background="white").configure(**CONFIG)
    spec = described.to_dict()
    spec["usermeta"] = {"embedOptions": {"renderer": "svg", "actions": False}}
    return Chart(name=name, title=title, description=description, spec=spec, table=table)


def inline_values(frame: pl.DataFrame) -> alt.InlineData:
    """The rows of a frame inside the specification, times as UTC."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return alt.InlineData(
        values=frame.with_columns(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in times).to_dicts()
    )
