"""90 % bands in words."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.capacity.bands import Estimate
    from planner.runs.outcome import FigureBand

BASIS = {
    True: "in parentheses, measured here: from a calibration to your own measurements",
    False: "in parentheses, estimated from the model's errors on set-ups that were left out of its fit",
}
"""What bands rest on, by whether the set-up was measured."""


def ends(band: "Estimate | None", form: Callable[[float], str]) -> str:
    """The ends of a band after its figure; nothing where it has none, or where both ends read alike."""
    if band is None:
        return ""
    low = form(band.low)
    if band.high is None:
        return f" ({low} or more: units as slow as the band allows serve nobody in time)"
    high = form(band.high)
    return "" if low == form(band.value) == high else f" ({low} to {high})"


def by_figure(bands: "Sequence[FigureBand]") -> "dict[str, FigureBand]":
    """The bands by the figures that they are of."""
    return {band.figure: band for band in bands}
