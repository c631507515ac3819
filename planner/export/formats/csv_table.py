"""A CSV with a row per interval, which the timetable policy reads back. Pure."""

import csv
import io

from planner.export.formats.schedule import Export, ExportSchedule
from planner.units import iso

COLUMNS = (
    "interval_start",
    "interval_end",
    "prefill_units",
    "decode_units",
    "prefill_nodes",
    "decode_nodes",
    "training_nodes",
)


def csv_table(schedule: ExportSchedule) -> Export:
    """Units and nodes of every interval. Times are ISO-8601 with offset; no cell can be taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    prefill, decode = schedule.roles
    for index, start_us in enumerate(schedule.grid.starts_us):
        writer.writerow(
            [
                iso(int(start_us), schedule.zone),
                iso(int(start_us) + schedule.grid.interval_us, schedule.zone),
                int(prefill.units[index]),
                int(decode.units[index]),
                int(prefill.units[index]) * prefill.nodes_per_unit,
                int(decode.units[index]) * decode.nodes_per_unit,
                int(schedule.training_nodes[index]),
            ]
        )
    return Export(out.getvalue(), f"{schedule.grid.count} intervals")
