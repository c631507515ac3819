"""Loads that are changed: factors, growth, weekdays and noise on demand, parts of it, and requests made for it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid
from planner.core.load import LoadChange, part_of, scaled, window_on
from planner.core.replay.requests.model import Requests
from planner.core.replay.requests.resample import minute_targets, resample
from planner.errors import UsageError
from planner.units import US_PER_MINUTE, US_PER_S, Ints, to_us

DAY = 86_400
MONDAY = to_us(datetime(2026, 11, 2, tzinfo=UTC))
COUNTED = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")


def demand_of(requests: list[int], interval_s: int = 3_600, start_us: int = MONDAY) -> Demand:
    """Demand of so many requests an interval, each of 100 input tokens, 40 of them cached, and 7 output tokens."""
    counts = np.array(requests, np.int64)
    return Demand(
        grid=Grid(start_us, interval_s, len(counts)),
        requests=counts,
        input_tokens=100 * counts,
        cached_input_tokens=40 * counts,
        output_tokens=7 * counts,
    )


def changed(demand: Demand, change: LoadChange, anchor_us: int = MONDAY) -> Demand:
    return scaled(demand, change.factors(demand.grid, anchor_us, UTC))


def test_a_factor_of_one_changes_nothing_at_all() -> None:
    demand = demand_of([3, 0, 5])
    assert changed(demand, LoadChange()) is demand
    assert not LoadChange(seed=7).active


def test_growth_compounds_from_the_first_day_on() -> None:
    demand = demand_of([100] * 3, interval_s=DAY)
    assert changed(demand, LoadChange(growth_per_day=0.1)).requests.tolist() == [100, 110, 121]


def test_weekdays_are_those_of_the_zone() -> None:
    demand = demand_of([10] * 24)
    factors = LoadChange(weekday_factors=(1, 2, 1, 1, 1, 1, 1)).factors(demand.grid, MONDAY, ZoneInfo("Asia/Shanghai"))
    # Monday 00:00 UTC is 08:00 in Shanghai, where Tuesday begins 16 h later
    assert factors.tolist() == [1] * 16 + [2] * 8


def test_remainders_are_carried_to_the_next_interval() -> None:
    assert changed(demand_of([1, 1, 0, 1, 1]), LoadChange(demand_factor=1.5)).requests.tolist() == [2, 1, 0, 1, 2]


def test_demand_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lower trace\.demand_factor"):
        changed(demand_of([1, 1]), LoadChange(demand_factor=1e300))
    with pytest.raises(UsageError, match="too large"):
        changed(demand_of([1] * 900, interval_s=DAY), LoadChange(growth_per_day=1e6))


COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=60)
FACTORS = st.floats(0.01, 20)


@given(COUNTS, FACTORS)
def test_a_factor_scales_every_count_within_rounding(counts: list[int], factor: float) -> None:
    demand = demand_of(counts)
    found = changed(demand, LoadChange(demand_factor=factor))
    for name in COUNTED:
        before, after = getattr(demand, name), getattr(found, name)
        assert (np.abs(after - before * factor) <= 1 + 1e-6).all()
        assert abs(int(after.sum()) - before.sum() * factor) <= 0.5 + 1e-6
        assert not after[before == 0].any()
    assert (found.cached_input_tokens <= found.input_tokens).all()


CHANGES = st.builds(
    LoadChange,
    demand_factor=FACTORS,
    growth_per_day=st.floats(-0.5, 0.5),
    noise=st.floats(0, 0.5),
    seed=st.integers(0, 2**32),
    weekday_factors=st.tuples(*[st.floats(0.1, 3)] * 7),
)


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=80), CHANGES, st.data())
def test_a_part_is_changed_as_the_whole_is(counts: list[int], change: LoadChange, data: st.DataObject) -> None:
    demand = demand_of(counts)
    first = data.draw(st.integers(0, len(counts) - 1))
    end = data.draw(st.integers(first + 1, len(counts)))
    start_us, end_us = (int(MONDAY + mark * demand.grid.interval_us) for mark in (first, end))
    part = part_of(demand, start_us, end_us)
    assert part.requests.tolist() == counts[first:end]
    assert part.grid == Grid(start_us, 3_600, end - first)
    whole = change.factors(demand.grid, MONDAY, UTC)
    assert change.factors(part.grid, MONDAY, UTC).tolist() == pytest.approx(whole[first:end].tolist(), rel=1e-12)
    for name in COUNTED:
        own, cut = getattr(changed(part, change), name), getattr(changed(demand, change), name)[first:end]
        assert (np.abs(own - cut) <= 2).all()


def test_beyond_what_is_there_is_no_demand() -> None:
    demand = demand_of([1, 2, 3])
    hour = demand.grid.interval_us
    assert part_of(demand, MONDAY - 2 * hour, MONDAY + 4 * hour).requests.tolist() == [0, 0, 1, 2, 3, 0]
    assert part_of(demand, MONDAY + hour, MONDAY + 2 * hour).requests.tolist() == [2]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"start_us": MONDAY + 1_000_000}, "trace.start_at 2026-11-02T00:00:01.* is not on a mark of 60 min"),
        ({"start_us": MONDAY + 48 * 3_600 * US_PER_S}, "holds none of it; correct trace.start_at"),
        ({"end_us": MONDAY - 3_600 * US_PER_S}, "holds none of it"),
        ({"days": 2}, r"trace.days is 2, and t has 1.00 days from .*; lower it, or give trace.end_at"),
        ({"days": 1, "end_us": MONDAY + 3_600 * US_PER_S}, "leave one out"),
        ({"days": 10**9}, "beyond the calendar"),
    ],
)
def test_a_window_that_cannot_be_had_is_refused(asked: dict[str, int], words: str) -> None:
    given_ = {"start_us": None, "end_us": None, "days": None, **asked}
    with pytest.raises(UsageError, match=words):
        window_on(Grid(MONDAY, 3_600, 24), **given_, zone=UTC, name="t")


def test_days_are_those_of_the_local_clock() -> None:
    """The clock is put back on 25 October 2026 in Berlin: that day has 25 hours."""
    berlin = ZoneInfo("Europe/Berlin")
    start = to_us(datetime(2026, 10, 25, tzinfo=berlin))
    begin, end = window_on(Grid(start, 3_600, 100), None, None, 1, berlin, "t")
    assert (end - begin) // (3_600 * US_PER_S) == 25


def requests_at(arrivals: list[int]) -> Requests:
    count = len(arrivals)
    numbers = np.arange(count, dtype=np.int64)
    return Requests(
        arrival_us=np.array(arrivals, np.int64),
        input_tokens=numbers,
        cached_input_tokens=numbers,
        output_tokens=numbers,
        class_id=numbers,
        session_id=numbers,
    )


def made_of(arrivals: list[int], wanted: list[int], chunk: int, seed: int = 1) -> tuple[Requests, Ints]:
    """The requests made of some in intervals of two minutes, read in chunks; and the targets of minutes."""
    rows = np.bincount(np.array(arrivals, np.int64) // US_PER_MINUTE, minlength=2 * len(wanted))
    minutes = minute_targets(0, rows, np.array(wanted, np.int64))
    given_ = requests_at(arrivals)
    chunks = (given_.part(slice(at, at + chunk)) for at in range(0, len(arrivals), chunk))
    parts = list(resample(chunks, minutes, 0, seed))
    columns = {name: np.concatenate([getattr(part, name) for part in parts] or [[]]) for name in Requests.COLUMNS}
    return Requests(**columns), minutes.targets


@given(
    st.lists(st.integers(0, 4 * US_PER_MINUTE - 1), min_size=1, max_size=60).map(sorted),
    st.floats(0.1, 4),
    st.integers(1, 20),
)
def test_every_interval_has_the_requests_that_are_wanted(arrivals: list[int], factor: float, chunk: int) -> None:
    rows = np.bincount(np.array(arrivals) // US_PER_MINUTE, minlength=4)
    wanted = np.rint(rows.reshape(2, 2).sum(axis=1) * factor).astype(np.int64)
    found, targets = made_of(arrivals, wanted.tolist(), chunk)
    assert targets.reshape(2, 2).sum(axis=1).tolist() == wanted.tolist()
    assert (np.diff(found.arrival_us) >= 0).all()
    minutes = np.bincount(found.arrival_us.astype(np.int64) // US_PER_MINUTE, minlength=4)
    assert minutes.tolist() == targets.tolist()
    # every request is one of the stored ones, in its minute, and all columns stay together
    assert (found.input_tokens == found.output_tokens).all()
    own = np.array(arrivals)[found.input_tokens.astype(np.int64)]
    assert (own // US_PER_MINUTE == found.arrival_us // US_PER_MINUTE).all()
    kept = found.session_id >= 0
    assert (own[kept] == found.arrival_us[kept]).all()
    assert len(set(found.input_tokens[kept].tolist())) == kept.sum()


def test_requests_are_made_by_seed_whatever_the_chunks() -> None:
    arrivals = sorted(np.random.default_rng(3).integers(0, 4 * US_PER_MINUTE, 200).tolist())
    first, again, other = (made_of(arrivals, [130, 20], chunk, seed)[0] for chunk, seed in ((200, 1), (7, 1), (200, 2)))
    assert first.input_tokens.tolist() == again.input_tokens.tolist()
    assert first.arrival_us.tolist() == again.arrival_us.tolist()
    assert first.input_tokens.tolist() != other.input_tokens.tolist()
