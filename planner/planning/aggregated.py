"""What units that do both do with the requests of a trace: modelled capacity, its band, and latency limits."""

from dataclasses import dataclass, replace
from math import ceil

from planner.capacity.aggregated import AggregatedUnit, StepLimits, asked_of, modelled_unit, step_limits
from planner.capacity.bands import unit_bands
from planner.capacity.engines import Workload, aggregated_of
from planner.capacity.latency import TTFT_SHARE, UNAWARE
from planner.catalogue.read import hardware
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.engine import Engine
from planner.core.fleet.slots import fullest
from planner.core.fleet.units import Units
from planner.core.policy import Seen
from planner.core.replay.iterations.model import Replica
from planner.core.replay.iterations.saturation import Asked, steady
from planner.errors import CannotServe, UsageError
from planner.settings.fleet import FleetSettings
from planner.settings.replay import ReplaySettings
from planner.settings.scenario import Scenario


def unit_of(fleet: FleetSettings, replay: ReplaySettings, tpot_ms: float, workload: Workload) -> AggregatedUnit:
    """A unit of a fleet within a time per output token, from the hardware up. Raises UsageError, CannotServe."""
    node = hardware(fleet.engine.hardware)
    if node.gpus_per_node != fleet.gpus_per_node:
        raise UsageError(
            f"fleet.gpus_per_node is {fleet.gpus_per_node}, but {fleet.engine.hardware} has {node.gpus_per_node}; set "
            "both to the same"
        )
    engine, imbalance_at = aggregated_of(fleet)
    return modelled_unit(engine, fleet.unit_gpus, workload, tpot_ms, limits_of(fleet, replay, engine), imbalance_at)


def limits_of(fleet: FleetSettings, replay: ReplaySettings, engine: Engine) -> StepLimits:
    """What a unit takes at a time, as the settings say or as the engine has it."""
    return step_limits(
        engine,
        fleet.unit_gpus,
        max_batched_tokens=replay.max_batched_tokens,
        max_sequences=replay.max_sequences,
        prefill_first=None if replay.order is None else replay.order == "prefill-first",
    )


def with_unit(scenario: Scenario, unit: AggregatedUnit, workload: Workload) -> Scenario:
    """The scenario with the modelled capacity in place of an observed one, and its provenance."""
    fleet = scenario.fleet
    told = (
        f"computed: modelled {fleet.engine.model} on {fleet.unit_gpus} {fleet.engine.hardware} GPUs, {unit.sequences} "
        f"streams of {workload.kv_tokens:,.0f} tokens at the trace's mix, {unit.tpot_ms:.1f} ms per token"
    )
    own = fleet.aggregated.model_copy(update={"tokens_per_s": unit.region.pairs})
    return scenario.model_copy(
        update={
            "fleet": fleet.model_copy(update={"unit": own}),
            "provenance": {**scenario.provenance, "fleet.unit.tokens_per_s": told},
        }
    )


@dataclass(frozen=True, kw_only=True)
class UnitLimits:
    """How full units that do both may be within the latency targets, as modelled.

    most_use: of what they carry within the time per output token. places: requests that those units have begun at most
    among which a balancer evens them. own_us: the first token of a request that waits for none.
    """

    deployment: Deployment
    most_use: float
    places: int
    own_us: float

    def meets(self, units: Units, seen: Seen, seconds: int) -> bool:
        """Whether units meet the targets for a number of tokens in a time: each gets an even share."""
        needed = float(self.deployment.units_needed(seen.input_tokens, seen.output_tokens, seconds))
        return needed <= units.aggregated * self.most_use


def unit_limits(scenario: Scenario, unit: AggregatedUnit, workload: Workload) -> UnitLimits:
    """How full units may be so that 99 of 100 first tokens come within slo.ttft_ms. scenario: with capacities.

    A request begins as soon as a unit has a place, of as many as hold slo.tpot_ms; places are taken as long as a
    request stays at full load. Raises CannotServe where not even one that finds a place is in time.
    """
    fleet, target_us = scenario.fleet, scenario.slo.ttft_ms * 1e3
    pooled = 1 if scenario.replay.prefill_balancer in UNAWARE else max(fleet.base.aggregated, 1)
    asked, replica = asked_of(workload), unit.replica
    own_us = _own_first_us(replica, asked, workload, unit.sequences)
    if own_us >= target_us:
        raise CannotServe(
            f"slo.ttft_ms is {scenario.slo.ttft_ms:g}, but a unit with a free place is modelled to take "
            f"{own_us / 1e3:,.0f} ms for a prompt; raise it, or choose a policy other than slo",
            "target",
        )
    stay_us = unit.sequences / steady(replica, asked, unit.sequences).requests_per_us
    places = unit.sequences * pooled
    most = fullest(places, stay_us, target_us - own_us, TTFT_SHARE)
    return UnitLimits(deployment=Deployment(fleet), most_use=most, places=places, own_us=own_us)


def limits_note(scenario: Scenario, limits: UnitLimits) -> list[str]:
    """Assumptions behind the policy slo."""
    slo = scenario.slo
    return [
        f"slo: 99 % of first tokens within {slo.ttft_ms:g} ms and {slo.tpot_ms:g} ms per token on average, up to "
        f"{limits.most_use:.1%} of what units carry: a prompt alone takes {limits.own_us / 1e3:,.0f} ms, and waits for "
        f"one of {limits.places} places as in a queue M/M/c; modelled from fleet.engine and the trace's mean request: "
        "replay the plan to check"
    ]


def on_slower_clock(unit: AggregatedUnit, factor: float) -> AggregatedUnit:
    """A unit whose times are all longer by a factor, given the one that meets the target divided by it."""
    return replace(
        unit,
        region=unit.region.scaled(1 / factor),
        replica=unit.replica.slower(factor, factor),
        tpot_ms=unit.tpot_ms * factor,
    )


def unit_ends(
    fleet: FleetSettings, replay: ReplaySettings, tpot_ms: float, workload: Workload
) -> tuple[AggregatedUnit, AggregatedUnit | None, bool]:
    """A unit at both ends of the band of its times, and whether these were measured; None where it serves nobody."""
    band = unit_bands(fleet).steps
    fast = on_slower_clock(unit_of(fleet, replay, tpot_ms / band.low, workload), band.low)
    try:
        slow = on_slower_clock(unit_of(fleet, replay, tpot_ms / band.high, workload), band.high)
    except CannotServe:
        return fast, None, band.measured
    return fast, slow, band.measured


def _own_first_us(replica: Replica, asked: Asked, workload: Workload, sequences: int) -> float:
    """The time to the first token of a request that finds a place beside others: the running step, and its own."""
    rows = 0 if replica.prefill_first else min(sequences - 1, replica.max_batched_tokens - 1)
    room = replica.max_batched_tokens - rows
    prompt = max(ceil(asked.prompt_tokens), 1)
    pieces = [min(room, prompt - begun) for begun in range(0, prompt, room)]
    beside = max(sequences - 1, 1)
    running = replica.steps.at(beside, beside * asked.kv_tokens)
    own = sum(replica.prompts.at(rows, piece) + (running if rows else 0.0) for piece in pieces)
    on_top = replica.first_us + replica.first_us_per_token * workload.input_tokens
    return running + own + replica.context_us * prompt * asked.context + on_top
