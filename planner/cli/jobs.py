"""Printing the training jobs of a plan."""

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from planner.cli.output import print_line, print_table, usd

if TYPE_CHECKING:
    from planner.runs.jobs import JobsView

_MOST_JOBS = 48


def print_jobs(view: "JobsView", zone: tzinfo, run_id: str) -> None:
    """Print where the lent node-hours went, and a row per job."""
    s = view.summary
    print_line()
    print_line(
        f"training jobs of {s.job_list}, {s.placement}: {s.finished} of {s.jobs} finished, "
        f"{s.deadlines_met} deadlines met, {s.deadlines_missed} missed; worth {usd(s.value_usd)}"
    )
    print_line(
        f"  of {s.lent_node_hours:,.2f} lent node-hours {s.useful_node_hours:,.2f} useful, "
        f"{s.lost_node_hours:,.2f} lost in {s.call_backs} call-backs, {s.restarting_node_hours:,.2f} loading, "
        f"{s.unused_node_hours:,.2f} unused"
    )
    jobs = view.jobs.to_dicts()
    rows = [
        (
            row["job"],
            row["gpus"],
            _clock(row["first_start_at"], zone),
            _clock(row["finished_at"], zone),
            _clock(row["deadline_at"], zone),
            row["status"],
            {True: "met", False: "missed", None: "-"}[row["deadline_met"]],
            row["call_backs"],
            row["useful_gpu_hours"],
            row["lost_gpu_hours"],
            row["restarting_gpu_hours"],
            usd(row["value_usd"]),
        )
        for row in jobs[:_MOST_JOBS]
    ]
    heads = ("<job", "GPUs", "<started", "<finished", "<due", "<status", "<deadline", "called back")
    print_table((*heads, "useful GPU-h", "lost", "loading", "worth"), rows)
    for row in jobs[:_MOST_JOBS]:
        if row["reason"]:
            print_line(f"  {row['job']} of {_clock(row['release_at'], zone)}: {row['reason']}")
    if len(jobs) > _MOST_JOBS:
        print_line(f"{len(jobs) - _MOST_JOBS} further jobs: planner sql --name run_jobs --param run_id={run_id}")


def _clock(moment: datetime | None, zone: tzinfo) -> str:
    return "-" if moment is None else moment.astimezone(zone).strftime("%m-%d %H:%M")
