"""The settings of forecasts, and what is known of demand beside its numbers."""

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from planner.settings.closed import FIRST_MOMENT, LAST_MOMENT, Closed


def _moment(given: object) -> object:
    """A text as a date where it is one, or else as a time: a time at midnight is no date."""
    if isinstance(given, date):
        return given
    try:
        given = str(given)
        return date.fromisoformat(given) if len(given) == len("2025-03-06") else datetime.fromisoformat(given)
    except ValueError:
        raise ValueError(f'"{given}" is no date or time; write it as 2025-03-06 or 2025-03-06T10:00:00') from None


def _in_era(moment: datetime | date) -> datetime | date:
    if not FIRST_MOMENT.date() <= _first(moment) <= LAST_MOMENT.date():
        raise ValueError(f"{moment} is not from {FIRST_MOMENT.date()} to {LAST_MOMENT.date()}; correct it")
    return moment


Moment = Annotated[datetime | date, BeforeValidator(_moment), AfterValidator(_in_era)]
Factor = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class TimeSpan(Closed):
    """A stretch of time."""

    model_config = ConfigDict(validate_by_alias=True, serialize_by_alias=True)

    start: Annotated[Moment, Field(alias="from")]
    """Begin: a date, or a time, by the clock of `timezone` where it has no offset."""
    end: Annotated[Moment, Field(alias="to")]
    """End, which is no part of it; a date stands for its last moment, so that one date is one day."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if _first(self.start) > _first(self.end) or (isinstance(self.end, datetime) and self.start == self.end):
            cure = "put the later one after to" if self.start == self.end else "swap them"
            raise ValueError(f"{self.start} is not before {self.end}; {cure}")
        return self


class IncidentSettings(TimeSpan):
    """Time whose demand tells nothing of other days: an outage, a test, a log that is not complete."""


class EventSettings(TimeSpan):
    """Time whose demand differs from other days, in the past or to come."""

    name: str
    """What it is, for notes."""
    factor: Factor
    """What the usual demand of that time is multiplied by in forecasts; 0 for none. Its days are not learned from."""


class ForecastSettings(Closed):
    """How demand is forecast from the intervals before."""

    method: Literal["auto", "profile-level", "seasonal-naive", "day-of-week", "holt-winters", "statsforecast-mstl"]
    """Forecaster; auto: the first, or another one that has been better so far at the leads that are used;
    statsforecast-mstl needs the extra `forecast`."""
    season: Literal["day", "week"]
    """What repeats for seasonal-naive, holt-winters and statsforecast-mstl: a day or a week; the others know both."""
    horizon_s: Annotated[int, Field(ge=60, le=1_209_600)]
    """Seconds that forecasts look ahead, 60 to 1,209,600 (two weeks); rounded up to whole intervals."""
    holidays: str | None = None
    """Country whose public holidays are events, as DE, or DE-BY for one of its parts; needs the extra `holidays`."""
    holiday_factor: Factor = 1.0
    """What the usual demand of a day is multiplied by on these holidays; 1 to only not learn from them."""
    accept: tuple[str, ...] = ()
    """Dates whose demand is real, however unusual it is: learned from, and followed at once if it is a new level; no
    demand is then none."""
    ignore: tuple[str, ...] = ()
    """Dates that are not learned from."""

    @field_validator("accept", "ignore")
    @classmethod
    def _dates(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        for day in days:
            try:
                moment = date.fromisoformat(day)
            except ValueError:
                raise ValueError(f'"{day}" is not a date; write it as 2025-03-06') from None
            _in_era(moment)
        return days

    @model_validator(mode="after")
    def _used(self) -> Self:
        if both := sorted(set(self.accept) & set(self.ignore)):
            raise ValueError(f"{', '.join(both)} is in accept and in ignore; leave one out")
        if self.holidays is None and self.holiday_factor != 1.0:
            raise ValueError("holiday_factor is set and holidays is not; name the country with holidays")
        return self


def _first(moment: datetime | date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
