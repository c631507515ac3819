"""Storing runs: the only writer of run tables."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from planner.runs.frames import UNDIGESTED, plan_frames
from planner.runs.outcome import PlanOutcome
from planner.runs.read import resolve_run
from planner.store import Session, Store
from planner.store.rows import frame_of
from planner.store.runs import delete_run_rows


@dataclass(frozen=True)
class Nightly:
    """What a nightly plan is stored with, in the same transaction.

    day: that it plans. forecast: rows of forecast_interval without run_id. claimed: raises where the night is no
    longer its own; planned: notes the run in the ledger.
    """

    day: date
    forecast: pl.DataFrame
    claimed: Callable[[Session], None]
    planned: Callable[[Session, str], None]


def save_plan(
    store: Store,
    outcome: PlanOutcome,
    *,
    now: datetime,
    version: str,
    replay: Mapping[str, pl.DataFrame] | None = None,
    nightly: Nightly | None = None,
) -> str:
    """Store a plan, and what a replay of it measured, in one transaction; returns the run_id.

    replay: rows of the replay's tables without run_id. nightly: what a nightly plan is stored with.
    """
    kind = "nightly" if nightly else "plan" if replay is None else "replay"
    rows = {**_run_rows(outcome, now=now, version=version, kind=kind), **(replay or {})}
    if nightly is None:
        with store.write() as session:
            return _put_run(session, rows)
    rows["run"] = rows["run"].with_columns(logical_date=pl.lit(nightly.day))
    with store.write() as session:
        nightly.claimed(session)
        run_id = _put_run(session, {**rows, "forecast_interval": nightly.forecast})
        nightly.planned(session, run_id)
    return run_id


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A row of the table policy_comparison, without ids and the time."""

    policy: str
    node_hours: float
    cost_usd: float
    shortfall_ratio: float
    scale_actions: int
    wasted_node_hours: float
    gap_to_bound: float | None
    level_utilisation: float | None
    level_node_hours: float | None
    level_gap_to_bound: float | None
    ttft_attainment: float | None
    tpot_attainment: float | None
    bound_node_hours: float | None
    bound_status: str


def save_comparison(
    store: Store, outcomes: Mapping[str, PlanOutcome], rows: Sequence[ComparisonRow], *, now: datetime, version: str
) -> tuple[str, dict[str, str]]:
    """Store the plans of several policies and their comparison in one transaction; its id, and run_ids by policy.

    outcomes: by the policy of `rows`.
    """
    runs = {name: _run_rows(outcome, now=now, version=version, kind="compare") for name, outcome in outcomes.items()}
    with store.write() as session:
        comparison_id = f"cmp-{session.next_number('comparison_sequence'):05d}"
        run_ids = {name: _put_run(session, frames) for name, frames in runs.items()}
        ids = pl.Series("run_id", [run_ids[row.policy] for row in rows])
        frame = frame_of(ComparisonRow, rows)
        frame = frame.with_columns(ids, comparison_id=pl.lit(comparison_id), created_at=pl.lit(now))
        session.append("policy_comparison", frame)
    return comparison_id, run_ids


def _run_rows(outcome: PlanOutcome, *, now: datetime, version: str, kind: str) -> dict[str, pl.DataFrame]:
    """The rows of a run in all tables, without run_id."""
    frames = plan_frames(outcome)
    digest = hashlib.sha256()
    for frame in frames.values():
        # without columns that plans of older versions do not have, so that theirs have the digests of then
        told = frame.drop(*UNDIGESTED, strict=False)
        told = told.drop("aggregated_units") if _has_no(frame, "aggregated_units") else told
        digest.update(told.write_csv().encode())
    record = {
        "created_at": now,
        "kind": kind,
        "scenario": outcome.scenario.name,
        "settings": outcome.scenario.model_dump_json(),
        "trace_id": outcome.trace.trace_id,
        "trace": outcome.trace.name,
        "profile": outcome.trace.profile,
        "policy": outcome.policy,
        "demand_source": outcome.demand_source,
        "interval_s": outcome.demand.grid.interval_s,
        "timezone": outcome.scenario.timezone,
        "seed": outcome.trace.arguments.seed,
        "notes": list(outcome.notes),
        "inputs": json.dumps([vars(item) for item in outcome.inputs]),
        "result_digest": digest.hexdigest(),
        "planner_version": version,
    }
    run = pl.DataFrame([record], schema_overrides={"notes": pl.List(pl.String), "profile": pl.String, "seed": pl.Int64})
    return {"run": run, **frames, "run_band": _bands(outcome)}


def _has_no(frame: pl.DataFrame, column: str) -> bool:
    """Whether a frame has a column that is 0 throughout."""
    return column in frame.columns and bool((frame[column] == 0).all())


def _bands(outcome: PlanOutcome) -> pl.DataFrame:
    """A row for the band of each figure."""
    schema = {"figure": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "measured": pl.Boolean}
    return pl.DataFrame([vars(band) for band in outcome.bands], schema=schema)


def put_draft(
    session: Session,
    outcome: PlanOutcome,
    *,
    now: datetime,
    version: str,
    replay: Mapping[str, pl.DataFrame] | None = None,
) -> str:
    """Write a plan, and what a replay of it measured, into a store that is not kept; returns its run_id there."""
    kind = "plan" if replay is None else "replay"
    return _put_run(session, {**_run_rows(outcome, now=now, version=version, kind=kind), **(replay or {})})


def _put_run(session: Session, frames: Mapping[str, pl.DataFrame]) -> str:
    """Append the rows of a run under the next run_id, and return it."""
    run_id = f"run-{session.next_number('run_sequence'):05d}"
    for name, frame in frames.items():
        if frame.height:
            session.append(name, frame.with_columns(run_id=pl.lit(run_id)))
    return run_id


def delete_run(store: Store, run_id: str) -> None:
    """Delete a run and all its rows. Raises RunError, StoreMissing where there is no store."""
    store.require()
    with store.write() as session:
        delete_run_rows(session, resolve_run(session, run_id))
