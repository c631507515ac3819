"""Load profiles: the smooth shape, the published figures, what the default capacity is computed from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario
from planner.errors import UsageError
from planner.settings.trace import TraceSettings
from planner.trace.synthetic.cells import expected_demand, lay_cells
from planner.trace.synthetic.profile import load_profile, profile_names, smooth_within_hours


@given(st.lists(st.floats(0.1, 100), min_size=3, max_size=24), st.sampled_from([1, 2, 4, 12]))
def test_a_smooth_shape_keeps_the_hourly_sums(hourly: list[float], parts: int) -> None:
    smooth = smooth_within_hours(np.array(hourly), parts)
    assert np.allclose(smooth.reshape(-1, parts).sum(axis=1), hourly)


def test_no_shape_with_the_same_hourly_sums_is_smoother() -> None:
    hourly = np.array([4.0, 8.0, 2.0, 6.0])
    smooth = smooth_within_hours(hourly, 4)

    def roughness(x: np.ndarray) -> float:
        return float(((np.roll(x, 1) - 2 * x + np.roll(x, -1)) ** 2).sum())

    random = np.random.default_rng(1)
    for _ in range(100):
        other = random.normal(size=16).reshape(4, 4)
        other -= other.mean(axis=1, keepdims=True)
        assert roughness(smooth) <= roughness(smooth + 0.1 * other.ravel())


def test_the_default_capacity_is_the_busiest_quarter_hour_of_the_published_day() -> None:
    profile, scenario = load_profile("deepseek-2025-02-27"), load_scenario().scenario
    fleet, published = scenario.fleet, profile.settings.published
    assert published is not None
    busiest = profile.cell_share.max()
    steps = (published.peak_nodes - 68) // 30
    prefill_nodes, decode_nodes = (8 + 3 * steps) * 4, (2 + steps) * 18
    assert prefill_nodes + decode_nodes == published.peak_nodes
    assert int(profile.cell_share.argmax()) == 44, "23:00 to 23:15"
    prefill = busiest * published.input_tokens / 900 / prefill_nodes
    decode = busiest * published.output_tokens / 900 / decode_nodes
    assert prefill <= fleet.prefill.tokens_per_s_per_node < prefill + 1
    assert decode <= fleet.decode.tokens_per_s_per_node < decode + 1


def test_the_published_nodes_are_the_published_cost() -> None:
    profile = load_profile("deepseek-2025-02-27")
    published, nodes = profile.settings.published, profile.published_nodes()
    assert published is not None
    assert len(nodes) == 96
    assert max(nodes.values()) == published.peak_nodes
    assert sum(nodes.values()) / 96 == published.mean_nodes
    assert sum(nodes.values()) / 4 * 16 == published.cost_usd


def test_every_shipped_profile_names_source_licence_and_provenance() -> None:
    assert profile_names()
    for name in profile_names():
        settings = load_profile(name).settings
        assert settings.source
        assert settings.licence
        assert settings.provenance


@pytest.mark.parametrize("interval_s", [60, 300, 420, 900, 1500, 3600])
def test_the_profile_promises_the_same_totals_at_any_interval(interval_s: int) -> None:
    profile, settings = load_profile("deepseek-2025-02-27"), TraceSettings(profile="x", days=2)
    starts = profile.start_us + np.arange(0, 2 * 86_400, interval_s, dtype=np.int64) * 1_000_000
    input_tokens, output_tokens = expected_demand(profile, settings, starts, interval_s * 1_000_000)
    assert np.isclose(input_tokens.sum(), 2 * 608e9)
    assert np.isclose(output_tokens.sum(), 2 * 168e9)


def test_growth_weekdays_and_demand_factor_scale_whole_days() -> None:
    profile = load_profile("deepseek-2025-02-27")
    # Thursday noon to Saturday noon: the first day is half Thursday, half Friday
    settings = TraceSettings(
        profile="x", days=2, growth_per_day=0.1, demand_factor=0.5, weekday_factors=(1,) * 5 + (0.5, 1)
    )
    cells = lay_cells(profile, settings)
    per_day = cells.input_tokens.reshape(2, 96)
    assert np.isclose(per_day[0].sum(), 304e9, rtol=1e-6)
    before_midnight, after = per_day[1][:48].sum(), per_day[1][48:].sum()
    assert np.isclose(before_midnight, 1.1 * per_day[0][:48].sum(), rtol=1e-6)
    assert np.isclose(after, 0.5 * 1.1 * per_day[0][48:].sum(), rtol=1e-6)


def test_noise_varies_days_and_keeps_earlier_ones() -> None:
    profile = load_profile("deepseek-2025-02-27")
    short, long = (lay_cells(profile, TraceSettings(profile="x", days=days, noise=0.1)) for days in (3, 5))
    assert np.array_equal(short.input_tokens, long.input_tokens[: len(short)])
    days = long.input_tokens.reshape(5, 96).sum(axis=1)
    assert len(set(days.tolist())) == 5
    assert abs(days.mean() / 608e9 - 1) < 0.2
    quiet = lay_cells(profile, TraceSettings(profile="x", days=3, noise=0))
    assert quiet.input_tokens.reshape(3, 96).sum(axis=1).tolist() == [608_000_000_000] * 3


def test_a_scale_that_leaves_too_few_requests_names_one_that_does() -> None:
    profile = load_profile("deepseek-2025-02-27")
    with pytest.raises(UsageError, match="use a scale of at least") as caught:
        lay_cells(profile, TraceSettings(profile="x", scale=1e-5))
    advised = float(str(caught.value).split("at least ")[1].split()[0])
    assert lay_cells(profile, TraceSettings(profile="x", scale=advised)).rows.min() >= 30


def test_a_window_off_the_cells_or_outside_the_days_is_refused() -> None:
    profile = load_profile("deepseek-2025-02-27")
    for moment, cure in (("2025-02-27T20:07+08:00", "15-minute mark"), ("2025-03-27T20:00+08:00", "draw more days")):
        with pytest.raises(UsageError, match=cure):
            lay_cells(profile, TraceSettings.model_validate({"profile": "x", "start_at": moment}))


def test_a_profile_that_lacks_an_hour_says_so(tmp_path: Path) -> None:
    source = load_profile("deepseek-2025-02-27").path
    (tmp_path / "mine.toml").write_text(source.read_text())
    hourly = (source.parent / "deepseek-2025-02-27-hourly.csv").read_text().splitlines()
    (tmp_path / "deepseek-2025-02-27-hourly.csv").write_text("\n".join(hourly[:-1]) + "\n")
    with pytest.raises(UsageError, match="needs 24 rows"):
        load_profile(str(tmp_path / "mine.toml"))


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="deepseek-2025-02-27"):
        load_profile("nope")
