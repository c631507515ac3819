"""Prints how profile-level forecasts stand incidents and follow levels, in days drawn by seed: `make forecasts`.

A night plans the day after the one that begins, from the log up to the day before. Medians of so many seeds.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import forecaster
from planner.units import Floats
from tests.helpers.drawn_days import UTC, demand_of, drawn, nightly, wape

NOISES = (0.05, 0.1)
DAYS, SHIFT, PER_DAY, HOUR = 30, 15, 96, 4
Change = Callable[[Floats], None]


@cache
def clean(days: int, noise: float, seed: int) -> Floats:
    """Plans of days on which nothing happens."""
    return nightly(drawn(days, noise, seed))


def changed(noise: float, seed: int, change: Change) -> Floats:
    """Days with a change."""
    tokens = drawn(DAYS, noise, seed)
    change(tokens)
    return tokens


def from_shift(factor: float) -> Change:
    """A level from a day on."""

    def change(tokens: Floats) -> None:
        tokens[SHIFT:] *= factor

    return change


def on_shift(factor: float) -> Change:
    """A single day."""

    def change(tokens: Floats) -> None:
        tokens[SHIFT] *= factor

    return change


def errors(seeds: range) -> Iterator[str]:
    """WAPE on clean days, from the fourth on."""
    for days in (14, 28):
        for noise in NOISES:
            methods = {}
            for method in ("profile-level", "day-of-week"):
                drawn_days = [drawn(days, noise, seed) for seed in seeds]
                methods[method] = np.mean([wape(nightly(each, method)[3:], each[3:]) for each in drawn_days])
            ratio = methods["profile-level"] / methods["day-of-week"] - 1
            yield (
                f"WAPE {days} days, noise {noise}: profile-level {methods['profile-level']:.4f}, day-of-week "
                f"{methods['day-of-week']:.4f} ({ratio:+.1%})"
            )


def incidents(seeds: range) -> Iterator[str]:
    """The plan of the same slots a week later, over the plan without the incident."""
    for factor, hours in ((0, 0.5), (0, 5), (0.2, 3), (0.4, 12), (0.6, 0.5), (0.6, 3), (2, 2), (3, 1)):
        shown = []
        for noise in NOISES:
            for weeks in (1, 3):
                ratios = []
                for seed in seeds:
                    days, at = 7 * weeks + 12, (7 * weeks + 1) * PER_DAY + 10 * HOUR
                    tokens = drawn(days, noise, seed)
                    tokens.ravel()[at : at + int(hours * HOUR)] *= factor
                    again = slice(at + 7 * PER_DAY, at + int(hours * HOUR) + 7 * PER_DAY)
                    ratios.append(nightly(tokens).ravel()[again].sum() / clean(days, noise, seed).ravel()[again].sum())
                shown.append(f"{np.median(ratios):.3f}")
        yield f"x{factor:g} for {hours:g} h, noise .05 and .1, 1 and 3 weeks before: {', '.join(shown)}"


def levels(seeds: range) -> Iterator[str]:
    """Planned over needed by day; d0 is the day of the shift."""
    for factor in (2, 0.5, 1.3, 0.75):
        for noise in NOISES:
            plans = []
            for seed in seeds:
                tokens = changed(noise, seed, from_shift(factor))
                plans.append((nightly(tokens).sum(axis=1) / tokens.sum(axis=1))[SHIFT : SHIFT + 10])
            yield f"level x{factor:g}, noise {noise}, d0 to d9: {_numbers(np.median(plans, axis=0))}"


def single_days(seeds: range) -> Iterator[str]:
    """The plan over the plan without that day."""
    for factor in (0.5, 1.8):
        for noise in NOISES:
            plans = [
                (nightly(changed(noise, seed, on_shift(factor))).sum(axis=1) / clean(DAYS, noise, seed).sum(axis=1))
                for seed in seeds
            ]
            yield f"one day x{factor:g}, noise {noise}, d0 to d9: {_numbers(np.median(plans, axis=0)[SHIFT:][:10])}"


def coverage(seeds: range) -> Iterator[str]:
    """Share of hours at or under the 90 % quantile from the third day on, and the quantile over what came."""

    def outage(tokens: Floats) -> None:
        tokens[SHIFT, 10:15] = 0

    changes: dict[str, Change] = {
        "clean": from_shift(1),
        "outage of 5 h": outage,
        **{f"x{factor:g}": from_shift(factor) for factor in (2, 0.5, 1.3)},
    }
    for name, change in changes.items():
        for noise in NOISES:
            covered, ratios = [], []
            for seed in seeds:
                tokens = drawn(DAYS, noise, seed, slots=24)
                change(tokens)
                history = DemandHistory.of(demand_of(tokens), UTC, 48)
                maker = forecaster("profile-level", 3600, "day")
                made = history.rows(maker, "input_tokens", 48)
                (upper,) = history.quantiles(maker, "input_tokens", made, (0.9,), every=24)
                for day in range(SHIFT + 2, DAYS - 2):
                    covered.append(tokens[day + 1] <= upper[day * 24, 24:])
                    ratios.append(upper[day * 24, 24:].sum() / tokens[day + 1].sum())
            yield f"q90 {name}, noise {noise}: covers {np.mean(covered):.3f}, {np.median(ratios):.2f} of what came"


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    for part in (errors, incidents, levels, single_days, coverage):
        for line in part(seeds):
            print(line, flush=True)
