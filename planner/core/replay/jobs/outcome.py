"""Training jobs on the lent nodes: the jobs, the outcome of each, and where every lent GPU-second went. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Literal

from planner.core.demand import Grid
from planner.core.replay.intervals.lending import LentWindow
from planner.core.replay.jobs.placement import JobInstance, LentNode, PlacedJobs, Segment, lent_nodes, place
from planner.errors import UsageError
from planner.settings.closed import minute_of_day
from planner.settings.fleet import FleetSettings
from planner.settings.training import TrainingSettings
from planner.settings.training_jobs import JobList, Moment, TrainingJob
from planner.units import S_PER_DAY, S_PER_HOUR, US_PER_S, counted, from_us, micros, round_half_up, to_us

Status = Literal["finished", "unfinished", "not started"]


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """The outcome of a job. deadline_met:  None without a deadline, or where the plan ends before it.

    reason: why it is not finished, or "". value_micros: worth of its progress, 1e-6 USD; 0 where a deadline is missed.
    """

    job: JobInstance
    segments: tuple[Segment, ...]
    status: Status
    deadline_met: bool | None
    reason: str
    value_micros: int

    @property
    def useful_gpu_s(self) -> int:
        """GPU-seconds of progress that was kept."""
        return self.job.gpus * sum(segment.kept_s for segment in self.segments)

    @property
    def lost_gpu_s(self) -> int:
        """GPU-seconds of progress that was lost when nodes were called back."""
        return self.job.gpus * sum(segment.lost_s for segment in self.segments)

    @property
    def restarting_gpu_s(self) -> int:
        """GPU-seconds of loading."""
        return self.job.gpus * sum(segment.restarting_s for segment in self.segments)

    @property
    def call_backs(self) -> int:
        """How often inference took its nodes."""
        return sum(segment.ending == "called back" for segment in self.segments)

    @property
    def finished_s(self) -> int | None:
        """When it was done, seconds from the plan's start."""
        return self.segments[-1].end_s if self.status == "finished" else None


@dataclass(frozen=True)
class JobsPlan:
    """All jobs of a plan, in order of their earliest start and then of the list.

    lent GPU-seconds = useful + lost + restarting + unused.
    """

    outcomes: tuple[JobOutcome, ...]
    lent_gpu_s: int
    unused_gpu_s: int

    @cached_property
    def held_gpu_s(self) -> int:
        """GPU-seconds that jobs held: useful, lost and restarting."""
        return sum(job.useful_gpu_s + job.lost_gpu_s + job.restarting_gpu_s for job in self.outcomes)


def check_jobs(jobs: JobList, fleet: FleetSettings) -> None:
    """Raises UsageError with every job that no placement could run: beyond the fleet, or not of whole nodes."""
    per_node, most = fleet.gpus_per_node, fleet.nodes * fleet.gpus_per_node
    problems = []
    for job in jobs.job:
        if job.gpus > most:
            problems.append(
                f'job "{job.name}" needs {job.gpus} GPUs and the fleet has {most} ({counted(fleet.nodes, "node")} of '
                f"{per_node}); lower its gpus"
            )
        elif job.gpus > per_node and job.gpus % per_node:
            below = job.gpus // per_node * per_node
            problems.append(
                f'job "{job.name}" needs {job.gpus} GPUs, neither part of one node nor whole nodes of {per_node}; '
                f"use {below} or {below + per_node}"
            )
    if problems:
        raise UsageError(f"job list {jobs.name}: {'; '.join(problems)}")


def jobs_of(jobs: JobList, training: TrainingSettings, grid: Grid, zone: tzinfo) -> list[JobInstance]:
    """The jobs that may start within the plan, a daily one once for each of its starts, in order of start."""
    instances = [
        _job(job, at_s, day, training, grid, zone) for job in jobs.job for day, at_s in _starts(job, grid, zone)
    ]
    return sorted(instances, key=lambda job: job.release_s)


def run_jobs(
    jobs: Sequence[JobInstance],
    windows: Sequence[LentWindow],
    grid: Grid,
    fleet: FleetSettings,
    training: TrainingSettings,
    *,
    known: bool,
) -> JobsPlan:
    """Place jobs on the plan's training windows. known: whether the policy's targets were known ahead."""
    nodes = lent_nodes(windows)

    def placed(some: Sequence[JobInstance]) -> PlacedJobs:
        return place(some, nodes, fleet.gpus_per_node, rule=training.placement, known=known, end_s=grid.length_s)

    done = placed(jobs)
    by_job: dict[int, list[Segment]] = {}
    for segment in done.segments:
        by_job.setdefault(segment.job, []).append(segment)
    outcomes = []
    for index, job in enumerate(jobs):
        segments = tuple(by_job.get(index, ()))
        reason = ""
        if not segments:
            alone = bool(placed([job]).segments)
            reason = _why_not_started(job, nodes, fleet.gpus_per_node, known=known, alone=alone)
        outcomes.append(_outcome(job, segments, reason, grid.length_s, fleet.gpus_per_node))
    plan = JobsPlan(
        tuple(outcomes),
        lent_gpu_s=fleet.gpus_per_node * sum(node.end_s - node.start_s for node in nodes),
        unused_gpu_s=done.unused_gpu_s,
    )
    assert plan.lent_gpu_s == plan.held_gpu_s + plan.unused_gpu_s, "a lent GPU-second is missing or counted twice"
    return plan


def _outcome(
    job: JobInstance, segments: tuple[Segment, ...], reason: str, end_s: int, gpus_per_node: int
) -> JobOutcome:
    done_s = sum(segment.kept_s for segment in segments)
    finished = bool(segments) and segments[-1].ending == "finished"
    met = None
    if job.deadline_s is not None:
        if finished:
            met = segments[-1].end_s <= job.deadline_s
        elif job.deadline_s <= end_s:
            met = False
    if segments and not finished:
        reason = f"{done_s / S_PER_HOUR:.4g} of {job.work_s / S_PER_HOUR:.4g} h are done when the plan ends"
    worth = done_s * job.gpus * job.node_hour_micros if met is not False else 0
    return JobOutcome(
        job=job,
        segments=segments,
        status="finished" if finished else "unfinished" if segments else "not started",
        deadline_met=met,
        reason=reason,
        value_micros=round_half_up(worth, S_PER_HOUR * gpus_per_node),
    )


def _why_not_started(
    job: JobInstance, nodes: Sequence[LentNode], gpus_per_node: int, *, known: bool, alone: bool
) -> str:
    """alone: whether it would have started without the other jobs."""
    if not nodes:
        return "no node is lent"
    if not (job.preemptible or known):
        return "it is not preemptible, and the policy does not know ahead how long nodes are free"
    needed, most = -(-job.gpus // gpus_per_node), 1 + max(node.slot for node in nodes)
    if needed > most:
        return f"it needs {counted(needed, 'node')}, and at most {most} are lent at a time"
    if alone:
        return "other jobs held the GPUs"
    if not job.preemptible:
        return (
            "it is not preemptible, and no nodes are lent for the "
            f"{(job.restart_s + job.work_s) / S_PER_HOUR:.4g} h that it needs after its earliest start"
        )
    return "after its earliest start, no nodes are lent long enough for it to keep any progress"


def _starts(job: TrainingJob, grid: Grid, zone: tzinfo) -> list[tuple[int, int]]:
    """Day of the job, from 0, and earliest start, seconds from the plan's start; within the plan."""
    if isinstance(job.start, str):
        starts = [at_s for at_s in _occurrences(job.start, grid, zone) if 0 <= at_s < grid.length_s]
    else:
        starts = list(range(round((job.start or 0) * S_PER_HOUR), grid.length_s, S_PER_DAY))
    return list(enumerate(starts if job.daily else starts[:1]))


def _job(job: TrainingJob, at_s: int, day: int, training: TrainingSettings, grid: Grid, zone: tzinfo) -> JobInstance:
    return JobInstance(
        name=job.name,
        gpus=job.gpus,
        work_s=job.work_s,
        checkpoint_s=job.checkpoint_s,
        restart_s=training.restore_s if job.restart_s is None else job.restart_s,
        preemptible=job.preemptible,
        release_s=at_s,
        deadline_s=_deadline(job.deadline, at_s, day, grid, zone),
        node_hour_micros=micros(job.usd_per_node_hour),
    )


def _deadline(deadline: Moment | None, at_s: int, day: int, grid: Grid, zone: tzinfo) -> int | None:
    if isinstance(deadline, str):
        return next(moment_s for moment_s in _occurrences(deadline, grid, zone) if moment_s > at_s)
    return None if deadline is None else round(deadline * S_PER_HOUR) + day * S_PER_DAY


def _occurrences(text: str, grid: Grid, zone: tzinfo) -> list[int]:
    """A local wall-clock time on every date from the plan's first to two after its last, seconds from its start."""
    first, last = (from_us(at_us, zone).date() for at_us in (grid.start_us, grid.end_us))
    midnights = (datetime.combine(first + timedelta(days=day), time(), zone) for day in range((last - first).days + 3))
    moments = (midnight + timedelta(minutes=minute_of_day(text)) for midnight in midnights)
    return [(to_us(moment) - grid.start_us) // US_PER_S for moment in moments]
