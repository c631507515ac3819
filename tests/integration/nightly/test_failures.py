"""Nights that fail, rest, are given up or skipped, or are asked to stop."""

import resource
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.errors import StoreError
from planner.nightly.jobs_file import load_jobs
from tests.helpers.nights import FIRST, Service, night, write_jobs, write_log


def test_a_missing_log_fails_the_date_rests_and_is_tried_again_before_later_dates(tmp_path: Path) -> None:
    write_log(tmp_path, FIRST)
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {FIRST}\nretry_s = 600"))
    moment = night(FIRST + timedelta(days=1))
    assert service.run(moment) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["exit_code"], row["step"]) == ("failed", 1, "import")
    message = "2025-03-01.csv: there is no such log; add it, correct log.path of job n, or declare 2025-03-01 as"
    assert message in row["message"]
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
        with pytest.raises(StoreError, match=r"planner.duckdb: cannot be written: File too large; free some space"):
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
