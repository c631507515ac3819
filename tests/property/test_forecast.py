"""Forecasts: each method by hand and against slow references; what every method must hold; quantiles."""

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planner.core.forecast import BUILT_IN, METHODS, Forecaster, Seasons, forecaster, rolling_quantiles
from planner.core.forecast.day_of_week import DayOfWeek
from planner.core.forecast.external import StatsforecastMstl
from planner.core.forecast.holt_winters import GRID, HoltWinters, Smoothing
from planner.core.forecast.naive import SeasonalNaive
from planner.core.forecast.quantiles import LEAST_SCALE
from planner.errors import UsageError
from planner.units import Floats
from tests.helpers.forecast_reference import candidates, holt_winters, quantile

NAN = np.nan
DAY = 4
"""Intervals of a day in most tests: six hours each."""

EVERY = [
    SeasonalNaive(DAY),
    SeasonalNaive(7 * DAY),
    DayOfWeek(Seasons(DAY)),
    HoltWinters(DAY),
    HoltWinters(7 * DAY),
]
every = pytest.mark.parametrize("maker", EVERY, ids=lambda maker: f"{maker.name}-{maker.needs}")
series_of = st.lists(st.floats(1, 1000), min_size=1, max_size=60).map(np.array)


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)


def test_seasonal_naive_repeats_the_newest_season() -> None:
    found = SeasonalNaive(2).rolling(floats(1, 2, 3), 3)
    assert found.tolist()[2:] == [[1, 2, 1], [2, 3, 2]]
    assert np.isnan(found[:2]).all()


def test_day_of_week_takes_the_same_weekday_where_it_is_known_and_else_all_days() -> None:
    """Days of one interval: a week of 1 to 7, then 15 on the first weekday."""
    found = DayOfWeek(Seasons(1)).rolling(floats(1, 2, 3, 4, 5, 6, 7, 15), 3)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1, 1, 1]
    assert found[3].tolist() == [2, 2, 2]
    assert found[6].tolist() == [3.5, 1, 2]
    assert found[8].tolist() == [2, 3, 4]
    assert DayOfWeek(Seasons(1)).rolling(floats(1, 2, 3, 4, 5, 6, 7, 15), 7)[8][-1] == (1 + 15) / 2


def test_additive_holt_winters_by_hand() -> None:
    """Season of two: level 2, seasons -1 and 1. Then 5 comes where 2 - 1 = 1 was expected."""
    p = Smoothing(form="additive", alpha=0.5, beta=0.5, gamma=0.5, phi=0.5)
    found = HoltWinters(2, (p,)).rolling(floats(1, 3, 5), 3)
    assert np.isnan(found[:2]).all()
    assert found[2].tolist() == [1, 3, 1]
    # level 0.5 (5 + 1) + 0.5 x 2 = 4, trend 0.5 (4 - 2) = 1, season 0.5 (5 - 2) + 0.5 x -1 = 1
    assert found[3].tolist() == [4 + 0.5 + 1, 4 + 0.75 + 1, 4 + 0.875 + 1]


def test_multiplicative_holt_winters_by_hand() -> None:
    """Season of two: level 2, seasons 0.5 and 1.5. Then 2 comes where 2 x 0.5 = 1 was expected."""
    p = Smoothing(form="multiplicative", alpha=0.5, beta=0.5, gamma=0.5, phi=1.0)
    found = HoltWinters(2, (p,)).rolling(floats(1, 3, 2), 2)
    assert found[2].tolist() == [1, 3]
    # level 0.5 x 2 / 0.5 + 0.5 x 2 = 3, trend 0.5 (3 - 2) = 0.5, season 0.5 x 2 / 2 + 0.5 x 0.5 = 0.75
    assert found[3].tolist() == [(3 + 0.5) * 1.5, (3 + 1.0) * 0.75]


@given(
    st.lists(st.floats(10, 20), min_size=3, max_size=30),
    st.sampled_from([p for p in GRID if p.form == "additive"]),
    st.sampled_from([p for p in GRID if p.form == "multiplicative"]),
    st.integers(1, 8),
)
@example(
    [14, 17, 12] + [10] * 9, GRID[0], Smoothing(form="multiplicative", alpha=0.1, beta=0.001, gamma=0.1, phi=1.0), 1
)
@settings(max_examples=50)
def test_holt_winters_follows_the_published_recursions(
    values: list[float], additive: Smoothing, multiplicative: Smoothing, horizon: int
) -> None:
    for p in (additive, multiplicative):
        found = HoltWinters(3, (p,)).rolling(np.array(values), horizon)
        for row in range(3, len(values) + 1):
            # the parameters start anew at the second season
            slow = holt_winters(values, 3, 1 if row < 6 else 2, p, horizon)
            assert found[row] == pytest.approx(slow[row], rel=1e-7, abs=1e-9, nan_ok=True)


@given(st.lists(st.floats(10, 20), min_size=2, max_size=14), st.integers(1, 4))
@settings(max_examples=50)
def test_holt_winters_takes_what_has_missed_the_past_by_the_least(values: list[float], horizon: int) -> None:
    grid = (GRID[0], GRID[13], GRID[20], GRID[-1])
    assert [p.form for p in grid] == ["additive"] * 3 + ["multiplicative"]
    found = HoltWinters(2, grid).rolling(np.array(values), horizon)
    for row, tried in candidates(values, 2, grid, horizon).items():
        least = min(missed for missed, _ in tried)
        taken = [missed for missed, forecasts in tried if found[row] == pytest.approx(forecasts, rel=1e-7, abs=1e-9)]
        assert min(taken) == pytest.approx(least, rel=1e-9, abs=1e-9)


def test_the_grid_keeps_to_the_ranges_of_the_book() -> None:
    assert len(set(GRID)) == len(GRID)
    for p in GRID:
        assert 0 < p.alpha < 1
        assert 0 < p.gamma <= 1 - p.alpha + 1e-9
        assert p.phi in (0, 1) or 0.8 <= p.phi <= 0.98
        assert 0 <= p.beta <= 1


def test_a_grid_that_mixes_its_forms_is_refused() -> None:
    with pytest.raises(ValueError, match="put the parameters of each form together"):
        HoltWinters(2, (GRID[0], GRID[-1], GRID[1])).rolling(floats(1, 2, 3), 1)


@every
def test_a_periodic_series_is_forecast_exactly(maker: Forecaster) -> None:
    week = 5 + np.arange(7 * DAY) % DAY
    series = np.tile(week, 3).astype(np.float64)
    found = maker.rolling(series, 9)
    coming = np.tile(week, 5)
    for row in range(len(series) + 1):
        if row >= maker.needs:
            assert found[row] == pytest.approx(coming[row : row + 9], rel=1e-12)
        else:
            assert np.isnan(found[row]).all()


def test_weeks_that_repeat_are_forecast_exactly_once_one_is_known() -> None:
    week = np.arange(1.0, 7 * DAY + 1)
    for maker in (SeasonalNaive(7 * DAY), DayOfWeek(Seasons(DAY)), HoltWinters(7 * DAY)):
        found = maker.rolling(np.tile(week, 3), 30)
        for row in range(7 * DAY, 21 * DAY + 1):
            assert found[row] == pytest.approx(np.tile(week, 5)[row : row + 30], rel=1e-9), maker.name


@pytest.mark.parametrize("p", [p for p in GRID if p.phi == 1 and p.form == "additive"])
def test_a_steady_trend_is_forecast_exactly_after_two_seasons(p: Smoothing) -> None:
    line = 100 + 3.0 * np.arange(40) + np.tile([5.0, -5.0, 0.0, 0.0], 10)
    found = HoltWinters(DAY, (p,)).rolling(line[:30], 10)
    for row in range(2 * DAY, 31):
        assert found[row] == pytest.approx(line[row : row + 10], rel=1e-9)


def test_a_steady_trend_is_found_among_all_parameters() -> None:
    line = 100 + 3.0 * np.arange(80)
    assert HoltWinters(DAY).rolling(line[:60], 20)[60] == pytest.approx(line[60:], rel=1e-6)


@every
@given(series=series_of, horizon=st.integers(1, 12), change=st.floats(0, 1000), cut=st.integers(0, 60))
@settings(max_examples=30)
def test_the_future_changes_no_earlier_forecast(
    maker: Forecaster, series: Floats, horizon: int, change: float, cut: int
) -> None:
    at = min(cut, len(series))
    other = np.concatenate([series[:at], series[at:] * 0 + change])
    for shares in ((), (0.5, 0.9)):
        one, two = maker.rolling(series, horizon), maker.rolling(other, horizon)
        if shares:
            one, two = (rolling_quantiles(s, f, shares) for s, f in ((series, one), (other, two)))
        np.testing.assert_array_equal(one[..., : at + 1, :], two[..., : at + 1, :])


@every
@given(series=series_of, horizon=st.integers(1, 12))
@settings(max_examples=30)
def test_eight_times_the_load_is_eight_times_the_forecast(maker: Forecaster, series: Floats, horizon: int) -> None:
    one, eight = maker.rolling(series, horizon), maker.rolling(8 * series, horizon)
    np.testing.assert_array_equal(8 * one, eight)
    np.testing.assert_array_equal(
        8 * rolling_quantiles(series, one, (0.5,)), rolling_quantiles(8 * series, eight, (0.5,))
    )


@every
@given(series=st.lists(st.sampled_from([0.0, 0.0, 1.0, 1e12]), min_size=1, max_size=60).map(np.array))
@settings(max_examples=30)
def test_empty_nights_and_bursts_give_numbers_of_at_least_zero(maker: Forecaster, series: Floats) -> None:
    found = maker.rolling(series, 5)
    assert found.shape == (len(series) + 1, 5)
    assert np.isnan(found[: maker.needs]).all()
    assert (found[maker.needs :] >= 0).all()
    assert np.isfinite(found[maker.needs :]).all()


def test_multiplicative_parameters_drop_out_where_nothing_was_asked_for() -> None:
    only = tuple(p for p in GRID if p.form == "multiplicative")
    assert np.isnan(HoltWinters(2, only).rolling(floats(0, 3, 1, 3), 2)).all()


@given(
    st.lists(st.floats(0, 100), min_size=3, max_size=25),
    st.integers(1, 4),
    st.sampled_from([0.1, 0.5, 0.75, 0.9]),
    st.integers(0, 12),
)
@settings(max_examples=50)
def test_quantiles_are_ranks_of_the_errors_known_so_far(
    values: list[float], horizon: int, share: float, settled: int
) -> None:
    series = np.array(values)
    forecasts = SeasonalNaive(2).rolling(series, horizon)
    (found,) = rolling_quantiles(series, forecasts, (share,), settled)
    for row in range(len(values) + 1):
        for step in range(horizon):
            slow = quantile(values, forecasts.tolist(), share, row=row, step=step, least=LEAST_SCALE, settled=settled)
            slow = min(slow, 2 * max([*values[:row], forecasts[row, step]]))
            assert found[row, step] == pytest.approx(slow, rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_quantile_needs_errors_enough_for_its_share() -> None:
    """Nine errors carry the 0.9 quantile: of ten alike, the largest of the nine has nine at most itself or above."""
    series = np.arange(1.0, 14.0)
    (found,) = rolling_quantiles(series, SeasonalNaive(1).rolling(series, 1), (0.9,))
    assert np.isnan(found[:10]).all()
    assert np.isfinite(found[10:]).all()


@given(st.lists(st.floats(0, 100), min_size=3, max_size=60), st.integers(0, 30))
def test_no_quantile_is_below_that_of_a_smaller_share(values: list[float], settled: int) -> None:
    series = np.array(values)
    low, middle, high = rolling_quantiles(series, SeasonalNaive(2).rolling(series, 3), (0.2, 0.5, 0.8), settled)
    assert not (low > middle).any()
    assert not (middle > high).any()
    assert not (np.isnan(low) & ~np.isnan(middle)).any()


def test_errors_of_forecasts_of_next_to_nothing_are_not_counted() -> None:
    series = np.array([5e-324, 0.0, 1.0, 1.0, 1.0])
    (median,) = rolling_quantiles(series, SeasonalNaive(1).rolling(series, 1), (0.5,))
    # forecasts of 5e-324 and 0 for the second and third interval have no size to divide by; those of 1 for the fourth
    # and fifth are right, so the first error, of 0, is known once the fourth interval is
    assert np.isnan(median[:4]).all()
    assert median[4:, 0].tolist() == [1.0, 1.0]


def test_errors_of_a_method_that_made_do_with_less_are_forgotten() -> None:
    """Weekends are off by half until one weekend is known; from then on the profile is exact, and so its quantile."""
    maker, series = DayOfWeek(Seasons(DAY)), np.tile([100.0] * 5 * DAY + [50.0] * 2 * DAY, 4)
    forecasts = maker.rolling(series, 1)
    assert (maker.needs, maker.settled) == (DAY, 7 * DAY)
    (found,) = rolling_quantiles(series, forecasts, (0.9,), maker.settled)
    np.testing.assert_array_equal(found[7 * DAY + 9 :], forecasts[7 * DAY + 9 :])
    (mixed,) = rolling_quantiles(series, forecasts, (0.1,))
    assert mixed[7 * DAY + 9, 0] < 100


def test_quantiles_of_independent_errors_hold_what_they_say() -> None:
    random = np.random.default_rng(1)
    series = np.tile([100.0, 300.0, 200.0, 50.0], 1000) * np.exp(0.2 * random.standard_normal(4000))
    forecasts = np.tile([100.0, 300.0, 200.0, 50.0], 1001)[:4001, None]
    shares = (0.5, 0.9, 0.99)
    found = rolling_quantiles(series, forecasts, shares)
    assert (np.diff(found[:, 200:], axis=0) >= 0).all()
    for share, rows in zip(shares, found, strict=True):
        assert np.mean(series[200:] <= rows[200:-1, 0]) == pytest.approx(share, abs=0.02)


def test_quantiles_stay_unknown_where_nothing_was_ever_asked_for() -> None:
    series = np.zeros(30)
    assert np.isnan(rolling_quantiles(series, SeasonalNaive(2).rolling(series, 2), (0.5,))).all()


def test_every_method_has_a_name_and_says_what_it_needs() -> None:
    for method in METHODS:
        assert forecaster(method, 900, "day").name == method
    needs = {method: [forecaster(method, 900, season).needs for season in ("day", "week")] for method in BUILT_IN}
    assert needs == {
        "profile-level": [96, 96],
        "seasonal-naive": [96, 672],
        "day-of-week": [96, 96],
        "holt-winters": [96, 672],
    }


@pytest.mark.parametrize(("method", "interval_s"), [("magic", 900), ("day-of-week", 420)])
def test_what_cannot_be_forecast_is_refused(method: str, interval_s: int) -> None:
    with pytest.raises(UsageError, match="use "):
        forecaster(method, interval_s, "day")


def test_without_statsforecast_its_methods_name_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(UsageError, match=r"pip install 'inference-planner\[forecast\]'"):
        StatsforecastMstl(Seasons(DAY), weekly=False).rolling(np.ones(20), 1)


@pytest.fixture
def _with_statsforecast() -> None:
    # not importorskip: a broken installation must fail
    from importlib.util import find_spec

    if find_spec("statsforecast") is None:
        pytest.skip("statsforecast is not here: pip install 'inference-planner[forecast]'")


@pytest.mark.usefixtures("_with_statsforecast")
def test_statsforecast_forecasts_a_periodic_series() -> None:
    day = 100 + 50 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    maker = StatsforecastMstl(Seasons(24), weekly=False)
    found = maker.rolling(np.tile(day, 5), 12)
    assert np.isnan(found[: maker.needs]).all()
    assert found[-1] == pytest.approx(day[:12], rel=0.02)
    # rows between two fits take the later steps of the one before
    assert found[49].tolist()[:-1] == found[48].tolist()[1:]


@pytest.mark.usefixtures("_with_statsforecast")
def test_statsforecast_sees_the_past_only() -> None:
    series = np.random.default_rng(1).uniform(50, 150, 90)
    other = np.concatenate([series[:70], np.ones(20)])
    one, two = (StatsforecastMstl(Seasons(24), weekly=True).rolling(each, 6) for each in (series, other))
    np.testing.assert_array_equal(one[:71], two[:71])
    assert (two[73:] != one[73:]).any()
