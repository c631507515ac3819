"""The rows of a run, in all tables that have any."""

from planner.store.database import Session
from planner.store.tables import TABLES

_OUTLIVE_RUNS = ("job_run", "plan_actual")
"""The ledger of nightly jobs and the table of plans against actuals name a run, and are kept when it is deleted."""

RUN_TABLES = tuple(
    table.name
    for table in TABLES
    if table.name not in _OUTLIVE_RUNS and any(column.name == "run_id" for column in table.columns)
)
"""Tables whose rows are part of the run that they name."""


def delete_run_rows(session: Session, run_id: str) -> None:
    """Delete a run: its rows in every table."""
    for table in RUN_TABLES:
        session.connection.execute(f"DELETE FROM {table} WHERE run_id = $run_id", {"run_id": run_id})
