"""Slurm: a reservation for every training window, as a shell script of scontrol lines. Pure.

Rules of the format: times carry no zone, scontrol reads them by the TZ of its environment; reservations that overlap
get nodes of their own; slurmctld refuses times that have passed, and to create a reservation whose name exists. The
script can be run at any time, and again: it updates what exists, reserves what has begun from now on, and leaves out
what has ended.
"""

from datetime import UTC, date, datetime, timedelta

from planner.errors import RunError
from planner.export.formats.schedule import Export, ExportSchedule, TrainingWindow
from planner.units import counted, from_us


def slurm(schedule: ExportSchedule, begin: date | None = None) -> Export:
    """The training windows as reservations. begin: the date on which the schedule begins instead of the plan's.

    Raises RunError if the plan lends no nodes, or a time that is moved to another date occurs twice or never there.
    """
    if not schedule.lent:
        raise RunError(
            f"{schedule.run_id} lends no nodes to training, so it has no windows to reserve; "
            "plan with training.lend=true and a fleet that inference does not fill"
        )
    days = (begin - from_us(schedule.grid.start_us, schedule.zone).date()).days if begin else 0
    reservations = [
        _reservation(
            schedule,
            number,
            _moved(schedule, window.start_us, days),
            _moved(schedule, window.end_us, days),
            window.nodes,
        )
        for number, window in enumerate(schedule.lent, 1)
    ]
    head = (
        f"#!/bin/sh\n# {schedule.title}\n"
        "# Times are in UTC: Slurm's carry no zone, and TZ tells scontrol how to read them. Comments have those of\n"
        f"# {schedule.zone}, in which the plan is made.\n"
        "# Slurm refuses times that have passed: what has begun is reserved from now on, and what has\n"
        "# ended is left out; --begin DATE moves all windows.\n"
        "# Reservations that overlap get nodes of their own.\n"
        "# The script can be run again: reservations that exist are updated.\n"
        "set -e\n"
        "export TZ=UTC0\n"
        "now=$(date +%Y%m%d%H%M%S)\n"
        'exists() { scontrol show reservation "$1" >/dev/null 2>&1; }\n'
    )
    return Export(head + "".join(reservations), f"{len(reservations)} reservations")


def _reservation(schedule: ExportSchedule, number: int, start: datetime, end: datetime, nodes: int) -> str:
    """The lines that make or update one reservation, whatever has become of it. Times are in UTC."""
    name = f"planner-{schedule.run_id}-{number:03d}"
    settings = schedule.settings
    first, last = (at.replace(tzinfo=None, microsecond=0).isoformat() for at in (start, end))
    what = f"EndTime={last} NodeCnt={nodes} PartitionName={settings.slurm_partition} Accounts={settings.slurm_account}"
    local = " to ".join(at.astimezone(schedule.zone).isoformat(timespec="minutes") for at in (start, end))
    return (
        f"\n# {counted(nodes, 'node')} from {local}\n"
        f'if [ "$now" -ge {end:%Y%m%d%H%M%S} ]; then\n'
        f"echo {name} has ended and is left out >&2\n"
        # the start of what has begun cannot be set again
        f'elif exists {name} && [ "$now" -ge {start:%Y%m%d%H%M%S} ]; then\n'
        f"scontrol update reservation ReservationName={name} {what}\n"
        f"elif exists {name}; then\n"
        f"scontrol update reservation ReservationName={name} StartTime={first} {what}\n"
        f'elif [ "$now" -ge {start:%Y%m%d%H%M%S} ]; then\n'
        f"scontrol create reservation ReservationName={name} StartTime=now {what}\n"
        "else\n"
        f"scontrol create reservation ReservationName={name} StartTime={first} {what}\n"
        "fi\n"
    )


def merge_windows(lent: tuple[TrainingWindow, ...]) -> tuple[TrainingWindow, ...]:
    """Windows with the same times merged into one, in order."""
    nodes: dict[tuple[int, int], int] = {}
    for window in sorted(lent, key=lambda window: (window.start_us, window.end_us)):
        key = window.start_us, window.end_us
        nodes[key] = nodes.get(key, 0) + window.nodes
    return tuple(TrainingWindow(start, end, count) for (start, end), count in nodes.items())


def _moved(schedule: ExportSchedule, at_us: int, days: int) -> datetime:
    """The moment at which the wall clock of the plan's zone shows the same time, `days` later; in UTC."""
    at = from_us(at_us, schedule.zone)
    if days:
        local = at.replace(tzinfo=None, fold=0) + timedelta(days=days)
        at = local.replace(tzinfo=schedule.zone)
        if at.utcoffset() != at.replace(fold=1).utcoffset():
            raise RunError(
                f"{local.isoformat()} occurs twice or never on the clock of {schedule.zone}; begin on another date"
            )
    return at.astimezone(UTC)
