"""The settings of exports: the workloads behind the units, and how a schedule reaches them."""

import re
from typing import Literal, Self

from pydantic import field_validator, model_validator

from planner.settings.closed import Closed

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OBJECT = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RESOURCE = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUOTA = re.compile(r"/spec/resourceGroups/\d{1,2}/flavors/\d{1,2}/resources/\d{1,2}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*")


class ExportSettings(Closed):
    """The workloads behind the units, and how a schedule reaches them."""

    namespace: str
    """Kubernetes namespace of the workloads; with aws_service ecs, the cluster."""
    prefill_workload: str
    """Workload whose replicas are prefill units: its name in Kubernetes or ECS, or the EC2 Auto Scaling group."""
    decode_workload: str
    """Workload whose replicas are decode units: its name in Kubernetes or ECS, or the EC2 Auto Scaling group."""
    aggregated_workload: str = "inference"
    """Workload whose replicas are units that do both, where serving is aggregated: its name, as above."""
    workload_kind: Literal["Deployment", "StatefulSet", "LeaderWorkerSet"]
    """Kind of the workloads in Kubernetes; a unit of several nodes is one replica of a LeaderWorkerSet."""
    cronjob_action: Literal["scale", "hpa"]
    """What CronJobs set: the replicas of the workloads, or minReplicas of the HPAs of the same names."""
    kubectl_image: str
    """Container image with kubectl, for CronJobs; within one minor version of the cluster."""
    aws_service: Literal["ec2", "ecs"]
    """Target of AWS scheduled actions: EC2 Auto Scaling groups of nodes, or ECS services whose tasks are units."""
    slurm_partition: str
    """Slurm partition in which training reserves nodes."""
    slurm_account: str
    """Slurm account that may use the reserved nodes."""
    kueue_cluster_queue: str
    """Kueue ClusterQueue of training, whose quota follows the nodes that are lent."""
    kueue_flavor: str
    """ResourceFlavor of the lent nodes in that queue."""
    kueue_resource: str
    """Resource whose quota is set, in GPUs."""
    kueue_quota: str
    """Place of that resource in the ClusterQueue, as a JSON pointer; jobs check the names there first."""

    @field_validator("namespace", "prefill_workload", "decode_workload", "aggregated_workload")
    @classmethod
    def _label(cls, name: str) -> str:
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f'"{name}" is not a Kubernetes name (DNS-1123); write 1 to 63 of a-z, 0-9 and "-", '
                "with a letter or digit first and last"
            )
        return name

    @field_validator("kueue_cluster_queue", "kueue_flavor")
    @classmethod
    def _object(cls, name: str) -> str:
        if not _OBJECT.fullmatch(name):
            raise ValueError(
                f'"{name}" is not a Kubernetes name (DNS-1123); write 1 to 253 of a-z, 0-9, "-" and ".", '
                "with a letter or digit first and last"
            )
        return name

    @field_validator("kueue_resource")
    @classmethod
    def _resource(cls, name: str) -> str:
        if not _RESOURCE.fullmatch(name):
            raise ValueError(f'"{name}" is not a Kubernetes resource; write it as nvidia.com/gpu')
        return name

    @field_validator("kueue_quota")
    @classmethod
    def _quota(cls, place: str) -> str:
        if not _QUOTA.fullmatch(place):
            raise ValueError(
                f'"{place}" is not a place in a ClusterQueue; write it as /spec/resourceGroups/0/flavors/0/resources/0'
            )
        return place

    @field_validator("slurm_partition", "slurm_account")
    @classmethod
    def _word(cls, name: str) -> str:
        if not _WORD.fullmatch(name):
            raise ValueError(f'"{name}" is not a Slurm name; write letters, digits, "_", "." and "-"')
        return name

    @field_validator("kubectl_image")
    @classmethod
    def _image(cls, name: str) -> str:
        if not _IMAGE.fullmatch(name):
            raise ValueError(f'"{name}" is not a container image; write it as registry.k8s.io/kubectl:v1.36.0')
        return name

    @model_validator(mode="after")
    def _two_workloads(self) -> Self:
        if self.prefill_workload == self.decode_workload:
            raise ValueError(f'both workloads are "{self.prefill_workload}"; give each role its own')
        return self
