"""CronJobs that run kubectl, and what they share. Pure.

Rules of the format, from the CronJob controller: a job starts at every time of its zone's wall clock that its schedule
names; times that the clock skips do not occur, repeated ones occur twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.errors import UsageError
from planner.export.formats.manifests import Manifest, metadata
from planner.export.formats.recurrence import (
    DAYS,
    MINUTES_PER_DAY,
    Jump,
    Moment,
    Pattern,
    RecurringStep,
    find_jumps_in_year,
    minute_of_day,
    recurring_steps,
)
from planner.export.formats.recurring import Limit
from planner.export.formats.schedule import ExportSchedule

JOBS = Limit(300, "the 300 CronJobs that are written for one target", least_minutes=10)
"""Chosen: two targets of 300 jobs of 1.5 kB stay below the 1 MiB that a Secret of Helm or a ConfigMap holds. In ten
minutes there is time to start late and to pull the image."""
_NOBODY = 65532
"""Published: the user nonroot of distroless images, such as that of kubectl; any user but root will do."""
_LONGEST_NAME = 52
"""Published: a CronJob's name leaves room for the 11 characters that its Jobs add."""
_LONGEST_DEADLINE_S = 1_800
"""Chosen: half an hour pulls any image and rides out most outages of a control plane."""


@dataclass(frozen=True)
class JobOwner:
    """What the jobs of a schedule share: the name of their service account, and the label by which they are pruned."""

    account: str
    instance: str


def steps_of(schedule: ExportSchedule, pattern: Pattern) -> list[RecurringStep]:
    """The steps of a pattern that hold on days on which the clock jumps, and from the start of the plan on."""
    return recurring_steps(
        pattern, find_jumps_in_year(schedule.zone, schedule.grid.start_us), _begin(schedule, pattern)
    )


def _begin(schedule: ExportSchedule, pattern: Pattern) -> int | None:
    """The minute at which units are set as the plan starts, but not so near to a change that a late job undoes it."""
    begin = minute_of_day(schedule.grid.start_us, schedule.zone)
    changes = {minute % MINUTES_PER_DAY for minute in pattern.changes}
    since = min(((begin - minute) % MINUTES_PER_DAY for minute in changes), default=MINUTES_PER_DAY)
    until = min(((minute - begin) % MINUTES_PER_DAY for minute in changes), default=MINUTES_PER_DAY)
    if since == 0:
        return begin
    later = max(JOBS.least_minutes - since, 0)
    return (begin + later) % MINUTES_PER_DAY if until - later >= JOBS.least_minutes else None


def deadline_s(schedule: ExportSchedule, steps: Sequence[RecurringStep]) -> int:
    """Seconds that a job has to start, and as many to finish, so that a late one never undoes the next."""
    gaps = [_shortest_gap(steps, None)]
    gaps += [_shortest_gap(steps, jump) for jump in find_jumps_in_year(schedule.zone, schedule.grid.start_us)]
    return min(min(gaps) * 60 // 2, _LONGEST_DEADLINE_S)


def _shortest_gap(steps: Sequence[RecurringStep], jump: Jump | None) -> int:
    """The fewest minutes between two steps, whatever their days; where the clock skips some, without those."""
    minutes = {step.at.minute for step in steps}
    if jump is not None and jump.skips:
        first, last = (minute % MINUTES_PER_DAY for minute in jump.wall_minutes)
        length = (last - first) % MINUTES_PER_DAY
        skipped = jump.minutes_of_day
        minutes = {minute - (length if minute >= last > first else 0) for minute in minutes - skipped}
        day = MINUTES_PER_DAY - length
    else:
        day = MINUTES_PER_DAY
    ordered = sorted(minutes)
    return min(
        # there is none where the clock skips all steps
        (later - at for at, later in zip(ordered, [*ordered[1:], *(at + day for at in ordered[:1])], strict=True)),
        default=day,
    )


def cron_job(
    schedule: ExportSchedule, owner: JobOwner, name: str, at: Moment, command: Sequence[str], seconds: int
) -> Manifest:
    """A CronJob that runs kubectl. command: its arguments; seconds: to start in, and to finish in."""
    container = {
        "name": "kubectl",
        "image": schedule.settings.kubectl_image,
        "command": ["kubectl", *command],
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
        "metadata": metadata(schedule, name, owner.instance),
        "spec": {
            "schedule": at.cron,
            "timeZone": str(schedule.zone),
            "concurrencyPolicy": "Replace",
            "startingDeadlineSeconds": seconds,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "spec": {
                    "activeDeadlineSeconds": seconds,
                    "template": {
                        "spec": {
                            "serviceAccountName": owner.account,
                            "restartPolicy": "OnFailure",
                            "containers": [container],
                        }
                    },
                }
            },
        },
    }


def rights(
    schedule: ExportSchedule,
    owner: JobOwner,
    rules: Sequence[tuple[str, str, Sequence[str]]],
    names: Sequence[str],
    *,
    of_cluster: bool = False,
) -> list[Manifest]:
    """The service account, and what it may do. rules: group, resource and verbs; names: of the objects, and no others.

    of_cluster: the objects have no namespace.
    """
    kind = "ClusterRole" if of_cluster else "Role"
    # a role of the cluster is named after the namespace too, because others share the cluster
    role = f"{owner.account}-{schedule.settings.namespace}" if of_cluster else owner.account
    described = metadata(schedule, role, owner.instance, of_cluster=of_cluster)
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(schedule, owner.account, owner.instance),
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": described,
            "rules": [
                {
                    "apiGroups": [api_group],
                    "resources": [resource],
                    "resourceNames": list(names),
                    "verbs": list(verbs),
                }
                for api_group, resource, verbs in rules
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": described,
            "roleRef": {"apiGroup": group, "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": owner.account, "namespace": schedule.settings.namespace}],
        },
    ]


def job_name(target: str, at: Moment, field: str, action: str = "") -> str:
    """The name of the job of a step. field: where the target is set. Raises UsageError if it is too long."""
    days = "" if at.days is None else "-" + "".join(str(day) for day in sorted((day + 1) % DAYS for day in at.days))
    name = f"{target}{action}-{at.minute // 60:02d}{at.minute % 60:02d}{days}"
    if len(name) > _LONGEST_NAME:
        room = _LONGEST_NAME - len(name) + len(target)
        raise UsageError(
            f'{field}: "{target}" is too long for the names of CronJobs such as {name}, which have {_LONGEST_NAME} '
            f"characters; use at most {room} characters"
        )
    return name


def prune_note(owner: JobOwner) -> str:
    """How a schedule replaces an earlier one."""
    return (
        "To replace an earlier schedule and remove its leftovers: kubectl apply -f FILE --prune "
        f"-l app.kubernetes.io/managed-by=planner,app.kubernetes.io/instance={owner.instance} "
        "--prune-allowlist=batch/v1/CronJob"
    )
