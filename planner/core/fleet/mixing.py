"""Which part of a trace's demand each pool of a mixed fleet gets, interval by interval. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.routing import NodePool, RequestClass, Routing, proportional, route
from planner.core.fleet.units import Units
from planner.errors import UsageError
from planner.units import Bools, Floats, Ints


@dataclass(frozen=True, kw_only=True)
class PoolSplit:
    """How requests are routed.

    weights: (intervals, classes, pools), what a router is told: the shares of a class's requests, which add up to 1.
    fits: (intervals,), whether the pools have the nodes. nodes: (intervals, pools), that the requests occupy, not
    rounded to whole ones. usd_per_hour: (intervals,), of these nodes and what else is held of the pools' floors.
    """

    weights: Floats
    fits: Bools
    nodes: Floats
    usd_per_hour: Floats


@dataclass(frozen=True, kw_only=True)
class PoolNodes:
    """A pool's nodes of one type. floor: of them, those that are held in any case."""

    name: str
    nodes: int
    floor: int
    usd_per_node_hour: float

    @property
    def whole(self) -> NodePool:
        """All of them."""
        return NodePool(self.name, self.nodes, self.usd_per_node_hour)

    @property
    def halves(self) -> tuple[NodePool, NodePool]:
        """Those of the floor, whose use costs nothing more, and the others."""
        return (
            NodePool(f"{self.name}, floor", self.floor, 0.0),
            NodePool(f"{self.name}, above the floor", self.nodes - self.floor, self.usd_per_node_hour),
        )


def nodes_per_request_s(deployment: Deployment, input_tokens: Floats, output_tokens: Floats) -> Floats:
    """Nodes, in parts of one, that a request a second of so many tokens occupies at full use.

    Where roles scale in a bundle, they are those of the bundle in the proportions of the full fleet: the role of which
    more is needed takes the other along.
    """
    if deployment.aggregated:
        unit_nodes = deployment.settings.unit_nodes / deployment.units_per_node
        return deployment.units_needed(input_tokens, output_tokens, 1.0) * unit_nodes
    if deployment.apart:
        node_input, node_output = (
            deployment.capacity(units, 1.0)[which] / deployment.nodes(units)
            for which, units in enumerate((Units(1, 0), Units(0, 1)))
        )
        return input_tokens / node_input + output_tokens / node_output
    most_input, most_output = deployment.capacity(deployment.full, 1.0)
    nodes: Floats = deployment.nodes(deployment.full) * np.maximum(
        input_tokens / most_input, output_tokens / most_output
    )
    return nodes


def split_demand(
    names: Sequence[str], pools: Sequence[PoolNodes], requests_per_s: Floats, needed: Floats, *, cheapest: bool
) -> PoolSplit:
    """Route every interval by itself: at the least cost, or in proportion to what the pools could carry.

    Nodes of floors are held in any case, so that their use costs nothing more.

    names: of classes. requests_per_s: (intervals, classes). needed: (intervals, classes, pools), nodes of a request a
    second; inf where a pool cannot serve the class. What does not fit is routed in proportion. A class without demand
    in an interval is routed as before, or else as next. Raises UsageError for classes that no pool can serve.
    """
    intervals, classes, count = needed.shape
    weights = np.full(needed.shape, np.nan)
    fits = np.ones(intervals, np.bool_)
    nodes = np.zeros((intervals, count))
    # requests without a token take no time of any pool
    asked = np.where((needed > 0).all(axis=2), requests_per_s, 0.0)
    for index in range(intervals):
        classes_asked = [RequestClass(name, float(rate)) for name, rate in zip(names, asked[index], strict=True)]
        found = _cheapest(classes_asked, pools, needed[index]) if cheapest else None
        if found is None:
            found = _proportional(classes_asked, pools, needed[index])
            fits[index] = not found.over_nodes.any()
        # of every pool one after the other: its nodes, or those of its floor and the others
        nodes[index] = found.nodes.reshape(count, -1).sum(axis=1)
        some = asked[index] > 0
        routed = found.requests_per_s.reshape(classes, count, -1).sum(axis=2)
        weights[index, some] = routed[some] / asked[index, some, np.newaxis]
    even = np.array([pool.nodes for pool in pools], np.float64)
    for number in range(classes):
        weights[:, number] = _kept(weights[:, number], even / even.sum())
    return PoolSplit(weights=weights, fits=fits, nodes=nodes, usd_per_hour=_usd_per_hour(nodes, pools))


def one_pool(pools: Sequence[PoolNodes], requests_per_s: Floats, needed: Floats, number: int) -> PoolSplit:
    """One pool carries everything, and there is no other. Arguments as for split_demand."""
    weights = np.zeros(needed.shape)
    weights[:, :, number] = 1.0
    own = np.where(requests_per_s > 0, requests_per_s * needed[:, :, number], 0.0).sum(axis=1)
    nodes = np.zeros((len(own), len(pools)))
    nodes[:, number] = own
    usd_per_hour = _usd_per_hour(own[:, np.newaxis], [pools[number]])
    return PoolSplit(weights=weights, fits=own <= pools[number].nodes, nodes=nodes, usd_per_hour=usd_per_hour)


def parts_of(demand: Demand, of_classes: Sequence[Demand], weights: Floats) -> list[Demand]:
    """The demand of each pool, in whole requests and tokens that add up to that of the trace.

    of_classes: the demand of each class, on the same grid. weights: (intervals, classes, pools).
    """
    requests, cached, outputs = (
        _whole_parts(getattr(demand, name), _summed([getattr(each, name) for each in of_classes], weights))
        for name in ("requests", "cached_input_tokens", "output_tokens")
    )
    # apart from the cached ones, so that no pool has more of these than of input
    missed = _whole_parts(
        demand.input_tokens - demand.cached_input_tokens,
        _summed([each.input_tokens - each.cached_input_tokens for each in of_classes], weights),
    )
    return [
        Demand(
            grid=demand.grid,
            requests=requests[:, number],
            input_tokens=missed[:, number] + cached[:, number],
            cached_input_tokens=cached[:, number],
            output_tokens=outputs[:, number],
        )
        for number in range(weights.shape[2])
    ]


def _cheapest(classes: Sequence[RequestClass], pools: Sequence[PoolNodes], needed: Floats) -> Routing | None:
    """The routing of an interval at the least cost, over both halves of every pool; None where it does not fit."""
    halves = [half for pool in pools for half in pool.halves]
    try:
        return route(classes, halves, *_feasible(np.repeat(needed, 2, axis=1)))
    except UsageError:
        # its other errors are raised by the proportional routing too, which takes its place
        return None


def _proportional(classes: Sequence[RequestClass], pools: Sequence[PoolNodes], needed: Floats) -> Routing:
    return proportional(classes, [pool.whole for pool in pools], *_feasible(needed))


def _feasible(needed: Floats) -> tuple[Floats, Bools]:
    """Nodes that a request a second of each class occupies in each pool, and whether it can serve the class."""
    feasible: Bools = np.isfinite(needed) & (needed > 0)
    return np.where(feasible, needed, 1.0), feasible


def _usd_per_hour(nodes: Floats, pools: Sequence[PoolNodes]) -> Floats:
    """What nodes cost, (intervals, pools), and what else is held of the floors, (intervals,)."""
    held = np.maximum(nodes, [pool.floor for pool in pools])
    cost: Floats = held @ np.array([pool.usd_per_node_hour for pool in pools])
    return cost


def _kept(weights: Floats, otherwise: Floats) -> Floats:
    """The weights of a class, (intervals, pools): where there are none, nan, those before, or else those after."""
    known = np.flatnonzero(~np.isnan(weights[:, 0]))
    if not len(known):
        return np.broadcast_to(otherwise, weights.shape)
    last = np.searchsorted(known, np.arange(len(weights)), side="right") - 1
    found: Floats = weights[known[np.maximum(last, 0)]]
    return found


def _summed(counts: Sequence[Ints], weights: Floats) -> Floats:
    """What pools get of some quantity of all classes, (intervals, pools)."""
    got: Floats = np.einsum("ci,icp->ip", np.array(counts, np.float64), weights)
    return got


def _whole_parts(total: Ints, wanted: Floats) -> Ints:
    """Whole numbers near the wanted ones, (intervals, pools), that add up to the total: by the largest remainder."""
    wanted = np.where(wanted.sum(axis=1, keepdims=True) > 0, wanted, 1.0)
    exact = total[:, np.newaxis] * (wanted / wanted.sum(axis=1, keepdims=True))
    parts: Ints = np.floor(exact).astype(np.int64)
    missing = total - parts.sum(axis=1)
    order = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1)
    whole: Ints = parts + (order < missing[:, np.newaxis])
    return whole
