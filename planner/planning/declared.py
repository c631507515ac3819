"""What a scenario says of its demand beside the numbers: incidents, events, holidays, and days that were overruled."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import Any

from planner.core.demand import Demand
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.past import Declared, DeclaredSpan, Event, Mask
from planner.errors import UsageError
from planner.settings.forecast import TimeSpan
from planner.settings.scenario import Scenario
from planner.units import from_us, to_us

_DAY = timedelta(days=1)


def declared_of(scenario: Scenario, start_us: int, end_us: int) -> Declared:
    """What the scenario declares. start_us, end_us: the time that holidays are looked up for. Raises UsageError."""
    settings = scenario.forecast
    ignored, accepted = (
        tuple(_day_span(date.fromisoformat(day), scenario) for day in days)
        for days in (settings.ignore, settings.accept)
    )
    incidents = tuple(DeclaredSpan(*_bounds(span, scenario)) for span in scenario.incident)
    events = [_event(_bounds(event, scenario), event.factor) for event in scenario.event]
    # an event of the scenario itself comes last, so that its factor counts on a holiday
    events = [*_holidays(scenario, start_us, end_us), *events]
    return Declared(incidents=(*incidents, *ignored), events=tuple(events), accepted=accepted)


def demand_history(scenario: Scenario, demand: Demand, horizon: int, *, unknown: Mask | None = None) -> DemandHistory:
    """A demand to forecast from, with what the scenario declares of it and of what follows.

    horizon: intervals, at most, ahead. unknown: intervals without a log. Raises UsageError, for intervals that do not
    divide a day too.
    """
    grid = demand.grid
    declared = declared_of(scenario, grid.start_us, grid.end_us + horizon * grid.interval_us)
    return DemandHistory.of(demand, scenario.zone, horizon, declared=declared, unknown=unknown)


def _holidays(scenario: Scenario, start_us: int, end_us: int) -> Iterator[Event]:
    country = scenario.forecast.holidays
    if country is None:
        return
    first, last = (from_us(at, scenario.zone).date() for at in (start_us, end_us))
    calendar = _calendar(country, range(first.year, last.year + 1))
    for day in sorted(calendar):
        if first <= day <= last:
            span = _day_span(day, scenario)
            yield _event((span.start_us, span.end_us), scenario.forecast.holiday_factor)


def _calendar(country: str, years: range) -> Any:
    """The public holidays of some years: dates. Raises UsageError."""
    try:
        library = import_module("holidays")
    except ImportError as error:
        raise UsageError(
            "forecast.holidays needs the library holidays, which is not installed; "
            "pip install 'inference-planner[holidays]', or list the days as [[event]]"
        ) from error
    name, _, part = country.partition("-")
    try:
        # other attributes of the library are no calendars
        name = name if name in library.list_supported_countries() else ""
        return library.country_holidays(name, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise UsageError(
            f'forecast.holidays: no calendar of "{country}"; write a country as DE, or one of its parts as DE-BY'
        ) from error


def _event(bounds: tuple[int, int], factor: float) -> Event:
    return Event(start_us=bounds[0], end_us=bounds[1], factor=factor)


def _bounds(span: TimeSpan, scenario: Scenario) -> tuple[int, int]:
    """Begin and end, UTC epoch microseconds. Raises UsageError."""
    bounds = _moment_us(span.start, scenario), _moment_us(span.end, scenario, last=True)
    if bounds[0] >= bounds[1]:
        raise UsageError(f"from {span.start} to {span.end} is no time; put the later one after to")
    return bounds


def _moment_us(moment: datetime | date, scenario: Scenario, *, last: bool = False) -> int:
    """UTC epoch microseconds of a time, or of the begin of a date; last: of its end."""
    if isinstance(moment, datetime):
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=scenario.zone))
    return to_us(datetime.combine(moment + _DAY if last else moment, time(), scenario.zone))


def _day_span(day: date, scenario: Scenario) -> DeclaredSpan:
    return DeclaredSpan(_moment_us(day, scenario), _moment_us(day, scenario, last=True))
