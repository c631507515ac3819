"""Colours of pages and charts are told apart by those who see little contrast, in both modes (WCAG 2.2, AA)."""

from itertools import combinations
from typing import Literal

import pytest

from planner.report.colours import CHART, HEAT, HEAT_TEXT, LINES, PAGE

Mode = Literal["light", "dark"]
MODES: tuple[Mode, ...] = ("light", "dark")


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def of(role: str, mode: Mode) -> str:
    return str(getattr({**CHART, **PAGE}[role], mode))


@pytest.mark.parametrize("mode", MODES)
def test_text_stands_out_from_its_ground(mode: Mode) -> None:
    grounds = {
        "ink": ("paper", "raised"),
        "soft": ("paper", "raised"),
        "main": ("paper",),
        "warn": ("warn-paper", "raised"),
    }
    for text, those in grounds.items():
        for ground in those:
            assert contrast(of(text, mode), of(ground, mode)) >= 4.5, (text, ground)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_drawn_or_its_edge_stands_out(mode: Mode) -> None:
    for role in ("main", "second", "third", "fourth", "mark", "middle", "edge"):
        assert contrast(of(role, mode), of("paper", mode)) >= 3, role


@pytest.mark.parametrize("mode", MODES)
def test_figures_on_a_map_are_read_on_every_step(mode: Mode) -> None:
    for step in range(1, len(HEAT) + 1):
        text = "heat-text-low" if step <= 4 else "heat-text-high"
        assert contrast(of(text, mode), of(f"heat-{step}", mode)) >= 4.5, step


def test_pages_find_the_role_of_a_colour_of_charts() -> None:
    """Two roles with one light colour could not be told apart."""
    lights = [colour.light for colour in CHART.values()]
    assert len(set(lights)) == len(lights)
    assert {*HEAT, *HEAT_TEXT, *LINES} <= set(lights)
    assert all(one != other for one, other in combinations(LINES, 2))
