"""How many spare units a fleet needs to absorb node failures: from probabilities, checked by replays."""

from datetime import datetime
from math import inf, prod

import numpy as np

from planner.catalogue.read import scenario_gpu_rate
from planner.core.demand import Demand
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, EVERY_ROLE, ROLES, Units
from planner.core.replay.requests.failures import (
    PackedAvailability,
    RoleAvailability,
    UnitFailures,
    fewest_spares,
    fewest_spares_of,
)
from planner.core.replay.requests.window import counted_window
from planner.errors import UsageError
from planner.planning.allowance import check_own_hits, down_notes
from planner.planning.selection import selection_notes
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.replay.rules import NO_SPARES, OF_REQUESTS, check_settings, unit_failures
from planner.studies.replay.run import plan_of
from planner.studies.resilience.document import (
    ResilienceByRole,
    ResilienceDocument,
    RoleResilience,
    SpareAttainment,
)
from planner.studies.resilience.replays import UnitNeed, check_by_replays, with_failures_of
from planner.units import US_PER_HOUR, Clock, Ints, Progress, from_us, usd

PER_NODE_PER_DAY = 0.78 * 419 / 54 / (16_384 / 8)
"""Failures of a node a day where a scenario gives none. Published: Meta, "The Llama 3 Herd of Models" (2024), 419
unexpected interruptions in 54 days on 16,384 H100 GPUs, about 78 % of them for hardware; computed for nodes of 8."""
_SOURCE = (
    'published: "The Llama 3 Herd of Models", 419 interruptions in 54 days on 2,048 nodes, 78 % of them for hardware'
)
SEEDS = 10
"""Draws of failures that are replayed. Assumed: most contain no failure and are replayed once."""
_SHOWN = 2
"""Least number of spare units that is shown; one more than needed is always shown."""


def resilience(
    store: Store,
    scenario: Scenario,
    *,
    target: float,
    start: datetime | None = None,
    end: datetime | None = None,
    seeds: int = 0,
    now: datetime,
    clock: Clock,
    progress: Progress | None = None,
) -> ResilienceDocument:
    """Spare units of each role so that in a share `target` of the time enough units serve.

    Enough: what each interval of the window needs, by default of the busiest hour; units are sized for the interval
    whose plan has the least to spare. seeds: draws of failures for replays of the window, with and without the spare
    units; 0 for none. Nothing is stored but a drawn trace. Raises UsageError.
    """
    if not 0 < target < 1:
        raise UsageError(
            f"--target {target:g} is not a share of the time; give a number between 0 and 1, for example 0.999"
        )
    if seeds:
        check_settings(scenario)
    rate, source = scenario.failures.per_node_per_day, scenario.provenance.get("failures.per_node_per_day", "")
    if rate is None:
        rate, source = PER_NODE_PER_DAY, _SOURCE
    if seeds:
        check_own_hits(scenario, OF_REQUESTS)
    scenario = with_failures_of(scenario, rate, scenario.failures.seed)
    need = _need(store, scenario, start, end, now=now, progress=progress)
    spares = _spares(need, target)
    nodes = sum(role.spare_nodes(spares.of(name)) for name, role in need.roles.items())
    found = {name: _role(role, need.failures[name], spares.of(name)) for name, role in need.roles.items()}
    return ResilienceDocument(
        scenario=scenario.name,
        trace=need.outcome.trace.name,
        policy=need.outcome.policy,
        window_start=from_us(need.from_us, scenario.zone),
        window_end=from_us(need.to_us, scenario.zone),
        target=target,
        per_node_per_day=rate,
        rate_source=source,
        repair_s=scenario.failures.repair_s,
        start_up_s=scenario.fleet.start_up_s,
        roles=ResilienceByRole(**{role: found.get(role) for role in EVERY_ROLE}),
        attainment_without_spares=_attainment(need, NO_SPARES),
        attainment=_attainment(need, spares),
        spare_nodes=nodes,
        spare_cost_usd_per_day=_cost_usd_per_day(need.outcome.scenario, nodes),
        planned_peak_nodes=need.peak_nodes,
        fleet_nodes=scenario.fleet.nodes,
        nodes_beyond_fleet=max(0, need.peak_nodes + nodes - scenario.fleet.nodes),
        replays=check_by_replays(
            store, need, spares, seeds, start=start, end=end, now=now, clock=clock, progress=progress
        )
        if seeds
        else None,
        notes=(*selection_notes(scenario, need.outcome.trace), *_allowed_notes(scenario)),
    )


def _need(
    store: Store,
    scenario: Scenario,
    start: datetime | None,
    end: datetime | None,
    *,
    now: datetime,
    progress: Progress | None,
) -> UnitNeed:
    outcome = plan_of(store, scenario, now=now, progress=progress)
    scenario, demand, plan = outcome.scenario, outcome.demand, outcome.plan
    from_us_, to_us = counted_window(demand, scenario.replay, start, end, False, scenario.zone)
    starts = demand.grid.starts_us
    inside = (starts + demand.grid.interval_us > from_us_) & (starts < to_us)
    deployment = Deployment(scenario.fleet)
    failures = {name: unit_failures(scenario, name) for name in deployment.role_names}
    needed = {name: _needed(deployment, name, demand)[inside] for name in failures}
    planned = {name: getattr(plan, f"{name}_units")[inside] for name in failures}
    roles = {
        name: _scarcest(deployment, name, failures[name], needed[name], planned[name]) for name in deployment.role_names
    }
    return UnitNeed(
        outcome=outcome,
        from_us=from_us_,
        to_us=to_us,
        roles=roles,
        needs={
            name: tuple(zip(starts[inside].tolist(), units.tolist(), strict=True)) for name, units in needed.items()
        },
        failures=failures,
        peak_nodes=int(plan.inference_nodes[inside].max()),
    )


def _needed(deployment: Deployment, role: str, demand: Demand) -> Ints:
    """Units of a role that every interval needs."""
    inputs, outputs, interval_s = demand.input_tokens, demand.output_tokens, demand.grid.interval_s
    if role == AGGREGATED:
        return np.ceil(deployment.units_needed(inputs, outputs, interval_s)).astype(np.int64)
    asked = {"prefill": inputs, "decode": outputs}[role]
    each = deployment.capacity(Units(1, 1), interval_s)[ROLES.index(role)]
    return np.ceil(asked / each).astype(np.int64)


def _scarcest(
    deployment: Deployment, role: str, failures: UnitFailures, needed: Ints, planned: Ints
) -> RoleAvailability:
    """Units of a role in the interval that is most often without enough of them: a service that sleeps needs none."""
    found = [
        _availability(deployment, role, failures, *pair)
        for pair in dict.fromkeys(zip(needed.tolist(), planned.tolist(), strict=True))
    ]
    return min(found, key=lambda each: (each.attainment(0), each.planned - each.needed, -each.needed))


def _availability(
    deployment: Deployment, role: str, failures: UnitFailures, needed: int, planned: int
) -> RoleAvailability:
    nodes, up = deployment.unit_nodes(role), failures.availability
    if role != AGGREGATED:
        return RoleAvailability(needed, planned, nodes, up)
    shared = deployment.units_per_node
    return PackedAvailability(needed=needed, planned=planned, nodes=nodes, availability=up, units_per_node=shared)


def _allowed_notes(scenario: Scenario) -> tuple[str, ...]:
    """What the plan allows for already."""
    notes = down_notes(scenario)
    if not notes:
        return ()
    return (*notes, "spare units come on top of that: set failures.nodes_down_ratio=0 to count failures once")


def _spares(need: UnitNeed, target: float) -> Units:
    """The spare units with the fewest nodes that attain a target. Raises UsageError."""
    if AGGREGATED in need.roles:
        return Units(aggregated=fewest_spares_of(need.roles[AGGREGATED], target))
    return Units(*fewest_spares(need.roles["prefill"], need.roles["decode"], target))


def _role(role: RoleAvailability, failures: UnitFailures, spares: int) -> RoleResilience:
    """Units of a role, with some spare ones."""
    shown = range(max(_SHOWN, spares + 1) + 1)
    return RoleResilience(
        unit_nodes=role.nodes,
        needed_units=role.needed,
        planned_units=role.planned,
        mtbf_h=None if failures.mtbf_us == inf else failures.mtbf_us / US_PER_HOUR,
        availability=role.availability,
        expected_units_down=role.planned * (1 - role.availability),
        spare_units=spares,
        spare_nodes=role.spare_nodes(spares),
        attainment_by_spares=tuple(
            SpareAttainment(spare_units=count, attainment=role.attainment(count)) for count in shown
        ),
    )


def _attainment(need: UnitNeed, spares: Units) -> float:
    """Share of the time in which every role has enough units."""
    return prod(role.attainment(spares.of(name)) for name, role in need.roles.items())


def _cost_usd_per_day(scenario: Scenario, nodes: int) -> float:
    """Cost of nodes for a whole day, at the scenario's price."""
    hourly = node_hour_micros(scenario_gpu_rate(scenario.economics).usd_per_gpu_hour, scenario.fleet.gpus_per_node)
    return usd(24 * nodes * hourly)
