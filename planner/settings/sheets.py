"""Price sheets: what tokens earn and what GPUs cost."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import CalendarDate, Closed, DayWindow, Share, parse_day_window
from planner.units import micros

Kind = Literal["published", "computed", "fitted", "inferred", "assumed", "set"]
"""Where a figure comes from; set: it is the user's own."""
Price = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
"""US dollars per million tokens, or per hour of a GPU: at most 100,000, hundreds of times the dearest of 2026."""


class TokenPrices(Closed):
    """List prices, US dollars per million tokens."""

    cached_input: Price
    """Input tokens found in the KV cache, USD per million."""
    uncached_input: Price
    """Input tokens that had to be computed, USD per million."""
    output: Price
    """Output tokens, USD per million."""

    @field_validator("*")
    @classmethod
    def _whole_micros(cls, price: float) -> float:
        micros(price)
        return price

    @model_validator(mode="after")
    def _cached_is_cheaper(self) -> Self:
        if self.cached_input > self.uncached_input:
            raise ValueError(
                f"cached_input is {self.cached_input:g} and uncached_input less, {self.uncached_input:g}; swap or "
                "correct them"
            )
        return self


class OffPeak(Closed):
    """A daily discount."""

    window_utc: str
    """Window in UTC, HH:MM-HH:MM."""
    price_ratio: Share
    """Price inside the window as a share of the list price, 0 to 1."""
    from_date: CalendarDate
    """First UTC date on which the discount applies."""

    @field_validator("window_utc")
    @classmethod
    def _window(cls, text: str) -> str:
        parse_day_window(text)
        return text

    @property
    def window(self) -> DayWindow:
        """The window, parsed."""
        return parse_day_window(self.window_utc)


class PriceSheet(Closed):
    """Token prices of one model."""

    name: str
    """Short name."""
    description: str
    """One line on whose prices they are."""
    source: str
    """Where the prices come from."""
    kind: Kind
    """Whether the prices are published, computed, fitted, inferred or assumed, or set: your own."""
    usd_per_million_tokens: TokenPrices
    """List prices, USD per million tokens."""
    off_peak: OffPeak | None = None
    """Daily discount; left out: none."""


class GpuRate(Closed):
    """What one GPU costs per hour."""

    usd_per_gpu_hour: Price
    """Price of one GPU for an hour, USD; whole micro-dollars."""
    kind: Kind
    """Whether the rate is published, computed, fitted, inferred or assumed, or set: your own."""
    source: str
    """Where the rate comes from."""

    @field_validator("usd_per_gpu_hour")
    @classmethod
    def _whole_micros(cls, rate: float) -> float:
        micros(rate)
        return rate


class GpuRates(Closed):
    """GPU rates by how the GPU is paid for."""

    name: str
    """Short name."""
    description: str
    """One line on whose rates they are."""
    rates: dict[str, GpuRate]
    """Rates by name, for example rental, owned, reserved, on-demand or spot."""
