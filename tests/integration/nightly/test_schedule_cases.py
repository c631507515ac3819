"""Logs with an outage and with a holiday, beside the real traces: nights plan what comes, not the gap."""

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from planner.runs.read import read_run
from planner.store import Store
from tests.conftest import Cli
from tests.helpers.nights import days


@pytest.fixture
def folder(
    request: pytest.FixtureRequest, shared_traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of a case, with its logs drawn."""
    cases = shared_traces.parent / "cases" / "schedules"
    name = request.param
    if not (cases / name).is_dir():
        pytest.skip(f"the case {name} is not beside the real traces")
    shutil.copytree(cases / name, tmp_path / name)
    shutil.copy(cases / "mk.py", tmp_path)
    shutil.copy(cases / "small.toml", tmp_path / name)
    (tmp_path / name / "logs").mkdir()
    subprocess.run([sys.executable, "gen.py"], cwd=tmp_path / name, check=True)
    monkeypatch.chdir(tmp_path / name)
    return tmp_path / name


def nights(folder: Path, cli: Cli, now: str) -> list[dict[str, object]]:
    """Have the nights done that are due; the days that were compared with their plans, newest first."""
    assert cli("schedule", "run-due", "--jobs", "jobs.toml", "--now", now).code == 0
    with Store(folder / "planner.duckdb").read() as session:
        return session.rows("plan_actual_days", job="main")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["outage"], indirect=True)
def test_the_tuesday_after_an_outage_is_planned_as_if_it_had_not_been(folder: Path, cli: Cli) -> None:
    (day,) = nights(folder, cli, "2026-03-11T03:00:00+01:00")
    assert (day["day"], day["needed_node_hours"], day["shortfall_tokens"]) == (date(2026, 3, 10), 388, 0)
    assert day["planned_node_hours"] == pytest.approx(487.5, rel=0.03)
    with Store(folder / "planner.duckdb").read() as session:
        notes = read_run(session, "run-00001").record.notes
        rows = session.rows("run_intervals", run_id="run-00001")
    units = {row["prefill_units"] for row in rows[4 * 10 : 4 * 15]} | {row["decode_units"] for row in rows[40:60]}
    # 13.2 requests a second, 1,000 tokens of each and a node, 90 % of it used: 15, and the quantile is above
    assert min(units) >= 15
    assert max(units) <= 18
    (note,) = (note for note in notes if "2026-03-03" in note)
    assert note.startswith("2026-03-03 10:00 to 15:00 is left out of forecasts: 0% of what was expected came")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["holiday"], indirect=True)
def test_a_holiday_without_a_request_fails_no_night_and_changes_no_plan(folder: Path, cli: Cli) -> None:
    compared = nights(folder, cli, "2026-04-09T03:00:00+02:00")
    with Store(folder / "planner.duckdb").read() as session:
        ledger = session.rows("job_runs")
        notes = read_run(session, "run-00002").record.notes
    done = [(row["logical_date"], row["status"]) for row in ledger]
    assert done == [(day, "done") for day in days(date(2026, 4, 6), 4)]
    for row in compared:
        assert (row["input_tokens"], row["forecast_input_tokens"], row["shortfall_tokens"]) == (432_000_000,) * 2 + (0,)
    assert [row["day"] for row in compared] == [date(2026, 4, 8), date(2026, 4, 7)]
    assert any("2026-04-06" in note for note in notes), notes
