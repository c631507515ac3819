"""Nights where the clock changes, is put back, or ran ahead."""

from datetime import date, time, timedelta
from pathlib import Path

import numpy as np

from planner.core.forecast.past import Past
from planner.nightly.history import read_history
from planner.nightly.jobs_file import load_jobs
from planner.nightly.local_days import day_us
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log


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
            past = read_history(session, names, first + timedelta(days=2), service.jobs.scenarios["n"])
        assert past.days == 3
        folded = Past.of(past.demand, service.jobs.scenarios["n"].zone, 24).columns["input_tokens"].reshape(3, 24)
        usual = np.array([9_000.0] * 8 + [45_000.0] * 12 + [9_000.0] * 4)
        assert ((folded == usual) | np.isnan(folded)).all()
        assert np.isnan(folded).sum() == max(0, 24 - hours), "an hour that the clock skips is unknown"


def test_a_local_day_may_have_23_or_25_hours(service: Service) -> None:
    scenario = service.jobs.scenarios["n"]
    for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 7, 1), 24)):
        begin, end = day_us(day, scenario)
        assert end - begin == hours * 3_600_000_000
