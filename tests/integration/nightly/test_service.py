"""The running service: when it wakes, what it answers, how it stops."""

import json
import threading
import urllib.request
from datetime import UTC, datetime, time, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jsonschema
import pytest

from planner.documents import schema
from planner.errors import PlannerError, StoreError
from planner.nightly.documents import HealthDocument, LedgerRow
from planner.nightly.due import Scheduler
from planner.nightly.health import Health
from planner.nightly.jobs_file import load_jobs
from planner.nightly.service import NextDue, check_ledger, serve
from planner.store import Store
from tests.helpers.nights import (
    FIRST,
    Service,
    night,
    write_jobs,
)


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
    scheduler = service.scheduler()
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
    def held(_store: Store) -> list[LedgerRow]:
        raise StoreError("planner.duckdb: is held")

    monkeypatch.setattr("planner.nightly.service.ledger.read_ledger", held)
    monkeypatch.setattr(Scheduler, "run_due", lambda _: 0)
    scheduler = service.scheduler()
    health = Health(started_at=night(FIRST), looked_at=night(FIRST))
    check_ledger(scheduler, health)
    assert service.named("check failed")[0]["message"] == "planner.duckdb: is held"
    assert (health.errors, health.busy) == (1, False)


def test_planned_units_are_those_of_the_stored_plan_and_of_no_other_time(one_night: Service) -> None:
    service = one_night
    scheduler = service.scheduler()
    health = Health(started_at=night(FIRST), looked_at=night(FIRST))
    service.clock.moment = night(FIRST, time(12))
    check_ledger(scheduler, health)
    rows = service.rows("run_intervals", run_id="run-00001")
    assert len({row["prefill_units"] for row in rows}) > 1
    for row in rows:
        for moment in (row["interval_start"], row["interval_start"] + timedelta(minutes=59, seconds=59)):
            units = health.planned_units(moment).jobs["n"]
            assert (units.prefill, units.decode) == (row["prefill_units"], row["decode_units"])
    begin = rows[0]["interval_start"]
    assert begin == night(FIRST + timedelta(days=1), time(0))
    for moment in (begin - timedelta(seconds=1), begin + timedelta(days=1)):
        assert health.planned_units(moment).jobs == {}
    # after the planned day it is no longer kept
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "catch_up_days = 1"))
    service.clock.moment = night(FIRST + timedelta(days=4))
    check_ledger(service.scheduler(), health)
    assert [plan.run_id for plan in health.planned["n"]] == ["run-00002"]


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
    scheduler = service.scheduler()
    thread = threading.Thread(target=serve, args=(scheduler, stop))
    thread.start()
    try:
        assert port.wait(60)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/healthz") as answer:
            document = json.load(answer)
        jsonschema.validate(document, schema(HealthDocument))
        assert document["ok"] is True
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
        scheduler = service.scheduler()
        with pytest.raises(PlannerError, match=f"port {number} of 127.0.0.1: .*; set another port in the jobs file"):
            serve(scheduler, service.stop)
    finally:
        taken.server_close()
