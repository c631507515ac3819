"""Samples of uncertain values, and what outcomes owe to them: by hand, and by the likelihood below a value."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.sensitivity import Law, latin_hypercube, quantiles, rank_correlation, seeds, tornado

UNIFORM = Law("uniform", 2.0, 4.0, 2.0)


@given(cases=st.integers(1, 60), seed=st.integers(0, 2**40))
def test_a_latin_hypercube_has_one_value_in_every_part_of_every_column(cases: int, seed: int) -> None:
    for column in latin_hypercube(["a", "b"], cases, seed).values():
        assert sorted(np.floor(column * cases).astype(int)) == list(range(cases))
        assert column.min() >= 0
        assert column.max() < 1


def test_a_column_does_not_depend_on_the_others() -> None:
    alone, both = latin_hypercube(["a"], 20, 7), latin_hypercube(["b", "a"], 20, 7)
    assert (alone["a"] == both["a"]).all()
    assert (both["a"] != both["b"]).any()
    assert (latin_hypercube(["a"], 20, 8)["a"] != alone["a"]).any()


def test_first_seeds_do_not_depend_on_how_many_there_are() -> None:
    assert seeds("case", 5, 1) == seeds("case", 9, 1)[:5]
    assert seeds("case", 5, 1) != seeds("noise", 5, 1)


def test_values_of_laws_by_hand() -> None:
    assert UNIFORM.values([0, 0.25, 1]).tolist() == [2.0, 2.5, 4.0]
    assert Law("log-uniform", 30.0, 750.0, 30.0).values([0, 0.5, 1]) == pytest.approx([30, 150, 750])
    # an eighth of the likelihood lies below a quarter of the way up, and as much above three quarters
    assert Law("triangular", 0.0, 4.0, 2.0).values([0, 0.125, 0.5, 0.875, 1]) == pytest.approx([0, 1, 2, 3, 4])
    assert Law("triangular", 0.0, 1.0, 0.0).values([0, 0.75, 1]) == pytest.approx([0, 0.5, 1])
    assert Law("triangular", 0.0, 1.0, 1.0).values([0, 0.25, 1]) == pytest.approx([0, 0.5, 1])


@given(top=st.floats(0, 1), share=st.floats(0.001, 0.999))
def test_a_triangular_value_has_its_share_of_the_likelihood_below(top: float, share: float) -> None:
    value = float(Law("triangular", 0.0, 1.0, top).values(share))
    below = value**2 / top if value < top else 1 - (1 - value) ** 2 / (1 - top)
    assert math.isclose(below, share, abs_tol=1e-9)


def test_quantiles_are_linear_between_cases() -> None:
    found = quantiles(range(21))
    assert found == {"p5": 1.0, "p25": 5.0, "p50": 10.0, "p75": 15.0, "p95": 19.0, "mean": 10.0}
    assert quantiles([1, 2])["p25"] == 1.25
    assert set(quantiles([]).values()) == {None}


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == 1.0
    assert rank_correlation([1, 2, 3], [5, 4, -9]) == -1.0
    # ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3
    assert rank_correlation([1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert rank_correlation([1, 1], [1, 2]) is None
    assert rank_correlation([1], [2]) is None


def test_a_tornado_has_the_widest_bar_first_and_counts_the_base() -> None:
    bars = tornado(10.0, {"b": (9.0, 11.0), "a": (11.0, 9.0), "c": (14.0, 15.0), "d": (None, None)})
    assert [(bar.parameter, bar.swing) for bar in bars] == [("c", 5.0), ("a", 2.0), ("b", 2.0), ("d", 0.0)]
    assert tornado(None, {"a": (None, None)})[0].swing == 0.0
