"""Runs in the store: the only writer of run tables, and their readers."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

import polars as pl

from planner.catalogue.scenarios import stored_scenario
from planner.core.demand import Demand, Grid, local_hour_us
from planner.core.economics.ledger import Costs, Revenue
from planner.core.replay.intervals.plan import IntervalPlan
from planner.core.replay.jobs.outcome import JobsPlan
from planner.errors import LimitMissed, RunError, ScenarioError
from planner.runs.jobs import JobsView, job_frames, jobs_document, load_jobs
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.store.rows import frame_of
from planner.trace.stored import TraceInfo
from planner.units import US_PER_S, Ints

_RUN_TABLES = ("demand_interval", "plan_interval", "ledger_interval", "revenue_step", "training_window")
_FORECAST_TABLES = ("forecast_interval",)
_REPLAY_TABLES = (
    "replay_run",
    "replay_interval",
    "latency_histogram",
    "replay_minute",
    "replay_unit",
    "replay_request",
)
_JOB_TABLES = ("training_job", "training_job_run")
_PLAN_COLUMNS = (
    "prefill_units",
    "decode_units",
    "inference_nodes",
    "training_nodes",
    "serving_node_s",
    "starting_node_s",
    "draining_node_s",
    "training_node_s",
    "restoring_node_s",
    "idle_node_s",
    "prefill_capacity_tokens",
    "decode_capacity_tokens",
    "prefill_serving_tokens",
    "decode_serving_tokens",
    "steady_shortfall_input_tokens",
    "steady_shortfall_output_tokens",
    "start_up_shortfall_input_tokens",
    "start_up_shortfall_output_tokens",
)


@dataclass(frozen=True)
class Input:
    """A number that a plan depends on and that stands in no scenario field. kind: as in Scenario.provenance."""

    name: str
    value: str
    kind: str
    source: str


@dataclass(frozen=True)
class PlanOutcome:
    """A finished plan, before it is stored. demand_source: what the policy saw, or none.

    jobs: None where the scenario names no training jobs.
    """

    scenario: Scenario
    trace: TraceInfo
    policy: str
    demand_source: str
    demand: Demand
    plan: IntervalPlan
    costs: Costs
    revenue: Revenue
    notes: tuple[str, ...]
    inputs: tuple[Input, ...]
    jobs: JobsPlan | None = None


@dataclass(frozen=True)
class ReplayView:
    """What a replay measured: its row, percentiles by hour, means by minute, attainment by hour and class."""

    summary: Mapping[str, Any]
    percentiles: pl.DataFrame
    minutes: pl.DataFrame
    attainment: pl.DataFrame


@dataclass(frozen=True)
class RunView:
    """A stored run, read whole: record, summary, and frames by interval, hour, revenue step and training window.

    replay: None for a run that is a plan only. jobs: None for one that names no training jobs.
    """

    record: Mapping[str, Any]
    summary: Mapping[str, Any]
    intervals: pl.DataFrame
    hours: pl.DataFrame
    waterfall: pl.DataFrame
    training: pl.DataFrame
    replay: ReplayView | None
    jobs: JobsView | None = None

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario of the run. Raises RunError where another version stored it with other fields."""
        try:
            return stored_scenario(self.record["settings"])
        except ScenarioError as error:
            raise RunError(
                f"{self.record['run_id']} was stored by another version of planner, with other settings; plan again"
            ) from error

    @property
    def inputs(self) -> list[Input]:
        return [Input(**item) for item in json.loads(self.record["inputs"])]


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
    frames = _frames(outcome)
    digest = hashlib.sha256()
    for name in frames:
        digest.update(frames[name].write_csv().encode())
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
        "seed": json.loads(outcome.trace.settings).get("seed"),
        "notes": list(outcome.notes),
        "inputs": json.dumps([vars(item) for item in outcome.inputs]),
        "result_digest": digest.hexdigest(),
        "planner_version": version,
    }
    run = pl.DataFrame([record], schema_overrides={"notes": pl.List(pl.String), "profile": pl.String, "seed": pl.Int64})
    return {"run": run, **frames}


def _put_run(session: Session, frames: Mapping[str, pl.DataFrame]) -> str:
    """Append the rows of a run under the next run_id, and return it."""
    run_id = f"run-{session.next_number('run_sequence'):05d}"
    for name, frame in frames.items():
        if frame.height:
            session.append(name, frame.with_columns(run_id=pl.lit(run_id)))
    return run_id


def resolve_run(session: Session, run_id: str | None) -> str:
    """The run of that id, or the newest. Raises RunError."""
    if run_id is None:
        rows = session.rows("run_latest")
        if not rows:
            raise RunError("no run is stored; make one with `planner plan`")
        return str(rows[0]["run_id"])
    if not session.rows("run_record", run_id=run_id):
        known = [str(row["run_id"]) for row in session.rows("run_list")]
        cure = f"the newest are {', '.join(known[-5:])}" if known else "make one with `planner plan`"
        raise RunError(f'no run "{run_id}"; {cure}')
    return run_id


def load_run(session: Session, run_id: str | None = None) -> RunView:
    """A stored run; the newest without an id. Raises RunError."""
    found = resolve_run(session, run_id)
    return RunView(
        record=session.rows("run_record", run_id=found)[0],
        summary=session.rows("run_summary_of", run_id=found)[0],
        intervals=session.frame("run_intervals", run_id=found),
        hours=session.frame("run_hours", run_id=found),
        waterfall=session.frame("run_waterfall", run_id=found),
        training=session.frame("run_training", run_id=found),
        replay=_replay_of(session, found),
        jobs=load_jobs(session, found),
    )


def _replay_of(session: Session, run_id: str) -> ReplayView | None:
    rows = session.rows("replay_summary", run_id=run_id)
    if not rows:
        return None
    return ReplayView(
        summary=rows[0],
        percentiles=session.frame("replay_percentiles", run_id=run_id),
        minutes=session.frame("replay_minutes", run_id=run_id),
        attainment=session.frame("replay_attainment", run_id=run_id),
    )


def delete_run(store: Store, run_id: str) -> None:
    """Delete a run and all its rows. Raises RunError."""
    with store.write() as session:
        found = resolve_run(session, run_id)
        for table in ("run", "policy_comparison", *_RUN_TABLES, *_JOB_TABLES, *_FORECAST_TABLES, *_REPLAY_TABLES):
            session.execute(f"run_delete_{table}", run_id=found)


def diff_runs(one: RunView, two: RunView) -> dict[str, Any]:
    """What differs between two runs: settings, figures, and intervals with other nodes."""
    settings = {
        path: [before, after]
        for path, before, after in _changed(json.loads(one.record["settings"]), json.loads(two.record["settings"]))
        if not path.startswith("provenance")
    }
    before, after = _figures_of(one), _figures_of(two)
    figures = {
        key: [before.get(key), after.get(key)]
        for key in dict.fromkeys((*before, *after))
        if key not in ("run_id", "created_at", "result_digest") and before.get(key) != after.get(key)
    }
    same_length = one.summary["interval_s"] == two.summary["interval_s"]
    comparable = one.intervals if same_length else one.intervals.clear()
    both = comparable.join(two.intervals, on="interval_start", how="inner", suffix="_other")
    different = both.filter(pl.col("inference_nodes") != pl.col("inference_nodes_other"))
    return {
        "runs": [one.summary["run_id"], two.summary["run_id"]],
        "settings": settings,
        "figures": figures,
        "same_intervals": same_length,
        "intervals_compared": both.height,
        "intervals_with_other_nodes": different.height,
    }


def _figures_of(run: RunView) -> dict[str, Any]:
    """The figures of a run, those of its training jobs under names of their own."""
    jobs = run.jobs.summary if run.jobs else {}
    return {**run.summary, **{f"training_jobs.{key}": value for key, value in jobs.items()}}


def _changed(one: Any, two: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(two, dict):
        return [
            change
            for key in dict.fromkeys((*one, *two))
            for change in _changed(one.get(key), two.get(key), f"{path}.{key}" if path else key)
        ]
    return [(path, one, two)] if one != two else []


def _frames(outcome: PlanOutcome) -> dict[str, pl.DataFrame]:
    """The rows of every run table but `run`, without run_id."""
    grid, demand, plan = outcome.demand.grid, outcome.demand, outcome.plan
    starts = _times(grid.starts_us)
    zone = outcome.scenario.zone
    hours = _times([local_hour_us(int(start), zone) for start in grid.starts_us])
    costs, earned = outcome.costs, outcome.revenue
    return {
        "demand_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "requests": demand.requests,
                "input_tokens": demand.input_tokens,
                "cached_input_tokens": demand.cached_input_tokens,
                "output_tokens": demand.output_tokens,
            }
        ),
        "plan_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "hour_start": hours,
                **{name: getattr(plan, name) for name in _PLAN_COLUMNS},
            }
        ),
        "ledger_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "cost_usd_micros": costs.inference,
                "training_cost_usd_micros": costs.training,
                "idle_cost_usd_micros": costs.idle,
                "fleet_cost_usd_micros": costs.fleet,
                "training_charge_usd_micros": costs.training_charge,
                "revenue_usd_micros": earned.theoretical,
                "expected_revenue_usd_micros": earned.expected,
            }
        ),
        "revenue_step": pl.DataFrame(
            {
                "step_index": range(len(earned.steps)),
                "step": [step for step, _ in earned.steps],
                "amount_usd_micros": [amount for _, amount in earned.steps],
            }
        ),
        "training_window": _windows(grid, plan),
        **(job_frames(outcome.jobs, grid, outcome.scenario.fleet.gpus_per_node) if outcome.jobs else {}),
    }


def _windows(grid: Grid, plan: IntervalPlan) -> pl.DataFrame:
    windows = plan.windows
    return pl.DataFrame(
        {
            "window_start": _times([grid.start_us + window.start_s * US_PER_S for window in windows]),
            "window_end": _times([grid.start_us + window.end_s * US_PER_S for window in windows]),
            "nodes": pl.Series([window.nodes for window in windows], dtype=pl.Int64),
            "restoring_node_s": pl.Series([window.restoring_node_s for window in windows], dtype=pl.Int64),
            "training_node_s": pl.Series([window.training_node_s for window in windows], dtype=pl.Int64),
        }
    )


def _times(at_us: Ints | list[int]) -> pl.Series:
    return pl.Series(at_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))


def missed_limits(run: RunView) -> list[str]:
    """The limits of the scenario that a run misses, one line each."""
    return limits_missed(run.scenario, run.summary)


def limits_missed(scenario: Scenario, summary: Mapping[str, Any]) -> list[str]:
    """The limits of a scenario that figures named as a run's summary miss, one line each."""
    missed = []
    if summary["shortfall_ratio"] > scenario.slo.max_shortfall_ratio:
        missed.append(
            f"shortfall is {summary['shortfall_ratio']:.4%} of tokens and slo.max_shortfall_ratio allows "
            f"{scenario.slo.max_shortfall_ratio:.4%}"
        )
    budget = scenario.economics.budget_usd
    if budget is not None and summary["cost_usd"] > budget:
        missed.append(f"inference costs ${summary['cost_usd']:,.2f} and economics.budget_usd allows ${budget:,.2f}")
    return missed


def check_limits(run: RunView) -> None:
    """Raises LimitMissed where a run misses a limit that its scenario states."""
    missed = missed_limits(run)
    if missed:
        raise LimitMissed("; ".join(missed) + "; change the plan, or the limit")


def plan_document(run: RunView) -> dict[str, Any]:
    """A plan as one JSON document: figures, notes, and a row per local hour. Times are ISO-8601 with offset."""
    zone = run.scenario.zone
    summary = {key: value for key, value in run.summary.items() if not isinstance(value, datetime)}
    hours = [
        {
            "start": row["hour_start"].astimezone(zone).isoformat(),
            **{k: v for k, v in row.items() if k != "hour_start"},
        }
        for row in run.hours.to_dicts()
    ]
    return {
        **summary,
        "created_at": run.summary["created_at"].isoformat(),
        "timezone": run.record["timezone"],
        "notes": list(run.record["notes"]),
        "missed_limits": missed_limits(run),
        "waterfall": run.waterfall.select("step", "amount_usd").to_dicts(),
        "training_windows": [
            {
                "start": row["window_start"].astimezone(zone).isoformat(),
                "end": row["window_end"].astimezone(zone).isoformat(),
                "nodes": row["nodes"],
                "training_node_hours": row["training_node_hours"],
                "useful_training_node_hours": row["useful_training_node_hours"],
            }
            for row in run.training.to_dicts()
        ],
        "jobs": jobs_document(run.jobs, zone),
        "hours": hours,
    }
