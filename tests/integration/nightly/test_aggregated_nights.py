"""Nights on a fleet of units that do both: planned, exported, told to autoscalers, compared with the day as it was."""

import json
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from planner.nightly.health import Health
from planner.nightly.metrics import planned_text
from planner.nightly.outputs import report_folder
from planner.nightly.service import check_ledger
from tests.helpers import export_rules as rules
from tests.helpers.aggregated_days import AGGREGATED
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log

PLANNED = [1] * 7 + [3] * 13 + [1] * 4
"""45,000 tokens of each kind an hour are 25 a second, three units; 5 a second are one. They join an hour ahead."""


@pytest.fixture
def service(tmp_path: Path, real_outputs: None) -> Service:
    """A job of such a fleet after its first night, with logs of further days."""
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(tmp_path, day)
    own = [setting for setting in AGGREGATED if not setting.startswith(("timezone", "policy.demand_source"))]
    jobs = write_jobs(tmp_path, "export = [{ to = 'keda', path = 'keda.yaml' }]")
    text = jobs.read_text()
    begin, end = text.index("set = "), text.index("\npictures")
    jobs.write_text(text[:begin] + f"set = {json.dumps([*own, 'timezone=Europe/Berlin'])}" + text[end:])
    made = Service(tmp_path, jobs)
    assert made.run(night(FIRST)) == 0
    return made


def test_a_night_plans_units_and_leaves_an_export_and_a_report(service: Service) -> None:
    (row,) = service.rows("job_runs")
    assert (row["status"], row["exit_code"]) == ("done", 0)
    intervals = service.rows("run_intervals", run_id=row["run_id"])
    assert [one["aggregated_units"] for one in intervals] == PLANNED
    assert {one["inference_nodes"] for one in intervals} == {1}
    (found,) = rules.manifests((service.jobs.out / "keda.yaml").read_text())
    assert (found["metadata"]["name"], found["spec"]["maxReplicaCount"]) == ("inference", 3)
    report = report_folder(service.jobs.out, service.jobs.file.job[0], FIRST) / "index.html"
    assert "3 at the peak; 4 share a node, which is held while any unit has a part of it" in report.read_text()


def test_autoscalers_are_told_of_the_one_role(service: Service) -> None:
    health = Health(started_at=night(FIRST), looked_at=night(FIRST))
    service.clock.moment = night(FIRST, time(12))
    check_ledger(service.scheduler(), health)
    (row, *_) = service.rows("job_runs")
    for hour, held in zip(service.rows("run_intervals", run_id=row["run_id"]), PLANNED, strict=True):
        planned = health.planned_units(hour["interval_start"])
        assert planned.jobs["n"].aggregated == held
        assert planned_text(planned).splitlines()[2:] == [f'planner_planned_units{{job="n",role="aggregated"}} {held}']


def test_plan_and_actual_meet_two_nights_later(service: Service, tmp_path: Path) -> None:
    write_log(tmp_path, date(2025, 3, 3), 2.0)
    assert service.run(night(date(2025, 3, 4))) == 0
    (row,) = service.rows("plan_actual_days", job="n")
    assert (row["planned_node_hours"], row["planned_peak_nodes"]) == (24, 1)
    # twice the forecast: from 8 to 20, three units carry 30 of 50 tokens a second; two of them drain for 5 s before 20
    assert row["shortfall_tokens"] == 12 * 3600 * 20 + 5 * 2 * 10


def test_in_hindsight_whole_nodes_were_needed(service: Service, tmp_path: Path) -> None:
    write_log(tmp_path, date(2025, 3, 3), 2.0)
    assert service.run(night(date(2025, 3, 4))) == 0
    (row,) = service.rows("plan_actual_days", job="n")
    # 50 tokens a second are five units on two nodes, which load for 10 s before 8 o'clock; at night one unit is enough
    assert (row["needed_peak_nodes"], row["needed_shortfall_tokens"]) == (2, 0)
    assert 24 + 12 <= row["needed_node_hours"] <= 24 + 13
