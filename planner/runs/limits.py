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


def limits_missed(scenario: Scenario, figures: PlanFigures) -> list[str]:
    """The limits of a scenario that a plan's figures miss, one line each."""
    missed = []
    if figures.shortfall_ratio > scenario.slo.max_shortfall_ratio:
        missed.append(
            f"shortfall is {figures.shortfall_ratio:.4%} of tokens and slo.max_shortfall_ratio allows "
            f"{scenario.slo.max_shortfall_ratio:.4%}"
        )
    budget = scenario.economics.budget_usd
    if budget is not None and figures.cost_usd > budget:
        missed.append(f"inference costs ${figures.cost_usd:,.2f} and economics.budget_usd allows ${budget:,.2f}")
    return missed


def check_limits(run: RunView) -> None:
    """Raises LimitMissed if a run misses a limit that its scenario states."""
    missed = missed_limits(run)
    if missed:
        raise LimitMissed("; ".join(missed) + "; change the plan, or the limit")
