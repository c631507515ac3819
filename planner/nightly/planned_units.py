"""The planned units of each job at any moment: what autoscalers may follow."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from planner.core.fleet.units import AGGREGATED, ROLES, Units
from planner.nightly.dates import ONE_DAY
from planner.nightly.documents import JobUnits, LedgerRow
from planner.runs.figures import RunRecord
from planner.store import Session


@dataclass(frozen=True, kw_only=True)
class PlannedUnits:
    """The units of a plan.

    starts: of its intervals, in order; ends_at: of the last one. roles: that its units have. units: of every interval.
    """

    run_id: str
    starts: tuple[datetime, ...]
    ends_at: datetime
    roles: tuple[str, ...]
    units: tuple[Units, ...]

    def at(self, moment: datetime) -> JobUnits | None:
        """The units at a moment; None outside the plan."""
        place = bisect_right(self.starts, moment) - 1
        if place < 0 or moment >= self.ends_at:
            return None
        return JobUnits(run_id=self.run_id, roles=self.roles, **vars(self.units[place]))


def read_planned(
    session: Session,
    rows: Sequence[LedgerRow],
    zones: Mapping[str, ZoneInfo],
    now: datetime,
    known: Mapping[str, Sequence[PlannedUnits]],
) -> dict[str, list[PlannedUnits]]:
    """The plans of each job that are about today or later, the newest first.

    rows: the ledger. zones: by job. known: plans that were read before, and cannot have changed.
    """
    read = {plan.run_id: plan for plans in known.values() for plan in plans}
    planned: dict[str, list[PlannedUnits]] = {job: [] for job in zones}
    for row in sorted(rows, key=lambda row: row.logical_date, reverse=True):
        zone = zones.get(row.job)
        if zone is None or row.run_id is None or row.logical_date + ONE_DAY < now.astimezone(zone).date():
            continue
        plan = read.get(row.run_id) or _read(session, row.run_id)
        if plan is not None:
            planned[row.job].append(plan)
    return planned


def _read(session: Session, run_id: str) -> PlannedUnits | None:
    """The units of a stored run; None if it has been deleted."""
    records = session.records("run_record", RunRecord, run_id=run_id)
    if not records:
        return None
    frame = session.frame("run_intervals", run_id=run_id)
    starts: list[datetime] = frame["interval_start"].to_list()
    return PlannedUnits(
        run_id=run_id,
        starts=tuple(starts),
        ends_at=starts[-1] + timedelta(seconds=records[0].interval_s),
        roles=ROLES if json.loads(records[0].settings)["fleet"].get("serving") != AGGREGATED else (AGGREGATED,),
        units=tuple(Units.of_columns(row) for row in frame.to_dicts()),
    )
