"""Streams within a target, model over measured: small curves by hand, and set-ups that the model itself measured."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from planner.core.fleet.serving import Load, serve
from planner.studies.capacity.measured.points_table import COLUMNS
from planner.studies.capacity.scorecard.cases import Case, cases_of
from planner.studies.capacity.scorecard.streams import Curve, stream_figures, stream_ratios, streams_within
from tests.conftest import Cli

USERS = (1.0, 4.0, 16.0, 64.0)


def within(targets: list[float], users: list[float], times: list[float]) -> list[float]:
    return [float(each) for each in streams_within(np.array(targets), np.array(users), np.array(times))]


def test_between_two_points_a_curve_is_straight_in_logarithms() -> None:
    """Twice the time for four times the users: at the geometric mean of the times stands that of the users."""
    assert within([np.sqrt(10 * 20)], [8, 32], [10, 20]) == pytest.approx([16])
    assert within([10, 20], [8, 32], [10, 20]) == pytest.approx([8, 32])


def test_below_a_curve_no_stream_is_within_the_target_and_above_it_all_are() -> None:
    assert within([9.9, 20.1], [8, 32], [10, 20]) == [0, pytest.approx(32)]


def test_a_time_below_that_of_fewer_users_is_taken_to_be_as_long() -> None:
    """12, 15, 13, 30 becomes 12, 15, 15, 30: a target of 15 holds up to 16 users, one of 14 ends before 4."""
    found = within([15, 14], list(USERS), [12, 15, 13, 30])
    assert found[0] == pytest.approx(16)
    assert found[1] == pytest.approx(4 ** (np.log(14 / 12) / np.log(15 / 12)))


def test_targets_are_those_that_were_measured_on_both_sides_of() -> None:
    assert list(Curve(1000, 100, np.array(USERS), np.array([9, 25, 31, 49])).targets_ms) == [10, 20, 30]
    assert list(Curve(1000, 100, np.array(USERS), np.array([10, 12, 14, 20])).targets_ms) == []


def test_figures_of_ratios_by_hand() -> None:
    """Of 0.5, 0.75, 1, 1.25 and 2, three are within a quarter; p10 lies 0.4 of the way from the first to the second."""
    figures = stream_figures([np.array([0.5, 2.0]), np.array([0.75, 1.0, 1.25])])
    assert (figures.count, figures.median_ratio, figures.within_25) == (5, 1.0, 0.6)
    assert (figures.p10, figures.p90) == (pytest.approx(0.6), pytest.approx(1.7))
    assert stream_figures([]).median_ratio is None


def setup(times: list[float], users: tuple[float, ...] = USERS, **changes: Any) -> Case:
    """Points of Llama 3.1 70B in fp8 on 4 H200 under vLLM, one for each time."""
    point = {
        "model": "llama-3.1-70b",
        "gpu": "H200",
        "backend": "vllm",
        "backend_version": "0.18",
        "weights": "fp8",
        "kv": "bf16",
        "n_gpus": 4,
        "tp": 4,
        "dp": 1,
        "moe_ep": 1,
        "moe_tp": 1,
        "serving": "aggregated",
        "isl": 1000.0,
        "osl": 500.0,
        "metric": "tpot_ms",
        **changes,
    }
    rows = [{**point, "concurrency": each, "value": time} for each, time in zip(users, times, strict=True)]
    return next(cases_of(pl.DataFrame(rows)))


def modelled(users: tuple[float, ...], isl: float = 1000.0) -> list[float]:
    """The model's own times for that server."""
    case = setup([1.0] * len(USERS))
    assert case.engine is not None
    load = Load(concurrency=np.array(users), input_tokens=isl, output_tokens=500.0)
    return [float(each) for each in serve(case.engine, 4, load).tpot_us / 1e3]


def ratios(case: Case) -> list[float]:
    assert case.engine is not None
    return [float(each) for each in stream_ratios(case, case.engine)]


MANY = tuple(float(each) for each in np.geomspace(1, 256, 40))


def test_a_server_that_is_as_the_model_says_has_ratios_of_one() -> None:
    found = ratios(setup(modelled(MANY), MANY))
    assert len(found) >= 2
    assert found == pytest.approx([1.0] * len(found), rel=0.01)


def test_a_server_that_holds_twice_the_streams_in_the_same_time_has_ratios_of_a_half() -> None:
    found = ratios(setup(modelled(MANY), tuple(2 * each for each in MANY)))
    assert found == pytest.approx([0.5] * len(found), rel=0.01)


def test_no_stream_is_within_a_target_that_the_model_misses_with_one() -> None:
    assert modelled((1.0,))[0] > 10
    assert ratios(setup([9.0, 9.5, 10.5], (1.0, 4.0, 16.0))) == [0.0]


def test_where_the_model_reaches_no_target_its_answer_is_what_the_server_holds() -> None:
    """The engine takes 1,024 sequences; 10,000 users got 100 ms."""
    assert modelled((1e6,), isl=10.0)[0] < 100
    found = ratios(setup([99.0, 100.0, 101.0], (1000.0, 10_000.0, 20_000.0), isl=10.0))
    assert found == pytest.approx([0.1024])


def test_lengths_and_ways_of_serving_are_curves_of_their_own_and_two_points_are_none() -> None:
    times = [5.0, 15.0, 25.0, 35.0]
    assert len(ratios(setup(times))) == 3
    assert ratios(setup(times[:2], USERS[:2])) == []
    mixed = pl.concat(
        [setup(times).rows, setup(times, isl=2000.0).rows, setup(times[:2], USERS[:2], serving="static batch").rows]
    ).drop("row")
    assert len(ratios(next(cases_of(mixed)))) == 6


def test_the_same_condition_measured_twice_is_one_point() -> None:
    """10 and 40 ms for 4 users count as 20 ms."""
    twice = setup([5.0, 10.0, 40.0, 45.0], (1.0, 4.0, 4.0, 64.0))
    assert ratios(twice) == pytest.approx(ratios(setup([5.0, 20.0, 45.0], (1.0, 4.0, 64.0))))


def test_the_scorecard_tells_of_streams_where_there_are_any(cli: Cli, tmp_path: Path) -> None:
    """The model itself measured, from 12 to 54 ms: targets of 20, 30 and 50 ms."""
    told = setup(modelled(MANY), MANY).rows.with_row_index("id").with_columns(suspect=0)
    missing = [pl.lit(None).alias(name) for name in COLUMNS if name not in told.columns]
    points, few = tmp_path / "points.csv", tmp_path / "few.csv"
    table = told.with_columns(missing).select(COLUMNS)
    table.write_csv(points)
    table.head(2).write_csv(few)
    asked = ("capacity", "--check", "--points")
    card = cli(*asked, str(points), "--json").json["streams"]
    assert (card["count"], card["within_25"]) == (3, 1.0)
    assert card["median_ratio"] == pytest.approx(1, rel=0.01)
    assert "median 1.00, p10 to p90 1.00 to 1.00, within a quarter 100.0% of 3" in cli(*asked, str(points)).out
    assert cli(*asked, str(few), "--json").json["streams"]["count"] == 0
    assert "streams within" not in cli(*asked, str(few)).out
