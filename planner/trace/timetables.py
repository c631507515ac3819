"""Timetables from CSV files: local wall-clock times with the nodes or units that inference holds."""

import csv
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from planner.errors import UsageError
from planner.trace.synthetic.profile import load_profile, profile_names

Row = tuple[datetime, int | tuple[int, int]]
"""Local time without zone; nodes, or prefill and decode units."""


def load_timetable(name: str | None, zone: ZoneInfo) -> list[Row]:
    """The rows of a timetable: a profile's published node timeline by name, or a CSV. Raises UsageError.

    CSV columns: interval_start (ISO-8601; with an offset it is turned into the zone), and either inference_nodes
    or prefill_units and decode_units.
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
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return [_row(path, reader.line_num, row, zone) for row in reader]
    except OSError as error:
        raise UsageError(
            f'policy.timetable: "{name}" cannot be read: {error.strerror}; '
            f"give one of {', '.join(profile_names())}, or the path of a CSV file"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text; give a CSV file") from error


def _row(path: Path, line: int, row: dict[str, str], zone: ZoneInfo) -> Row:
    try:
        moment = datetime.fromisoformat(row["interval_start"])
        if moment.tzinfo is not None:
            moment = moment.astimezone(zone).replace(tzinfo=None)
        if "inference_nodes" in row:
            return moment, _count(row["inference_nodes"])
        return moment, (_count(row["prefill_units"]), _count(row["decode_units"]))
    except KeyError as error:
        raise UsageError(
            f"{path}: has no column {error}; it needs interval_start, "
            "and inference_nodes or prefill_units and decode_units"
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} line {line}: {error}; give an ISO-8601 time and whole numbers") from error


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(f"{count} is negative")
    return count
