"""Policies at equal shortfall: the highest target utilisation whose shortfall is still allowed."""

from dataclasses import dataclass

from planner.planning.plan import plan
from planner.planning.prepare import Prepared
from planner.runs.outcome import PlanOutcome
from planner.studies.compare.figures import PolicyFigures, compute_figures

TUNABLE = ("night-training", "reactive", "predictive", "scheduled-bounds")
"""Policies whose target utilisation trades nodes for shortfall."""
UTILISATIONS = (0.05, 1.5)
"""Range of the search for equal shortfall. Assumed: no sensible plan uses less than a twentieth; above 1 a policy falls
short on purpose, as far as the allowance permits."""
_STEPS = 9
"""Bisection steps: utilisations are then within 0.3 points."""


@dataclass(frozen=True)
class TunedPolicy:
    """A policy at the highest target utilisation whose shortfall is within the allowance; None if it has none."""

    target_utilisation: float | None
    figures: PolicyFigures


def tune(prepared: Prepared, outcome: PlanOutcome) -> TunedPolicy | None:
    """The cheapest variant of a plan's policy within the allowed shortfall; None if it cannot meet that."""
    allowed = outcome.scenario.slo.max_shortfall_ratio
    own = compute_figures(outcome)
    if outcome.scenario.policy.name not in TUNABLE:
        return TunedPolicy(None, own) if own.shortfall_ratio <= allowed else None

    def at(utilisation: float) -> PolicyFigures:
        return compute_figures(plan(prepared.at_utilisation(utilisation)))

    best: TunedPolicy | None = None
    low, high = UTILISATIONS
    for utilisation in (high, low):
        figures = at(utilisation)
        if figures.shortfall_ratio <= allowed:
            best = TunedPolicy(utilisation, figures)
            break
    if best is None or best.target_utilisation == high:
        return best
    for _ in range(_STEPS):
        middle = (low + high) / 2
        figures = at(middle)
        if figures.shortfall_ratio <= allowed:
            low, best = middle, TunedPolicy(middle, figures)
        else:
            high = middle
    return best
