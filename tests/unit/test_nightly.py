"""Parts of the nightly service that need no store: due dates, slots of the local day, lines of the index, metrics."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from planner.nightly.dates import due_at, due_dates, latest_due, next_due_at
from planner.nightly.health import Health
from planner.nightly.index_page import sparkline
from planner.nightly.jobs_file import load_jobs
from planner.nightly.logs import day_of_trace
from planner.nightly.metrics import metrics_text
from tests.helpers.nights import (
    FIRST,
    ZONE,
    days,
    ledger_row,
    past_day,
    write_jobs,
)

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "America/Santiago")


@given(
    st.sampled_from(ZONES),
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.dates(date(2024, 1, 1), date(2026, 12, 31)),
)
def test_every_local_date_is_due_once_and_in_order(name: str, at: time, day: date) -> None:
    zone = ZoneInfo(name)
    moments = [due_at(each, at, zone) for each in days(day, 3)]
    assert moments == sorted(set(moments))
    for each, moment in zip(days(day, 3), moments, strict=True):
        assert moment.astimezone(zone).date() == each
        assert latest_due(moment, at, zone) == each
        assert latest_due(moment - timedelta(seconds=1), at, zone) == each - timedelta(days=1)
        assert next_due_at(moment - timedelta(seconds=1), at, zone) == moment
        assert next_due_at(moment, at, zone) > moment


def test_a_time_that_comes_twice_is_due_the_first_time_and_one_left_out_after_the_jump() -> None:
    assert due_at(date(2025, 10, 26), time(2, 30), ZONE) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert due_at(date(2025, 3, 30), time(2, 30), ZONE) == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)


def test_missing_dates_are_caught_up_in_order_up_to_a_bound() -> None:
    five = days(date(2025, 3, 1), 5)
    dates = due_dates(five[-1], five[0], [], [five[1]], 3)
    assert (dates.due, dates.skipped) == ((five[2], five[3], five[4]), (five[0],))
    assert due_dates(five[-1], None, [], [], 3).due == (five[-1],)
    assert due_dates(five[-1], None, five[2:4], five[2:4], 3).due == (five[-1],)
    # a clock that was put back: nothing is due again
    assert due_dates(five[0], None, five, five, 3).due == ()


def test_a_sparkline_reaches_from_the_bottom_to_the_top() -> None:
    assert sparkline([0, 5, 10], 10) == "0.0,33.0 90.0,17.0 180.0,1.0"
    assert sparkline([0], 0) == "0.0,33.0"


def test_traces_of_others_whose_names_are_like_ours_are_left_alone(tmp_path: Path) -> None:
    (job,) = load_jobs(write_jobs(tmp_path)).file.job
    assert day_of_trace(job, "n-2025-03-01") == date(2025, 3, 1)
    for name in ("n-20250301", "n-2025-W09-6", "2025-03-01", "nn-2025-03-01", "n-2025-03-01b"):
        assert day_of_trace(job, name) is None


def test_metrics_are_prometheus_text() -> None:
    moment = datetime(2025, 3, 2, 2, tzinfo=UTC)
    done = ledger_row(started_at=moment, finished_at=moment + timedelta(seconds=90))
    failed = ledger_row(logical_date=FIRST + timedelta(days=1), status="failed")
    day = past_day(output_wape=0.25, error_cost_usd=6.0, drift=True)
    health = Health(started_at=moment, looked_at=moment, rows=[done, failed], newest_days=[day])
    text = metrics_text(health)
    for line in (
        'planner_schedule_dates{job="n",status="done"} 1',
        'planner_schedule_dates{job="n",status="failed"} 1',
        'planner_schedule_last_duration_seconds{job="n"} 90',
        f'planner_schedule_last_done_timestamp_seconds{{job="n"}} {int(moment.timestamp()) + 90}',
        'planner_schedule_output_wape{job="n"} 0.25',
        'planner_schedule_error_cost_usd{job="n"} 6',
        'planner_schedule_drift{job="n"} 1',
        "planner_schedule_busy 0",
    ):
        assert line in text.splitlines()
    shape = re.compile(r'# (HELP|TYPE) \S+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [-+.e\d]+')
    assert all(shape.fullmatch(line) for line in text.splitlines())


def test_a_service_that_has_not_looked_for_minutes_is_not_healthy() -> None:
    moment = datetime(2025, 3, 2, 2, tzinfo=UTC)
    health = Health(started_at=moment, looked_at=moment)
    assert health.document(moment + timedelta(seconds=300)).ok
    assert not health.document(moment + timedelta(seconds=301)).ok
    health.begin_check(moment)
    assert health.document(moment + timedelta(hours=1)).ok
