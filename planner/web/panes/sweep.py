"""How certain a plan is, and what it depends on: a sweep in a process of its own."""

from dataclasses import dataclass

from planner.documents import Document
from planner.errors import UsageError
from planner.report.sweep_page import attainment_table, parameter_table, quantile_table, spread_chart, tornado_chart
from planner.runs.draft import UNSAVED
from planner.settings.sweep import Law
from planner.studies.sweep.document import SweepDocument, describe_sweep
from planner.studies.sweep.ranges import read_ranges
from planner.studies.sweep.run import MOST_CASES, sweep
from planner.studies.sweep.store import case_frame
from planner.text import quoted
from planner.web.panes.base import JobKind, Pane, PaneView, plan_words
from planner.web.state import State
from planner.web.workbench import Workbench, now

_CASES = 1000
"""As `planner sweep` samples unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class UncertainRange(Document):
    """An uncertain value, as the scenario has it."""

    path: str
    law: Law
    low: float
    high: float
    relative: bool
    """Whether low and high are multiples of the scenario's own value."""
    provenance: str


@dataclass(frozen=True, kw_only=True)
class UncertaintyDocument(Document):
    """What a sweep would vary."""

    cases: int
    """Samples that the next sweep takes."""
    ranges: tuple[UncertainRange, ...]


def show(bench: Workbench, state: State) -> PaneView:
    """The scenario's ranges, and the number of cases."""
    ranges = read_ranges(bench.planned(state, state.side).outcome.scenario, ())
    document = UncertaintyDocument(
        cases=_cases(state), ranges=tuple(UncertainRange(**each.model_dump()) for each in ranges)
    )
    return PaneView(document=document, context={"most": MOST_CASES})


def _cases(state: State) -> int:
    """The number of samples that is asked for. Raises UsageError."""
    text = state.pane.get("cases", str(_CASES))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_CASES))):
        raise UsageError(f"{quoted(text, 40)} is not a number of cases; give 2 to {MOST_CASES:,}")
    if not 2 <= int(text) <= MOST_CASES:
        raise UsageError(f"{int(text):,} cases are out of range; give 2 to {MOST_CASES:,}")
    return int(text)


def sweep_plan(bench: Workbench, state: State) -> PaneView:
    """What `planner sweep` works out, of the plan that is looked at."""
    done = sweep(
        bench.store,
        bench.scenario(state, state.side),
        cases=_cases(state),
        now=now(),
        progress=bench.progress,
        drawing=bench.progress,
    )
    document = describe_sweep(done, UNSAVED)
    return PaneView(
        document=document,
        charts=(tornado_chart(document), spread_chart(document, case_frame(done))),
        tables={
            "quantiles": quantile_table(document),
            "parameters": parameter_table(document),
            "attainment": attainment_table(document),
        },
    )


SWEEP = JobKind(
    name="sweep",
    title=lambda state: f"Sweep {plan_words(state)}",
    work=sweep_plan,
    template="swept.html.j2",
    document=SweepDocument,
)
PANE = Pane(
    name="sweep",
    title="Sweep",
    show=show,
    template="sweep.html.j2",
    document=UncertaintyDocument,
    jobs=(SWEEP,),
)
