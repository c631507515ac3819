"""Local days of a demand are whole where only a silent beginning or end is missing, and stay as they are otherwise."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid, whole_days
from planner.units import to_us

BERLIN = ZoneInfo("Europe/Berlin")


def hourly(start: str, requests: list[int], zone: tzinfo = UTC, interval_s: int = 3600) -> Demand:
    """A demand of these requests an hour; a request has ten tokens of each kind."""
    counts = np.array(requests, np.int64)
    grid = Grid(to_us(datetime.fromisoformat(start).replace(tzinfo=zone)), interval_s, len(requests))
    return Demand(
        grid=grid, requests=counts, input_tokens=10 * counts, cached_input_tokens=counts, output_tokens=10 * counts
    )


def span(demand: Demand, zone: tzinfo = UTC) -> tuple[str, int]:
    return f"{demand.grid.local_starts(zone)[0]:%m-%d %H:%M}", demand.grid.count


DAY = [0] * 6 + [5] * 16 + [0] * 2


@pytest.mark.parametrize(
    ("start", "requests", "whole"),
    [
        ("2026-06-01T06:00", [5] * 16, ("06-01 00:00", 24)),
        ("2026-06-01T00:00", [5] * 16, ("06-01 00:00", 24)),
        ("2026-06-01T06:00", [5] * 15, ("06-01 06:00", 15)),
        ("2026-06-01T10:00", [5], ("06-01 10:00", 1)),
        ("2026-06-01T06:00", [*DAY[6:], *DAY[:-2]], ("06-01 00:00", 48)),
        ("2026-06-01T06:00", [*DAY[6:], *DAY, *DAY[:-2]], ("06-01 00:00", 72)),
        # the log began at 10:00, and others days are busy before that; at their end they are silent
        ("2026-06-01T10:00", [*DAY[10:], *DAY, *DAY[:-2]], ("06-01 10:00", 14 + 24 + 24)),
        # it ended at 15:00
        ("2026-06-01T06:00", [*DAY[6:], *DAY[:15]], ("06-01 00:00", 24 + 15)),
        # a night of demand: nothing tells whether the first hours are silent
        ("2026-06-01T06:00", [5] * 42, ("06-01 06:00", 42)),
        ("2026-06-01T23:00", [5, 5], ("06-01 23:00", 2)),
        ("2026-06-01T00:00", [5] * 24, ("06-01 00:00", 24)),
    ],
)
def test_days_are_whole_where_what_is_missing_is_silent(
    start: str, requests: list[int], whole: tuple[str, int]
) -> None:
    found = whole_days(hourly(start, requests), UTC)
    assert span(found) == whole
    assert found.requests.sum() == sum(requests)


def test_the_night_of_a_lone_day_is_counted_by_the_clock() -> None:
    """From 6 to 22 h on the day whose night has 2 h twice: eight hours by the clock are missing, nine have passed."""
    found = whole_days(hourly("2026-10-25T06:00", [5] * 16, BERLIN), BERLIN)
    assert span(found, BERLIN) == ("10-25 00:00", 25)


def test_days_are_those_of_the_local_clock_also_where_it_changes() -> None:
    # on 29 March 2026 Berlin's clock jumps from 02:00 to 03:00: that day has 23 hours
    found = whole_days(hourly("2026-03-29T06:00", [5] * 16, BERLIN), BERLIN)
    assert span(found, BERLIN) == ("03-29 00:00", 23)
    assert found.requests.tolist() == [0] * 5 + [5] * 16 + [0] * 2


def test_intervals_that_days_do_not_begin_on_stay_as_they_are() -> None:
    assert span(whole_days(hourly("2026-06-01T06:00", [5] * 130, interval_s=420), UTC)) == ("06-01 06:00", 130)


@given(st.integers(0, 47), st.lists(st.integers(0, 3), min_size=1, max_size=80))
def test_whole_days_add_intervals_without_demand_and_nothing_else(begin: int, requests: list[int]) -> None:
    demand = hourly(f"2026-06-{1 + begin // 24:02d}T{begin % 24:02d}:00", requests)
    found = whole_days(demand, UTC)
    before = (demand.grid.start_us - found.grid.start_us) // demand.grid.interval_us
    assert 0 <= before < 24
    for name in ("requests", "input_tokens", "cached_input_tokens", "output_tokens"):
        padded = getattr(found, name)
        assert padded[before : before + demand.grid.count].tolist() == getattr(demand, name).tolist()
        assert padded.sum() == getattr(demand, name).sum()
    assert whole_days(found, UTC).grid == found.grid
