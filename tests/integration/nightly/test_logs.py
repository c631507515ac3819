"""Logs of nights: gaps, incomplete and late ones, every option of an import, a Prometheus server."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest

from planner.errors import UsageError
from planner.nightly.history import read_history
from planner.nightly.jobs_file import load_jobs
from planner.nightly.logs import JobLogs, LogNotReady
from planner.trace.imports.job import ImportOptions
from planner.trace.stored import delete as delete_trace
from tests.helpers.counters import steady, vllm
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log


def stored_days(logs: JobLogs) -> dict[date, str]:
    with logs.store.read() as session:
        return logs.days(session)


def test_a_day_without_a_log_teaches_nothing_and_the_plan_says_so(tmp_path: Path) -> None:
    for day in days(FIRST - timedelta(days=1), 4):
        if day != date(2025, 3, 3):
            write_log(tmp_path, day)
    service = Service(tmp_path, write_jobs(tmp_path, f"first = {date(2025, 3, 5)}"))
    assert service.run(night(date(2025, 3, 5))) == 0
    # logs that were there before the job are its history
    assert [one["trace"][-2:] for one in service.named("imported")] == ["02", "01", "04"]
    assert service.named("missing")[0]["days"] == [date(2025, 3, 3)]
    (run,) = service.rows("run_record", run_id="run-00001")
    assert any("days of history: 4, to 2025-03-04" in note for note in run["notes"])
    assert "no log of 2025-03-03: nothing is learned of these days" in run["notes"]


def test_a_gap_is_unknown_and_a_long_one_cuts_the_history_off(
    one_night: Service,
) -> None:
    service = one_night
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    logs = JobLogs(store=service.store, job=job, scenario=scenario, folder=service.jobs.folder)
    for factor, day in enumerate(days(date(2025, 3, 1), 10), 1):
        write_log(service.jobs.folder, day, factor)
        logs.store_day(day, night(day))

    def noons(*absent: int) -> tuple[list[float | None], tuple[int, ...]]:
        there = {day: name for day, name in stored_days(logs).items() if day.day not in absent}
        with service.store.read() as session:
            past = read_history(session, there, date(2025, 3, 10), scenario)
        pairs = zip(past.demand.input_tokens[12::24] / 45_000, past.unknown[12::24], strict=True)
        return [None if unknown else tokens for tokens, unknown in pairs], tuple(day.day for day in past.missing)

    assert noons() == ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], ())
    assert noons(8, 3) == ([1, 2, None, 4, 5, 6, 7, None, 9, 10], (3, 8))
    assert noons(4, 5, 6) == ([1, 2, 3, None, None, None, 7, 8, 9, 10], (4, 5, 6))
    assert noons(4, 5, 6, 7) == ([8, 9, 10], ())


def test_a_log_that_breaks_off_fails_its_date_until_it_is_whole(tmp_path: Path) -> None:
    day = FIRST - timedelta(days=1)
    write_log(tmp_path, day)
    log = tmp_path / "logs" / f"{day}.csv"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[: 1 + 11]))
    service = Service(tmp_path, write_jobs(tmp_path, "retry_s = 0\nattempts = 1"))
    # a date waits for its log as long as it is the newest, however few attempts it has
    for hour in (3, 4):
        assert service.run(night(FIRST, time(hour))) == 1
    (row,) = service.rows("job_runs")
    assert (row["status"], row["step"], row["attempts"]) == ("failed", "import", 1)
    assert (
        "has no request from 11:00 to 00:00 on 2025-03-01, more than half of the day, so it looks incomplete; complete"
        in row["message"]
    )
    assert service.rows("trace_list") == []
    log.write_text(whole)
    assert service.run(night(FIRST, time(5))) == 0
    (row,) = service.rows("job_runs")
    assert (row["status"], row["attempts"]) == ("done", 2)


def test_a_stored_half_log_is_no_demand_of_zero_but_a_gap(tmp_path: Path, one_night: Service) -> None:
    service = one_night
    delete_trace(service.store, "n-2025-03-01")
    day = FIRST - timedelta(days=1)
    log = tmp_path / "logs" / f"{day}.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[: 1 + 10]))
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    logs = JobLogs(store=service.store, job=job, scenario=scenario, folder=tmp_path)
    lenient = job.model_copy(update={"log": job.log.model_copy(update={"longest_silence_s": 80_000})})
    # as an attempt leaves it that is killed between storing and looking
    assert (
        JobLogs(store=service.store, job=lenient, scenario=scenario, folder=tmp_path).store_day(day, night(FIRST))
        is not None
    )
    logs.store_day(FIRST, night(FIRST))
    with service.store.read() as session:
        past = read_history(session, stored_days(logs), FIRST, scenario, job.log.longest_silence_s)
    assert past.silent == (day,)
    assert past.unknown.tolist() == [False] * 10 + [True] * 14 + [False] * 24
    with pytest.raises(LogNotReady, match="so it looks incomplete"):
        logs.store_day(day, night(FIRST))
    assert list(stored_days(logs)) == [FIRST]
    assert logs.store_day(FIRST, night(FIRST)) is None


def test_a_silence_that_comes_at_its_time_every_day_is_real(one_night: Service) -> None:
    """Nothing is asked for from 0 to 8 h, also where the clock is put forward; on one day from 0 to 12 h."""
    service = one_night
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    logs = JobLogs(store=service.store, job=job, scenario=scenario, folder=service.jobs.folder)

    def unknown(*opened: int, first: date) -> tuple[list[int], tuple[date, ...]]:
        for day, hour in zip(days(first, len(opened)), opened, strict=True):
            write_log(service.jobs.folder, day)
            log = service.jobs.folder / "logs" / f"{day}.csv"
            head, *rows = log.read_text().splitlines()
            log.write_text("\n".join([head, *rows[hour - 24 :]]) + "\n")
            assert logs.store_day(day, night(day)) is not None
        with service.store.read() as session:
            stored = {day: name for day, name in stored_days(logs).items() if day >= first}
            past = read_history(session, stored, max(stored), scenario, job.log.longest_silence_s)
        return np.flatnonzero(past.unknown).tolist(), past.silent

    # two days may be chance
    assert unknown(8, 8, first=date(2025, 3, 3)) == ([*range(8), *range(24, 32)], (date(2025, 3, 3), date(2025, 3, 4)))
    assert unknown(8, 8, 8, 12, 8, first=date(2025, 3, 28)) == ([*range(24 + 24 + 23 + 8, 83)], (date(2025, 3, 31),))
    # a week later at the same time
    assert unknown(12, 0, 0, 0, 0, 0, 0, 12, first=date(2025, 5, 1)) == ([], ())


def test_a_log_of_another_day_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, date(2025, 2, 1))
    (tmp_path / "logs" / "2025-02-01.csv").rename(tmp_path / "logs" / "2025-03-01.csv")
    service = Service(tmp_path, write_jobs(tmp_path))
    assert service.run(night(FIRST)) == 1
    assert "has no request on 2025-03-01; check that it is that day's log" in service.rows("job_runs")[0]["message"]


def test_a_log_without_requests_is_a_day_of_none_where_that_is_expected(tmp_path: Path) -> None:
    """A holiday: nothing is planned from it, and its night does not fail."""
    for day in days(FIRST - timedelta(days=1), 4):
        write_log(tmp_path, day)
    closed = tmp_path / "logs" / "2025-03-02.csv"
    closed.write_text(closed.read_text().splitlines()[0] + "\n")
    first = date(2025, 3, 3)
    refused = Service(tmp_path, write_jobs(tmp_path, f"attempts = 1\nfirst = {first}"))
    assert refused.run(night(first)) == 1
    message = refused.rows("job_runs")[-1]["message"]
    assert "logs/2025-03-02.csv: has no row below its header" in message
    assert message.endswith(
        'or have the scenario expect it with forecast.accept=["2025-03-02"] if the silence is real, or declare it as '
        "[[incident]] in the jobs file if it is not"
    )

    (tmp_path / "planner.duckdb").unlink()
    log = 'path = "logs/{date}.csv"\nlongest_silence_s = 86400'
    lenient = Service(tmp_path, write_jobs(tmp_path, f"first = {first}", log=log))
    assert [lenient.run(night(day)) for day in days(first, 2)] == [0, 0]
    (trace,) = [row for row in lenient.rows("trace_list") if row["name"] == "n-2025-03-02"]
    assert (trace["row_count"], trace["input_tokens"], trace["output_tokens"]) == (0, 0, 0)
    # the plan of the day after is as if it had not been
    (run,) = lenient.rows("run_record", run_id="run-00001")
    assert any("is left out of forecasts: 0% of what was expected came" in note for note in run["notes"])
    assert "days of history: 2, to 2025-03-02" in run["notes"][0]


def test_an_incident_of_the_jobs_file_is_not_learned_from(tmp_path: Path) -> None:
    """Two days at a third: the day after is planned for that of the two before, with the incident alone."""
    for number, day in enumerate(days(FIRST - timedelta(days=3), 5)):
        write_log(tmp_path, day, 1 if number < 2 else 1 / 3)
    noons = []
    for head in ("", "[[incident]]\nfrom = 2025-03-01\nto = 2025-03-02"):
        (tmp_path / "planner.duckdb").unlink(missing_ok=True)
        service = Service(tmp_path, write_jobs(tmp_path, f"first = {date(2025, 3, 3)}", head))
        assert service.run(night(date(2025, 3, 3))) == 0
        noons.append(service.rows("run_forecast", run_id="run-00001")[12]["input_tokens"])
    assert noons[1] == 45_000
    assert noons[0] < 40_000


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
    assert service.named("missing") == []


def test_every_option_of_an_import_can_be_given(tmp_path: Path) -> None:
    options = """
path = 'logs/*-{date:%Y%m%d}.gz'
timezone = 'Asia/Tokyo'
start = 2025-01-01T00:00:00Z
time_unit = 'ms'
cache = 4096
columns = { input_tokens = 'usage.prompt' }
constants = { sample_weight = 20 }
where = { status = 200, model = ['a', 'b'] }
records = 'data'
strict = true
draw = 10
seed = 7
"""
    service = Service(tmp_path, write_jobs(tmp_path, log=options))
    (job,), scenario = service.jobs.file.job, service.jobs.scenarios["n"]
    read = JobLogs(store=service.store, job=job, scenario=scenario, folder=tmp_path).import_options(FIRST)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    assert read == ImportOptions(
        timezone="Asia/Tokyo",
        start=start,
        is_started=True,
        time_unit="ms",
        cache_blocks=4096,
        columns={"input_tokens": "usage.prompt"},
        constants={"sample_weight": "20"},
        where={"status": ("200",), "model": ("a", "b")},
        records=("data",),
        strict=True,
        draw=10,
        seed=7,
    )
    service.jobs = load_jobs(write_jobs(tmp_path, log="path = 'http://127.0.0.1:9090'\nselector = 'job=\"vllm\"'"))
    (job,) = service.jobs.file.job
    read = JobLogs(store=service.store, job=job, scenario=scenario, folder=tmp_path).import_options(date(2025, 3, 30))
    assert read.start == datetime(2025, 3, 29, 23, tzinfo=UTC)
    assert read.span is not None
    # the day on which the clock is put forward
    assert read.span.end_s - read.span.start_s == 23 * 3600
    assert (read.span.start_s, read.span.step_s, read.span.selector) == (read.start.timestamp(), 60, 'job="vllm"')


def test_a_night_reads_its_log_with_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("format = 'csv'\n[columns]\narrival = 'arrival'\n[constants]\nclass = 'chat'\n")
    service = Service(tmp_path, write_jobs(tmp_path, log='path = "logs/{date}.csv"\nmapping = "mine.toml"'))
    write_log(tmp_path, date(2025, 3, 1))
    assert service.run(night(FIRST)) == 0
    with service.store.read() as session:
        assert session.connection.execute("SELECT DISTINCT class FROM request_class").fetchall() == [("chat",)]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ('mapping = "none.toml"', "none.toml: no such mapping"),
        ('mapping = "mine.toml"', "colour: is not a known field"),
        ('mapping = "mine.toml"\nformat = "csv"', "the mapping says the format; leave it out"),
        ("constants = { output_tokens = -1 }", '"-1" is not a whole number from 0'),
        ('columns = { class = "m" }\nconstants = { class = "a" }', "class is in columns and in constants"),
        ('format = "otel"\nwhere = { a = 1 }', "format otel has no columns to tell rows by"),
    ],
)
def test_a_mapping_or_a_condition_that_cannot_be_is_refused_with_the_jobs(
    log: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("format = 'csv'\ncolour = 1\n")
    with pytest.raises(UsageError, match=re.escape(message)):
        load_jobs(write_jobs(tmp_path, log=f'path = "logs/{{date}}.csv"\n{log}'))


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
