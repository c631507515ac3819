"""What all charts share: style, rows by name, and the table with the same figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import polars as pl

from planner.report.colours import DASHES, EDGE, GRID, INK, LINES, SOFT

_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
CONFIG: dict[str, Any] = {
    "font": "Helvetica, Arial, 'DejaVu Sans', sans-serif",
    "axis": {**_TEXT, "gridColor": GRID, "domainColor": EDGE, "tickColor": EDGE, "labelSeparation": 6},
    "legend": {**_TEXT, "title": None, "orient": "top", "symbolStrokeWidth": 2.5, "labelLimit": 400},
    "title": {"fontSize": 15, "anchor": "start", "fontWeight": "bold", "color": INK, "subtitleColor": SOFT},
    "text": {"color": INK},
    "rule": {"color": INK},
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


def line_colours(names: Sequence[str]) -> alt.Scale:
    """Colours of lines beside each other, from the first again where there are more."""
    return alt.Scale(domain=list(names), range=[LINES[index % len(LINES)] for index in range(len(names))])


def line_dashes(names: Sequence[str]) -> alt.Scale:
    """Their dashes: lines of one colour have different ones."""
    turns = [index + index // len(LINES) for index in range(len(names))]
    return alt.Scale(domain=list(names), range=[DASHES[turn % len(DASHES)] for turn in turns])


@dataclass(frozen=True)
class ChartRows:
    """The rows that the marks of a chart draw, by name.

    Altair checks and copies every row that stands inside its objects; rows that it knows by name only are put into the
    finished specification.
    """

    sets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of(self, frame: pl.DataFrame) -> alt.NamedData:
        """The rows of a frame as data of a mark, times as UTC."""
        times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
        name = f"rows-{len(self.sets) + 1}"
        self.sets[name] = frame.with_columns(
            pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for column in times
        ).to_dicts()
        return alt.NamedData(name)


def finish_chart(name: str, title: str, description: str, drawn: Any, table: pl.DataFrame, rows: ChartRows) -> Chart:
    """A chart of what Altair drew. table: its figures. rows: of its marks."""
    # what is wrong with a specification shows when it is drawn; checking it here would take longer than making it
    described = drawn.properties(title=title, description=description, background="transparent").configure(**CONFIG)
    spec = {**described.to_dict(validate=False), "datasets": rows.sets}
    return Chart(name=name, title=title, description=description, spec=spec, table=table)
