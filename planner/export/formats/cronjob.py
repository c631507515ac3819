"""Kubernetes CronJobs that set replicas with kubectl, and the permissions they need. Pure.

Rules of the format, from the CronJob controller: a job starts at every time of its zone's wall clock that its schedule
names; times that the clock skips do not occur, repeated ones occur twice.
"""

import json

from planner.errors import RunError, UsageError
from planner.export.formats.manifests import GROUPS, Manifest, drain_notes, metadata, to_yaml, units_line
from planner.export.formats.recurrence import (
    RecurringStep,
    find_jumps_in_year,
    minute_of_day,
    pattern_of,
    recurring_steps,
)
from planner.export.formats.schedule import Export, ExportSchedule, RoleUnits

_NOBODY = 65532
"""Published: the user nonroot of distroless images, such as that of kubectl; any user but root will do."""
_LONGEST_NAME = 52
"""Published: a CronJob's name leaves room for the 11 characters that its Jobs add."""


def cronjob(schedule: ExportSchedule) -> Export:
    """The schedule as CronJobs. Raises RunError if none can express it, UsageError for names that are too long."""
    skipped_or_repeated = find_jumps_in_year(schedule.zone, schedule.grid.start_us)
    begin = minute_of_day(schedule.grid.start_us, schedule.zone)
    jobs = []
    for role in schedule.roles:
        pattern = pattern_of(schedule.grid, role.units, schedule.zone, role.name)
        steps = recurring_steps(pattern, skipped_or_repeated, begin)
        if schedule.settings.cronjob_action == "hpa" and min(step.units for step in steps) == 0:
            raise RunError(
                f"the plan has no {role.name} units at some times, and an HPA needs minReplicas of at least 1; "
                "set export.cronjob_action=scale"
            )
        jobs += [_job(schedule, role, step) for step in steps]
    rights = [_account(schedule), _role(schedule), _binding(schedule)]
    comments = [
        schedule.title,
        *(units_line(role) for role in schedule.roles),
        *drain_notes(schedule),
        "To replace an earlier schedule and remove its leftovers: kubectl apply -f FILE --prune "
        f"-l app.kubernetes.io/managed-by=planner,app.kubernetes.io/instance={schedule.prefill.workload} "
        "--prune-allowlist=batch/v1/CronJob",
        "The Role below lets the jobs change these two workloads and nothing else.",
    ]
    return Export(to_yaml(comments, [*rights, *jobs]), f"{len(jobs)} CronJobs and their Role")


def _job(schedule: ExportSchedule, role: RoleUnits, step: RecurringStep) -> Manifest:
    # half an interval to start in and half to finish, so that a late job never undoes the next one
    half_s = schedule.grid.interval_s // 2
    container = {
        "name": "kubectl",
        "image": schedule.settings.kubectl_image,
        "command": ["kubectl", *_arguments(schedule, role, step.units)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(schedule, _name(role, step)),
        "spec": {
            "schedule": step.at.cron,
            "timeZone": str(schedule.zone),
            "concurrencyPolicy": "Replace",
            "startingDeadlineSeconds": half_s,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "spec": {
                    "activeDeadlineSeconds": half_s,
                    "template": {
                        "spec": {
                            "serviceAccountName": _account_name(schedule),
                            "restartPolicy": "OnFailure",
                            "containers": [container],
                        }
                    },
                }
            },
        },
    }


def _arguments(schedule: ExportSchedule, role: RoleUnits, units: int) -> list[str]:
    if schedule.settings.cronjob_action == "hpa":
        patch = json.dumps({"spec": {"minReplicas": units}})
        return ["patch", f"horizontalpodautoscaler.autoscaling/{role.workload}", "--type=merge", f"--patch={patch}"]
    group, _, resource = GROUPS[schedule.settings.workload_kind]
    return ["scale", f"{resource}.{group}/{role.workload}", f"--replicas={units}"]


def _name(role: RoleUnits, step: RecurringStep) -> str:
    days = "" if step.at.days is None else f"-{step.at.cron.split()[-1].replace(',', '')}"
    name = f"{role.workload}-{step.at.minute // 60:02d}{step.at.minute % 60:02d}{days}"
    if len(name) > _LONGEST_NAME:
        room = _LONGEST_NAME - len(name) + len(role.workload)
        raise UsageError(
            f'export.{role.name}_workload: "{role.workload}" is too long for the names of CronJobs such as {name}; '
            f"use at most {room} characters"
        )
    return name


def _account_name(schedule: ExportSchedule) -> str:
    """One per pair of workloads, so that several schedules can share a namespace."""
    return f"planner-{schedule.prefill.workload}"


def _account(schedule: ExportSchedule) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(schedule, _account_name(schedule))}


def _role(schedule: ExportSchedule) -> Manifest:
    names = [role.workload for role in schedule.roles]
    if schedule.settings.cronjob_action == "hpa":
        rights = [("autoscaling", "horizontalpodautoscalers", ["get", "patch"])]
    else:
        group, _, resource = GROUPS[schedule.settings.workload_kind]
        rights = [(group, resource, ["get"]), (group, f"{resource}/scale", ["get", "patch", "update"])]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata(schedule, _account_name(schedule)),
        "rules": [
            {"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs}
            for group, resource, verbs in rights
        ],
    }


def _binding(schedule: ExportSchedule) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata(schedule, _account_name(schedule)),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _account_name(schedule)},
        "subjects": [
            {"kind": "ServiceAccount", "name": _account_name(schedule), "namespace": schedule.settings.namespace}
        ],
    }
