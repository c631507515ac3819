"""Nightly jobs: which dates are due, that each is done once, what a night leaves behind, what is said when it fails."""

import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import duckdb
import kubernetes_validate
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.errors import PlannerError, StoreError, UsageError
from planner.nightly.dates import due_at, latest_due, missing, next_due_at
from planner.nightly.day_ahead import _by_slot, day_us, history
from planner.nightly.due import Scheduler
from planner.nightly.index_page import sparkline
from planner.nightly.jobs_file import Notify, load_jobs
from planner.nightly.ledger import LeaseLost, claim
from planner.nightly.lock import only_one
from planner.nightly.logs import LogNotReady, Logs, _day_of
from planner.nightly.metrics import Health, health_document, metrics_text
from planner.nightly.night import report_folder
from planner.nightly.notify import notify
from planner.nightly.service import NextDue, _look, serve
from planner.runs.read import RunView
from planner.store import Store, publish, published_path, readable
from planner.trace import stored as catalogue
from planner.trace.imports.job import ImportOptions
from tests.conftest import Cli
from tests.helpers.nights import FIRST, ZONE, Service, days, night, write_jobs, write_log
from tests.integration.test_prometheus import steady, vllm

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "America/Santiago")


def stored_days(logs: Logs) -> dict[date, str]:
    with logs.store.read() as session:
        return logs.days(session)


@pytest.fixture
def real_outputs() -> None:
    """Asked for by tests that look at reports or at the published copy."""


@pytest.fixture(autouse=True)
def _plain_outputs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a report is a line and nothing is published: that takes as long as the rest of a night."""

    def write(run: RunView, folder: Path, **_: object) -> None:
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(str(run.summary.run_id))

    if "real_outputs" not in request.fixturenames:
        monkeypatch.setattr("planner.nightly.night.write_report", write)
        monkeypatch.setattr("planner.nightly.due.publish", lambda _store: None)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A job whose logs of six days are there."""
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(tmp_path, day)
    return Service(tmp_path, write_jobs(tmp_path))


@pytest.fixture(scope="session")
def _first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after the first night, with its real report and copy."""
    folder = tmp_path_factory.mktemp("first-night")
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(folder, day)
    assert Service(folder, write_jobs(folder)).run(night(FIRST)) == 0
    return folder


@pytest.fixture
def one_night(tmp_path: Path, _first_night: Path) -> Service:
    """The job of `service` after its first night."""
    shutil.copytree(_first_night, tmp_path, dirs_exist_ok=True)
    return Service(tmp_path, tmp_path / "jobs.toml")


# which dates are due


@given(
    st.sampled_from(ZONES),
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.dates(date(2024, 1, 1), date(2026, 12, 31)),
)
def test_every_local_date_is_due_once_and_in_order(name: str, at: time, day: date) -> None:
    zone = ZoneInfo(name)
    moments = [due_at(one, at, zone) for one in days(day, 3)]
    assert moments == sorted(set(moments))
    for one, moment in zip(days(day, 3), moments, strict=True):
        assert moment.astimezone(zone).date() == one
        assert latest_due(moment, at, zone) == one
        assert latest_due(moment - timedelta(seconds=1), at, zone) == one - timedelta(days=1)
        assert next_due_at(moment - timedelta(seconds=1), at, zone) == moment
        assert next_due_at(moment, at, zone) > moment


def test_a_time_that_comes_twice_is_due_the_first_time_and_one_left_out_after_the_jump() -> None:
    assert due_at(date(2025, 10, 26), time(2, 30), ZONE) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert due_at(date(2025, 3, 30), time(2, 30), ZONE) == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)


def test_missing_dates_are_caught_up_in_order_up_to_a_bound() -> None:
    five = days(date(2025, 3, 1), 5)
    found = missing(five[-1], five[0], [], [five[1]], 3)
    assert (found.due, found.skipped) == ((five[2], five[3], five[4]), (five[0],))
    assert missing(five[-1], None, [], [], 3).due == (five[-1],)
    assert missing(five[-1], None, five[2:4], five[2:4], 3).due == (five[-1],)
    # a clock that was put back: nothing is due again
    assert missing(five[0], None, five, five, 3).due == ()


# what a night leaves behind


def test_a_night_reads_yesterdays_log_and_plans_tomorrow(one_night: Service) -> None:
    service = one_night
    (row,) = service.rows("job_runs")
    assert (row["logical_date"], row["status"], row["attempts"], row["exit_code"]) == (FIRST, "done", 1, 0)
    (run,) = service.rows("run_record", run_id=row["run_id"])
    assert (run["kind"], run["logical_date"], run["demand_source"]) == ("nightly", date(2025, 3, 3), "forecast")
    assert run["trace"] == "n-2025-03-01"
    assert any("forecasts; days of history: 1, to 2025-03-01" in note for note in run["notes"])
    assert not any("perfect foresight" in note for note in run["notes"])
    intervals = service.rows("run_intervals", run_id=row["run_id"])
    # 45,000 tokens an hour are 12.5 a second: two steps of 10, from an hour ahead on; 2.5 a second are one
    assert [one["prefill_units"] for one in intervals] == [1] * 7 + [2] * 13 + [1] * 4
    assert intervals[0]["interval_start"] == datetime(2025, 3, 2, 23, tzinfo=UTC)
    report = report_folder(service.jobs.out, service.jobs.file.job[0], FIRST)
    assert "run-00001" in (report / "index.html").read_text()
    assert (report / "provenance.csv").is_file()


def test_a_second_look_does_nothing(one_night: Service) -> None:
    service = one_night
    before = service.rows("job_runs")
    assert service.run(night(FIRST, time(23))) == 0
    assert service.run(night(FIRST - timedelta(days=3))) == 0  # a clock that was put back
    assert service.rows("job_runs") == before
    assert len(service.rows("run_list")) == 1


def test_plan_and_actual_meet_two_nights_later(one_night: Service, tmp_path: Path) -> None:
    # the third day brings a fifth more than the forecast of 45,000 and 9,000 tokens an hour, the fourth twice as much
    write_log(tmp_path, date(2025, 3, 3), 1.2)
    write_log(tmp_path, date(2025, 3, 4), 2.0)
    assert one_night.run(night(date(2025, 3, 5))) == 0
    short, row = one_night.rows("plan_actual_days", job="n")
    total = 12 * 54_000 + 12 * 10_800
    assert (row["day"], row["requests"], row["input_tokens"]) == (date(2025, 3, 3), 24, total)
    assert row["input_wape"] == row["output_wape"] == pytest.approx(0.2 / 1.2)
    assert row["input_bias"] == pytest.approx(-0.2 / 1.2)
    assert row["within_quantile"] == 0
    # needed: 15 tokens a second are two steps still, from 8 to 20
    assert row["needed_node_hours"] == 12 * 3 + 12 * 6
    # planned: as a unit that serves from 8 on joins an hour ahead, one step more is held for that hour
    assert row["planned_node_hours"] == row["needed_node_hours"] + 3
    assert row["shortfall_tokens"] == 0
    assert row["error_cost_usd"] == row["excess_cost_usd"] == pytest.approx(3 * 2.0)
    assert not row["band_missed"]
    # too small a plan costs the tokens it falls short of:
    # 90,000 tokens an hour against 2 steps of 36,000, twelve hours, and of 10 a second less while one drains for 5 s
    missed = 12 * (90_000 - 72_000) + 50
    assert short["shortfall_tokens"] == 2 * missed
    assert short["needed_shortfall_tokens"] == 0
    assert short["shortfall_revenue_usd"] == pytest.approx(missed * (0.55 + 2.19) / 1e6, abs=1e-5)
    assert short["error_cost_usd"] == pytest.approx(short["excess_cost_usd"] + short["shortfall_revenue_usd"])
    assert short["band_missed"]


def test_days_beyond_the_band_running_are_a_drift_and_exit_code_3(tmp_path: Path) -> None:
    for number, day in enumerate(days(FIRST - timedelta(days=1), 4)):
        write_log(tmp_path, day, 0.7**number)
    service = Service(tmp_path, write_jobs(tmp_path, "drift = { band = 0.3, days = 2 }"))
    codes = [service.run(night(day)) for day in days(FIRST, 4)]
    compared = service.rows("plan_actual_days", job="n")[::-1]
    assert [row["band_missed"] for row in compared] == [True, True]
    assert [row["drift"] for row in compared] == [False, True]
    assert codes == [0, 0, 0, 3]
    message = service.rows("job_runs")[-1]["message"]
    assert "drift: the forecast error was beyond 30% on 2 days running, to 2025-03-04" in message
    assert "The forecasts drift" in (service.jobs.out / "index.html").read_text()


def test_the_index_page_leads_to_every_report_without_scripts(one_night: Service) -> None:
    service = one_night
    service.run(night(date(2025, 3, 4)))
    page = (service.jobs.out / "index.html").read_text()
    links = re.findall(r'href="(n/[^"]+)"', page)
    assert links == [f"n/{day}/index.html" for day in days(FIRST, 3)[::-1]]
    assert all((service.jobs.out / link).is_file() for link in links)
    assert "<script" not in page
    # one compared day is a figure and no curve
    assert page.count("<polyline") == 3
    assert "0.0% on 2025-03-03" in page
    assert 'href="http' not in page
    service.run(night(date(2025, 3, 5)))
    assert (service.jobs.out / "index.html").read_text().count("<polyline") == 4 + 1


def test_a_browser_shows_the_index_page_from_disk(one_night: Service, chromium: str, tmp_path: Path) -> None:
    page = one_night.jobs.out / "index.html"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
    words = [chromium, *flags, "--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*words, page.as_uri()], capture_output=True, text=True, check=True)
    assert 'href="n/2025-03-02/index.html"' in done.stdout
    assert "3 to 6 nodes over the planned day" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_a_sparkline_reaches_from_the_bottom_to_the_top() -> None:
    assert sparkline([0, 5, 10], 10) == "0.0,33.0 90.0,17.0 180.0,1.0"
    assert sparkline([0], 0) == "0.0,33.0"


def test_exports_are_written_for_every_planned_day_and_for_the_newest(tmp_path: Path) -> None:
    for day in days(date(2025, 3, 27), 3):
        write_log(tmp_path, day)
    kinds = ("keda", "cronjob", "slurm", "aws", "focus", "json")
    exports = ", ".join(f"{{ to = '{kind}', path = 'x/{kind}-{{date}}' }}" for kind in kinds)
    service = Service(tmp_path, write_jobs(tmp_path, f"export = [{exports}, {{ to = 'csv', path = 'newest.csv' }}]"))
    assert service.run(night(date(2025, 3, 28))) == 0
    assert service.run(night(date(2025, 3, 29))) == 0
    folder = service.jobs.out
    # the day on which the clock is put forward has 23 hours
    assert (folder / "newest.csv").read_text().count("\n") == 1 + 23
    assert {path.name for path in (folder / "x").iterdir()} == {
        f"{kind}-{day}" for kind in kinds for day in (date(2025, 3, 29), date(2025, 3, 30))
    }


def test_what_is_old_is_deleted_and_the_ledger_stays(tmp_path: Path) -> None:
    for day in days(FIRST - timedelta(days=1), 4):
        write_log(tmp_path, day)
    keep = "history_days = 2\nkeep_trace_days = 2\nkeep_report_days = 2\nexport = [{ to = 'csv', path = '{date}.csv' }]"
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {FIRST}\n{keep}"))
    assert service.run(night(date(2025, 3, 5))) == 0
    assert [row["name"] for row in service.rows("trace_list")] == [f"n-2025-03-0{day}" for day in (3, 4)]
    assert len(service.rows("run_list")) == 2
    assert sorted(path.name for path in (service.jobs.out / "n").iterdir()) == ["2025-03-04", "2025-03-05"]
    assert sorted(path.name for path in service.jobs.out.glob("*.csv")) == ["2025-03-05.csv", "2025-03-06.csv"]
    assert len(service.rows("job_runs")) == 4
    assert len(service.rows("plan_actual_days", job="n")) == 2


def test_a_name_that_comes_again_is_not_deleted_with_the_night_that_had_it_first(tmp_path: Path) -> None:
    for day in days(FIRST - timedelta(days=1), 8):
        write_log(tmp_path, day)
    keep = (
        "history_days = 2\nkeep_trace_days = 2\nkeep_report_days = 7\nexport = [{ to = 'csv', path = '{date:%a}.csv' }]"
    )
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {FIRST}\ncatch_up_days = 9\n{keep}"))
    assert service.run(night(FIRST + timedelta(days=7))) == 0
    assert len(service.rows("run_list")) == 7
    # of the eighth night, whose planned weekday is that of the first
    assert sum(1 for _ in service.jobs.out.glob("*.csv")) == 7
    assert (service.jobs.out / "Mon.csv").is_file()


def test_traces_of_others_whose_names_are_like_ours_are_left_alone(service: Service) -> None:
    (job,) = service.jobs.file.job
    assert _day_of(job, "n-2025-03-01") == date(2025, 3, 1)
    for name in ("n-20250301", "n-2025-W09-6", "2025-03-01", "nn-2025-03-01", "n-2025-03-01b"):
        assert _day_of(job, name) is None


def test_an_export_that_cannot_express_a_day_is_said_and_the_night_is_done(tmp_path: Path) -> None:
    # on 26 October the hour from 2 comes twice in Berlin, and the second time units start for the one from 3
    night_of = date(2025, 10, 25)
    write_log(tmp_path, night_of - timedelta(days=1))
    log = tmp_path / "logs" / f"{night_of - timedelta(days=1)}.csv"
    log.write_text(log.read_text().replace("T01:00:00+00:00,9000,9000", "T01:00:00+00:00,45000,45000"))
    exports = (
        "export = [{ to = 'keda', path = 'k.yaml' }, { to = 'slurm', path = 's.sh' }, { to = 'csv', path = 'c.csv' }]"
    )
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {night_of}\n{exports}"))
    service.jobs.out.mkdir()
    (service.jobs.out / "k.yaml").write_text("the one before")
    assert service.run(night(night_of)) == 3
    (row,) = service.rows("job_runs")
    assert (row["status"], row["exit_code"]) == ("done", 3)
    assert row["message"].startswith("no keda for 2025-10-26: prefill units at 0")
    assert service.named("not exported")[0]["to"] == "keda"
    assert (service.jobs.out / "k.yaml").read_text() == "the one before"
    assert (service.jobs.out / "c.csv").is_file()
    assert "export TZ=UTC0" in (service.jobs.out / "s.sh").read_text()
    assert report_folder(service.jobs.out, service.jobs.file.job[0], night_of).is_dir()


# where the clock changes


def test_dates_that_a_clock_ahead_of_time_gave_up_are_done_when_their_time_comes(one_night: Service) -> None:
    service = one_night
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "catch_up_days = 3\nattempts = 1\nretry_s = 0"))
    # for an hour the clock says that it is the 20th
    for minute in range(0, 60, 10):
        assert service.run(night(date(2025, 3, 20), time(3, minute))) == 1
    before = {row["logical_date"].day: row["status"] for row in service.rows("job_runs")}
    assert before == {2: "done", **dict.fromkeys(range(3, 18), "skipped"), 18: "failed", 19: "failed", 20: "failed"}
    # then it is put back
    for day in range(3, 7):
        assert service.run(night(date(2025, 3, day))) == 0
    done = [row for row in service.rows("job_runs") if row["status"] == "done"]
    assert [(row["logical_date"].day, row["attempts"]) for row in done] == [(day, 1) for day in range(2, 7)]
    assert len(service.rows("run_list")) == 5


def test_a_first_look_with_a_clock_ahead_of_time_does_not_put_off_the_job(service: Service) -> None:
    assert service.run(night(date(2036, 1, 1))) == 1
    assert service.run(night(FIRST)) == 0
    assert [(row["logical_date"].year, row["status"]) for row in service.rows("job_runs")] == [
        (2025, "done"),
        (2036, "failed"),
    ]


def test_days_of_23_and_25_hours_are_forecast_by_the_local_clock(tmp_path: Path) -> None:
    for first, hours in ((date(2025, 3, 28), 23), (date(2025, 10, 24), 25)):
        folder = tmp_path / str(first)
        folder.mkdir()
        for day in days(first, 3):
            write_log(folder, day)
        nights = days(first + timedelta(days=1), 3)
        service = Service(folder, write_jobs(folder, f"first = {nights[0]}"))
        assert service.run(night(nights[-1])) == 0
        (row,) = service.rows("plan_actual_days", job="n")
        assert (row["day"], row["requests"], row["input_wape"]) == (nights[1], hours, 0.0)
        assert [row["logical_date"] for row in service.rows("job_runs")] == nights
        # noon is noon on every day of the history
        names = {day: f"n-{day}" for day in days(first, 3)}
        with service.store.read() as session:
            past = history(session, names, first + timedelta(days=2), service.jobs.scenarios["n"])
        assert past.days == 3
        assert (past.input_tokens.reshape(3, 24) == [9_000.0] * 8 + [45_000.0] * 12 + [9_000.0] * 4).all()


def test_an_hour_left_out_is_as_the_one_before_and_one_that_comes_twice_their_mean() -> None:
    assert _by_slot(np.array([1, 2, 4]), np.array([0, 1, 3]), 4).tolist() == [1, 2, 2, 4]
    assert _by_slot(np.array([1, 2, 4, 8]), np.array([0, 1, 1, 2]), 3).tolist() == [1, 3, 8]
    assert _by_slot(np.array([5, 6]), np.array([1, 2]), 3).tolist() == [5, 5, 6]


def test_a_local_day_may_have_23_or_25_hours(service: Service) -> None:
    scenario = service.jobs.scenarios["n"]
    for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 7, 1), 24)):
        begin, end = day_us(day, scenario)
        assert end - begin == hours * 3_600_000_000


# when something fails


def test_a_missing_log_fails_the_date_rests_and_is_tried_again_before_later_dates(tmp_path: Path) -> None:
    write_log(tmp_path, FIRST)
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {FIRST}\nretry_s = 600"))
    moment = night(FIRST + timedelta(days=1))
    assert service.run(moment) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["exit_code"], row["step"]) == ("failed", 1, "import")
    assert "2025-03-01.csv: there is no such log; put it there, or correct log.path of job n" in row["message"]
    assert service.run(moment + timedelta(seconds=599)) == 1
    assert service.rows("job_runs")[0]["attempts"] == 1
    write_log(tmp_path, FIRST - timedelta(days=1))
    assert service.run(moment + timedelta(seconds=600)) == 0
    assert [(row["status"], row["attempts"]) for row in service.rows("job_runs")] == [("done", 2), ("done", 1)]


def test_a_date_is_given_up_after_its_attempts_and_later_ones_go_on(tmp_path: Path) -> None:
    write_log(tmp_path, FIRST)
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {FIRST}\nretry_s = 0\nattempts = 2"))
    codes = [service.run(night(FIRST + timedelta(days=1), time(hour))) for hour in (3, 4, 5)]
    assert codes == [1, 1, 0]
    assert [(row["status"], row["attempts"]) for row in service.rows("job_runs")] == [("failed", 2), ("done", 1)]


def test_dates_too_long_ago_are_noted_as_skipped_once(one_night: Service) -> None:
    service = one_night
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "catch_up_days = 1"))
    for _ in range(2):
        service.run(night(date(2025, 3, 5)))
    found = {str(row["logical_date"])[-2:]: row["status"] for row in service.rows("job_runs")}
    assert found == {"02": "done", "03": "skipped", "04": "skipped", "05": "done"}
    assert [(one["first"], one["last"], one["dates"]) for one in service.named("skipped")] == [
        (date(2025, 3, 3), date(2025, 3, 4), 2)
    ]


def test_a_failed_date_that_is_too_long_ago_is_skipped_once(service: Service) -> None:
    (service.jobs.folder / "logs" / "2025-03-01.csv").unlink()
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "catch_up_days = 1"))
    assert service.run(night(FIRST)) == 1
    for _ in range(2):
        assert service.run(night(FIRST + timedelta(days=1))) == 0
    (row, _) = service.rows("job_runs")
    assert (row["status"], row["exit_code"]) == ("skipped", None)
    assert "longer ago than catch_up_days=1" in row["message"]
    assert len(service.named("skipped")) == 1


def test_another_day_stands_for_a_day_without_a_log_and_the_plan_says_so(tmp_path: Path) -> None:
    for day in days(FIRST - timedelta(days=1), 4):
        if day != date(2025, 3, 3):
            write_log(tmp_path, day)
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {date(2025, 3, 5)}"))
    assert service.run(night(date(2025, 3, 5))) == 0
    # logs that were there before the job are its history
    assert [one["trace"][-2:] for one in service.named("imported")] == ["02", "01", "04"]
    assert service.named("filled")[0]["days"] == [date(2025, 3, 3)]
    (run,) = service.rows("run_record", run_id="run-00001")
    assert any("days of history: 4, to 2025-03-04" in note for note in run["notes"])
    assert any(note.startswith("no whole log of 2025-03-03: the same day a week before") for note in run["notes"])


def test_a_gap_is_filled_from_the_week_before_or_the_day_before_and_a_long_one_cuts_the_history_off(
    one_night: Service,
) -> None:
    service = one_night
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    logs = Logs(service.store, job, scenario, service.jobs.folder)
    for factor, day in enumerate(days(date(2025, 3, 1), 10), 1):
        write_log(service.jobs.folder, day, factor)
        logs.take(day, night(day))

    def noons(*absent: int) -> tuple[list[float], tuple[int, ...]]:
        there = {day: name for day, name in stored_days(logs).items() if day.day not in absent}
        with service.store.read() as session:
            past = history(session, there, date(2025, 3, 10), scenario)
        return (past.input_tokens[12::24] / 45_000).tolist(), tuple(day.day for day in past.filled)

    assert noons() == ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], ())
    assert noons(8, 3) == ([1, 2, 2, 4, 5, 6, 7, 1, 9, 10], (3, 8))
    assert noons(4, 5, 6) == ([1, 2, 3, 3, 3, 3, 7, 8, 9, 10], (4, 5, 6))
    assert noons(4, 5, 6, 7) == ([8, 9, 10], ())


def test_a_log_that_breaks_off_fails_its_date_until_it_is_whole(tmp_path: Path) -> None:
    day = FIRST - timedelta(days=1)
    write_log(tmp_path, day)
    log = tmp_path / "logs" / f"{day}.csv"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[: 1 + 15]))
    service = Service(tmp_path, write_jobs(tmp_path, "retry_s = 0\nattempts = 1"))
    # a date waits for its log as long as it is the newest, however few attempts it has
    for hour in (3, 4):
        assert service.run(night(FIRST, time(hour))) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["step"], row["attempts"]) == ("failed", "import", 1)
    assert (
        "has no request from 15:00 to 00:00 of 2025-03-01, as if it was not whole; complete it, or raise"
        in row["message"]
    )
    assert service.rows("trace_list") == []
    log.write_text(whole)
    assert service.run(night(FIRST, time(5))) == 0
    (row,) = service.rows("job_runs")
    assert (row["status"], row["attempts"]) == ("done", 2)


def test_a_stored_half_log_is_no_demand_of_zero_but_a_gap(tmp_path: Path, one_night: Service) -> None:
    service = one_night
    catalogue.delete(service.store, "n-2025-03-01")
    day = FIRST - timedelta(days=1)
    log = tmp_path / "logs" / f"{day}.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[: 1 + 15]))
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    logs = Logs(service.store, job, scenario, tmp_path)
    lenient = job.model_copy(update={"log": job.log.model_copy(update={"longest_silence_s": 80_000})})
    # as an attempt leaves it that is killed between storing and looking
    assert Logs(service.store, lenient, scenario, tmp_path).take(day, night(FIRST)) is not None
    logs.take(FIRST, night(FIRST))
    with service.store.read() as session:
        past = history(session, stored_days(logs), FIRST, scenario, job.log.longest_silence_s)
    assert past.days == 1
    with pytest.raises(LogNotReady, match="as if it was not whole"):
        logs.take(day, night(FIRST))
    assert list(stored_days(logs)) == [FIRST]
    assert logs.take(FIRST, night(FIRST)) is None


def test_a_log_of_another_day_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, date(2025, 2, 1))
    (tmp_path / "logs" / "2025-02-01.csv").rename(tmp_path / "logs" / "2025-03-01.csv")
    service = Service(tmp_path, write_jobs(tmp_path))
    assert service.run(night(FIRST)) == 1
    assert "has nothing of 2025-03-01; check that it is that day's log" in service.rows("job_runs")[0]["message"]


def test_a_log_that_comes_after_its_date_was_given_up_still_counts(tmp_path: Path) -> None:
    for day in days(FIRST - timedelta(days=1), 4):
        write_log(tmp_path, day)
    late = tmp_path / "logs" / "2025-03-03.csv"
    late.rename(tmp_path / "late.csv")
    service = Service(tmp_path, write_jobs(tmp_path, "attempts = 1"))
    codes = [service.run(night(day)) for day in days(FIRST, 3)]
    (tmp_path / "late.csv").rename(late)
    codes.append(service.run(night(date(2025, 3, 5))))
    assert codes == [0, 0, 1, 0]
    assert [row["status"] for row in service.rows("job_runs")] == ["done", "done", "failed", "done"]
    # the plan of the third is held against it all the same, and the fourth is compared with its own
    assert [row["day"].day for row in service.rows("plan_actual_days", job="n")] == [4, 3]
    assert service.named("filled") == []


def test_every_option_of_an_import_can_be_given(tmp_path: Path) -> None:
    options = """
path = 'logs/*-{date:%Y%m%d}.gz'
timezone = 'Asia/Tokyo'
start = 2025-01-01T00:00:00Z
time_unit = 'ms'
cache = 4096
columns = { input_tokens = 'prompt' }
strict = true
draw = 10
seed = 7
"""
    service = Service(tmp_path, write_jobs(tmp_path, log=options))
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    read = Logs(service.store, job, scenario, tmp_path)._options(FIRST)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    assert read == ImportOptions("Asia/Tokyo", start, "ms", 4096, {"input_tokens": "prompt"}, True, 10, 7)
    service.jobs = load_jobs(write_jobs(tmp_path, log="path = 'http://127.0.0.1:9090'\nselector = 'job=\"vllm\"'"))
    (job,) = service.jobs.file.job
    read = Logs(service.store, job, scenario, tmp_path)._options(date(2025, 3, 30))
    assert read.start == datetime(2025, 3, 29, 23, tzinfo=UTC)
    assert read.span is not None
    # the day on which the clock is put forward
    assert read.span.end_s - read.span.start_s == 23 * 3600
    assert (read.span.start_s, read.span.step_s, read.span.selector) == (read.start.timestamp(), 60, 'job="vllm"')


def test_a_server_is_asked_for_the_local_day(tmp_path: Path, prometheus: Callable[[str], str]) -> None:
    # 6 requests a minute of 100 and 10 tokens, from before the day's start in Berlin to after its end
    url = prometheus(vllm(steady('job="vllm"', 6, range(-62, 24 * 60)), steady('job="test"', 60, range(-62, 24 * 60))))
    service = Service(tmp_path, write_jobs(tmp_path, log=f"path = '{url}'\nselector = 'job=\"vllm\"'"))
    service.jobs = load_jobs(tmp_path / "jobs.toml")
    assert service.run(night(FIRST)) == 0
    (trace,) = service.rows("trace_list")
    assert (trace["name"], trace["origin"]) == ("n-2025-03-01", "windows")
    # it knows an hour of the day before, which is no day
    assert [event["day"] for event in service.named("left out")] == [date(2025, 2, 28)]
    hours = service.rows("run_forecast", run_id="run-00001")
    assert {(row["input_tokens"], row["output_tokens"]) for row in hours} == {(36_000, 3_600)}
    # a day of which the server knows nothing
    assert service.run(night(FIRST + timedelta(days=1))) == 1


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_done(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert service.run(night(FIRST)) == 1
    (row,) = service.rows("job_runs")
    assert row["step"] == "claimed"
    assert row["message"].endswith("nightly: cannot be written; correct its permissions, or set out in the jobs file")


def test_a_full_disk_stops_the_night_and_it_goes_on_when_there_is_room(one_night: Service) -> None:
    service = one_night
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # files may not grow beyond this: the store is larger, so what is new in it has no room
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match=r"planner.duckdb: cannot be written: File too large; free some room"):
            service.run(night(FIRST + timedelta(days=1)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert service.run(night(FIRST + timedelta(days=1))) == 0
    assert [row["status"] for row in service.rows("job_runs")] == ["done", "done"]
    assert len(service.rows("run_list")) == len(service.rows("trace_list")) == 2


def test_a_defect_ends_in_the_ledger_and_keeps_its_traceback(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.nightly.night.plan_ahead", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        service.run(night(FIRST))
    (row,) = service.rows("job_runs")
    assert (row["status"], row["message"].split(":")[:2]) == ("failed", ["defect", " ZeroDivisionError"])


def test_asked_to_stop_a_night_releases_its_date_and_goes_on_at_the_next_start(service: Service) -> None:
    def stop(event: Any) -> None:
        if event.get("step") == "plan":
            service.stop.set()

    service.on_event = stop
    assert service.run(night(FIRST)) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["attempts"], row["step"]) == ("released", 0, "plan")
    assert row["lease_until"] <= row["finished_at"]
    service.stop.clear()
    service.on_event = lambda _event: None
    assert service.run(night(FIRST, time(4))) == 0
    (row,) = service.rows("job_runs")
    assert (row["status"], row["attempts"]) == ("done", 1)
    assert len(service.rows("run_list")) == len(service.rows("trace_list")) == 1


def test_asked_to_stop_in_the_last_step_a_night_is_done_and_nothing_has_failed(service: Service) -> None:
    service.on_event = lambda event: service.stop.set() if event.get("step") == "prune" else None
    assert service.run(night(FIRST)) == 0
    assert [row["status"] for row in service.rows("job_runs")] == ["done"]


# leases


def test_a_date_of_another_host_is_taken_over_when_its_lease_has_run_out(service: Service) -> None:
    now = night(FIRST)
    other = Service(service.jobs.folder, service.jobs.folder / "jobs.toml", host="there")
    held = claim(service.store, "n", FIRST, other.owner, 1800, now)
    assert held is not None
    assert service.run(now + timedelta(seconds=1799)) == 1
    assert service.named("waits")[0]["why"] == "another host has it"
    assert service.run(now + timedelta(seconds=1800)) == 0
    with pytest.raises(LeaseLost, match="another scheduler has taken it over"):
        held.step("plan", now)
    with pytest.raises(LeaseLost):
        held.end("done", 0, "", now)
    assert claim(service.store, "n", FIRST, other.owner, 1800, now + timedelta(days=1)) is None


def test_a_plan_is_not_stored_by_who_has_lost_the_lease(service: Service) -> None:
    now = night(FIRST)
    other = Service(service.jobs.folder, service.jobs.folder / "jobs.toml", host="there")

    def steal(event: Any) -> None:
        if event.get("step") == "plan":
            assert claim(service.store, "n", FIRST, other.owner, 1800, now + timedelta(hours=1)) is not None

    service.on_event = steal
    assert service.run(now) == 1
    assert service.named("taken over")
    assert service.rows("run_list") == []


def test_a_second_scheduler_on_a_store_is_refused_in_one_line(tmp_path: Path, cli: Cli) -> None:
    jobs = write_jobs(tmp_path)
    with only_one(tmp_path / "planner.duckdb"):
        for command in ("run", "run-due"):
            done = cli("schedule", command, "--jobs", str(jobs))
            assert (done.code, done.err.count("\n")) == (1, 1)
            assert re.search(r"another scheduler \(process \d+\) works on planner.duckdb; wait for it", done.err)
    with only_one(tmp_path / "planner.duckdb"):
        pass


# the published copy


def test_people_read_the_published_copy_while_the_store_is_written(
    one_night: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = one_night
    monkeypatch.setattr("planner.store.published._PROBE_S", 0.05)
    code = f"import duckdb; c = duckdb.connect({str(service.store.path)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline().strip() == "held"
        for words in (
            ("sql", "SELECT count(*) AS runs FROM run_summary", "--json"),
            ("report", "--out", "r"),
            ("run", "list", "--json"),
            ("run", "show"),
            ("export", "--to", "csv"),
            ("schedule", "history"),
        ):
            done = cli(*words)
            assert done.code == 0, done.err
            assert "the store is being written; reading planner.published.duckdb" in done.err
        assert cli("sql", "SELECT count(*) AS n FROM request", "--json").json == [{"n": 0}]
    finally:
        holder.stdin.write("\n")
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
    assert "being written" not in cli("run", "list").err


def test_readers_of_a_published_copy_keep_it_while_the_next_is_put_in_its_place(
    one_night: Service, real_outputs: None
) -> None:
    service = one_night
    reader = duckdb.connect(str(published_path(service.store.path)), read_only=True)
    service.run(night(FIRST + timedelta(days=1)))
    assert reader.execute("SELECT count(*) FROM run").fetchall() == [(1,)]
    reader.close()
    with Store(published_path(service.store.path)).read() as session:
        assert len(session.rows("run_list")) == 2
    assert readable(service.store) == (service.store, False)


def test_a_draft_that_a_killed_process_left_does_not_disturb_publishing(one_night: Service) -> None:
    service = one_night
    draft = service.store.path.with_name(".planner.published.duckdb.draft")
    draft.write_text("half")
    assert publish(service.store).exists()
    assert not draft.exists()


# telling people


def test_trouble_is_told_to_a_command(tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    head = f"[notify]\ncommand = ['tee', '{told}']"
    service = Service(tmp_path, write_jobs(tmp_path, "attempts = 1", head))
    service.run(night(FIRST))
    document = json.loads(told.read_text())
    assert (document["job"], document["status"], document["exit_code"]) == ("n", "failed", 1)
    assert "there is no such log" in document["message"]
    told.unlink()
    # the same trouble once more is not told again
    service.run(night(FIRST, time(5)))
    assert not told.exists()
    write_log(tmp_path, FIRST)
    (tmp_path / "logs" / f"{FIRST}.csv").rename(tmp_path / "logs" / "2025-03-01.csv")
    service.run(night(FIRST, time(6)))
    assert "has nothing of 2025-03-01" in json.loads(told.read_text())["message"]


def test_every_night_is_told_to_an_address_where_that_is_wanted(service: Service) -> None:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        head = f"[notify]\nurl = 'http://127.0.0.1:{server.server_address[1]}/x'\non = 'all'"
        service.jobs = load_jobs(write_jobs(service.jobs.folder, head=head))
        assert service.run(night(FIRST)) == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [(one["status"], one["run_id"]) for one in got] == [("done", "run-00001")]
    assert Path(got[0]["report"]).is_file()


def test_a_notification_that_fails_is_logged_and_the_night_stays_done(service: Service) -> None:
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\ncommand = ['false']\non = 'all'"))
    assert service.run(night(FIRST)) == 0
    assert "exit code 1" in service.named("not told")[0]["problem"]
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\nurl = 'http://127.0.0.1:9/'\non = 'all'"))
    assert service.run(night(FIRST + timedelta(days=1))) == 0
    assert "notify.url http://127.0.0.1:9/" in service.named("not told")[1]["problem"]


class Answering(BaseHTTPRequestHandler):
    """Sends whoever posts on to /elsewhere, and /elsewhere counts who came."""

    came: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.came.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_only_the_configured_address_is_told() -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            (problem,) = notify(Notify(url=f"http://127.0.0.1:{server.server_address[1]}/x"), {})
        finally:
            server.shutdown()
            thread.join()
    assert "HTTP Error 302" in problem
    assert Answering.came == ["/x"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "http://127.0.0.1:port/"}, "nonnumeric port: 'port'"),
        ({"url": "http://"}, "no host given"),
        ({"command": ["sh", "-c", r"printf '\377 is no text' >&2; exit 4"]}, "exit code 4: \ufffd is no text"),
        ({"command": [""]}, "notify.command "),
        ({"command": ["sleep", "60"], "timeout_s": 0.1}, "timed out after 0.1 seconds"),
    ],
)
def test_whatever_is_wrong_with_who_is_told_is_one_line(settings: dict[str, Any], problem: str) -> None:
    (said,) = notify(Notify(**settings), {"job": "n"})
    assert problem in said
    assert "\n" not in said


def test_an_address_that_does_not_speak_http_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                caller.recv(10_000)

        thread = threading.Thread(target=greet)
        thread.start()
        (problem,) = notify(Notify(url=f"http://127.0.0.1:{server.getsockname()[1]}/"), {})
        thread.join()
    assert "SSH-2.0" in problem


# metrics and the running service


def test_a_service_whose_clock_is_put_back_by_days_looks_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, looks = [timedelta(days=3)], threading.Semaphore(0)

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + ahead[0]

    monkeypatch.setattr("planner.nightly.service.datetime", Wall)
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Wall)
    monkeypatch.setattr(Scheduler, "run_due", lambda _: looks.release())
    scheduler = Scheduler(service.store, service.jobs, service.owner, service.clock, service.log, service.stop.is_set)
    thread = threading.Thread(target=serve, args=(scheduler, service.stop))
    thread.start()
    try:
        assert looks.acquire(timeout=30)
        ahead[0] = timedelta()
        assert looks.acquire(timeout=30)
    finally:
        service.stop.set()
        thread.join()


def test_a_store_that_is_held_while_metrics_are_read_is_an_error_of_the_look(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(_store: Store) -> list[dict[str, Any]]:
        raise StoreError("planner.duckdb: is held")

    monkeypatch.setattr("planner.nightly.service.ledger.rows", held)
    monkeypatch.setattr(Scheduler, "run_due", lambda _: 0)
    scheduler = Scheduler(service.store, service.jobs, service.owner, service.clock, service.log, service.stop.is_set)
    health = Health(night(FIRST), night(FIRST))
    _look(scheduler, health)()
    assert service.named("look failed")[0]["message"] == "planner.duckdb: is held"
    assert (health.errors, health.busy) == (1, False)


def test_metrics_are_prometheus_text() -> None:
    moment = datetime(2025, 3, 2, 2, tzinfo=UTC)
    done = {"job": "n", "status": "done", "started_at": moment, "finished_at": moment + timedelta(seconds=90)}
    day = {"job": "n", "output_wape": 0.25, "error_cost_usd": 6.0, "drift": True}
    health = Health(moment, moment, rows=[done, {**done, "status": "failed"}], days=[day])
    text = metrics_text(health)
    for line in (
        'planner_schedule_dates{job="n",status="done"} 1',
        'planner_schedule_dates{job="n",status="failed"} 1',
        'planner_schedule_last_duration_seconds{job="n"} 90',
        f'planner_schedule_last_done_timestamp_seconds{{job="n"}} {int(moment.timestamp()) + 90}',
        'planner_schedule_output_wape{job="n"} 0.25',
        'planner_schedule_drift{job="n"} 1',
        "planner_schedule_busy 0",
    ):
        assert line in text.splitlines()
    shape = re.compile(r'# (HELP|TYPE) \S+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [-+.e\d]+')
    assert all(shape.fullmatch(line) for line in text.splitlines())


def test_a_service_that_has_not_looked_for_minutes_is_not_healthy() -> None:
    moment = datetime(2025, 3, 2, 2, tzinfo=UTC)
    health = Health(moment, moment)
    assert health_document(health, moment + timedelta(seconds=300))[0]
    assert not health_document(health, moment + timedelta(seconds=301))[0]
    health.set(busy=True)
    assert health_document(health, moment + timedelta(hours=1))[0]


def test_the_service_wakes_for_the_next_date_and_every_minute(service: Service) -> None:
    trigger = NextDue(service.jobs, service.clock)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, now) == now
    service.clock.moment = night(FIRST, time(2, 29, 30))
    assert trigger.get_next_fire_time(now, now) == now + timedelta(seconds=30)
    service.clock.moment = night(FIRST, time(12))
    assert trigger.get_next_fire_time(now, now) == now + timedelta(seconds=60)


def test_the_service_runs_what_is_due_answers_on_loopback_and_stops(service: Service) -> None:
    service.jobs = load_jobs(write_jobs(service.jobs.folder)).model_copy(
        update={
            "file": load_jobs(write_jobs(service.jobs.folder, head="port = 1024")).file.model_copy(update={"port": 0})
        }
    )
    done, port = threading.Event(), threading.Event()
    ports: list[int] = []

    def seen(event: Any) -> None:
        if event["event"] == "started":
            ports.append(event["port"])
            port.set()
        if event["event"] == "done":
            done.set()

    service.on_event = seen
    service.clock.moment = night(FIRST)
    stop = service.stop
    scheduler = Scheduler(service.store, service.jobs, service.owner, service.clock, service.log, stop.is_set)
    thread = threading.Thread(target=serve, args=(scheduler, stop))
    thread.start()
    try:
        assert port.wait(60)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/healthz") as answer:
            assert json.load(answer)["ok"] is True
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/else")
        assert done.wait(120)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/metrics") as answer:
            assert "planner_schedule_start_timestamp_seconds" in answer.read().decode()
    finally:
        stop.set()
        thread.join()
    assert service.events[-1]["event"] == "stopped"
    assert [row["status"] for row in service.rows("job_runs")] == ["done"]


def test_a_port_in_use_is_named(service: Service) -> None:
    taken = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    try:
        number = int(taken.server_address[1])
        service.jobs = load_jobs(write_jobs(service.jobs.folder, head=f"port = {number}"))
        scheduler = Scheduler(service.store, service.jobs, service.owner, service.clock, service.log, lambda: True)
        with pytest.raises(PlannerError, match=f"port {number} of 127.0.0.1: .*; give another port in the jobs file"):
            serve(scheduler, service.stop)
    finally:
        taken.server_close()


# the jobs file and the commands


@pytest.mark.parametrize(
    ("job", "log", "message"),
    [
        ("at = '25:00'", "", "Cannot overwrite a value"),
        ("atempts = 3", "", "job.0.atempts: is not a known field"),
        ("first = 2025-13-01", "", "is not TOML"),
        ("keep_trace_days = 3", "", "keep_trace_days is 3 and history_days 28: forecasts need what is kept"),
        ("keep_report_days = 1_000_000", "", "keep_report_days: Input should be less than or equal to 36500"),
        ("catch_up_days = 1_000_000", "", "catch_up_days: Input should be less than or equal to 36500"),
        (
            "export = [{ to = 'csv', path = 'a/x' }, { to = 'json', path = './a/x' }]",
            "",
            "two exports are written to a/x; give each its own path",
        ),
        ("", "path = 'logs/all.csv'", "is the same for every day; put {date} into it"),
        ("", "path = 'logs/{day}.csv'", "only {date} stands for something here"),
        ("export = [{ to = 'kedda', path = 'x' }]", "", 'no export format "kedda"; use one of keda'),
        ("scenario = 'deepsek'", "", 'job n: no scenario "deepsek"'),
    ],
)
def test_mistakes_in_a_jobs_file_are_named_with_their_cure(tmp_path: Path, job: str, log: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_jobs(write_jobs(tmp_path, job, log=log or "path = 'logs/{date}.csv'"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_jobs_need_names_of_their_own_and_scenarios_that_can_be_planned(tmp_path: Path) -> None:
    path = write_jobs(tmp_path)
    for override, message in (
        ("policy.name=clairvoyant", "clairvoyant"),
        ("interval_s=420", "interval_s=420: days of 23 and 25 hours"),
        ("policy.quantil=0.9", "did you mean policy.quantile?"),
    ):
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            load_jobs(path, [override])
    whole = path.read_text()
    path.write_text(whole + whole)
    with pytest.raises(UsageError, match="two jobs are named n"):
        load_jobs(path)
    path.write_text(whole.replace("name = 'n'", "name = 'N n'"))
    with pytest.raises(UsageError, match='"N n" is no name of a job; use small letters'):
        load_jobs(path)
    with pytest.raises(UsageError, match=r"none\.toml: there is no such jobs file; `planner schedule list --example`"):
        load_jobs(tmp_path / "none.toml")
    path.write_text("out = 'x'\n")
    with pytest.raises(UsageError, match=r"job: there is none; write a table \[\[job\]\]"):
        load_jobs(path)


def test_the_example_is_a_jobs_file_whose_values_are_the_defaults(tmp_path: Path, cli: Cli) -> None:
    Path("jobs.toml").write_text(cli("schedule", "list", "--example").out)
    (shown,) = cli("schedule", "list", "--now", "2025-03-01T12:00+08:00", "--json").json
    assert (shown["job"], shown["next_due"]) == ("main", "2025-03-02T02:30:00+08:00")
    Path("later.toml").write_text(Path("jobs.toml").read_text().replace("# first = 2025-03-02", "first = 2025-04-01"))
    (shown,) = cli("schedule", "list", "--jobs", "later.toml", "--now", "2025-03-01T12:00+08:00", "--json").json
    assert shown["next_due"] == "2025-04-01T02:30:00+08:00"
    job = load_jobs(Path("jobs.toml")).file.job[0]
    required = {"name", "at", "scenario", "set", "log", "export"}
    for name, field in type(job).model_fields.items():
        if name not in required:
            assert getattr(job, name) == field.default, name
    for name, field in type(job.log).model_fields.items():
        if name != "path":
            assert getattr(job.log, name) == field.get_default(call_default_factory=True), name


def test_history_shows_the_ledger(one_night: Service, cli: Cli) -> None:
    assert "no store at none.duckdb" in cli("schedule", "history", "--db", "none.duckdb").err
    (row,) = cli("schedule", "history", "--json").json
    assert (row["job"], row["logical_date"], row["status"], row["run_id"]) == ("n", "2025-03-02", "done", "run-00001")
    assert "2025-03-02" in cli("schedule", "history").out
    assert cli("schedule", "history", "--job", "other", "--json").json == []


def test_run_due_logs_json_lines_and_gives_the_exit_code(tmp_path: Path, cli: Cli) -> None:
    jobs = write_jobs(tmp_path, "attempts = 1")
    done = cli("schedule", "run-due", "--jobs", str(jobs), "--now", night(FIRST).isoformat())
    assert (done.code, done.out) == (1, "")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [line["event"] for line in lines] == ["begins", "step", "failed"]
    assert all(datetime.fromisoformat(line["at"]).date() == FIRST for line in lines)
    assert cli("schedule", "run-due", "--jobs", str(jobs), "--now", "soon").code == 2
    assert "has no offset" in cli("schedule", "run-due", "--jobs", str(jobs), "--now", "2025-03-02T03:00").err


def test_a_plan_that_misses_a_limit_is_done_with_exit_code_3(service: Service, cli: Cli) -> None:
    words = ("--now", night(FIRST).isoformat(), "--set", "economics.budget_usd=1")
    done = cli("schedule", "run-due", "--jobs", "jobs.toml", *words)
    assert done.code == 3
    (row,) = service.rows("job_runs")
    assert (row["status"], row["exit_code"]) == ("done", 3)
    assert "economics.budget_usd allows" in row["message"]


# how it is run elsewhere


def readme_block(language: str, holds: str) -> str:
    readme = (Path(planner.__file__).parent.parent / "README.md").read_text()
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL) if holds in text]
    return found


def test_the_systemd_unit_of_the_readme_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: apt-get install systemd")
    unit = tmp_path / "planner.capacity.units"
    text = readme_block("ini", "[Service]")
    # the program, the folder and the user are where it is installed, not here
    for there, here in (("/opt/planner/bin/planner", sys.executable), ("=/srv/planner\n", f"={tmp_path}\n")):
        assert there in text
        text = text.replace(there, here)
    unit.write_text(text.replace("User=planner", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "planner.capacity.units" in line]) == (0, [])


def test_the_cronjob_of_the_readme_is_valid() -> None:
    manifest = yaml.safe_load(readme_block("yaml", "planner-nightly"))
    kubernetes_validate.validate(manifest, "1.37", strict=True)
    words = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert words[:3] == ["planner", "schedule", "run-due"]
