"""The account of a plan's training jobs: rows for the store, and the document for people and programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import polars as pl

from planner.core.demand import Grid
from planner.core.replay.jobs.outcome import JobsPlan
from planner.runs.local_time import local_times
from planner.store import Session
from planner.units import S_PER_HOUR, US_PER_S

_TIME = pl.Datetime("us", "UTC")
_PARTS = ("useful_gpu_s", "lost_gpu_s", "restarting_gpu_s")


@dataclass(frozen=True)
class JobsView:
    """Stored training jobs of a run: the account of lent node-hours, a row per job, a row per segment and node."""

    summary: Mapping[str, Any]
    jobs: pl.DataFrame
    segments: pl.DataFrame


def job_frames(plan: JobsPlan, grid: Grid, gpus_per_node: int) -> dict[str, pl.DataFrame]:
    """Rows of the tables training_job and training_job_run, without run_id."""

    def at(moment_s: int | None) -> int | None:
        return None if moment_s is None else grid.start_us + moment_s * US_PER_S

    jobs = [
        {
            "job_index": index,
            "job": one.job.name,
            "gpus": one.job.gpus,
            "preemptible": one.job.preemptible,
            "release_at": at(one.job.release_s),
            "deadline_at": at(one.job.deadline_s),
            "first_start_at": at(one.segments[0].start_s) if one.segments else None,
            "finished_at": at(one.finished_s),
            "status": one.status,
            "deadline_met": one.deadline_met,
            "call_backs": one.call_backs,
            "work_gpu_s": one.job.work_s * one.job.gpus,
            "useful_gpu_s": one.useful_gpu_s,
            "lost_gpu_s": one.lost_gpu_s,
            "restarting_gpu_s": one.restarting_gpu_s,
            "value_usd_micros": one.value_micros,
            "reason": one.reason,
        }
        for index, one in enumerate(plan.outcomes)
    ]
    segments = [
        {
            "job_index": index,
            "segment_index": number,
            "node_slot": slot,
            "gpus": (gpus := min(one.job.gpus, gpus_per_node)),
            "start_at": at(segment.start_s),
            "end_at": at(segment.end_s),
            "restarting_gpu_s": segment.restarting_s * gpus,
            "useful_gpu_s": segment.kept_s * gpus,
            "lost_gpu_s": segment.lost_s * gpus,
            "ending": segment.ending,
        }
        for index, one in enumerate(plan.outcomes)
        for number, segment in enumerate(one.segments)
        for slot in segment.slots
    ]
    return {
        "training_job": _frame(jobs, ("release_at", "deadline_at", "first_start_at", "finished_at")),
        "training_job_run": _frame(segments, ("start_at", "end_at")),
    }


def _frame(rows: list[dict[str, Any]], times: tuple[str, ...]) -> pl.DataFrame:
    """Rows whose times are UTC epoch microseconds; an empty frame for none."""
    if not rows:
        return pl.DataFrame()
    kinds: dict[str, Any] = dict.fromkeys(times, pl.Int64)
    if "deadline_met" in rows[0]:
        kinds["deadline_met"] = pl.Boolean
    return pl.DataFrame(rows, schema_overrides=kinds).with_columns(pl.col(times).cast(_TIME))


def load_jobs(session: Session, run_id: str) -> JobsView | None:
    """The training jobs of a stored run; None for a run that names none."""
    rows = session.rows("run_training_account", run_id=run_id)
    if not rows:
        return None
    return JobsView(rows[0], session.frame("run_jobs", run_id=run_id), session.frame("run_job_segments", run_id=run_id))


def jobs_document(view: JobsView | None, zone: tzinfo) -> dict[str, Any] | None:
    """The account and every job with its segments, JSON-ready; times are ISO-8601 with offset."""
    if view is None:
        return None
    together: dict[tuple[int, int], dict[str, Any]] = {}
    for row in local_times(view.segments, zone).to_dicts():
        found = together.setdefault(
            (row["job_index"], row["segment_index"]),
            {"start": row["start_at"], "end": row["end_at"], "ending": row["ending"], "node_slots": []}
            | dict.fromkeys(_PARTS, 0),
        )
        found["node_slots"].append(row["node_slot"])
        for part in _PARTS:
            found[part] += row[part]
    by_job: dict[int, list[dict[str, Any]]] = {}
    for (index, _), found in together.items():
        hours = {part.replace("gpu_s", "gpu_hours"): found.pop(part) / S_PER_HOUR for part in _PARTS}
        by_job.setdefault(index, []).append(found | hours)
    jobs = [
        {
            **{key.removesuffix("_at"): value for key, value in row.items() if key != "job_index"},
            "segments": by_job.get(row["job_index"], []),
        }
        for row in local_times(view.jobs, zone).to_dicts()
    ]
    return {**{key: value for key, value in view.summary.items() if key != "jobs"}, "jobs": jobs}
