"""planner forecast."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, check_one_source, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.studies.forecast.document import ForecastDocument, LeadError, MethodScore

_WEEK_H = 168
_DAY_S = 86_400
_LEADS_S = (3_600, 21_600)
"""Leads in the table besides the first and the last."""


def forecast(
    scenario: ScenarioName = None,
    trace: Annotated[
        list[str] | None,
        typer.Option("--trace", metavar="T", help="A stored trace; repeat for consecutive traces."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            help="profile-level, seasonal-naive, day-of-week, holt-winters, statsforecast-mstl; all: the first four; "
            "auto: the first three, of which forecast.method=auto chooses.",
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
    """Forecast demand, and show how good past forecasts would have been.

    Every interval of the stored days is forecast from those before it, by each method; then the time after the last
    interval, by the method that was best at these leads, with quantiles from its own past errors. Draws the scenario's
    trace if it is not stored yet; that needs more than one season, for example --set trace.days=14.
    """
    from planner.core.forecast.methods import AUTO, BUILT_IN, CANDIDATES, METHODS
    from planner.errors import UsageError
    from planner.studies.forecast.run import forecast as run_forecast
    from planner.studies.forecast.summary import summarise

    if method not in ("all", AUTO, *METHODS):
        raise UsageError(f'--method: no forecast method "{method}"; use all, auto or one of {", ".join(METHODS)}')
    flags = [] if horizon is None else [f"forecast.horizon_s={_seconds(horizon)}"]
    _check_traces(trace or [], sets or [])
    loaded = scenario_of(scenario, [*(sets or []), *flags]).scenario
    store = store_at(db)
    with progress_bar("drawing requests") as drawing, progress_bar("forecasting") as progress:
        done = run_forecast(
            store,
            loaded,
            traces=trace or (),
            methods={"all": BUILT_IN, AUTO: CANDIDATES}.get(method, (method,)),
            now=now(),
            progress=progress,
            drawing=drawing,
        )
    document = summarise(done)
    if out is not None:
        from planner.report.forecast_page import write_forecast_page

        files = write_forecast_page(done, out)
        document = replace(document, page=str(out / "index.html"), files=tuple(map(str, files)))
    if as_json:
        print_json(document)
    else:
        _print(document)


def _check_traces(traces: "Sequence[str]", sets: list[str]) -> None:
    """Each once, and no settings that only a generated trace follows."""
    from planner.errors import UsageError

    twice = sorted({name for name in traces if traces.count(name) > 1})
    if twice:
        raise UsageError(f"--trace {', '.join(twice)} is given twice; give each trace once")
    for name in traces:
        check_one_source(name, sets)


def _seconds(hours: float) -> int:
    from planner.errors import UsageError

    if not 0 < hours <= 2 * _WEEK_H:
        raise UsageError(f"--horizon {hours:g} is out of range; give hours above 0 and at most {2 * _WEEK_H}")
    return max(60, round(hours * 3600))


def _print(document: "ForecastDocument") -> None:
    history, minutes, horizon_h = document.history, document.interval_s // 60, document.horizon_s / 3600
    start, end = history.start.isoformat(), history.end.isoformat()
    print_line(f"trace {document.trace}: {history.intervals:,} intervals of {minutes} min, {start} to {end}")
    print_line(
        f"each of {document.methods[0].intervals:,} intervals from {document.scored_from.isoformat()} on forecast from "
        f"those before it, up to {horizon_h:g} h ahead, season {document.season}"
    )
    if left_out := document.methods[0].left_out:
        print_line(f"{left_out:,} of them are declared unusual and not scored")
    _print_scores(document.methods)
    best = document.best
    print_line(f"to use at these leads: {best.method} (input {best.input_tokens}, output {best.output_tokens})")
    every = _rows_every(document)
    rows = "" if every == 1 else f"; of every {every} intervals the first, {minutes} min"
    print_line(f"forecast of the {horizon_h:g} h after {end} by {best.method}, tokens/s{rows}")
    _print_ahead(document)
    for note in document.notes:
        print_line(f"  note: {note}")
    if document.page is not None and document.files is not None:
        print_line(f"{document.page}: {len(document.files)} files")


def _print_scores(methods: "Sequence[MethodScore]") -> None:
    """A row per method and series: errors over all leads and at some, and how many actuals quantiles covered."""
    leads = methods[0].wape_by_lead
    shown = [index for index in range(len(leads)) if _is_shown(index, leads)]
    rows = [
        (
            each.series.replace("_", " "),
            each.method,
            percent(each.mape),
            percent(each.wape),
            "-" if each.bias is None else f"{each.bias:+.1%}",
            *(percent(each.wape_by_lead[index].wape) for index in shown),
            *(percent(share) for share in each.coverage.values()),
        )
        for each in sorted(methods, key=lambda each: each.series)
    ]
    ahead = (f"{_lead(leads[index].lead_s)} ahead" for index in shown)
    quantiles = (f"≤ {name}" for name in methods[0].coverage)
    print_table(("<series", "<method", "MAPE", "WAPE", "bias", *ahead, *quantiles), rows)


def _print_ahead(document: "ForecastDocument") -> None:
    """The first interval of every hour, or of every six hours over long horizons."""
    step_s = document.interval_s
    rows = [
        (
            f"{each.start:%Y-%m-%d %H:%M}",
            *(
                "-" if tokens is None else f"{tokens / step_s:,.0f}"
                for expected in (each.input_tokens, each.output_tokens)
                for tokens in expected.values()
            ),
        )
        for each in document.forecast.intervals[:: _rows_every(document)]
    ]
    quantiles = list(document.methods[0].coverage)
    heads = (f"{series} {name}".strip() for series in ("input", "output") for name in ("", *quantiles))
    print_table(("<interval", *heads), rows)


def _rows_every(document: "ForecastDocument") -> int:
    """Of how many intervals one is shown."""
    return max(1, (3600 if document.horizon_s <= 2 * _DAY_S else 6 * 3600) // document.interval_s)


def _is_shown(index: int, leads: "Sequence[LeadError]") -> bool:
    return index in (0, len(leads) - 1) or leads[index].lead_s in _LEADS_S


def _lead(seconds: int) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds // 60} min"
