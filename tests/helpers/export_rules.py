"""What a schedule means by the rules of its format, minute by minute: slow, obvious, and independent of the writers."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import yaml

_AROUND = 9 * 1440
"""Minutes looked at before and after: weekly times recur within, even if the clock skips one."""
_NAMES = {name: str(number) for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


@dataclass(frozen=True)
class ZoneClock:
    """Every minute of a time in UTC, with days around it, and its wall-clock fields in a zone."""

    zone: str
    start: datetime
    minutes: int

    @property
    def inside(self) -> slice:
        return slice(_AROUND, _AROUND + self.minutes)

    def fires(self, expression: str) -> np.ndarray:
        """Minutes at which a cron expression of five fields comes true on the wall clock."""
        fields = _fields(self.zone, self.start, self.minutes)
        hit = np.ones(len(fields[0]), bool)
        for part, values in zip(expression.split(), fields, strict=True):
            if part not in ("*", "?"):
                hit &= np.isin(values, [value for word in part.split(",") for value in _range(word)])
        return hit


def _range(word: str) -> range:
    """A value, or a range of them with both its ends, as cron reads it: it may not run over the end of the week."""
    first, *more = (int(_NAMES.get(end, end)) for end in word.split("-"))
    (last,) = more or [first]
    assert first <= last <= 59
    return range(first, last + 1)


@lru_cache(maxsize=64)
def _fields(zone: str, start: datetime, minutes: int) -> tuple[np.ndarray, ...]:
    first = start - timedelta(minutes=_AROUND)
    info = ZoneInfo(zone)
    local = [(first + timedelta(minutes=m)).astimezone(info) for m in range(minutes + 2 * _AROUND)]
    return tuple(
        np.array(values)
        for values in zip(*((t.minute, t.hour, t.day, t.month, t.isoweekday() % 7) for t in local), strict=True)
    )


def _next(hit: np.ndarray) -> np.ndarray:
    """For every minute the next later one that is hit; a number beyond all where none is."""
    following = np.full(len(hit), 10**9)
    seen = 10**9
    for index in range(len(hit) - 1, -1, -1):
        following[index] = seen
        if hit[index]:
            seen = index
    return following


def keda(scaled_object: dict[str, Any], clock: ZoneClock) -> np.ndarray:
    """Replicas by KEDA's cron scaler: a trigger counts while its next end is not after its next start."""
    spec = scaled_object["spec"]
    wanted = np.full(clock.minutes, spec["minReplicaCount"])
    for trigger in spec["triggers"]:
        data = trigger["metadata"]
        assert data["timezone"] == clock.zone
        active = _next(clock.fires(data["end"])) <= _next(clock.fires(data["start"]))
        wanted = np.maximum(wanted, np.where(active[clock.inside], int(data["desiredReplicas"]), 0))
    return np.minimum(wanted, spec["maxReplicaCount"])


def last_set(settings: Iterable[tuple[str, int]], clock: ZoneClock) -> np.ndarray:
    """What holds where every (cron expression, value) sets the value and it stays until the next one sets another."""
    held = np.full(clock.minutes + 2 * _AROUND, -1)
    for expression, value in settings:
        hit = clock.fires(expression)
        assert (held[hit] == -1).all(), "two settings at the same minute"
        held[hit] = value
    for index in range(1, len(held)):
        if held[index] == -1:
            held[index] = held[index - 1]
    return held[clock.inside]


def cronjob(jobs: Sequence[dict[str, Any]], workload: str, clock: ZoneClock) -> np.ndarray:
    """Replicas, or minReplicas, that CronJobs set for a workload."""
    found = []
    for job in jobs:
        assert job["spec"]["timeZone"] == clock.zone
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        program, verb, target, *flags = container["command"]
        assert program == "kubectl"
        if target.split("/")[1] != workload:
            continue
        if verb == "scale":
            (replicas,) = re.findall(r"^--replicas=(\d+)$", "\n".join(flags), re.MULTILINE)
        else:
            patch = json.loads(flags[-1].removeprefix("--patch="))
            replicas = patch["spec"]["minReplicas"]
        found.append((job["spec"]["schedule"], int(replicas)))
    return last_set(found, clock)


def kueue(
    jobs: Sequence[dict[str, Any]], queue: str, clock: ZoneClock, place: tuple[int, int, int] = (0, 0, 0)
) -> np.ndarray:
    """The quota that CronJobs set for a ClusterQueue, whose groups, flavors and resources are patched one by one."""
    group, flavor, resource = place
    found = []
    for job in jobs:
        assert job["spec"]["timeZone"] == clock.zone
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        program, verb, target, *flags = container["command"]
        assert (program, verb, target) == ("kubectl", "patch", f"clusterqueues.kueue.x-k8s.io/{queue}")
        assert flags[0] == "--type=json"
        *tests, change = json.loads(flags[1].removeprefix("--patch="))
        assert [test["op"] for test in tests] == ["test", "test"]
        assert change["op"] == "replace"
        assert change["path"] == (f"/spec/resourceGroups/{group}/flavors/{flavor}/resources/{resource}/nominalQuota")
        found.append((job["spec"]["schedule"], change["value"]))
    return last_set(found, clock)


def aws_groups(calls: Sequence[dict[str, Any]], group: str, clock: ZoneClock) -> np.ndarray:
    """Desired capacity that scheduled actions set for an EC2 Auto Scaling group."""
    actions = [
        action
        for call in calls
        if call["input"]["AutoScalingGroupName"] == group
        for action in call["input"]["ScheduledUpdateGroupActions"]
    ]
    assert all(action["TimeZone"] == clock.zone for action in actions)
    assert len({action["ScheduledActionName"] for action in actions}) == len(actions)
    for action in actions:
        assert action["MinSize"] == action["DesiredCapacity"] == action["MaxSize"]
    return last_set([(action["Recurrence"], action["DesiredCapacity"]) for action in actions], clock)


def aws_services(calls: Sequence[dict[str, Any]], service: str, clock: ZoneClock) -> np.ndarray:
    """Tasks that scheduled actions set for an ECS service: six fields, of which the last is the year."""
    found = []
    for call in calls:
        data = call["input"]
        if data["ResourceId"].split("/")[-1] == service:
            assert data["Timezone"] == clock.zone
            *fields, year = data["Schedule"].removeprefix("cron(").removesuffix(")").split()
            assert year == "*"
            assert (fields[2] == "?") != (fields[4] == "?"), "one of day of month and day of week is ?"
            assert data["ScalableTargetAction"]["MinCapacity"] == data["ScalableTargetAction"]["MaxCapacity"]
            found.append((" ".join(fields), data["ScalableTargetAction"]["MinCapacity"]))
    return last_set(found, clock)


def slurm(script: str, start: datetime, minutes: int, zone: str | None = None) -> np.ndarray:
    """Nodes reserved at every minute; scontrol reads times by the TZ that the script sets, or else by the zone."""
    exported = re.search(r"^export TZ=(\w+)$", script, re.MULTILINE)
    zone = {"UTC0": "UTC"}[exported[1]] if exported else zone
    assert zone is not None
    reserved = np.zeros(minutes, int)
    for line in script.splitlines():
        if line.startswith("scontrol create reservation ") and "StartTime=now" not in line:
            words = dict(word.split("=") for word in line.split()[3:])
            first, last = (
                (datetime.fromisoformat(words[name]).replace(tzinfo=ZoneInfo(zone)) - start) // timedelta(minutes=1)
                for name in ("StartTime", "EndTime")
            )
            reserved[max(first, 0) : last] += int(words["NodeCnt"])
    return reserved


class SlurmController:
    """What a shell makes of a script at some moment, with a scontrol that refuses what slurmctld does."""

    def __init__(self, folder: Path) -> None:
        self.reserved: dict[str, dict[str, str]] = {}
        self._folder = folder

    def run(self, script: str, now: datetime) -> str:
        """Run a script by a clock in UTC; returns what it says on stderr."""
        names, calls = (self._folder / name for name in ("names", "calls"))
        names.write_text("".join(f"{name}\n" for name in self.reserved))
        calls.write_text("")
        head = (
            f"date() {{ echo {now:%Y%m%d%H%M%S}; }}\n"
            f'scontrol() {{ if [ "$1" = show ]; then grep -qx "$3" {names}; else echo "$*" >> {calls}; fi; }}\n'
        )
        done = subprocess.run(["sh"], input=head + script, capture_output=True, text=True, check=True)
        for line in calls.read_text().splitlines():
            verb, _, *words = line.split()
            given = dict(word.split("=") for word in words)
            self._take(verb, given.pop("ReservationName"), given, now)
        return done.stderr

    def nodes(self, start: datetime, minutes: int) -> np.ndarray:
        """Nodes reserved at every minute."""
        spans = [(f"{row['StartTime']}Z", f"{row['EndTime']}Z", int(row["NodeCnt"])) for row in self.reserved.values()]
        return held(spans, start, minutes)

    def _take(self, verb: str, name: str, given: dict[str, str], now: datetime) -> None:
        moment = now.replace(tzinfo=None).isoformat()
        if given.get("StartTime") == "now":
            given["StartTime"] = moment
        assert given.get("StartTime", moment) >= moment, "Invalid time"
        assert given["EndTime"] > moment, "Invalid time"
        assert (name in self.reserved) == (verb == "update"), "Reservation name"
        has_begun = verb == "update" and self.reserved[name]["StartTime"] <= moment
        assert not (has_begun and "StartTime" in given), "the start of what has begun"
        self.reserved[name] = {**self.reserved.get(name, {}), **given}


def held(spans: Iterable[tuple[str, str, int]], start: datetime, minutes: int) -> np.ndarray:
    """A number at every minute: the sum of those of the spans that it lies in. Spans carry their offsets from UTC."""
    found = np.zeros(minutes, int)
    for first, last, value in spans:
        begin, end = ((datetime.fromisoformat(text) - start) // timedelta(minutes=1) for text in (first, last))
        found[max(begin, 0) : max(end, 0)] += value
    return found


def focus_nodes(text: str, use: str, gpus_per_node: int, start: datetime, minutes: int) -> np.ndarray:
    """Nodes of a use at every minute, from the GPU-hours of its charges."""
    spans = []
    for row in csv.DictReader(io.StringIO(text)):
        if row["SubAccountId"] == use:
            first, last = row["ChargePeriodStart"], row["ChargePeriodEnd"]
            hours = (datetime.fromisoformat(last) - datetime.fromisoformat(first)) / timedelta(hours=1)
            spans.append((first, last, round(float(row["ConsumedQuantity"]) / gpus_per_node / hours)))
    return held(spans, start, minutes)


def manifests(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML text."""
    return list(yaml.safe_load_all(text))


def clock_of(start_us: int, minutes: int, zone: str) -> ZoneClock:
    """The clock of a plan."""
    return ZoneClock(zone, datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start_us), minutes)
