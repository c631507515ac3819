"""Conversions between the units that names in this package end in.

`_us` microseconds since the UTC epoch, `_s` seconds, `_usd_micros` integer millionths of a dollar.
A price of one dollar per million tokens is one micro-dollar per token, so prices are kept as integer
micro-dollars per million tokens and every product stays an integer.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Progress = Callable[[int, int], None]
"""Called with the amount done and the total."""

Clock = Callable[[], float]
"""Seconds since some fixed moment, like time.perf_counter."""

US_PER_S = 1_000_000
US_PER_MINUTE = 60 * US_PER_S
US_PER_HOUR = 3_600 * US_PER_S
S_PER_MINUTE = 60
S_PER_HOUR = 3_600
S_PER_DAY = 86_400
MICROS_PER_USD = 1_000_000
TOKENS_PER_PRICE = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def usd(micros: int) -> float:
    """Dollars as a number for JSON and charts, from integer micro-dollars."""
    return micros / MICROS_PER_USD


def micros(amount_usd: float | str) -> int:
    """Integer micro-dollars of a dollar amount; a float is read by its shortest decimal form.

    Raises ValueError where the amount is finer than a micro-dollar.
    """
    exact = Fraction(str(amount_usd)) * MICROS_PER_USD
    if exact.denominator != 1:
        raise ValueError(f"{amount_usd} is finer than a micro-dollar (1e-6 USD)")
    return int(exact)


def to_us(moment: datetime) -> int:
    """UTC epoch microseconds of an aware datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(at_us: int, zone: tzinfo = UTC) -> datetime:
    """The aware datetime of UTC epoch microseconds, exactly."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def iso(at_us: int, zone: tzinfo = UTC) -> str:
    """ISO-8601 with offset."""
    return from_us(at_us, zone).isoformat()


def round_half_up(numerator: int, denominator: int) -> int:
    """The nearest integer to a ratio of integers, halves up; denominator > 0."""
    return (2 * numerator + denominator) // (2 * denominator)


def cumulative_rounding(numerators: list[int], denominator: int) -> list[int]:
    """Integers whose running sums are the rounded running sums of numerators / denominator.

    So the parts add up to the rounded whole, whatever the number of parts.
    """
    rounded, total, before = [], 0, 0
    for numerator in numerators:
        total += numerator
        now = round_half_up(total, denominator)
        rounded.append(now - before)
        before = now
    return rounded


def counted(count: int, noun: str) -> str:
    """A number of things in words: 1 row, 2 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
