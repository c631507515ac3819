"""Checks of options that take a number."""

from collections.abc import Callable

import typer

from planner.errors import UsageError

MOST_SEED = 2**63 - 1
"""As of the settings: whole numbers of 63 bits."""
MOST_WAIT_S = 604_800
"""A search of more than a week is a typing error."""


def within(cure: str, least: float, most: float) -> Callable[[typer.CallbackParam, float | None], float | None]:
    """A callback for an option: the number is from least to most, and not NaN. Raises UsageError with the cure."""

    def check(option: typer.CallbackParam, value: float | None) -> float | None:
        if value is not None and not least <= value <= most:
            raise UsageError(f"{option.opts[0]} is {value:g}; {cure}: {least:g} to {most:g}")
        return value

    return check
