"""What the past of a demand told forecasts: incidents that they leave out and levels that they follow, in words."""

from dataclasses import dataclass
from datetime import tzinfo

from planner.core.forecast.demand import DemandHistory
from planner.units import from_us

_MOST_NOTES = 5
"""Most incidents, and most changes, that are told one by one: the newest."""


@dataclass(frozen=True, kw_only=True)
class PastFinding:
    """Something that was found in the past of a demand. start_us, end_us: UTC epoch microseconds.

    kind: outage or burst, which are left out; level, which is followed from start on. ratio: of what came to what was
    expected; of a level to the one before.
    """

    kind: str
    start_us: int
    end_us: int
    ratio: float


def findings_of(history: DemandHistory) -> tuple[PastFinding, ...]:
    """All findings in order of time."""
    tracker, end_us = history.tracker, history.demand.grid.end_us
    incidents = [
        PastFinding(
            kind="outage" if one.ratio < 1 else "burst",
            start_us=history.slot_us(one.first),
            end_us=history.slot_us(one.end),
            ratio=one.ratio,
        )
        for one in tracker.incidents
    ]
    levels = [
        PastFinding(kind="level", start_us=history.slot_us(one.first), end_us=end_us, ratio=one.ratio)
        for one in tracker.changes
    ]
    return tuple(sorted([*incidents, *levels], key=lambda one: one.start_us))


def finding_notes(history: DemandHistory, zone: tzinfo) -> list[str]:
    """The newest findings, one line each, and how to overrule them."""
    found = findings_of(history)
    incidents = [one for one in found if one.kind != "level"]
    levels = [one for one in found if one.kind == "level"]
    notes = [
        f"{_span(one, zone)} is left out of forecasts: {one.ratio:.0%} of what was expected came; list the date in "
        "forecast.accept if it is real"
        for one in incidents[-_MOST_NOTES:]
    ]
    notes += [
        f"the level of demand is {one.ratio - 1:+.0%} since {from_us(one.start_us, zone):%Y-%m-%d %H:%M}: forecasts "
        "follow it; list dates in forecast.ignore that are to be left out"
        for one in levels[-_MOST_NOTES:]
    ]
    more = max(len(incidents) - _MOST_NOTES, 0), max(len(levels) - _MOST_NOTES, 0)
    if any(more):
        notes.append(f"earlier: {more[0]} incidents that are left out, and {more[1]} changes of level")
    return notes


def _span(one: PastFinding, zone: tzinfo) -> str:
    start, end = from_us(one.start_us, zone), from_us(one.end_us, zone)
    if start.date() == from_us(one.end_us - 1, zone).date():
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
