"""One JSON document: the schedule as steps that hold until the next, and the training windows. Pure."""

import json
from dataclasses import dataclass
from typing import Literal

from planner.core.fleet.units import EVERY_ROLE
from planner.documents import Document, Time, to_json
from planner.export.formats.schedule import Export, ExportSchedule, Role
from planner.units import from_us


@dataclass(frozen=True, kw_only=True)
class WorkloadDocument(Document):
    """The workload whose replicas are the units of a role."""

    name: str
    """Name of the workload in the cluster."""
    namespace: str
    """Kubernetes namespace of the workload, or the ECS cluster."""
    kind: Literal["Deployment", "StatefulSet", "LeaderWorkerSet"]
    """Kind of the workload in Kubernetes."""
    nodes_per_unit: int
    """Nodes that one unit, a replica, occupies; where several share a node, that node."""
    units_per_node: int
    """Units that share a node; 1 where each has whole nodes."""


@dataclass(frozen=True, kw_only=True)
class WorkloadsDocument(Document):
    """The workloads by role; null where the fleet has no such units."""

    prefill: WorkloadDocument | None
    decode: WorkloadDocument | None
    aggregated: WorkloadDocument | None
    """Of units that read prompts and decode."""


@dataclass(frozen=True, kw_only=True)
class ScheduleStep(Document):
    """A period in which nothing changes."""

    start: Time
    end: Time
    prefill_units: int
    """Prefill units that inference holds."""
    decode_units: int
    """Decode units that inference holds."""
    aggregated_units: int
    """Units that inference holds and that do both."""
    training_nodes: int
    """Nodes lent to training throughout."""


@dataclass(frozen=True, kw_only=True)
class LentWindowDocument(Document):
    """Nodes that are lent to training together."""

    start: Time
    end: Time
    nodes: int


@dataclass(frozen=True, kw_only=True)
class ScheduleDocument(Document):
    """The schedule of a run, as `planner export --to json` writes it."""

    run_id: str
    """The run that was exported."""
    scenario: str
    """Name of its scenario."""
    policy: str
    """Policy that decided the units."""
    timezone: str
    """IANA zone of the times."""
    start: Time
    """Start of the first step."""
    end: Time
    """End of the last step."""
    workloads: WorkloadsDocument
    """What the units are replicas of."""
    steps: tuple[ScheduleStep, ...]
    """In order and without gaps; each holds until the next."""
    training_windows: tuple[LentWindowDocument, ...]
    """In order of their starts; windows may overlap, and then lend different nodes."""


def json_document(schedule: ExportSchedule) -> Export:
    """Steps in which nothing changes, with the workloads they are for. Times are ISO-8601 with offset."""
    document = schedule_document(schedule)
    return Export(json.dumps(to_json(document), indent=2) + "\n", f"{len(document.steps)} steps")


def schedule_document(schedule: ExportSchedule) -> ScheduleDocument:
    """The schedule as a document."""
    zone, grid = schedule.zone, schedule.grid
    return ScheduleDocument(
        run_id=schedule.run_id,
        scenario=schedule.scenario,
        policy=schedule.policy,
        timezone=str(zone),
        start=from_us(grid.start_us, zone),
        end=from_us(grid.end_us, zone),
        workloads=WorkloadsDocument(
            prefill=_workload(schedule, "prefill"),
            decode=_workload(schedule, "decode"),
            aggregated=_workload(schedule, "aggregated"),
        ),
        steps=_steps(schedule),
        training_windows=tuple(
            LentWindowDocument(
                start=from_us(window.start_us, zone), end=from_us(window.end_us, zone), nodes=window.nodes
            )
            for window in schedule.lent
        ),
    )


def _workload(schedule: ExportSchedule, name: Role) -> WorkloadDocument | None:
    role = schedule.role(name)
    if role is None:
        return None
    return WorkloadDocument(
        name=role.workload,
        namespace=schedule.settings.namespace,
        kind=schedule.settings.workload_kind,
        nodes_per_unit=role.nodes_per_unit,
        units_per_node=role.units_per_node,
    )


def _steps(schedule: ExportSchedule) -> tuple[ScheduleStep, ...]:
    names = (*(f"{role.name}_units" for role in schedule.roles), "training_nodes")
    columns = (*(role.units for role in schedule.roles), schedule.training_nodes)
    held = list(zip(*(values.tolist() for values in columns), strict=True))
    none = {f"{role}_units": 0 for role in EVERY_ROLE}
    begins = [index for index, values in enumerate(held) if index == 0 or values != held[index - 1]]
    starts_us = [int(schedule.grid.starts_us[index]) for index in begins]
    return tuple(
        ScheduleStep(
            start=from_us(start_us, schedule.zone),
            end=from_us(end_us, schedule.zone),
            **none | dict(zip(names, held[index], strict=True)),
        )
        for index, start_us, end_us in zip(begins, starts_us, [*starts_us[1:], schedule.grid.end_us], strict=True)
    )
