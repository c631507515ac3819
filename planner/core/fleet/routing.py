"""Which node type serves which requests in a mixed fleet: the cheapest assignment, and the proportional one. Pure.

A linear program, solved by HiGHS. Its variables are the shares of a class's requests that each pool serves. One
request per second of a class occupies a known part of a node (its prefill and decode), so load adds up linearly.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np

from planner.documents import Document
from planner.errors import UsageError
from planner.units import Bools, Floats, Ints

TOLERANCE = 1e-9
"""Shares, and nodes as a part of the nodes in use, that count as zero. Assumed: far above rounding errors."""
FURTHER = 1e-6
"""Nodes, as a part of the fewest that carry the demand, that are added to measure what they save. Assumed: just clear
of the solver's tolerance; under one node in fleets of under a million."""
WIDEST = 1e30
"""Largest input, and one over the smallest apart from 0. Computed: products of four stay within a double."""


@dataclass(frozen=True)
class NodePool:
    """Nodes of one type. nodes: at least 0; usd_per_node_hour: at least 0, paid for nodes in use."""

    name: str
    nodes: int
    usd_per_node_hour: float


@dataclass(frozen=True)
class RequestClass:
    """Requests that are alike in length and SLO. requests_per_s: at least 0."""

    name: str
    requests_per_s: float


@dataclass(frozen=True, kw_only=True)
class PoolUse(Document):
    """A pool of nodes of one type, and how much of it is in use."""

    name: str
    nodes: int
    usd_per_node_hour: float
    nodes_used: float
    """Not rounded to whole nodes."""
    over_nodes: float
    """Nodes in use that the pool does not have."""
    shadow_price_usd_per_node_hour: float | None
    """What an additional node saves after its own price, at the margin; null where nothing was optimised."""


@dataclass(frozen=True, kw_only=True)
class ClassRoute(Document):
    """Where the requests of a class go."""

    name: str
    requests_per_s: float
    requests_per_s_by_pool: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class RoutingDocument(Document):
    """An assignment of request classes to pools, and its cost."""

    usd_per_hour: float
    """Of the nodes in use."""
    pools: tuple[PoolUse, ...]
    classes: tuple[ClassRoute, ...]


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Requests and nodes of an assignment.

    requests_per_s: (classes, pools). nodes: (pools,) in use, not rounded to whole ones. usd_per_hour: of the nodes in
    use. shadow_prices: (pools,) dollars per hour that a further node saves after its own price, at the margin: the
    first part of a node saves at this rate, the rest at most at it; None where nothing was optimised.
    """

    classes: tuple[RequestClass, ...]
    pools: tuple[NodePool, ...]
    requests_per_s: Floats
    nodes: Floats
    usd_per_hour: float
    shadow_prices: Floats | None

    @property
    def over_nodes(self) -> Floats:
        """Nodes in use that a pool does not have, (pools,); 0 where it has enough."""
        over = self.nodes - np.array([pool.nodes for pool in self.pools], np.float64)
        return np.where(over > TOLERANCE * self.nodes.sum(), over, 0.0)

    def to_document(self) -> RoutingDocument:
        """Cost, every pool with its use, every class with requests per second by pool."""
        names = [pool.name for pool in self.pools]
        prices = [None] * len(names) if self.shadow_prices is None else self.shadow_prices.tolist()
        use = zip(self.pools, self.nodes.tolist(), self.over_nodes.tolist(), prices, strict=True)
        return RoutingDocument(
            usd_per_hour=self.usd_per_hour,
            pools=tuple(
                PoolUse(
                    name=pool.name,
                    nodes=pool.nodes,
                    usd_per_node_hour=pool.usd_per_node_hour,
                    nodes_used=used,
                    over_nodes=over,
                    shadow_price_usd_per_node_hour=price,
                )
                for pool, used, over, price in use
            ),
            classes=tuple(
                ClassRoute(
                    name=entry.name,
                    requests_per_s=entry.requests_per_s,
                    requests_per_s_by_pool=dict(zip(names, row, strict=True)),
                )
                for entry, row in zip(self.classes, self.requests_per_s.tolist(), strict=True)
            ),
        )


def route(
    classes: Sequence[RequestClass], pools: Sequence[NodePool], nodes_per_request_s: Floats, feasible: Bools
) -> Routing:
    """The cheapest assignment of all requests within the pools' nodes.

    nodes_per_request_s: (classes, pools), nodes that one request per second occupies, over 0 where feasible. feasible:
    (classes, pools), whether the node type meets the class's SLO and holds it in memory. Raises UsageError for
    invalid input, for classes that no pool can serve, and for demand that does not fit, with the share that
    does.
    """
    problem = _Problem(classes, pools, nodes_per_request_s, feasible)
    if not problem.rates.any():
        return problem.routing(np.zeros(feasible.shape), np.zeros(len(pools)))
    cheapest = problem.cheapest(problem.limits)
    if cheapest is None:
        # rounded down, and never 100 %, which the solver may find within its tolerance
        permille = min(math.floor(problem.servable() * 1000), 999)
        raise UsageError(
            f"the pools serve at most {permille / 10:.1f} % of the requests; add nodes or lower the demand"
        )
    return problem.routing(cheapest[0], problem.shadow_prices())


def proportional(
    classes: Sequence[RequestClass], pools: Sequence[NodePool], nodes_per_request_s: Floats, feasible: Bools
) -> Routing:
    """Every class over the pools that can serve it, by the requests per second that each could; blind to cost.

    Arguments and errors as for route, but demand that does not fit is not an error: over_nodes says by how much.
    """
    problem = _Problem(classes, pools, nodes_per_request_s, feasible)
    capacity = np.where(feasible, problem.limits / problem.nodes_per_request_s, 0.0)
    return problem.routing(capacity, None)


class _Problem:
    """Checked input as arrays, and its linear programs.

    Columns are the pairs of a class with requests and a pool that is feasible for it, and hold the share of the class.
    Rows are the classes, whose shares sum to one, then the pools, whose nodes in `unit` (the fewest that hold the
    demand) stay within the limit; so the solver's absolute tolerances fit a fleet of any size.
    """

    def __init__(
        self, classes: Sequence[RequestClass], pools: Sequence[NodePool], nodes_per_request_s: Floats, feasible: Bools
    ) -> None:
        _check(classes, pools, nodes_per_request_s, feasible)
        self.classes, self.pools = tuple(classes), tuple(pools)
        self.rates = np.array([entry.requests_per_s for entry in classes], np.float64)
        self.limits = np.array([pool.nodes for pool in pools], np.float64)
        self.prices = np.array([pool.usd_per_node_hour for pool in pools], np.float64)
        self.nodes_per_request_s = np.where(feasible, nodes_per_request_s, 1.0)
        wanted = self.rates > 0
        unserved = wanted & ~(feasible & (self.limits > 0)).any(axis=1)
        if unserved.any():
            names = ", ".join(entry.name for entry, lost in zip(classes, unserved, strict=True) if lost)
            raise UsageError(f"no pool can serve {names}; add nodes of a type that meets its SLO")
        self.demand = wanted.astype(np.float64)
        self.row, self.pool = np.nonzero(feasible & wanted[:, None])
        least = np.where(feasible, nodes_per_request_s, np.inf).min(axis=1)
        self.unit = float(self.rates[wanted] @ least[wanted])
        self.needed = self.rates[self.row] * self.nodes_per_request_s[self.row, self.pool]

    def cheapest(self, limits: Floats) -> tuple[Floats, Floats] | None:
        """The routing of all requests that costs least within the limits, (pools,) nodes; None if they do not fit.

        Returns shares, (classes, pools), and the duals of the limits, (pools,): dollars per hour that a node saves.
        """
        cost = self.needed * self.prices[self.pool]
        scale = float(cost.max()) or 1.0
        solution = _solve(cost / scale, np.inf, self.demand, limits / self.unit, self._matrix())
        if solution is None:
            return None
        values, duals = solution
        shares = np.zeros(self.nodes_per_request_s.shape)
        shares[self.row, self.pool] = np.maximum(values, 0.0)
        return shares, np.maximum(-duals[len(self.classes) :], 0.0) * scale / self.unit

    def shadow_prices(self) -> Floats:
        """What a further node saves, (pools,).

        Where a pool is just full, or has no nodes, the duals are not unique, and the solver may return what a lost
        node costs. A further node saves the least of them. The duals beside the kink, with a little more of every
        pool, have the least sum; and since every pair joins one class and one pool, with opposite signs in the dual
        program, its solutions form a lattice, in which the least sum is the least for every pool.
        """
        beside = self.cheapest(self.limits + FURTHER * self.unit)
        if beside is None:
            raise RuntimeError("HiGHS finds no routing on more nodes than it found one on")
        return beside[1]

    def servable(self) -> float:
        """The largest share of its requests that every class can have served at once; one more column."""
        start, index, value = self._matrix()
        wanted = np.flatnonzero(self.demand)
        matrix = (
            np.append(start, len(index) + len(wanted)),
            np.append(index, wanted),
            np.append(value, np.full(len(wanted), -1.0)),
        )
        cost = np.append(np.zeros(len(self.row)), -1.0)
        solution = _solve(cost, 1.0, np.zeros(len(self.classes)), self.limits / self.unit, matrix)
        if solution is None:
            raise RuntimeError("HiGHS finds no routing, although serving nothing is one")
        return float(solution[0][-1])

    def routing(self, weights: Floats, shadow_prices: Floats | None) -> Routing:
        """The routing that splits every class by its weights, (classes, pools)."""
        total = weights.sum(axis=1, keepdims=True)
        shares = np.divide(weights, total, out=np.zeros(weights.shape), where=total > 0)
        requests = shares * self.rates[:, None]
        nodes = (requests * self.nodes_per_request_s).sum(axis=0)
        return Routing(
            classes=self.classes,
            pools=self.pools,
            requests_per_s=requests,
            nodes=nodes,
            usd_per_hour=float(nodes @ self.prices),
            shadow_prices=shadow_prices,
        )

    def _matrix(self) -> tuple[Ints, Ints, Floats]:
        """Two entries per column, its class's and its pool's: starts, rows and values."""
        rows = np.column_stack([self.row, len(self.classes) + self.pool]).ravel()
        values = np.column_stack([self.demand[self.row], self.needed / self.unit]).ravel()
        return np.arange(0, len(rows) + 1, 2), rows, values


def _solve(
    cost: Floats, most: float, equal: Floats, limits: Floats, matrix: tuple[Ints, Ints, Floats]
) -> tuple[Floats, Floats] | None:
    """Columns of least cost, from 0 to most, with the first rows equal to `equal`, the others within the limits.

    matrix: by columns: starts, rows, values. Returns the columns' values and the rows' duals; None if there are none.
    """
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(cost), len(equal) + len(limits)
    program.col_cost_ = cost
    program.col_lower_, program.col_upper_ = np.zeros(len(cost)), np.full(len(cost), most)
    program.row_lower_ = np.append(equal, np.full(len(limits), -np.inf))
    program.row_upper_ = np.append(equal, limits)
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_, program.a_matrix_.index_, program.a_matrix_.value_ = matrix
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # typed, but for its constructor
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("solver", "simplex")
    solver.setOptionValue("primal_feasibility_tolerance", TOLERANCE)
    solver.setOptionValue("dual_feasibility_tolerance", TOLERANCE)
    solver.passModel(program)
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kOptimal:
        solution = solver.getSolution()
        return np.array(solution.col_value), np.array(solution.row_dual)
    # costs are not negative and columns start at 0, or they are bounded: no program is without bound
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return None
    raise RuntimeError(f"HiGHS ended with {solver.modelStatusToString(status)}")


def _check(
    classes: Sequence[RequestClass], pools: Sequence[NodePool], nodes_per_request_s: Floats, feasible: Bools
) -> None:
    """Raises UsageError for invalid input."""
    if not classes or not pools:
        raise UsageError("routing needs at least one request class and one pool")
    _check_names("class", [entry.name for entry in classes])
    _check_names("pool", [pool.name for pool in pools])
    _check_numbers(classes, pools)
    shape = len(classes), len(pools)
    if nodes_per_request_s.shape != shape or feasible.shape != shape or feasible.dtype != np.bool_:
        raise UsageError(
            f"nodes_per_request_s is {nodes_per_request_s.shape} and feasible {feasible.dtype} {feasible.shape}; "
            f"both must have the shape (classes, pools), here {shape}, and feasible must be bool"
        )
    for entry, row, able in zip(classes, nodes_per_request_s, feasible, strict=True):
        _check_row(entry, pools, row, able)


def _check_names(kind: str, names: Sequence[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{kind} {name} is given {count} times; give every {kind} its own name")


def _check_numbers(classes: Sequence[RequestClass], pools: Sequence[NodePool]) -> None:
    values = [(f"{entry.name}: requests_per_s", entry.requests_per_s) for entry in classes]
    for pool in pools:
        values += [(f"{pool.name}: nodes", pool.nodes), (f"{pool.name}: usd_per_node_hour", pool.usd_per_node_hour)]
    for name, value in values:
        if value and not 1 / WIDEST <= value <= WIDEST:
            raise UsageError(f"{name} is {value}; it must be 0, or a number from {1 / WIDEST:.0e} to {WIDEST:.0e}")


def _check_row(entry: RequestClass, pools: Sequence[NodePool], row: Floats, able: Bools) -> None:
    """Nodes per request of one class, (pools,). able: which pools can serve it."""
    wrong = able & ~((row >= 1 / WIDEST) & (row <= WIDEST))
    if wrong.any():
        name = pools[int(np.flatnonzero(wrong)[0])].name
        raise UsageError(
            f"{entry.name} on {name}: nodes_per_request_s is {row[wrong][0]}; where feasible it must be above 0, "
            f"from {1 / WIDEST:.0e} to {WIDEST:.0e}"
        )
    own = row[able]
    if own.size and own.max() * TOLERANCE > own.min():
        raise UsageError(
            f"{entry.name}: nodes_per_request_s differs by over {1 / TOLERANCE:.0e} between pools; check the units"
        )
