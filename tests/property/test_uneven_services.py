"""Forecasts of services that are closed at night or at the end of the week, and of what happens across a day's edge."""

import numpy as np
import pytest

from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import forecaster
from planner.units import Floats
from tests.helpers.drawn_days import UTC, WEEK, demand_of, drawn, nightly, wape

HOURS = np.arange(24)
OPEN = (HOURS >= 7) & (HOURS < 19)


def office(days: int, closed: float, seed: int) -> Floats:
    """Hourly demand from 7 to 19 h on every day alike; closed: what is left of it at night."""
    even = drawn(days, 0.05, seed, slots=24) / WEEK[np.arange(days) % 7][:, None]
    noises = even / even.mean(axis=0)
    return 1e8 * np.where(OPEN, 1 + 0.3 * np.sin((HOURS - 7) / 12 * np.pi), closed) * noises


def weekly(days: int, weekend: float, seed: int, slots: int = 24) -> Floats:
    """The published day's shape, with so much of it on Saturdays and Sundays."""
    tokens = drawn(days, 0.05, seed, slots=slots) / WEEK[np.arange(days) % 7][:, None]
    tokens[np.arange(days) % 7 >= 5] *= weekend
    return tokens


def ratios(tokens: Floats) -> Floats:
    """What nights plan of every day, over what comes."""
    planned: Floats = nightly(tokens).sum(axis=1) / tokens.sum(axis=1)
    return planned


@pytest.mark.parametrize(("slots", "factor", "before", "after"), [(24, 0.5, 1, 1), (24, 2, 1, 1), (96, 0.25, 1, 2)])
@pytest.mark.parametrize("weeks", [1, 3])
def test_an_incident_over_midnight_is_found(weeks: int, slots: int, factor: float, before: int, after: int) -> None:
    changes = []
    for seed in range(3):
        clean = drawn(7 * weeks + 10, 0.05, seed, slots=slots)
        hurt, edge = clean.copy(), (7 * weeks + 2) * slots
        hurt.ravel()[edge - before : edge + after] *= factor
        again = slice(edge - before + 7 * slots, edge + after + 7 * slots)
        changes.append(nightly(hurt).ravel()[again].sum() / nightly(clean).ravel()[again].sum())
    assert np.median(changes) == pytest.approx(1, abs=0.03)


def test_an_incident_over_the_hour_at_which_a_history_begins_is_found() -> None:
    tokens = np.roll(drawn(20, 0.05, 3, slots=24).ravel(), -13).reshape(20, 24)
    tokens.ravel()[9 * 24 - 1 : 9 * 24 + 1] *= 0.3
    (found,) = DemandHistory.of(demand_of(tokens), UTC, 24).tracker.incidents
    assert (found.first, found.end) == (9 * 24 - 1, 9 * 24 + 1)


@pytest.mark.parametrize("closed", [0.0, 0.01])
def test_a_level_of_a_service_that_is_closed_at_night_is_followed_by_the_first_plan_that_could_know(
    closed: float,
) -> None:
    """Six hours with demand tell it, not the last six of the day."""
    plans = []
    for seed in range(5):
        tokens = office(22, closed, seed)
        tokens.ravel()[15 * 24 + 8 :] *= 2
        plans.append(ratios(tokens)[17:21])
    assert np.median(plans, axis=0) == pytest.approx(np.ones(4), abs=0.1)


def test_an_outage_in_the_evening_hides_no_rise_of_the_day() -> None:
    tokens = drawn(24, 0.05, 2, slots=24)
    tokens[15:] *= 2
    tokens[15, 20:23] = 0
    assert ratios(tokens)[17:22] == pytest.approx(np.ones(5), abs=0.15)


def test_a_fall_over_a_closed_weekend_is_followed_after_two_days_with_demand() -> None:
    """From Friday on half of it: the plan of Wednesday knows Friday and Monday."""
    tokens = weekly(30, 0.0, 4)
    tokens[18:] *= 0.5
    plans = nightly(tokens).sum(axis=1)
    assert plans[23:26] / tokens[23:26].sum(axis=1) == pytest.approx(np.ones(3), abs=0.15)
    assert plans[26:28] == pytest.approx(np.zeros(2), abs=0.01 * tokens[0].sum())


def test_a_weekend_with_little_demand_is_learned_from_the_first_one() -> None:
    tokens = [weekly(14, 0.12, seed) for seed in range(3)]
    for each in tokens:
        assert ratios(each)[12:13] == pytest.approx(np.ones(1), abs=0.3)
    errors = {
        method: sum(wape(nightly(each, method)[3:], each[3:]) for each in tokens)
        for method in ("profile-level", "day-of-week")
    }
    assert errors["profile-level"] < errors["day-of-week"]


@pytest.mark.parametrize("factor", [2, 4])
def test_a_burst_sets_no_quantile_of_other_hours(factor: float) -> None:
    uppers = []
    for times in (1, factor):
        tokens = drawn(14, 0.05, 7, slots=24)
        tokens[10, 10:13] *= times
        history = DemandHistory.of(demand_of(tokens), UTC, 48)
        maker = forecaster("profile-level", 3600, "day")
        made = history.rows(maker, "input_tokens", 48)
        uppers.append(history.quantiles(maker, "input_tokens", made, (0.9, 0.99), every=24)[:, -1] / made[-1])
    clean, hurt = uppers
    assert hurt == pytest.approx(clean, rel=0.05)
