"""What plans allow for beyond observed or modelled capacities: another share of hits, and nodes that are down.

Only missed tokens take prefill's time, at a constant rate of them, so that an observed capacity of input grows as
misses become fewer; a modelled one is modelled with the hits that are set. A unit serves while all of its nodes are up;
nodes fail independently and are not replaced: the share of time is (1 - down) ** nodes.
"""

from dataclasses import dataclass, replace

from planner.capacity.latency import LatencyLimits
from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.load import hit_ratio, with_hits
from planner.errors import UsageError
from planner.planning.aggregated import UnitLimits
from planner.planning.capacity import End, Ends, Limits, with_modelled_capacity
from planner.planning.selection import set_hit_ratio
from planner.settings.fleet import FleetSettings
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace.stored import TraceInfo

LEAST_SHARE = 1e-9
"""Least share of the time that a unit has to serve: as the least rate that a setting may have."""

Factors = tuple[float, float]
"""Of capacities of prefill and decode units; of units that do both, of input and of output."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What the capacities of a fleet, and its latency limits, are multiplied by."""

    capacity: Factors = (1.0, 1.0)
    limits: Factors = (1.0, 1.0)

    @classmethod
    def of(cls, scenario: Scenario, own_hits: float, *, planned: bool = False) -> "Allowance":
        """What a scenario allows for, with its capacities in place.

        own_hits: share of the trace's own input that is found in a cache. planned: whether observed capacities are
        those that were planned with, as a stored run has them. Raises UsageError.
        """
        up = up_factors(scenario.fleet, scenario.failures.nodes_down_ratio)
        if scenario.fleet.capacity == "modelled":
            return cls(capacity=up, limits=up)
        if planned:
            return cls(limits=up)
        after = set_hit_ratio(scenario)
        more = 1.0 if after is None else input_factor(own_hits, after)
        return cls(capacity=(more * up[0], up[1]), limits=up)

    def scenario(self, scenario: Scenario) -> Scenario:
        """The scenario with the capacities to plan with, and their provenance."""
        if self.capacity == (1.0, 1.0):
            return scenario
        fleet, told = scenario.fleet, dict(scenario.provenance)
        causes = ["failures.nodes_down_ratio"] if scenario.failures.nodes_down_ratio else []
        if fleet.capacity == "observed" and set_hit_ratio(scenario) is not None:
            causes.append("trace.cache_hit_ratio")
        paths: dict[str, tuple[float, ...]] = {"fleet.unit.tokens_per_s": self.capacity}
        if fleet.serving == "disaggregated":
            prefill, decode = self.capacity
            paths = {"fleet.prefill.tokens_per_s_per_node": (prefill,), "fleet.decode.tokens_per_s_per_node": (decode,)}
        for path, factors in paths.items():
            times = " and ".join(f"{factor:.6g}" for factor in factors)
            told[path] = f"computed: {times} times what is {told.get(path, 'set: by a program')} ({', '.join(causes)})"
        return scenario.model_copy(update={"fleet": scale_capacity(fleet, *self.capacity), "provenance": told})

    def limited(self, limits: Limits | None, fleet: FleetSettings) -> Limits | None:
        """Latency limits of the fleet that plans count on. fleet: with the capacities to plan with."""
        return scale_limits(limits, fleet, *self.limits)

    def ends(self, ends: Ends | None) -> Ends | None:
        """Both ends of the band of modelled capacities."""
        return ends and replace(ends, fast=self._end(ends.fast), slow=ends.slow and self._end(ends.slow))

    def _end(self, end: End) -> End:
        scenario = self.scenario(end.scenario)
        return End(scenario, self.limited(end.limits, scenario.fleet))


def with_set_hits(demand: Demand, scenario: Scenario) -> Demand:
    """The demand with the share of hits that a scenario sets, if it sets one. demand: with the trace's own."""
    after = set_hit_ratio(scenario)
    return demand if after is None else with_hits(demand, hit_ratio(demand), after)


def with_planned_capacity(session: Session, scenario: Scenario, trace: TraceInfo, demand: Demand) -> Scenario:
    """The scenario with the capacities to plan with, as `prepare_on` has them. demand: with the trace's own hits.

    Raises UsageError.
    """
    scenario = with_modelled_capacity(session, scenario, trace)
    return Allowance.of(scenario, hit_ratio(demand)).scenario(scenario)


def check_own_hits(scenario: Scenario, why: str) -> None:
    """Raises UsageError where a scenario sets the share of hits of something that has its own. why: that is so."""
    if scenario.trace.cache_hit_ratio is not None:
        raise UsageError(f"trace.cache_hit_ratio is set, and {why}; leave it out")


def allowance_notes(scenario: Scenario, own_hits: float) -> tuple[str, ...]:
    """What a plan allows for, one line each. own_hits: share of the trace's own input that is found in a cache."""
    after = set_hit_ratio(scenario)
    if after is None or scenario.fleet.capacity == "modelled":
        return down_notes(scenario)
    return (
        f"the observed capacity of input is multiplied by {input_factor(own_hits, after):.4g}: only missed tokens take "
        f"prefill's time, and it is taken to be that of the trace's own {own_hits:.2%} of hits (trace.cache_hit_ratio)",
        *down_notes(scenario),
    )


def down_notes(scenario: Scenario) -> tuple[str, ...]:
    """What plans count on where nodes are down, and what replays take in its place."""
    fleet, down = scenario.fleet, scenario.failures.nodes_down_ratio
    if not down:
        return ()
    prefill, decode = up_factors(fleet, down)
    parts = f"{prefill:.1%} of what units carry"
    if fleet.serving == "disaggregated":
        parts = f"{prefill:.1%} of what prefill units carry and {decode:.1%} of what decode units do"
    return (
        f"{down:.2%} of nodes are down on average (failures.nodes_down_ratio), and a unit serves while all of its "
        f"nodes are up: plans count on {parts}; {_of_replays(scenario)}",
    )


def _of_replays(scenario: Scenario) -> str:
    rate = scenario.failures.per_node_per_day
    if not rate:
        return "a replay has no failures unless failures.per_node_per_day is set"
    return f"a replay draws failures by failures.per_node_per_day={rate:g} instead"


def up_factors(fleet: FleetSettings, down: float) -> Factors:
    """Share of the time in which all nodes of a unit of each role are up. Raises UsageError for next to none."""
    if fleet.serving == "aggregated":
        nodes = (fleet.unit_nodes, fleet.unit_nodes)
    else:
        nodes = (fleet.prefill.nodes, fleet.decode.nodes)
    shares = ((1 - down) ** nodes[0], (1 - down) ** nodes[1])
    if min(shares) < LEAST_SHARE:
        raise UsageError(
            f"failures.nodes_down_ratio is {down:g}, and all {max(nodes):,} nodes of a unit are hardly ever up at "
            "once; lower it"
        )
    return shares


def input_factor(before: float, after: float) -> float:
    """Observed capacity of input at the share of hits after, over that before. Raises UsageError for no miss before."""
    if before == after:
        return 1.0
    if before >= 1:
        raise UsageError(
            "a cache holds all of the trace's input, so that an observed capacity tells nothing of other hits "
            "(trace.cache_hit_ratio); leave it out, or set fleet.capacity=modelled"
        )
    return (1 - before) / (1 - after)


def scale_capacity(fleet: FleetSettings, prefill: float, decode: float) -> FleetSettings:
    """The fleet with the capacities of its nodes multiplied by a factor for each role, or kind of token."""
    if fleet.serving == "aggregated":
        pairs = Deployment(fleet).region.pairs
        scaled = tuple((prefill * inputs, decode * outputs) for inputs, outputs in pairs)
        return fleet.model_copy(update={"unit": fleet.aggregated.model_copy(update={"tokens_per_s": scaled})})
    roles = {
        role: unit.model_copy(update={"tokens_per_s_per_node": unit.node_tokens_per_s * factor})
        for role, unit, factor in (("prefill", fleet.prefill, prefill), ("decode", fleet.decode, decode))
    }
    return fleet.model_copy(update=roles)


def scale_limits(limits: Limits | None, fleet: FleetSettings, prefill: float, decode: float) -> Limits | None:
    """Limits of a fleet whose capacities are so many times as large; units that do both may be as full."""
    if isinstance(limits, UnitLimits):
        return replace(limits, deployment=Deployment(fleet))
    return limits and LatencyLimits(limits.input_tokens_per_s * prefill, limits.output_tokens_per_s * decode)
