"""The parts of every settings model: frozen closed models, kinds of numbers and names, daily windows."""

import difflib
from datetime import time
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]

WeightDtype = Literal["bf16", "fp8", "int8", "int4", "fp4"]
CacheDtype = Literal["bf16", "fp8"]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Closed(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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
