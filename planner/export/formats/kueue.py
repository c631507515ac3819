"""Kueue: CronJobs that give a ClusterQueue the quota of the nodes that are lent to training. Pure.

Rules of the format, from Kueue's API (v1beta1 and v1beta2 alike): a quota is nominalQuota, in
spec.resourceGroups[].flavors[].resources[]. A merge would replace the groups of a queue as a whole, so the jobs send
JSON patches, which test the names of flavor and resource at their place first and change nothing where these are
others. A ClusterQueue has no namespace. A quota that shrinks evicts nobody.
"""

import json

from planner.errors import RunError
from planner.export.formats.jobs import JOBS, JobOwner, cron_job, deadline_s, job_name, prune_note, rights, steps_of
from planner.export.formats.manifests import to_yaml
from planner.export.formats.recurring import Series, recurring, week_note
from planner.export.formats.schedule import Export, ExportSchedule


def kueue(schedule: ExportSchedule) -> Export:
    """The nodes lent to training as quotas. Raises RunError if there are none or they do not recur, UsageError."""
    if not schedule.training_nodes.any():
        raise RunError(
            f"{schedule.run_id} lends no nodes to training, so a queue gets no quota; "
            "plan with training.lend=true and a fleet that inference does not fill"
        )
    queue = schedule.settings.kueue_cluster_queue
    owner = JobOwner(f"planner-kueue-{queue}", f"kueue-{queue}")
    # negative, because what does not fit is lent less
    lent = Series(
        of="training",
        noun="nodes lent to training",
        workload=queue,
        values=-schedule.training_nodes,
        nodes=lambda values: values,
    )
    found = recurring(schedule, lent, JOBS, lambda pattern: len(steps_of(schedule, pattern)))
    steps = steps_of(schedule, found.pattern)
    seconds = deadline_s(schedule, steps)
    jobs = [
        cron_job(
            schedule,
            owner,
            job_name(queue, step.at, "export.kueue_cluster_queue", "-quota"),
            step.at,
            _patch(schedule, -step.units * schedule.gpus_per_node),
            seconds,
        )
        for step in steps
    ]
    notes = (
        *week_note(schedule, lent=True),
        *found.notes,
        f"Kueue evicts nobody when the quota of {queue} shrinks: training has to end by itself, or its jobs need a "
        "limit such as the label kueue.x-k8s.io/max-exec-time-seconds",
    )
    comments = [
        schedule.title,
        f"Quotas are GPUs of the nodes that are lent throughout, {schedule.gpus_per_node} each; cpu and memory of the "
        "queue stay as they are.",
        *notes,
        prune_note(owner),
        "The ClusterRole below lets the jobs change this ClusterQueue and nothing else.",
    ]
    rules = [("kueue.x-k8s.io", "clusterqueues", ["get", "patch"])]
    text = to_yaml(comments, [*rights(schedule, owner, rules, [queue], of_cluster=True), *jobs])
    return Export(text, f"{len(jobs)} CronJobs and their ClusterRole", notes, (found.against_plan,))


def _patch(schedule: ExportSchedule, quota: int) -> list[str]:
    settings = schedule.settings
    flavor, _, _ = settings.kueue_quota.rpartition("/resources/")
    patch = json.dumps(
        [
            {"op": "test", "path": f"{flavor}/name", "value": settings.kueue_flavor},
            {"op": "test", "path": f"{settings.kueue_quota}/name", "value": settings.kueue_resource},
            {"op": "replace", "path": f"{settings.kueue_quota}/nominalQuota", "value": quota},
        ]
    )
    return ["patch", f"clusterqueues.kueue.x-k8s.io/{settings.kueue_cluster_queue}", "--type=json", f"--patch={patch}"]
