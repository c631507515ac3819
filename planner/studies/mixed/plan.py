"""Plans of the pools of a mixed fleet, each with its part of the demand of one trace."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from planner.core.demand import Demand
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.mixing import PoolNodes, PoolSplit, nodes_per_request_s, one_pool, parts_of, split_demand
from planner.core.load import hit_ratio, part_of, with_hits
from planner.errors import UsageError
from planner.planning.check import require
from planner.planning.idle import idle_notes
from planner.planning.plan import plan
from planner.planning.prepare import Prepared, ensure_trace, prepare_on
from planner.planning.selection import narrow_classes, reading, selected_demand, selection_of, set_hit_ratio
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.studies.mixed.file import LoadedMix
from planner.trace.stored import TraceInfo
from planner.units import Floats, Progress, usd

ALL = "all requests"
"""What requests are called that have no class."""


@dataclass(frozen=True, kw_only=True)
class MixInputs:
    """What the pools of a mixed fleet are planned from.

    classes: of the trace, by number; None where it has none. of_classes: the demand of each. nodes: of each pool, with
    their prices. needed: (intervals, classes, pools), nodes that a request a second occupies.
    """

    mix: LoadedMix
    pools: tuple[Prepared, ...]
    trace: TraceInfo
    demand: Demand
    classes: tuple[str | None, ...]
    of_classes: tuple[Demand, ...]
    nodes: tuple[PoolNodes, ...]
    needed: Floats

    @property
    def requests_per_s(self) -> Floats:
        """Of every class, (intervals, classes)."""
        return np.stack([each.requests for each in self.of_classes], axis=1) / self.demand.grid.interval_s

    def split(self, kind: str) -> PoolSplit:
        """The requests routed at the least cost ("cheapest"), or in proportion. Raises UsageError."""
        names = [ALL if name is None else name for name in self.classes]
        return split_demand(names, self.nodes, self.requests_per_s, self.needed, cheapest=kind == "cheapest")

    def alone(self, number: int) -> PoolSplit:
        """All requests in one pool."""
        return one_pool(self.nodes, self.requests_per_s, self.needed, number)

    def plans(self, split: PoolSplit) -> tuple[PlanOutcome, ...]:
        """A plan of each pool. Raises UsageError, RunError."""
        parts = parts_of(self.demand, self.of_classes, split.weights)
        return tuple(_plan(pool, part) for pool, part in zip(self.pools, parts, strict=True))

    def plan_alone(self, number: int) -> PlanOutcome:
        """The plan of one pool that carries everything. Raises UsageError, RunError."""
        return _plan(self.pools[number], self.demand)


def prepare_mix(
    store: Store, mix: LoadedMix, *, now: datetime, progress: Progress | None = None, replayed: bool = False
) -> MixInputs:
    """Check the pools of a mixed fleet, draw the trace if it is not stored, and resolve what their scenarios name.

    replayed: whether requests are replayed too. Raises UsageError, TraceError.
    """
    require(*mix.scenarios)
    first = mix.scenarios[0]
    trace = ensure_trace(store, first, now=now, progress=progress)
    with reading(store, first, trace) as session:
        demand = selected_demand(session, first, trace)
        pools = tuple(prepare_on(session, scenario, trace, demand, replayed=replayed) for scenario in mix.scenarios)
        names = _class_names(session, trace)
    own_hits, hits = hit_ratio(demand), set_hit_ratio(first)
    demand = pools[0].demand
    of_classes: tuple[Demand, ...] = (demand,)
    if names:
        with store.read() as session:
            of_classes = tuple(_of_class(session, first, trace, name, demand) for name in names)
        if hits is not None:
            of_classes = tuple(with_hits(each, own_hits, hits) for each in of_classes)
    return MixInputs(
        mix=mix,
        pools=pools,
        trace=trace,
        demand=demand,
        classes=names or (None,),
        of_classes=of_classes,
        nodes=tuple(_nodes(name, pool) for name, pool in zip(mix.names, pools, strict=True)),
        needed=np.stack([_needed(pool, of_classes) for pool in pools], axis=2),
    )


def _class_names(session: Session, trace: TraceInfo) -> tuple[str, ...]:
    """Names of a trace's classes, in the order of their numbers, which count from 0."""
    rows = session.rows("trace_class_names", trace_id=trace.trace_id)
    return tuple(str(row["class"]) for row in sorted(rows, key=lambda row: int(row["class_id"])))


def _of_class(session: Session, scenario: Scenario, trace: TraceInfo, name: str, whole: Demand) -> Demand:
    """The demand of one class, on the grid of the whole; none where the scenario does not take it."""
    taken = selection_of(scenario).settings.classes
    if taken is not None and name not in taken:
        none = np.zeros(whole.grid.count, np.int64)
        return Demand(grid=whole.grid, requests=none, input_tokens=none, cached_input_tokens=none, output_tokens=none)
    narrow_classes(session, trace, (name,))
    return part_of(selected_demand(session, scenario, trace), whole.grid.start_us, whole.grid.end_us)


def _nodes(name: str, pool: Prepared) -> PoolNodes:
    """The nodes that a pool has for inference, in whole scaling steps, those of its floor, and their price."""
    deployment = Deployment(pool.scenario.fleet)
    hourly = node_hour_micros(pool.prices.gpu.usd_per_gpu_hour, pool.scenario.fleet.gpus_per_node)
    return PoolNodes(
        name=name,
        nodes=deployment.nodes(deployment.full),
        floor=deployment.nodes(deployment.floor(pool.scenario.policy.floor_nodes)),
        usd_per_node_hour=usd(hourly),
    )


def _needed(pool: Prepared, of_classes: Sequence[Demand]) -> Floats:
    """Nodes of a pool that a request a second occupies at its target utilisation, (intervals, classes)."""
    deployment, target = Deployment(pool.scenario.fleet), pool.scenario.policy.target_utilisation
    counts = [np.maximum(each.requests, 1) for each in of_classes]
    inputs = np.stack([each.input_tokens / count for each, count in zip(of_classes, counts, strict=True)], axis=1)
    outputs = np.stack([each.output_tokens / count for each, count in zip(of_classes, counts, strict=True)], axis=1)
    needed: Floats = nodes_per_request_s(deployment, inputs, outputs) / target
    return needed


def _plan(pool: Prepared, part: Demand) -> PlanOutcome:
    outcome = plan(pool.for_demand(part))
    if outcome.demand_source == "profile":
        raise UsageError(
            f"{pool.scenario.name}: policy.demand_source is profile, which knows the demand of all pools and not that "
            "of one; set it to trace, previous or forecast"
        )
    return replace(outcome, notes=(*outcome.notes, *idle_notes(pool.scenario)))
