"""The document of a mixed fleet's plan."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import numpy as np

from planner.core.demand import Grid
from planner.core.fleet.mixing import PoolSplit
from planner.files import version
from planner.runs.limits import over_budget, short_of
from planner.runs.outcome import PlanOutcome
from planner.runs.write import save_plan
from planner.store import Store
from planner.studies.mixed.document import (
    ClassWeights,
    MixedPlanDocument,
    MixInterval,
    MixTotals,
    PlannedPool,
    SplitFigures,
)
from planner.studies.mixed.file import LoadedMix
from planner.studies.mixed.plan import MixInputs, prepare_mix
from planner.units import S_PER_HOUR, Progress, from_us, usd

Kind = Literal["cheapest", "proportional", "alone"]
KINDS: tuple[Kind, ...] = ("cheapest", "proportional")
"""How requests of a mixed fleet may be routed over all of it."""
ROUTED = (
    "requests are routed by the trace's own demand of each interval and class; a router balances by load as it comes"
)
MODELLED = (
    "capacities are modelled for the requests of all pools together, though a pool may get longer or shorter ones"
)


def plan_mix(store: Store, mix: LoadedMix, *, now: datetime, progress: Progress | None = None) -> MixedPlanDocument:
    """Plan a mixed fleet, compare how it may be routed, and store the plan of every pool as a run.

    Raises UsageError, TraceError, RunError, StoreError.
    """
    inputs = prepare_mix(store, mix, now=now, progress=progress)
    kinds = {kind: inputs.split(kind) for kind in KINDS}
    plans = {kind: inputs.plans(split) for kind, split in kinds.items()}
    split, outcomes = kinds[mix.fleet.split], plans[mix.fleet.split]
    compared = [_compared(kind, None, kinds[kind], plans[kind]) for kind in kinds]
    for number, name in enumerate(mix.names):
        compared.append(_compared("alone", name, inputs.alone(number), (inputs.plan_alone(number),)))
    totals = _totals(outcomes)
    alone = [each.cost_usd for each in compared if each.pool is not None and each.fits]
    # stored when all of it is known to work
    run_ids = [save_plan(store, outcome, now=now, version=version()) for outcome in outcomes]
    return MixedPlanDocument(
        name=mix.fleet.name,
        split=mix.fleet.split,
        trace=inputs.trace.name,
        interval_s=inputs.demand.grid.interval_s,
        pools=tuple(_pool(inputs, number, outcome, run_ids[number]) for number, outcome in enumerate(outcomes)),
        splits=tuple(compared),
        saved_usd=min(alone) - totals.cost_usd if alone else None,
        intervals=_intervals(inputs, split, outcomes),
        missed_limits=_missed(mix, totals, outcomes),
        notes=mix_notes(inputs, split),
        **vars(totals),
    )


def mix_notes(inputs: MixInputs, split: PoolSplit) -> tuple[str, ...]:
    """What the reader of a plan or a replay of pools should know."""
    notes = [*inputs.mix.notes, ROUTED]
    if any(pool.scenario.fleet.capacity == "modelled" for pool in inputs.pools):
        notes.append(MODELLED)
    if not split.fits.all():
        count = len(split.fits) - int(split.fits.sum())
        notes.append(
            f"{count} of {len(split.fits)} intervals need more nodes than the pools have at their target utilisation, "
            "and are routed in proportion to what each could carry; add nodes, or raise policy.target_utilisation"
        )
    return (*notes, *inputs.pools[0].notes)


def cost_of(outcomes: Sequence[PlanOutcome]) -> float:
    """What inference costs in some pools."""
    return usd(sum(sum(outcome.costs.inference) for outcome in outcomes))


def _totals(outcomes: Sequence[PlanOutcome]) -> MixTotals:
    grid: Grid = outcomes[0].plan.grid
    node_s = sum(int(outcome.plan.inference_node_s.sum()) for outcome in outcomes)
    tokens = sum(int(each.demand.input_tokens.sum() + each.demand.output_tokens.sum()) for each in outcomes)
    short = sum(int(outcome.plan.shortfall_tokens.sum()) for outcome in outcomes)
    return MixTotals(
        peak_nodes=int(np.sum([outcome.plan.inference_nodes for outcome in outcomes], axis=0).max()),
        mean_nodes=node_s / grid.length_s,
        node_hours=node_s / S_PER_HOUR,
        cost_usd=cost_of(outcomes),
        shortfall_tokens=short,
        shortfall_ratio=short / tokens if tokens else 0.0,
    )


def _compared(kind: Kind, pool: str | None, split: PoolSplit, outcomes: Sequence[PlanOutcome]) -> SplitFigures:
    fits, hours = bool(split.fits.all()), outcomes[0].plan.grid.interval_s / S_PER_HOUR
    return SplitFigures(
        split=kind,
        pool=pool,
        fits=fits,
        routed_cost_usd=float(split.usd_per_hour.sum() * hours) if fits else None,
        **vars(_totals(outcomes)),
    )


def _pool(inputs: MixInputs, number: int, outcome: PlanOutcome, run_id: str) -> PlannedPool:
    fleet, all_requests = outcome.scenario.fleet, int(inputs.demand.requests.sum())
    return PlannedPool(
        name=inputs.nodes[number].name,
        run_id=run_id,
        serving=fleet.serving,
        node_type=fleet.node_type,
        nodes=fleet.nodes,
        usd_per_node_hour=inputs.nodes[number].usd_per_node_hour,
        request_share=int(outcome.demand.requests.sum()) / all_requests if all_requests else 0.0,
        notes=outcome.notes,
        **vars(_totals([outcome])),
    )


def _intervals(inputs: MixInputs, split: PoolSplit, outcomes: Sequence[PlanOutcome]) -> tuple[MixInterval, ...]:
    names, grid = inputs.mix.names, inputs.demand.grid
    zone = inputs.pools[0].scenario.zone
    return tuple(
        MixInterval(
            start=from_us(int(start_us), zone),
            requests=int(inputs.demand.requests[index]),
            nodes={
                name: int(outcome.plan.inference_nodes[index]) for name, outcome in zip(names, outcomes, strict=True)
            },
            cost_usd=usd(sum(outcome.costs.inference[index] for outcome in outcomes)),
            shortfall_tokens=sum(int(outcome.plan.shortfall_tokens[index]) for outcome in outcomes),
            fits=bool(split.fits[index]),
            routes=tuple(
                ClassWeights(name=name, weights=dict(zip(names, weights.tolist(), strict=True)))
                for name, weights in zip(inputs.classes, split.weights[index], strict=True)
            ),
        )
        for index, start_us in enumerate(grid.starts_us)
    )


def _missed(mix: LoadedMix, totals: MixTotals, outcomes: Sequence[PlanOutcome]) -> tuple[str, ...]:
    """Limits that are missed: the strictest on tokens short holds for all pools together, as they serve one service."""
    allowed = min(scenario.slo.max_shortfall_ratio for scenario in mix.scenarios)
    missed = short_of(allowed, totals.shortfall_ratio)
    for name, outcome in zip(mix.names, outcomes, strict=True):
        budget = over_budget(outcome.scenario.economics.budget_usd, cost_of([outcome]))
        missed += [f"pool {name}: {line}" for line in budget]
    return tuple(missed)
