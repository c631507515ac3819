"""A report: one self-contained HTML page, PNG and SVG of every chart, CSV of every table."""

import json
import secrets
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from planner.errors import PlannerError
from planner.report.charts import Chart, charts
from planner.report.replay_charts import replay_charts
from planner.resources import shipped
from planner.results import RunView, missed_limits
from planner.scenario.load import field_paths, shown, value_at
from planner.trace.profile import load_profile

_MOST_TABLE_ROWS = 400


def write_report(run: RunView, folder: Path) -> list[Path]:
    """Write the report of a run; returns the files. Each file appears whole or not at all. Raises PlannerError."""
    drawn = charts(run, _published_nodes(run))
    if run.replay is not None:
        drawn += replay_charts(run, run.replay)
    tables = {chart.name: chart.table for chart in drawn} | {
        "training_windows": _local_times(run, run.training),
        "provenance": _provenance(run),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [_put(folder / "index.html", _page(run, drawn, tables).encode())]
        for chart in drawn:
            spec = json.dumps(chart.spec)
            files.append(
                _put(folder / f"{chart.name}.svg", _described(chart, vl_convert.vegalite_to_svg(spec)).encode())
            )
            files.append(_put(folder / f"{chart.name}.png", vl_convert.vegalite_to_png(spec, scale=2)))
        for name, table in tables.items():
            files.append(_put(folder / f"{name}.csv", table.write_csv().encode()))
    except OSError as error:
        raise PlannerError(f"{folder}: cannot be written: {error.strerror}; name another folder with --out") from error
    return files


def _page(run: RunView, drawn: list[Chart], tables: Mapping[str, pl.DataFrame]) -> str:
    environment = Environment(
        loader=FileSystemLoader(shipped("reports")),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["label"] = _label
    specs = json.dumps([chart.spec for chart in drawn]).replace("</", "<\\/")
    return environment.get_template("page.html.j2").render(
        run=run,
        summary=run.summary,
        record=run.record,
        missed=missed_limits(run),
        charts=drawn,
        tables={name: _rows(table) for name, table in tables.items()},
        specs=specs,
        bundle=vl_convert.javascript_bundle().replace("</script", "<\\/script"),  # type: ignore[call-arg]  # its stub lacks the default
    )


def _described(chart: Chart, svg: str) -> str:
    """The picture with its title and description for screen readers."""
    head, _, rest = svg.partition(">")
    words = f"<title>{escape(chart.title)}</title><desc>{escape(chart.description)}</desc>"
    return f'{head} role="img">{words}{rest}'


def _published_nodes(run: RunView) -> dict[int, int]:
    """The published timeline of the profile that the plan's trace was drawn from."""
    if run.record["profile"] is None:
        return {}
    try:
        return load_profile(str(run.record["profile"])).published_nodes()
    except PlannerError:
        # the profile may have been moved since; the run's own figures do not need it
        return {}


def _provenance(run: RunView) -> pl.DataFrame:
    """Every scenario field and every rate, price and profile figure, with its value and where that comes from."""
    scenario = run.scenario
    rows = []
    for path, meaning in field_paths():
        kind, _, source = scenario.provenance.get(path, "assumed: not stated").partition(": ")
        rows.append((path, shown(value_at(scenario, path)), kind, source, meaning))
    rows += [(item.name, item.value, item.kind, item.source, "") for item in run.inputs]
    return pl.DataFrame(rows, schema=["field", "value", "kind", "source", "meaning"], orient="row")


def _local_times(run: RunView, frame: pl.DataFrame) -> pl.DataFrame:
    zone = run.scenario.zone
    return frame.with_columns(
        pl.Series(name, [moment.astimezone(zone).isoformat() for moment in frame[name]], dtype=pl.String)
        for name in ("window_start", "window_end")
    )


def _rows(table: pl.DataFrame) -> dict[str, Any]:
    return {
        "columns": table.columns,
        "numeric": [kind.is_numeric() for kind in table.dtypes],
        "rows": table.head(_MOST_TABLE_ROWS).rows(),
        "left_out": max(0, table.height - _MOST_TABLE_ROWS),
    }


def _number(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _label(column: str) -> str:
    """A column's name for people."""
    text = column.replace("_tokens_per_s", " tokens/s").replace("_usd", " (USD)").replace("_", " ")
    return text[0].upper() + text[1:]


def _put(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path
