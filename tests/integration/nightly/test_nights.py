"""What a night leaves behind: its plan, plan against actual, the index page, exports, and what it deletes."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from planner.nightly.outputs import report_folder
from tests.helpers.live_pages import LivePages
from tests.helpers.nights import (
    FIRST,
    Service,
    days,
    night,
    write_jobs,
    write_log,
)


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
    # the level that doubled is planned for at once, and what was said before it was known sets no quantile
    assert one_night.run(night(date(2025, 3, 5))) == 0
    run_id = one_night.rows("job_runs")[-1]["run_id"]
    planned = one_night.rows("run_intervals", run_id=run_id)[12]["input_tokens"]
    assert 1 <= planned / 90_000 <= 1.2
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
    assert "drift: the forecast error was beyond 30% on 2 consecutive days, up to 2025-03-04" in message
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


def test_a_browser_shows_the_index_page_from_disk(one_night: Service, browse: LivePages) -> None:
    page = browse(one_night.jobs.out / "index.html")
    assert page.get_by_role("img", name="3 to 6 nodes over the planned day").is_visible()
    page.get_by_role("link", name="2025-03-02").click()
    assert page.url.endswith("/n/2025-03-02/index.html")


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
    assert row["message"].startswith("no keda export for 2025-10-26: prefill units at 0")
    assert service.named("not exported")[0]["to"] == "keda"
    assert (service.jobs.out / "k.yaml").read_text() == "the one before"
    assert (service.jobs.out / "c.csv").is_file()
    assert "export TZ=UTC0" in (service.jobs.out / "s.sh").read_text()
    assert report_folder(service.jobs.out, service.jobs.file.job[0], night_of).is_dir()
