"""The page of all nights: a row each with its plan as a sparkline, linked to its report. No scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from planner.documents import Document, Time
from planner.nightly.jobs_file import Jobs, NightlyJob
from planner.nightly.outputs import report_folder, write_whole
from planner.nightly.past_days import PastDay, read_past_days
from planner.report.pages import environment
from planner.store import Store

_WIDTH, _HEIGHT = 180, 34
"""Pixels of a sparkline."""


@dataclass(frozen=True, kw_only=True)
class EndedNight(Document):
    """A row of the query `nights`: an ended night, the figures of its plan, and what became of the planned day."""

    job: str
    logical_date: date
    status: str
    message: str
    run_id: str | None
    finished_at: Time | None
    planned_day: date | None
    peak_nodes: int | None
    node_hours: float | None
    cost_usd: float | None
    needed_node_hours: float | None
    tokens: int | None
    output_wape: float | None
    band_missed: bool | None
    error_cost_usd: float | None
    drift: bool | None


@dataclass(frozen=True)
class PlannedNodes:
    """Inference nodes of a nightly plan, in order."""

    run_id: str
    nodes: Sequence[int]


@dataclass(frozen=True)
class Sparkline:
    """The points of an SVG polyline, and what it shows in words. points: None if there is too little for a line."""

    points: str | None
    words: str


@dataclass(frozen=True)
class NightLine:
    """A row in a job's table of nights. link: to its report. nodes: planned nodes over the planned day."""

    night: EndedNight
    link: str | None
    nodes: Sparkline | None


@dataclass(frozen=True)
class JobSection:
    """A job with its nights, newest first. errors: of its forecasts by day. drift: whether they drift."""

    name: str
    lines: tuple[NightLine, ...]
    errors: Sparkline | None
    drift: bool


def write_index(store: Store, jobs: Jobs) -> None:
    """Write index.html into the folder of reports, atomically. Raises PlannerError."""
    with store.read() as session:
        nights = session.records("nights", EndedNight)
        nodes = {plan.run_id: plan.nodes for plan in session.records("night_nodes", PlannedNodes)}
        past_days = {job.name: read_past_days(session, job.name) for job in jobs.file.job}
    sections = [
        JobSection(
            name=job.name,
            lines=_lines(jobs, job, [night for night in nights if night.job == job.name], nodes),
            errors=_errors(past_days[job.name]),
            drift=any(past.drift for past in past_days[job.name][:1]),
        )
        for job in jobs.file.job
    ]
    jobs.out.mkdir(parents=True, exist_ok=True)
    page = environment().get_template("nights.html.j2").render(jobs=sections, width=_WIDTH, height=_HEIGHT)
    write_whole(jobs.out / "index.html", page)


def sparkline(values: Sequence[float], most: float) -> str:
    """The points of an SVG polyline over a box of _WIDTH x _HEIGHT, from 0 at the bottom to most at the top."""
    step = _WIDTH / max(len(values) - 1, 1)
    room = _HEIGHT - 2
    return " ".join(f"{i * step:.1f},{_HEIGHT - 1 - room * value / (most or 1):.1f}" for i, value in enumerate(values))


def _lines(
    jobs: Jobs, job: NightlyJob, nights: Sequence[EndedNight], nodes: Mapping[str, Sequence[int]]
) -> tuple[NightLine, ...]:
    """The nights of a job, whose sparklines share one scale. nodes: by run."""
    planned = [nodes.get(night.run_id, ()) if night.run_id else () for night in nights]
    most = max((max(values) for values in planned if values), default=1)
    return tuple(
        NightLine(night, _link(jobs, job, night), _planned_nodes(values, most))
        for night, values in zip(nights, planned, strict=True)
    )


def _link(jobs: Jobs, job: NightlyJob, night: EndedNight) -> str | None:
    if not report_folder(jobs.out, job, night.logical_date).is_dir():
        return None
    return f"{job.name}/{night.logical_date}/index.html"


def _planned_nodes(nodes: Sequence[int], most: int) -> Sparkline | None:
    if not nodes:
        return None
    return Sparkline(sparkline(nodes, most), f"{min(nodes)} to {max(nodes)} nodes over the planned day")


def _errors(past_days: Sequence[PastDay]) -> Sparkline | None:
    """The forecast error of output tokens by day. past_days: newest first."""
    errors = [past.output_wape for past in reversed(past_days) if past.output_wape is not None]
    if not errors:
        return None
    words = f"WAPE of output tokens by day: {errors[-1]:.1%} on {past_days[0].day}, {max(errors):.1%} at most"
    # a single day does not make a curve
    return Sparkline(sparkline(errors, max(errors)) if len(errors) > 1 else None, words)
