"""Trouble is told: a full disk at every step of a night, a damaged store, a hook that is away; and then it goes on."""

import base64
import errno
import io
import json
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from http.client import HTTPConnection

import pytest

from planner.errors import PlannerError, StoreError
from planner.nightly.events import write_events
from planner.nightly.health import Health
from planner.nightly.http_server import serve_health
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


class Looks:
    """The looks of a service one after another, and what its real /healthz answers after each."""

    def __init__(self, service: Service) -> None:
        self.service, self.scheduler = service, service.scheduler()
        self.health = Health(started_at=NOON, looked_at=NOON)

    def at(self, moment: datetime) -> tuple[int, str]:
        self.service.clock.moment = moment
        check_ledger(self.scheduler, self.health)
        with serve_health(0, self.health, self.service.clock, self.service.log) as port:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/healthz")
            with connection.getresponse() as answer:
                return answer.status, json.load(answer)["reason"]


def test_a_night_that_failed_is_not_healthy_until_it_or_a_later_one_is_done(service: Service) -> None:
    job = "retry_s = 600\nattempts = 2\nexport = [{ to = 'csv', path = 'plans/{date}.csv' }]"
    service.jobs = load_jobs(write_jobs(service.jobs.folder, job))
    service.jobs.out.mkdir()
    in_the_way = service.jobs.out / "plans"
    in_the_way.write_text("a file")
    reason = f"n of {FIRST}: {in_the_way}: File exists; free some space or correct its permissions"
    looks = Looks(service)
    assert looks.at(night(FIRST)) == (503, reason)
    assert looks.at(night(FIRST, time(3, 1))) == (503, reason), "a look that has nothing to do mends nothing"
    assert Looks(service).at(night(FIRST, time(3, 2))) == (503, reason), "a new service knows it from the ledger"
    in_the_way.unlink()
    assert looks.at(night(FIRST, time(3, 20))) == (200, "")
    # one that is given up is replaced by the next one that is done
    second, third = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
    for path in (in_the_way / f"{third}.csv", in_the_way / f"{FIRST + timedelta(days=3)}.csv"):
        path.mkdir()
    for minute in (0, 20):
        status, told = looks.at(night(second, time(3, minute)))
        assert (status, told.split(":")[0]) == (503, f"n of {second}")
    path.rmdir()
    assert looks.at(night(third)) == (200, "")
    assert [row["status"] for row in service.rows("job_runs")] == ["done", "failed", "done"]


@pytest.mark.parametrize(
    ("log", "status", "why"),
    [
        (None, 200, "there is no such log"),
        ("arrival,input_tokens,output_tokens\n2025-03-01T12:00:00Z,5,5\n", 200, "looks incomplete"),
        ("arrival,input_tokens,output_tokens\nsoon,5,5\n", 503, "n of 2025-03-02: "),
    ],
)
def test_a_night_that_only_waits_for_its_log_is_healthy(
    service: Service, log: str | None, status: int, why: str
) -> None:
    path = service.jobs.folder / "logs" / "2025-03-01.csv"
    path.unlink()
    if log is not None:
        path.write_text(log)
    looks = Looks(service)
    for minute in (0, 1):
        found, reason = looks.at(night(FIRST, time(3, minute)))
        (row,) = service.rows("job_runs")
        assert (found, row["status"]) == (status, "failed")
        assert why in (row["message"] if status == 200 else reason)
    # until it has tried again, a new service knows of a log that is there only that the night failed
    service.jobs = load_jobs(write_jobs(service.jobs.folder, "retry_s = 7200"))
    assert Looks(service).at(night(FIRST, time(3, 2)))[0] == (200 if log is None else 503)


def test_a_plan_that_is_impossible_and_a_defect_are_not_healthy(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*_: object) -> None:
        raise PlannerError("the fleet cannot serve it; plan with more nodes")

    service.jobs = load_jobs(write_jobs(service.jobs.folder, "retry_s = 0"))
    looks = Looks(service)
    monkeypatch.setattr("planner.nightly.night.plan_ahead", impossible)
    assert looks.at(night(FIRST)) == (503, f"n of {FIRST}: the fleet cannot serve it; plan with more nodes")
    monkeypatch.setattr("planner.nightly.night.plan_ahead", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        looks.at(night(FIRST, time(4)))
    monkeypatch.setattr("planner.nightly.due.Scheduler.run_due", lambda _: 1)
    status, reason = looks.at(night(FIRST, time(5)))
    assert (status, reason) == (503, f"n of {FIRST}: defect: ZeroDivisionError: integer division or modulo by zero")


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
