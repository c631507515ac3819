"""A scenario's replay settings as rules of queues and balancers, lifetimes of units, and failures."""

import numpy as np

from planner.capacity.units import lives_of, places_of
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.replay.iterations.stage import check_rules
from planner.core.replay.requests.failures import UnitFailures, with_failures, with_spares
from planner.core.replay.requests.model import Lives, QueueRules
from planner.core.replay.requests.window import ReplayWindow
from planner.errors import UsageError
from planner.planning.allowance import check_own_hits
from planner.planning.selection import selection_of
from planner.runs.outcome import PlanOutcome
from planner.settings.replay import ReplaySettings
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo
from planner.units import S_PER_DAY, US_PER_S, Ints

MOST_KEPT = 20_000_000
"""Requests that fit into memory with their outcomes and some room: about 100 bytes each."""
NO_SPARES = Units(0, 0)
OF_REQUESTS = "a replay takes every request with its own hits"
"""Why a replay cannot follow another share of hits."""


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


def check_settings(scenario: Scenario) -> None:
    """Raises UsageError for settings that the units of a fleet, or requests, give no meaning, whatever the trace."""
    check_own_hits(scenario, OF_REQUESTS)
    settings, aggregated = scenario.replay, scenario.fleet.serving == "aggregated"
    if aggregated and settings.ranks == "exact":
        raise UsageError(
            "replay.ranks is exact, and a unit that reads prompts and decodes is replayed as one; set "
            "replay.ranks=measured"
        )
    if aggregated:
        check_rules(settings.prefill_balancer, settings.queue_mode)


def check_replayed(scenario: Scenario, trace: TraceInfo, *, sessions: bool, requests: int) -> None:
    """Raises UsageError for settings that the requests of a trace give no meaning.

    sessions: whether requests of the trace belong to any. requests: that are simulated.
    """
    if scenario.replay.sessions == "open":
        return
    if not sessions:
        raise UsageError(f"replay.sessions is closed, but trace {trace.name} has no sessions; set replay.sessions=open")
    if selection_of(scenario).change.active:
        raise UsageError(
            f"replay.sessions is closed, and the demand of trace {trace.name} is changed, so that turns would be "
            "repeated or left out; set replay.sessions=open, or leave the trace as it is"
        )
    if requests > MOST_KEPT:
        raise UsageError(
            f"replay.sessions is closed and the window simulates {requests:,} requests, of which at most {MOST_KEPT:,} "
            "can be held at once; count a shorter window"
        )


def unit_failures(scenario: Scenario, role: str) -> UnitFailures:
    """How units of a role fail: as often as all their nodes together, each time until repaired and started up.

    Units that share a node fail with it, all at once.
    """
    nodes = Deployment(scenario.fleet).unit_nodes(role)
    per_day = (scenario.failures.per_node_per_day or 0.0) * nodes
    down_s = scenario.failures.repair_s + scenario.fleet.start_up_s
    return UnitFailures(S_PER_DAY / per_day * US_PER_S if per_day else np.inf, float(down_s * US_PER_S))


def planned_lives(outcome: PlanOutcome, role: str, window: ReplayWindow, spares: Units) -> Lives:
    """Units of a role in a window, times from its origin: the plan's, and some that are always there."""
    origin_s = (window.origin_us - outcome.demand.grid.start_us) / US_PER_S
    plan = outcome.plan
    planned = lives_of(plan.lives, role, origin_s, outcome.scenario.fleet.drain_deadline_s, plan.grid.length_s)
    return with_spares(planned, spares.of(role))


def failing_lives(outcome: PlanOutcome, role: str, window: ReplayWindow, lives: Lives) -> Lives:
    """The same units of a role, with their failures."""
    scenario = outcome.scenario
    return with_failures(
        lives,
        unit_failures(scenario, role),
        seed=scenario.failures.seed,
        role=EVERY_ROLE.index(role),
        end_us=window.span_us[2],
        nodes=_nodes_of(outcome, len(lives)),
    )


def _nodes_of(outcome: PlanOutcome, units: int) -> Ints | None:
    """The nodes of the units of a plan, and of spare ones after them, where several share one; None elsewhere."""
    per_node = Deployment(outcome.scenario.fleet).units_per_node
    if per_node == 1:
        return None
    places = places_of(outcome.plan.lives)
    spare = places.max(initial=-1) + 1 + np.arange(units - len(places))
    return np.concatenate([places, spare]) // per_node
