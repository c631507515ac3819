"""Kubernetes CronJobs that set replicas with kubectl, and the permissions they need. Pure."""

import json

from planner.errors import RunError
from planner.export.formats.jobs import JOBS, JobOwner, cron_job, deadline_s, job_name, prune_note, rights, steps_of
from planner.export.formats.manifests import GROUPS, Manifest, drain_notes, to_yaml, units_line
from planner.export.formats.recurring import Recurring, asleep_notes, recurring, units_of, week_note
from planner.export.formats.schedule import Export, ExportSchedule, RoleUnits

_WAKES = "add an autoscaler that scales the workload up from 0 by requests, such as KEDA"


def cronjob(schedule: ExportSchedule) -> Export:
    """The schedule as CronJobs. Raises RunError if none can express it, UsageError for names that are too long."""
    # one account per schedule, so that several can share a namespace
    owner = JobOwner(f"planner-{schedule.instance}", schedule.instance)
    found = [
        recurring(schedule, units_of(role), JOBS, lambda pattern: len(steps_of(schedule, pattern)))
        for role in schedule.roles
    ]
    jobs = [job for role, each in zip(schedule.roles, found, strict=True) for job in _jobs(schedule, owner, role, each)]
    names = [role.workload for role in schedule.roles]
    notes = (
        *week_note(schedule),
        *(note for each in found for note in (*each.notes, *asleep_notes(each, _WAKES))),
    )
    allowed = "this workload" if len(names) == 1 else "these two workloads"
    comments = [
        schedule.title,
        *(units_line(role) for role in schedule.roles),
        *drain_notes(schedule),
        *notes,
        prune_note(owner),
        f"The Role below lets the jobs change {allowed} and nothing else.",
    ]
    text = to_yaml(comments, [*rights(schedule, owner, _rules(schedule), names), *jobs])
    return Export(text, f"{len(jobs)} CronJobs and their Role", notes, tuple(each.against_plan for each in found))


def _jobs(schedule: ExportSchedule, owner: JobOwner, role: RoleUnits, found: Recurring) -> list[Manifest]:
    steps = steps_of(schedule, found.pattern)
    if schedule.settings.cronjob_action == "hpa" and min(step.units for step in steps) == 0:
        raise RunError(
            f"the plan has no {role.noun} at some times, and an HPA needs minReplicas of at least 1; "
            "set export.cronjob_action=scale"
        )
    seconds = deadline_s(schedule, steps)
    return [
        cron_job(
            schedule,
            owner,
            job_name(role.workload, step.at, f"export.{role.name}_workload"),
            step.at,
            _arguments(schedule, role, step.units),
            seconds,
        )
        for step in steps
    ]


def _arguments(schedule: ExportSchedule, role: RoleUnits, units: int) -> list[str]:
    if schedule.settings.cronjob_action == "hpa":
        patch = json.dumps({"spec": {"minReplicas": units}})
        return ["patch", f"horizontalpodautoscaler.autoscaling/{role.workload}", "--type=merge", f"--patch={patch}"]
    group, _, resource = GROUPS[schedule.settings.workload_kind]
    return ["scale", f"{resource}.{group}/{role.workload}", f"--replicas={units}"]


def _rules(schedule: ExportSchedule) -> list[tuple[str, str, list[str]]]:
    if schedule.settings.cronjob_action == "hpa":
        return [("autoscaling", "horizontalpodautoscalers", ["get", "patch"])]
    group, _, resource = GROUPS[schedule.settings.workload_kind]
    return [(group, resource, ["get"]), (group, f"{resource}/scale", ["get", "patch", "update"])]
