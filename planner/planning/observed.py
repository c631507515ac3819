"""What observed capacities were observed on, and what differs in a plan that uses them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.catalogue.read import hardware, model
from planner.core.policy import policies_in
from planner.errors import PlannerError, UsageError
from planner.planning.capacity import modelled_capacity
from planner.settings.fleet import FleetSettings, ObservedSettings
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace.stored import TraceInfo

TOLERANCE = 0.1
"""Relative difference of lengths, and of the share of input that no cache holds, from which a plan says so. Assumed:
capacities are about proportional to them, and modelled ones agree with observed ones to a few per cent."""
_ENGINE = "fleet.engine."
_ROLES = {"prefill": ("prefill", "input"), "decode": ("decode", "output")}
_FORMATS = ("weights", "kv", "tensor_parallel")
_COMPARED = ("model", "hardware", *_FORMATS)
"""Settings of the engine that are compared with what capacities were observed on."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a trace asks for per request whose lengths are known; None where it has no such request or no input."""

    hit_ratio: float | None
    input_tokens: float | None
    output_tokens: float | None

    @classmethod
    def of(cls, trace: TraceInfo) -> "_Asked":
        coverage = trace.arguments.coverage
        rows = coverage.requests_with_lengths if coverage else trace.row_count
        return cls(
            hit_ratio=trace.cached_input_tokens / trace.input_tokens if trace.input_tokens else None,
            input_tokens=trace.input_tokens / rows if rows else None,
            output_tokens=trace.output_tokens / rows if rows else None,
        )


def observed_notes(
    session: Session, scenario: Scenario, trace: TraceInfo, *, replayed: bool = False
) -> tuple[str, ...]:
    """What a plan with observed capacities has to say first: on what else they were observed, and what is modelled.

    Capacities of one's own are those that differ from fleet.observed: they are not compared with what others were
    observed on. scenario: with its own capacities, not modelled ones. replayed: whether requests are replayed too, by
    the engine. Raises UsageError for settings of the engine that were given for this plan and change nothing of it.
    """
    fleet = scenario.fleet
    if fleet.capacity != "observed":
        return tuple(_unused_capacities(scenario))
    seen, roles = fleet.observed, _observed_roles(fleet)
    idle = _without_effect(scenario, set(_COMPARED) if roles else set())
    if not replayed:
        _refuse_given(scenario, idle)
    differing = differences(scenario, trace, roles)
    if seen is None or not differing:
        return tuple(_idle_notes(idle))
    return (
        f"the capacity of {' and '.join(roles)} nodes was observed on {seen.source}: {seen.model} on {seen.hardware}, "
        f"requests of {seen.input_tokens:,.0f} input tokens, {seen.hit_ratio:.1%} of them found in a cache, and "
        f"{seen.output_tokens:,.0f} output tokens; it may not hold here, with {', '.join(differing)}; "
        f"{_modelled(session, scenario, trace, roles)}",
        *_idle_notes(idle),
    )


def differences(scenario: Scenario, trace: TraceInfo, roles: Sequence[str] = tuple(_ROLES)) -> list[str]:
    """What differs in a plan from what the capacities of roles in fleet.observed were observed on, in words."""
    seen = scenario.fleet.observed
    return list(_differences(scenario.fleet, seen, _Asked.of(trace), roles)) if roles and seen is not None else []


def _observed_roles(fleet: FleetSettings) -> list[str]:
    """The roles that have the capacity that fleet.observed is about."""
    seen = fleet.observed
    if seen is None or fleet.serving == "aggregated":
        return []
    return [
        role
        for role in _ROLES
        if getattr(fleet, role).node_tokens_per_s == getattr(seen, f"{role}_tokens_per_s_per_node")
    ]


def _differences(fleet: FleetSettings, seen: ObservedSettings, asked: _Asked, roles: Sequence[str]) -> Iterator[str]:
    """What differs from what the capacities of the roles were observed on, in words."""
    engine = fleet.engine
    served, node = model(engine.model).name, hardware(engine.hardware).name
    if served != seen.model:
        yield f"the model {served}"
    if node != seen.hardware:
        yield f"nodes of {node}"
    elif fleet.node_type.lower() != seen.hardware.lower():
        yield f"nodes of {fleet.node_type}"
    if fleet.gpus_per_node != seen.gpus_per_node:
        yield f"{fleet.gpus_per_node} GPUs in a node ({seen.gpus_per_node})"
    for name in _FORMATS:
        if getattr(engine, name) != getattr(seen, name):
            yield f"{name} {getattr(engine, name)} ({getattr(seen, name)})"
    for role in roles:
        nodes, those = getattr(fleet, role).nodes, getattr(seen, f"{role}_nodes")
        if nodes != those:
            yield f"{role} units of {nodes} nodes ({those})"
    if "prefill" in roles and asked.hit_ratio is not None and _differ(1 - asked.hit_ratio, 1 - seen.hit_ratio):
        yield f"{asked.hit_ratio:.1%} of input found in a cache"
    if asked.input_tokens is not None and _differ(asked.input_tokens, seen.input_tokens):
        yield f"{asked.input_tokens:,.0f} input tokens a request"
    if "decode" in roles and asked.output_tokens is not None and _differ(asked.output_tokens, seen.output_tokens):
        yield f"{asked.output_tokens:,.0f} output tokens a request"


def _differ(value: float, seen: float) -> bool:
    return abs(value - seen) > TOLERANCE * seen


def _modelled(session: Session, scenario: Scenario, trace: TraceInfo, roles: list[str]) -> str:
    """The modelled capacities beside the observed ones, or why there are none."""
    try:
        capacity = modelled_capacity(session, scenario, trace)
    except PlannerError as error:
        return f"nothing can be modelled beside it: {error}"
    rates = {"prefill": capacity.prefill_tokens_per_s, "decode": capacity.decode_tokens_per_s}
    parts = [
        f"{rates[role]:,.0f} {_ROLES[role][1]} tokens/s of a {role} node "
        f"({getattr(scenario.fleet, role).tokens_per_s_per_node:,.0f} observed)"
        for role in roles
    ]
    return f"modelled for this plan: {' and '.join(parts)}; set fleet.capacity=modelled to plan with that"


def _unused_capacities(scenario: Scenario) -> list[str]:
    """Observed capacities that were set and change nothing of a plan with modelled ones."""
    paths = ["fleet.unit.tokens_per_s"]
    if scenario.fleet.serving == "disaggregated":
        paths = [f"fleet.{role}.tokens_per_s_per_node" for role in _ROLES]
    names = [path for path in paths if scenario.provenance.get(path, "").startswith("set: ")]
    if not names:
        return []
    has, it = ("has", "it") if len(names) == 1 else ("have", "them")
    return [
        f"{' and '.join(names)} {has} no effect on this plan, whose capacities are modelled: set "
        f"fleet.capacity=observed to plan with {it}"
    ]


def _without_effect(scenario: Scenario, compared: set[str]) -> list[str]:
    """Settings of the engine that were set and change nothing of a plan with observed capacities, by their paths."""
    if "slo" in policies_in(scenario.policy):
        return []
    settings = {path: path.removeprefix(_ENGINE) for path in scenario.provenance if path.startswith(_ENGINE)}
    return sorted(
        path
        for path, name in settings.items()
        if scenario.provenance[path].startswith("set: ") and name not in compared
    )


def _refuse_given(scenario: Scenario, idle: Sequence[str]) -> None:
    """Raises UsageError for settings without effect that were given with --set."""
    given = [path for path in idle if scenario.provenance[path].startswith("set: flag ")]
    if given:
        has, them = ("has", "it") if len(given) == 1 else ("have", "them")
        raise UsageError(
            f"{', '.join(given)} {has} no effect on this plan, whose capacities are observed; leave {them} out, or set "
            f"fleet.capacity=modelled to plan with {them}"
        )


def _idle_notes(idle: Sequence[str]) -> list[str]:
    if not idle:
        return []
    has, them = ("has", "it") if len(idle) == 1 else ("have", "them")
    return [
        f"{', '.join(idle)} {has} no effect on this plan, whose capacities are observed; only a replay uses {them}: "
        f"set fleet.capacity=modelled to plan with {them}"
    ]
