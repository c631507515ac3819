"""Synthetic traces: exact totals in every cell, the same bytes for the same arguments, windows as slices."""

import math
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.errors import TraceError
from planner.settings.profile import CachedShare
from planner.settings.trace import TraceSettings
from planner.trace.synthetic import draw as synthesis
from planner.trace.synthetic.cells import Cells, lay_cells
from planner.trace.synthetic.kernels import draw as kernels
from planner.trace.synthetic.profile import Profile, load_profile


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("deepseek-2025-02-27")


def drawn(profile: Profile, **settings: object) -> tuple[Cells, list[pa.RecordBatch]]:
    chosen = TraceSettings.model_validate({"profile": "x", "scale": 0.001, **settings})
    cells = lay_cells(profile, chosen)
    return cells, list(synthesis.draw(profile.settings.population, cells, chosen.seed))


def column(batches: list[pa.RecordBatch], name: str) -> np.ndarray:
    return np.concatenate([batch.column(name).to_numpy() for batch in batches]).astype(np.int64)


@pytest.mark.parametrize("seed", range(1, 8))
def test_every_cell_meets_its_totals_exactly_for_every_seed(profile: Profile, seed: int) -> None:
    cells, batches = drawn(profile, seed=seed)
    block = profile.settings.population.block_tokens
    for number, batch in enumerate(batches):
        assert batch.num_rows == cells.rows[number]
        tokens = {name: column([batch], name) for name in batch.schema.names}
        assert tokens["input_tokens"].sum() == cells.input_tokens[number]
        assert tokens["output_tokens"].sum() == cells.output_tokens[number]
        assert tokens["cached_input_tokens"].sum() == cells.cached_blocks[number] * block
        assert (tokens["cached_input_tokens"] <= tokens["input_tokens"]).all()
        assert (tokens["cached_input_tokens"] % block == 0).all()
        assert tokens["input_tokens"].min() >= 1
        assert tokens["output_tokens"].min() >= 1
    totals = profile.settings.totals
    assert cells.input_tokens.sum() * 1000 == totals.input_tokens
    assert cells.cached_blocks.sum() * block * 1000 == totals.cached_input_tokens
    assert cells.output_tokens.sum() * 1000 == totals.output_tokens


@pytest.mark.parametrize("seed", range(1, 8))
def test_the_mean_kv_length_is_the_published_one_within_a_per_cent(profile: Profile, seed: int) -> None:
    _, batches = drawn(profile, seed=seed)
    i, o = column(batches, "input_tokens"), column(batches, "output_tokens")
    assert profile.settings.published is not None
    published = profile.settings.published.kv_tokens_per_output_token
    assert (o * (i + o / 2)).sum() / o.sum() == pytest.approx(published, rel=0.01)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(profile: Profile) -> None:
    window = {"start_at": "2025-02-27T20:00+08:00", "end_at": "2025-02-27T21:00+08:00"}
    _, first = drawn(profile, **window)
    _, again = drawn(profile, **window)
    _, other = drawn(profile, seed=2, **window)
    assert all(one.equals(two) for one, two in zip(first, again, strict=True))
    assert not any(one.equals(two) for one, two in zip(first, other, strict=True))


def test_a_window_is_the_same_slice_of_the_whole(profile: Profile) -> None:
    _, whole = drawn(profile, days=2)
    _, part = drawn(profile, days=2, start_at="2025-02-28T03:00+08:00", end_at="2025-02-28T13:15+08:00")
    assert len(part) == 41
    assert all(one.equals(two) for one, two in zip(part, whole[60:101], strict=True))


def test_arrivals_are_in_order_and_inside_their_cells(profile: Profile) -> None:
    cells, batches = drawn(profile)
    at_us = column(batches, "arrival_us")
    assert (np.diff(at_us) >= 0).all()
    for number, batch in enumerate(batches):
        start = cells.start_us[number]
        own = column([batch], "arrival_us")
        assert own[0] >= start
        assert own[-1] < start + cells.length_us


def test_arrivals_lean_to_where_the_rate_is_higher() -> None:
    gaps = np.random.default_rng(1).standard_exponential(100_001)
    rising, flat = (kernels.arrivals(gaps, slope, 0, 1_000_000).mean() / 1e6 for slope in (1.0, 0.0))
    assert flat == pytest.approx(0.5, abs=0.005)
    assert rising == pytest.approx(0.5 + 1 / 12, abs=0.005)  # the mean of a density that rises from 1/2 to 3/2


@given(st.floats(1e-12, 1 - 1e-12))
@example(0.5)
@example(0.075)
def test_the_normal_quantile_is_the_standard_librarys(p: float) -> None:
    assert kernels.normal_quantile(p) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-12, abs=1e-12)


@given(st.floats(1e-9, 1 - 1e-9))
@example(1 / 64)
@example(63 / 64)
def test_the_fast_normal_quantile_is_within_a_hundred_thousandth(p: float) -> None:
    assert kernels.fast_normal_quantile(p) == pytest.approx(NormalDist().inv_cdf(p), abs=1e-5)


@pytest.mark.parametrize("count", [1, 30, 4096, 8191, 8192, 20_000])
def test_stratified_uniforms_have_one_in_every_stratum_in_random_order(count: int) -> None:
    random = np.random.default_rng(3).integers(0, 2**32, count, dtype=np.uint32)
    uniform = kernels.stratified_uniforms(random)
    assert uniform.min() > 0
    assert uniform.max() < 1
    size = count if count < 2 * kernels.STRATA else kernels.STRATA
    strata = np.floor(uniform[:size] * size).astype(int)
    assert sorted(strata) == list(range(size))
    assert count == 1 or list(strata) != sorted(strata)


def test_correlated_normals_have_that_correlation() -> None:
    random = np.random.default_rng(5).integers(0, 2**32, (2, 40_000), dtype=np.uint32)
    one, two = kernels.correlated_normals(
        kernels.stratified_uniforms(random[0]), kernels.stratified_uniforms(random[1]), 0.6
    )
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(0.6, abs=0.02)
    assert two.std() == pytest.approx(1, abs=0.02)


@given(
    st.lists(st.floats(-5, 50), min_size=1, max_size=40),
    st.integers(0, 3),
    st.lists(st.integers(0, 60), min_size=40, max_size=40),
    st.integers(0, 3000),
)
def test_apportioned_integers_keep_their_limits_and_meet_any_total_that_these_allow(
    wish: list[float], least: int, limits: list[int], total: int
) -> None:
    most = np.array(limits[: len(wish)], np.int64)
    whole = kernels.apportion(np.array(wish), least, most, total)
    lower = np.minimum(least, most)
    assert (whole >= lower).all()
    assert (whole <= most).all()
    assert whole.sum() == min(max(total, lower.sum()), most.sum())


def test_apportioned_integers_stay_next_to_wishes_that_add_up() -> None:
    wish = np.random.default_rng(7).uniform(10, 20, 1000)
    whole = kernels.apportion(wish, 0, np.array([100], np.int64), round(wish.sum()))
    assert np.abs(whole - wish).max() <= 1.5


@pytest.mark.parametrize(("alpha", "beta"), [(6.0, 1.5), (2.0, 2.0), (1.0, 1.0), (0.7, 3.0)])
def test_beta_quantiles_have_the_beta_mean_and_variance(alpha: float, beta: float) -> None:
    quantiles = synthesis.beta_quantiles(CachedShare(alpha=alpha, beta=beta))
    assert (np.diff(quantiles) >= 0).all()
    middle = (quantiles[1:] + quantiles[:-1]) / 2
    assert middle.mean() == pytest.approx(alpha / (alpha + beta), abs=2e-3)
    assert middle.var() == pytest.approx(alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1)), abs=2e-3)


def test_lengths_follow_the_lognormal_law_they_are_drawn_from() -> None:
    z = np.array([NormalDist().inv_cdf((k + 0.5) / 10_001) for k in range(10_001)])
    mean = math.exp(5 + 0.5**2 / 2)
    lengths = kernels.lognormal_lengths(z, 5.0, 0.5, 100_000, round(mean * len(z)))
    assert np.median(lengths) == pytest.approx(math.exp(5), rel=0.01)
    assert np.log(lengths).std() == pytest.approx(0.5, rel=0.01)


def test_totals_that_cannot_be_met_are_refused_with_the_field_to_change(profile: Profile) -> None:
    cells, _ = drawn(profile, start_at="2025-02-27T12:00+08:00", end_at="2025-02-27T12:15+08:00")
    short = profile.settings.population.model_copy(
        update={"output": profile.settings.population.output.model_copy(update={"max": 100})}
    )
    with pytest.raises(TraceError, match=r"population\.output\.max"):
        list(synthesis.draw(short, cells, 1))
