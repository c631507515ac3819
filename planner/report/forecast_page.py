"""The page of a forecast: scores of the methods, what is expected, errors by time ahead."""

from pathlib import Path

import polars as pl

from planner.core.forecast import quantile_name
from planner.core.forecast.backtest import BackTest
from planner.report.flags import flag_table
from planner.report.forecast_charts import forecast_charts
from planner.report.pages import write_page
from planner.studies.forecast.run import Forecasts
from planner.units import S_PER_HOUR, iso


def write_forecast_page(made: Forecasts, folder: Path) -> list[Path]:
    """Write the page, charts as SVG and PNG and tables as CSV into a folder; returns the files. Raises PlannerError."""
    test, zone = made.test, made.scenario.zone
    drawn = forecast_charts(test, zone, made.findings)
    grid = test.demand.grid
    context = {
        "trace": made.trace,
        "notes": made.notes,
        "best": test.best(),
        "season": test.season,
        "minutes": grid.interval_s // 60,
        "intervals": grid.count,
        "hours": test.horizon * grid.interval_s / S_PER_HOUR,
        "start": iso(grid.start_us, zone),
        "end": iso(grid.end_us, zone),
        "scored_from": iso(grid.start_us + test.first * grid.interval_us, zone),
        "scored": grid.count - test.first,
    }
    tables = {chart.name: chart.table for chart in drawn} | {"methods": score_table(test)}
    if made.findings:
        tables["flags"] = flag_table(made.findings, zone)
    return write_page("forecast.html.j2", folder, drawn, tables, context)


def score_table(test: BackTest) -> pl.DataFrame:
    """A row per method and series, in per cent."""
    rows = [
        {
            "series": each.series.replace("_", " "),
            "method": each.method,
            "MAPE_%": _percent(each.score.mape),
            "WAPE_%": _percent(each.score.wape),
            "bias_%": _percent(each.score.bias),
            **{
                f"actual_at_most_{quantile_name(share)}_%": _percent(value)
                for share, value in each.score.coverage.items()
            },
        }
        for each in test.tested
    ]
    return pl.DataFrame(rows, infer_schema_length=None).sort("series", maintain_order=True)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio
