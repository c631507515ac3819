"""The settings of traces: which requests to plan for."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import Closed, Instant, PositiveRatio, Seed


class TraceSettings(Closed):
    """Which requests to plan for: a stored trace by name, or one drawn from a load profile.

    Where neither is named, --trace has to name one. A stored trace keeps its requests; factors, growth, noise and the
    window are applied to what is read of it, in every command.
    """

    name: str | None = None
    """A stored trace to use. Leave out to use the trace drawn from the profile and the fields below."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Classes of a stored trace to take; left out, all of them."""
    profile: str | None = None
    """Load profile that the synthetic trace is drawn from: a built-in name or the path of a TOML file."""
    seed: Seed = 1
    """Seed of every random draw: of a profile's requests, of the noise, and of the requests that a replay repeats or
    leaves out where a stored demand is changed."""
    scale: Annotated[float, Field(ge=1e-6, le=1)] = 1.0
    """Share of the requests that is stored: one over a whole number, at most a million; every row stands for 1/scale
    requests. A stored trace is taken as it is."""
    days: Annotated[int, Field(ge=1, le=3660)] = 1
    """Days to draw, at most ten years, each following the profile's daily shape. Of a stored trace, where set: the days
    to take, by the local clock, from its first interval or start_at on."""
    demand_factor: PositiveRatio = 1.0
    """Multiplies the profile's totals, or the demand of a stored trace: requests and tokens."""
    growth_per_day: Annotated[float, Field(gt=-1, le=10, allow_inf_nan=False)] = 0.0
    """Growth of the load from one day to the next, compounding; 0.01 is one per cent a day. Days of a stored
    trace are counted from its first interval."""
    weekday_factors: tuple[PositiveRatio, ...] = (1.0,) * 7
    """Load factor of each local weekday, Monday first."""
    cache_hit_ratio: Annotated[float, Field(ge=0, le=0.99)] | None = None
    """Share of the input tokens that a cache holds, 0 to 0.99, in place of the trace's own: for fewer hits every
    request loses the same share of its hits, for more the same share of its misses. Left out: the trace's own."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Standard deviation of the log of the load, day to day and quarter-hour to quarter-hour; 0 for none."""
    start_at: Instant | None = None
    """Draw only from this moment on; a multiple of the profile's cell (15 min), with offset. A stored trace is taken
    from this moment on, a multiple of interval_s; before its own start there is no demand."""
    end_at: Instant | None = None
    """Draw only up to this moment; a multiple of the profile's cell (15 min), with offset. A stored trace is taken up
    to this moment, a multiple of interval_s; after its own end there is no demand."""

    @field_validator("weekday_factors", mode="before")
    @classmethod
    def _split(cls, factors: object) -> object:
        return tuple(factors.split(",")) if isinstance(factors, str) else factors

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, names: object) -> object:
        return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names

    @field_validator("classes")
    @classmethod
    def _once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in names or () if names and names.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice; name each class once")
        return names

    @field_validator("weekday_factors")
    @classmethod
    def _seven(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if len(factors) != 7:
            raise ValueError(f"has {len(factors)} numbers; give seven, Monday first")
        return factors

    @field_validator("scale")
    @classmethod
    def _one_over_whole(cls, scale: float) -> float:
        weight = round(1 / scale)
        if abs(scale * weight - 1) > 1e-3:
            raise ValueError(
                f"{scale:g} is not one over a whole number; "
                f"use {1 / weight:.6g} (1/{weight}) or {1 / (weight + 1):.6g} (1/{weight + 1})"
            )
        return 1 / weight

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start_at and self.end_at and self.start_at >= self.end_at:
            raise ValueError("start_at is not before end_at; swap them")
        return self

    @property
    def weight(self) -> int:
        """Real requests per stored row."""
        return round(1 / self.scale)
