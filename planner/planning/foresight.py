"""What policies may see of the demand to come: by the scenario's demand source, and by forecasts from past demand."""

import json
from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from planner.core.demand import Demand, Grid
from planner.core.forecast import demand_forecasts
from planner.core.policy import Policy, Seen, Sight, lead_intervals
from planner.errors import UsageError
from planner.planning.declared import demand_history
from planner.planning.selection import selection_of
from planner.planning.told import tell
from planner.settings.scenario import Scenario
from planner.settings.trace import TraceSettings
from planner.trace.stored import TraceInfo
from planner.trace.synthetic import build
from planner.trace.synthetic.cells import expected_demand
from planner.trace.synthetic.profile import Profile, load_profile


class Visible(NamedTuple):
    """What a policy sees of every interval and those after it; nothing where it looks at nothing.

    unforeseen: intervals before the first of which a forecast is seen. methods: of these forecasts, in order of first
    use. notes: what they leave out and follow.
    """

    coming: Sequence[tuple[Seen, ...]]
    unforeseen: int = 0
    methods: Sequence[str] = ()
    notes: Sequence[str] = ()


def known_demand(demand: Demand) -> list[Seen]:
    """The demand itself, interval by interval."""
    return [Seen(float(i), float(o)) for i, o in zip(demand.input_tokens, demand.output_tokens, strict=True)]


def seen_before(actual: Sequence[Seen]) -> list[Seen]:
    """The demand of the interval before each.

    Nothing is observed before the first: its own demand counts, so that it gets the units that it needs and not all.
    """
    return [actual[0], *actual[:-1]]


def source_seen(scenario: Scenario, policy: Policy, *, expected: bool = False) -> str:
    """What the policy may see, as stored runs name it. expected: whether the demand itself is a forecast."""
    if expected and policy.sight != Sight.NOTHING:
        return "forecast"
    other = {Sight.NOTHING: "none", Sight.OBSERVED: "previous", Sight.TRACE: "trace"}
    return other.get(policy.sight, scenario.policy.demand_source)


def visible(scenario: Scenario, policy: Policy, trace: TraceInfo, demand: Demand, *, expected: bool = False) -> Visible:
    """What the demand source shows of every interval and those after it, as many as the policy needs.

    expected: the demand is a forecast, which the policy sees, whatever the demand source. Raises UsageError if the
    source has no data: no profile, or too short a history.
    """
    grid, lead = demand.grid, lead_intervals(policy, demand.grid.interval_s)
    if policy.sight != Sight.SOURCE:
        return Visible([()] * grid.count)
    if scenario.policy.demand_source == "forecast" and not expected:
        return _forecast(scenario, demand, lead)
    actual = known_demand(demand)
    if scenario.policy.demand_source == "previous" and not expected:
        # the previous interval is all that is known about those to come
        return Visible([(before,) * lead for before in seen_before(actual)])
    seen = actual if expected or scenario.policy.demand_source == "trace" else _from_profile(scenario, trace, grid)
    return Visible([tuple(seen[index : index + lead]) for index in range(grid.count)])


def _forecast(scenario: Scenario, demand: Demand, lead: int) -> Visible:
    """Quantiles of forecasts that were made an interval before, so that units can drain in time.

    Until the first of them it is the demand of the interval before.
    """
    settings, grid = scenario.forecast, demand.grid
    history = demand_history(scenario, demand, lead + 1)
    forecasts = demand_forecasts(history, settings.method, lead + 1, scenario.policy.quantile, settings.season, first=1)
    rows = zip(forecasts.input_tokens[:-1, 1:].tolist(), forecasts.output_tokens[:-1, 1:].tolist(), strict=True)
    seen = [tuple(Seen(max(i, 0.0), max(o, 0.0)) for i, o in zip(*row, strict=True)) for row in rows]
    unforeseen = min(forecasts.first_known + 1, grid.count)
    # nan where nothing is known of a slot yet
    coming = [
        row if index >= unforeseen and not _unknown(row) else (before,) * lead
        for index, (before, row) in enumerate(
            zip(seen_before(known_demand(demand)), [(), *seen], strict=True),
        )
    ]
    # what is decided without a forecast heeds nothing
    foreseen = Grid(grid.start_us + unforeseen * grid.interval_us, grid.interval_s, grid.count - unforeseen)
    return Visible(coming, unforeseen, forecasts.methods, tell(history, scenario, foreseen).notes)


def _unknown(row: Sequence[Seen]) -> bool:
    return any(isnan(each.input_tokens + each.output_tokens) for each in row)


def drawn_from(scenario: Scenario, trace: TraceInfo) -> tuple[Profile, TraceSettings] | None:
    """The profile and the settings that a trace was drawn from; None for an imported one.

    Raises UsageError if the profile can no longer be found, or has changed since.
    """
    if trace.profile is None:
        return None
    if scenario.trace.name is None and scenario.trace.profile is not None:
        return load_profile(scenario.trace.profile), scenario.trace
    kept = {key: value for key, value in json.loads(trace.settings).items() if key != "cell_s"}
    profile, settings = load_profile(trace.profile), TraceSettings.model_validate({"profile": trace.profile, **kept})
    if build.settings_digest(profile, settings) != trace.settings_digest:
        raise UsageError(
            f'profile "{trace.profile}" has changed since trace {trace.name} was drawn; draw the trace again'
        )
    return profile, settings


def _from_profile(scenario: Scenario, trace: TraceInfo, grid: Grid) -> list[Seen]:
    drawn = drawn_from(scenario, trace)
    if drawn is None:
        raise UsageError(
            f"policy.demand_source is profile, but trace {trace.name} was imported, not drawn from one; "
            "use trace, previous or forecast"
        )
    if selection_of(scenario).change.active:
        raise UsageError(
            f"policy.demand_source is profile, and knows nothing of the changes that the scenario makes to trace "
            f"{trace.name}; use trace, previous or forecast"
        )
    tokens = expected_demand(*drawn, grid.starts_us, grid.interval_us)
    return [Seen(float(i), float(o)) for i, o in zip(*tokens, strict=True)]
