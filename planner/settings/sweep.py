"""The settings of sweeps: what is uncertain, and between which values."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import Closed

Law = Literal["uniform", "log-uniform", "triangular"]


class SweepRange(Closed):
    """One uncertain value."""

    path: str
    """A field of the scenario, or cache_hit_ratio, gpu_usd_per_hour, nodes_down_ratio or unit_capacity_factor: what a
    unit that does both carries over what it is observed or modelled to carry."""
    law: Law = "uniform"
    """Distribution of its values; triangular has its mode at the scenario's own value."""
    low: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
    """Lowest value."""
    high: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
    """Highest value."""
    relative: bool = False
    """Whether low and high are multiples of the scenario's own value."""
    provenance: str
    """Where the range comes from, "kind: source"."""

    @field_validator("provenance")
    @classmethod
    def _stated(cls, text: str) -> str:
        kinds = ("published", "computed", "fitted", "inferred", "assumed", "set")
        if not text.startswith(tuple(f"{kind}: " for kind in kinds)):
            raise ValueError(f'"{text}" does not begin with one of {", ".join(kinds)} and a colon; state its kind')
        return text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"{self.path} runs from {self.low:g} to {self.high:g}; give a low below the high")
        if self.law == "log-uniform" and self.low <= 0:
            raise ValueError(f"{self.path} starts at {self.low:g} and is log-uniform; start above 0")
        return self


class SweepSettings(Closed):
    """What `planner sweep` varies."""

    vary: tuple[SweepRange, ...]
    """Uncertain values: tables of path, law, low, high, relative and provenance."""

    @field_validator("vary")
    @classmethod
    def _once(cls, ranges: tuple[SweepRange, ...]) -> tuple[SweepRange, ...]:
        paths = [each.path for each in ranges]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is given twice; keep one range for each")
        return ranges
