"""The settings of money and service levels: what a GPU costs, what tokens earn, which limits a plan has to meet."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import Closed, Milliseconds, PositiveFloat, Share
from planner.settings.sheets import GpuRates, Price, PriceSheet
from planner.units import micros


class EconomicsSettings(Closed):
    """What a GPU costs and what tokens earn."""

    gpu_rates: str | GpuRates
    """Sheet of GPU rates per hour: a built-in name, the path of a TOML file, or a table with the rates."""
    gpu_rate: str
    """Which rate of the sheet prices the fleet: for example rental, owned, reserved, on-demand or spot."""
    gpu_usd_per_hour: Price | None = None
    """Price of one GPU for an hour, USD, in place of that rate; whole micro-dollars. Left out: the rate's."""
    price_sheet: str | PriceSheet
    """Token prices behind the theoretical revenue: a built-in name, the path of a TOML file, or a table with them."""
    other_price_sheet: str | PriceSheet | None = None
    """Token prices of the traffic that other_share names; left out: there is no such traffic."""
    other_share: Share
    """Share of the traffic billed by other_price_sheet, 0 to 1."""
    off_peak: bool
    """Whether the sheets' off-peak discounts apply to the expected revenue."""
    unpaid_share: Share
    """Share of the traffic that nobody pays for, 0 to 1: free web and app use."""
    training_rate_ratio: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
    """Charge to training per node-hour, as a ratio to the cost of the node-hour; at most 1,000."""
    budget_usd: PositiveFloat | None = None
    """Maximum cost of inference over the plan, USD; above it the plan exits 3. Left out: no limit."""

    @field_validator("gpu_usd_per_hour")
    @classmethod
    def _whole_micros(cls, price: float | None) -> float | None:
        if price is not None:
            micros(price)
        return price

    @model_validator(mode="after")
    def _other_prices(self) -> Self:
        if self.other_share and self.other_price_sheet is None:
            raise ValueError(
                f"other_share is {self.other_share:g} and other_price_sheet is left out; name the prices of that share"
            )
        return self


class SloSettings(Closed):
    """Limits that a plan has to meet; a plan that misses one exits 3."""

    max_shortfall_ratio: Share
    """Maximum of the tokens demanded beyond the capacity, as a share of all tokens, 0 to 1."""
    ttft_ms: Milliseconds
    """Target time to the first token in ms, queueing included; attainment is reported by replays."""
    tpot_ms: Milliseconds
    """Target time per output token in ms; modelled decode capacity is that of the largest batch that meets it."""
    min_attainment: Share | None = None
    """Minimum share of requests within both targets, 0 to 1; a replay below it exits 3. Left out: not checked."""
