"""Notifications: who is told how a night ended, and what happens where they cannot be reached."""

import json
import socket
import threading
from datetime import time, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from planner.documents import schema
from planner.nightly.documents import NightNotification
from planner.nightly.jobs_file import NotifySettings, load_jobs
from planner.nightly.notify import notify
from tests.helpers.nights import (
    FIRST,
    Service,
    night,
    notification,
    write_jobs,
    write_log,
)


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
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        head = f"[notify]\nurl = 'http://127.0.0.1:{server.server_address[1]}/x'\non = 'all'"
        service.jobs = load_jobs(write_jobs(service.jobs.folder, head=head))
        assert service.run(night(FIRST)) == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [(one["status"], one["run_id"]) for one in got] == [("done", "run-00001")]
    assert Path(got[0]["report"]).is_file()


def test_a_notification_that_fails_is_logged_and_the_night_stays_done(service: Service) -> None:
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\ncommand = ['false']\non = 'all'"))
    assert service.run(night(FIRST)) == 0
    assert "exit code 1" in service.named("notification failed")[0]["problem"]
    service.jobs = load_jobs(write_jobs(service.jobs.folder, head="[notify]\nurl = 'http://127.0.0.1:9/'\non = 'all'"))
    assert service.run(night(FIRST + timedelta(days=1))) == 0
    assert "notify.url http://127.0.0.1:9/" in service.named("notification failed")[1]["problem"]


class Answering(BaseHTTPRequestHandler):
    """Sends whoever posts on to /elsewhere, and /elsewhere counts who came."""

    came: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.came.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_only_the_configured_address_is_told() -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            (problem,) = notify(NotifySettings(url=f"http://127.0.0.1:{server.server_address[1]}/x"), notification())
        finally:
            server.shutdown()
            thread.join()
    assert "HTTP Error 302" in problem
    assert Answering.came == ["/x"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "http://127.0.0.1:port/"}, "nonnumeric port: 'port'"),
        ({"url": "http://"}, "no host given"),
        ({"command": ["sh", "-c", r"printf '\377 is no text' >&2; exit 4"]}, "exit code 4: \ufffd is no text"),
        ({"command": [""]}, "notify.command "),
        ({"command": ["sleep", "60"], "timeout_s": 0.1}, "timed out after 0.1 seconds"),
    ],
)
def test_whatever_is_wrong_with_who_is_told_is_one_line(settings: dict[str, Any], problem: str) -> None:
    (said,) = notify(NotifySettings(**settings), notification())
    assert problem in said
    assert "\n" not in said


def test_an_address_that_does_not_speak_http_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                caller.recv(10_000)

        thread = threading.Thread(target=greet)
        thread.start()
        (problem,) = notify(NotifySettings(url=f"http://127.0.0.1:{server.getsockname()[1]}/"), notification())
        thread.join()
    assert "SSH-2.0" in problem
