"""Schedules for others: read by the rules of its format, each gives back the plan's units at every minute."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Grid
from planner.errors import PlannerError, RunError, UsageError
from planner.export.formats.aws import aws
from planner.export.formats.cronjob import cronjob
from planner.export.formats.csv_table import csv_table
from planner.export.formats.focus import focus
from planner.export.formats.json_document import json_document
from planner.export.formats.keda import keda
from planner.export.formats.recurrence import (
    Moment,
    Pattern,
    find_jumps,
    pattern_of,
    recurring_steps,
    recurring_windows,
)
from planner.export.formats.schedule import Charge, ExportSchedule, RoleUnits, TrainingWindow
from planner.export.formats.slurm import merge_windows, slurm
from planner.settings.scenario import Scenario
from planner.units import US_PER_S, to_us
from tests.helpers import export_rules as rules
from tests.helpers.exports import EXPORT, schedule

ZONES = ("UTC", "Asia/Shanghai", "Asia/Kolkata", "America/New_York", "Europe/Berlin", "Africa/Cairo")
SUMMER = {"America/New_York": date(2026, 3, 8), "Europe/Berlin": date(2026, 3, 29), "Africa/Cairo": date(2026, 4, 24)}
WINTER = {
    "America/New_York": date(2026, 11, 1),
    "Europe/Berlin": date(2026, 10, 25),
    "Africa/Cairo": date(2026, 10, 29),
}


JUMPS = (date(2026, 10, 25), date(2027, 3, 28))
"""Days on which Berlin's clock is put back and forward."""


def clock_of(plan: ExportSchedule) -> rules.ZoneClock:
    return rules.clock_of(plan.grid.start_us, plan.grid.length_s // 60, str(plan.zone))


def by_minute(plan: ExportSchedule, role: RoleUnits) -> list[int]:
    return np.repeat(role.units, plan.grid.interval_s // 60).tolist()


def read_back(plan: ExportSchedule, to: str) -> list[tuple[RoleUnits, list[int]]]:
    """Units of both roles at every minute, by the rules of the format."""
    clock = clock_of(plan)
    if to == "keda":
        objects = {item["metadata"]["name"]: item for item in rules.manifests(keda(plan).text)}
        return [(role, rules.keda(objects[role.workload], clock).tolist()) for role in plan.roles]
    if to == "cronjob":
        jobs = [item for item in rules.manifests(cronjob(plan).text) if item["kind"] == "CronJob"]
        return [(role, rules.cronjob(jobs, role.workload, clock).tolist()) for role in plan.roles]
    calls = json.loads(aws(plan).text)["calls"]
    if plan.settings.aws_service == "ecs":
        return [(role, rules.aws_services(calls, role.workload, clock).tolist()) for role in plan.roles]
    found = []
    for role in plan.roles:
        nodes = rules.aws_groups(calls, role.workload, clock)
        assert not (nodes % role.nodes_per_unit).any()
        found.append((role, (nodes // role.nodes_per_unit).tolist()))
    return found


def read_back_or_refusal(plan: ExportSchedule, to: str) -> list[tuple[RoleUnits, list[int]]] | str:
    """The same, or why the format refuses the plan."""
    try:
        return read_back(plan, to)
    except RunError as error:
        return str(error)


FORMATS = [
    ("keda", {}),
    ("cronjob", {}),
    ("cronjob", {"cronjob_action": "hpa"}),
    ("aws", {}),
    ("aws", {"aws_service": "ecs"}),
]
IDS = ["keda", "cronjob", "hpa", "ec2", "ecs"]


@st.composite
def recurring_plans(draw: st.DrawFn) -> ExportSchedule:
    """Plans of whole local days whose units follow a daily or weekly pattern of the wall clock."""
    zone = draw(st.sampled_from(ZONES))
    around = [day[zone] for day in (SUMMER, WINTER) if zone in day]
    first = draw(st.sampled_from(around)) if around and draw(st.booleans()) else date(2026, 6, 3)
    weekly = draw(st.booleans())
    days = draw(st.sampled_from([7, 14])) if weekly else draw(st.integers(1, 4))
    begin = first - timedelta(days=draw(st.integers(0, days - 1)))
    hour = draw(st.sampled_from([0, 7, 12]))
    start, end = (
        datetime(d.year, d.month, d.day, hour, tzinfo=ZoneInfo(zone)) for d in (begin, begin + timedelta(days))
    )
    interval_s = draw(st.sampled_from([900, 1800]))
    grid = Grid(to_us(start), interval_s, (to_us(end) - to_us(start)) // US_PER_S // interval_s)
    units = []
    for low, high in ((1, 40), (0, 9)):
        changes = draw(st.lists(st.integers(0, 10_079), min_size=1, max_size=12, unique=True))
        levels = {minute // 15 * 15: draw(st.integers(low, high)) for minute in changes}
        units.append([_level(levels, at, weekly) for at in grid.local_starts(ZoneInfo(zone))])
    assume(max(units[1]) > 0)
    return schedule(*units, start=start, zone=zone, interval_s=interval_s)


def _level(levels: dict[int, int], at: datetime, weekly: bool) -> int:
    """The last of the levels by minute of the week, or of the day."""
    minute = at.hour * 60 + at.minute + (at.weekday() * 1440 if weekly else 0)
    known = {m if weekly else m % 1440: units for m, units in levels.items()}
    return known[max((m for m in known if m <= minute), default=max(known))]


@settings(max_examples=25)
@given(plan=recurring_plans(), which=st.sampled_from(FORMATS))
def test_a_recurring_schedule_gives_back_the_plan_at_every_minute(plan: ExportSchedule, which: tuple) -> None:
    to, names = which
    plan = schedule_with(plan, **names)
    found = read_back_or_refusal(plan, to)
    if isinstance(found, str):
        # KEDA alone cannot say what the clock skips or repeats, and an HPA holds at least one replica
        at_zero = "cronjob_action" in names and min(plan.roles[1].units) == 0
        assert at_zero or (to == "keda" and "the clock of" in found)
        return
    for role, units in found:
        assert units == by_minute(plan, role)


def schedule_with(plan: ExportSchedule, **names: str) -> ExportSchedule:
    return replace(plan, settings=plan.settings.model_copy(update=names))


@settings(max_examples=25)
@given(
    units=st.lists(st.integers(0, 3), min_size=24, max_size=24 * 9),
    zone=st.sampled_from(ZONES),
    to=st.sampled_from(["keda", "cronjob", "aws"]),
    start=st.sampled_from([datetime(2026, 3, 7, 5, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)]),
)
def test_any_plan_comes_back_exactly_or_is_refused_in_one_line(
    units: list[int], zone: str, to: str, start: datetime
) -> None:
    plan = schedule(units, start=start, zone=zone)
    found = read_back_or_refusal(plan, to)
    if isinstance(found, str):
        assert "\n" not in found
        return
    for role, back in found:
        assert back == by_minute(plan, role)


@settings(max_examples=25)
@given(plan=recurring_plans(), random=st.randoms(use_true_random=False))
def test_tables_documents_reservations_and_costs_give_back_every_minute(plan: ExportSchedule, random: Random) -> None:
    """What does not recur says its times with their offsets, or refuses times that the wall clock does not tell."""
    clock = clock_of(plan)
    when = clock.start, clock.minutes
    rows = list(csv.DictReader(io.StringIO(csv_table(plan).text)))
    steps_ = json.loads(json_document(plan).text)["steps"]
    for role in plan.roles:
        table = [(row["interval_start"], row["interval_end"], int(row[f"{role.name}_units"])) for row in rows]
        document = [(step["start"], step["end"], step[f"{role.name}_units"]) for step in steps_]
        assert rules.held(table, *when).tolist() == rules.held(document, *when).tolist() == by_minute(plan, role)
    starts = [int(at_us) for at_us in plan.grid.starts_us]
    picked = [sorted(random.sample([*starts, plan.grid.end_us], 2)) for _ in range(random.randint(1, 5))]
    lent = merge_windows(tuple(TrainingWindow(start, end, random.randint(1, 90)) for start, end in picked))
    nodes = sum(
        np.where((plan.grid.starts_us >= w.start_us) & (plan.grid.starts_us < w.end_us), w.nodes, 0) for w in lent
    )
    expected = np.repeat(nodes, plan.grid.interval_s // 60).tolist()
    seconds = plan.grid.interval_s
    charges = tuple(
        Charge(
            start_us=at_us,
            end_us=at_us + plan.grid.interval_us,
            use="training",
            node_s=int(count) * seconds,
            cost_usd_micros=int(count) * 7,
        )
        for at_us, count in zip(starts, nodes, strict=True)
    )
    lending = replace(plan, lent=lent, charges=charges)
    assert rules.focus_nodes(focus(lending).text, "training", plan.gpus_per_node, *when).tolist() == expected
    windows_ = [(w["start"], w["end"], w["nodes"]) for w in json.loads(json_document(lending).text)["training_windows"]]
    assert rules.held(windows_, *when).tolist() == expected
    assert rules.slurm(slurm(lending).text, *when).tolist() == expected


def test_night_floor_is_the_least_and_windows_lie_above_it() -> None:
    plan = schedule(
        [2] * 8 + [5] * 12 + [7] * 2 + [5] * 2, zone="Asia/Shanghai", start=datetime(2026, 5, 31, 16, tzinfo=UTC)
    )
    prefill, decode = rules.manifests(keda(plan).text)
    spec = prefill["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 7)
    # one inside the other: where the 7 begin and end, the 5 are open all the time
    assert [t["metadata"] for t in spec["triggers"]] == [
        {"timezone": "Asia/Shanghai", "start": "0 8 * * *", "end": "0 0 * * *", "desiredReplicas": "5"},
        {"timezone": "Asia/Shanghai", "start": "0 20 * * *", "end": "0 22 * * *", "desiredReplicas": "7"},
    ]
    # nothing changes, and KEDA asks for a trigger all the same
    assert [t["metadata"]["desiredReplicas"] for t in decode["spec"]["triggers"]] == ["2"]
    assert decode["spec"]["minReplicaCount"] == decode["spec"]["maxReplicaCount"] == 2


def test_a_week_of_working_days_is_one_window_with_its_days() -> None:
    monday = datetime(2026, 6, 1, tzinfo=UTC)
    day = [1] * 9 + [4] * 9 + [1] * 6
    plan = schedule(day * 5 + [1] * 48, start=monday)
    (prefill, _) = rules.manifests(keda(plan).text)
    assert [t["metadata"]["start"] + " to " + t["metadata"]["end"] for t in prefill["spec"]["triggers"]] == [
        "0 9 * * 1-5 to 0 18 * * 1-5"
    ]


def test_a_window_over_midnight_ends_on_the_next_days() -> None:
    pattern = Pattern(np.array(([0] * 1380 + [3] * 60 + [3] * 60 + [0] * 1380) + [0] * 5 * 1440))
    (window,) = recurring_windows(pattern, 0)
    assert (window.start.cron, window.end.cron, window.units) == ("0 23 * * 1", "0 1 * * 2", 3)


def test_a_pattern_that_never_changes_is_one_step_at_midnight() -> None:
    assert [(step.at.cron, step.units) for step in recurring_steps(Pattern(np.full(1440, 3)))] == [("0 0 * * *", 3)]


@pytest.mark.parametrize("zone", [*SUMMER])
@pytest.mark.parametrize("days", [SUMMER, WINTER], ids=["forward", "back"])
def test_jumps_of_a_clock_are_found_to_the_second(zone: str, days: dict[str, date]) -> None:
    day = days[zone]
    noon = to_us(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    (jump,) = find_jumps(ZoneInfo(zone), noon - 2 * 86_400 * US_PER_S, noon + 2 * 86_400 * US_PER_S)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=jump.at_us)
    before, after = (moment.astimezone(ZoneInfo(zone)) for moment in (at - timedelta(seconds=1), at))
    assert before.utcoffset() == timedelta(seconds=jump.before_s)
    assert after.utcoffset() == timedelta(seconds=jump.after_s)
    assert jump.skips == (days is SUMMER)
    assert find_jumps(ZoneInfo(zone), jump.at_us + US_PER_S, jump.at_us + 86_400 * US_PER_S) == []


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("days", [SUMMER, WINTER], ids=["forward", "back"])
@pytest.mark.parametrize(("to", "names"), FORMATS[1:], ids=IDS[1:])
def test_steps_hold_on_the_days_on_which_the_clock_jumps(
    name: str, days: dict[str, date], to: str, names: dict[str, str]
) -> None:
    """Planned in June, in force when the clock jumps: units at 01:15, 02:15 and so on follow the wall clock."""
    quarters = [1] * 5 + [7, 7, 8, 8] + [2, 2, 3] + [4] * 80 + [1] * 4
    zone, day = ZoneInfo(name), days[name]
    plan = schedule(quarters, zone=name, start=datetime(2026, 6, 1, tzinfo=zone), interval_s=900, **names)
    begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    clock = rules.clock_of(to_us(begin), 23 * 60, name)
    if to == "cronjob":
        jobs = [item for item in rules.manifests(cronjob(plan).text) if item["kind"] == "CronJob"]
        held = rules.cronjob(jobs, "prefill", clock)
    else:
        calls = json.loads(aws(plan).text)["calls"]
        held = rules.aws_services(calls, "prefill", clock) if names else rules.aws_groups(calls, "prefill", clock) // 4
    wall = [(begin + timedelta(minutes=minute)).astimezone(zone) for minute in range(clock.minutes)]
    assert held.tolist() == [quarters[(at.hour * 60 + at.minute) // 15] for at in wall]


def test_keda_says_where_the_clock_leads_it_astray_and_refuses_inside_the_plan() -> None:
    quarters = [1] * 9 + [2] * 87
    later = schedule(quarters, zone="Europe/Berlin", start=datetime(2026, 6, 1, 22, tzinfo=UTC), interval_s=900)
    notes = keda(later).notes
    assert [note for note in notes if "2026-10-25" in note and "repeats 02:15" in note]
    assert [note for note in notes if "2027-03-28" in note and "skips 02:15" in note]
    assert "# prefill: on 2026-10-25" in keda(later).text
    skipped = schedule(
        quarters[:8] + quarters[12:], zone="Europe/Berlin", start=datetime(2026, 3, 28, 23, tzinfo=UTC), interval_s=900
    )
    assert keda(skipped).text.count("- type: cron") == 2
    two_days = schedule(
        quarters + quarters[:8] + quarters[12:],
        zone="Europe/Berlin",
        start=datetime(2026, 3, 27, 23, tzinfo=UTC),
        interval_s=900,
    )
    with pytest.raises(RunError, match=r"prefill units change at 02:15, .* skips on 2026-03-29, .* --to cronjob"):
        keda(two_days)


def test_keda_lets_the_hpa_take_small_steps() -> None:
    """An HPA ignores changes within a tenth: 20 to 22 would never come, 8 to 9 would, and below the floor all do."""
    small = keda(schedule([8] * 6 + [20] * 6 + [22] * 12))
    (prefill, decode) = rules.manifests(small.text)
    behavior = prefill["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["tolerance"] == behavior["scaleDown"]["tolerance"] == "0"
    assert "20 to 22 replicas" in small.notes[0]
    assert decode["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleDown": {"stabilizationWindowSeconds": 60}
    }
    for units in ([8] * 6 + [9] * 6 + [20] * 12, [20] * 6 + [24] * 6 + [30] * 12):
        (note,) = keda(schedule(units)).notes
        assert "tolerance" not in note


def test_what_has_no_recurring_form_is_refused_with_the_cure() -> None:
    with pytest.raises(
        RunError, match=r"covers 6 of the 24 hours of a day .* plan whole days, or export --to csv or json"
    ):
        keda(schedule([1] * 6))
    with pytest.raises(
        RunError, match=r"at 00:00 differ from day to day, and the plan covers 2 of the 7 days .* --day 2026-06-01"
    ):
        cronjob(schedule([1] * 24 + [2] * 24))
    with pytest.raises(RunError, match=r"at 00:00 on Wednesday differ from week to week"):
        aws(schedule([1] * 48 + [2] * 24 + [1] * 96 + [1] * 168))
    with pytest.raises(RunError, match="has no decode units at any time"):
        keda(schedule([1] * 24, [0] * 24))
    with pytest.raises(RunError, match=r"an HPA needs minReplicas of at least 1; set export\.cronjob_action=scale"):
        cronjob(schedule([1] * 24, [0] * 12 + [1] * 12, cronjob_action="hpa"))
    with pytest.raises(RunError, match="whole minutes of Africa/Monrovia"):
        cronjob(schedule([1] * 24, zone="Africa/Monrovia", start=datetime(1970, 1, 1, tzinfo=UTC)))


def test_the_hour_that_comes_twice_has_to_be_the_same_both_times() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    units = [1, 1, 1, 2, *[1] * 21]  # 02:00 to 03:00 first with 1, then with 2
    with pytest.raises(RunError, match=r"at 02:00 on Sunday differ .* when the clock is put back"):
        cronjob(schedule(units, zone="Europe/Berlin", start=start))


def test_a_pattern_fills_what_the_clock_skips_with_the_units_before() -> None:
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    plan = schedule([5, 6, *range(7, 28)], zone="Europe/Berlin", start=start)
    pattern = pattern_of(plan.grid, plan.roles[0].units, plan.zone, "prefill")
    assert pattern.daily
    assert pattern.levels[[0, 60, 120, 179, 180]].tolist() == [5, 6, 6, 6, 7]


def test_days_of_the_week_are_counted_as_cron_counts_them() -> None:
    assert Moment(8 * 60 + 5, (0, 5, 6)).cron == "5 8 * * 0,1,6"
    assert Moment(0, None).cron == "0 0 * * *"


def test_cron_jobs_have_only_the_rights_they_need() -> None:
    objects = rules.manifests(cronjob(schedule([1] * 12 + [2] * 12)).text)
    account, role, binding, *jobs = objects
    assert [item["kind"] for item in objects[:3]] == ["ServiceAccount", "Role", "RoleBinding"]
    assert role["rules"] == [
        {
            "apiGroups": ["leaderworkerset.x-k8s.io"],
            "resources": ["leaderworkersets"],
            "resourceNames": ["prefill", "decode"],
            "verbs": ["get"],
        },
        {
            "apiGroups": ["leaderworkerset.x-k8s.io"],
            "resources": ["leaderworkersets/scale"],
            "resourceNames": ["prefill", "decode"],
            "verbs": ["get", "patch", "update"],
        },
    ]
    assert binding["subjects"][0]["name"] == account["metadata"]["name"] == binding["roleRef"]["name"]
    accounts = {job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"] for job in jobs}
    assert accounts == {account["metadata"]["name"]}
    patching = rules.manifests(cronjob(schedule([1] * 12 + [2] * 12, cronjob_action="hpa")).text)[1]
    assert [rule["verbs"] for rule in patching["rules"]] == [["get", "patch"]]


def test_a_late_job_is_over_before_the_next_one_is_due() -> None:
    """Whatever the units do, and on days on which the clock jumps; and there is time to pull an image."""
    busy = [2 + index % 2 for index in range(96)]
    for units, interval_s, least in (
        ([1] * 48 + [2] * 48, 900, 1800),
        (busy, 900, 450),
        ([2 + index % 3 for index in range(288)], 300, 300),
        ([1] * 9 + [2] * 2 + [1] * 85, 900, 450),
    ):
        plan = schedule(units, zone="Europe/Berlin", start=datetime(2026, 5, 31, 22, tzinfo=UTC), interval_s=interval_s)
        jobs = [item for item in rules.manifests(cronjob(plan).text)[3:] if item["metadata"]["name"].startswith("p")]
        for day in (datetime(2026, 7, 1, tzinfo=UTC), *(datetime(d.year, d.month, d.day, tzinfo=UTC) for d in JUMPS)):
            clock = rules.ZoneClock("Europe/Berlin", day, 1440)
            fires = np.flatnonzero(np.any([clock.fires(job["spec"]["schedule"]) for job in jobs], axis=0))
            for job in jobs:
                spec = job["spec"]
                starting, running = (
                    spec["startingDeadlineSeconds"],
                    spec["jobTemplate"]["spec"]["activeDeadlineSeconds"],
                )
                assert starting >= least
                assert running >= least
                assert starting + running <= np.diff(fires).min() * 60


def test_names_that_leave_no_room_for_a_cron_job_are_refused() -> None:
    plan = schedule([1] * 12 + [2] * 12)
    long = "p" * 48
    with pytest.raises(UsageError, match=r"export.prefill_workload: .* is too long .* use at most 47 characters"):
        cronjob(replace(plan, roles=(replace(plan.roles[0], workload=long), plan.roles[1])))


def test_units_are_set_at_the_start_of_the_plan_whatever_another_schedule_left() -> None:
    # as many at its end as at its start: round the day nothing changes there
    plan = schedule([5] * 8 + [2] * 12 + [5] * 4, zone="Asia/Shanghai", start=datetime(2026, 5, 31, 16, tzinfo=UTC))
    jobs = [item["spec"] for item in rules.manifests(cronjob(plan).text) if item["kind"] == "CronJob"]
    assert [job["schedule"] for job in jobs[:3]] == ["0 0 * * *", "0 8 * * *", "0 20 * * *"]
    (call, _) = json.loads(aws(plan).text)["calls"]
    actions = call["input"]["ScheduledUpdateGroupActions"]
    assert [
        (action["Recurrence"], action["DesiredCapacity"] // plan.roles[0].nodes_per_unit) for action in actions
    ] == [
        ("0 0 * * *", 5),
        ("0 8 * * *", 2),
        ("0 20 * * *", 5),
    ]


def test_slurm_reserves_what_the_plan_lends_at_every_minute() -> None:
    zone, start = "Asia/Shanghai", datetime(2026, 6, 1, 4, tzinfo=UTC)
    at = [to_us(start + timedelta(minutes=minute)) for minute in (0, 15, 100, 200)]
    lent = merge_windows(
        (TrainingWindow(at[0], at[2], 30), TrainingWindow(at[1], at[3], 20), TrainingWindow(at[0], at[2], 7))
    )
    assert [window.nodes for window in lent] == [37, 20]
    script = slurm(schedule([1] * 24, zone=zone, start=start, lent=lent)).text
    reserved = rules.slurm(script, start, 240)
    assert reserved.tolist() == [37] * 15 + [57] * 85 + [20] * 100 + [0] * 40
    assert "StartTime=2026-06-01T04:00:00 EndTime=2026-06-01T05:40:00 NodeCnt=37" in script
    moved = slurm(schedule([1] * 24, zone=zone, start=start, lent=lent), date(2026, 7, 1)).text
    assert rules.slurm(moved, start + timedelta(days=30), 240).tolist() == reserved.tolist()


def test_a_slurm_script_that_is_run_inside_a_window_reserves_the_rest_of_it(tmp_path: Path) -> None:
    start = datetime(2026, 6, 1, 4, tzinfo=UTC)
    at = [to_us(start + timedelta(minutes=minute)) for minute in (0, 60, 120, 180, 240)]
    lent = (
        TrainingWindow(at[0], at[1], 30),
        TrainingWindow(at[0], at[3], 20),
        TrainingWindow(at[2], at[4], 7),
    )
    script = slurm(schedule([1] * 24, start=start, lent=lent)).text
    whole = rules.slurm(script, start, 240).tolist()
    assert whole == [50] * 60 + [20] * 60 + [27] * 60 + [7] * 60
    for minute, left_out in ((-30, 0), (0, 0), (1, 0), (59, 0), (60, 1), (100, 1), (179, 1), (200, 2), (240, 3)):
        controller = rules.SlurmController(tmp_path)
        now = start + timedelta(minutes=minute)
        said = controller.run(script, now)
        assert said.count("has ended and is left out") == said.count("\n") == left_out
        assert controller.nodes(start, 240)[max(minute, 0) :].tolist() == whole[max(minute, 0) :]
        assert not controller.nodes(start, 240)[: max(minute, 0)].any()
        reserved = controller.reserved.copy()
        assert controller.run(script, now + timedelta(seconds=20)) == said, "it can be run a second time"
        assert controller.reserved == reserved


def test_slurm_refuses_what_it_cannot_say() -> None:
    with pytest.raises(RunError, match="run-00001 lends no nodes to training, so it has no windows to reserve"):
        slurm(schedule([1] * 24))
    start = datetime(2026, 10, 25, 0, tzinfo=UTC)
    lent = (TrainingWindow(to_us(start), to_us(start) + 3 * 3600 * US_PER_S, 5),)
    twice = schedule([1] * 24, zone="Europe/Berlin", start=start, lent=lent)
    # its own day is known by the moment, whatever clock shows it
    assert "StartTime=2026-10-25T00:00:00 EndTime=2026-10-25T03:00:00" in slurm(twice).text
    assert "StartTime=2026-10-26T01:00:00 EndTime=2026-10-26T03:00:00" in slurm(twice, date(2026, 10, 26)).text
    with pytest.raises(RunError, match="2027-03-28T02:00:00 occurs twice or never on the clock of Europe/Berlin"):
        slurm(twice, date(2027, 3, 28))


def test_csv_and_json_hold_the_units_of_every_interval() -> None:
    plan = schedule([3, 3, 4, 4], [1, 1, 1, 2], zone="Asia/Shanghai")
    rows = [line.split(",") for line in csv_table(plan).text.splitlines()]
    assert rows[0][:4] == ["interval_start", "interval_end", "prefill_units", "decode_units"]
    assert rows[1][:2] == ["2026-06-01T08:00:00+08:00", "2026-06-01T09:00:00+08:00"]
    # units, nodes, lent nodes; and none that do both
    assert rows[1][2:] == ["3", "1", "12", "18", "0", "0", "0"]
    assert [(int(row[2]), int(row[3])) for row in rows[1:]] == [(3, 1), (3, 1), (4, 1), (4, 2)]
    steps_ = json.loads(json_document(plan).text)["steps"]
    assert [(s["start"][11:16], s["end"][11:16], s["prefill_units"], s["decode_units"]) for s in steps_] == [
        ("08:00", "10:00", 3, 1),
        ("10:00", "11:00", 4, 1),
        ("11:00", "12:00", 4, 2),
    ]


@pytest.mark.parametrize("name", ["Prefill", "pre_fill", "-prefill", "prefill-", "p" * 64, "", "pre fill", "a.b"])
def test_names_that_kubernetes_refuses_are_refused(name: str) -> None:
    with pytest.raises(PlannerError, match="DNS-1123" if name else "export.prefill_workload: is an empty text"):
        load_scenario(None, [f'export.prefill_workload="{name}"'])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("export.slurm_partition=a;b", "is not a Slurm name"),
        ("export.slurm_account=a b", "is not a Slurm name"),
        ("export.kubectl_image=a b", "is not a container image"),
        ("export.decode_workload=prefill", 'both workloads are "prefill"'),
        ("export.workload_kind=Pod", "LeaderWorkerSet"),
    ],
)
def test_other_names_are_checked_too(override: str, message: str) -> None:
    with pytest.raises(PlannerError, match=message):
        load_scenario(None, [override])


def test_comments_cannot_break_out_of_their_line() -> None:
    plan = replace(schedule([1] * 24), scenario="evil\n---\nkind: Secret")
    assert [item["kind"] for item in rules.manifests(keda(plan).text)] == ["ScaledObject", "ScaledObject"]
    lent = (TrainingWindow(plan.grid.start_us, plan.grid.end_us, 5),)
    ours = ("#", "set -e", "export TZ=UTC0", "now=$(date ", "exists() {", "if [ ", "elif [ ")
    ours += (
        "elif exists planner-run-00001-",
        "echo planner-run-00001-",
        "else",
        "fi",
        "scontrol create reservation ",
        "scontrol update reservation ",
    )
    script = slurm(replace(plan, lent=lent)).text.splitlines()
    assert all(line.startswith(ours) for line in script if line)


def test_a_scenario_without_names_of_its_own_has_those_of_the_catalogue() -> None:
    assert isinstance(load_scenario().scenario, Scenario)
    assert (EXPORT.prefill_workload, EXPORT.decode_workload) == ("prefill", "decode")
