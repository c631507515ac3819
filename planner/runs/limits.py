"""Limits that a scenario states, and whether a plan keeps them."""

from typing import Protocol

from planner.errors import LimitMissed
from planner.runs.read import RunView
from planner.settings.scenario import Scenario


class PlanFigures(Protocol):
    """The figures of a plan that a scenario may limit."""

    @property
    def shortfall_ratio(self) -> float: ...

    @property
    def cost_usd(self) -> float: ...


def missed_limits(run: RunView) -> list[str]:
    """The limits of its scenario that a run misses, one line each."""
    return limits_missed(run.scenario, run.summary)


def missed_in_replay(run: RunView) -> list[str]:
    """The limits of its scenario that the replay of a run misses, one line each; none without a replay."""
    if run.replay is None:
        return []
    return under_attainment(run.scenario.slo.min_attainment, run.replay.figures.both_attainment)


def limits_missed(scenario: Scenario, figures: PlanFigures) -> list[str]:
    """The limits of a scenario that a plan's figures miss, one line each."""
    return [
        *short_of(scenario.slo.max_shortfall_ratio, figures.shortfall_ratio),
        *over_budget(scenario.economics.budget_usd, figures.cost_usd),
    ]


def short_of(allowed: float, shortfall_ratio: float) -> list[str]:
    """That more tokens are short than slo.max_shortfall_ratio allows, where they are."""
    if shortfall_ratio <= allowed:
        return []
    return [f"shortfall is {shortfall_ratio:.4%} of tokens and slo.max_shortfall_ratio allows {allowed:.4%}"]


def under_attainment(least: float | None, attained: float | None) -> list[str]:
    """That fewer requests are within both targets than slo.min_attainment requires, where they are."""
    if least is None or attained is None or attained >= least:
        return []
    return [f"{attained:.2%} of requests are within both targets and slo.min_attainment requires {least:.2%}"]


def over_budget(budget_usd: float | None, cost_usd: float) -> list[str]:
    """That inference costs more than economics.budget_usd allows, where it does."""
    if budget_usd is None or cost_usd <= budget_usd:
        return []
    return [f"inference costs ${cost_usd:,.2f} and economics.budget_usd allows ${budget_usd:,.2f}"]


def check_limits(run: RunView) -> None:
    """Raises LimitMissed if a run misses a limit that its scenario states."""
    missed = missed_limits(run)
    if missed:
        raise LimitMissed("; ".join(missed) + "; change the plan, or the limit")
