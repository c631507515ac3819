"""Timetables from CSV files: local wall-clock times with the nodes or units that inference holds."""

import csv
import io
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from planner.core.fleet.units import EVERY_ROLE, Units
from planner.errors import UsageError
from planner.input_files import exists, read_text
from planner.settings.closed import MOST_NODES, within_era
from planner.settings.plain import shown
from planner.text import quoted
from planner.trace.synthetic.profile import load_profile, profile_names

_MOST_SHOWN = 200
"""Characters of a problem in a line of a message."""

Row = tuple[datetime, int | Units]
"""Local time without zone; nodes, or units."""


def load_timetable(name: str | None, zone: ZoneInfo, roles: tuple[str, ...]) -> list[Row]:
    """The rows of a timetable: a profile's published node timeline by name, or a CSV. Raises UsageError.

    roles: of the fleet's units. CSV columns: interval_start (ISO-8601; with an offset it is turned into the zone), and
    either inference_nodes or the units of each role, such as prefill_units and decode_units.
    """
    if name is None:
        raise UsageError("policy.timetable: is empty; give a built-in name or the path of a CSV file")
    if name in profile_names():
        profile = load_profile(name)
        published = profile.settings.published
        if published is None:
            raise UsageError(f'policy.timetable: profile "{name}" has no published node timeline; give a CSV file')
        path = profile.path.parent / published.nodes_file
    else:
        path = Path(name)
    cure = f"give one of {', '.join(profile_names())}, or the path of a CSV file"
    if not exists(path):
        raise UsageError(f"policy.timetable: {quoted(name)} cannot be read: no such file; {cure}")
    text = read_text(path, cure=cure, encoding="utf-8-sig", named_by="policy.timetable:")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        return [_row(path, reader.line_num, row, zone, roles) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path}: is not CSV ({error}); {cure}") from error


def _row(path: Path, line: int, row: dict[str, str], zone: ZoneInfo, roles: tuple[str, ...]) -> Row:
    try:
        moment = datetime.fromisoformat(row["interval_start"])
        if moment.tzinfo is not None:
            moment = within_era(moment).astimezone(zone).replace(tzinfo=None)
        if "inference_nodes" in row:
            return moment, _count(row["inference_nodes"])
        # an export has columns of every role
        told = [role for role in EVERY_ROLE if role in roles or f"{role}_units" in row]
        return moment, Units.by_role(lambda role: _count(row[f"{role}_units"]), tuple(told))
    except KeyError as error:
        raise UsageError(
            f"{path}: has no column {error}; it needs interval_start, "
            f"and inference_nodes or {' and '.join(f'{role}_units' for role in roles)}"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} line {line}: {str(error)[:_MOST_SHOWN]}; give an ISO-8601 time and whole numbers"
        ) from error


def _count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= MOST_NODES:
        raise ValueError(f"{shown(count)} is not from 0 to {MOST_NODES:,}")
    return count
