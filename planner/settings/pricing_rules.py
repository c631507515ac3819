"""Rules of dynamic prices: by the clock, by utilisation, or as the price sheets say."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import WEEKDAYS, Closed, DayWindow, Share, Weekday, parse_day_window, valid_zone
from planner.settings.sheets import Kind

Utilisation = Literal["load-over-peak", "nodes-over-fleet", "load-per-node"]
PriceRatio = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

MINUTES_PER_DAY = 1440
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY


class PriceWindow(Closed):
    """A price at some hours of some weekdays."""

    window: str
    """HH:MM-HH:MM in the rule's zone; one that runs over midnight belongs to the day on which it begins."""
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    """Days on which the window begins."""
    price_ratio: PriceRatio
    """Price as a multiple of the list price, above 0 to 100."""

    @field_validator("window")
    @classmethod
    def _window(cls, text: str) -> str:
        parse_day_window(text)
        return text

    @property
    def hours(self) -> DayWindow:
        """The window, parsed."""
        return parse_day_window(self.window)

    def minutes(self) -> Iterator[int]:
        """Every minute of the week inside, counted from Monday 00:00."""
        start, length = self.hours.start_minute, (self.hours.end_minute - self.hours.start_minute) % MINUTES_PER_DAY
        for day in sorted({WEEKDAYS.index(name) for name in self.weekdays}):
            for minute in range(length or MINUTES_PER_DAY):
                yield (day * MINUTES_PER_DAY + start + minute) % MINUTES_PER_WEEK


class UtilisationStep(Closed):
    """A price from a given utilisation upwards."""

    from_utilisation: Share
    """Utilisation, 0 to 1, from which the price applies."""
    price_ratio: PriceRatio
    """Price as a multiple of the list price."""


class PricingRule(Closed):
    """How prices differ from the list.

    time: windows, each with a price; the list price outside. utilisation: steps, ascending from 0.
    price-sheet: the discount that each price sheet of the scenario states.
    """

    name: str
    """Short name."""
    description: str
    """One line on what it does."""
    kind: Literal["time", "utilisation", "price-sheet"]
    """What prices depend on: the clock, utilisation, or what the price sheets say."""
    provenance: Kind
    """Whether the numbers are published, computed, fitted, inferred or assumed."""
    source: str
    """Where the numbers come from."""
    timezone: str = "UTC"
    """IANA zone of the windows."""
    windows: tuple[PriceWindow, ...] = ()
    """Prices of kind time; no two windows overlap."""
    steps: tuple[UtilisationStep, ...] = ()
    """Prices of kind utilisation, ascending from 0."""
    utilisation: Utilisation | None = None
    """What the steps mean by utilisation; left out: load-over-peak, unless the command says otherwise."""
    ramp: Share = 0.0
    """Width of the utilisation range, half on either side of a step, over which the price changes linearly
    instead of jumping."""
    what_if: str | None = None
    """Claim that the rule was part of: the name of a what-if preset."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return valid_zone(name)

    @field_validator("windows")
    @classmethod
    def _apart(cls, windows: tuple[PriceWindow, ...]) -> tuple[PriceWindow, ...]:
        owner: dict[int, int] = {}
        for number, window in enumerate(windows, 1):
            for minute in window.minutes():
                other = owner.setdefault(minute, number)
                if other != number:
                    day, hour, rest = WEEKDAYS[minute // MINUTES_PER_DAY], minute % MINUTES_PER_DAY // 60, minute % 60
                    raise ValueError(
                        f"{other} and {number} overlap on {day} at {hour:02d}:{rest:02d}; give every minute one price"
                    )
        return windows

    @field_validator("steps")
    @classmethod
    def _ascend(cls, steps: tuple[UtilisationStep, ...]) -> tuple[UtilisationStep, ...]:
        starts = [step.from_utilisation for step in steps]
        if steps and (starts[0] != 0 or starts != sorted(set(starts))):
            raise ValueError("do not ascend in from_utilisation from 0; put them in order, the first at 0")
        return steps

    @model_validator(mode="after")
    def _as_its_kind(self) -> Self:
        needs = {"time": "windows", "utilisation": "steps"}.get(self.kind)
        for field in ("windows", "steps"):
            if (field == needs) != bool(getattr(self, field)):
                what = f"kind {self.kind} {'needs' if field == needs else 'has no'} {field}"
                raise ValueError(f"{what}; correct the kind or {field}")
        if self.kind != "utilisation" and (self.ramp or self.utilisation):
            raise ValueError(f"kind {self.kind} does not depend on utilisation; remove utilisation and ramp")
        starts = [step.from_utilisation for step in self.steps[1:]]
        bounds = zip(
            [0.0, *(start + self.ramp / 2 for start in starts)],
            [start - self.ramp / 2 for start in starts],
            strict=False,
        )
        if self.ramp and any(above < below - 1e-12 for below, above in bounds):
            raise ValueError(f"ramps of {self.ramp:g} overlap, or reach below 0; make ramp smaller")
        return self
