"""A stored plan as a document: figures, notes, and a row per local hour."""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

import polars as pl

from planner.core.fleet.deployment import Deployment
from planner.core.week import by_week_hour
from planner.documents import Document, Time
from planner.runs.figures import RunSummary
from planner.runs.jobs import JobsDocument, jobs_document
from planner.runs.limits import missed_limits
from planner.runs.outcome import FigureBand
from planner.runs.read import RunView
from planner.runs.waking import Waits, Waking, waits_of, waking_of
from planner.settings.closed import Weekday


@dataclass(frozen=True, kw_only=True)
class WaterfallStep(Document):
    """A step from theoretical to expected revenue."""

    step: str
    amount_usd: float


@dataclass(frozen=True, kw_only=True)
class TrainingWindowDocument(Document):
    """An uninterrupted period in which nodes are lent to training."""

    start: Time
    end: Time
    nodes: int
    training_node_hours: float
    """Restoring included."""
    useful_training_node_hours: float
    """Without restoring."""


@dataclass(frozen=True, kw_only=True)
class PlanHour(Document):
    """A local clock hour of a plan."""

    start: Time
    mean_nodes: float
    peak_nodes: int
    node_hours: float
    """Node-hours that inference holds."""
    training_node_hours: float
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float
    """Cost of the nodes that inference holds."""
    revenue_usd: float
    """What all demanded tokens earn at list prices."""
    expected_revenue_usd: float
    revenue_served_usd: float
    """What of revenue_usd is earned by requests within the capacity."""
    fleet_cost_usd: float
    """Cost of all nodes that are owned."""
    shortfall_tokens: int


@dataclass(frozen=True, kw_only=True)
class PlanWeekHour(Document):
    """Nodes of inference in an hour of the local clock on a weekday."""

    weekday: Weekday
    hour: int
    """Hour of the clock, 0 to 23."""
    hours: int
    """Hours of the plan that are meant: how often the plan has this weekday and hour."""
    mean_nodes: float
    """Mean over them."""
    peak_nodes: int
    """Most nodes in an interval of any of them."""


@dataclass(frozen=True, kw_only=True)
class PlanDocument(RunSummary):
    """A plan: its figures, its notes, what it lends to training, and a row per local hour."""

    timezone: str
    """IANA name of the zone of local times."""
    need_nodes: int
    """Nodes whose units would carry the busiest interval at full use, be they more or fewer than are owned."""
    bands: list[FigureBand]
    """90 % bands of figures above; none where capacities are observed."""
    waking: Waking | None
    """Intervals asleep and awake, and starts of units; null where a plan always holds units and these keep nothing when
    they leave, and where an older version stored it."""
    waits: Waits | None
    """Of a replay, requests that waited for a unit to start; null of a plan that was not replayed, and where an older
    version stored it."""
    notes: list[str]
    missed_limits: list[str]
    """The limits of the scenario that the plan misses; the command exits with 3 if there are any."""
    waterfall: list[WaterfallStep]
    """From theoretical to expected revenue."""
    training_windows: list[TrainingWindowDocument]
    jobs: JobsDocument | None
    """The training jobs; null if the scenario names none."""
    week: list[PlanWeekHour]
    """Nodes by weekday and hour of the local clock, Monday's midnight first."""
    hours: list[PlanHour]


@dataclass(frozen=True, kw_only=True)
class RunDeleted(Document):
    """A run that was deleted, with all its rows."""

    run_id: str
    deleted: Literal[True] = True


def plan_document(run: RunView) -> PlanDocument:
    """A stored plan as the document that `planner plan --json` prints.

    Args:
        run: The stored run.

    Returns:
        Its figures (tokens, USD, node-hours), notes, training windows, jobs and hours; times are local with offset.
        `planner.to_json` makes plain dicts of it.

    Raises:
        RunError: The run was stored by another version of planner, with other settings.
    """
    zone = run.scenario.zone
    return PlanDocument(
        **vars(run.summary),
        timezone=run.record.timezone,
        need_nodes=need_nodes(run),
        bands=list(run.bands),
        waking=waking_of(run),
        waits=waits_of(run),
        notes=list(run.record.notes),
        missed_limits=missed_limits(run),
        waterfall=[WaterfallStep(**row) for row in run.waterfall.select("step", "amount_usd").to_dicts()],
        training_windows=_training_windows(run.training, zone),
        jobs=jobs_document(run.jobs, zone),
        week=plan_week(run),
        hours=[
            PlanHour(start=start.astimezone(zone), **row)
            for start, row in zip(run.hours["hour_start"], run.hours.drop("hour_start").to_dicts(), strict=True)
        ],
    )


def plan_week(run: RunView) -> list[PlanWeekHour]:
    """The nodes of a plan by weekday and hour of the local clock."""
    means, peaks = run.hours["mean_nodes"].to_list(), run.hours["peak_nodes"].to_list()
    slots = by_week_hour([start.astimezone(run.scenario.zone) for start in run.hours["hour_start"]])
    return [
        PlanWeekHour(
            weekday=weekday,
            hour=hour,
            hours=len(indexes),
            mean_nodes=sum(means[index] for index in indexes) / len(indexes),
            peak_nodes=max(peaks[index] for index in indexes),
        )
        for (weekday, hour), indexes in slots.items()
    ]


def need_nodes(run: RunView) -> int:
    """Nodes whose units would carry the busiest interval at full use, be they more or fewer than are owned."""
    deployment = Deployment(run.scenario.fleet)
    inputs, outputs = (run.intervals[name].to_numpy() for name in ("input_tokens", "output_tokens"))
    return deployment.nodes(deployment.enough(inputs, outputs, run.summary.interval_s))


def _training_windows(windows: pl.DataFrame, zone: tzinfo) -> list[TrainingWindowDocument]:
    columns = ("nodes", "training_node_hours", "useful_training_node_hours")
    return [
        TrainingWindowDocument(start=start.astimezone(zone), end=end.astimezone(zone), **row)
        for start, end, row in zip(
            windows["window_start"], windows["window_end"], windows.select(columns).to_dicts(), strict=True
        )
    ]
