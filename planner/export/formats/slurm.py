"""Slurm: a reservation for every training window, as a shell script of scontrol lines. Pure.

Rules of the format: times carry no zone, scontrol reads them by the TZ of its environment; reservations that overlap
get nodes of their own; slurmctld refuses times that have passed.
"""

from datetime import UTC, date, timedelta

from planner.errors import RunError
from planner.export.formats.schedule import Export, ExportSchedule, TrainingWindow
from planner.units import from_us


def slurm(schedule: ExportSchedule, begin: date | None = None) -> Export:
    """The training windows as reservations. begin: the date on which the schedule begins instead of the plan's.

    Raises RunError if the plan lends no nodes, or a time that is moved to another date occurs twice or never there.
    """
    if not schedule.lent:
        raise RunError(
            f"{schedule.run_id} lends no nodes to training, so it has no windows to reserve; "
            "plan with training.lend=true and a fleet that inference does not fill"
        )
    settings = schedule.settings
    days = (begin - from_us(schedule.grid.start_us, schedule.zone).date()).days if begin else 0
    lines = []
    for number, window in enumerate(schedule.lent, 1):
        start, end = (_moved(schedule, at_us, days) for at_us in (window.start_us, window.end_us))
        lines.append(
            f"scontrol create reservation ReservationName=planner-{schedule.run_id}-{number:03d} "
            f"StartTime={start} EndTime={end} NodeCnt={window.nodes} "
            f"PartitionName={settings.slurm_partition} Accounts={settings.slurm_account}\n"
        )
    head = (
        f"#!/bin/sh\n# {schedule.title}\n"
        "# Times are in UTC: Slurm's carry no zone, and TZ tells scontrol how to read them.\n"
        "# Slurm refuses times that have passed; --begin DATE moves them to other days.\n"
        "# Each line reserves nodes that the plan lends to training; overlapping ones get nodes of their own.\n"
        "set -e\n"
        "export TZ=UTC0\n"
    )
    return Export(head + "".join(lines), f"{len(lines)} reservations")


def merge_windows(lent: tuple[TrainingWindow, ...]) -> tuple[TrainingWindow, ...]:
    """Windows with the same times merged into one, in order."""
    nodes: dict[tuple[int, int], int] = {}
    for window in sorted(lent, key=lambda window: (window.start_us, window.end_us)):
        key = window.start_us, window.end_us
        nodes[key] = nodes.get(key, 0) + window.nodes
    return tuple(TrainingWindow(start, end, count) for (start, end), count in nodes.items())


def _moved(schedule: ExportSchedule, at_us: int, days: int) -> str:
    """The moment at which the wall clock of the plan's zone shows the same time, `days` later; UTC, without zone."""
    at = from_us(at_us, schedule.zone)
    if days:
        local = at.replace(tzinfo=None, fold=0) + timedelta(days=days)
        at = local.replace(tzinfo=schedule.zone)
        if at.utcoffset() != at.replace(fold=1).utcoffset():
            raise RunError(
                f"{local.isoformat()} occurs twice or never on the clock of {schedule.zone}; begin on another date"
            )
    return at.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()
