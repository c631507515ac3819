"""Trouble is told: a full disk at every step of a night, a damaged store, a hook that is away; and then it goes on."""

import base64
import errno
import io
import json
from collections.abc import Iterator
from datetime import datetime, time, timedelta

import pytest

from planner.errors import PlannerError, StoreError
from planner.nightly.events import write_events
from planner.nightly.health import Health
from planner.nightly.jobs_file import load_jobs
from planner.nightly.ledger import Claim
from planner.nightly.service import check_ledger
from planner.store import published_path
from tests.helpers.hooks import Hook, hook
from tests.helpers.nights import FIRST, Service, night, write_jobs

FULL = "No space left on device"
NOON = night(FIRST, time(12))


@pytest.fixture
def told() -> Iterator[Hook]:
    """A hook that hears of trouble."""
    with hook() as hooked:
        yield hooked


def tell(service: Service, hooked: Hook, job: str = "retry_s = 0") -> None:
    """Make the hook the one of the service."""
    service.jobs = load_jobs(write_jobs(service.jobs.folder, job, f"[notify]\nurl = '{hooked.url}/x'"))


def full(*_: object, **__: object) -> None:
    """What a step meets that writes files to a full disk."""
    raise OSError(errno.ENOSPC, FULL, "x")


def full_store(*_: object, **__: object) -> None:
    """What a step meets that writes the store to a full disk."""
    raise StoreError(f"planner.duckdb: cannot be written: {FULL}; free some space")


def full_copy(*_: object, **__: object) -> None:
    """What publishing meets on a full disk."""
    raise StoreError(f"planner.published.duckdb: cannot be written: {FULL}; free some space")


def fails_at(service: Service, moment: datetime) -> bool:
    """Whether a look fails: a night in it, or all of it."""
    try:
        return service.run(moment) == 1
    except PlannerError as error:
        return FULL in str(error)


STEPS = (
    ("planner.nightly.ledger.claim_date", full_store, "n"),
    ("planner.nightly.night.check_writable", full, "n"),
    ("planner.nightly.logs.import_trace", full_store, "n"),
    ("planner.nightly.night.read_history", full, "n"),
    ("planner.nightly.night.save_plan", full_store, "n"),
    ("planner.nightly.night.write_whole", full, "n"),
    ("planner.nightly.night.delete_old_plans", full_store, "n"),
    ("planner.nightly.ledger.mark_announced", full_store, None),
    ("planner.nightly.announce.write_index", full, None),
    ("planner.nightly.announce.publish", full_copy, None),
)
"""What meets a full disk, in the order of a night, in what way, and whose trouble that is: a job's or the service's."""


def test_a_night_that_meets_a_full_disk_at_every_step_in_turn_tells_each_and_finishes(
    service: Service, told: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(service, told, "retry_s = 0\nexport = [{ to = 'csv', path = 'plans/{date}.csv' }]")
    for number, (step, fails, job) in enumerate(STEPS):
        with monkeypatch.context() as disk:
            disk.setattr(step, fails)
            for minute in (0, 1):
                assert fails_at(service, night(FIRST, time(3, 2 * number + minute))), step
        # the same at two looks is one notification
        document = told.documents[-1]
        assert (document["status"], document["job"]) == ("failed", job), step
        assert FULL in document["message"]
        assert document["logical_date"] == (str(FIRST) if job else None)
    assert [document["job"] for document in told.documents] == [job for *_, job in STEPS]
    assert service.run(night(FIRST, time(4))) == 0
    (row,) = service.rows("job_runs")
    assert (row["status"], row["run_id"]) == ("done", "run-00001")
    assert row["announced_at"] is not None
    assert len(service.rows("run_list")) == len(service.rows("trace_list")) == 1
    out = service.jobs.out
    assert (out / "n" / str(FIRST) / "index.html").read_text() == "run-00001"
    assert f'href="n/{FIRST}/index.html"' in (out / "index.html").read_text()
    assert [path.name for path in (out / "plans").iterdir()] == ["2025-03-03.csv"]
    assert len(told.documents) == len(STEPS)
    assert not list(service.jobs.folder.glob(".*.notices"))


def test_an_outcome_that_cannot_be_recorded_is_told_and_tried_again_after_a_rest(
    service: Service, told: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(service, told, "retry_s = 600\nattempts = 2")
    scheduler = service.scheduler()

    def look(at: time) -> int | None:
        service.clock.moment = night(FIRST, at)
        try:
            return scheduler.run_due()
        except StoreError:
            return None

    with monkeypatch.context() as disk:
        disk.setattr("planner.nightly.night.write_report", full)
        disk.setattr(Claim, "end", full_store)
        assert [look(time(3, minute)) for minute in (0, 1, 9, 10, 20, 30)] == [None, 1, 1, None, None, None]
    (document,) = told.documents
    assert (document["job"], document["logical_date"], document["attempts"]) == ("n", str(FIRST), 0)
    assert look(time(3, 35)) == 1
    # attempts that the disk ended are not those of a night that never ends
    assert look(time(3, 40)) == 0
    assert service.rows("job_runs")[0]["status"] == "done"
    assert len(told.documents) == 1


def test_a_defect_is_told_at_once_and_keeps_its_traceback(
    service: Service, told: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(service, told)
    with monkeypatch.context() as broken:
        broken.setattr("planner.nightly.night.plan_ahead", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            service.run(night(FIRST))
        broken.setattr("planner.nightly.due.latest_due", lambda *_: [][1])
        with pytest.raises(IndexError):
            service.run(night(FIRST, time(4)))
    assert [(one["job"], one["message"].split(":")[:2]) for one in told.documents] == [
        ("n", ["defect", " ZeroDivisionError"]),
        (None, ["defect", " IndexError"]),
    ]


def test_a_damaged_store_is_told_once_is_not_healthy_and_the_service_recovers(one_night: Service, told: Hook) -> None:
    service = one_night
    tell(service, told)
    scheduler = service.scheduler()
    health = Health(started_at=NOON, looked_at=NOON)

    def look(moment: datetime) -> None:
        service.clock.moment = moment
        check_ledger(scheduler, health)

    look(NOON)
    assert health.document(NOON).ok
    whole = service.store.path.read_bytes()
    service.store.path.write_bytes(b"\0" * len(whole))
    for minute in (1, 2):
        look(NOON + timedelta(minutes=minute))
        document = health.document(service.clock())
        assert (document.ok, document.busy) == (False, False)
        assert document.reason == f"{service.store.path}: is not a DuckDB database; name another file with --db"
    # the plan that is in force stays so
    assert health.planned_units(NOON + timedelta(days=1)).jobs["n"].run_id == "run-00001"
    (trouble,) = told.documents
    assert (trouble["job"], trouble["status"], trouble["message"]) == (None, "failed", document.reason)
    assert [event["message"] for event in service.named("check failed")] == [document.reason]
    service.store.path.write_bytes(whole)
    look(night(FIRST + timedelta(days=1)))
    assert health.document(service.clock()).ok
    assert health.errors == 2
    assert [row["status"] for row in service.rows("job_runs")] == ["done", "done"]
    # trouble that comes back is told again
    service.store.path.write_bytes(b"x")
    look(night(FIRST + timedelta(days=1), time(4)))
    assert len(told.documents) == 2


def test_trouble_that_could_not_be_told_is_told_by_the_next_service(one_night: Service, told: Hook) -> None:
    service = one_night
    tell(service, told)
    told.status = 500
    whole = service.store.path.read_bytes()
    service.store.path.write_bytes(b"x")
    with pytest.raises(StoreError):
        service.run(NOON)
    told.documents.clear()
    told.status = 200
    service.store.path.write_bytes(whole)
    assert service.run(NOON) == 0
    assert service.run(NOON) == 0
    assert ["is not a DuckDB database" in document["message"] for document in told.documents] == [True]


def test_a_night_is_published_once_whoever_cannot_be_told(one_night: Service, real_outputs: None) -> None:
    service = one_night
    copy = published_path(service.store.path)
    before = copy.stat().st_mtime_ns
    head = "[notify]\ncommand = ['false']\non = 'all'"
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head=head))
    assert service.run(NOON) == 0
    assert copy.stat().st_mtime_ns == before
    copy.unlink()
    assert service.run(NOON) == 0
    assert copy.is_file()


def test_a_log_that_cannot_be_written_stops_nothing_and_says_later_what_is_missing() -> None:
    class Disk(io.StringIO):
        is_full = False

        def write(self, text: str) -> int:
            return full() if self.is_full else super().write(text)  # type: ignore[func-returns-value,return-value]

    disk = Disk()
    log = write_events(disk, lambda: NOON)
    for is_full in (False, True, True, False, False):
        disk.is_full = is_full
        log("step", name="a\n\x1b[2J\x7f\x9b\u2028b")
    first, second, third = disk.getvalue().splitlines()
    assert [json.loads(line).get("lines_lost") for line in (first, second, third)] == [None, 2, None]
    assert json.loads(first)["name"] == "a\n\x1b[2J\x7f\x9b\u2028b"
    assert first.isascii()
    assert first.isprintable()
    disk.close()
    log("step")


def test_addresses_in_the_jobs_file_are_used_with_their_login_and_shown_without(service: Service, told: Hook) -> None:
    url = told.url.replace("//", "//me:s3cr3t%40@") + "/services/T0KEN?key=T0KEN"
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "retry_s = 0", f"[notify]\nurl = '{url}'"))
    (service.jobs.folder / "logs" / "2025-03-01.csv").unlink()
    told.status = 500
    assert service.run(night(FIRST)) == 1
    told.status = 204
    assert service.run(night(FIRST)) == 1
    assert {headers["Authorization"] for headers in told.headers} == {
        f"Basic {base64.b64encode(b'me:s3cr3t@').decode()}"
    }
    assert set(told.paths) == {"/services/T0KEN?key=T0KEN"}
    seen = json.dumps([service.events, service.rows("job_runs")], default=str)
    assert f"notify.url {told.url}/...: HTTP Error 500" in seen
    assert "s3cr3t" not in seen + repr(service.jobs)
    assert "T0KEN" not in seen + repr(service.jobs)
