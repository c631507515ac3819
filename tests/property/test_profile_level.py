"""Profile-level forecasts stand outages, follow levels, and keep to the local clock; on days drawn by seed."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import BUILT_IN, forecaster
from planner.core.forecast.past import Declared, DeclaredSpan, Event
from planner.core.forecast.slot_profile import median, week_profile, weighted_median
from planner.units import Floats, to_us
from tests.helpers.drawn_days import MONDAY, UTC, WEEK, demand_of, drawn, nightly, wape

NAN = np.nan
BERLIN = ZoneInfo("Europe/Berlin")
NOISES = (0.05, 0.1)


def history_of(tokens: Floats, horizon: int = 24) -> DemandHistory:
    return DemandHistory.of(demand_of(tokens), UTC, horizon)


@cache
def clean_plans(days: int, noise: float, seed: int) -> Floats:
    """What nights forecast of days on which nothing happens."""
    return nightly(drawn(days, noise, seed))


def us_of(day: int, hour: float) -> int:
    return to_us(MONDAY + timedelta(days=day, hours=hour))


# By hand


def test_a_weighted_median_leaves_out_what_is_unknown_or_weighs_nothing() -> None:
    values = np.array([5.0, 1.0, NAN, 9.0, 7.0])
    assert weighted_median(values, np.array([1.0, 1.0, 9.0, 1.0, 0.0])) == 5
    assert weighted_median(values, np.array([1.0, 5.0, 9.0, 1.0, 1.0])) == 1
    assert np.isnan(weighted_median(values[2:3], np.ones(1)))


def test_medians_are_of_what_is_known_in_each_slot() -> None:
    rows = np.array([[1.0, NAN, NAN], [3.0, 4.0, NAN], [8.0, 6.0, NAN]])
    assert median(rows)[:2].tolist() == [3, 5]
    assert np.isnan(median(rows)[2])


def test_days_that_repeat_are_their_own_profile_and_a_weekday_has_its_own_size() -> None:
    """Two weeks of the same shape, Sundays half of it: shrunk by a twentieth of a day towards the other days."""
    shape, weekdays = np.array([1.0, 2.0, 4.0, 3.0]), np.arange(14) % 7
    days = np.where(weekdays[:, None] == 6, 0.5, 1.0) * shape
    found = week_profile(days, weekdays)
    assert found[:6] == pytest.approx(np.tile(shape, (6, 1)))
    size = np.log((0.5 * shape + 0.125) / (shape + 0.125))  # with a twentieth of the mean added
    assert found[6] == pytest.approx(0.5 * shape, rel=0.05)
    assert np.log((found[6] + 0.125) / (shape + 0.125)).mean() == pytest.approx(size.mean(), rel=0.06)


def test_a_weekday_without_a_day_has_the_profile_of_all() -> None:
    found = week_profile(np.array([[1.0, 3.0], [2.0, 5.0], [3.0, 4.0]]), np.array([0, 1, 2]))
    assert found[4].tolist() == [2, 4]


# What must hold whatever came


@given(st.integers(0, 1000), st.integers(0, 20), st.sampled_from(BUILT_IN))
@settings(max_examples=5)
def test_no_row_knows_what_comes_after_it(seed: int, day: int, method: str) -> None:
    """A trace over both changes of a clock, with an outage, and another future from a day on."""
    random = np.random.default_rng(seed)
    one = drawn(24, 0.1, seed, slots=24).ravel()
    one[random.integers(0, len(one), 30)] *= random.choice([0, 0.3, 3])
    cut = day * 24 + int(random.integers(0, 24))
    other = one.copy()
    other[cut:] *= random.choice([0, 0.5, 2, 20], len(one) - cut)
    for start in (datetime(2025, 3, 20, tzinfo=UTC), datetime(2025, 10, 16, tzinfo=UTC)):
        rows = []
        for tokens in (one, other):
            history = DemandHistory.of(demand_of(tokens, start, 3600), BERLIN, 30)
            maker = forecaster(method, 3600, "day")
            made = history.rows(maker, "input_tokens", 30)
            spread = history.quantiles(maker, "input_tokens", made, (0.5, 0.9))
            rows.append(np.concatenate([made[None], spread])[:, : cut + 1])
        np.testing.assert_array_equal(*rows)


@given(st.integers(0, 1000), st.sampled_from([8, 1 / 8]))
@settings(max_examples=8)
def test_forecasts_scale_with_demand(seed: int, factor: float) -> None:
    tokens = 8 * np.rint(drawn(16, 0.1, seed, slots=24))
    np.testing.assert_allclose(nightly(factor * tokens), factor * nightly(tokens), rtol=1e-6)


def test_a_periodic_week_is_forecast_nearly_exactly() -> None:
    """Nearly, as the share of one weekday is drawn a little towards that of all."""
    tokens = drawn(21, 0.0, 0, slots=24)
    assert wape(nightly(tokens)[9:], tokens[9:]) < 0.02


def test_no_demand_at_all_is_forecast_to_be_none() -> None:
    assert (nightly(np.zeros((10, 24)))[2:] == 0).all()


# Incidents


@pytest.mark.parametrize(
    ("factor", "hours", "weeks"),
    [(0, 5, 1), (0, 5, 3), (0.2, 3, 1), (0.6, 0.5, 1), (0.6, 0.5, 3), (0.6, 3, 1), (2, 2, 3)],
)
def test_an_incident_is_not_planned_again_a_week_later(factor: float, hours: float, weeks: int) -> None:
    for noise in NOISES:
        changes = []
        for seed in range(3):
            clean = drawn(7 * weeks + 10, noise, seed)
            hurt, at = clean.copy(), (7 * weeks + 1) * 96 + 40
            there = slice(at, at + int(4 * hours))
            hurt.ravel()[there] *= factor
            again = slice(there.start + 7 * 96, there.stop + 7 * 96)
            changes.append(
                nightly(hurt).ravel()[again].sum() / clean_plans(len(clean), noise, seed).ravel()[again].sum()
            )
        assert np.median(changes) == pytest.approx(1, abs=0.03), (noise, changes)


def test_what_is_found_is_said_with_its_time_and_size() -> None:
    tokens = drawn(14, 0.05, 1)
    tokens[8, 40:60] *= 0.4
    (found,) = history_of(tokens).tracker.incidents
    assert (found.first, found.end) == (8 * 96 + 40, 8 * 96 + 60)
    assert found.ratio == pytest.approx(0.4, abs=0.04)


def test_what_repeats_at_its_time_is_no_incident() -> None:
    """Every night from the tenth on an hour of maintenance: it is learned as other demand is."""
    tokens = drawn(20, 0.05, 2)
    tokens[10:, 8:12] *= 0.1
    plans = nightly(tokens)
    assert plans[10, 8:12].sum() / drawn(20, 0.05, 2)[10, 8:12].sum() == pytest.approx(1, abs=0.2)
    assert plans[19, 8:12].sum() / drawn(20, 0.05, 2)[19, 8:12].sum() < 0.5


def test_series_share_what_is_left_out() -> None:
    """The plan of requests and of output leaves out what total demand tells to be an outage."""
    clean, hurt = drawn(16, 0.05, 3), drawn(16, 0.05, 3)
    hurt[8, 40:60] = 0
    for column in ("requests", "output_tokens"):
        one, other = nightly(clean, column=column)[15, 40:60], nightly(hurt, column=column)[15, 40:60]
        assert other.sum() / one.sum() == pytest.approx(1, abs=0.03)


# Levels


@pytest.mark.parametrize("noise", NOISES)
def test_a_level_that_doubles_is_followed_by_the_first_plan_that_could_know(noise: float) -> None:
    plans = np.array([_planned_over_needed(2, 19, noise, seed) for seed in range(6)])
    assert 0.9 <= np.median(plans[:, 21]) <= 1.15
    assert (np.median(plans[:, 22:28], axis=0) >= 0.9).all()
    assert (np.median(plans[:, 22:28], axis=0) <= 1.15).all()


@pytest.mark.parametrize("noise", NOISES)
def test_a_level_that_falls_by_half_is_followed_after_two_days(noise: float) -> None:
    plans = np.array([_planned_over_needed(0.5, 19, noise, seed) for seed in range(6)])
    assert (np.median(plans[:, 22:28], axis=0) <= 1.15).all()


@pytest.mark.parametrize("noise", NOISES)
def test_a_level_that_rises_by_a_third_is_followed_in_four_days(noise: float) -> None:
    plans = np.array([_planned_over_needed(1.3, 19, noise, seed) for seed in range(6)])
    assert (np.median(plans[:, 23:30], axis=0) >= 0.9).all()


@pytest.mark.parametrize(("factor", "since"), [(0.5, 1), (1.8, 3)])
def test_a_single_day_changes_no_later_plan(factor: float, since: int) -> None:
    """A low one none at all, a high one none from the third day on; d0 is the day itself."""
    changes = []
    for seed in range(3):
        clean = drawn(24, 0.05, seed)
        hurt = clean.copy()
        hurt[15] *= factor
        changes.append((nightly(hurt).sum(axis=1) / clean_plans(24, 0.05, seed).sum(axis=1))[15 + since :])
    assert np.median(changes, axis=0) == pytest.approx(np.ones(9 - since), abs=0.05)


@pytest.mark.parametrize("noise", NOISES)
def test_the_first_weekend_is_no_fall_of_the_level_however_small_it_is(noise: float) -> None:
    """Half and two fifths of other days, on days that were never seen: the Tuesday after is forecast as it comes."""
    tokens = [drawn(10, noise, seed) / WEEK[np.arange(10) % 7][:, None] for seed in range(6)]
    for each in tokens:
        each[5:7] *= np.array([[0.5], [0.4]])
    ratios = [nightly(each)[8].sum() / each[8].sum() for each in tokens]
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


def _planned_over_needed(factor: float, day: int, noise: float, seed: int) -> Floats:
    tokens = drawn(30, noise, seed)
    tokens[day:] *= factor
    ratio: Floats = nightly(tokens).sum(axis=1) / tokens.sum(axis=1)
    return ratio


# Errors


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("days", [14, 28])
def test_clean_days_are_forecast_about_as_well_as_by_the_mean_of_weekdays(days: int, noise: float) -> None:
    errors = {"profile-level": 0.0, "day-of-week": 0.0}
    for seed in range(3):
        tokens = drawn(days, noise, seed)
        for method in errors:
            errors[method] += wape(nightly(tokens, method)[3:], tokens[3:])
    assert errors["profile-level"] <= 1.02 * errors["day-of-week"]


@pytest.mark.parametrize("hurt", ["clean", "outage", "double", "half", "a third more"])
def test_the_90_percent_quantile_covers_88_and_more(hurt: str) -> None:
    covered = []
    for seed in range(8):
        tokens = drawn(30, 0.05, seed, slots=24)
        if hurt == "outage":
            tokens[15, 10:15] = 0
        else:
            tokens[15:] *= {"clean": 1, "double": 2, "half": 0.5, "a third more": 1.3}[hurt]
        history = history_of(tokens, 48)
        maker = forecaster("profile-level", 3600, "day")
        made = history.rows(maker, "input_tokens", 48)
        (upper,) = history.quantiles(maker, "input_tokens", made, (0.9,), every=24)
        for day in range(17, 28):
            covered.append(tokens[day + 1] <= upper[day * 24, 24:])
    assert np.mean(covered) >= 0.88


def test_an_outage_does_not_set_the_99_percent_quantile() -> None:
    """Neither its demand counts, nor what was forecast in the middle of it of the time after."""
    uppers = []
    for factor in (1, 0):
        tokens = drawn(14, 0.05, 7)
        tokens[7, 40:60] *= factor
        history = history_of(tokens)
        maker = forecaster("profile-level", 900, "day")
        made = history.rows(maker, "input_tokens", 24)
        uppers.append(history.quantiles(maker, "input_tokens", made, (0.99,), every=96)[0][-1] / made[-1])
    clean, hurt = uppers
    assert (hurt / clean).max() < 1.1


def test_holt_winters_does_not_forecast_a_multiple_after_an_outage() -> None:
    """Demand is never above three times the usual in its forecasts, with five hours of none in the week before."""
    for seed in range(3):
        tokens = drawn(14, 0.05, seed, slots=24)
        usual = tokens.max()
        tokens[5, 10:15] = 0
        tokens[9, 9:12] *= 0.4
        assert np.nanmax(nightly(tokens, "holt-winters")) < 3 * usual


# What is declared


def test_a_declared_incident_is_not_learned_however_small_it_is() -> None:
    clean, hurt = drawn(16, 0.05, 4), drawn(16, 0.05, 4)
    hurt[8, 40:60] *= 0.8
    declared = Declared(incidents=[DeclaredSpan(us_of(8, 10), us_of(8, 15))])
    known, unknown = (nightly(hurt, declared=each)[15, 40:60].sum() for each in (declared, Declared()))
    usual = nightly(clean)[15, 40:60].sum()
    assert abs(known / usual - 1) < abs(unknown / usual - 1)
    assert known / usual == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("method", BUILT_IN)
def test_an_event_is_planned_and_not_learned(method: str) -> None:
    tokens = drawn(16, 0.0, 0, slots=24)
    tokens[8] *= 3
    days = [Event(start_us=us_of(day, 0), end_us=us_of(day + 1, 0), factor=3) for day in (8, 15)]
    past, both = (nightly(tokens, method, Declared(events=those)) for those in (days[:1], days))
    np.testing.assert_allclose(both[15], 3 * past[15])
    np.testing.assert_array_equal(both[:15], past[:15])
    assert past[10:15].sum() / tokens[10:15].sum() == pytest.approx(1, rel=0.1)


def test_a_day_that_is_accepted_is_followed_at_once() -> None:
    tokens = drawn(24, 0.05, 5)
    tokens[19:] *= 0.5
    accepted = Declared(accepted=[DeclaredSpan(us_of(19, 0), us_of(20, 0))])
    plans = {name: nightly(tokens, declared=each) for name, each in (("told", accepted), ("found", Declared()))}
    assert plans["told"][21].sum() / tokens[21].sum() == pytest.approx(1, abs=0.2)
    assert plans["found"][21].sum() / tokens[21].sum() > 1.7


# The local clock


@pytest.mark.parametrize("start", [datetime(2025, 3, 10, tzinfo=BERLIN), datetime(2025, 10, 6, tzinfo=BERLIN)])
@pytest.mark.parametrize("method", BUILT_IN)
def test_the_week_after_a_clock_change_is_forecast_as_any_other(start: datetime, method: str) -> None:
    """Three weeks of the same local days, the clock changed before the third."""
    day = drawn(1, 0.0, 0, slots=24)[0]
    begin, hours = to_us(start), 4 * 7 * 24
    at = [datetime.fromtimestamp(begin / 1e6 + 3600 * hour, BERLIN) for hour in range(hours)]
    tokens = np.array([day[moment.hour] for moment in at])
    history = DemandHistory.of(demand_of(tokens, start, 3600), BERLIN, 48)
    rows = history.rows(forecaster(method, 3600, "day"), "input_tokens", 48)
    last = range(3 * 7 * 24, hours - 48)
    errors = [np.abs(rows[row] - tokens[row : row + 48]).sum() / tokens[row : row + 48].sum() for row in last]
    assert max(errors) < 1e-6


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("Europe/Berlin", datetime(2025, 3, 30, 2)),
        ("Africa/Cairo", datetime(2025, 4, 25)),
        ("America/Santiago", datetime(2025, 9, 7)),
        ("America/Havana", datetime(2025, 11, 2)),
    ],
)
def test_demand_may_end_where_the_clock_is_changed(zone: str, end: datetime) -> None:
    """In some zones at midnight, where a night's logs end; the hour after is forecast as on other days."""
    there, day = ZoneInfo(zone), drawn(1, 0.0, 0, slots=24)[0]
    hours = 10 * 24
    last = to_us(end.replace(tzinfo=there))
    starts = [last + 3_600_000_000 * number for number in range(-hours, 48)]
    tokens = np.array([day[datetime.fromtimestamp(at / 1e6, there).hour] for at in starts])
    start = datetime.fromtimestamp(starts[0] / 1e6, there)
    history = DemandHistory.of(demand_of(tokens[:hours], start, 3600), there, 48)
    for method in ("profile-level", "day-of-week", "seasonal-naive"):
        made = history.rows(forecaster(method, 3600, "day"), "input_tokens", 48)[-1]
        assert made == pytest.approx(tokens[hours:], rel=1e-6), method


# What has no daily profile, and demand that stays away


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_forecast_or_planned_that_is_far_from_all_that_came(seed: int) -> None:
    """Blocks of on and off that follow no clock, and days off at random: bounded, with their quantiles."""
    random = np.random.default_rng(seed)
    blocks = np.repeat(np.tile([1, 0.05], 100), random.integers(6, 25, 200))[: 30 * 24].reshape(30, 24)
    for shape in (blocks, np.where(random.random(30) < 0.4, 0, 1)[:, None] * np.ones((30, 24))):
        tokens = 1e8 * shape * np.exp(random.normal(0, 0.05, shape.shape))
        history = history_of(tokens, 48)
        maker = forecaster("profile-level", 3600, "day")
        made = history.rows(maker, "input_tokens", 48)
        (upper,) = history.quantiles(maker, "input_tokens", made, (0.9,), every=24)
        largest = np.rint(tokens).max()
        assert np.nanmax(made) <= 2 * largest
        assert np.nanmax(upper) <= 4 * largest


@pytest.mark.parametrize(("begin", "hours"), [(0, 36), (10, 60), (0, 72)])
def test_an_outage_of_days_is_no_level(begin: int, hours: int) -> None:
    clean = drawn(26, 0.05, 1)
    hurt = clean.copy()
    there = 8 * 96 + 4 * begin
    hurt.ravel()[there : there + 4 * hours] = 0
    ratios = nightly(hurt).sum(axis=1)[9:] / clean_plans(26, 0.05, 1).sum(axis=1)[9:]
    assert ratios == pytest.approx(np.ones(17), abs=0.05)


def test_an_accepted_day_without_demand_is_no_level() -> None:
    clean = drawn(24, 0.05, 2)
    hurt = clean.copy()
    hurt[9] = 0
    accepted = Declared(accepted=[DeclaredSpan(us_of(9, 0), us_of(10, 0))])
    ratios = nightly(hurt, declared=accepted).sum(axis=1)[10:] / clean_plans(24, 0.05, 2).sum(axis=1)[10:]
    assert ratios == pytest.approx(np.ones(14), abs=0.05)


def test_demand_that_is_gone_for_a_week_is_planned_no_more_and_is_back_at_once() -> None:
    tokens = drawn(40, 0.05, 3)
    whole = tokens.sum(axis=1)
    tokens[14:30] = 0
    plans = nightly(tokens).sum(axis=1)
    assert (plans[23:31] < 0.01 * whole[23:31]).all()
    assert plans[32:] == pytest.approx(whole[32:], rel=0.35)


def test_a_weekday_that_is_closed_is_planned_as_closed_from_the_third_one_on() -> None:
    tokens = drawn(35, 0.05, 4)
    tokens[6::7] = 0
    plans = nightly(tokens).sum(axis=1)
    assert plans[20::7] == pytest.approx(np.zeros(3), abs=0.01 * tokens[0].sum())
    assert plans[14:20] == pytest.approx(tokens[14:20].sum(axis=1), rel=0.3)


@pytest.mark.parametrize(("begin", "end"), [(10.1, 10.9), (10.5, 15.5)])
def test_declared_times_leave_out_every_interval_that_they_touch(begin: float, end: float) -> None:
    tokens = drawn(10, 0.05, 5, slots=24)
    span = DeclaredSpan(us_of(8, begin), us_of(8, end))
    past = DemandHistory.of(demand_of(tokens), UTC, 24, declared=Declared(incidents=[span])).tracker.past
    assert np.flatnonzero(past.unlearned).tolist() == list(range(8 * 24 + 10, 8 * 24 + int(end) + 1))
