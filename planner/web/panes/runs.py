"""Stored runs, and storing what is seen as one of them."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from planner.documents import Document
from planner.errors import StoreMissing
from planner.planning.plan import plan_and_store
from planner.report.write import write_report
from planner.runs.figures import RunFigures
from planner.runs.read import list_runs, load_run
from planner.store import readable
from planner.studies.outlook import outlook_of
from planner.web.panes.base import Download, JobKind, Pane, PaneView
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


def report(bench: Workbench, state: State) -> bytes:
    """The page that `planner report` writes of a stored run. Raises PlannerError."""
    store, _ = readable(bench.store)
    run = load_run(store, state.pane.get("run") or None)
    with TemporaryDirectory() as folder:
        write_report(run, Path(folder), outlook=outlook_of(store, run, clock=perf_counter), pictures=False)
        return (Path(folder) / "index.html").read_bytes()


SAVE = JobKind(
    name="save",
    title=lambda state: f"Save plan {state.pane.get('side', 'a').upper()} of {state.scenario} as a run",
    work=save,
    template="saved.html.j2",
    document=SavedDocument,
)
PANE = Pane(
    name="runs",
    title="Runs",
    show=show,
    template="runs.html.j2",
    document=RunsDocument,
    jobs=(SAVE,),
    downloads=(Download(name="report.html", media_type="text/html; charset=utf-8", make=report),),
)
