"""What a scenario says of its demand beside the numbers: incidents, events, holidays, and days that were overruled."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import Any, Literal

from planner.core.demand import Demand
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.past import Declared, DeclaredSpan, Event, Mask
from planner.errors import UsageError
from planner.settings.forecast import TimeSpan
from planner.settings.scenario import Scenario
from planner.units import from_us, to_us

_DAY = timedelta(days=1)

DeclaredKind = Literal["incident", "ignored", "accepted", "holiday", "event"]


@dataclass(frozen=True, kw_only=True)
class DeclaredTime(DeclaredSpan):
    """Time that a scenario declares something of.

    kind: of a table [[incident]] or [[event]], a public holiday, a date of forecast.ignore or forecast.accept. name,
    factor: of events and holidays.
    """

    kind: DeclaredKind
    name: str = ""
    factor: float = 1.0


def declared_times(scenario: Scenario, start_us: int, end_us: int) -> tuple[DeclaredTime, ...]:
    """All that the scenario declares; of events, the last one of a time counts.

    start_us, end_us: the time that holidays are looked up for. Raises UsageError.
    """
    settings = scenario.forecast
    made = [_declared(_bounds(span, scenario), "incident") for span in scenario.incident]
    made += [_declared(_day_us(date.fromisoformat(day), scenario), "ignored") for day in settings.ignore]
    made += [_declared(_day_us(date.fromisoformat(day), scenario), "accepted") for day in settings.accept]
    # an event of the scenario itself comes last, so that its factor counts on a holiday
    made += _holidays(scenario, start_us, end_us)
    made += [_declared(_bounds(event, scenario), "event", event.name, event.factor) for event in scenario.event]
    return tuple(made)


def declared_of(scenario: Scenario, start_us: int, end_us: int) -> Declared:
    """The same as forecasts take it. Raises UsageError."""
    made = declared_times(scenario, start_us, end_us)
    return Declared(
        incidents=tuple(each for each in made if each.kind in ("incident", "ignored")),
        events=tuple(
            Event(start_us=each.start_us, end_us=each.end_us, factor=each.factor)
            for each in made
            if each.kind in ("holiday", "event")
        ),
        accepted=tuple(each for each in made if each.kind == "accepted"),
    )


def demand_history(scenario: Scenario, demand: Demand, horizon: int, *, unknown: Mask | None = None) -> DemandHistory:
    """A demand to forecast from, with what the scenario declares of it and of what follows.

    horizon: intervals, at most, ahead. unknown: intervals without a log. Raises UsageError, for intervals that do not
    divide a day too.
    """
    grid = demand.grid
    declared = declared_of(scenario, grid.start_us, grid.end_us + horizon * grid.interval_us)
    return DemandHistory.of(demand, scenario.zone, horizon, declared=declared, unknown=unknown)


def _holidays(scenario: Scenario, start_us: int, end_us: int) -> Iterator[DeclaredTime]:
    country = scenario.forecast.holidays
    if country is None:
        return
    first, last = (from_us(at, scenario.zone).date() for at in (start_us, end_us))
    calendar = _calendar(country, range(first.year, last.year + 1))
    for day in sorted(calendar):
        if first <= day <= last:
            yield _declared(_day_us(day, scenario), "holiday", calendar[day], scenario.forecast.holiday_factor)


def _calendar(country: str, years: range) -> Any:
    """The public holidays of some years: dates. Raises UsageError."""
    try:
        library = import_module("holidays")
    except ImportError as error:
        raise UsageError(
            "forecast.holidays needs the library holidays, which is not installed; "
            "pip install 'inference-planner[holidays]', or list the days as [[event]]"
        ) from error
    name, dash, part = country.partition("-")
    try:
        # other attributes of the library are no calendars
        name = name if name in library.list_supported_countries() and bool(dash) == bool(part) else ""
        # without a language, names would be in that of the machine
        return library.country_holidays(name, subdiv=part or None, years=years, language="en_US")
    except NotImplementedError as error:
        raise UsageError(
            f'forecast.holidays: no calendar of "{country}"; write a country as DE, or one of its parts as DE-BY'
        ) from error


def _declared(bounds: tuple[int, int], kind: DeclaredKind, name: str = "", factor: float = 1.0) -> DeclaredTime:
    return DeclaredTime(start_us=bounds[0], end_us=bounds[1], kind=kind, name=name, factor=factor)


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


def _day_us(day: date, scenario: Scenario) -> tuple[int, int]:
    return _moment_us(day, scenario), _moment_us(day, scenario, last=True)
