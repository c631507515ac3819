"""What units do with the requests of a trace: capacities modelled from the hardware up, and latency limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.capacity.aggregated import AggregatedUnit
from planner.capacity.bands import capacity_band
from planner.capacity.engines import Modelled, Workload, WorkloadRow, model_capacity, with_capacity
from planner.capacity.latency import LatencyLimits, PromptClass, latency_limits, limits_on_slower_clock, prompts_of
from planner.capacity.longest import LongestRequest, longest_of
from planner.core.fleet.waiting import Prompts
from planner.core.load import HitChange
from planner.core.policy import policies_in
from planner.core.replay.requests.model import NO_LIMIT
from planner.errors import CannotServe
from planner.planning.aggregated import UnitLimits, unit_ends, unit_limits, unit_of, with_unit
from planner.planning.selection import set_hit_ratio
from planner.settings.fleet import FleetSettings
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace import stored
from planner.trace.documents import UnservedRequests
from planner.trace.stored import TraceInfo


def modelled_capacity(session: Session, scenario: Scenario, trace: TraceInfo) -> Modelled:
    """What a node of each role does with the trace's requests, from the hardware up. Raises UsageError."""
    return model_capacity(scenario.fleet, scenario.slo.tpot_ms, planned_workload(session, scenario, trace))


def planned_workload(session: Session, scenario: Scenario, trace: TraceInfo) -> Workload:
    """What a trace asks for per token, with the hits that a scenario sets. Raises as modelled_workload."""
    own, after = modelled_workload(session, trace, scenario.fleet), set_hit_ratio(scenario)
    if after is None or not own.input_tokens:
        return own
    longest = _longest_tokens(scenario.fleet)
    (sums,) = session.records("trace_input_moments", _InputMoments, trace_id=trace.trace_id, longest_tokens=longest)
    return replace(own, hit_ratio=after, missed_context_tokens=sums.missed_context_tokens(after))


@dataclass(frozen=True, kw_only=True)
class _InputMoments:
    """The columns of the query trace_input_moments, for a trace with input."""

    inputs: float
    hits: float
    inputs_squared: float
    inputs_times_hits: float
    hits_squared: float

    def missed_context_tokens(self, hit_ratio: float) -> float:
        """Mean attention context of missed tokens where every request loses hits, or misses, in the same proportion.

        m missed tokens of a prompt of i have the contexts from i - m to i: i - m/2 on average.
        """
        change = HitChange.between(self.hits / self.inputs, hit_ratio)
        missed = self.inputs - change.hits * self.hits
        of_inputs = self.inputs_squared - change.hits * self.inputs_times_hits
        squared = of_inputs - change.hits * (self.inputs_times_hits - change.hits * self.hits_squared)
        return (of_inputs - change.misses * squared / 2) / missed


def modelled_workload(session: Session, trace: TraceInfo, fleet: FleetSettings | None = None) -> Workload:
    """What a trace asks for per token. Raises UsageError if it has no tokens to model, TraceError for windows.

    fleet: requests that are longer than its units can serve do not count.
    """
    stored.check_requests(trace)
    within = _longest_tokens(fleet)
    (row,) = session.records("trace_workload_within", WorkloadRow, trace_id=trace.trace_id, longest_tokens=within)
    return Workload.of_row(row, trace.name)


def _longest_tokens(fleet: FleetSettings | None) -> int:
    """Tokens of the longest request that units of a fleet serve."""
    longest = longest_of(fleet) if fleet is not None else None
    return NO_LIMIT if longest is None else longest.tokens


def mean_kv_tokens(session: Session, scenario: Scenario, trace: TraceInfo) -> float:
    """Mean KV length of a trace's output tokens; that of a single token where no request can be served.

    Raises TraceError for windows.
    """
    known = too_long(session, scenario.fleet, trace)
    if known is not None and known[1].row_count and known[1].tokens == known[1].all_tokens:
        return 1.0
    return modelled_workload(session, trace, scenario.fleet).kv_tokens


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """Requests of a trace that a fleet cannot serve because they are too long. row_count, tokens: theirs."""

    row_count: int
    tokens: int
    all_tokens: int | None
    longest_tokens: int | None


def too_long(session: Session, fleet: FleetSettings, trace: TraceInfo) -> tuple[LongestRequest, TooLong] | None:
    """The longest request that a fleet serves, and what of a trace is longer; None where one of them is not known."""
    longest = None if trace.windowed else longest_of(fleet)
    if longest is None:
        return None
    (found,) = session.records("trace_too_long", TooLong, trace_id=trace.trace_id, longest_tokens=longest.tokens)
    return longest, found


def unserved(session: Session, scenario: Scenario, trace: TraceInfo) -> UnservedRequests | None:
    """The requests of a trace that are too long for a scenario; None where it is not known how long they may be."""
    known = too_long(session, scenario.fleet, trace)
    if known is None:
        return None
    longest, found = known
    return UnservedRequests(
        scenario=scenario.name,
        limit_tokens=longest.tokens,
        limit=longest.limit,
        requests=found.row_count * trace.sample_weight,
        tokens=found.tokens * trace.sample_weight,
    )


def length_notes(session: Session, scenario: Scenario, trace: TraceInfo) -> tuple[str, ...]:
    """How many requests are too long to be served, where there are any."""
    known = too_long(session, scenario.fleet, trace)
    if known is None or not known[1].row_count:
        return ()
    longest, found = known
    count = found.row_count * trace.sample_weight
    requests = "1 request is" if count == 1 else f"{count:,} requests are"
    return (
        f"{requests} longer than the {longest.tokens:,} tokens of {longest.limit}, the longest of "
        f"{found.longest_tokens:,}, with {found.tokens / (found.all_tokens or 1):.1%} of all tokens: no unit can serve "
        "that. The demand counts these tokens, capacities are modelled without them, and a replay rejects the "
        "requests one by one (rejected-length)",
    )


def trace_workload(store: Store, name: str) -> Workload:
    """What a stored trace asks for per token. Raises TraceError, UsageError."""
    with store.read() as session:
        return modelled_workload(session, stored.by_name(session, name))


Limits = LatencyLimits | UnitLimits
"""Of units of two roles, or of one that does both."""


@dataclass(frozen=True)
class End:
    """What to plan with at one end of the band: capacities, and latency limits where the policy needs them."""

    scenario: Scenario
    limits: Limits | None


@dataclass(frozen=True)
class Ends:
    """Both ends of the 90 % band of modelled capacities. slow: None where units as slow serve nobody in time.

    measured: whether the times of both roles were calibrated by the user's own measurements.
    """

    fast: End
    slow: End | None
    measured: bool


def with_modelled_capacity(session: Session, scenario: Scenario, trace: TraceInfo) -> Scenario:
    """The scenario with the capacities to plan with: its own, or modelled ones if it asks for them.

    Raises UsageError.
    """
    if scenario.fleet.capacity == "observed":
        return scenario
    if scenario.fleet.serving == "aggregated":
        workload = planned_workload(session, scenario, trace)
        return with_unit(scenario, _unit(scenario, workload), workload)
    return with_capacity(scenario, modelled_capacity(session, scenario, trace))


def with_ends(session: Session, scenario: Scenario, trace: TraceInfo) -> tuple[Scenario, Ends | None]:
    """The scenario with the capacities to plan with, and both ends of their band; None where they are observed.

    Raises UsageError.
    """
    if scenario.fleet.capacity == "observed":
        return scenario, None
    if scenario.fleet.serving == "aggregated":
        workload = planned_workload(session, scenario, trace)
        return with_unit(scenario, _unit(scenario, workload), workload), _aggregated_ends(scenario, workload)
    modelled = modelled_capacity(session, scenario, trace)
    scenario = with_capacity(scenario, modelled)
    return scenario, modelled_ends(session, scenario, trace, modelled)


def _unit(scenario: Scenario, workload: Workload) -> AggregatedUnit:
    return unit_of(scenario.fleet, scenario.replay, scenario.slo.tpot_ms, workload)


def _aggregated_ends(scenario: Scenario, workload: Workload) -> Ends:
    """Both ends of the band of units that do both. Raises UsageError."""

    def end(unit: AggregatedUnit) -> End:
        own = with_unit(scenario, unit, workload)
        return End(own, unit_limits(own, unit, workload) if "slo" in policies_in(scenario.policy) else None)

    fast, slow, measured = unit_ends(scenario.fleet, scenario.replay, scenario.slo.tpot_ms, workload)
    try:
        slowest = None if slow is None else end(slow)
    except CannotServe:
        slowest = None
    return Ends(end(fast), slowest, measured)


def modelled_ends(session: Session, scenario: Scenario, trace: TraceInfo, modelled: Modelled) -> Ends:
    """Both ends of the band of modelled capacities. scenario: with these. Raises UsageError."""
    band = capacity_band(scenario.fleet, scenario.slo.tpot_ms, modelled)

    def end(prefill: float, decode: float, factors: tuple[float, float]) -> End | None:
        if not decode:
            return None
        point = replace(modelled.decode, tokens_per_s_per_node=decode)
        own = with_capacity(scenario, replace(modelled, prefill_tokens_per_s=prefill, decode=point))
        if "slo" not in policies_in(scenario.policy):
            return End(own, None)
        try:
            return End(own, limits_on_slower_clock(scenario, *_asked(session, scenario, trace), *factors))
        except CannotServe:
            return None

    value = modelled.prefill_tokens_per_s
    fast = end(band.prefill_high, band.decode_high, (value / band.prefill_high, band.times.low))
    if fast is None:
        raise CannotServe("no unit meets a latency target; raise slo.ttft_ms or slo.tpot_ms", "target")
    slow = end(band.prefill_low, band.decode_low, (value / band.prefill_low, band.times.high))
    return Ends(fast, slow, band.measured)


def policy_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> Limits | None:
    """What units do within the latency targets, if the policy needs it; None otherwise. Raises UsageError."""
    return modelled_limits(session, scenario, trace) if "slo" in policies_in(scenario.policy) else None


def modelled_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> Limits:
    """What units do within the latency targets, modelled. Raises UsageError."""
    if scenario.fleet.serving == "disaggregated":
        return latency_limits(scenario, *_asked(session, scenario, trace))
    workload = planned_workload(session, scenario, trace)
    return unit_limits(scenario, _unit(scenario, workload), workload)


def _asked(session: Session, scenario: Scenario, trace: TraceInfo) -> tuple[float, Prompts]:
    """Mean KV length and kinds of prompts of a trace."""
    kv_tokens = modelled_workload(session, trace, scenario.fleet).kv_tokens
    classes = session.records("trace_prompts", PromptClass, trace_id=trace.trace_id)
    after = set_hit_ratio(scenario)
    return kv_tokens, prompts_of(classes if after is None else _with_hits(session, trace, classes, after))


@dataclass(frozen=True, kw_only=True)
class _PromptSums:
    """The columns of the query trace_prompts_at."""

    length_class: int
    requests: int
    input_tokens: int
    cached_input_tokens: int


def _with_hits(
    session: Session, trace: TraceInfo, classes: Sequence[PromptClass], after: float
) -> Sequence[PromptClass]:
    """Prompts by length at another share of hits. classes: as they are."""
    hits, missed = (sum(getattr(each, name) for each in classes) for name in ("hit_tokens", "missed_tokens"))
    if not hits + missed:
        return classes
    change = HitChange.between(hits / (hits + missed), after)
    found = session.records(
        "trace_prompts_at", _PromptSums, trace_id=trace.trace_id, hits=change.hits, misses=change.misses
    )

    def at(sums: _PromptSums) -> PromptClass:
        missed = change.misses * (sums.input_tokens - change.hits * sums.cached_input_tokens)
        return PromptClass(sums.length_class, sums.requests, missed, sums.input_tokens - missed)

    return [at(sums) for sums in found]
