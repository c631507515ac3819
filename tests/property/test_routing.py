"""Requests on node types: never dearer than any other assignment within the nodes, and open about what does not fit."""

import json
import math
import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.core.fleet.routing import NodePool, RequestClass, Routing, proportional, route
from planner.documents import to_json
from planner.errors import UsageError

CHEAP, DEAR = NodePool("cheap", 10, 2.0), NodePool("dear", 10, 5.0)
POOLS = (CHEAP, DEAR)
CHAT, BATCH = RequestClass("chat", 6.0), RequestClass("batch", 8.0)
CLASSES = (CHAT, BATCH)
NODES = np.array([[1.0, 1.0], [1.0, 4.0]])  # batch takes four times the nodes on the dear pool
ALL = np.ones((2, 2), np.bool_)


def test_the_cheapest_pool_comes_first() -> None:
    routing = route([CHAT], POOLS, NODES[:1], ALL[:1])
    assert routing.requests_per_s == pytest.approx(np.array([[6.0, 0.0]]))
    assert routing.nodes == pytest.approx([6.0, 0.0])
    assert routing.usd_per_hour == pytest.approx(12.0)
    assert routing.shadow_prices == pytest.approx([0.0, 0.0]), "there is room, so a further node saves nothing"


def test_the_class_that_loses_least_spills_when_the_cheap_pool_is_full() -> None:
    # batch: 8 cheap nodes. chat: 2 cheap nodes and 4 dear ones. 10 * 2 + 4 * 5 = 40
    routing = route(CLASSES, POOLS, NODES, ALL)
    assert routing.requests_per_s == pytest.approx(np.array([[2.0, 4.0], [8.0, 0.0]]))
    assert routing.nodes == pytest.approx([10.0, 4.0])
    assert routing.usd_per_hour == pytest.approx(40.0)
    assert routing.shadow_prices == pytest.approx([3.0, 0.0]), "a cheap node takes one chat request/s from a dear one"


def test_a_class_keeps_off_a_pool_that_is_not_feasible_for_it() -> None:
    # chat may not use the cheap pool, whatever its figure there: 6 dear nodes, and 8 cheap ones for batch
    nodes, feasible = NODES.copy(), ALL.copy()
    nodes[0, 0], feasible[0, 0] = math.nan, False
    for routing in (route(CLASSES, POOLS, nodes, feasible), proportional([CHAT], POOLS, nodes[:1], feasible[:1])):
        assert routing.requests_per_s[0] == pytest.approx([0.0, 6.0])
    assert route(CLASSES, POOLS, nodes, feasible).usd_per_hour == pytest.approx(8 * 2 + 6 * 5)


def test_proportional_splits_by_what_each_pool_could_serve() -> None:
    # chat 10 : 10. batch 10 : 2.5, so 6.4 and 1.6 requests/s
    routing = proportional(CLASSES, POOLS, NODES, ALL)
    assert routing.requests_per_s == pytest.approx(np.array([[3.0, 3.0], [6.4, 1.6]]))
    assert routing.nodes == pytest.approx([9.4, 9.4])
    assert routing.usd_per_hour == pytest.approx(9.4 * 7)
    assert routing.shadow_prices is None
    assert routing.over_nodes.tolist() == [0.0, 0.0]


def test_proportional_reports_the_nodes_that_a_pool_lacks() -> None:
    # batch only on the cheap pool: 8 of its nodes, and half of chat's 6
    feasible = np.array([[True, True], [True, False]])
    routing = proportional(CLASSES, POOLS, NODES, feasible)
    assert routing.nodes == pytest.approx([11.0, 3.0])
    assert routing.over_nodes == pytest.approx([1.0, 0.0])
    assert route(CLASSES, POOLS, NODES, feasible).over_nodes.tolist() == [0.0, 0.0]


def test_a_further_node_of_a_pool_that_is_just_full_saves_nothing() -> None:
    # one node fewer would cost 4 nodes of the dear pool: the other side of the kink
    pools = [NodePool("none", 0, 9.0), NodePool("dear", 4000, 5.0), NodePool("free", 1000, 0.0)]
    routing = route([RequestClass("chat", 1000.0)], pools, np.array([[2.0, 4.0, 1.0]]), np.ones((1, 3), np.bool_))
    assert routing.nodes == pytest.approx([0.0, 0.0, 1000.0])
    assert routing.shadow_prices == pytest.approx([0.0, 0.0, 0.0])


def test_a_pool_without_nodes_serves_nothing_and_shows_what_its_first_node_would_save() -> None:
    empty = (replace(CHEAP, nodes=0), DEAR)
    routing = route([CHAT], empty, NODES[:1], ALL[:1])
    assert routing.nodes.tolist() == pytest.approx([0.0, 6.0])
    assert routing.shadow_prices == pytest.approx([3.0, 0.0])
    assert proportional([CHAT], empty, NODES[:1], ALL[:1]).nodes == pytest.approx([0.0, 6.0])


def test_no_requests_cost_nothing_on_any_fleet() -> None:
    silent = [replace(entry, requests_per_s=0.0) for entry in CLASSES]
    for routing in (route(silent, POOLS, NODES, ~ALL), proportional(silent, POOLS, NODES, ~ALL)):
        assert not routing.requests_per_s.any()
        assert not routing.nodes.any()
        assert routing.usd_per_hour == 0.0
    assert route(silent, POOLS, NODES, ~ALL).shadow_prices == pytest.approx([0.0, 0.0])


def test_a_class_without_requests_needs_no_pool() -> None:
    silent = RequestClass("silent", 0.0)
    routing = route([CHAT, silent], POOLS, NODES, np.array([[True, True], [False, False]]))
    assert routing.requests_per_s == pytest.approx(np.array([[6.0, 0.0], [0.0, 0.0]]))


def test_free_nodes_are_routed_too() -> None:
    routing = route(CLASSES, [replace(pool, usd_per_node_hour=0.0) for pool in POOLS], NODES, ALL)
    assert routing.usd_per_hour == 0.0
    assert routing.shadow_prices == pytest.approx([0.0, 0.0])
    assert routing.requests_per_s.sum(axis=1) == pytest.approx([6.0, 8.0])


def test_a_class_a_trillion_times_smaller_than_another_is_served_in_full() -> None:
    rates = np.array([6e3, 8e-9])
    pools = [replace(pool, nodes=10_000) for pool in POOLS]
    routing = route([RequestClass("large", rates[0]), RequestClass("small", rates[1])], pools, NODES, ALL)
    assert routing.requests_per_s.sum(axis=1) == pytest.approx(rates, rel=1e-12)


def test_the_document_names_pools_and_classes() -> None:
    document = json.loads(json.dumps(to_json(route(CLASSES, POOLS, NODES, ALL).to_document())))
    assert document["usd_per_hour"] == pytest.approx(40.0)
    assert document["pools"][0] == {
        "name": "cheap",
        "nodes": 10,
        "usd_per_node_hour": 2.0,
        "nodes_used": pytest.approx(10.0),
        "over_nodes": 0.0,
        "shadow_price_usd_per_node_hour": pytest.approx(3.0),
    }
    assert [pool["name"] for pool in document["pools"]] == ["cheap", "dear"]
    assert document["classes"][0] == {
        "name": "chat",
        "requests_per_s": 6.0,
        "requests_per_s_by_pool": {"cheap": pytest.approx(2.0), "dear": pytest.approx(4.0)},
    }
    blind = proportional(CLASSES, POOLS, NODES, ALL).to_document()
    assert [pool.shadow_price_usd_per_node_hour for pool in blind.pools] == [None, None]


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    route(CLASSES, POOLS, NODES, ALL)
    with pytest.raises(UsageError):
        route([replace(CHAT, requests_per_s=30.0)], POOLS, NODES[:1], ALL[:1])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("nodes", "demand", "share"),
    [(10, 12.0, "83.3"), (831, 1000.0, "83.1"), (9999, 10_000.0, "99.9"), (10**8, 1e8 + 1, "99.9"), (1, 1e6, "0.0")],
)
def test_demand_that_does_not_fit_says_which_share_does_rounded_down(nodes: int, demand: float, share: str) -> None:
    with pytest.raises(UsageError, match=f"^the pools serve at most {share} % of the requests; add nodes or lower"):
        route([RequestClass("chat", demand)], [replace(CHEAP, nodes=nodes)], np.ones((1, 1)), np.ones((1, 1), np.bool_))


def test_a_shortage_within_the_tolerance_of_the_solver_does_not_read_as_100_percent() -> None:
    # one node of ten thousand million, needed on the pool that takes a thousand times the nodes
    pools = [NodePool("none", 0, 1.0), NodePool("large", 10**10, 1.0)]
    with pytest.raises(UsageError, match=r"at most 99\.9 %"):
        route([RequestClass("chat", (1e10 + 1) / 1000)], pools, np.array([[1.0, 1000.0]]), np.ones((1, 2), np.bool_))


def test_a_price_lower_by_a_ten_millionth_is_found() -> None:
    # in both orders, and beside a class a thousand times larger, whose cost sets the solver's scale
    classes = [RequestClass("large", 1000.0), RequestClass("small", 1.0)]
    for prices in ((16.0, 16.0000016), (16.0000016, 16.0)):
        pools = [NodePool("a", 5000, prices[0]), NodePool("b", 5000, prices[1])]
        routing = route(classes, pools, np.ones((2, 2)), ALL)
        assert routing.usd_per_hour == pytest.approx(1001 * 16, rel=1e-10)


def test_the_share_that_fits_is_the_same_for_all_classes() -> None:
    # batch on 10 cheap nodes alone would be served in full, chat on 10 dear ones to a half: all to a half
    classes = (replace(CHAT, requests_per_s=20.0), BATCH)
    with pytest.raises(UsageError, match=r"at most 50\.0 %"):
        route(classes, POOLS, NODES, np.array([[False, True], [True, False]]))


@pytest.mark.parametrize("way", [route, proportional])
def test_a_class_that_no_pool_can_serve_is_named(way: Any) -> None:
    with pytest.raises(UsageError, match="no pool can serve batch; add nodes"):
        way(CLASSES, POOLS, NODES, np.array([[True, True], [False, False]]))
    with pytest.raises(UsageError, match="no pool can serve batch; add nodes"):
        way(CLASSES, (CHEAP, replace(DEAR, nodes=0)), NODES, np.array([[True, True], [False, True]]))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"classes": ()}, "at least one request class and one pool"),
    ({"pools": ()}, "at least one request class and one pool"),
    ({"classes": (CHAT, CHAT)}, "class chat is given 2 times; give every class its own name"),
    ({"pools": (DEAR, DEAR)}, "pool dear is given 2 times; give every pool its own name"),
    (
        {"classes": (CHAT, RequestClass("x", -1.0))},
        r"x: requests_per_s is -1.0; it must be 0, or a number from 1e-30 to 1e\+30",
    ),
    ({"classes": (CHAT, RequestClass("x", math.nan))}, "x: requests_per_s is nan"),
    ({"classes": (CHAT, RequestClass("x", math.inf))}, "x: requests_per_s is inf"),
    ({"classes": (CHAT, RequestClass("x", 1e-300))}, "x: requests_per_s is 1e-300"),
    ({"pools": (CHEAP, NodePool("y", -1, 2.0))}, "y: nodes is -1"),
    ({"pools": (CHEAP, NodePool("y", 1, -2.0))}, "y: usd_per_node_hour is -2.0"),
    ({"pools": (CHEAP, NodePool("y", 1, math.nan))}, "y: usd_per_node_hour is nan"),
    ({"nodes_per_request_s": np.ones((2, 3))}, r"nodes_per_request_s is \(2, 3\) .* here \(2, 2\)"),
    ({"feasible": np.ones((1, 2), np.bool_)}, r"feasible bool \(1, 2\)"),
    ({"feasible": np.ones((2, 2))}, r"feasible float64 \(2, 2\)"),
    (
        {"nodes_per_request_s": np.array([[1.0, 0.0], [1.0, 1.0]])},
        "chat on dear: nodes_per_request_s is 0.0; where feasible it must be above 0",
    ),
    ({"nodes_per_request_s": np.array([[1.0, 1.0], [-1.0, 1.0]])}, "batch on cheap: nodes_per_request_s is -1.0"),
    ({"nodes_per_request_s": np.array([[math.nan, 1.0], [1.0, 1.0]])}, "chat on cheap: nodes_per_request_s is nan"),
    ({"nodes_per_request_s": np.array([[1.0, math.inf], [1.0, 1.0]])}, "chat on dear: nodes_per_request_s is inf"),
    ({"nodes_per_request_s": np.array([[1e-6, 1e6], [1.0, 1.0]])}, r"chat: nodes_per_request_s differs by over 1e\+09"),
]


@pytest.mark.parametrize("way", [route, proportional])
@pytest.mark.parametrize(("change", "cure"), BAD)
def test_input_that_cannot_be_meant_is_refused_with_its_name(way: Any, change: dict[str, Any], cure: str) -> None:
    good = {"classes": CLASSES, "pools": POOLS, "nodes_per_request_s": NODES, "feasible": ALL}
    with pytest.raises(UsageError, match=cure):
        way(**good | change)


Case = tuple[list[RequestClass], list[NodePool], np.ndarray, np.ndarray]


def matrix(values: st.SearchStrategy[Any], rows: int, columns: int) -> st.SearchStrategy[list[list[Any]]]:
    row = st.lists(values, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


@st.composite
def cases(
    draw: st.DrawFn,
    most: int = 4,
    rates: st.SearchStrategy[float] = st.just(0.0) | st.floats(1e-9, 40),  # noqa: B008 - a description, drawn from later
    nodes: st.SearchStrategy[int] = st.integers(0, 60),  # noqa: B008
    needs: st.SearchStrategy[float] = st.floats(0.05, 8),  # noqa: B008
) -> Case:
    """Classes, pools and the two matrices, up to `most` of each; every class has a pool that it can use."""
    rows, columns = draw(st.integers(1, most)), draw(st.integers(1, most))
    classes = [RequestClass(f"class {number}", float(draw(rates))) for number in range(rows)]
    pools = [NodePool(f"pool {number}", draw(nodes), float(draw(st.integers(0, 9)))) for number in range(columns)]
    feasible = np.array(draw(matrix(st.sampled_from([True, True, True, False]), rows, columns)))
    feasible[~feasible.any(axis=1), 0] = True
    return classes, pools, np.array(draw(matrix(needs, rows, columns)), np.float64), feasible


def attempt(case: Case) -> Routing | None:
    """The route, or None where the demand does not fit."""
    try:
        return route(*case)
    except UsageError:
        return None


def check_sums(case: Case, routing: Routing) -> None:
    classes, pools, needs, feasible = case
    rates = np.array([entry.requests_per_s for entry in classes])
    assert (routing.requests_per_s >= 0).all()
    assert not routing.requests_per_s[~feasible].any()
    assert routing.requests_per_s.sum(axis=1) == pytest.approx(rates, rel=1e-12)
    used = np.where(feasible, routing.requests_per_s * needs, 0.0).sum(axis=0)
    assert routing.nodes == pytest.approx(used, rel=1e-12)
    assert routing.usd_per_hour == pytest.approx(sum(used * [pool.usd_per_node_hour for pool in pools]), rel=1e-12)


@given(cases())
def test_all_requests_are_routed_and_no_pool_goes_over_its_nodes(case: Case) -> None:
    routing = attempt(case)
    assume(routing is not None)
    assert routing is not None
    check_sums(case, routing)
    limits = np.array([pool.nodes for pool in case[1]])
    assert (routing.nodes <= limits + 1e-9 * max(routing.nodes.sum(), 1.0)).all()
    assert routing.over_nodes.tolist() == [0.0] * len(limits)
    assert routing.shadow_prices is not None
    assert (routing.shadow_prices >= 0).all()
    assert routing.shadow_prices[routing.nodes < limits - 0.01] == pytest.approx(0.0), "a pool with room saves nothing"


@given(cases())
def test_proportional_routes_all_requests_and_is_never_cheaper_within_the_nodes(case: Case) -> None:
    limits = np.array([pool.nodes for pool in case[1]])
    rates = np.array([entry.requests_per_s for entry in case[0]])
    assume(not rates[~(case[3] & (limits > 0)).any(axis=1)].any())
    blind = proportional(*case)
    check_sums(case, blind)
    assert blind.over_nodes == pytest.approx(np.maximum(blind.nodes - limits, 0.0), abs=1e-6)
    if not blind.over_nodes.any():
        assert route(*case).usd_per_hour <= blind.usd_per_hour * (1 + 1e-9) + 1e-9


@given(cases(), st.integers(0, 2**32 - 1))
def test_no_random_assignment_within_the_nodes_is_cheaper(case: Case, seed: int) -> None:
    classes, pools, needs, feasible = case
    rates = np.array([entry.requests_per_s for entry in classes])
    weights = np.random.default_rng(seed).exponential(size=feasible.shape) ** 3 * feasible
    nodes = (weights / weights.sum(axis=1, keepdims=True) * rates[:, None] * needs).sum(axis=0)
    # pools that just hold the assignment, so that it is one of those the routing has to beat
    pools = [replace(pool, nodes=math.ceil(used)) for pool, used in zip(pools, nodes, strict=True)]
    cost = sum(nodes * [pool.usd_per_node_hour for pool in pools])
    assert route(classes, pools, needs, feasible).usd_per_hour <= cost * (1 + 1e-9) + 1e-9


@settings(max_examples=60)
@given(cases(2))
def test_no_point_of_a_coarse_grid_is_cheaper_and_the_cheapest_is_near(case: Case) -> None:
    classes, pools, needs, feasible = case
    routing = attempt(case)
    rates = np.array([[entry.requests_per_s] for entry in classes])
    limits = [pool.nodes for pool in pools]
    prices = [pool.usd_per_node_hour for pool in pools]
    best, steps = math.inf, 40
    splits = [(count / steps, 1 - count / steps) for count in range(steps + 1)] if len(pools) == 2 else [(1.0,)]
    for point in product(splits, repeat=len(classes)):
        requests = np.array(point) * rates
        nodes = (requests * needs).sum(axis=0)
        if not requests[~feasible].any() and (nodes <= limits).all():
            best = min(best, float(nodes @ prices))
    if routing is None:
        assert best == math.inf, "what a grid point serves, the routing serves"
        return
    assert routing.usd_per_hour <= best * (1 + 1e-9) + 1e-9
    step = (rates * needs).sum(axis=0) / steps
    if (routing.nodes + step <= limits).all():
        assert best <= routing.usd_per_hour + step @ prices, "with a step's room, a grid point lies beside the optimum"


# Whole thousands of requests and nodes, and 1 to 4 nodes per request: costs bend at multiples of 1000 over sums of
# two products of three needs at most, 128, so not within a node of where they are asked
bends = cases(
    3,
    rates=st.integers(0, 9).map(lambda count: 1000 * count),
    nodes=st.integers(0, 20).map(lambda count: 1000 * count),
    needs=st.integers(1, 4),
)


@given(bends)
def test_a_shadow_price_is_what_one_more_node_saves(case: Case) -> None:
    classes, pools, needs, feasible = case
    routing = attempt(case)
    assume(routing is not None)
    assert routing is not None
    saved = []
    for number, pool in enumerate(pools):
        more = [*pools[:number], replace(pool, nodes=pool.nodes + 1), *pools[number + 1 :]]
        saved.append(routing.usd_per_hour - route(classes, more, needs, feasible).usd_per_hour)
    assert routing.shadow_prices == pytest.approx(saved, abs=1e-6)


@given(cases())
def test_the_share_that_fits_fits_and_a_little_more_does_not(case: Case) -> None:
    classes, pools, needs, feasible = case
    crowded = [replace(entry, requests_per_s=entry.requests_per_s * 20 + 1) for entry in classes]
    try:
        route(crowded, pools, needs, feasible)
        share = None
    except UsageError as error:
        share = re.search(r"at most (.*) %", str(error))
    assume(share is not None)
    assert share is not None
    for part, fits in ((float(share[1]) / 100, True), (float(share[1]) / 100 + 0.0011, False)):
        demand = [replace(entry, requests_per_s=entry.requests_per_s * part) for entry in crowded]
        assert (attempt((demand, pools, needs, feasible)) is not None) == fits
