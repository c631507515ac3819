"""planner forecast."""

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar

_WEEK_H = 168
_DAY_S = 86_400
_LEADS_S = (3_600, 21_600)
"""Leads in the table beside the first and the last."""


def forecast(
    scenario: ScenarioName = None,
    trace: Annotated[
        list[str] | None,
        typer.Option("--trace", metavar="T", help="A stored trace; repeated, traces that follow each other."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            help="seasonal-naive, day-of-week, holt-winters, statsforecast-mstl; all: those that need no extra.",
        ),
    ] = "all",
    horizon: Annotated[
        float | None,
        typer.Option("--horizon", metavar="HOURS", help="How far to look ahead [default: the scenario's]."),
    ] = None,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write a page with charts and tables into this folder.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Forecast demand, and say how good forecasts have been.

    Every interval of the stored days is forecast from those before it, by each method; then the time after the last
    interval, by the method that missed the least, with quantiles from its own past errors. Draws the scenario's trace
    if it is not stored yet; that needs more than one season, for example --set trace.days=14.
    """
    from planner.core.forecast import BUILT_IN, METHODS
    from planner.errors import UsageError
    from planner.studies.forecast import document
    from planner.studies.forecast import forecast as run_forecast

    if method not in ("all", *METHODS):
        raise UsageError(f'--method: no forecast method "{method}"; use all or one of {", ".join(METHODS)}')
    flags = [] if horizon is None else [f"forecast.horizon_s={_seconds(horizon)}"]
    loaded = scenario_of(scenario, [*(sets or []), *flags]).scenario
    store = store_at(db)
    with progress_bar("drawing requests") as drawing, progress_bar("forecasting") as progress:
        done = run_forecast(
            store,
            loaded,
            traces=trace or (),
            methods=BUILT_IN if method == "all" else (method,),
            now=now(),
            progress=progress,
            drawing=drawing,
        )
    found = document(done)
    if out is not None:
        from planner.report.forecast_page import write_forecast_page

        files = write_forecast_page(done.test, done.trace, loaded.zone, out)
        found |= {"page": str(out / "index.html"), "files": [str(file) for file in files]}
    if as_json:
        print_json(found)
    else:
        _print(found)


def _seconds(hours: float) -> int:
    from planner.errors import UsageError

    if not 0 < hours <= 2 * _WEEK_H:
        raise UsageError(f"--horizon {hours:g}: give hours above 0 and at most {2 * _WEEK_H}")
    return max(60, round(hours * 3600))


def _print(found: dict[str, Any]) -> None:
    past, minutes = found["history"], found["interval_s"] // 60
    print_line(
        f"trace {found['trace']}: {past['intervals']:,} intervals of {minutes} min, {past['start']} to {past['end']}"
    )
    first = found["methods"][0]
    print_line(
        f"each of {first['intervals']:,} intervals from {found['scored_from']} on forecast from those before it, "
        f"up to {found['horizon_s'] / 3600:g} h ahead, season {found['season']}"
    )
    shown = [index for index, lead in enumerate(first["wape_by_lead"]) if _is_shown(index, lead, first)]
    leads = [f"{_lead(first['wape_by_lead'][index]['lead_s'])} ahead" for index in shown]
    shares = list(first["coverage"])
    rows = [
        (
            each["series"].replace("_", " "),
            each["method"],
            percent(each["mape"]),
            percent(each["wape"]),
            "-" if each["bias"] is None else f"{each['bias']:+.1%}",
            *(percent(each["wape_by_lead"][index]["wape"]) for index in shown),
            *(percent(value) for value in each["coverage"].values()),
        )
        for each in sorted(found["methods"], key=lambda each: str(each["series"]))
    ]
    heads = ("<series", "<method", "MAPE", "WAPE", "bias", *leads, *(f"≤ {share}" for share in shares))
    print_table(heads, rows)
    best = found["best"]
    print_line(f"least WAPE: {best['method']} (input {best['input_tokens']}, output {best['output_tokens']})")
    print_line(f"forecast of the {found['horizon_s'] / 3600:g} h after {past['end']} by {best['method']}, tokens/s")
    _print_ahead(found, shares)
    if "page" in found:
        print_line(f"{found['page']}: {len(found['files'])} files")


def _print_ahead(found: dict[str, Any], shares: list[str]) -> None:
    """A row per hour, or per six hours where that is long."""
    ahead, step_s = found["forecast"]["intervals"], found["interval_s"]
    every = max(1, (3600 if found["horizon_s"] <= 2 * _DAY_S else 6 * 3600) // step_s)
    rows = [
        (
            each["start"][:16].replace("T", " "),
            *(
                "-" if value is None else f"{value / step_s:,.0f}"
                for name in ("input_tokens", "output_tokens")
                for value in each[name].values()
            ),
        )
        for each in ahead[::every]
    ]
    print_table(
        ("<interval", *(f"{name} {key}".strip() for name in ("input", "output") for key in ("", *shares))), rows
    )


def _is_shown(index: int, lead: dict[str, Any], tested: dict[str, Any]) -> bool:
    return index in (0, len(tested["wape_by_lead"]) - 1) or lead["lead_s"] in _LEADS_S


def _lead(seconds: int) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds // 60} min"
