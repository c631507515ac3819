"""The requests that a sample lacks: as uneven as the sample, sessions in order, nothing where it has a break."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.expansion import LEVELS, CellRows, Unevenness, gamma_log, missing_requests
from planner.units import Floats, Ints

LENGTH_US = 900_000_000
CELLS = 16
EVEN = np.zeros(LEVELS)


def rows(offset_us: Ints, group: Ints | None = None, session: Ints | None = None) -> CellRows:
    count = len(offset_us)
    none = np.full(count, -1)
    group = np.zeros(count, np.int64) if group is None else group
    return CellRows(LENGTH_US, np.sort(offset_us), group, none if session is None else session)


def expanded(whole: list[Ints], weight: int, seed: int = 1) -> tuple[list[Ints], Floats]:
    """Arrivals of cells that are sampled at random and expanded again, and the shares that were used."""
    random = np.random.default_rng(seed)
    samples = [rows(cell[random.random(len(cell)) < 1 / weight]) for cell in whole]
    unevenness = Unevenness()
    for sample in samples:
        unevenness.add(sample)
    shares = unevenness.shares()
    found = [missing_requests(sample, weight, shares, random).offset_us for sample in samples]
    return [np.concatenate([sample.offset_us, more]) for sample, more in zip(samples, found, strict=True)], shares


def dispersion(cells: list[Ints], seconds: int) -> float:
    """Variance over mean of the arrivals in so many seconds, against the mean of their own cell."""
    counts = [np.histogram(cell, 900 // seconds, (0, LENGTH_US))[0] for cell in cells]
    return float(np.mean([count.var() / count.mean() for count in counts]))


def even_cells() -> list[Ints]:
    random = np.random.default_rng(7)
    return [random.integers(0, LENGTH_US, 4000) for _ in range(CELLS)]


def bursty_cells() -> list[Ints]:
    """Sixty bursts a cell, of eighty requests in a few seconds each, and a thousand others."""
    random = np.random.default_rng(8)
    cells = []
    for _ in range(CELLS):
        begins = random.random(60) * LENGTH_US
        bursts = [at + random.exponential(5e6, random.poisson(80)) for at in begins]
        inside = np.minimum(np.concatenate([*bursts, random.random(1000) * LENGTH_US]), LENGTH_US - 1)
        cells.append(inside.astype(np.int64))
    return cells


@pytest.mark.parametrize("weight", [5, 20])
def test_even_arrivals_stay_even(weight: int) -> None:
    found, shares = expanded(even_cells(), weight)
    assert not shares.any()
    for seconds in (1, 10, 60):
        assert dispersion(found, seconds) == pytest.approx(1, abs=0.15)


def test_bursts_come_again_where_the_sample_has_them() -> None:
    whole = bursty_cells()
    found, _ = expanded(whole, 10)
    for seconds in (1, 10, 60):
        assert dispersion(found, seconds) == pytest.approx(dispersion(whole, seconds), rel=0.25)
        assert dispersion(found, seconds) > 5
    counts = [np.concatenate([np.histogram(cell, 90, (0, LENGTH_US))[0] for cell in each]) for each in (whole, found)]
    assert np.corrcoef(*counts)[0, 1] > 0.75


def test_a_break_stays_empty() -> None:
    whole = even_cells()
    whole[5] = whole[5][(whole[5] < LENGTH_US // 4) | (whole[5] >= LENGTH_US // 2)]
    found, _ = expanded(whole, 10)
    inside = (found[5] >= LENGTH_US // 4) & (found[5] < LENGTH_US // 2)
    assert inside.mean() < 0.02


def test_a_row_stands_for_as_many_requests_of_its_group() -> None:
    group = np.array([0, 1, 0, 2, 1, 1])
    found = missing_requests(rows(np.arange(6) * 1000, group), 4, EVEN, np.random.default_rng(1))
    assert np.bincount(found.row).tolist() == [3] * 6
    pairs = sorted(zip(found.row.tolist(), found.copy.tolist(), strict=True))
    assert pairs == [(row, copy) for row in range(6) for copy in range(3)]


def test_copies_of_a_session_keep_its_order() -> None:
    session = np.array([5, -1, 5, 9, 5, 9])
    found = missing_requests(rows(np.arange(6) * 1000, session=session), 50, EVEN, np.random.default_rng(2))
    for number in (5, 9):
        for copy in range(49):
            own = np.flatnonzero((session[found.row] == number) & (found.copy == copy))
            in_time = found.row[own[np.argsort(found.offset_us[own])]]
            assert in_time.tolist() == np.flatnonzero(session == number).tolist()


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=40),
    st.integers(2, 9),
    st.integers(0, 5),
    st.integers(1, 1000),
)
def test_every_missing_request_is_inside_its_cell(
    found: list[tuple[int, int, int]], weight: int, seed: int, length_us: int
) -> None:
    found = sorted((at % length_us, group, session) for at, group, session in found)
    columns = [np.array(column, np.int64) for column in zip(*found, strict=True)]
    cell = CellRows(length_us, *columns)
    unevenness = Unevenness()
    unevenness.add(cell)
    for shares in (unevenness.shares(), np.full(LEVELS, 0.4)):
        missing, again = (missing_requests(cell, weight, shares, np.random.default_rng(seed)) for _ in range(2))
        assert len(missing.offset_us) == (weight - 1) * len(found)
        assert (missing.offset_us >= 0).all()
        assert (missing.offset_us < length_us).all()
        assert np.bincount(missing.row, minlength=len(found)).tolist() == [weight - 1] * len(found)
        assert (missing.offset_us == again.offset_us).all()


@given(st.floats(1e-3, 1e6))
def test_the_logarithm_of_gamma(x: float) -> None:
    assert gamma_log(np.array([x]))[0] == pytest.approx(math.lgamma(x), rel=1e-6, abs=1e-6)
