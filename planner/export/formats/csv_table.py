"""A CSV with a row per interval, which the timetable policy reads back. Pure."""

import csv
import io

import numpy as np

from planner.core.fleet.units import AGGREGATED, EVERY_ROLE, ROLES
from planner.export.formats.schedule import Export, ExportSchedule
from planner.units import Ints, iso

COLUMNS = (
    "interval_start",
    "interval_end",
    "prefill_units",
    "decode_units",
    "prefill_nodes",
    "decode_nodes",
    "training_nodes",
    "aggregated_units",
    "aggregated_nodes",
)


def csv_table(schedule: ExportSchedule) -> Export:
    """Units and nodes of every interval. Times are ISO-8601 with offset; no cell can be taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    units, nodes = _by_role(schedule)
    for index, start_us in enumerate(schedule.grid.starts_us):
        writer.writerow(
            [
                iso(int(start_us), schedule.zone),
                iso(int(start_us) + schedule.grid.interval_us, schedule.zone),
                *(int(units[role][index]) for role in ROLES),
                *(int(nodes[role][index]) for role in ROLES),
                int(schedule.training_nodes[index]),
                int(units[AGGREGATED][index]),
                int(nodes[AGGREGATED][index]),
            ]
        )
    return Export(out.getvalue(), f"{schedule.grid.count} intervals")


def _by_role(schedule: ExportSchedule) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Units and nodes per interval of every role, 0 of those that the fleet does not have."""
    units = {name: np.zeros(schedule.grid.count, np.int64) for name in EVERY_ROLE}
    nodes = dict(units)
    for role in schedule.roles:
        units[role.name], nodes[role.name] = role.units, role.nodes(role.units)
    return units, nodes
