"""The first screen: the answer, the timeline and the sliders, of plan A and of plan B beside it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from planner.documents import Document, Maybe
from planner.errors import UsageError
from planner.report.verdict import Verdict, verdict_of
from planner.runs.documents import PlanDocument, plan_document
from planner.runs.read import RunView
from planner.text import quoted
from planner.web.controls import Control, controls_of
from planner.web.state import State
from planner.web.timeline import shown_intervals, timeline_rows, timeline_spec, timeline_table
from planner.web.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class SideDocument(Document):
    """One of the plans."""

    verdict: Verdict
    command: str
    """The command that makes this plan."""
    controls: tuple[Control, ...]
    plan: PlanDocument


@dataclass(frozen=True, kw_only=True)
class AnswerDocument(Document):
    """The first screen."""

    scenario: str
    trace: str
    a: SideDocument
    b: Maybe[SideDocument] = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The first screen as the server shows it.

    Attributes:
        document: What it says.
        spec: The timeline, Vega-Lite.
        description: Of the timeline, in a sentence.
        table: The timeline's figures, of plan A.
        notes: Of each side, what the reader should know.
        complete: Whether the bound and the targets have been worked out.
    """

    document: AnswerDocument
    spec: dict[str, Any]
    description: str
    table: pl.DataFrame
    notes: dict[str, tuple[str, ...]]
    complete: bool


def answer(bench: Workbench, state: State, full: bool) -> Answer:
    """Plan both sides. full: whether to work out the bound and the targets where they are not known yet."""
    planned = {side: bench.planned(state, side) for side in state.sides}
    outlooks = {side: bench.outlook(state, side, only_known=not full) for side in state.sides}
    base, trace = bench.base(state)
    sides = {
        side: SideDocument(
            verdict=verdict_of(each.run, outlooks[side], pending=outlooks[side] is None),
            command=state.command(side, bench.settings.sources[state.scenario]),
            controls=controls_of(base.scenario, each.outcome.scenario, base.hit_ratio),
            plan=plan_document(each.run),
        )
        for side, each in planned.items()
    }
    first = planned["a"].run
    window = window_of(state, first)
    shown = {side: shown_intervals(each.run, window) for side, each in planned.items()}
    if shown["a"].is_empty():
        raise UsageError("the plan has no interval in the time that is looked at; look at the whole plan")
    rows = {side: timeline_rows(planned[side].run, intervals) for side, intervals in shown.items()}
    return Answer(
        document=AnswerDocument(scenario=first.summary.scenario, trace=trace.name, a=sides["a"], b=sides.get("b")),
        spec=timeline_spec(first, shown["a"], rows),
        description=_description({side: each.run for side, each in planned.items()}),
        table=timeline_table(first, shown["a"]),
        notes={side: tuple(each.run.record.notes) for side, each in planned.items()},
        complete=all(outlook is not None for outlook in outlooks.values()),
    )


def window_of(state: State, run: RunView) -> tuple[datetime, datetime] | None:
    """The time that is looked at; None for the whole plan. Raises UsageError."""
    if state.start is None and state.end is None:
        return None
    start, end = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    try:
        start = start if state.start is None else datetime.fromisoformat(state.start)
        end = end if state.end is None else datetime.fromisoformat(state.end)
    except ValueError as error:
        text = quoted(f"{state.start or ''} {state.end or ''}".strip(), 80)
        raise UsageError(f"{text} is not a time; choose one on the timeline") from error
    zone = run.scenario.zone
    try:
        start, end = ((at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC) for at in (start, end))
    except OverflowError as error:
        raise UsageError("the plan has no interval in the time that is looked at; look at the whole plan") from error
    if start >= end:
        raise UsageError("the time that is looked at ends before it begins; choose another on the timeline")
    return start, end


def _description(runs: dict[str, RunView]) -> str:
    parts = []
    for side, run in runs.items():
        s = run.summary
        name = f"In plan {side.upper()} inference" if len(runs) > 1 else "Inference"
        parts.append(
            f"{name} holds {s.mean_nodes:,.1f} nodes on average and {s.peak_nodes:,} at the peak; "
            f"{s.training_node_hours:,.0f} node-hours are lent to training, {s.idle_node_hours:,.0f} are idle."
        )
    more = " Areas are of plan A; the dashed line is what plan B holds." if len(runs) > 1 else ""
    return f"Nodes by what they do, over time. {' '.join(parts)}{more}"
