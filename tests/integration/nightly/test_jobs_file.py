"""The jobs file, and the commands that read it and the ledger."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from planner.errors import UsageError
from planner.nightly.jobs_file import load_jobs
from tests.conftest import Cli
from tests.helpers.nights import (
    FIRST,
    Service,
    night,
    write_jobs,
)


@pytest.mark.parametrize(
    ("job", "log", "message"),
    [
        ("at = '25:00'", "", "Cannot overwrite a value"),
        ("atempts = 3", "", "job.0.atempts: is not a known field"),
        ("first = 2025-13-01", "", "is not valid TOML"),
        ("keep_trace_days = 3", "", "keep_trace_days is 3 and history_days 28: forecasts need logs that are kept"),
        ("keep_report_days = 1_000_000", "", "keep_report_days: Input should be less than or equal to 36500"),
        ("catch_up_days = 1_000_000", "", "catch_up_days: Input should be less than or equal to 36500"),
        (
            "export = [{ to = 'csv', path = 'a/x' }, { to = 'json', path = './a/x' }]",
            "",
            "two exports are written to a/x; give each its own path",
        ),
        ("", "path = 'logs/all.csv'", "is the same for every day; add {date} to it"),
        ("", "path = 'logs/{day}.csv'", "{date} is the only placeholder"),
        ("export = [{ to = 'kedda', path = 'x' }]", "", 'no export format "kedda"; use one of keda'),
        ("scenario = 'deepsek'", "", 'job n: no scenario "deepsek"'),
    ],
)
def test_mistakes_in_a_jobs_file_are_named_with_their_cure(tmp_path: Path, job: str, log: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_jobs(write_jobs(tmp_path, job, log=log or "path = 'logs/{date}.csv'"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_times_that_no_clock_reaches_are_refused(tmp_path: Path) -> None:
    for head, job, field in (
        ("lease_s = 1_000_000_000_000", "", "lease_s"),
        ("", "retry_s = 1_000_000_000_000", "job.0.retry_s"),
        ("[notify]\ntimeout_s = 1e300", "", "notify.timeout_s"),
    ):
        with pytest.raises(UsageError, match=rf"{field}: Input should be less than or equal to"):
            load_jobs(write_jobs(tmp_path, job, head))


def test_jobs_need_names_of_their_own_and_scenarios_that_can_be_planned(tmp_path: Path) -> None:
    path = write_jobs(tmp_path)
    for override, message in (
        ("policy.name=clairvoyant", "clairvoyant"),
        ("interval_s=420", "interval_s=420 does not divide an hour, but days of 23 and 25 hours"),
        ("policy.quantil=0.9", "did you mean policy.quantile?"),
    ):
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            load_jobs(path, [override])
    whole = path.read_text()
    path.write_text(whole + whole)
    with pytest.raises(UsageError, match="two jobs are named n"):
        load_jobs(path)
    path.write_text(whole.replace("name = 'n'", "name = 'N n'"))
    with pytest.raises(UsageError, match='"N n" is not a job name; write a lowercase letter'):
        load_jobs(path)
    with pytest.raises(UsageError, match=r"none\.toml: no such jobs file; `planner schedule list --example`"):
        load_jobs(tmp_path / "none.toml")
    path.write_text("out = 'x'\n")
    with pytest.raises(UsageError, match=r"job: none is defined; add a table \[\[job\]\]"):
        load_jobs(path)


def test_the_example_is_a_jobs_file_whose_values_are_the_defaults(tmp_path: Path, cli: Cli) -> None:
    Path("jobs.toml").write_text(cli("schedule", "list", "--example").out)
    (shown,) = cli("schedule", "list", "--now", "2025-03-01T12:00+08:00", "--json").json
    assert (shown["job"], shown["next_due"]) == ("main", "2025-03-02T02:30:00+08:00")
    Path("later.toml").write_text(Path("jobs.toml").read_text().replace("# first = 2025-03-02", "first = 2025-04-01"))
    (shown,) = cli("schedule", "list", "--jobs", "later.toml", "--now", "2025-03-01T12:00+08:00", "--json").json
    assert shown["next_due"] == "2025-04-01T02:30:00+08:00"
    # the incident and the dates that it shows as comments can be taken in
    text = re.sub(r"^# (\[\[incident|from|to)", r"\1", Path("jobs.toml").read_text(), flags=re.MULTILINE)
    Path("declared.toml").write_text(text)
    declared = load_jobs(Path("declared.toml")).scenarios["main"]
    assert [str(one.start) for one in declared.incident] == ["2025-03-06 10:00:00"]
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
