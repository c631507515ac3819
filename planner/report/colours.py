"""The colours of charts and pages, by role: one for light pages and files, one for dark pages.

Text has a contrast of at least 4.5 with its ground, and what is drawn, or its edge, of at least 3 (WCAG 2.2, AA).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour on light and on dark ground."""

    light: str
    dark: str


INK, SOFT, GRID, EDGE = "#16202a", "#55606b", "#e4e7ea", "#838c94"
MAIN, SECOND, THIRD, FOURTH, MARK = "#0b4f6c", "#c8553d", "#6b8e23", "#7b5ea7", "#957300"
MIDDLE, PALE = "#6596ad", "#d9dee3"
HEAT = ("#eaf2f6", "#c3dbe6", "#93bfd3", "#5a98b4", "#2c7193", "#0b4f6d")
"""Steps of a map, from little to much."""
HEAT_TEXT = "#16202b", "#fffffe"
"""Of figures on the four lower and on the two upper steps."""
LINES = (MAIN, SECOND, THIRD, FOURTH, EDGE)
"""Of lines beside each other, which differ by their dashes as well."""
DASHES = ([1, 0], [6, 4], [2, 3], [9, 3, 2, 3], [12, 4])
CHART = {
    "ink": Colour(INK, "#e4e9ee"),
    "soft": Colour(SOFT, "#a4b0bb"),
    "grid": Colour(GRID, "#2a343e"),
    "edge": Colour(EDGE, "#8d99a5"),
    "main": Colour(MAIN, "#6fbbe0"),
    "second": Colour(SECOND, "#f08c74"),
    "third": Colour(THIRD, "#a3c25a"),
    "fourth": Colour(FOURTH, "#b79fe0"),
    "mark": Colour(MARK, "#dcb94e"),
    "middle": Colour(MIDDLE, "#4a8099"),
    "pale": Colour(PALE, "#3a4753"),
    **{
        f"heat-{step + 1}": Colour(light, dark)
        for step, (light, dark) in enumerate(
            zip(HEAT, ("#1c2a33", "#22404f", "#28566c", "#316b87", "#6fb4d3", "#b5e0f2"), strict=True)
        )
    },
    "heat-text-low": Colour(HEAT_TEXT[0], "#e4e9ef"),
    "heat-text-high": Colour(HEAT_TEXT[1], "#0d1217"),
}
"""Roles of charts. Light colours differ from each other: pages put the role in place of the light colour."""
PAGE = {
    "paper": Colour("#ffffff", "#12171d"),
    "raised": Colour("#f3f5f7", "#1b222a"),
    "warn": Colour("#8c2f1b", "#ff9d86"),
    "warn-paper": Colour("#faf0ed", "#33201b"),
    "good": Colour("#1e6b3a", "#7fd19a"),
}
"""Roles that only pages have."""
