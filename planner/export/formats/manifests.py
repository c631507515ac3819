"""Kubernetes objects as YAML, with comments at the head. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from planner.export.formats.schedule import Role, Schedule

Manifest = Mapping[str, Any]

GROUPS = {
    "Deployment": ("apps", "v1", "deployments"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
}
"""API group, version and resource of the kinds that units can be. Published: their API references."""


class _Dumper(yaml.SafeDumper):
    """Repeats what is used twice instead of naming it once: anchors are for machines."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def metadata(schedule: Schedule, name: str) -> dict[str, Any]:
    """Name, namespace, the run that an object comes from, and labels that tell schedules of other workloads apart."""
    return {
        "name": name,
        "namespace": schedule.settings.namespace,
        "labels": {"app.kubernetes.io/managed-by": "planner", "app.kubernetes.io/instance": schedule.prefill.workload},
        "annotations": {"planner/run": schedule.run_id},
    }


def drain_notes(schedule: Schedule) -> list[str]:
    """What the workloads themselves have to be set to."""
    return [
        "Replicas are the units that inference holds from each time on. A unit that leaves drains first: give the pods "
        f"terminationGracePeriodSeconds of at least {schedule.drain_deadline_s}."
    ]


def units_line(role: Role) -> str:
    """What one replica is."""
    return f"{role.workload}: one replica is one {role.name} unit of {role.nodes_per_unit} nodes."


def to_yaml(comments: Sequence[str], manifests: Sequence[Manifest]) -> str:
    """Manifests as YAML documents below the comments, which take a line each."""
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    text: str = yaml.dump_all(
        manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, allow_unicode=True, width=1_000
    )
    return head + text
