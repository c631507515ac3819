"""A scenario's replay settings as rules of queues and balancers, lifetimes of units, and failures."""

import numpy as np

from planner.capacity.units import lives_of
from planner.core.fleet.units import ROLES, Units
from planner.core.replay.requests.failures import UnitFailures, with_failures, with_spares
from planner.core.replay.requests.model import Lives, QueueRules
from planner.core.replay.requests.window import ReplayWindow
from planner.errors import UsageError
from planner.runs.outcome import PlanOutcome
from planner.settings.replay import ReplaySettings
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo
from planner.units import S_PER_DAY, US_PER_S

NO_SPARES = Units(0, 0)


def queue_rules(settings: ReplaySettings, trace: TraceInfo, *, sessions: bool) -> QueueRules:
    """Rules of queues and balancers from settings. sessions: whether requests of the trace belong to any.

    Raises UsageError for hits by routing of a trace without blocks, and for routing by prefix of one that has neither
    blocks nor sessions.
    """
    if settings.hits == "routed" and trace.block_tokens is None:
        raise UsageError(f"replay.hits is routed, but trace {trace.name} has no prefix blocks; set replay.hits=trace")
    if settings.prefill_balancer == "prefix-aware" and trace.block_tokens is None and not sessions:
        raise UsageError(
            f"replay.prefill_balancer is prefix-aware, but trace {trace.name} has neither prefix blocks nor sessions; "
            "use two-key"
        )
    return QueueRules(
        prefill_balancer=settings.prefill_balancer,
        decode_balancer=settings.decode_balancer,
        seed=settings.seed,
        mode=settings.queue_mode,
        window_us=settings.window_ms * 1e3,
        depth_from=tuple(depth for depth, _ in settings.depths),
        depth_batch=tuple(batch for _, batch in settings.depths),
        queue_limit=settings.queue_limit,
        timeout_us=np.inf if settings.timeout_s is None else settings.timeout_s * US_PER_S,
        retries=settings.retries,
        retry_after_us=settings.retry_after_s * US_PER_S,
        block_tokens=(trace.block_tokens or 0) if settings.hits == "routed" else 0,
    )


def unit_failures(scenario: Scenario, role: str) -> UnitFailures:
    """How units of a role fail: as often as all their nodes together, each time until repaired and started up."""
    nodes = scenario.fleet.prefill.nodes if role == "prefill" else scenario.fleet.decode.nodes
    per_day = (scenario.failures.per_node_per_day or 0.0) * nodes
    down_s = scenario.failures.repair_s + scenario.fleet.start_up_s
    return UnitFailures(S_PER_DAY / per_day * US_PER_S if per_day else np.inf, float(down_s * US_PER_S))


def window_lives(outcome: PlanOutcome, role: str, window: ReplayWindow, spares: Units) -> Lives:
    """Units of a role in a window, times from its origin: the plan's and some that are always there, with failures."""
    scenario = outcome.scenario
    origin_s = (window.origin_us - outcome.demand.grid.start_us) / US_PER_S
    plan = outcome.plan
    planned = lives_of(plan.lives, role, origin_s, scenario.fleet.drain_deadline_s, plan.grid.length_s)
    return with_failures(
        with_spares(planned, getattr(spares, role)),
        unit_failures(scenario, role),
        seed=scenario.failures.seed,
        role=ROLES.index(role),
        end_us=window.span_us[2],
    )
