"""The training jobs of a run: rows for the store, and the document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby
from operator import itemgetter

import polars as pl

from planner.core.demand import Grid
from planner.core.replay.jobs.outcome import JobsPlan
from planner.documents import Document, Time
from planner.store import Session
from planner.units import S_PER_HOUR, US_PER_S

_TIME = pl.Datetime("us", "UTC")
_JOB_TIMES = ("release_at", "deadline_at", "first_start_at", "finished_at")
_SEGMENT_TIMES = ("start_at", "end_at")


@dataclass(frozen=True, kw_only=True)
class JobsFigures(Document):
    """Where the lent node-hours went, and how many jobs were done."""

    job_list: str
    placement: str
    """The rule by which jobs are placed on lent nodes."""
    finished: int
    unfinished: int
    not_started: int
    deadlines_met: int
    deadlines_missed: int
    call_backs: int
    """How often inference took nodes from a job."""
    lent_node_hours: float
    useful_node_hours: float
    """Progress that was kept."""
    lost_node_hours: float
    """Progress since the last checkpoint, lost when nodes were called back."""
    restarting_node_hours: float
    """Loading, at every start."""
    unused_node_hours: float
    """Lent, and held by no job."""
    value_usd: float
    """Worth of the progress that was kept."""


@dataclass(frozen=True, kw_only=True)
class JobsAccount(JobsFigures):
    """A row of the view training_account."""

    jobs: int


@dataclass(frozen=True, kw_only=True)
class JobSegmentDocument(Document):
    """An uninterrupted period in which a job held nodes."""

    start: Time
    end: Time
    ending: str
    """Why it ended: finished, called back, or the end of the plan."""
    node_slots: list[int]
    """Which of the lent nodes it held."""
    useful_gpu_hours: float
    lost_gpu_hours: float
    restarting_gpu_hours: float


@dataclass(frozen=True, kw_only=True)
class JobDocument(Document):
    """A training job: what it requested, held, kept and lost."""

    job: str
    gpus: int
    preemptible: bool
    """Whether inference may take its nodes."""
    release: Time
    """Earliest start."""
    deadline: Time | None
    first_start: Time | None
    finished: Time | None
    status: str
    deadline_met: bool | None
    """Null without a deadline, or where the plan ends before it."""
    call_backs: int
    work_gpu_hours: float
    """Progress that it needs to finish."""
    useful_gpu_hours: float
    lost_gpu_hours: float
    restarting_gpu_hours: float
    value_usd: float
    reason: str
    """Why it is not finished; empty if it is."""
    segments: list[JobSegmentDocument]


@dataclass(frozen=True, kw_only=True)
class JobsDocument(JobsFigures):
    """The training jobs of a plan: where the lent node-hours went, and every job."""

    jobs: list[JobDocument]


@dataclass(frozen=True)
class JobsView:
    """Stored training jobs of a run: the account of lent node-hours, a row per job, a row per segment and node."""

    summary: JobsAccount
    jobs: pl.DataFrame
    segments: pl.DataFrame


def job_frames(plan: JobsPlan, grid: Grid, gpus_per_node: int) -> dict[str, pl.DataFrame]:
    """Rows of the tables training_job and training_job_run, without run_id."""

    def at(moment_s: int | None) -> int | None:
        return None if moment_s is None else grid.start_us + moment_s * US_PER_S

    jobs = pl.DataFrame(
        [
            {
                "job_index": index,
                "job": outcome.job.name,
                "gpus": outcome.job.gpus,
                "preemptible": outcome.job.preemptible,
                "release_at": at(outcome.job.release_s),
                "deadline_at": at(outcome.job.deadline_s),
                "first_start_at": at(outcome.segments[0].start_s) if outcome.segments else None,
                "finished_at": at(outcome.finished_s),
                "status": outcome.status,
                "deadline_met": outcome.deadline_met,
                "call_backs": outcome.call_backs,
                "work_gpu_s": outcome.job.work_s * outcome.job.gpus,
                "useful_gpu_s": outcome.useful_gpu_s,
                "lost_gpu_s": outcome.lost_gpu_s,
                "restarting_gpu_s": outcome.restarting_gpu_s,
                "value_usd_micros": outcome.value_micros,
                "reason": outcome.reason,
            }
            for index, outcome in enumerate(plan.outcomes)
        ],
        schema_overrides={"deadline_met": pl.Boolean, **dict.fromkeys(_JOB_TIMES, pl.Int64)},
    )
    segments = pl.DataFrame(
        [
            {
                "job_index": index,
                "segment_index": number,
                "node_slot": slot,
                "gpus": (gpus := min(outcome.job.gpus, gpus_per_node)),
                "start_at": at(segment.start_s),
                "end_at": at(segment.end_s),
                "restarting_gpu_s": segment.restarting_s * gpus,
                "useful_gpu_s": segment.kept_s * gpus,
                "lost_gpu_s": segment.lost_s * gpus,
                "ending": segment.ending,
            }
            for index, outcome in enumerate(plan.outcomes)
            for number, segment in enumerate(outcome.segments)
            for slot in segment.slots
        ],
        schema_overrides=dict.fromkeys(_SEGMENT_TIMES, pl.Int64),
    )
    return {
        "training_job": _with_times(jobs, _JOB_TIMES),
        "training_job_run": _with_times(segments, _SEGMENT_TIMES),
    }


def _with_times(rows: pl.DataFrame, times: tuple[str, ...]) -> pl.DataFrame:
    """Rows whose UTC epoch microseconds are times; an empty frame stays as it is."""
    return rows.with_columns(pl.col(times).cast(_TIME)) if rows.height else pl.DataFrame()


def load_jobs(session: Session, run_id: str) -> JobsView | None:
    """The training jobs of a stored run; None for a run that names none."""
    accounts = session.records("run_training_account", JobsAccount, run_id=run_id)
    if not accounts:
        return None
    return JobsView(
        accounts[0], session.frame("run_jobs", run_id=run_id), session.frame("run_job_segments", run_id=run_id)
    )


def jobs_document(view: JobsView | None, zone: tzinfo) -> JobsDocument | None:
    """The account and every job with its segments; times are local."""
    if view is None:
        return None
    segments = _segments_by_job(view.segments, zone)
    jobs = []
    for row in view.jobs.to_dicts():
        index = row.pop("job_index")
        release, deadline, first_start, finished = (_local(row.pop(name), zone) for name in _JOB_TIMES)
        times = {"release": release, "deadline": deadline, "first_start": first_start, "finished": finished}
        jobs.append(JobDocument(**{**row, **times}, segments=segments.get(index, [])))
    return JobsDocument(**{name: value for name, value in vars(view.summary).items() if name != "jobs"}, jobs=jobs)


def _segments_by_job(segments: pl.DataFrame, zone: tzinfo) -> dict[int, list[JobSegmentDocument]]:
    """The segments of every job, by its index; rows of their nodes, which come in order, are summed."""
    by_job: dict[int, list[JobSegmentDocument]] = {}
    for (job, _), nodes in groupby(segments.to_dicts(), itemgetter("job_index", "segment_index")):
        rows = list(nodes)
        by_job.setdefault(job, []).append(
            JobSegmentDocument(
                start=rows[0]["start_at"].astimezone(zone),
                end=rows[0]["end_at"].astimezone(zone),
                ending=rows[0]["ending"],
                node_slots=[row["node_slot"] for row in rows],
                useful_gpu_hours=_hours(rows, "useful_gpu_s"),
                lost_gpu_hours=_hours(rows, "lost_gpu_s"),
                restarting_gpu_hours=_hours(rows, "restarting_gpu_s"),
            )
        )
    return by_job


def _hours(rows: Sequence[Mapping[str, int]], column: str) -> float:
    return sum(row[column] for row in rows) / S_PER_HOUR


def _local(moment: datetime | None, zone: tzinfo) -> datetime | None:
    return None if moment is None else moment.astimezone(zone)
