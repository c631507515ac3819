"""Self-contained pages: templates filled, charts drawn into files, each file written atomically."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType

import polars as pl
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from markupsafe import escape as escape_markup

from planner.errors import PlannerError
from planner.files import atomic_write, shipped
from planner.input_files import exists
from planner.report.colours import CHART, PAGE
from planner.report.drawing import Chart
from planner.report.script import chart_script
from planner.store.rows import inert_cells

_MOST_TABLE_ROWS = 400
_SHORT_TEXT = 26
"""Characters up to which a text stays on a line: a time with its offset has so many."""
_LEAST_ROUNDED = 0.1
"""Smaller figures have two digits that count instead of two decimals."""
_MOST_WITH_DECIMALS = 10_000
"""Figures from here on have no decimals."""


def write_page(
    template: str,
    folder: Path,
    drawn: Sequence[Chart],
    tables: Mapping[str, pl.DataFrame],
    context: Mapping[str, object],
    *,
    views: Mapping[str, pl.DataFrame] = MappingProxyType({}),
    pictures: bool = True,
) -> list[Path]:
    """Write a page from a template in reports/, every chart as SVG and PNG, every table as CSV; returns the files.

    context: what the template uses besides charts and tables. views: tables of the page alone, of which no CSV is
    written. pictures: whether SVG and PNG are written. Each file is written atomically. Raises PlannerError.
    """
    is_new = not exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [_put(folder / "index.html", _page(template, drawn, {**tables, **views}, context).encode())]
        for chart in drawn if pictures else ():
            spec = json.dumps({**chart.spec, "background": PAGE["paper"].light})
            svg = vl_convert.vegalite_to_svg(spec)
            files.append(_put(folder / f"{chart.name}.svg", _with_description(chart, svg).encode()))
            files.append(_put(folder / f"{chart.name}.png", vl_convert.svg_to_png(svg, scale=2)))
        for name, table in tables.items():
            files.append(_put(folder / f"{name}.csv", inert_cells(table).write_csv().encode()))
    except OSError as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # which it is not if a file of the page is there
        raise PlannerError(f"{folder}: cannot be written: {error.strerror}; name another folder with --out") from error
    return files


def environment() -> Environment:
    """The environment of the templates in reports/: everything is escaped, and a missing value is an error."""
    templates = Environment(
        loader=FileSystemLoader(shipped("reports")),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = _number
    templates.filters["label"] = _label
    templates.filters["code"] = _code
    templates.globals["colours"] = {**CHART, **PAGE}
    return templates


def _page(
    template: str, drawn: Sequence[Chart], tables: Mapping[str, pl.DataFrame], context: Mapping[str, object]
) -> str:
    specs = [chart.spec for chart in drawn]
    return (
        environment()
        .get_template(template)
        .render(
            **context,
            charts=drawn,
            tables={name: shown_table(table) for name, table in tables.items()},
            specs=_script_json(specs),
            roles=_script_json({colour.light: role for role, colour in CHART.items()}),
            bundle=chart_script().replace("</script", "<\\/script"),
        )
    )


def _script_json(value: object) -> str:
    """JSON that cannot end the script that it stands in."""
    return json.dumps(value).replace("</", "<\\/")


def _with_description(chart: Chart, svg: str) -> str:
    """The picture with its title and description for screen readers."""
    head, _, rest = svg.partition(">")
    words = f"<title>{escape(chart.title)}</title><desc>{escape(chart.description)}</desc>"
    return f'{head} role="img">{words}{rest}'


@dataclass(frozen=True)
class ShownTable:
    """A table as templates show it: its first rows, the kind of each column, how many rows are left out.

    kinds: "n" numbers, "s" short texts, which are not wrapped, "t" texts.
    """

    columns: list[str]
    kinds: list[str]
    rows: list[tuple[object, ...]]
    left_out: int


def shown_table(table: pl.DataFrame) -> ShownTable:
    """A table as templates show it."""
    rows = table.head(_MOST_TABLE_ROWS)
    return ShownTable(
        columns=table.columns,
        kinds=["n" if column.dtype.is_numeric() else _text_kind(column) for column in rows],
        rows=rows.rows(),
        left_out=max(0, table.height - _MOST_TABLE_ROWS),
    )


def _text_kind(column: pl.Series) -> str:
    longest = max((len(str(value)) for value in column), default=0)
    return "s" if longest <= _SHORT_TEXT else "t"


def _number(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value and abs(value) < _LEAST_ROUNDED:
            return f"{value:.2g}"
        return f"{value:,.0f}" if abs(value) >= _MOST_WITH_DECIMALS else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _code(text: str) -> Markup:
    """Escaped text, with what stands in back-ticks as code."""
    parts = [escape_markup(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _label(column: str) -> str:
    """A column's name as it is displayed."""
    text = column.replace("_tokens_per_s", " tokens/s").replace("_usd", " (USD)").replace("_", " ")
    return text[0].upper() + text[1:]


def _put(path: Path, content: bytes) -> Path:
    with atomic_write(path) as draft:
        draft.write_bytes(content)
    return path
