"""Price sheets: what tokens earn and what GPUs cost."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator

from planner.settings.scenario import Closed, DayWindow, Share, parse_day_window
from planner.units import micros

Kind = Literal["published", "computed", "fitted", "inferred", "assumed"]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TokenPrices(Closed):
    """List prices, US dollars per million tokens."""

    cached_input: Price
    """Input tokens found in the KV cache."""
    uncached_input: Price
    """Input tokens that had to be computed."""
    output: Price
    """Output tokens."""

    @field_validator("*")
    @classmethod
    def _whole_micros(cls, price: float) -> float:
        micros(price)
        return price


class OffPeak(Closed):
    """A daily discount."""

    window_utc: str
    """Window in UTC, HH:MM-HH:MM."""
    price_ratio: Share
    """Price inside the window over the list price."""
    from_date: date
    """First UTC date on which the discount holds."""

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
    description: str
    source: str
    kind: Kind
    usd_per_million_tokens: TokenPrices
    off_peak: OffPeak | None = None


class GpuRate(Closed):
    """What one GPU costs per hour."""

    usd_per_gpu_hour: Price
    kind: Kind
    source: str

    @field_validator("usd_per_gpu_hour")
    @classmethod
    def _whole_micros(cls, rate: float) -> float:
        micros(rate)
        return rate


class GpuRates(Closed):
    """GPU rates by how the GPU is paid for."""

    name: str
    description: str
    rates: dict[str, GpuRate]
