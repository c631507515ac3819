"""What every settings model is made of: frozen closed models, kinds of numbers, windows of the day."""

from datetime import time
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]


class Closed(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DayWindow(Closed):
    """A daily window of local wall-clock time, which may run over midnight."""

    start_minute: Annotated[int, Field(ge=0, le=1440)]
    """First minute of the local day inside the window."""
    end_minute: Annotated[int, Field(ge=0, le=1440)]
    """First minute of the local day after the window."""

    def holds(self, moment: time) -> bool:
        """Whether a local wall-clock time lies inside."""
        minute = moment.hour * 60 + moment.minute
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def parse_day_window(text: str) -> DayWindow:
    """A window from "HH:MM-HH:MM"; "24:00" ends the day. Raises ValueError."""
    try:
        start, end = (minute_of_day(part) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f'"{text}" is not a daily window; write HH:MM-HH:MM, for example 08:30-24:00') from error
    if start == end:
        raise ValueError(f'"{text}" is empty; for all day write 00:00-24:00')
    return DayWindow(start_minute=start, end_minute=end)


def minute_of_day(text: str) -> int:
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= minute < 60 and 0 <= hour * 60 + minute <= 1440 and hour >= 0):
        raise ValueError(text)
    return hour * 60 + minute
