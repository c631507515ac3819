"""The jobs of a jobs file, and when they are due next."""

from datetime import datetime

from planner.addresses import is_web_address, shown
from planner.nightly.dates import next_due_at
from planner.nightly.documents import ListedJob
from planner.nightly.jobs_file import Jobs, NightlyJob


def list_jobs(jobs: Jobs, now: datetime) -> list[ListedJob]:
    """Each job with the next date that becomes due after now, in the job's time zone."""
    return [_listed(jobs, job, now) for job in jobs.file.job]


def _listed(jobs: Jobs, job: NightlyJob, now: datetime) -> ListedJob:
    scenario = jobs.scenarios[job.name]
    return ListedJob(
        job=job.name,
        scenario=scenario.name,
        timezone=scenario.timezone,
        at=f"{job.at:%H:%M}",
        next_due=next_due_at(now, job.at, scenario.zone, job.first).astimezone(scenario.zone),
        log=shown(job.log.path) if is_web_address(job.log.path) else job.log.path,
        exports=tuple(file.path for file in job.export),
    )
