"""Plans that are looked at and not stored, read as stored runs are: by the same SQL, from a store in memory."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from planner.runs.outcome import PlanOutcome
from planner.runs.read import RunView, read_run
from planner.runs.write import put_draft
from planner.store import Session, memory_session, undone

UNSAVED = "unsaved"
"""The run_id of a plan that is not stored."""


class DraftRuns:
    """Where finished plans become views without being stored; nothing of one is left when the next one comes."""

    def __init__(self) -> None:
        self._session: Session = memory_session()

    def view(
        self,
        outcome: PlanOutcome,
        *,
        now: datetime,
        version: str,
        replay: Mapping[str, pl.DataFrame] | None = None,
    ) -> RunView:
        """A plan, and what a replay of it measured, as `load_run` would read it, under the run_id UNSAVED.

        replay: rows of the replay's tables without run_id, as `save_plan` takes them.
        """
        with undone(self._session):
            run = read_run(self._session, put_draft(self._session, outcome, now=now, version=version, replay=replay))
        return replace(run, record=replace(run.record, run_id=UNSAVED), summary=replace(run.summary, run_id=UNSAVED))
