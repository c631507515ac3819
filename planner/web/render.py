"""Templates of the page, and what all of them are filled with."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from planner.report.colours import CHART
from planner.report.drawing import Chart
from planner.report.pages import environment, shown_table
from planner.runs.bands import ends, whole
from planner.web.panes.base import PaneView


@cache
def templates() -> Environment:
    """Those of reports/, with what pages of the server need beside."""
    made = environment()
    made.filters["data"] = as_data
    made.globals |= {"band": ends, "whole": whole, "amount": _amount, "dollars": _dollars, "cents": _cents}
    made.globals["roles"] = {colour.light: role for role, colour in CHART.items()}
    return made


def as_data(value: object) -> Markup:
    """A value as JSON inside a script element, in which no text can end the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def fill(template: str, context: Mapping[str, Any]) -> str:
    """A template of reports/web, filled."""
    return templates().get_template(f"web/{template}").render(**context)


def shown_tables(tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Tables as templates show them."""
    return {name: shown_table(table) for name, table in tables.items()}


def pane_context(view: PaneView) -> dict[str, Any]:
    """What a pane's template is filled with."""
    return {
        "document": view.document,
        "charts": {chart.name: chart for chart in view.charts},
        "tables": shown_tables({**view.tables, **charts_tables(view.charts)}),
        **view.context,
    }


def charts_tables(charts: Sequence[Chart]) -> dict[str, pl.DataFrame]:
    """The table of every chart, by its name."""
    return {chart.name: chart.table for chart in charts}


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _dollars(value: float | None) -> str:
    return "–" if value is None else f"${value:,.0f}"


def _cents(value: float | None) -> str:
    return "–" if value is None else f"${value:,.3f}"
