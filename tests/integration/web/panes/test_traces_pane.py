"""Traces on the page: what one holds, and logs that are uploaded, looked at and stored."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from planner.store import Store
from planner.trace import stored
from tests.helpers.served_panes import Served

GOOD = b"arrival,input_tokens,output_tokens\n" + b"".join(
    b"2025-03-03T%02d:00:00Z,%d,50\n" % (hour, 100 + hour) for hour in range(24)
)
"""A Monday with a request every hour."""
PARTLY = GOOD + b"<script>alert(1)</script>,10,10\n2025-03-03T23:30:00Z,-5,10\n"


def held(folder: Path) -> list[Path]:
    """Logs that the server keeps, in its own folder of temporary files."""
    return list(folder.glob("planner-import-*/*.csv"))


@pytest.fixture(autouse=True)
def nothing_is_left(server: Served, folder: Path) -> Iterator[None]:
    before = set(held(folder))
    yield
    assert set(held(folder)) <= before


def uploaded(server: Served, body: bytes, name: str, **more: str) -> str:
    """Send a log; the address of the job that looks at it."""
    reply = server.post("/traces/upload", body, pane__name=name, pane__file=f"{name}.csv", **more)
    assert reply.status == 201, reply.text
    job: str = reply.json["job"]
    return job


def stored_from(server: Served, job: str, **pairs: str) -> str:
    """Store what a job has looked at, as the form of its page does; the address of the job that stores it."""
    page = server.get(job).text
    action = page.partition('action="/traces/store?')[2].partition('"')[0].replace("&amp;", "&")
    reply = server.post(f"/traces/store?{action}", **pairs)
    return urlsplit(reply.address).path


def traces(folder: Path) -> list[str]:
    with Store(folder / "planner.duckdb").read() as session:
        return [info.name for info in stored.listed(session)]


def test_a_trace_is_shown_by_hour_of_the_week_with_its_lengths(server: Served) -> None:
    told = server.get("/traces.json").json
    assert "hour" in [each["trace"] for each in told["traces"]]
    assert told["shown"]["trace"] == "hour"
    assert told["shown"]["peak_hour"]["requests"] == 60
    page = server.get("/traces", pane__quantity="output_tokens").text
    assert "The mean output tokens an hour by weekday and hour of the local clock: from 7.2k on Sat" in page
    assert "Table: mean output tokens an hour by weekday and hour" in page
    assert '<td>Output tokens</td><td class="n">120.00</td>' in page
    assert 'href="/?scenario=small&amp;trace=hour"' in page
    assert "planner trace import FILE --name NAME" in page


def test_a_trace_that_is_not_stored_is_told_beside_the_others(server: Served) -> None:
    page = server.get("/traces", pane__show="<b>none</b>")
    assert page.status == 200
    assert 'role="alert"' in page.text
    assert "<b>none" not in page.text
    assert "Look at it: hour" in page.text


def test_a_log_is_looked_at_with_what_would_be_refused_and_then_stored(server: Served, folder: Path) -> None:
    job = uploaded(server, PARTLY, "monday")
    looked = server.ended(job)
    assert looked["state"] == "done", looked
    preview = looked["result"]
    assert (preview["rows_read"], preview["rows_imported"], preview["rows_rejected"]) == (26, 24, 2)
    assert [(row["line"], row["input_tokens"]) for row in preview["first_rows"]][:2] == [(2, 100), (3, 101)]
    assert {(row["first_file"], row["first_line"]) for row in preview["rejects"]} == {
        ("monday.csv", 26),
        ("monday.csv", 27),
    }
    assert "monday" not in traces(folder)
    page = server.get(job).text
    assert "<strong>2 would be refused</strong>" in page
    assert "<script>alert" not in page

    done = server.ended(stored_from(server, job))
    assert done["state"] == "done", done
    assert done["result"]["rows_imported"] == 24
    assert "monday" in traces(folder)
    assert server.get("/traces.json", pane__show="monday").json["shown"]["requests"] == 24
    again = server.post("/traces/store", pane__name="monday", pane__file="monday.csv", pane__upload="0" * 32)
    assert again.status == 422
    assert "not kept any more; upload it again" in again.text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"nothing that is a log\n\x00\xff", "broken.csv"),
        (b"arrival,input_tokens,output_tokens\n", "no row below its header"),
        (b"\x1f\x8b\x08\x00broken", "broken.csv"),
    ],
)
def test_a_broken_log_is_told_in_a_line_and_not_kept(server: Served, body: bytes, problem: str) -> None:
    ended = server.ended(job := uploaded(server, body, "broken"))
    assert ended["state"] == "failed", ended
    assert problem in ended["problem"]
    assert "\n" not in ended["problem"]
    assert "planner-import" not in ended["problem"]
    assert 'role="alert"' in server.get(job).text


def test_a_log_of_refused_rows_alone_would_be_refused_as_a_whole(server: Served) -> None:
    job = uploaded(server, b"arrival,input_tokens,output_tokens\nnever,1,1\n", "never")
    looked = server.ended(job)
    assert "no row can be imported" in looked["result"]["problem"]
    assert "/traces/store" not in server.get(job).text


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ({"pane__name": "hour", "pane__file": "a.csv"}, 'a trace named "hour" is stored already'),
        ({"pane__name": "", "pane__file": "a.csv"}, "the name of the trace"),
        ({"pane__name": "x", "pane__file": "../a.csv"}, "is not the name of a file"),
        ({"pane__name": "x", "pane__file": "/etc/passwd"}, "is not the name of a file"),
        ({"pane__name": "x", "pane__file": ".hidden"}, "is not the name of a file"),
        ({"pane__name": "x", "pane__file": ""}, "the name of the file"),
        ({"pane__name": "x", "pane__file": "a.csv", "pane__format": "morse"}, "pane.format"),
        ({"pane__name": "x", "pane__file": "a.csv", "pane__timezone": "Nowhere"}, "not an IANA time zone"),
        ({"pane__name": "x", "pane__file": "a.csv", "pane__columns": "input_tokens"}, "write FIELD=NAME"),
    ],
)
def test_what_would_be_refused_afterwards_is_refused_before_a_log_comes(
    server: Served, pairs: dict[str, str], problem: str
) -> None:
    for reply in (server.get("/traces/upload", **pairs), server.post("/traces/upload", GOOD, **pairs)):
        assert reply.status == 422
        assert problem in reply.json["problem"]


def test_a_log_may_come_before_it_is_sent(server: Served) -> None:
    assert server.get("/traces/upload", pane__name="free", pane__file="a.csv").json == {"ready": True}
    empty = server.post("/traces/upload", b"", pane__name="free", pane__file="a.csv")
    assert (empty.status, "is empty" in empty.text) == (422, True)
    assert server.post("/traces/preview").status == 404


def test_another_site_sends_no_log(server: Served) -> None:
    foreign = {"Origin": "http://elsewhere.example"}
    assert server.post("/traces/upload", GOOD, foreign, pane__name="x", pane__file="a.csv").status == 403


def test_a_log_that_is_too_large_is_refused_by_its_length(server: Served) -> None:
    place = urlsplit(server.address)
    assert place.hostname
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(head(place.netloc, 3 * 1024**3))
        assert b"413" in line.recv(100)


def test_a_connection_that_breaks_leaves_nothing(server: Served, folder: Path) -> None:
    place = urlsplit(server.address)
    assert place.hostname
    before = set(held(folder))
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(head(place.netloc, 10_000_000) + GOOD)
        wait_for(lambda: set(held(folder)) > before)
    wait_for(lambda: set(held(folder)) == before)


def test_reading_that_is_cancelled_leaves_nothing(server: Served, folder: Path) -> None:
    rows = b"".join(b"2025-03-03T%02d:%02d:00Z,100,50\n" % divmod(minute, 60) for minute in range(1440))
    job = uploaded(server, b"arrival,input_tokens,output_tokens\n" + rows * 2000, "long")
    wait_for(lambda: server.get(f"{job}.json").json["state"] == "running")
    server.post(f"{job}/cancel")
    assert server.ended(job)["state"] == "cancelled"
    assert not any(path.name == "long.csv" for path in held(folder))
    assert "long" not in traces(folder)


def head(host: str, length: int) -> bytes:
    lines = (
        "POST /traces/upload?pane.name=cut&pane.file=cut.csv HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
