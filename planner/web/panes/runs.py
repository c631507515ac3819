"""Stored runs, and storing what is seen as one of them."""

from dataclasses import dataclass

from planner.documents import Document
from planner.errors import StoreMissing
from planner.planning.plan import plan_and_store
from planner.runs.figures import RunFigures
from planner.runs.read import list_runs
from planner.store import readable
from planner.web.panes.base import JobKind, Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench, now


@dataclass(frozen=True, kw_only=True)
class RunsDocument(Document):
    """Stored runs."""

    runs: tuple[RunFigures, ...]
    """The newest first."""
    published: bool
    """Whether these are of the copy that the last night published, because the store is being written."""


@dataclass(frozen=True, kw_only=True)
class SavedDocument(Document):
    """A plan that was stored."""

    run_id: str


def show(bench: Workbench, _: State) -> PaneView:
    """Every stored run with its main figures."""
    try:
        store, is_copy = readable(bench.store)
        runs = tuple(reversed(list_runs(store)))
    except StoreMissing:
        runs, is_copy = (), False
    return PaneView(document=RunsDocument(runs=runs, published=is_copy))


def save(bench: Workbench, state: State) -> PaneView:
    """Plan what is seen as `planner plan` does, and store the run."""
    scenario = bench.scenario(state, state.pane.get("side", "a"))
    run_id = plan_and_store(bench.store, scenario, now=now(), progress=bench.progress)
    return PaneView(document=SavedDocument(run_id=run_id))


SAVE = JobKind(
    name="save",
    title=lambda state: f"Save plan {state.pane.get('side', 'a').upper()} of {state.scenario} as a run",
    work=save,
    template="saved.html.j2",
    document=SavedDocument,
)
PANE = Pane(name="runs", title="Runs", show=show, template="runs.html.j2", document=RunsDocument, jobs=(SAVE,))
