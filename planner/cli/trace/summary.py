"""The summary of a trace as lines of text."""

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING

from planner.cli.output import print_line

if TYPE_CHECKING:
    from planner.trace.documents import TraceSummary


def print_summary(trace: "TraceSummary") -> None:
    """A line for every field of the summary that has a value."""
    from planner.trace.documents import TraceSummary

    for field in fields(TraceSummary):
        value = getattr(trace, field.name)
        if value is not None and (value or field.name != "cached_unknown"):
            print_line(f"  {field.name:<20}{_shown(value)}")


def _shown(value: int | str | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:,}" if isinstance(value, int) else value
