"""One JSON document: the schedule as steps that hold until the next, and the training windows. Pure."""

import json
from typing import Any

from planner.export.formats.schedule import Document, Role, Schedule
from planner.units import iso


def json_document(schedule: Schedule) -> Document:
    """Steps in which nothing changes, with the workloads they are for. Times are ISO-8601 with offset."""
    steps = _steps(schedule)
    document = {
        "run_id": schedule.run_id,
        "scenario": schedule.scenario,
        "policy": schedule.policy,
        "timezone": str(schedule.zone),
        "start": iso(schedule.grid.start_us, schedule.zone),
        "end": iso(schedule.grid.end_us, schedule.zone),
        "workloads": {role.name: _workload(schedule, role) for role in schedule.roles},
        "steps": steps,
        "training_windows": [
            {
                "start": iso(window.start_us, schedule.zone),
                "end": iso(window.end_us, schedule.zone),
                "nodes": window.nodes,
            }
            for window in schedule.lent
        ],
    }
    return Document(json.dumps(document, indent=2) + "\n", f"{len(steps)} steps")


def _workload(schedule: Schedule, role: Role) -> dict[str, Any]:
    return {
        "name": role.workload,
        "namespace": schedule.settings.namespace,
        "kind": schedule.settings.workload_kind,
        "nodes_per_unit": role.nodes_per_unit,
    }


def _steps(schedule: Schedule) -> list[dict[str, Any]]:
    prefill, decode = schedule.roles
    held = list(
        zip(*(values.tolist() for values in (prefill.units, decode.units, schedule.training_nodes)), strict=True)
    )
    begins = [index for index, now in enumerate(held) if index == 0 or now != held[index - 1]]
    starts_us = [int(schedule.grid.starts_us[index]) for index in begins]
    return [
        {
            "start": iso(start_us, schedule.zone),
            "end": iso(end_us, schedule.zone),
            "prefill_units": held[index][0],
            "decode_units": held[index][1],
            "training_nodes": held[index][2],
        }
        for index, start_us, end_us in zip(begins, starts_us, [*starts_us[1:], schedule.grid.end_us], strict=True)
    ]
