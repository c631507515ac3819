"""What training gets: the windows in which nodes are lent, and the jobs that the scenario places on them."""

from dataclasses import dataclass

from planner.documents import Document
from planner.report.job_charts import job_charts, job_table
from planner.report.lent_chart import lent_chart
from planner.runs.documents import TrainingWindowDocument, plan_document
from planner.runs.jobs import JobsDocument
from planner.runs.local_time import local_times
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class TrainingDocument(Document):
    """What is lent to training."""

    lend: bool
    """Whether free nodes are lent at all."""
    training_node_hours: float
    """Node-hours lent, loading included."""
    useful_training_node_hours: float
    """The same without loading."""
    windows: list[TrainingWindowDocument]
    jobs: JobsDocument | None
    """The training jobs; null if the scenario names none."""


def show(bench: Workbench, state: State) -> PaneView:
    """Windows, and jobs where there are some."""
    run = bench.planned(state, state.side).run
    told = plan_document(run)
    document = TrainingDocument(
        lend=run.scenario.training.lend,
        training_node_hours=run.summary.training_node_hours,
        useful_training_node_hours=run.summary.useful_training_node_hours,
        windows=told.training_windows,
        jobs=told.jobs,
    )
    jobs = {} if run.jobs is None else {"training_jobs": job_table(run, run.jobs)}
    return PaneView(
        document=document,
        charts=(lent_chart(run), *(() if run.jobs is None else job_charts(run, run.jobs))),
        tables={"training_windows": local_times(run.training, run.scenario.zone), **jobs},
        context={"least_s": run.scenario.training.min_window_s},
    )


PANE = Pane(name="training", title="Training", show=show, template="training.html.j2", document=TrainingDocument)
