"""Days declared incidents: neither silence nor a missing log fails their nights, and plans say what is left out."""

from datetime import date, datetime, time, timedelta
from html import escape
from pathlib import Path

import numpy as np
import pytest

from planner.core.demand import Demand
from planner.nightly.jobs_file import load_jobs
from planner.nightly.local_days import day_grid, is_mostly_incident, silences
from planner.settings.scenario import Scenario
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log

DAY = date(2025, 3, 2)
SECOND = date(2025, 3, 3)
"""The night that reads the log of DAY."""
DECLARED = f"[[incident]]\nfrom = {DAY}\nto = {DAY}"


def scenario_with(folder: Path, head: str) -> Scenario:
    return load_jobs(write_jobs(folder, head=head)).scenarios["n"]


def silent_from(hour: int, end: int, head: str, folder: Path, longest_h: int = 6) -> list[int]:
    """The hours that are taken to be missing from a log with a request in every other hour."""
    scenario = scenario_with(folder, head)
    requests = np.array([0 if hour <= each < end else 1 for each in range(24)], np.int64)
    grid = day_grid(DAY, scenario)
    demand = Demand(
        grid=grid, requests=requests, input_tokens=requests, cached_input_tokens=requests * 0, output_tokens=requests
    )
    return np.flatnonzero(silences(demand, longest_h * 3600, scenario)).tolist()


def from_to(begin: int, end: int) -> str:
    return f"[[incident]]\nfrom = {DAY}T{begin:02d}:00:00\nto = {DAY}T{end:02d}:00:00"


@pytest.mark.parametrize(
    ("head", "missing"),
    [
        ("", range(8, 20)),
        (DECLARED, ()),
        (from_to(8, 20), ()),
        # what is left is part of a long silence still
        (from_to(10, 14), (8, 9, *range(14, 20))),
        (from_to(0, 12), range(12, 20)),
    ],
)
def test_silence_inside_declared_time_does_not_count(tmp_path: Path, head: str, missing: tuple[int, ...]) -> None:
    assert silent_from(8, 20, head, tmp_path) == list(missing)


@pytest.mark.parametrize(
    ("head", "mostly"),
    [("", False), (from_to(0, 12), False), (from_to(0, 13), True), (from_to(0, 7) + "\n" + from_to(12, 18), True)],
)
def test_a_day_is_an_incident_where_more_than_half_of_it_is_declared(tmp_path: Path, head: str, mostly: bool) -> None:
    assert is_mostly_incident(DAY, scenario_with(tmp_path, head)) == mostly
    assert not is_mostly_incident(SECOND, scenario_with(tmp_path, head))


@pytest.mark.parametrize("requests", [0, 3])
def test_a_declared_day_does_not_fail_for_silence(tmp_path: Path, requests: int) -> None:
    """It is planned as if it had not been; a log of no request is none, and not zero demand."""
    for day in (FIRST - timedelta(days=1), DAY):
        write_log(tmp_path, day)
    log = tmp_path / "logs" / f"{DAY}.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[: 1 + requests]))
    service = Service(tmp_path, write_jobs(tmp_path, f"attempts = 1\nfirst = {SECOND}", DECLARED))
    assert service.run(night(SECOND)) == 0, service.events
    left_out = [event["message"] for event in service.named("left out") if event["day"] == DAY]
    assert len(left_out) == (not requests)
    assert all("more than half of that day is declared in [[incident]] or forecast.ignore" in one for one in left_out)
    assert len(service.rows("trace_list")) == (2 if requests else 1)
    forecasts = service.rows("run_forecast", run_id="run-00001")
    assert [row["input_tokens"] for row in forecasts] == [9_000] * 8 + [45_000] * 12 + [9_000] * 4
    notes = service.rows("run_record", run_id="run-00001")[0]["notes"]
    assert "2025-03-02 is left out of forecasts: declared in [[incident]]" in notes
    assert ("no log of 2025-03-02: nothing is learned of these days" in notes) == (not requests)


def test_without_a_declaration_the_message_names_it(tmp_path: Path) -> None:
    write_log(tmp_path, FIRST - timedelta(days=1))
    service = Service(tmp_path, write_jobs(tmp_path, f"attempts = 1\nfirst = {SECOND}"))
    assert service.run(night(SECOND)) == 1
    message = service.rows("job_runs")[0]["message"]
    assert "or declare 2025-03-02 as [[incident]] in the jobs file if it will not come" in message
    write_log(tmp_path, DAY)
    log = tmp_path / "logs" / f"{DAY}.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:4]))
    assert service.run(night(SECOND, time(4))) == 1
    assert "or declare it as [[incident]] in the jobs file if it is not" in service.rows("job_runs")[0]["message"]


def test_a_long_outage_without_logs_is_planned_from_the_days_before(tmp_path: Path) -> None:
    """Longer than a gap inside a history may be; no night of it fails for its log, which there is not."""
    write_log(tmp_path, date(2025, 2, 26))
    head = "[[incident]]\nfrom = 2025-02-27\nto = 2025-03-05"
    service = Service(tmp_path, write_jobs(tmp_path, "attempts = 1\nfirst = 2025-03-06", head))
    assert service.run(night(date(2025, 3, 6))) == 0, service.events
    forecasts = service.rows("run_forecast", run_id="run-00001")
    assert [row["input_tokens"] for row in forecasts] == [9_000] * 8 + [45_000] * 12 + [9_000] * 4


def test_a_declared_day_makes_no_plan_from_a_log_of_weeks_ago(tmp_path: Path) -> None:
    """The days between were not declared; the date waits for a log as any other."""
    write_log(tmp_path, date(2025, 2, 10))
    service = Service(tmp_path, write_jobs(tmp_path, f"attempts = 1\nfirst = {SECOND}", DECLARED))
    assert service.run(night(SECOND)) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["step"]) == ("failed", "import")
    assert "there is no log of the 20 days up to 2025-03-02; a plan needs one of a few days ago" in row["message"]


def test_a_job_without_any_log_says_so_although_the_day_is_declared(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    service = Service(tmp_path, write_jobs(tmp_path, f"attempts = 1\nfirst = {SECOND}", DECLARED))
    assert service.run(night(SECOND)) == 1
    assert (
        "there is no log of the 28 days up to 2025-03-02; a plan needs one" in (service.rows("job_runs")[0]["message"])
    )


@pytest.mark.usefixtures("real_outputs")
def test_what_lies_in_the_planned_day_is_said_with_its_factor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of the planned day changes its forecast; one that is yet to come does not, and that is said."""
    monkeypatch.setattr("planner.report.pages.chart_script", lambda: "")
    for day in days(FIRST - timedelta(days=1), 2):
        write_log(tmp_path, day)
    events = (("offer", "2025-03-04", 0.5), ("launch", "2025-03-20", 3))
    (tmp_path / "own.toml").write_text(
        'extends = "deepseek-2025-02-27"\nname = "own"\n'
        + "".join(
            f'[[event]]\nname = "{name}"\nfrom = {day}\nto = {day}\nfactor = {factor}\n' for name, day, factor in events
        )
    )
    export = "[[job.export]]\nto = 'aws'\npath = 'aws.json'"
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {SECOND}\nscenario = 'own.toml'\n{export}"))
    assert service.run(night(SECOND)) == 0, service.events
    page = (tmp_path / "nightly" / "n" / str(SECOND) / "index.html").read_text()
    assert page.count("event offer, 0.5 times the usual demand") > 2, "in the chart, its description and the table"
    # what should be known of an export is logged, and stands in the report
    (exported,) = service.named("exported")
    assert exported["to"] == "aws"
    assert all(f"<li>aws export aws.json: {escape(note)}</li>" in page for note in exported["notes"])
    assert exported["notes"]
    notes = service.rows("run_record", run_id="run-00001")[0]["notes"]
    assert "2025-03-04 is planned for 0.5 times the usual demand: event offer" in notes
    assert (
        "without effect on this forecast, whose history is 2025-03-01 to 2025-03-02, and which is used for 2025-03-04: "
        "[[event]] launch, 2025-03-20"
    ) in notes
    noon = service.rows("run_forecast", run_id="run-00001")[12]
    assert noon["input_tokens"] == 22_500
    begin = datetime.fromisoformat(str(noon["interval_start"]))
    assert begin.astimezone(service.jobs.scenarios["n"].zone).hour == 12
