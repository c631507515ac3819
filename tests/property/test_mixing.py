"""What holds of every mixed fleet: pools add up to the trace, no request is lost or doubled, cheapest is cheapest."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid
from planner.core.fleet.mixing import PoolNodes, parts_of, split_demand
from planner.core.replay.requests.kernels.choice import uniform
from planner.core.replay.requests.model import Requests
from planner.core.replay.requests.split import RoutedSessions, Router, uniforms

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 4))
"""Intervals, classes, pools."""
SEEDS = st.integers(0, 2**32 - 1)


def demand_of(random: np.random.Generator, intervals: int) -> Demand:
    inputs = random.integers(0, 10 ** int(random.integers(1, 11)), intervals)
    return Demand(
        grid=Grid(0, 60, intervals),
        requests=random.integers(0, 1000, intervals),
        input_tokens=inputs,
        cached_input_tokens=(inputs * random.random(intervals)).astype(np.int64),
        output_tokens=random.integers(0, 10**6, intervals),
    )


def weights_of(random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Some of them 0, as routings at the least cost have many."""
    weights = random.random(shape) * (random.random(shape) < 0.6)
    weights[..., 0] += weights.sum(axis=2) == 0
    return weights / weights.sum(axis=2, keepdims=True)


@given(shape=SHAPES, seed=SEEDS)
def test_the_demand_of_pools_adds_up_to_that_of_the_trace(shape: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = [demand_of(random, shape[0]) for _ in range(shape[1])]
    names = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
    whole = Demand(grid=classes[0].grid, **{name: sum(getattr(each, name) for each in classes) for name in names})
    parts = parts_of(whole, classes, weights_of(random, shape))
    for name in names:
        assert np.array_equal(sum(getattr(part, name) for part in parts), getattr(whole, name)), name
        assert all((getattr(part, name) >= 0).all() for part in parts)
    assert all((part.cached_input_tokens <= part.input_tokens).all() for part in parts)


@given(shape=SHAPES, seed=SEEDS)
def test_cheapest_never_costs_more_than_proportional_where_both_fit(shape: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    pools = []
    for number in range(shape[2]):
        nodes = int(random.integers(1, 50))
        floor = int(random.integers(0, nodes + 1))
        pools.append(PoolNodes(name=f"pool {number}", nodes=nodes, floor=floor, usd_per_node_hour=random.random() * 9))
    rates, needed = random.random(shape[:2]) * 20, random.random(shape) + 0.1
    names = [f"class {number}" for number in range(shape[1])]
    cheapest, even = (split_demand(names, pools, rates, needed, cheapest=kind) for kind in (True, False))
    for split in (cheapest, even):
        np.testing.assert_allclose(split.weights.sum(axis=2), 1.0)
    assert (cheapest.fits | ~even.fits).all()
    both = cheapest.fits & even.fits
    assert (cheapest.usd_per_hour[both] <= even.usd_per_hour[both] * (1 + 1e-6) + 1e-6).all()
    limits = [pool.nodes * (1 + 1e-6) + 1e-6 for pool in pools]
    assert (cheapest.nodes[cheapest.fits] <= limits).all()


@given(shape=SHAPES, seed=SEEDS, cut=st.integers(1, 199))
def test_every_request_goes_to_one_pool_with_a_share_however_it_is_read(
    shape: tuple[int, int, int], seed: int, cut: int
) -> None:
    random = np.random.default_rng(seed)
    intervals, classes, count = shape
    router = Router(grid=Grid(0, 60, intervals), weights=weights_of(random, shape), seed=seed)
    arrival_us = np.sort(random.integers(0, intervals * 60_000_000, 200))
    none = np.zeros(200, np.int64)
    blocks = random.integers(0, 4, 200)
    requests = Requests(
        arrival_us=arrival_us,
        input_tokens=np.arange(200),
        cached_input_tokens=none,
        output_tokens=none,
        class_id=random.integers(0, classes, 200),
        session_id=none - 1,
        block_from=np.concatenate([[0], np.cumsum(blocks)]),
        block_ids=np.arange(blocks.sum()),
    )
    numbers = RoutedSessions(router, 0).pools(requests)
    assert np.array_equal(numbers, router.pools(requests, 0, 0))
    own = [requests.only(numbers == number) for number in range(count)]
    assert np.array_equal(np.sort(np.concatenate([each.input_tokens for each in own])), np.arange(200))
    assert np.array_equal(np.sort(np.concatenate([each.block_ids for each in own])), np.arange(blocks.sum()))
    assert all(each.block_from[-1] == len(each.block_ids) for each in own)
    assert (router.weights[arrival_us // 60_000_000, requests.class_id, numbers] > 0).all()
    routed = RoutedSessions(router, 0)
    read_in_two = [routed.pools(requests.part(slice(cut))), routed.pools(requests.part(slice(cut, 200)))]
    assert np.array_equal(np.concatenate(read_in_two), numbers)


@given(shape=SHAPES, seed=SEEDS, cut=st.integers(1, 199))
def test_a_session_stays_in_its_pool_while_that_has_a_share(shape: tuple[int, int, int], seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    intervals, classes, _ = shape
    router = Router(grid=Grid(0, 60, intervals), weights=weights_of(random, shape), seed=seed)
    none = np.zeros(200, np.int64)
    requests = Requests(
        arrival_us=np.sort(random.integers(0, intervals * 60_000_000, 200)),
        input_tokens=none,
        cached_input_tokens=none,
        output_tokens=none,
        class_id=random.integers(0, classes, 200),
        session_id=random.integers(-1, 30, 200),
    )
    drawn = router.pools(requests, 0, 0)
    expected: dict[int, int] = {}
    pools = []
    for place, session in enumerate(requests.session_id.tolist()):
        shares = router.weights[requests.arrival_us[place] // 60_000_000, requests.class_id[place]]
        before = expected.get(session)
        stays = session >= 0 and before is not None and shares[before] > 0
        pools.append(before if stays else int(drawn[place]))
        expected[session] = pools[-1]
    assert RoutedSessions(router, 0).pools(requests).tolist() == pools
    routed = RoutedSessions(router, 0)
    read_in_two = [routed.pools(requests.part(slice(cut))), routed.pools(requests.part(slice(cut, 200)))]
    assert np.concatenate(read_in_two).tolist() == pools


def test_the_shares_of_many_requests_are_the_weights() -> None:
    count = 100_000
    none = np.zeros(count, np.int64)
    requests = Requests(
        arrival_us=none,
        input_tokens=none,
        cached_input_tokens=none,
        output_tokens=none,
        class_id=none,
        session_id=none,
    )
    router = Router(grid=Grid(0, 60, 1), weights=np.array([[[0.2, 0.0, 0.5, 0.3]]]), seed=3)
    got = np.bincount(router.pools(requests, 0, 0), minlength=4) / count
    np.testing.assert_allclose(got, [0.2, 0.0, 0.5, 0.3], atol=0.005)


@given(seed=st.integers(0, 2**63 - 1), first=st.integers(0, 10**9))
def test_the_numbers_are_those_of_the_kernels_for_a_role_after_the_three(seed: int, first: int) -> None:
    assert uniforms(seed, first, 3).tolist() == [uniform(seed, first + place, 3, 0) for place in range(3)]
