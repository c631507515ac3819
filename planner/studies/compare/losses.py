"""Where each policy loses: the hours with too many nodes or too few, and why a forecast does not pay off."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from planner.core.forecast import demand_forecasts
from planner.core.replay.intervals.plan import IntervalPlan
from planner.documents import Document
from planner.planning.declared import demand_history
from planner.planning.idle import DECLARED, is_set
from planner.planning.told import tell
from planner.studies.compare.candidates import Candidate, Comparison
from planner.units import Floats


@dataclass(frozen=True, kw_only=True)
class PolicyLosses(Document):
    """Where a policy loses."""

    shortest_hour: str | None
    """Local date and hour with the most tokens beyond the capacity; null if there are none."""
    shortest_hour_tokens: int
    """Tokens beyond the capacity in that hour."""
    dearest_hour: str | None
    """Local hour of the day in which the policy holds the most nodes above the best schedule that was found; null if it
    never does."""
    dearest_nodes: float | None
    """Nodes above that schedule in that hour, on average."""


def find_losses(comparison: Comparison, candidate: Candidate) -> PolicyLosses:
    """Where a policy of a comparison loses."""
    starts, plan = comparison.demand.grid.local_starts(comparison.scenario.zone), candidate.outcome.plan
    shortest = _shortest_hour(plan, starts)
    schedule = comparison.bound.schedule
    dearest = None if schedule is None else _dearest_hour(plan, schedule.plan, starts)
    return PolicyLosses(
        shortest_hour=shortest[0] if shortest else None,
        shortest_hour_tokens=shortest[1] if shortest else 0,
        dearest_hour=dearest[0] if dearest else None,
        dearest_nodes=dearest[1] if dearest else None,
    )


def _shortest_hour(plan: IntervalPlan, starts: list[datetime]) -> tuple[str, int] | None:
    """The hour with the largest shortfall, and its tokens; None if nothing falls short."""
    short = plan.shortfall_tokens
    if not short.sum():
        return None
    names, places = np.unique([start.strftime("%Y-%m-%d %H:00") for start in starts], return_inverse=True)
    totals = np.bincount(places, weights=short)
    top = int(np.argmax(totals))
    return str(names[top]), int(totals[top])


def _dearest_hour(plan: IntervalPlan, best: IntervalPlan, starts: list[datetime]) -> tuple[str, float] | None:
    """The hour of the day with the most nodes above the best schedule, and how many; None if there are none."""
    hour_of_day = np.array([start.hour for start in starts])
    above = (plan.inference_node_s - best.inference_node_s) / plan.grid.interval_s
    means = [float(above[hour_of_day == hour].mean()) if (hour_of_day == hour).any() else -np.inf for hour in range(24)]
    top = int(np.argmax(means))
    return (f"{top:02d}:00", means[top]) if means[top] > 0 else None


def explain_forecast(comparison: Comparison) -> list[str]:
    """Whether a forecast pays off compared with reacting, and why not, in figures."""
    by_name = {candidate.name: candidate for candidate in comparison.candidates}
    reactive, ahead = by_name.get("reactive"), by_name.get("predictive@forecast")
    if reactive is None or ahead is None or reactive.tuned is None or ahead.tuned is None:
        return []
    more = ahead.tuned.figures.node_hours / reactive.tuned.figures.node_hours - 1
    if more < 0:
        return [f"predictive@forecast takes {-more:.1%} fewer node-hours than reactive at equal shortfall"]
    scenario, output = comparison.scenario, comparison.demand.output_tokens.astype(np.float64)
    method, season = scenario.forecast.method, scenario.forecast.season
    history = demand_history(scenario, comparison.demand, 2)
    middle, planned = (
        demand_forecasts(history, method, 2, share, season, first=1) for share in (None, scenario.policy.quantile)
    )
    scored = slice(planned.first_known, -1)
    actual = output[planned.first_known + 1 :]
    missed = _share(middle.output_tokens[scored, 1] - actual, actual)
    changed = _share(np.diff(output)[planned.first_known :], actual)
    off = planned.output_tokens[scored, 1].sum() / actual.sum() - 1
    return [
        f"predictive@forecast takes {more:.1%} more node-hours than reactive at equal shortfall: its forecasts miss "
        f"the output tokens by {missed:.1%} (WAPE), the previous interval by {changed:.1%}; the "
        f"{scenario.policy.quantile:.0%} quantile that it plans for is {off:+.1%} off the actual demand; "
        f"{planned.first_known + 1} of {len(output)} intervals come before the first forecast and are decided by the "
        "interval before each"
    ]


def describe_demand(comparison: Comparison) -> tuple[str, ...]:
    """What forecasts of a compared policy heed; where none forecasts, which settings of forecasts change nothing."""
    scenario, demand = comparison.scenario, comparison.demand
    outcomes = [candidate.outcome for candidate in comparison.candidates]
    if any(outcome.demand_source == "forecast" for outcome in outcomes):
        return tell(demand_history(scenario, demand, 2), scenario, demand.grid).notes
    declared = [path for path in DECLARED if is_set(scenario, path)]
    if not declared:
        return ()
    return (
        f"no effect on this comparison, in which no policy forecasts: {', '.join(declared)}; add predictive@forecast",
    )


def _share(missed: Floats, actual: Floats) -> float:
    return float(np.abs(missed).sum() / actual.sum())
