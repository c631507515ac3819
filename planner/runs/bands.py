"""90 % bands in words."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.capacity.bands import Estimate
    from planner.runs.outcome import FigureBand

BASIS = {
    True: "measured here: from a calibration to your own measurements",
    False: "estimated from the model's errors on set-ups that were left out of its fit",
}
"""What bands rest on, by whether the set-up was measured."""


def ends(band: "Estimate | None", form: Callable[[float], str]) -> str:
    """The ends of a band after its figure; nothing where it has none, or where both ends read alike."""
    if band is None:
        return ""
    alike = band.high is not None and form(band.low) == form(band.value) == form(band.high)
    return "" if alike else f" ({span(band, form)})"


def span(band: "Estimate", form: Callable[[float], str]) -> str:
    """From the lower end to the upper one."""
    return f"{form(band.low)} or more" if band.high is None else f"{form(band.low)} to {form(band.high)}"


def basis(bands: "Sequence[FigureBand]") -> str:
    """What a plan's bands rest on."""
    open_ended = any(band.high is None for band in bands)
    slow = (
        "; where there is no upper end, units as slow as their band allows do not meet the targets"
        if open_ended
        else ""
    )
    return f"{BASIS[bands[0].measured]}{slow}"


def whole(value: float) -> str:
    """A figure in whole numbers."""
    return f"{value:,.0f}"


def by_figure(bands: "Sequence[FigureBand]") -> "dict[str, FigureBand]":
    """The bands by the figures that they are of."""
    return {band.figure: band for band in bands}
