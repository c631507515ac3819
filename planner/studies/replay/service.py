"""What the units of a fleet do in a replay, from the engine and the requests of a trace."""

from planner.capacity.aggregated import replica_of
from planner.capacity.engines import aggregated_of
from planner.capacity.units import service_of
from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.model import Service
from planner.planning.aggregated import limits_of, unit_of
from planner.planning.capacity import mean_kv_tokens, modelled_workload
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace.stored import TraceInfo


def service_for(session: Session, scenario: Scenario, trace: TraceInfo) -> Service | Replica:
    """Units of both roles, or the one that does both. Raises UsageError.

    Where the capacity of units that do both is modelled, they begin no more requests at a time than it counts on,
    unless told: with more of them a token takes longer than its target.
    """
    fleet, replay = scenario.fleet, scenario.replay
    if fleet.serving == "disaggregated":
        return service_of(fleet, replay, mean_kv_tokens(session, scenario, trace))
    workload = modelled_workload(session, trace, fleet)
    if fleet.capacity == "modelled" and replay.max_sequences is None:
        unit = unit_of(fleet, replay, scenario.slo.tpot_ms, workload)
        return unit.replica.limited_to(unit.sequences)
    engine, imbalance_at = aggregated_of(fleet)
    return replica_of(engine, fleet.unit_gpus, workload, limits_of(fleet, replay, engine), imbalance_at)
