"""Past days of a job: the plan that was made for each, compared with actual demand."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import polars as pl

from planner.documents import Document
from planner.nightly.dates import ONE_DAY
from planner.nightly.documents import LedgerRow
from planner.nightly.plan_vs_actual import ActualFigures
from planner.runs.figures import RunFigures
from planner.store import Session

_TABLE = "plan_actual"


@dataclass(frozen=True, kw_only=True)
class PastDay(Document):
    """A row of the view plan_vs_actual; the table of the store says what each column means."""

    job: str
    day: date
    run_id: str
    planned_node_hours: float
    needed_node_hours: float
    planned_peak_nodes: int
    needed_peak_nodes: int
    requests: int
    input_tokens: int
    output_tokens: int
    forecast_input_tokens: int
    forecast_output_tokens: int
    input_wape: float | None
    output_wape: float | None
    input_bias: float | None
    output_bias: float | None
    within_quantile: float
    shortfall_tokens: int
    needed_shortfall_tokens: int
    shortfall_ratio: float
    excess_cost_usd: float
    shortfall_revenue_usd: float
    error_cost_usd: float
    band_missed: bool
    drift: bool


def read_past_days(session: Session, job: str) -> list[PastDay]:
    """The compared days of a job, newest first."""
    return session.records("plan_actual_days", PastDay, job=job)


def append_past_day(
    session: Session, job: str, day: date, figures: ActualFigures, *, band_missed: bool, drift: bool
) -> None:
    """Store the figures of a day."""
    row = {"job": job, "day": day, **asdict(figures), "band_missed": band_missed, "drift": drift}
    session.append(_TABLE, pl.DataFrame([row]))


def is_drift(missed: bool, day: date, earlier: Sequence[PastDay], days: int) -> bool:
    """Whether the band was missed on `days` days running. earlier: compared days, newest first."""
    before = [past for past in earlier if past.day < day][: days - 1]
    consecutive = all((day - past.day).days == place for place, past in enumerate(before, 1))
    return missed and len(before) == days - 1 and consecutive and all(past.band_missed for past in before)


def plans_by_day(session: Session, job: str) -> dict[date, str]:
    """The stored plans of a job: planned day -> run."""
    stored = stored_run_ids(session)
    rows = [row for row in session.records("job_runs", LedgerRow) if row.job == job]
    return {row.logical_date + ONE_DAY: row.run_id for row in rows if row.run_id is not None and row.run_id in stored}


def stored_run_ids(session: Session) -> set[str]:
    """The runs that have not been deleted."""
    return {figures.run_id for figures in session.records("run_list", RunFigures)}
