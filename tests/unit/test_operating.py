"""Operating points: the largest batch within a time per token and the memory, and what it costs."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import engine_profile, hardware, model
from planner.core.fleet.decode import Imbalance
from planner.core.fleet.engine import Engine, Validity
from planner.core.fleet.operating import (
    constant,
    largest_batch,
    nodes_per_qps,
    operating_point,
    point_at,
    request_cost,
    tpot_ms,
)
from planner.errors import CannotServe, ServingObstacle, UsageError

EP144 = Engine(
    model=model("deepseek-r1"),
    hardware=hardware("h800"),
    weights="fp8",
    profile=engine_profile("deepseek-ep"),
    expert_parallel=144,
    redundant_experts=32,
    overlap="on",
)
SKEWED = constant(Imbalance(1.10, 1.15, 1.05))


@given(st.floats(500, 50_000), st.floats(10, 300))
def test_the_largest_batch_is_what_a_search_one_by_one_finds(kv_tokens: float, target_ms: float) -> None:
    cap = int(EP144.batch_cap(kv_tokens))
    batches = np.arange(1, min(cap, 1024) + 1)
    met = batches[tpot_ms(EP144, batches, kv_tokens, SKEWED) <= target_ms]
    assert float(largest_batch(EP144, kv_tokens, target_ms, SKEWED)) == (met[-1] if len(met) else 0)


def test_many_points_at_once_equal_one_by_one() -> None:
    kv, target = np.linspace(500, 20_000, 7)[:, None], np.linspace(20, 120, 5)[None]
    grid = largest_batch(EP144, kv, target, SKEWED)
    assert grid.shape == (7, 5)
    for row in range(7):
        for column in range(5):
            assert grid[row, column] == largest_batch(EP144, kv[row, 0], target[0, column], SKEWED)


def test_a_point_says_what_limits_it() -> None:
    assert operating_point(EP144, 4989, 50, SKEWED).limit == "tpot"
    assert operating_point(EP144, 4989, 500, SKEWED) == replace(point_at(EP144, 128, 4989, SKEWED), limit="memory")
    short = operating_point(EP144, 100, 5000, SKEWED)
    assert (short.streams, short.limit) == (1024, "validity")


def test_cost_per_million_tokens_by_hand() -> None:
    """$16 an hour per node; at 15 thousand tokens/s that is 54 million tokens."""
    point = point_at(EP144, 88, 4989, SKEWED)
    assert point.usd_per_million_tokens == pytest.approx(16 / (point.tokens_per_s_per_node * 3600) * 1e6)
    assert point.usd_per_million_tokens == pytest.approx(0.293, rel=0.01)
    assert point.tokens_per_s_per_node == pytest.approx(8 * 88 / point.step_ms * 1e3)


def test_power_and_cost_of_a_request_per_second_by_hand() -> None:
    """2,000 tokens in at 80 k and 500 out at 10 k tokens/s keep 0.025 + 0.05 nodes busy; a node has 10 kW and $16."""
    nodes = nodes_per_qps(2000, 500, 80_000, 10_000)
    cost = request_cost(nodes, 10, 16)
    assert nodes == pytest.approx(0.075)
    assert cost.w_per_qps == pytest.approx(750)
    assert cost.usd_per_qps_day == pytest.approx(0.075 * 16 * 24)
    assert cost.usd_per_request == pytest.approx(0.075 * 16 / 3600)


def test_the_published_day_at_its_own_throughputs_costs_what_was_computed_of_it() -> None:
    """226.75 nodes over 1,934.7 requests/s: $45.0 per request/s and day, 820 to 1,195 W at 7 to 10.2 kW a node."""
    nodes = 226.75 / 1934.7
    assert request_cost(nodes, 7, 16).usd_per_qps_day == pytest.approx(45.0, abs=0.05)
    assert request_cost(nodes, 7, 16).w_per_qps == pytest.approx(820, abs=1)
    assert request_cost(nodes, 10.2, 16).w_per_qps == pytest.approx(1195, abs=1)


@given(st.floats(15, 200), st.floats(15, 200))
def test_more_patience_never_gives_a_smaller_batch(one: float, other: float) -> None:
    small, large = (float(largest_batch(EP144, 4989, target, SKEWED)) for target in sorted((one, other)))
    assert small <= large


def test_a_batch_stays_inside_the_range_that_was_measured() -> None:
    narrow = replace(EP144, validity=Validity(most_streams=64, least_streams=16))
    assert operating_point(narrow, 4989, 500, SKEWED).limit == "validity"
    with pytest.raises(UsageError, match="at 16 streams per GPU a token takes"):
        operating_point(narrow, 4989, 20, SKEWED)


@pytest.mark.parametrize(
    ("kv_tokens", "target", "cure"),
    [
        (4989, 1, "no batch of deepseek-r1 on H800 meets 1 ms per output token"),
        (4989, 0, "finite number above 0 ms"),
        (4989, float("nan"), "finite number above 0 ms"),
        (900_000, 50, "one stream of 900,000 tokens needs .* shorten the context"),
    ],
)
def test_what_cannot_be_met_says_why(kv_tokens: float, target: float, cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        operating_point(EP144, kv_tokens, target, SKEWED)


@pytest.mark.parametrize(("kv_tokens", "target", "reason"), [(4989, 1, "target"), (900_000, 50, "memory")])
def test_a_unit_that_cannot_serve_has_a_reason_that_survives_a_worker_process(
    kv_tokens: float, target: float, reason: ServingObstacle
) -> None:
    with pytest.raises(CannotServe) as caught:
        operating_point(EP144, kv_tokens, target, SKEWED)
    again = pickle.loads(pickle.dumps(caught.value))
    assert caught.value.reason == again.reason == reason
    assert str(again) == str(caught.value)


def test_a_given_batch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="the memory holds 128"):
        point_at(EP144, 200, 4989)
