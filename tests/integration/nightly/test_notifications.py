"""Notifications: who is told how a night ended, and what happens where they cannot be reached."""

import json
import socket
import threading
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from planner.documents import schema
from planner.nightly.documents import NightNotification
from planner.nightly.jobs_file import NotifySettings, load_jobs
from planner.nightly.notices import Notices
from planner.nightly.notify import channels
from tests.helpers.hooks import hook
from tests.helpers.nights import FIRST, Service, night, notification, write_jobs, write_log


def problems(settings: NotifySettings) -> list[str]:
    """What is wrong with each way in which a document is to leave."""
    return [problem for send in channels(settings).values() if (problem := send("{}")) is not None]


def test_trouble_is_told_to_a_command(tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    head = f"[notify]\ncommand = ['tee', '{told}']"
    service = Service(tmp_path, write_jobs(tmp_path, "attempts = 1", head))
    service.run(night(FIRST))
    document = json.loads(told.read_text())
    jsonschema.validate(document, schema(NightNotification))
    assert (document["job"], document["status"], document["exit_code"]) == ("n", "failed", 1)
    assert "there is no such log" in document["message"]
    told.unlink()
    # the same trouble once more is not told again
    service.run(night(FIRST, time(5)))
    assert not told.exists()
    write_log(tmp_path, FIRST)
    (tmp_path / "logs" / f"{FIRST}.csv").rename(tmp_path / "logs" / "2025-03-01.csv")
    service.run(night(FIRST, time(6)))
    assert "has no request on 2025-03-01" in json.loads(told.read_text())["message"]


def test_every_night_is_told_to_an_address_where_that_is_wanted(service: Service) -> None:
    with hook() as told:
        head = f"[notify]\nurl = '{told.url}/x'\non = 'all'"
        service.jobs = load_jobs(write_jobs(service.jobs.folder, head=head))
        assert service.run(night(FIRST)) == 0
    assert [(one["status"], one["run_id"]) for one in told.documents] == [("done", "run-00001")]
    assert Path(told.documents[0]["report"]).is_file()


def test_a_notification_that_fails_is_logged_and_the_night_stays_done(service: Service) -> None:
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\ncommand = ['false']\non = 'all'"))
    assert service.run(night(FIRST)) == 0
    assert "exit code 1" in service.named("notification failed")[0]["problem"]
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\nurl = 'http://127.0.0.1:9/'\non = 'all'"))
    assert service.run(night(FIRST + timedelta(days=1))) == 0
    assert "notify.url http://127.0.0.1:9/" in service.named("notification failed")[1]["problem"]


def test_only_the_configured_address_is_told() -> None:
    with hook(status=302) as told:
        (problem,) = problems(NotifySettings(url=f"{told.url}/x"))
    assert "HTTP Error 302" in problem
    assert told.paths == ["/x"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"command": ["sh", "-c", r"printf '\377 is no text' >&2; exit 4"]}, "exit code 4: \ufffd is no text"),
        ({"command": [" /nowhere"]}, "notify.command "),
        (
            {"command": ["sh", "-c", "echo $0 $1 >&2; exit 1", "X-Key: s3cr3t", "--token=s3cr3t https://x/s3cr3t"]},
            "exit code 1: *** --token=*** https://x/...",
        ),
        ({"command": ["sleep", "60"], "timeout_s": 0.1}, "timed out after 0.1 seconds"),
    ],
)
def test_whatever_is_wrong_with_who_is_told_is_one_line(settings: dict[str, Any], problem: str) -> None:
    (said,) = problems(NotifySettings(**settings))
    assert problem in said
    assert "\n" not in said
    assert "s3cr3t" not in said


def test_an_address_that_does_not_speak_http_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                caller.recv(10_000)

        thread = threading.Thread(target=greet)
        thread.start()
        (problem,) = problems(NotifySettings(url=f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join()
    assert "SSH-2.0" in problem


def test_an_answer_that_trickles_in_does_not_keep_the_night_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def trickle() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(10_000)
                caller.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    try:
                        caller.sendall(b"a: b\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        (problem,) = problems(NotifySettings(url=f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.3))
        over.set()
        thread.join()
    assert problem.endswith("no answer within 0.3 seconds")


def test_a_program_that_leaves_another_one_behind_has_been_told() -> None:
    assert problems(NotifySettings(command=("sh", "-c", "sleep 5 & exit 0"), timeout_s=0.3)) == []


def test_what_was_not_told_is_told_at_a_later_look_once(service: Service) -> None:
    with hook(status=503) as told:
        service.jobs = load_jobs(write_jobs(service.jobs.folder, "attempts = 1", f"[notify]\nurl = '{told.url}/x'"))
        (service.jobs.folder / "logs" / "2025-03-01.csv").unlink()
        assert service.run(night(FIRST)) == 1
        # at first it is tried three times
        assert (len(told.documents), len(service.named("notification failed"))) == (3, 1)
        assert service.rows("job_runs")[0]["announced_at"] is None
        told.status = 204
        write_log(service.jobs.folder, FIRST - timedelta(days=1))
        assert service.run(night(FIRST, time(3, 5))) == 1
        assert service.run(night(FIRST, time(3, 6))) == 1
    assert len(told.documents) == 4
    assert "there is no such log" in told.documents[-1]["message"]
    assert service.rows("job_runs")[0]["announced_at"] is not None


def test_trouble_that_is_over_is_told_when_that_becomes_possible(service: Service) -> None:
    with hook(status=503) as told:
        service.jobs = load_jobs(write_jobs(service.jobs.folder, "retry_s = 0", f"[notify]\nurl = '{told.url}/x'"))
        log = service.jobs.folder / "logs" / "2025-03-01.csv"
        text = log.read_text()
        log.unlink()
        assert service.run(night(FIRST)) == 1
        log.write_text(text)
        assert service.run(night(FIRST, time(4))) == 0
        told.status = 204
        assert service.run(night(FIRST, time(5))) == 0
        assert service.run(night(FIRST, time(6))) == 0
    assert len(told.documents) == 5
    assert told.documents[-1]["status"] == "failed"
    assert not list(service.jobs.folder.glob(".*.notices"))


def test_a_way_that_works_is_not_told_again_because_another_one_fails(service: Service, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    with hook(status=503) as told:
        head = f"[notify]\ncommand = ['tee', '-a', '{heard}']\nurl = '{told.url}'\non = 'all'"
        service.jobs = load_jobs(write_jobs(service.jobs.folder, head=head))
        for hour in (3, 4, 5):
            assert service.run(night(FIRST, time(hour))) == 0
        assert heard.read_text().count("logical_date") == 1
        told.status = 204
        assert service.run(night(FIRST, time(6))) == 0
    assert heard.read_text().count("logical_date") == 1
    assert len(told.documents) == 6


def test_one_that_is_down_is_tried_once_a_look_however_much_waits(tmp_path: Path) -> None:
    service = Service(tmp_path, write_jobs(tmp_path))
    with hook(status=503) as told:
        settings = NotifySettings(url=told.url)
        notices = Notices(tmp_path / ".notices", settings, service.log, service.stop.is_set)
        for number in range(5):
            notices.add(f"night {number}", notification(message=str(number)))
        notices.deliver()
        notices.deliver()
        notices.begin_look()
        notices.deliver()
        assert (len(told.documents), notices.waiting, notices.failures) == (4, 5, 4)
        # another process goes on with what was saved
        notices.save()
        told.status = 204
        later = Notices(tmp_path / ".notices", settings, service.log, service.stop.is_set)
        later.deliver()
    assert [document["message"] for document in told.documents[4:]] == ["0", "1", "2", "3", "4"]


def test_a_file_of_notices_that_cannot_be_read_is_said_and_replaced(service: Service) -> None:
    path = service.jobs.folder / ".planner.duckdb.notices"
    path.write_text("{")
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\ncommand = ['false']\non = 'all'"))
    assert service.run(night(FIRST)) == 0
    assert "cannot be read" in service.named("not remembered")[0]["why"]
    assert len(json.loads(path.read_text())["notices"]) == 1
