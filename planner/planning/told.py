"""What forecasts heed beside the numbers of a demand, in words: what its past told, and what is declared of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import time, tzinfo
from typing import Literal

import numpy as np

from planner.core.demand import Grid
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.past import marked, mostly_marked
from planner.planning.declared import DeclaredTime, declared_times
from planner.settings.scenario import Scenario
from planner.units import from_us

_MOST_NOTES = 5
"""Most findings of a kind that are told one by one: the newest."""

FindingKind = Literal["outage", "burst", "level", "incident", "ignored", "holiday", "event"]
LEFT_OUT: tuple[FindingKind, ...] = ("outage", "burst", "incident", "ignored")
"""Kinds of time whose demand tells nothing."""
EVENTS: tuple[FindingKind, ...] = ("holiday", "event")


@dataclass(frozen=True, kw_only=True)
class DemandFinding:
    """Something that forecasts of a demand heed. start_us, end_us: UTC epoch microseconds.

    kind: outage or burst, found in the past and left out; level, a change that is followed from start on; incident or
    ignored, declared and left out; holiday or event. ratio: of what came to what was expected; of a level to the one
    before; None for what is declared. name, factor: of events. past: whether nothing is learned of it. planned: whether
    some of it is forecast or planned, at its factor.
    """

    kind: FindingKind
    start_us: int
    end_us: int
    ratio: float | None = None
    factor: float | None = None
    name: str = ""
    past: bool = True
    planned: bool = False


@dataclass(frozen=True)
class DemandFindings:
    """Findings in order of time, and the notes on them."""

    findings: tuple[DemandFinding, ...]
    notes: tuple[str, ...]


def tell(history: DemandHistory, scenario: Scenario, planned: Grid) -> DemandFindings:
    """What forecasts from a history heed. planned: the time that they are used for. Raises UsageError."""
    past = history.demand.grid
    declared = declared_times(scenario, min(past.start_us, planned.start_us), max(past.end_us, planned.end_us))
    findings = sorted([*_found(history), *declared_findings(declared, past, planned)], key=lambda one: one.start_us)
    notes = [*_finding_notes(findings, scenario.zone), *_accepted_notes(declared, past, scenario.zone)]
    idle = [*_idle(declared, past, planned, scenario.zone), *_idle_holidays(declared, scenario)]
    if idle:
        known = _span(past.start_us, past.end_us, scenario.zone)
        used = _span(planned.start_us, planned.end_us, scenario.zone) if planned.count else "no interval"
        notes.append(
            f"without effect on this forecast, whose history is {known}, and which is used for {used}: {_newest(idle)}"
        )
    return DemandFindings(tuple(findings), tuple(notes))


def declared_findings(declared: Sequence[DeclaredTime], past: Grid | None, planned: Grid) -> Iterator[DemandFinding]:
    """What is declared of a history, if there is one, and of the time that is planned."""
    for one, (is_past, is_planned) in zip(declared, _effects(declared, past, planned), strict=True):
        if one.kind != "accepted" and (is_past or is_planned):
            yield DemandFinding(
                kind=one.kind,
                start_us=one.start_us,
                end_us=one.end_us,
                factor=one.factor if one.kind in EVENTS else None,
                name=one.name,
                past=is_past,
                planned=is_planned,
            )


def _effects(declared: Sequence[DeclaredTime], past: Grid | None, planned: Grid) -> list[tuple[bool, bool]]:
    """Whether some of each lies in the history, and whether some time is planned at its factor."""
    counting = np.full(planned.count, -1)
    for number, one in enumerate(declared):
        if one.kind in EVENTS:
            counting[mostly_marked(planned, one)] = number
    return [
        (past is not None and bool(marked(past, one).any()), bool((counting == number).any()))
        for number, one in enumerate(declared)
    ]


def describe(one: DemandFinding) -> str:
    """A finding in a few words, without its time."""
    if one.kind in EVENTS:
        return f"{one.kind} {one.name}, {_times(one.factor)}"
    if one.ratio is None:
        return "declared in [[incident]]" if one.kind == "incident" else "in forecast.ignore"
    return f"level {one.ratio - 1:+.0%}" if one.kind == "level" else f"{one.ratio:.0%} of what was expected came"


def _found(history: DemandHistory) -> Iterator[DemandFinding]:
    tracker, end_us = history.tracker, history.demand.grid.end_us
    for one in tracker.incidents:
        kind: FindingKind = "outage" if one.ratio < 1 else "burst"
        start_us, until_us = history.slot_us(one.first), history.slot_us(one.end)
        yield DemandFinding(kind=kind, start_us=start_us, end_us=until_us, ratio=one.ratio)
    for change in tracker.changes:
        yield DemandFinding(kind="level", start_us=history.slot_us(change.first), end_us=end_us, ratio=change.ratio)


def _finding_notes(findings: Sequence[DemandFinding], zone: tzinfo) -> Iterator[str]:
    """The newest of each kind, one line each, with how to overrule what was found, and how many there are before."""
    kinds: tuple[tuple[tuple[FindingKind, ...], str], ...] = (
        (("outage", "burst"), "incidents that are left out"),
        (("level",), "changes of level"),
        (("incident", "ignored"), "declared times that are left out"),
        (EVENTS, "events and holidays"),
    )
    earlier = []
    for those, noun in kinds:
        chosen = [one for one in findings if one.kind in those]
        yield from (_note(one, zone) for one in chosen[-_MOST_NOTES:])
        if len(chosen) > _MOST_NOTES:
            earlier.append(f"{len(chosen) - _MOST_NOTES} {noun}")
    if earlier:
        yield f"earlier: {', '.join(earlier)}"


def _note(one: DemandFinding, zone: tzinfo) -> str:
    span = _span(one.start_us, one.end_us, zone)
    if one.kind == "level":
        return (
            f"the level of demand is {(one.ratio or 0) - 1:+.0%} since {from_us(one.start_us, zone):%Y-%m-%d %H:%M}: "
            "forecasts follow it; list dates in forecast.ignore that are to be left out"
        )
    if one.kind in EVENTS:
        which = f"{one.kind} {one.name}"
        if not one.planned:
            return f"{span} is not learned from: {which}"
        learned = ", and not learned from" if one.past else ""
        return f"{span} is planned for {_times(one.factor)}{learned}: {which}"
    cure = "" if one.ratio is None else "; list the date in forecast.accept if it is real"
    return f"{span} is left out of forecasts: {describe(one)}{cure}"


def _times(factor: float | None) -> str:
    if factor in (None, 1):
        return "the usual demand"
    return f"{factor:g} times the usual demand" if factor else "no demand"


def _accepted_notes(declared: Sequence[DeclaredTime], past: Grid, zone: tzinfo) -> Iterator[str]:
    taken = [one for one in declared if _is_taken(one, declared, past)]
    if taken:
        days = _newest([_span(one.start_us, one.end_us, zone) for one in sorted(taken, key=lambda one: one.start_us)])
        yield f"forecast.accept takes the demand of {days} as real"


def _is_taken(one: DeclaredTime, declared: Sequence[DeclaredTime], past: Grid) -> bool:
    """Whether a date is in forecast.accept, and some of it is in the past and is not declared to be left out."""
    if one.kind != "accepted":
        return False
    free = marked(past, one)
    for other in declared:
        if other.kind != "accepted":
            free &= ~marked(past, other)
    return bool(free.any())


def _idle(declared: Sequence[DeclaredTime], past: Grid, planned: Grid, zone: tzinfo) -> list[str]:
    """What is declared and changes nothing, in order of time."""
    effects = zip(declared, _effects(declared, past, planned), strict=True)
    idle = [one for one, effect in effects if not any(effect) and one.kind not in ("holiday", "accepted")]
    idle += [one for one in declared if one.kind == "accepted" and not _is_taken(one, declared, past)]
    words = {"incident": "[[incident]]", "ignored": "forecast.ignore", "accepted": "forecast.accept"}
    return [
        f"{words.get(one.kind, f'[[event]] {one.name},')} {_span(one.start_us, one.end_us, zone)}"
        for one in sorted(idle, key=lambda one: one.start_us)
    ]


def _idle_holidays(declared: Sequence[DeclaredTime], scenario: Scenario) -> Iterator[str]:
    country = scenario.forecast.holidays
    if country is not None and not any(one.kind == "holiday" for one in declared):
        yield f"forecast.holidays, as {country} has none in this time"


def _newest(texts: Sequence[str]) -> str:
    """Texts in order of time, joined; of many the newest."""
    more = len(texts) - _MOST_NOTES
    return ", ".join([*([f"{more} earlier"] if more > 0 else []), *texts[-_MOST_NOTES:]])


def _span(start_us: int, end_us: int, zone: tzinfo) -> str:
    """Whole dates where they are, the last one included; or else times."""
    start, end, last = (from_us(at, zone) for at in (start_us, end_us, end_us - 1))
    if start.time() == end.time() == time():
        return f"{start:%Y-%m-%d}" if start.date() == last.date() else f"{start:%Y-%m-%d} to {last:%Y-%m-%d}"
    if start.date() == last.date():
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
