"""Exports of a stored run: picks the writer of the format and hands it the plan."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from planner.core.demand import Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE
from planner.errors import PlannerError, UsageError
from planner.export.documents import ExportDocument, ExportFormat
from planner.export.formats.aws import aws
from planner.export.formats.cronjob import cronjob
from planner.export.formats.csv_table import csv_table
from planner.export.formats.focus import focus
from planner.export.formats.json_document import json_document
from planner.export.formats.keda import keda
from planner.export.formats.kueue import kueue
from planner.export.formats.schedule import Charge, Export, ExportSchedule, Role, RoleUnits, TrainingWindow
from planner.export.formats.slurm import merge_windows, slurm
from planner.files import atomic_write
from planner.runs.read import RunView
from planner.settings.scenario import Scenario
from planner.units import US_PER_S, from_us, to_us

WRITERS: Mapping[ExportFormat, Callable[[ExportSchedule], Export]] = {
    "keda": keda,
    "cronjob": cronjob,
    "kueue": kueue,
    "slurm": slurm,
    "aws": aws,
    "focus": focus,
    "csv": csv_table,
    "json": json_document,
}
RECURRING: tuple[ExportFormat, ...] = ("keda", "cronjob", "kueue", "aws")
"""Formats whose schedules recur."""
_USES = {
    "inference": (("serving_node_s", "starting_node_s", "draining_node_s"), "cost_usd_micros"),
    "training": (("training_node_s", "restoring_node_s"), "training_cost_usd_micros"),
    "idle": (("idle_node_s",), "idle_cost_usd_micros"),
}
"""Columns of node-seconds and cost of each use of nodes; all nodes are of one of them."""


def format_named(name: str) -> ExportFormat:
    """The format of that name. Raises UsageError that lists the formats."""
    for known in WRITERS:
        if known == name:
            return known
    raise UsageError(f'--to "{name}" is not a format; use one of {", ".join(WRITERS)}')


def week_named(text: str) -> float:
    """The quantile that a typical week takes of a plan's weeks: 1 for "largest". Raises UsageError."""
    try:
        quantile = 1.0 if text == "largest" else float(text)
    except ValueError:
        quantile = math.nan
    if not 0 < quantile <= 1:
        raise UsageError(f'--week "{text}" is not a typical week; write largest, or a quantile such as 0.9')
    return quantile


def export_run(
    run: RunView,
    scenario: Scenario,
    to: ExportFormat,
    *,
    day: date | None = None,
    begin: date | None = None,
    week: float | None = None,
) -> Export:
    """A run in a format. Raises UsageError, RunError if the format cannot express the plan.

    scenario: the run's, perhaps with other names in its export table. day: only the 24 hours that begin on that date,
    at the time of day at which the plan begins. begin: date of the first reservation day, for slurm. week: one typical
    week of all the plan's, of this quantile of them, for formats that recur.
    """
    if begin is not None and to != "slurm":
        raise UsageError(f"--begin is for --to slurm, whose reservations have dates; leave it out for {to}")
    if week is not None and to not in RECURRING:
        raise UsageError(f"--week is for {', '.join(RECURRING)}, whose schedules recur; leave it out for {to}")
    if week is not None and day is not None:
        raise UsageError("--week takes all days of the plan and --day one of them; leave one of the two out")
    _check_names(run, scenario)
    schedule = replace(schedule_of(run, scenario, day), typical_week=week)
    return slurm(schedule, begin) if to == "slurm" else WRITERS[to](schedule)


def _check_names(run: RunView, scenario: Scenario) -> None:
    """Raises UsageError for a workload that was named for units that the fleet does not have."""
    own = Deployment(scenario.fleet).role_names
    names = {role: f"{role}_workload" for role in EVERY_ROLE}
    for role, name in names.items():
        if role not in own and getattr(scenario.export, name) != getattr(run.scenario.export, name):
            meant = " and ".join(f"export.{names[each]}" for each in own)
            raise UsageError(
                f"export.{name} has no effect on the export of {run.record.run_id}, whose fleet has no {role} units "
                f"(fleet.serving={scenario.fleet.serving}); set {meant}"
            )


def describe_export(run: RunView, to: ExportFormat, export: Export, out: Path | None) -> ExportDocument:
    """An export as a document, with its text where it was not written to a file. out: that file."""
    return ExportDocument(
        run_id=run.record.run_id,
        to=to,
        out=None if out is None else str(out),
        summary=export.summary,
        notes=export.notes,
        against_plan=export.against_plan or None,
        text=export.text if out is None else None,
    )


def schedule_of(run: RunView, scenario: Scenario, day: date | None = None) -> ExportSchedule:
    """The input of writers for a run. day: as in export_run. Raises UsageError."""
    frame, fleet = run.intervals, scenario.fleet
    interval_s = run.record.interval_s
    if day is not None:
        frame = _one_day(frame, scenario, day)
    starts = frame["interval_start"].dt.epoch("us")
    grid = Grid(int(starts[0]), interval_s, frame.height)
    windows = [
        TrainingWindow(
            max(to_us(row["window_start"]), grid.start_us),
            min(to_us(row["window_end"]), grid.end_us),
            int(row["nodes"]),
        )
        for row in run.training.to_dicts()
    ]
    return ExportSchedule(
        run_id=run.record.run_id,
        scenario=scenario.name,
        policy=run.record.policy,
        zone=scenario.zone,
        grid=grid,
        roles=_roles(frame, scenario),
        training_nodes=frame["training_nodes"].cast(pl.Int64).to_numpy(),
        lent=merge_windows(tuple(window for window in windows if window.start_us < window.end_us)),
        charges=tuple(_charges(frame, grid)),
        node_type=fleet.node_type,
        gpus_per_node=fleet.gpus_per_node,
        drain_deadline_s=fleet.drain_deadline_s,
        settings=scenario.export,
    )


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raises PlannerError."""
    if path.is_dir():
        raise PlannerError(f"{path} is a folder; name a file with --out")
    if not path.parent.is_dir():
        raise PlannerError(f"{path}: there is no folder {path.parent}; create it, or name another --out")
    try:
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror or error}; name another --out") from error


def _roles(frame: pl.DataFrame, scenario: Scenario) -> tuple[RoleUnits, ...]:
    deployment = Deployment(scenario.fleet)
    roles: tuple[Role, ...] = ("aggregated",) if deployment.aggregated else ("prefill", "decode")
    return tuple(
        RoleUnits(
            name=role,
            workload=getattr(scenario.export, f"{role}_workload"),
            nodes_per_unit=deployment.unit_nodes(role),
            units=frame[f"{role}_units"].cast(pl.Int64).to_numpy(),
            units_per_node=deployment.units_per_node,
        )
        for role in roles
    )


def _charges(frame: pl.DataFrame, grid: Grid) -> list[Charge]:
    rows = frame.to_dicts()
    return [
        Charge(
            start_us=start_us,
            end_us=start_us + grid.interval_us,
            use=use,
            node_s=sum(row[column] for column in node_s),
            cost_usd_micros=row[cost],
        )
        for start_us, row in zip(grid.starts_us.tolist(), rows, strict=True)
        for use, (node_s, cost) in _USES.items()
    ]


def _one_day(frame: pl.DataFrame, scenario: Scenario, day: date) -> pl.DataFrame:
    starts = frame["interval_start"].dt.epoch("us")
    first, last = (from_us(int(starts[place]), scenario.zone) for place in (0, -1))
    outside = UsageError(f"--day {day}: the plan runs from {first.date()} to {last.date()}; name a date in this range")
    # checked first: the last date of the calendar has no next one
    if not first.date() <= day <= last.date():
        raise outside
    begin = datetime.combine(day, first.time(), scenario.zone)
    end = datetime.combine(day + timedelta(days=1), first.time(), scenario.zone)
    chosen = frame.filter((starts >= to_us(begin)) & (starts < to_us(end)))
    if chosen.is_empty():
        raise outside
    if chosen.height * int(scenario.interval_s) * US_PER_S < to_us(end) - to_us(begin):
        raise UsageError(
            f"--day {day}: the plan covers only {chosen.height * scenario.interval_s / 3600:g} h from "
            f"{begin:%Y-%m-%d %H:%M} on; name an earlier date"
        )
    return chosen
