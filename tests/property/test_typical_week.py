"""A typical week: weeks of a plan become one by weekday and local time, read back minute by minute in every format."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.demand import Grid
from planner.errors import RunError
from planner.export.formats.aws import aws
from planner.export.formats.cronjob import cronjob
from planner.export.formats.keda import keda
from planner.export.formats.kueue import kueue
from planner.export.formats.recurrence import typical_week
from planner.export.formats.schedule import Export, ExportSchedule
from planner.units import US_PER_S, to_us
from tests.helpers import export_rules as rules
from tests.helpers.exports import schedule

SUMMER, WINTER = date(2026, 3, 29), date(2026, 10, 25)
"""Days on which Berlin's clock is put forward and back."""
WRITERS = {"keda": keda, "cronjob": cronjob, "ec2": aws, "ecs": aws, "kueue": kueue}


def weeks(start: date, days: int, zone: str, *, seed: int = 0, steps: int = 3) -> ExportSchedule:
    """Days from a local midnight on, whose units step a few times a day, at other levels every day; some are lent."""
    random = np.random.default_rng(seed)
    info = ZoneInfo(zone)
    begin, end = (datetime(d.year, d.month, d.day, tzinfo=info) for d in (start, start + timedelta(days=days)))
    grid = Grid(to_us(begin), 1800, (to_us(end) - to_us(begin)) // US_PER_S // 1800)
    levels = {}
    units = []
    for at in grid.local_starts(info):
        key = at.date(), at.hour * steps // 24
        units.append(levels.setdefault(key, int(random.integers(1, 9))))
    plan = schedule(units, [1 + u // 3 for u in units], start=begin.astimezone(UTC), zone=zone, interval_s=1800)
    return replace(plan, training_nodes=100 - 9 * plan.roles[0].units)


def typical(values: np.ndarray, plan: ExportSchedule, quantile: float) -> list[int | None]:
    """The quantile of what the plan has at every minute of the week, None where it has nothing; slow and obvious."""
    found: dict[int, list[int]] = {}
    minute = timedelta(minutes=1)
    for at, value in zip(plan.grid.local_starts(plan.zone), values.tolist(), strict=True):
        for shift in range(plan.grid.interval_s // 60):
            # intervals lie between the jumps of the clock
            local = at.replace(tzinfo=None) + shift * minute
            found.setdefault(local.weekday() * 1440 + local.hour * 60 + local.minute, []).append(value)
    result: list[int | None] = []
    for place in range(7 * 1440):
        known = sorted(found.get(place, []))
        shares = [value for rank, value in enumerate(known, 1) if rank / len(known) >= quantile - 1e-9]
        result.append(shares[0] if shares else None)
    return result


def read_back(made: Export, to: str, what: str, clock: rules.ZoneClock) -> list[int]:
    """Units of a role, or nodes that are lent, at every minute, by the rules of a format."""
    if to in ("ec2", "ecs"):
        calls = json.loads(made.text)["calls"]
        held = rules.aws_services(calls, what, clock) if to == "ecs" else rules.aws_groups(calls, what, clock)
        return (held // (1 if to == "ecs" else {"prefill": 4, "decode": 18}[what])).tolist()
    objects = rules.manifests(made.text)
    if to == "keda":
        (item,) = [item for item in objects if item["metadata"]["name"] == what]
        return rules.keda(item, clock).tolist()
    jobs = [item for item in objects if item["kind"] == "CronJob"]
    return (rules.kueue(jobs, what, clock) // 8 if to == "kueue" else rules.cronjob(jobs, what, clock)).tolist()


def written(plan: ExportSchedule, to: str, quantile: float) -> Export:
    service = to if to in ("ec2", "ecs") else "ec2"
    settings_ = plan.settings.model_copy(update={"aws_service": service})
    return WRITERS[to](replace(plan, typical_week=quantile, settings=settings_))


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize(
    ("first", "days", "quantile"),
    [(date(2026, 6, 3), 14, 1), (SUMMER - timedelta(days=9), 17, 0.5), (WINTER - timedelta(days=6), 7, 1)],
)
def test_every_format_gives_back_the_typical_week_at_every_minute(
    to: str, first: date, days: int, quantile: float
) -> None:
    """Whole weeks, two weeks and a half with the hour that is skipped, and one week with the hour that comes twice."""
    plan = weeks(first, days, "Europe/Berlin")
    made = written(plan, to, quantile)
    # a week of July, in which no clock jumps: the schedule is for the weeks to come
    clock = rules.clock_of(to_us(datetime(2027, 7, 4, 22, tzinfo=UTC)), 7 * 1440, "Europe/Berlin")
    if to == "kueue":
        expected = [-value for value in typical(-plan.training_nodes, plan, quantile) if value is not None]
        assert read_back(made, to, "training", clock) == expected
        return
    for role in plan.roles:
        assert read_back(made, to, role.workload, clock) == typical(role.units, plan, quantile)


def test_the_largest_of_the_weeks_and_the_median_of_three_by_hand() -> None:
    """Mondays at 9 o'clock with 3, 8 and 5 units, and 2 for all the rest."""
    units = [2] * 24 * 21
    for week, level in enumerate((3, 8, 5)):
        units[week * 168 + 9] = level
    plan = schedule(units, start=datetime(2026, 6, 1, tzinfo=UTC))
    for quantile, level in ((1, 8), (0.5, 5), (2 / 3, 5), (0.7, 8), (0.1, 3)):
        pattern = typical_week(plan.grid, plan.roles[0].units, plan.zone, quantile)
        assert pattern.levels[[539, 540, 599, 600]].tolist() == [2, level, level, 2]
    made = keda(replace(plan, typical_week=0.5))
    (prefill, decode) = made.against_plan
    # a week at 5 where the plan has 3, and one where it has 8: units of 4 nodes, for an hour each
    assert (prefill.node_hours_more, prefill.node_hours_fewer) == (8, 12)
    assert (prefill.intervals_more, prefill.intervals_fewer, prefill.intervals) == (1, 1, 504)
    assert (prefill.minutes_that_differ, prefill.minutes) == (120, 21 * 1440)
    assert (decode.node_hours_more, decode.minutes_that_differ) == (0, 0)
    assert made.notes[0] == "a typical week of 21 days: the 0.5 quantile by weekday and local time of UTC"
    assert (
        "prefill: 8.0 node-hours more beside the 4,072.0 planned; fewer units than planned in 1 of 504 intervals "
        "(12.0 node-hours)" in made.notes
    )
    note, *_ = keda(replace(plan, typical_week=0.9)).notes
    assert note.endswith("the 0.9 quantile by weekday and local time of UTC, which is the largest of so few weeks")
    largest = keda(replace(plan, typical_week=1)).against_plan[0]
    assert (largest.node_hours_more, largest.node_hours_fewer, largest.intervals_fewer) == (32, 0, 0)


def test_training_gets_the_least_that_the_weeks_lend() -> None:
    plan = replace(
        schedule([1] * 24 * 14, start=datetime(2026, 6, 1, tzinfo=UTC)),
        training_nodes=np.repeat([30, 20], 168),
    )
    made = kueue(replace(plan, typical_week=1))
    (job,) = [item for item in rules.manifests(made.text) if item["kind"] == "CronJob"]
    assert (job["spec"]["schedule"], job["metadata"]["name"]) == ("0 0 * * *", "training-quota-0000")
    (against,) = made.against_plan
    assert (against.node_hours_more, against.node_hours_fewer) == (0, 10 * 168)
    assert made.notes[0].startswith("a typical week of 14 days: the least by weekday and local time of UTC")
    assert (
        "1,680.0 node-hours less are lent of the 8,400.0 planned; more than planned is lent in 0 of 336 intervals"
        in " ".join(made.notes)
    )


@settings(max_examples=20)
@given(
    first=st.dates(date(2026, 3, 20), date(2026, 4, 1)) | st.dates(date(2026, 10, 15), date(2026, 10, 26)),
    days=st.integers(1, 23),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"]),
    quantile=st.sampled_from([0.01, 0.5, 0.9, 1]),
)
def test_any_plan_becomes_a_typical_week_or_is_refused_with_the_days_that_it_leaves_out(
    first: date, days: int, zone: str, quantile: float
) -> None:
    plan = weeks(first, days, zone, seed=days)
    expected = typical(plan.roles[0].units, plan, quantile)
    if days < 7:
        with pytest.raises(RunError, match=r"^the plan leaves out ") as refused:
            typical_week(plan.grid, plan.roles[0].units, plan.zone, quantile)
        covered = {(first + timedelta(days=day)).strftime("%A") for day in range(days)}
        assert not [name for name in covered if name in str(refused.value).split(" by the clock")[0]]
        return
    pattern = typical_week(plan.grid, plan.roles[0].units, plan.zone, quantile)
    levels = np.tile(pattern.levels, 7 * 1440 // len(pattern.levels)).tolist()
    # what a clock skips has the units before it, if no other week has that time
    for minute, value in enumerate(expected):
        expected[minute] = expected[minute - 1] if value is None else value
    assert levels == expected


def test_a_plan_that_lacks_weekdays_is_refused_with_their_names_and_hours() -> None:
    plan = schedule([1] * 24 * 6, start=datetime(2026, 6, 3, 12, tzinfo=UTC))
    with pytest.raises(RunError, match=r"leaves out Tuesday 12:00-24:00, Wednesday 00:00-12:00 by the clock of UTC, "):
        aws(replace(plan, typical_week=1))
    with pytest.raises(RunError, match=r"or leave out --week: the plan of one day recurs daily"):
        keda(replace(schedule([1] * 24), typical_week=1))


def test_a_typical_week_without_units_is_refused_where_a_window_needs_one() -> None:
    plan = schedule([0] * 168 + [1] * 24 + [0] * 144, start=datetime(2026, 6, 1, tzinfo=UTC))
    with pytest.raises(RunError, match=r"typical week has no prefill units at any time, .* or --week largest"):
        keda(replace(plan, typical_week=0.5))
    (prefill, _) = rules.manifests(keda(replace(plan, typical_week=1)).text)
    assert prefill["spec"]["maxReplicaCount"] == 1


def test_weeks_that_are_all_alike_become_a_daily_schedule_without_any_difference() -> None:
    plan = schedule([1] * 8 + [5] * 16, start=datetime(2026, 6, 1, tzinfo=UTC))
    fortnight = replace(schedule(plan.roles[0].units.tolist() * 14, start=datetime(2026, 6, 1, tzinfo=UTC)))
    made = keda(replace(fortnight, typical_week=1))
    (prefill, _) = rules.manifests(made.text)
    assert [t["metadata"]["start"] for t in prefill["spec"]["triggers"]] == ["0 8 * * *"]
    assert {part.minutes_that_differ for part in made.against_plan} == {0}


def hours(start: str, count: int, zone: str, interval_s: int) -> ExportSchedule:
    """Hours from a local time on, whose units change every four of them."""
    begin, size = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)), 3600 // interval_s
    units = np.repeat(np.random.default_rng(count).integers(1, 9, -(-count // 4)), 4 * size)[: count * size].tolist()
    return schedule(units, start=begin.astimezone(UTC), zone=zone, interval_s=interval_s)


def one_day(plan: ExportSchedule, day: date) -> ExportSchedule:
    """The intervals that begin within 24 hours by the local clock from the plan's time of day on."""
    first, *_ = local = plan.grid.local_starts(plan.zone)
    begin, end = (to_us(datetime.combine(day + timedelta(days=d), first.time(), plan.zone)) for d in (0, 1))
    inside = [place for place, at in enumerate(local) if begin <= to_us(at) < end]
    low, high = inside[0], inside[-1] + 1
    roles = tuple(replace(role, units=role.units[low:high]) for role in plan.roles)
    grid = Grid(plan.grid.start_us + low * plan.grid.interval_us, plan.grid.interval_s, high - low)
    return replace(plan, grid=grid, typical_week=None, roles=roles)


@pytest.mark.parametrize("week", [None, 1])
@pytest.mark.parametrize(
    ("start", "zone", "interval_s", "counts", "to"),
    [
        # seven times 24 hours, over a change of half an hour
        ("2026-03-30T00:00", "Australia/Lord_Howe", 3600, (168,), "ec2"),
        ("2026-04-05T00:00", "Australia/Lord_Howe", 1800, (48, 200), "cronjob"),
        ("2026-09-28T12:00", "Australia/Lord_Howe", 1800, (168,), "keda"),
        # a day of 25 hours alone, and before others
        ("2026-10-25T00:00", "Europe/Berlin", 3600, (25, 168), "ec2"),
        # jobs that begin at a time that the clock skips
        ("2026-03-28T02:30", "Europe/Berlin", 1800, (24,), "cronjob"),
        ("2026-06-01T00:00", "Asia/Shanghai", 3600, (24, 48), "keda"),
    ],
)
def test_every_cure_of_a_plan_that_does_not_recur_helps(
    week: float | None, start: str, zone: str, interval_s: int, counts: tuple[int, ...], to: str
) -> None:
    for count in counts:
        plan = replace(hours(start, count, zone, interval_s), typical_week=week)
        try:
            WRITERS[to](plan)
        except RunError as error:
            told = str(error)
        else:
            continue
        told = told.rpartition("; ")[2]
        if "export --to cronjob" in told:
            assert to == "keda"
            WRITERS["cronjob"](plan)
            continue
        assert "--week" in told or "--day" in told or "plan " in told
        longer = hours(start, count + 9 * 24, zone, interval_s)
        if "plan more days" in told:
            WRITERS[to](replace(longer, typical_week=1))
        elif "--week largest" in told:
            WRITERS[to](replace(plan, typical_week=1))
        if day := re.search(r"--day ([\d-]+)", told):
            WRITERS[to](one_day(plan, date.fromisoformat(day[1])))
        elif "leave out --week" in told:
            WRITERS[to](replace(plan, typical_week=None))
