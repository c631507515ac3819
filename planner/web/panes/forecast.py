"""What comes after the trace: its forecast with quantiles, what was found in the history, and past errors."""

from dataclasses import dataclass

from planner.documents import Document
from planner.errors import PlannerError
from planner.planning.allowance import check_own_hits
from planner.report.flags import flag_table
from planner.report.forecast_charts import forecast_charts
from planner.report.forecast_page import score_table
from planner.settings.scenario import Scenario
from planner.studies.forecast.document import ForecastDocument
from planner.studies.forecast.run import Forecasts, History, forecast_of, history
from planner.studies.forecast.summary import summarise
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench, now, planned_key


@dataclass(frozen=True, kw_only=True)
class OutlookAhead(Document):
    """The forecast of the time after the trace, or why there is none."""

    forecast: ForecastDocument | None
    problem: str | None
    """Why there is no forecast, and the cure."""


def show(bench: Workbench, state: State) -> PaneView:
    """Demand with its forecast, and the errors of all methods so far; or one line why not."""
    scenario = bench.scenario(state, state.side)
    try:
        made = bench.of_panes.get(
            ("forecast", *planned_key(state, state.side)), lambda: _forecast(bench, state, scenario)
        )
    except PlannerError as error:
        return PaneView(document=OutlookAhead(forecast=None, problem=str(error)))
    findings = {"flags": flag_table(made.findings, scenario.zone)} if made.findings else {}
    return PaneView(
        document=OutlookAhead(forecast=summarise(made), problem=None),
        charts=tuple(forecast_charts(made.test, scenario.zone, made.findings)),
        tables={"methods": score_table(made.test), **findings},
        context={"hours": made.test.horizon * scenario.interval_s / 3600},
    )


def _forecast(bench: Workbench, state: State, scenario: Scenario) -> Forecasts:
    if scenario.trace.name is not None:
        return forecast_of(history(bench.store, scenario, (), now=now()), scenario)
    check_own_hits(scenario, "forecasts are of tokens, found in a cache or not")
    # counted from the profile's cells: nothing is drawn for a slider
    prepared = bench.prepared(state, state.side)
    return forecast_of(History(prepared.demand, (prepared.trace.name,)), scenario)


PANE = Pane(name="forecast", title="Forecast", show=show, template="forecast.html.j2", document=OutlookAhead)
