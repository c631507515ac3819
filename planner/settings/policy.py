"""The settings of policies, and of the rules around them."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import WEEKDAYS as WEEKDAYS
from planner.settings.closed import (
    CalendarDate,
    Closed,
    DayWindow,
    NodeCount,
    PositiveNodeCount,
    Share,
    WeekOfSeconds,
    parse_day_window,
)

_DAY_NUMBERS: dict[str, int] = {name: number for number, name in enumerate(WEEKDAYS)}


def parse_days(text: str) -> frozenset[int]:
    """Read a set of weekdays.

    Args:
        text: names and ranges with commas between, for example "mon-fri,sun"; a range may run over Sunday.

    Returns:
        Numbers of the weekdays, 0 for Monday.

    Raises:
        ValueError: a part is not a weekday or a range of them.
    """
    days: set[int] = set()
    for part in text.split(","):
        ends = [_DAY_NUMBERS.get(name.strip().lower()) for name in part.split("-")]
        first, last = ends[0], ends[-1]
        if first is None or last is None or len(ends) > 2:
            raise ValueError(f'"{text}" is not a list of weekdays; write for example mon-fri or sat,sun')
        days |= {day % 7 for day in range(first, last + 1 if first <= last else last + 8)}
    return frozenset(days)


class NodeBounds(Closed):
    """Minimum and maximum nodes of inference in a window of some weekdays."""

    days: str = "mon-sun"
    """Weekdays, for example mon-fri or sat,sun."""
    window: str = "00:00-24:00"
    """Local time, HH:MM-HH:MM; over midnight it belongs to the day on which it begins."""
    floor_nodes: NodeCount = 0
    """Minimum nodes; rounded up to whole scaling steps, of which each role keeps its own units."""
    ceiling_nodes: PositiveNodeCount | None = None
    """Maximum nodes; rounded down to whole scaling steps, or with independent roles shared by what they want. Left
    out: no limit."""

    @field_validator("days")
    @classmethod
    def _days(cls, text: str) -> str:
        parse_days(text)
        return text

    @field_validator("window")
    @classmethod
    def _window(cls, text: str) -> str:
        parse_day_window(text)
        return text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ceiling_nodes is not None and self.ceiling_nodes < self.floor_nodes:
            raise ValueError(
                f"floor_nodes is {self.floor_nodes} and ceiling_nodes is {self.ceiling_nodes}; swap or correct them"
            )
        return self


class Holiday(Closed):
    """A date that follows another weekday's bounds."""

    day: CalendarDate
    """The date, local."""
    follows: str
    """The weekday whose bounds apply, for example sun."""

    @field_validator("follows")
    @classmethod
    def _one_weekday(cls, name: str) -> str:
        if name.lower() not in WEEKDAYS:
            raise ValueError(f'"{name}" is not a weekday; write one of {", ".join(WEEKDAYS)}')
        return name.lower()


class PolicySettings(Closed):
    """How units are decided. Each policy reads its own fields; the last group applies to any policy."""

    name: str
    """The policy: night-training, fixed, timetable, reactive, predictive, scheduled-bounds, slo or oracle."""
    demand_source: Literal["trace", "profile", "previous", "forecast"]
    """What the policy sees: the trace's own demand (perfect foresight), the profile's, the previous interval's, or a
    forecast from the trace's earlier intervals."""
    target_utilisation: Annotated[float, Field(gt=0, le=1)]
    """Share of the capacity that a policy plans to use."""
    day_window: str
    """Local time, HH:MM-HH:MM, in which night-training keeps the full fleet."""
    night_bundle: bool = True
    """Whether night-training scales both roles in whole scaling steps even where fleet.scaling is independent."""
    floor_nodes: NodeCount
    """Nodes that inference keeps at all times; rounded up to the base units plus whole scaling steps, of which each
    role keeps its own units."""
    fixed_prefill_units: PositiveNodeCount | None = None
    """Prefill units of the fixed policy; left out: the full fleet's."""
    fixed_decode_units: PositiveNodeCount | None = None
    """Decode units of the fixed policy; left out: the full fleet's."""
    fixed_aggregated_units: PositiveNodeCount | None = None
    """Units of the fixed policy, where they do both; left out: the full fleet's."""
    timetable: str | None = None
    """Schedule of the timetable policy: a built-in name, or a CSV with interval_start and inference_nodes,
    or prefill_units and decode_units, or aggregated_units."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Reactive gives up units only while use stays this share below the target utilisation: its hysteresis."""
    up_cooldown_s: WeekOfSeconds = 0
    """Seconds, at most a week, within which reactive adds no units after having added some."""
    down_cooldown_s: WeekOfSeconds = 300
    """Seconds, at most a week, within which reactive gives up no units after any change."""
    most_steps_up: PositiveNodeCount | None = None
    """Maximum scaling steps, of each role where they scale apart, that reactive adds in an interval; left out: no
    limit."""
    most_steps_down: PositiveNodeCount | None = None
    """Maximum scaling steps, of each role where they scale apart, that reactive gives up in an interval; left out: no
    limit."""
    lead_s: WeekOfSeconds = 0
    """Seconds ahead, at most a week, for which predictive covers the demand, on top of the start-up of a unit."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Quantile of a forecast that a policy sees; other demand sources have a single figure and no quantiles."""
    inside: str = "reactive"
    """The policy inside the bounds of scheduled-bounds."""
    bounds: tuple[NodeBounds, ...] = ()
    """Bounds of scheduled-bounds: tables of days, window, floor_nodes and ceiling_nodes."""
    holidays: tuple[Holiday, ...] = ()
    """Dates that follow another weekday's bounds: tables of day and follows."""
    min_up_s: WeekOfSeconds = 0
    """With any policy: minimum seconds, at most a week, that units stay once some of their role have joined."""
    min_down_s: WeekOfSeconds = 0
    """With any policy: seconds, at most a week, within which no units join after others of their role have left."""
    ramp_nodes: PositiveNodeCount | None = None
    """With any policy: maximum nodes, of each role where they scale apart, that join or leave at once, in whole scaling
    steps; left out: no limit."""
    spare_prefill_units: NodeCount = 0
    """With any policy: spare prefill units, so that as many may fail."""
    spare_decode_units: NodeCount = 0
    """With any policy: spare decode units, so that as many may fail."""
    spare_aggregated_units: NodeCount = 0
    """With any policy: spare units that do both, so that as many may fail."""
    survivor_utilisation: Annotated[Share, Field(gt=0)] | None = None
    """With any policy: maximum use of the units that stay when others leave, under the observed and the visible
    demand; left out: not checked."""

    @field_validator("day_window")
    @classmethod
    def _window(cls, text: str) -> str:
        parse_day_window(text)
        return text

    @field_validator("bounds", "holidays", mode="before")
    @classmethod
    def _tables(cls, given: object) -> object:
        if isinstance(given, str):
            raise ValueError(  # noqa: TRY004  pydantic makes a message of a ValueError only
                f'"{given}" is not a TOML list of tables; write for example [{{days="sat,sun", ceiling_nodes=200}}] or '
                '[{day=2025-05-01, follows="sun"}]'
            )
        return given

    @property
    def window(self) -> DayWindow:
        """The day window, parsed."""
        return parse_day_window(self.day_window)
