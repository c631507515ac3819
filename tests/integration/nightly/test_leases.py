"""Leases: a date is done by one scheduler at a time, and a store has one scheduler."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.nightly.ledger import LeaseLost, claim_date
from planner.nightly.lock import scheduler_lock
from tests.conftest import Cli
from tests.helpers.nights import FIRST, Service, night, write_jobs


def test_a_date_of_another_host_is_taken_over_when_its_lease_has_run_out(service: Service) -> None:
    now = night(FIRST)
    other = Service(service.jobs.folder, service.jobs.folder / "jobs.toml", host="there")
    held = claim_date(service.store, "n", FIRST, owner=other.owner, lease_s=1800, now=now)
    assert held is not None
    assert service.run(now + timedelta(seconds=1799)) == 1
    assert service.named("waits")[0]["why"] == "another host holds it"
    assert service.run(now + timedelta(seconds=1800)) == 0
    with pytest.raises(LeaseLost, match="another scheduler has taken it over"):
        held.begin_step("plan", now)
    with pytest.raises(LeaseLost):
        held.end("done", 0, "", now)
    assert claim_date(service.store, "n", FIRST, owner=other.owner, lease_s=1800, now=now + timedelta(days=1)) is None


def test_a_plan_is_not_stored_by_who_has_lost_the_lease(service: Service) -> None:
    now = night(FIRST)
    other = Service(service.jobs.folder, service.jobs.folder / "jobs.toml", host="there")

    def steal(event: Any) -> None:
        if event.get("step") == "plan":
            assert (
                claim_date(service.store, "n", FIRST, owner=other.owner, lease_s=1800, now=now + timedelta(hours=1))
                is not None
            )

    service.on_event = steal
    assert service.run(now) == 1
    assert service.named("taken over")
    assert service.rows("run_list") == []


def test_a_second_scheduler_on_a_store_is_refused_in_one_line(tmp_path: Path, cli: Cli) -> None:
    jobs = write_jobs(tmp_path)
    with scheduler_lock(tmp_path / "planner.duckdb"):
        for command in ("run", "run-due"):
            done = cli("schedule", command, "--jobs", str(jobs))
            assert (done.code, done.err.count("\n")) == (1, 1)
            assert re.search(r"another scheduler \(process \d+\) is working on planner.duckdb; wait for it", done.err)
    with scheduler_lock(tmp_path / "planner.duckdb"):
        pass
