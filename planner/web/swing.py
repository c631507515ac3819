"""How much the answer moves while one slider goes from end to end, everything else as it is."""

from dataclasses import dataclass, replace

from planner.documents import Document
from planner.errors import PlannerError, UsageError
from planner.planning.plan import plan
from planner.runs.outcome import PlanOutcome
from planner.units import S_PER_DAY, usd
from planner.web.controls import POLICY, controls_of, shown
from planner.web.state import State
from planner.web.workbench import Workbench

_SAID = 0.0005
"""Share of tokens short that is told. Assumed: a twentieth of what plans may fall short of by default."""


@dataclass(frozen=True, kw_only=True)
class SwingEnd(Document):
    """The plan at an end of a slider."""

    value: float
    peak_nodes: int | None
    """Null where there is no plan with that value."""
    cost_usd_per_day: float | None
    shortfall_ratio: float | None
    problem: str | None
    """Why there is none."""


@dataclass(frozen=True, kw_only=True)
class SwingDocument(Document):
    """What one slider can do."""

    path: str
    side: str
    words: str
    """The same in a line."""
    low: SwingEnd
    high: SwingEnd


def swing(bench: Workbench, state: State, path: str, side: str) -> SwingDocument:
    """Plan with a slider at both its ends. Raises UsageError for what is not a slider of this plan."""
    if side not in state.sides:
        raise UsageError("there is no plan B; compare with one first")
    now = bench.planned(state, side)
    base, _ = bench.base(state)
    controls = {each.path: each for each in controls_of(base.scenario, now.outcome.scenario, base.hit_ratio)}
    control = controls.get(path)
    if control is None or path == POLICY or control.low is None or control.high is None:
        raise UsageError("this is not a slider of the page; use the address of one")
    low, high = (_end(bench, state, side, path, value) for value in (control.low, control.high))
    held = _figures(0.0, now.outcome)
    words = " … ".join(_words(path, end, held) for end in (low, high))
    if all(replace(end, value=held.value) == held for end in (low, high)):
        words = "changes neither nodes nor cost nor shortfall of this plan"
    return SwingDocument(path=path, side=side, words=words, low=low, high=high)


def _end(bench: Workbench, state: State, side: str, path: str, value: float) -> SwingEnd:
    try:
        outcome = plan(bench.prepared(state.with_setting(side, path, shown(path, value)), side))
    except PlannerError as error:
        return SwingEnd(value=value, peak_nodes=None, cost_usd_per_day=None, shortfall_ratio=None, problem=str(error))
    return _figures(value, outcome)


def _figures(value: float, outcome: PlanOutcome) -> SwingEnd:
    """What is told of a plan."""
    cost = usd(sum(outcome.costs.inference)) * S_PER_DAY / outcome.plan.grid.length_s
    tokens = int(outcome.demand.input_tokens.sum() + outcome.demand.output_tokens.sum())
    return SwingEnd(
        value=value,
        peak_nodes=int(outcome.plan.inference_nodes.max()),
        cost_usd_per_day=cost,
        shortfall_ratio=int(outcome.plan.shortfall_tokens.sum()) / tokens if tokens else 0.0,
        problem=None,
    )


def _words(path: str, end: SwingEnd, held: SwingEnd) -> str:
    """One end beside the plan as it is, in a few words."""
    at = shown(path, end.value)
    if end.cost_usd_per_day is None or end.shortfall_ratio is None:
        return f"{at}: no plan"
    assert held.cost_usd_per_day is not None, "the plan as it is stands already"
    parts = [f"{end.cost_usd_per_day / held.cost_usd_per_day - 1:+.0%} cost" if held.cost_usd_per_day else "cost"]
    if end.peak_nodes != held.peak_nodes:
        parts.append(f"peak {end.peak_nodes:,}")
    if end.shortfall_ratio >= _SAID:
        parts.append(f"{end.shortfall_ratio:.1%} of tokens short")
    return f"{at}: {', '.join(parts)}"
