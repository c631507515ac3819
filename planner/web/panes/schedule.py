"""The schedule of the plan that is seen, for what runs the cluster, and how it differs from that of a stored run."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import polars as pl

from planner.documents import Document
from planner.errors import PlannerError, StoreMissing
from planner.export.documents import ExportDocument, ExportFormat
from planner.export.formats.schedule import AgainstPlan, Export
from planner.export.run import RECURRING, describe_export, export_run, format_named, week_named
from planner.runs.draft import UNSAVED
from planner.runs.figures import RunFigures
from planner.runs.read import RunView, list_runs, load_run
from planner.store import Store, readable
from planner.web.panes.base import Download, Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench, planned_key

FILES: dict[ExportFormat, tuple[str, str]] = {
    "keda": ("keda.yaml", "application/yaml"),
    "cronjob": ("cronjob.yaml", "application/yaml"),
    "kueue": ("kueue.yaml", "application/yaml"),
    "slurm": ("slurm.sh", "application/x-sh"),
    "aws": ("aws.json", "application/json"),
    "focus": ("focus.csv", "text/csv; charset=utf-8"),
    "csv": ("schedule.csv", "text/csv; charset=utf-8"),
    "json": ("schedule.json", "application/json"),
}
"""Of each format: the name of its file, and what it is."""
WEEKS = ("largest", "0.95", "0.9", "0.75", "0.5")
"""Typical weeks that can be chosen: any quantile can be in the address."""
MOST_LINES = 400
"""Lines that are shown of an export, and of a difference. Assumed: the file has all."""
_MOST_RUNS = 50
"""Stored runs that can be chosen to compare with, the newest. Assumed: older ones can be in the address."""


@dataclass(frozen=True, kw_only=True)
class SchedulePreview(Document):
    """An export of the plan that is seen, and its difference to that of a stored run."""

    to: ExportFormat
    week: str | None
    """The typical week that recurs; null where the plan itself does, or the format does not recur."""
    export: ExportDocument | None
    """The export; null where the format cannot express the plan."""
    problem: str | None
    """Why the format cannot express the plan, and the cure."""
    against: str | None
    """The stored run that it is compared with; null where none of the scenario is stored."""
    difference: tuple[str, ...]
    """The lines of a unified difference from that run's export to this one, names of runs aside; empty where both are
    the same."""
    difference_problem: str | None
    """Why that run has no such export."""
    published: bool
    """Whether the run was read from the copy that the last night published, because the store is being written."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A format and its typical week, as the address has them."""

    to: ExportFormat
    week: str | None

    @classmethod
    def of(cls, state: State, to: ExportFormat | None = None) -> "_Asked":
        """Raises UsageError. to: the format, where the address does not tell it."""
        chosen = to or format_named(state.pane.get("to") or next(iter(FILES)))
        return cls(to=chosen, week=(state.pane.get("week") or None) if chosen in RECURRING else None)

    def export(self, run: RunView) -> Export:
        """Raises PlannerError where the format cannot express the plan."""
        return export_run(run, run.scenario, self.to, week=None if self.week is None else week_named(self.week))


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """How an export differs from that of a stored run: that run, and the lines, or why there are none."""

    against: str | None = None
    lines: tuple[str, ...] = ()
    problem: str | None = None


def show(bench: Workbench, state: State) -> PaneView:
    """The export, its notes, and its difference. What cannot be exported is told in its place."""
    asked, run = _Asked.of(state), bench.planned(state, state.side).run
    exported, problem = None, None
    try:
        exported = _exported(bench, state, asked)
    except PlannerError as error:
        problem = str(error)
    store, published = readable(bench.store)
    runs = _stored(store, run.scenario.name)
    difference = _difference(store, state, asked, runs, exported)
    document = SchedulePreview(
        to=asked.to,
        week=asked.week,
        export=None if exported is None else describe_export(run, asked.to, exported, None),
        problem=problem,
        against=difference.against,
        difference=difference.lines,
        difference_problem=difference.problem,
        published=published,
    )
    lines = [] if exported is None else exported.text.splitlines()
    return PaneView(
        document=document,
        tables={} if exported is None or not exported.against_plan else {"against": _against(exported.against_plan)},
        context={
            "formats": get_args(ExportFormat),
            "weeks": (*WEEKS, *(() if asked.week is None or asked.week in WEEKS else (asked.week,))),
            "recurs": asked.to in RECURRING,
            "file": FILES[asked.to][0],
            "text": "\n".join(lines[:MOST_LINES]),
            "left_out": max(0, len(lines) - MOST_LINES),
            "runs": [each.run_id for each in runs[:_MOST_RUNS]],
            "difference": difference.lines[:MOST_LINES],
            "difference_left_out": max(0, len(difference.lines) - MOST_LINES),
        },
    )


def _exported(bench: Workbench, state: State, asked: _Asked) -> Export:
    """The export of the plan that is seen, made once. Raises PlannerError."""
    key = ("export", asked.to, asked.week, *planned_key(state, state.side))
    return bench.of_panes.get(key, lambda: asked.export(bench.planned(state, state.side).run))


def _stored(store: Store, scenario: str) -> list[RunFigures]:
    """Stored runs of a scenario, the newest first."""
    try:
        return [each for each in reversed(list_runs(store)) if each.scenario == scenario]
    except StoreMissing:
        return []


def _difference(
    store: Store, state: State, asked: _Asked, runs: list[RunFigures], exported: Export | None
) -> _Difference:
    chosen = state.pane.get("against") or (runs[0].run_id if runs else None)
    if chosen is None:
        return _Difference()
    try:
        stored = load_run(store, chosen)
        before = asked.export(replace(stored, record=replace(stored.record, run_id=UNSAVED)))
    except PlannerError as error:
        return _Difference(against=chosen, problem=str(error))
    if exported is None:
        return _Difference(against=chosen)
    old, new = (export.text.splitlines() for export in (before, exported))
    lines = difflib.unified_diff(old, new, fromfile=chosen, tofile="this plan", lineterm="")
    return _Difference(against=chosen, lines=tuple(lines))


def _against(parts: tuple[AgainstPlan, ...]) -> pl.DataFrame:
    """A row per role, or of what is lent."""
    return pl.DataFrame(
        {
            "of": part.of,
            "plan node-hours": part.plan_node_hours,
            "more": part.node_hours_more,
            "fewer": part.node_hours_fewer,
            "minutes that differ": part.minutes_that_differ,
            "entries": part.entries,
            "entries needed": part.entries_needed,
        }
        for part in parts
    )


def _file(to: ExportFormat) -> Callable[[Workbench, State], bytes]:
    return partial(_bytes, to=to)


def _bytes(bench: Workbench, state: State, *, to: ExportFormat) -> bytes:
    """Raises PlannerError."""
    return _exported(bench, state, _Asked.of(state, to)).text.encode()


PANE = Pane(
    name="schedule",
    title="Schedule",
    show=show,
    template="schedule.html.j2",
    document=SchedulePreview,
    downloads=tuple(
        Download(name=name, media_type=media_type, make=_file(to)) for to, (name, media_type) in FILES.items()
    ),
)
