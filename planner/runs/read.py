"""Reading stored runs."""

import json
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from planner.catalogue.scenarios import stored_scenario
from planner.errors import RunError, ScenarioError, StoreDamaged
from planner.runs.figures import ReplayFigures, ReplayRecord, RunFigures, RunRecord, RunSummary
from planner.runs.jobs import JobsView, load_jobs
from planner.runs.outcome import FigureBand, Input
from planner.settings.scenario import Scenario
from planner.store import Session, Store


@dataclass(frozen=True, kw_only=True)
class ReplayView:
    """What a replay measured: its row, figures over the whole, percentiles by hour, means by minute, attainment by
    hour and class.

    bands: 90 % bands of its figures, where both ends were replayed.
    """

    summary: ReplayRecord
    figures: ReplayFigures
    percentiles: pl.DataFrame
    minutes: pl.DataFrame
    attainment: pl.DataFrame
    bands: tuple[FigureBand, ...]


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A stored run with all its rows.

    Attributes:
        record: The row of the run, with its scenario as JSON.
        summary: All figures of the run.
        intervals: A row per interval: demand, units and nodes, node-seconds by state, tokens short.
        hours: A row per local hour: nodes, cost and revenue in USD, tokens.
        waterfall: The steps from theoretical to expected revenue, USD.
        training: A row per training window: start, end, nodes, node-hours.
        replay: What a replay measured; None for a run that is a plan only.
        jobs: The training jobs; None if the scenario names none.
        bands: 90 % bands of the plan's figures; none where capacities were observed.
    """

    record: RunRecord
    summary: RunSummary
    intervals: pl.DataFrame
    hours: pl.DataFrame
    waterfall: pl.DataFrame
    training: pl.DataFrame
    replay: ReplayView | None
    jobs: JobsView | None = None
    bands: tuple[FigureBand, ...] = ()

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario of the run. Raises RunError if another version stored it with other fields."""
        try:
            return stored_scenario(self.record.settings)
        except ScenarioError as error:
            raise RunError(
                f"{self.record.run_id} was stored by another version of planner, with other settings; plan it again"
            ) from error

    @property
    def inputs(self) -> list[Input]:
        """The numbers from other files that the plan depends on."""
        return [Input(**item) for item in json.loads(self.record.inputs)]


def load_run(store: Store, run_id: str | None = None) -> RunView:
    """Read a stored run.

    Args:
        store: Where it is stored.
        run_id: Its id, such as "run-00001"; None for the newest.

    Returns:
        The run with its figures, intervals and hours.

    Raises:
        RunError: There is no such run, or none at all.
        StoreError: The store is missing, in use, or not a planner store.
    """
    with store.read() as session:
        return read_run(session, run_id)


def find_run(store: Store, run_id: str | None) -> str:
    """That run_id, or the newest. Raises RunError, StoreError."""
    with store.read() as session:
        return resolve_run(session, run_id)


def list_runs(store: Store) -> list[RunFigures]:
    """Every stored run with its main figures, newest last. Raises StoreError."""
    with store.read() as session:
        return session.records("run_list", RunFigures)


def resolve_run(session: Session, run_id: str | None) -> str:
    """The run of that id, or the newest. Raises RunError."""
    if run_id is None:
        latest = session.rows("run_latest")
        if not latest:
            raise RunError("no run is stored; make one with `planner plan`")
        return str(latest[0]["run_id"])
    if not session.rows("run_record", run_id=run_id):
        stored = [figures.run_id for figures in session.records("run_list", RunFigures)]
        cure = f"the newest are {', '.join(stored[-5:])}" if stored else "make one with `planner plan`"
        raise RunError(f'no run "{run_id}"; {cure}')
    return run_id


def read_run(session: Session, run_id: str | None = None) -> RunView:
    """A stored run; the newest without an id. Raises RunError."""
    name = resolve_run(session, run_id)
    records = session.records("run_record", RunRecord, run_id=name)
    summaries = session.records("run_summary_of", RunSummary, run_id=name)
    parts = [session.frame(part, run_id=name) for part in ("run_intervals", "run_hours", "run_waterfall")]
    if len(records) != 1 or len(summaries) != 1 or any(part.is_empty() for part in parts):
        # every run is stored whole
        raise StoreDamaged(f"{name}: parts of it are missing, so the store is damaged; restore it from a backup")
    intervals, hours, waterfall = parts
    bands = session.records("run_bands", FigureBand, run_id=name)
    return RunView(
        record=records[0],
        summary=summaries[0],
        intervals=intervals,
        hours=hours,
        waterfall=waterfall,
        training=session.frame("run_training", run_id=name),
        replay=_replay_of(session, name, tuple(band for band in bands if band.is_of_replay)),
        jobs=load_jobs(session, name),
        bands=tuple(band for band in bands if not band.is_of_replay),
    )


def _replay_of(session: Session, run_id: str, bands: tuple[FigureBand, ...]) -> ReplayView | None:
    records = session.records("replay_summary", ReplayRecord, run_id=run_id)
    if not records:
        return None
    figures = session.records("replay_whole", ReplayFigures, run_id=run_id)
    if not figures:
        # a replay has a row for every hour that it counted
        raise StoreDamaged(f"{run_id}: parts of it are missing, so the store is damaged; restore it from a backup")
    return ReplayView(
        summary=records[0],
        figures=figures[0],
        percentiles=session.frame("replay_percentiles", run_id=run_id),
        minutes=session.frame("replay_minutes", run_id=run_id),
        attainment=session.frame("replay_attainment", run_id=run_id),
        bands=bands,
    )
