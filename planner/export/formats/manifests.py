"""Kubernetes objects as YAML, with comments at the head. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from planner.errors import RunError
from planner.export.formats.schedule import ExportSchedule, RoleUnits
from planner.units import counted

Manifest = Mapping[str, Any]
"""A Kubernetes object, or a part of one: Kubernetes defines its content, and tests validate it with its schemas."""

GROUPS = {
    "Deployment": ("apps", "v1", "deployments"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
}
"""API group, version and resource of the kinds that units can be. Published: their API references."""


_LARGEST = 262_144
"""Published: bytes of all annotations of an object, of which kubectl apply makes the whole object one."""


class _Dumper(yaml.SafeDumper):
    """Repeats shared values instead of writing YAML anchors, which are hard to read."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def metadata(schedule: ExportSchedule, name: str, instance: str | None = None, *, of_cluster: bool = False) -> Manifest:
    """Name, namespace, the run that an object comes from, and labels that distinguish one schedule from others.

    instance: what the schedule is of; the workload of its first role if left out. of_cluster: the object has no
    namespace.
    """
    return {
        "name": name,
        **({} if of_cluster else {"namespace": schedule.settings.namespace}),
        "labels": {
            "app.kubernetes.io/managed-by": "planner",
            "app.kubernetes.io/instance": instance or schedule.instance,
        },
        "annotations": {"planner/run": schedule.run_id},
    }


def drain_notes(schedule: ExportSchedule) -> list[str]:
    """Settings that the workloads themselves need."""
    return [
        "Replicas are the units that inference holds from each time on. A unit that leaves drains first: set the pods' "
        f"terminationGracePeriodSeconds to at least {schedule.drain_deadline_s}.",
        *(_packing_note(schedule, role) for role in schedule.roles if role.units_per_node > 1),
    ]


def _packing_note(schedule: ExportSchedule, role: RoleUnits) -> str:
    """What has to be so that nodes come free as planned. Published: Kubernetes' references of both."""
    kind = schedule.settings.workload_kind
    leaving = (
        "a Deployment gives up replicas on the nodes that hold the most of them first, unless the annotation "
        "controller.kubernetes.io/pod-deletion-cost says otherwise"
        if kind == "Deployment"
        else f"a {kind} gives up its highest replicas first, as the plan does"
    )
    return (
        f"{role.units_per_node} units share a node, and the plan frees a node once no unit is on it: let the scheduler "
        f"fill nodes one after the other (NodeResourcesFit with MostAllocated); {leaving}."
    )


def units_line(role: RoleUnits) -> str:
    """What one replica is."""
    what = "unit" if role.name == "aggregated" else f"{role.name} unit"
    nodes = f"of {counted(role.nodes_per_unit, 'node')}"
    if role.units_per_node > 1:
        nodes = f"of a part of a node, {role.units_per_node} to a node"
    return f"{role.workload}: one replica is one {what} {nodes}."


def to_yaml(comments: Sequence[str], manifests: Sequence[Manifest]) -> str:
    """Manifests as YAML documents below the comments, which take a line each. Raises RunError if one is too large."""
    for manifest in manifests:
        size = len(json.dumps(manifest).encode())
        if size > _LARGEST:
            raise RunError(
                f"{manifest['kind']} {manifest['metadata']['name']} has {size:,} bytes, and kubectl apply takes "
                f"{_LARGEST:,}; plan with a longer interval_s"
            )
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    text: str = yaml.dump_all(
        manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, allow_unicode=True, width=1_000
    )
    return head + text
