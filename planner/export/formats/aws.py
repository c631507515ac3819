"""AWS scheduled actions: EC2 Auto Scaling groups in whole nodes, or ECS services in units. Pure.

The document is a list of calls; `input` is what `aws ... --cli-input-json` takes. Rules of the format: an action sets
its capacity whenever the wall clock of its zone comes to its recurrence, and that holds until the next one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from planner.documents import Document, to_json
from planner.export.formats.recurrence import (
    DAYS,
    Moment,
    RecurringStep,
    find_jumps_in_year,
    minute_of_day,
    name_days,
    recurring_steps,
)
from planner.export.formats.recurring import Limit, Series, asleep_notes, nodes_of, recurring, units_of, week_note
from planner.export.formats.schedule import Export, ExportSchedule

_BATCH = 50
"""Published: the most actions of one BatchPutScheduledUpdateGroupAction."""
_LIMITS = {
    "ec2": Limit(125, "the 125 scheduled actions that an Auto Scaling group can have"),
    "ecs": Limit(200, "the 200 scheduled actions that a scalable target can have"),
}
"""Published: service quotas of EC2 Auto Scaling and of Application Auto Scaling, neither of them adjustable."""
_WAKES = "add a scaling policy by requests to the target, whose capacity may go up between the actions"
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_CRON_DAYS = ("SUN", *_DAYS[:-1])


@dataclass(frozen=True, kw_only=True)
class GroupAction(Document):
    """A ScheduledUpdateGroupActionRequest, in the words of EC2 Auto Scaling; capacities are nodes."""

    ScheduledActionName: str
    Recurrence: str
    TimeZone: str
    MinSize: int
    MaxSize: int
    DesiredCapacity: int


@dataclass(frozen=True, kw_only=True)
class GroupActionBatch(Document):
    """The input of BatchPutScheduledUpdateGroupAction."""

    AutoScalingGroupName: str
    ScheduledUpdateGroupActions: tuple[GroupAction, ...]


@dataclass(frozen=True, kw_only=True)
class TargetCapacity(Document):
    """A ScalableTargetAction, in the words of Application Auto Scaling; capacities are tasks, one per unit."""

    MinCapacity: int
    MaxCapacity: int


@dataclass(frozen=True, kw_only=True)
class ServiceAction(Document):
    """The input of PutScheduledAction for an ECS service."""

    ServiceNamespace: str
    ResourceId: str
    ScalableDimension: str
    ScheduledActionName: str
    Schedule: str
    Timezone: str
    ScalableTargetAction: TargetCapacity


@dataclass(frozen=True, kw_only=True)
class AwsCall(Document):
    """A call of the AWS CLI."""

    command: str
    """The command and its subcommand."""
    input: GroupActionBatch | ServiceAction
    """What it takes with --cli-input-json."""


@dataclass(frozen=True, kw_only=True)
class AwsCallsDocument(Document):
    """The calls that set up a schedule in AWS, as `planner export --to aws` writes them."""

    source: Annotated[str, Field(serialization_alias="from")]
    """Run, scenario and policy that the schedule comes from."""
    calls: tuple[AwsCall, ...]
    """In any order."""


def aws(schedule: ExportSchedule) -> Export:
    """The schedule as calls that put scheduled actions. Raises RunError if none can express it."""
    skipped_or_repeated = find_jumps_in_year(schedule.zone, schedule.grid.start_us)
    begin = minute_of_day(schedule.grid.start_us, schedule.zone)
    limit = _LIMITS[schedule.settings.aws_service]
    groups = schedule.settings.aws_service == "ec2"
    calls: list[AwsCall] = []
    notes, against, count = list(week_note(schedule)), [], 0
    for role in schedule.roles:
        found = recurring(
            schedule,
            nodes_of(role) if groups and role.units_per_node > 1 else units_of(role),
            limit,
            lambda pattern: len(recurring_steps(pattern, skipped_or_repeated, begin)),
        )
        steps = recurring_steps(found.pattern, skipped_or_repeated, begin)
        count += len(steps)
        notes += [*found.notes, *asleep_notes(found, _WAKES)]
        against.append(found.against_plan)
        make_calls = _group_calls if groups else _service_calls
        calls += make_calls(schedule, found.series, steps)
    notes.append(
        "actions of an earlier schedule with other names remain and count; delete those whose names begin with planner-"
    )
    document = AwsCallsDocument(source=schedule.title, calls=tuple(calls))
    text = json.dumps(to_json(document), indent=2) + "\n"
    return Export(text, f"{count} scheduled actions in {len(calls)} calls", tuple(notes), tuple(against))


def _group_calls(schedule: ExportSchedule, series: Series, steps: Sequence[RecurringStep]) -> list[AwsCall]:
    nodes = series.nodes(np.array([step.units for step in steps], np.int64)).tolist()
    actions = tuple(_group_action(schedule, step, count) for step, count in zip(steps, nodes, strict=True))
    return [
        AwsCall(
            command="aws autoscaling batch-put-scheduled-update-group-action",
            input=GroupActionBatch(
                AutoScalingGroupName=series.workload, ScheduledUpdateGroupActions=actions[first : first + _BATCH]
            ),
        )
        for first in range(0, len(actions), _BATCH)
    ]


def _group_action(schedule: ExportSchedule, step: RecurringStep, nodes: int) -> GroupAction:
    return GroupAction(
        ScheduledActionName=_name(step),
        Recurrence=step.at.cron,
        TimeZone=str(schedule.zone),
        MinSize=nodes,
        MaxSize=nodes,
        DesiredCapacity=nodes,
    )


def _service_calls(schedule: ExportSchedule, series: Series, steps: Sequence[RecurringStep]) -> list[AwsCall]:
    return [
        AwsCall(
            command="aws application-autoscaling put-scheduled-action",
            input=ServiceAction(
                ServiceNamespace="ecs",
                ResourceId=f"service/{schedule.settings.namespace}/{series.workload}",
                ScalableDimension="ecs:service:DesiredCount",
                ScheduledActionName=_name(step),
                Schedule=_cron_of_six(step.at),
                Timezone=str(schedule.zone),
                ScalableTargetAction=TargetCapacity(MinCapacity=step.units, MaxCapacity=step.units),
            ),
        )
        for step in steps
    ]


def _cron_of_six(at: Moment) -> str:
    """A cron expression of six fields: minute, hour, day of month, month, day of week, year."""
    days = "* * ?" if at.days is None else f"? * {name_days(((day + 1) % DAYS for day in at.days), _CRON_DAYS)}"
    return f"cron({at.minute % 60} {at.minute // 60} {days} *)"


def _name(step: RecurringStep) -> str:
    days = "" if step.at.days is None else "-" + "".join(_DAYS[day].title() for day in step.at.days)
    return f"planner-{step.at.minute // 60:02d}{step.at.minute % 60:02d}{days}"
