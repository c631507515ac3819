"""The server of metrics and health on 127.0.0.1: what it answers, and whom it does not wait for."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import jsonschema
import pytest

from planner.core.fleet.units import AGGREGATED, ROLES, Units
from planner.documents import schema
from planner.nightly.documents import HealthDocument, PlannedUnitsDocument
from planner.nightly.health import Health
from planner.nightly.http_server import MOST_CONNECTIONS, serve_health
from planner.nightly.planned_units import PlannedUnits
from tests.helpers.nights import SetClock

NOW = datetime(2025, 3, 2, 12, tzinfo=UTC)


class Serving:
    """A server with its health, clock and log."""

    def __init__(self) -> None:
        self.health = Health(started_at=NOW, looked_at=NOW)
        self.clock = SetClock(NOW)
        self.events: list[dict[str, Any]] = []
        self.port = 0

    def log(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def waits_for(self, dropped: int) -> None:
        """Wait until so many connections are counted."""
        end = time.monotonic() + 30
        while self.health.dropped < dropped and time.monotonic() < end:
            time.sleep(0.01)


@pytest.fixture
def serving() -> Iterator[Serving]:
    made = Serving()
    with serve_health(0, made.health, made.clock, made.log) as port:
        assert port is not None
        made.port = port
        yield made


def test_connections_that_are_dropped_are_one_count_and_no_line(serving: Serving) -> None:
    for _ in range(1500):
        with serving.connect() as dropped:
            dropped.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            # closed with a reset, as when a scraper is killed
            dropped.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    serving.waits_for(1500)
    assert serving.events == []
    assert "planner_dropped_connections_total 1500\n" in serving.get("/metrics")[1]
    assert sum(thread.name == "metrics" for thread in threading.enumerate()) == 1


def test_the_count_is_one_line_at_the_end() -> None:
    made = Serving()
    with serve_health(0, made.health, made.clock, made.log) as port:
        made.port = port or 0
        made.connect().close()
        made.waits_for(1)
    assert made.events == [{"event": "dropped connections", "count": 1}]


def test_connections_that_send_nothing_or_slowly_keep_nobody_else_out(serving: Serving) -> None:
    with ExitStack() as stack:
        for number in range(3 * MOST_CONNECTIONS):
            slow = stack.enter_context(serving.connect())
            slow.sendall(b"GET /metrics HTTP/1.1\r\n"[: number % 20])
        assert serving.get("/healthz")[0] == 200
        serving.waits_for(2 * MOST_CONNECTIONS)
        assert serving.health.dropped > 2 * MOST_CONNECTIONS


def test_a_connection_ends_in_time_however_slowly_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.nightly.http_server.LONGEST_S", 0.3)
    made = Serving()
    with serve_health(0, made.health, made.clock, made.log) as port:
        made.port = port or 0
        with made.connect() as slow:
            trickle = threading.Thread(target=_trickle, args=(slow,))
            trickle.start()
            trickle.join(30)
            assert not trickle.is_alive()


def _trickle(slow: socket.socket) -> None:
    """Send a letter at a time for as long as the connection is there."""
    with suppress(ConnectionError):
        while True:
            slow.sendall(b"G")
            time.sleep(0.03)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\na: " + b"x" * 100_000, b"HTTP/1.1 400 "),
        (b"\0\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2, b"HTTP/1.1 200 "),
    ],
)
def test_whatever_is_sent_gets_one_answer_and_no_line(serving: Serving, sent: bytes, answer: bytes) -> None:
    with serving.connect() as caller:
        caller.sendall(sent)
        assert caller.recv(13) == answer
        text = b""
        with suppress(ConnectionResetError):  # where what was sent had not been read to its end
            while more := caller.recv(65_536):
                text += more
        assert b"HTTP/1.1" not in text
    assert serving.events == []


def test_it_answers_on_127_0_0_1_only(serving: Serving) -> None:
    for address in ("127.0.0.2", "::1"):
        with pytest.raises(OSError, match=r"refused|not available|[Cc]annot assign"):
            socket.create_connection((address, serving.port), timeout=30)


def test_it_is_not_healthy_after_an_error_until_a_look_succeeds(serving: Serving) -> None:
    serving.health.begin_check(NOW)
    serving.health.end_check(NOW, "planner.duckdb: is damaged\n")
    serving.health.begin_check(NOW)
    status, text = serving.get("/healthz")
    jsonschema.validate(json.loads(text), schema(HealthDocument))
    assert (status, json.loads(text)["reason"]) == (503, "planner.duckdb: is damaged\n")
    serving.health.end_check(NOW, "")
    assert serving.get("/healthz")[0] == 200
    assert "planner_schedule_errors_total 1\n" in serving.get("/metrics")[1]
    serving.clock.moment = NOW + timedelta(minutes=6)
    status, text = serving.get("/healthz")
    assert (status, json.loads(text)["reason"]) == (
        503,
        "it has not looked for dates that are due since 2025-03-02T12:00:00+00:00",
    )


def test_planned_units_are_those_of_now_and_absent_where_there_is_no_plan(serving: Serving) -> None:
    hours = [NOW.replace(hour=0) + timedelta(hours=number) for number in range(24)]
    today = PlannedUnits(
        run_id="run-00001",
        starts=tuple(hours),
        ends_at=hours[-1] + timedelta(hours=1),
        roles=ROLES,
        units=tuple(Units(hour, 0) for hour in range(24)),
    )
    serving.health.planned = {"a": [today], "b": []}
    status, text = serving.get("/external-metrics")
    assert (status, text.splitlines()[2:]) == (
        200,
        ['planner_planned_units{job="a",role="prefill"} 12', 'planner_planned_units{job="a",role="decode"} 0'],
    )
    document = json.loads(serving.get("/external-metrics.json")[1])
    jsonschema.validate(document, schema(PlannedUnitsDocument))
    assert document["jobs"] == {
        "a": {"run_id": "run-00001", "prefill": 12, "decode": 0, "aggregated": 0, "roles": ["prefill", "decode"]}
    }
    both = replace(today, roles=(AGGREGATED,), units=tuple(Units(aggregated=hour) for hour in range(24)))
    serving.health.planned = {"a": [both]}
    assert serving.get("/external-metrics")[1].splitlines()[2:] == [
        'planner_planned_units{job="a",role="aggregated"} 12'
    ]
    assert json.loads(serving.get("/external-metrics.json")[1])["jobs"]["a"]["aggregated"] == 12
    serving.clock.moment = hours[0] + timedelta(hours=24)
    assert json.loads(serving.get("/external-metrics.json")[1])["jobs"] == {}
    assert len(serving.get("/external-metrics")[1].splitlines()) == 2
