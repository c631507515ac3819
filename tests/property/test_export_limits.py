"""What targets take: schedules fit their limits, are never below the plan, and say how they differ from it."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import RunError, UsageError
from planner.export.formats.aws import aws
from planner.export.formats.cronjob import cronjob
from planner.export.formats.fit import coarsen, fit
from planner.export.formats.keda import keda
from planner.export.formats.kueue import kueue
from planner.export.formats.manifests import to_yaml
from planner.export.formats.recurrence import Pattern, recurring_steps, recurring_windows
from planner.export.formats.schedule import ExportSchedule
from tests.helpers import export_rules as rules
from tests.helpers.exports import lending, schedule, small
from tests.helpers.keda_passes import LOOP_S, reader

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)


def noisy_week(seed: int = 1, zone: str = "UTC") -> ExportSchedule:
    """A week of quarter-hours, no two of whose days are alike: hundreds of steps, as plans of noisy demand have."""
    random = np.random.default_rng(seed)
    shape = 20 + 15 * np.sin(np.arange(96) / 96 * 2 * np.pi)
    days = [shape * (0.7 if day > 4 else 1) * random.normal(1, 0.05, 96) for day in range(7)]
    units = np.maximum(np.rint(np.concatenate(days)), 2).astype(int)
    plan = schedule(units.tolist(), (1 + units // 4).tolist(), zone=zone, start=MONDAY, interval_s=900)
    return replace(plan, training_nodes=np.maximum(300 - 7 * units, 0))


def clock_of(plan: ExportSchedule) -> rules.ZoneClock:
    return rules.clock_of(plan.grid.start_us, plan.grid.length_s // 60, str(plan.zone))


def by_minute(values: np.ndarray, plan: ExportSchedule) -> np.ndarray:
    return np.repeat(values, plan.grid.interval_s // 60)


@pytest.mark.parametrize(("service", "most"), [("ec2", 125), ("ecs", 200)])
def test_a_week_of_noise_fits_aws_and_says_what_differs(service: str, most: int) -> None:
    plan = replace(noisy_week(), settings=noisy_week().settings.model_copy(update={"aws_service": service}))
    made = aws(plan)
    calls = [call["input"] for call in json.loads(made.text)["calls"]]
    for role, against in zip(plan.roles, made.against_plan, strict=True):
        if service == "ec2":
            sizes = [len(c["ScheduledUpdateGroupActions"]) for c in calls if c["AutoScalingGroupName"] == role.workload]
            assert max(sizes) <= 50
            actions = sum(sizes)
            held = rules.aws_groups([{"input": c} for c in calls], role.workload, clock_of(plan)) // role.nodes_per_unit
        else:
            actions = sum(c["ResourceId"].endswith(f"/{role.workload}") for c in calls)
            held = rules.aws_services([{"input": c} for c in calls], role.workload, clock_of(plan))
        planned = by_minute(role.units, plan)
        assert actions == against.entries <= most
        assert (held >= planned).all()
        assert against.minutes_that_differ == (held != planned).sum()
        assert against.node_hours_more == pytest.approx((held - planned).sum() * role.nodes_per_unit / 60)
        assert (against.node_hours_fewer, against.intervals_fewer) == (0, 0)
        assert (against.minutes, against.intervals) == (7 * 1440, 672)
    prefill, _ = made.against_plan
    assert prefill.entries_needed > most
    target = "an Auto Scaling group" if service == "ec2" else "a scalable target"
    (note, *_) = [note for note in made.notes if note.startswith("prefill: ")]
    assert note == (
        f"prefill: {prefill.entries_needed} entries are more than the {most} scheduled actions that {target} can have, "
        f"so {prefill.minutes_that_differ:,} of 10,080 minutes a week differ: "
        f"{prefill.node_hours_more:,.1f} node-hours a week more, never fewer units"
    )
    # levels are raised by little: 4 of 100 node-hours at 125 actions for the 328 that it takes
    assert prefill.node_hours_more < 0.06 * plan.roles[0].units.sum() * plan.roles[0].nodes_per_unit / 4


def test_what_fits_is_exact_and_has_no_note_of_a_limit() -> None:
    for made in (aws(small()), keda(small()), cronjob(small())):
        assert {part.minutes_that_differ for part in made.against_plan} == {0}
        assert all(part.entries == part.entries_needed for part in made.against_plan)
        assert not [note for note in made.notes if "differ" in note]


def test_a_week_of_noise_fits_what_an_hpa_reads_in_a_pass() -> None:
    plan = noisy_week(2, "Europe/Berlin")
    made = keda(plan)
    for item, role, against in zip(rules.manifests(made.text), plan.roles, made.against_plan, strict=True):
        triggers = item["spec"]["triggers"]
        assert len(triggers) == against.entries <= 100
        assert not [t for t in triggers if "," in t["metadata"]["start"] + t["metadata"]["end"]]
        held, planned = rules.keda(item, clock_of(plan)), by_minute(role.units, plan)
        assert (held >= planned).all()
        assert against.minutes_that_differ == (held != planned).sum()
        assert (against.minutes_that_differ > 0) == (against.entries_needed > 100)
    prefill, _ = made.against_plan
    # the target is used to its limit, which few numbers of steps would hit by themselves
    assert prefill.entries == 100 < prefill.entries_needed


def test_a_week_of_noise_lends_less_training_where_the_jobs_are_too_many() -> None:
    plan = noisy_week()
    made = kueue(plan)
    jobs = [item for item in rules.manifests(made.text) if item["kind"] == "CronJob"]
    (against,) = made.against_plan
    assert len(jobs) == against.entries <= 300 < against.entries_needed
    quota, lent = rules.kueue(jobs, "training", clock_of(plan)), by_minute(plan.training_nodes, plan)
    assert (quota <= lent * plan.gpus_per_node).all()
    assert against.node_hours_fewer == pytest.approx((lent - quota / plan.gpus_per_node).sum() / 60)
    assert (against.node_hours_more, against.intervals_more) == (0, 0)
    assert [note for note in made.notes if note.endswith("node-hours a week less, never more")]


def test_jobs_are_never_nearer_than_they_take_to_pull_an_image() -> None:
    plan = schedule([2 + index % 3 for index in range(288)], start=MONDAY, interval_s=300)
    made = cronjob(plan)
    jobs = [item for item in rules.manifests(made.text) if item["kind"] == "CronJob"]
    held = rules.cronjob(jobs, "prefill", clock_of(plan))
    assert (held >= by_minute(plan.roles[0].units, plan)).all()
    assert [note for note in made.notes if "prefill: it changes at times less than 10 min apart, so " in note]
    assert min(job["spec"]["startingDeadlineSeconds"] for job in jobs) >= 300


def steps_in(pattern: Pattern) -> int:
    return len(recurring_steps(pattern))


def test_the_best_steps_are_found_of_a_day_that_is_counted_by_hand() -> None:
    # 1 2 3 4 by six hours, in two steps: 2 2 4 4 costs 2 x 6 h, 1 4 4 4 and 3 3 3 4 cost 3 x 6 h
    pattern = Pattern(np.repeat([1, 2, 3, 4], 360))
    raised = fit(pattern, 2, steps_in)
    assert raised.levels[::360].tolist() == [2, 2, 4, 4]
    assert fit(pattern, 4, steps_in) is pattern
    assert fit(pattern, 1, steps_in).levels.tolist() == [4] * 1440


def test_days_that_are_nearly_alike_share_their_steps() -> None:
    day = np.repeat([2, 5, 9, 5], 360)
    other = np.repeat([2, 5, 8, 5], 360)
    week = Pattern(np.concatenate([day, other, day, other, day, np.full(1440, 2), np.full(1440, 2)]))
    assert steps_in(week) == 5
    raised = fit(week, 4, steps_in)
    assert steps_in(raised) == 4
    assert raised.levels.reshape(7, -1)[:5].tolist() == [day.tolist()] * 5
    assert (raised.levels != week.levels).sum() == 2 * 360


@settings(max_examples=8)
@given(
    levels=st.lists(st.integers(-9, 9), min_size=24, max_size=24).map(lambda day: np.repeat(day, 60)),
    days=st.sampled_from([1, 7]),
    shift=st.integers(0, 3),
    most=st.integers(1, 12),
)
def test_what_fits_is_never_below_and_costs_no_more_than_a_constant(
    levels: np.ndarray, days: int, shift: int, most: int
) -> None:
    pattern = Pattern(np.concatenate([np.roll(levels, 60 * shift * day) for day in range(days)]))
    for count in (steps_in, lambda p: len(recurring_windows(p, int(p.levels.min()))) or 1):
        raised = fit(pattern, most, count)
        assert count(raised) <= most
        assert (raised.levels >= pattern.levels).all()
        assert raised.levels.max() == pattern.levels.max()


def test_levels_that_change_too_often_are_those_of_their_quarters() -> None:
    levels = np.full(1440, 1)
    levels[61], levels[600:] = 5, 3
    assert coarsen(Pattern(levels), 1).levels is levels
    raised = coarsen(Pattern(levels), 10).levels
    assert raised[60:75].tolist() == [5] * 15
    assert (raised[600:].tolist(), raised[75:600].tolist()) == ([3] * 840, [1] * 525)


def test_windows_lie_one_inside_the_other() -> None:
    levels = np.repeat([0, 2, 5, 3, 5, 0, 1, 0], 180)
    found = {(w.start.minute // 60, w.end.minute // 60, w.units) for w in recurring_windows(Pattern(levels), 0)}
    assert found == {(3, 15, 2), (6, 15, 3), (6, 9, 5), (12, 15, 5), (18, 21, 1)}


@pytest.mark.parametrize("day", [date(2026, 10, 25), date(2027, 3, 28)], ids=["back", "forward"])
def test_where_the_clock_jumps_keda_lacks_units_for_that_hour_at_most(day: date) -> None:
    """Windows of six days and of a night end between 02:00 and 03:00 on Sunday; all days around are right."""
    week = np.full(7 * 96, 1)
    week[30 : 6 * 96 + 10] = 4
    week[5 * 96 + 70 : 6 * 96 + 9] = 6
    zone = ZoneInfo("Europe/Berlin")
    plan = schedule(week.tolist(), zone="Europe/Berlin", start=datetime(2026, 5, 31, 22, tzinfo=UTC), interval_s=900)
    (prefill, _) = rules.manifests(keda(plan).text)
    july = rules.ZoneClock("Europe/Berlin", datetime(2026, 7, 5, 22, tzinfo=UTC), 7 * 1440)
    assert rules.keda(prefill, july).tolist() == np.repeat(week, 15).tolist()
    clock = rules.ZoneClock("Europe/Berlin", datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(5), 14_400)
    wall = [(clock.start + timedelta(minutes=minute)).astimezone(zone) for minute in range(clock.minutes)]
    expected = [int(week[at.weekday() * 96 + (at.hour * 60 + at.minute) // 15]) for at in wall]
    wrong = [at for at, held, right in zip(wall, rules.keda(prefill, clock), expected, strict=True) if held != right]
    assert {at.date() for at in wrong} <= {day}
    assert {at.hour for at in wrong} <= {1, 2}
    assert len(wrong) <= (1 if day.month == 3 else 60)


def test_a_window_over_the_weekend_is_one_trigger_and_two_days_are_a_range() -> None:
    """Friday to Monday at 4; and on Saturday and Sunday at 6, which cron counts as the last and the first day."""
    week = np.full(168, 2)
    week[4 * 24 + 20 : 6 * 24 + 20] = 4
    for day in (5, 6):
        week[day * 24 + 10 : day * 24 + 12] = 6
    for day in (1, 2):
        week[day * 24 + 8 : day * 24 + 9] = 3
    plan = schedule(week.tolist(), start=MONDAY)
    (prefill, _) = rules.manifests(keda(plan).text)
    shown = {
        (t["metadata"]["start"], t["metadata"]["end"], t["metadata"]["desiredReplicas"])
        for t in prefill["spec"]["triggers"]
    }
    assert shown == {
        ("0 8 * * 2-3", "0 9 * * 2-3", "3"),
        ("0 20 * * 5", "0 20 * * 0", "4"),
        ("0 10 * * 6", "0 12 * * 6", "6"),
        ("0 10 * * 0", "0 12 * * 0", "6"),
    }
    assert rules.keda(prefill, clock_of(plan)).tolist() == by_minute(week, plan).tolist()


TOUCHING = {
    "spec": {
        "minReplicaCount": 8,
        "maxReplicaCount": 29,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
        "triggers": [
            {"metadata": {"start": start, "end": end, "desiredReplicas": replicas}}
            for start, end, replicas in (("0 12 * * *", "0 18 * * *", "26"), ("0 6 * * *", "0 12 * * *", "29"))
        ],
    }
}
GAPS_S = (0.02, 0.05, 0.1)


def lowest_around_edges(item: dict, clock: rules.ZoneClock) -> tuple[int, int]:
    """How many fewer than the smaller neighbour of an edge passes read at worst, and the HPA keeps."""
    found = reader(item, clock)
    read_worst = held_worst = 0
    for edge_s in found.edges_s():
        if not 0 < edge_s < clock.minutes * 60:
            continue
        smaller = min(found.open(edge_s - 1), found.open(edge_s + 1))
        # passes far from the edge see what lies beyond other edges
        near = [other for other in found.edges_s() if other != edge_s and abs(other - edge_s) <= 120]
        assert not near
        for gap_s in GAPS_S:
            # between any two triggers of a pass, and at every second of the loop
            between_s = [LOOP_S - (number + 0.5) * gap_s for number in range(len(found.triggers))]
            for phase_s in (*range(LOOP_S), *between_s):
                for read, held in found.passes_around(edge_s, phase_s, gap_s):
                    read_worst, held_worst = max(read_worst, smaller - read), max(held_worst, smaller - held)
    return read_worst, held_worst


def test_the_reader_notices_windows_that_touch() -> None:
    """29 until noon and 26 from then on: a pass that reads the later window first sees both closed, and only 8."""
    clock = rules.ZoneClock("UTC", MONDAY, 1440)
    assert lowest_around_edges(TOUCHING, clock) == (18, 18)
    forgiving = json.loads(json.dumps(TOUCHING))
    forgiving["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] = {
        "stabilizationWindowSeconds": 60
    }
    assert lowest_around_edges(forgiving, clock) == (18, 0)


@pytest.mark.parametrize("units", [[2, 5, 7, 9, 7, 5, 2, 2], [8, 20, 26, 29, 29, 20, 8, 8], [1, 9, 1, 9, 4, 9, 3, 1]])
def test_no_pass_of_an_hpa_sees_fewer_than_the_smaller_neighbour(units: list[int]) -> None:
    """Triggers are read one after another, 20 to 100 ms apart, at every phase of a loop of 15 s around every edge."""
    plan = schedule(np.repeat(units, 3).tolist(), [2] * 24, zone="Asia/Shanghai", start=MONDAY)
    prefill, decode = rules.manifests(keda(plan).text)
    clock = rules.ZoneClock("Asia/Shanghai", MONDAY, 1440)
    assert lowest_around_edges(prefill, clock) == (0, 0)
    for item in (prefill, decode):
        behavior = item["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 60


def test_what_a_late_scale_down_costs_is_said() -> None:
    # from 29 to 20 to 8: 21 units of 4 nodes for a minute
    notes = keda(schedule([8] * 6 + [29] * 12 + [20] * 6, [2] * 24)).notes
    assert [note for note in notes if note.endswith("costs up to 1.4 node-hours a day")]
    assert not keda(schedule([8] * 24)).notes


def test_an_object_that_kubectl_cannot_apply_is_refused() -> None:
    large = {"kind": "ScaledObject", "metadata": {"name": "prefill"}, "spec": "x" * 262_144}
    with pytest.raises(RunError, match=r"ScaledObject prefill has 262,\d{3} bytes, and kubectl apply takes 262,144; "):
        to_yaml([], [large])


def test_names_that_leave_no_room_for_the_jobs_of_a_queue_are_refused() -> None:
    plan = lending(kueue_cluster_queue="q" * 42)
    with pytest.raises(UsageError, match=r"export.kueue_cluster_queue: .* 52 characters; use at most 41 characters"):
        kueue(plan)
