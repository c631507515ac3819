"""Nights: what was planned for each day, what it needed, what came, and whether forecasts drift."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from planner.documents import Document
from planner.errors import StoreMissing
from planner.nightly.documents import LedgerRow
from planner.nightly.index_page import EndedNight
from planner.nightly.past_days import PastDay, read_past_days
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes
from planner.store import Session, readable
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench

_WIDTH = 900
_HELD = {"planned_node_hours": "planned", "needed_node_hours": "needed in hindsight"}


@dataclass(frozen=True, kw_only=True)
class JobNights(Document):
    """The nights of a job."""

    job: str
    drift: bool
    """Whether the errors of its forecasts have been beyond the band for several days."""
    under_way: tuple[LedgerRow, ...]
    """Nights that are being run, or were stopped before they were finished."""
    nights: tuple[EndedNight, ...]
    """Nights that have ended, the newest first."""
    days: tuple[PastDay, ...]
    """Planned days whose log has come, the newest first."""


@dataclass(frozen=True, kw_only=True)
class NightsDocument(Document):
    """All nightly jobs of the store."""

    jobs: tuple[JobNights, ...]
    published: bool
    """Whether these are of the copy that the last night published, because the store is being written."""


def show(bench: Workbench, _: State) -> PaneView:
    """Every job with its nights."""
    store, published = readable(bench.store)
    try:
        with store.read() as session:
            jobs = _jobs(session)
    except StoreMissing:
        jobs = ()
    compared = [(place, each) for place, each in enumerate(jobs) if each.days]
    return PaneView(
        document=NightsDocument(jobs=jobs, published=published),
        charts=tuple(_chart(f"nights-{place}", each) for place, each in compared),
        tables={f"days-{place}": _table(each) for place, each in compared},
    )


def _jobs(session: Session) -> tuple[JobNights, ...]:
    ledger, ended = session.records("job_runs", LedgerRow), session.records("nights", EndedNight)
    jobs = []
    for name in dict.fromkeys(row.job for row in ledger):
        days = tuple(read_past_days(session, name))
        jobs.append(
            JobNights(
                job=name,
                drift=any(day.drift for day in days[:1]),
                under_way=tuple(row for row in ledger if row.job == name and row.status in ("running", "released")),
                nights=tuple(night for night in ended if night.job == name),
                days=days,
            )
        )
    return tuple(jobs)


def _chart(name: str, of: JobNights) -> Chart:
    """Node-hours of every planned day: planned, and needed in hindsight."""
    table = _table(of)
    held = table.select("day", "planned_node_hours", "needed_node_hours").rename(_HELD)
    points = held.sort("day").unpivot(
        list(_HELD.values()), index="day", variable_name="series", value_name="node_hours"
    )
    rows, names = ChartRows(), list(_HELD.values())
    drawn = (
        alt.Chart(rows.of(points), width=_WIDTH, height=220)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("day:O", title="planned day", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("node_hours:Q", title="node-hours of inference"),
            color=alt.Color("series:N", scale=line_colours(names)),
            strokeDash=alt.StrokeDash("series:N", scale=line_dashes(names)),
        )
    )
    newest = of.days[0]
    description = (
        f"Node-hours of inference on {len(of.days)} planned day{'' if len(of.days) == 1 else 's'} of {of.job}: on "
        f"{newest.day}, the newest, {newest.planned_node_hours:,.0f} planned, {newest.needed_node_hours:,.0f} needed."
    )
    return finish_chart(name, f"Planned and needed: {of.job}", description, drawn, table, rows)


def _table(of: JobNights) -> pl.DataFrame:
    """A row per planned day, the newest first. Errors: WAPE of output tokens, in per cent."""
    return pl.DataFrame(
        {
            "day": day.day.isoformat(),
            "planned_node_hours": day.planned_node_hours,
            "needed_node_hours": day.needed_node_hours,
            "planned_peak_nodes": day.planned_peak_nodes,
            "needed_peak_nodes": day.needed_peak_nodes,
            "forecast_tokens": day.forecast_input_tokens + day.forecast_output_tokens,
            "tokens_that_came": day.input_tokens + day.output_tokens,
            "forecast_error, %": None if day.output_wape is None else 100 * day.output_wape,
            "beyond_band": day.band_missed,
            "error_cost_usd": day.error_cost_usd,
            "drift": day.drift,
        }
        for day in of.days
    )


PANE = Pane(name="nights", title="Nights", show=show, template="nights.html.j2", document=NightsDocument)
