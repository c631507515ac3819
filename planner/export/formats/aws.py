"""AWS scheduled actions: EC2 Auto Scaling groups in nodes, or ECS services in units. Pure.

The document is a list of calls; `input` is what `aws ... --cli-input-json` takes. Rules of the format: an action sets
its capacity whenever the wall clock of its zone comes to its recurrence, and that holds until the next one.
"""

import json
from typing import Any

from planner.export.formats.recurrence import Moment, Step, jumps_of_a_year, minute_of_day, pattern_of, steps
from planner.export.formats.schedule import Document, Role, Schedule

_BATCH = 50
"""Published: the most actions of one BatchPutScheduledUpdateGroupAction."""
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def aws(schedule: Schedule) -> Document:
    """The schedule as calls that put scheduled actions. Raises RunError where none can express it."""
    over = jumps_of_a_year(schedule.zone, schedule.grid.start_us)
    begin = minute_of_day(schedule.grid.start_us, schedule.zone)
    calls: list[dict[str, Any]] = []
    count = 0
    for role in schedule.roles:
        found = steps(pattern_of(schedule.grid, role.units, schedule.zone, role.name), over, begin)
        count += len(found)
        calls += (
            _groups(schedule, role, found)
            if schedule.settings.aws_service == "ec2"
            else _services(schedule, role, found)
        )
    note = "actions of an earlier schedule with other names stay; delete those whose names begin with planner-"
    text = json.dumps({"from": schedule.title, "calls": calls}, indent=2) + "\n"
    return Document(text, f"{count} scheduled actions in {len(calls)} calls", (note,))


def _groups(schedule: Schedule, role: Role, found: list[Step]) -> list[dict[str, Any]]:
    actions = [
        {
            "ScheduledActionName": _name(step),
            "Recurrence": step.at.cron,
            "TimeZone": str(schedule.zone),
            **dict.fromkeys(("MinSize", "MaxSize", "DesiredCapacity"), step.units * role.nodes_per_unit),
        }
        for step in found
    ]
    return [
        {
            "command": "aws autoscaling batch-put-scheduled-update-group-action",
            "input": {
                "AutoScalingGroupName": role.workload,
                "ScheduledUpdateGroupActions": actions[first : first + _BATCH],
            },
        }
        for first in range(0, len(actions), _BATCH)
    ]


def _services(schedule: Schedule, role: Role, found: list[Step]) -> list[dict[str, Any]]:
    return [
        {
            "command": "aws application-autoscaling put-scheduled-action",
            "input": {
                "ServiceNamespace": "ecs",
                "ResourceId": f"service/{schedule.settings.namespace}/{role.workload}",
                "ScalableDimension": "ecs:service:DesiredCount",
                "ScheduledActionName": _name(step),
                "Schedule": _schedule(step.at),
                "Timezone": str(schedule.zone),
                "ScalableTargetAction": {"MinCapacity": step.units, "MaxCapacity": step.units},
            },
        }
        for step in found
    ]


def _schedule(at: Moment) -> str:
    """A cron expression of six fields: minute, hour, day of month, month, day of week, year."""
    days = "* * ?" if at.days is None else f"? * {','.join(_DAYS[day] for day in at.days)}"
    return f"cron({at.minute % 60} {at.minute // 60} {days} *)"


def _name(step: Step) -> str:
    days = "" if step.at.days is None else "-" + "".join(_DAYS[day].title() for day in step.at.days)
    return f"planner-{step.at.minute // 60:02d}{step.at.minute % 60:02d}{days}"
