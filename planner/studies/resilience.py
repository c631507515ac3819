"""How many spare units a fleet needs so that failures of nodes do not show: from probabilities, checked by replays."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from math import inf
from statistics import fmean
from typing import Any

import numpy as np

from planner.catalogue.read import gpu_rate, gpu_rates
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Units
from planner.core.replay.intervals.lifetimes import ROLES
from planner.core.replay.requests.failures import RoleAvailability, UnitFailures, covered, fewest_spares
from planner.core.replay.requests.window import counted_window, window_of
from planner.errors import UsageError
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import FleetSettings, Scenario
from planner.store import Store
from planner.studies.replay import account as replays
from planner.studies.replay.run import NO_SPARES, Replayed, plan_of, replay, unit_failures, window_lives
from planner.units import US_PER_HOUR, Progress, from_us, usd

PER_NODE_PER_DAY = 0.78 * 419 / 54 / (16_384 / 8)
"""Failures of a node a day where a scenario gives none. Published: Meta, "The Llama 3 Herd of Models" (2024), 419
unexpected interruptions in 54 days on 16,384 H100 GPUs, about 78 % of them for hardware; computed for nodes of 8."""
_SOURCE = (
    'published: "The Llama 3 Herd of Models", 419 interruptions in 54 days on 2,048 nodes, 78 % of them for hardware'
)
SEEDS = 10
"""Draws of failures that are replayed. Assumed: most hold no failure and are replayed once."""
_SHOWN = 2
"""Spare units that are shown at least; one more than is needed is shown in any case."""


@dataclass(frozen=True)
class _Need:
    """A plan in a window, and what its units have to withstand."""

    outcome: PlanOutcome
    from_us: int
    to_us: int
    roles: dict[str, RoleAvailability]
    failures: dict[str, UnitFailures]
    peak_nodes: int


def resilience(
    store: Store,
    scenario: Scenario,
    *,
    target: float,
    start: datetime | None = None,
    end: datetime | None = None,
    seeds: int = 0,
    now: datetime,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Spare units of each role so that in a share `target` of the time enough units serve; JSON-ready.

    Enough: what the window's busiest interval asks for, by default the busiest hour's. seeds: draws of failures for
    replays of the window, with and without the spare units; 0 for none. Nothing is stored but a drawn trace. Raises
    UsageError.
    """
    if not 0 < target < 1:
        raise UsageError(f"--target {target:g} is no share of the time; give one between 0 and 1, for example 0.999")
    rate, source = scenario.failures.per_node_per_day, scenario.provenance.get("failures.per_node_per_day", "")
    if rate is None:
        rate, source = PER_NODE_PER_DAY, _SOURCE
    scenario = with_failures_of(scenario, rate, scenario.failures.seed)
    need = _need(store, scenario, start, end, now=now, progress=progress)
    spares = Units(*fewest_spares(need.roles["prefill"], need.roles["decode"], target))
    checked = (
        _replays(store, need, spares, seeds, start=start, end=end, now=now, clock=clock, progress=progress)
        if seeds
        else None
    )
    return {
        "scenario": scenario.name,
        "trace": need.outcome.trace.name,
        "policy": need.outcome.policy,
        "window_start": from_us(need.from_us, scenario.zone).isoformat(),
        "window_end": from_us(need.to_us, scenario.zone).isoformat(),
        "target": target,
        "per_node_per_day": rate,
        "rate_source": source,
        "repair_s": scenario.failures.repair_s,
        "start_up_s": scenario.fleet.start_up_s,
        "roles": {name: _role(need.roles[name], need.failures[name], getattr(spares, name)) for name in ROLES},
        "attainment_without_spares": _together(need, NO_SPARES),
        "attainment": _together(need, spares),
        **_cost(need, spares),
        "replays": checked,
    }


def with_failures_of(scenario: Scenario, per_node_per_day: float, seed: int) -> Scenario:
    """The scenario with nodes that fail at a rate, drawn by a seed."""
    failures = scenario.failures.model_copy(update={"per_node_per_day": per_node_per_day, "seed": seed})
    return scenario.model_copy(update={"failures": failures})


def _need(
    store: Store,
    scenario: Scenario,
    start: datetime | None,
    end: datetime | None,
    *,
    now: datetime,
    progress: Progress | None,
) -> _Need:
    outcome, _ = plan_of(store, scenario, now=now, progress=progress)
    scenario, demand, plan = outcome.scenario, outcome.demand, outcome.plan
    from_us_, to_us = counted_window(demand, scenario.replay, start, end, False, scenario.zone)
    starts, fleet = demand.grid.starts_us, scenario.fleet
    inside = (starts + demand.grid.interval_us > from_us_) & (starts < to_us)
    asked = {"prefill": demand.input_tokens, "decode": demand.output_tokens}
    planned = {"prefill": plan.prefill_units, "decode": plan.decode_units}
    failures = {name: unit_failures(scenario, name) for name in ROLES}
    roles = {}
    for name in ROLES:
        unit = _unit(fleet, name)
        each = unit.nodes * unit.tokens_per_s_per_node * scenario.interval_s
        roles[name] = RoleAvailability(
            needed=int(np.ceil(asked[name][inside].max() / each)),
            planned=int(planned[name][inside].min()),
            nodes=unit.nodes,
            availability=failures[name].availability,
        )
    return _Need(outcome, from_us_, to_us, roles, failures, int(plan.inference_nodes[inside].max()))


def _unit(fleet: FleetSettings, role: str) -> Any:
    return fleet.prefill if role == "prefill" else fleet.decode


def _role(role: RoleAvailability, failures: UnitFailures, spares: int) -> dict[str, Any]:
    """What is known of the units of a role, JSON-ready."""
    shown = range(max(_SHOWN, spares + 1) + 1)
    return {
        "unit_nodes": role.nodes,
        "needed_units": role.needed,
        "planned_units": role.planned,
        "mtbf_h": None if failures.mtbf_us == inf else failures.mtbf_us / US_PER_HOUR,
        "availability": role.availability,
        "expected_units_down": role.planned * (1 - role.availability),
        "spare_units": spares,
        "spare_nodes": spares * role.nodes,
        "attainment_by_spares": [{"spare_units": k, "attainment": role.attainment(k)} for k in shown],
    }


def _together(need: _Need, spares: Units) -> float:
    """Share of the time in which both roles have enough units."""
    return need.roles["prefill"].attainment(spares.prefill) * need.roles["decode"].attainment(spares.decode)


def _cost(need: _Need, spares: Units) -> dict[str, Any]:
    """What spare nodes cost, at the scenario's price of a node around the clock."""
    scenario = need.outcome.scenario
    nodes = sum(getattr(spares, name) * need.roles[name].nodes for name in ROLES)
    rate = gpu_rate(gpu_rates(scenario.economics.gpu_rates), scenario.economics.gpu_rate)
    hourly = node_hour_micros(rate.usd_per_gpu_hour, scenario.fleet.gpus_per_node)
    return {
        "spare_nodes": nodes,
        "spare_cost_usd_per_day": usd(24 * nodes * hourly),
        "planned_peak_nodes": need.peak_nodes,
        "fleet_nodes": scenario.fleet.nodes,
        "nodes_beyond_fleet": max(0, need.peak_nodes + nodes - scenario.fleet.nodes),
    }


def _replays(
    store: Store,
    need: _Need,
    spares: Units,
    seeds: int,
    *,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    clock: Callable[[], float],
    progress: Progress | None,
) -> dict[str, Any]:
    """The window replayed without failures, with, and with the spare units too; by kind the mean and every seed."""
    scenario = need.outcome.scenario
    rate, first = scenario.failures.per_node_per_day or 0.0, scenario.failures.seed
    window = window_of(need.outcome.demand, scenario.replay, start, end, whole=False)
    needed = (need.roles["prefill"].needed, need.roles["decode"].needed)
    fared: dict[bytes, dict[str, Any]] = {}

    def fares(per_day: float, spares: Units, seed: int) -> dict[str, Any]:
        failing = with_failures_of(scenario, per_day, seed)
        lives = [window_lives(replace(need.outcome, scenario=failing), name, window, spares) for name in ROLES]
        same = b"".join(column.tobytes() for each in lives for column in (each.serve_us, each.fail_us))
        if same not in fared:
            # most draws hold no failure at all: they are replayed once
            fared[same] = _fares(
                replay(store, failing, start=start, end=end, now=now, clock=clock, spares=spares, progress=progress)
            )
        return {"seed": seed, "covered": covered(lives[0], lives[1], needed, *window.span_us[:2]), **fared[same]}

    drawn = range(first, first + seeds)
    rows = {
        "without_failures": (NO_SPARES, [fares(0.0, NO_SPARES, first)]),
        "with_failures": (NO_SPARES, [fares(rate, NO_SPARES, seed) for seed in drawn]),
    }
    if spares != NO_SPARES:
        rows["with_failures_and_spares"] = (spares, [fares(rate, spares, seed) for seed in drawn])
    return {
        kind: {"spare_units": asdict(more), **_means(of_kind), "seeds": of_kind}
        for kind, (more, of_kind) in rows.items()
    }


def _fares(done: Replayed) -> dict[str, Any]:
    """What users of a replay got, JSON-ready."""
    measured = done.measured
    return {
        "failures": replays.failures(measured),
        **replays.counts(measured),
        **replays.overall(measured)["slo"],
    }


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, the least of both targets, and all failures."""
    names = ("covered", "ttft_attainment", "tpot_attainment", "both_attainment")
    values = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {
        **{name: fmean(values[name]) if values[name] else None for name in names},
        "worst_both_attainment": min(values["both_attainment"], default=None),
        "failures": {
            name: {what: sum(row["failures"][name][what] for row in rows) for what in ("units", "requests")}
            for name in ROLES
        },
    }
