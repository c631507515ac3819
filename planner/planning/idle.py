"""Settings that were given and change nothing of a plan: they are said, as the same may serve several policies.

Those of the engine depend on whether capacities are modelled: `planner.planning.observed`. Those of a stored trace:
`planner.planning.selection`.
"""

from collections.abc import Callable, Iterator

from planner.catalogue.fields import field_paths, value_at
from planner.catalogue.scenarios import is_built_in
from planner.core.fleet.units import ROLES
from planner.core.policy import policies_in
from planner.settings.scenario import Scenario

_OF_POLICY: dict[str, tuple[str, ...]] = {
    "day_window": ("night-training",),
    "night_bundle": ("night-training",),
    "target_utilisation": ("night-training", "reactive", "predictive"),
    "fixed_prefill_units": ("fixed",),
    "fixed_decode_units": ("fixed",),
    "fixed_aggregated_units": ("fixed",),
    "timetable": ("timetable",),
    "tolerance": ("reactive",),
    "up_cooldown_s": ("reactive",),
    "down_cooldown_s": ("reactive",),
    "most_steps_up": ("reactive",),
    "most_steps_down": ("reactive",),
    "lead_s": ("predictive",),
    "inside": ("scheduled-bounds",),
    "bounds": ("scheduled-bounds",),
    "holidays": ("scheduled-bounds",),
}
"""Fields of the table policy that only some policies read."""

_FORESEEING = ("night-training", "predictive", "slo")
"""Policies that look at the demand source."""

DECLARED = (
    "forecast.holidays",
    "forecast.holiday_factor",
    "forecast.accept",
    "forecast.ignore",
    "incident",
    "event",
)
"""Fields that say of demand what its numbers do not."""
_OF_FORECASTS = ("policy.quantile", "forecast.method", "forecast.season", *DECLARED)

_OF_ROLES = (
    *(f"fleet.{role}.{name}" for role in ROLES for name in ("nodes", "tokens_per_s_per_node")),
    *(f"fleet.{table}.{role}" for table in ("base", "step") for role in ROLES),
    *(f"policy.{kind}_{role}_units" for kind in ("fixed", "spare") for role in ROLES),
    *(f"export.{role}_workload" for role in ROLES),
    "fleet.engine.prefill_balance",
    "fleet.engine.prefill_utilisation",
    "replay.decode_balancer",
    "replay.window_ms",
    "replay.depth_rules",
    "replay.pass_tokens_per_gpu",
    "replay.chunk_tokens",
)
"""Fields of units that read prompts or decode, and of how they are replayed."""
_OF_BOTH = (
    *(f"fleet.unit.{name}" for name in ("gpus", "nodes", "tokens_per_s")),
    *(f"fleet.{table}.aggregated" for table in ("base", "step")),
    *(f"policy.{kind}_aggregated_units" for kind in ("fixed", "spare")),
    "export.aggregated_workload",
    "replay.max_batched_tokens",
    "replay.max_sequences",
    "replay.order",
)
"""Fields of units that do both, and of how they are replayed."""

Condition = tuple[tuple[str, ...], Callable[[Scenario], bool], str]
"""Paths of fields, whether they change anything of a scenario, and what they are for."""

_CONDITIONS: tuple[Condition, ...] = (
    *(
        (
            (f"policy.{name}",),
            lambda s, those=those: bool(set(those) & set(policies_in(s.policy))),
            f"by {' and '.join(those)}",
        )
        for name, those in _OF_POLICY.items()
    ),
    (
        _OF_FORECASTS,
        lambda s: s.policy.demand_source == "forecast",
        "with policy.demand_source=forecast",
    ),
    (
        _OF_FORECASTS,
        lambda s: s.policy.demand_source != "forecast" or bool(set(_FORESEEING) & set(policies_in(s.policy))),
        f"by {' and '.join(_FORESEEING)}",
    ),
    (
        ("forecast.season",),
        lambda s: s.forecast.method not in ("profile-level", "day-of-week"),
        "by methods of one season",
    ),
    (("forecast.horizon_s",), lambda _: False, "by planner forecast"),
    (
        ("training.restore_s", "training.min_window_s", "training.max_nodes", "training.jobs", "training.placement"),
        lambda s: s.training.lend,
        "with training.lend=true",
    ),
    (("training.placement",), lambda s: s.training.jobs is not None, "with training.jobs"),
    (
        ("trace.growth_per_day",),
        lambda s: s.trace.name is not None or s.trace.days > 1,
        "over more days than one",
    ),
    (
        ("economics.gpu_rates", "economics.gpu_rate"),
        lambda s: s.economics.gpu_usd_per_hour is None,
        "without economics.gpu_usd_per_hour",
    ),
    (_OF_ROLES, lambda s: s.fleet.serving == "disaggregated", "with fleet.serving=disaggregated"),
    (_OF_BOTH, lambda s: s.fleet.serving == "aggregated", "with fleet.serving=aggregated"),
    (
        ("fleet.engine.tensor_parallel",),
        lambda s: (
            s.fleet.serving == "disaggregated" or s.fleet.aggregated.gpus in (None, s.fleet.engine.tensor_parallel)
        ),
        "with fleet.unit.nodes, as all GPUs of fleet.unit.gpus share attention",
    ),
    (("policy.night_bundle",), lambda s: s.fleet.scaling == "independent", "with fleet.scaling=independent"),
    (("fleet.sleep_start_up_s",), lambda s: s.fleet.keeps == "sleep", "with fleet.keeps=sleep"),
    (("fleet.resident_start_up_s",), lambda s: s.fleet.keeps == "resident", "with fleet.keeps=resident"),
    (("replay.window_ms",), lambda s: s.replay.queue_mode == "window", "with replay.queue_mode=window"),
    (("replay.depth_rules",), lambda s: s.replay.queue_mode == "depth", "with replay.queue_mode=depth"),
    (("replay.retry_after_s",), lambda s: s.replay.retries > 0, "with replay.retries"),
)


def unused(scenario: Scenario) -> set[str]:
    """Fields that change nothing of a plan of the scenario, be they set or as in the built-in one."""
    sources: dict[str, bool] = {
        "trace.profile": scenario.trace.name is None,
        "economics.other_price_sheet": scenario.economics.other_share > 0,
        "fleet.observed.": scenario.fleet.capacity == "observed" and scenario.fleet.serving == "disaggregated",
    }
    found = {path for paths, counts, _ in _CONDITIONS if not counts(scenario) for path in paths}
    idle_sources = tuple(start for start, counts in sources.items() if not counts)
    return found | {path for path in field_paths() if path.startswith(idle_sources)}


def idle(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """The fields that were set and change nothing, and what they are used for."""
    for paths, counts, use in _CONDITIONS:
        if counts(scenario):
            continue
        for path in paths:
            if is_set(scenario, path):
                yield path, use


def is_set(scenario: Scenario, path: str) -> bool:
    """Whether a field was set by the user."""
    by_user = scenario.provenance.get(path, "").startswith("set: ")
    return by_user and not is_built_in(scenario, path) and value_at(scenario, path) is not None


def idle_notes(scenario: Scenario) -> tuple[str, ...]:
    """Notes on the settings that change nothing of the plan, one for each reason."""
    uses: dict[str, list[str]] = {}
    for path, use in idle(scenario):
        if path not in uses.setdefault(use, []):
            uses[use].append(path)
    return tuple(
        f"{', '.join(paths)} {'has' if len(paths) == 1 else 'have'} no effect on this plan: used {use}"
        for use, paths in uses.items()
    )
