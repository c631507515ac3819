"""Waiting for a place: M/M/c by its formulas for one and two places, and by a simulation."""

from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.slots import chance_of_waiting, fullest


@given(st.floats(0.0, 0.99))
def test_with_one_place_as_many_wait_as_find_it_taken(load: float) -> None:
    assert chance_of_waiting(1, load) == pytest.approx(load)


@given(st.floats(0.0, 0.99))
def test_with_two_places(use: float) -> None:
    assert chance_of_waiting(2, 2 * use) == pytest.approx(2 * use**2 / (1 + use))


def test_the_fullest_of_one_place_meets_its_formula() -> None:
    use = fullest(1, stay=10.0, wait=20.0, share=0.99)
    assert use * exp(-(1 - use) * 2.0) == pytest.approx(0.01, rel=1e-6)


def test_more_places_may_be_fuller_and_more_patience_fills_them_more() -> None:
    uses = [fullest(places, stay=10.0, wait=1.0, share=0.99) for places in (1, 4, 16, 64, 256)]
    assert uses == sorted(uses)
    assert fullest(16, stay=10.0, wait=0.0, share=0.99) < fullest(16, stay=10.0, wait=5.0, share=0.99)


def test_a_queue_that_is_simulated_waits_as_long() -> None:
    # 8 places, 75 % used; the share that waits longer than half a stay, of 400,000 requests
    places, stay, wait = 8, 1.0, 0.5
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(stay / (0.75 * places), 400_000))
    stays = rng.exponential(stay, len(arrivals))
    free = np.zeros(places)
    late = 0
    for at, lasts in zip(arrivals, stays, strict=True):
        first = int(free.argmin())
        begins = max(at, free[first])
        late += begins - at > wait
        free[first] = begins + lasts
    told = chance_of_waiting(places, 0.75 * places) * exp(-(places - 0.75 * places) * wait / stay)
    # waits are alike for as long as a queue lasts: ten times the error of independent draws
    assert late / len(arrivals) == pytest.approx(told, abs=10 * np.sqrt(told / len(arrivals)))
