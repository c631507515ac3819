"""The parts of every settings model: frozen closed models, kinds of numbers and names, daily windows."""

import difflib
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from planner.settings.plain import EMPTY_TABLE, check_name, check_plain, kinds_of

Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False)]
"""Any amount. From a billionth to a million million: no rate, length, bandwidth or price lies outside, and the products
of several stay finite."""
PositiveRatio = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""A factor, from a millionth to a million: beyond, a load is another one and not the same changed."""
Milliseconds = Annotated[float, Field(ge=1e-3, le=86_400_000, allow_inf_nan=False)]
"""A latency: from a microsecond, which is how fine a replay counts, to a day."""
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""Things that are counted, at most a billion: more than the tokens of a prompt, the requests of a queue or the
parameters of a layer."""
PositiveCount = Annotated[int, Field(ge=1, le=1_000_000_000)]
Total = Annotated[int, Field(ge=0, le=2**53)]
"""Sums over a day; up to here they are exact also as floating-point numbers."""
PositiveTotal = Annotated[int, Field(ge=1, le=2**53)]
MOST_NODES = 100_000
"""Nodes, or units of them: several times the largest site of 2026; a policy looks at every number of scaling steps."""
NodeCount = Annotated[int, Field(ge=0, le=MOST_NODES)]
PositiveNodeCount = Annotated[int, Field(ge=1, le=MOST_NODES)]
GpusPerNode = Annotated[int, Field(ge=1, le=1024)]
"""GPUs that are one machine to a scheduler: at most 1,024; the largest racks joined by NVLink have 576."""
DayOfSeconds = Annotated[int, Field(ge=0, le=86_400)]
"""A time in which something starts, stops or is loaded: at most a day; longer, it is not done within a daily plan."""
WeekOfSeconds = Annotated[int, Field(ge=0, le=604_800)]
"""A time for which something is kept or waited for: at most a week."""
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A seed: as large as the whole numbers of a database and of JSON readers are, 63 bits."""

FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(2200, 1, 1, tzinfo=UTC)
"""Times are kept in microseconds since 1970; in this range local times of any zone, and days added, stay in it."""
Instant = Annotated[AwareDatetime, Field(ge=FIRST_MOMENT, le=LAST_MOMENT)]
"""A time with its offset, from 1970 to 2200."""
CalendarDate = Annotated[date, Field(ge=FIRST_MOMENT.date(), le=LAST_MOMENT.date())]
"""A date from 1970 to 2200."""

WeightDtype = Literal["bf16", "fp8", "int8", "int4", "fp4"]
CacheDtype = Literal["bf16", "fp8"]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


FROM_FILE = "a file"
"""The context of validation of what is written in a file: there, an empty table says nothing and has no effect."""


def within_era(moment: datetime) -> datetime:
    """A time that can be counted and shifted, as it is.

    Args:
        moment: with an offset.

    Raises:
        ValueError: it is before 1970 or after 2200.
    """
    if not FIRST_MOMENT <= moment <= LAST_MOMENT:
        raise ValueError(
            f"{moment.isoformat()} is not from {FIRST_MOMENT.date()} to {LAST_MOMENT.date()}; correct the time"
        )
    return moment


class Closed(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(cls, value, info)


def as_written(model: type[Closed], value: object, info: ValidationInfo) -> object:
    """A field's value before it is read; see `check_plain`.

    Args:
        model: that the field is of.
        value: as it was given.
        info: names the field.

    Raises:
        ValueError: no field takes such a value.
    """
    assert info.field_name is not None, "the validator of a field"
    if info.context == FROM_FILE and value == {}:
        raise ValueError(EMPTY_TABLE)
    kinds, may_be_empty = _field_kinds(model, info.field_name)
    check_plain(value, kinds, may_be_empty=may_be_empty)
    if info.field_name == "name" and isinstance(value, str):
        check_name(value)
    return value


@cache
def _field_kinds(model: type[Closed], name: str) -> tuple[frozenset[Any], bool]:
    """The types that a field's values end in, and whether its texts may be empty: descriptions, and by default."""
    field = model.model_fields[name]
    return kinds_of(field.annotation), name == "description" or field.default == ""


class DayWindow(Closed):
    """A daily window of local wall-clock time, which may run over midnight."""

    start_minute: Annotated[int, Field(ge=0, le=1440)]
    """First minute of the local day inside the window."""
    end_minute: Annotated[int, Field(ge=0, le=1440)]
    """First minute of the local day after the window."""

    def holds(self, moment: time) -> bool:
        """Whether a time of the day lies inside.

        Args:
            moment: local wall-clock time.
        """
        minute = moment.hour * 60 + moment.minute
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def parse_day_window(text: str) -> DayWindow:
    """Read a daily window.

    Args:
        text: "HH:MM-HH:MM" in local time, for example "08:30-24:00"; "24:00" ends the day, and a window whose end is
            before its start runs over midnight.

    Raises:
        ValueError: the text is not a window, or the window is empty.
    """
    try:
        start, end = (minute_of_day(part) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f'"{text}" is not a daily window; write HH:MM-HH:MM, for example 08:30-24:00') from error
    if start == end:
        raise ValueError(f'"{text}" is an empty window; for all day write 00:00-24:00')
    return DayWindow(start_minute=start, end_minute=end)


def minute_of_day(text: str) -> int:
    """Read a time of the day.

    Args:
        text: "HH:MM", from "00:00" to "24:00".

    Returns:
        Minutes since midnight, 0 to 1440.

    Raises:
        ValueError: the text is not such a time.
    """
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= minute < 60 and 0 <= hour * 60 + minute <= 1440 and hour >= 0):
        raise ValueError(text)
    return hour * 60 + minute


def valid_zone(name: str) -> str:
    """Check the name of a time zone, and return it.

    Args:
        name: IANA name, for example "Asia/Shanghai".

    Raises:
        ValueError: there is no such time zone.
    """
    if name not in known_zones():
        raise ValueError(f'"{name}" is not an IANA time zone; write one such as {_other_zone(name)}')
    return name


def _other_zone(name: str) -> str:
    """What to write instead of a name that is no time zone."""
    # the nearest abbreviation or offset is hours off, as EST is from CEST
    if "/" not in name and (name.isupper() or any(letter.isdigit() for letter in name)):
        return "Europe/Berlin or UTC: abbreviations and offsets do not tell when clocks change"
    places = sorted(zone for zone in known_zones() if "/" in zone or (zone.isalpha() and not zone.isupper()))
    near = [zone for zone in places if zone.rpartition("/")[2].casefold() == name.casefold()]
    near = near or difflib.get_close_matches(name, places, n=1)
    return f"Europe/Berlin or UTC{f' (did you mean {near[0]}?)' if near else ''}"


@cache
def known_zones() -> frozenset[str]:
    """Names of the time zones of the IANA database; they are looked up in thousands of files, once."""
    return frozenset(available_timezones())
