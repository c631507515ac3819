"""Prices in integers: micro-dollars per million tokens, micro-dollars per node-hour. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.settings.closed import DayWindow
from planner.settings.sheets import PriceSheet
from planner.units import US_PER_S, micros, to_us

PPM = 1_000_000
"""Shares are kept as whole millionths."""

_US_PER_MINUTE = 60 * US_PER_S
_MINUTES_PER_DAY = 1440


@dataclass(frozen=True, kw_only=True)
class TokenRates:
    """What tokens earn, integer micro-dollars per million tokens."""

    name: str
    cached_input: int
    uncached_input: int
    output: int
    off_peak_ratio_ppm: int
    off_peak_window: DayWindow | None
    off_peak_from: datetime | None

    @classmethod
    def of(cls, sheet: PriceSheet) -> "TokenRates":
        """The rates of a price sheet; dollars per million tokens have at most six decimals there."""
        prices, discount = sheet.usd_per_million_tokens, sheet.off_peak
        return cls(
            name=sheet.name,
            cached_input=micros(prices.cached_input),
            uncached_input=micros(prices.uncached_input),
            output=micros(prices.output),
            off_peak_ratio_ppm=ppm(discount.price_ratio) if discount else PPM,
            off_peak_window=discount.window if discount else None,
            off_peak_from=datetime.combine(discount.from_date, datetime.min.time(), UTC) if discount else None,
        )

    def revenue_of(self, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> int:
        """List revenue in millionths of a micro-dollar: exact."""
        return (
            cached_input_tokens * self.cached_input
            + (input_tokens - cached_input_tokens) * self.uncached_input
            + output_tokens * self.output
        )

    def off_peak_s(self, starts: Sequence[datetime], interval_s: int) -> list[int]:
        """Seconds of each interval in which the discount holds. starts: aware, on whole minutes."""
        if self.off_peak_window is None or self.off_peak_from is None:
            return [0] * len(starts)
        first = np.array([to_us(start) for start in starts], np.int64) // _US_PER_MINUTE
        minutes = first[:, None] + np.arange(interval_s // 60)
        holds = _minutes_in(self.off_peak_window)[minutes % _MINUTES_PER_DAY]
        begun = minutes >= to_us(self.off_peak_from) // _US_PER_MINUTE
        return [60 * int(count) for count in (holds & begun).sum(axis=1)]


@lru_cache(maxsize=32)
def _minutes_in(window: DayWindow) -> NDArray[np.bool_]:
    """Whether each minute of a day lies in a window; (1440,)."""
    return np.array([window.holds(time(*divmod(minute, 60))) for minute in range(_MINUTES_PER_DAY)])


def ppm(share: float) -> int:
    """A share as whole millionths."""
    return round(share * PPM)


def node_hour_micros(usd_per_gpu_hour: float, gpus_per_node: int) -> int:
    """Micro-dollars per node-hour."""
    return micros(usd_per_gpu_hour) * gpus_per_node
