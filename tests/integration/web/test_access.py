"""Who may ask the page of `planner serve`, and what whoever may not is told."""

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from planner.web.panes import PANES
from planner.web.security import HEADERS
from tests.helpers.served import Server, served

TOKEN = "t0ken-of-this-test-alone"
PATHS = ("/", "/answer.json", "/jobs", "/assets/app.js", "/openapi.json", "/nowhere", *(f"/{name}" for name in PANES))


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1.example.org", "localhost@example.org", ""]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_name_of_this_machine_is_refused(server: Server, host: str, path: str) -> None:
    answer = server.get(path, {"Host": host.format(port=server.port)})
    assert answer.status == 400
    assert "is not a name of this server" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}"])
def test_its_own_names_are_taken(server: Server, host: str) -> None:
    assert server.get("/healthz", {"Host": host.format(port=server.port)}).status == 200


@pytest.mark.parametrize("path", PATHS)
def test_no_script_of_another_site_can_read_an_answer(server: Server, path: str) -> None:
    for method in ("GET", "OPTIONS"):
        answer = server.ask(method, path, {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"})
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert {name: answer.headers.get(name.lower()) for name in HEADERS} == dict(HEADERS)
        assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.example.org:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused(server: Server, headers: dict[str, str]) -> None:
    given = {name: text.format(port=server.port) for name, text in headers.items()}
    begun = len(server.get("/jobs.json").json)
    forms = [f"/{pane.name}/{kind.name}" for pane in PANES.values() for kind in pane.jobs]
    for path in (*forms, "/jobs/0/cancel"):
        answer = server.post(path, given)
        assert (answer.status, "not one of this page" in answer.text) == (403, True)
    assert len(server.get("/jobs.json").json) == begun


def test_a_page_has_no_way_to_begin_a_job_by_a_link(server: Server) -> None:
    for pane in PANES.values():
        for kind in pane.jobs:
            assert server.get(f"/{pane.name}/{kind.name}").status == 405
    assert server.get("/jobs/0/cancel").status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../app.py",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/....//....//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/app.js%00.css",
        "/assets/layout.html.j2",
        "/assets/..\\..\\etc\\passwd",
        "/../../etc/passwd",
        "//etc/passwd",
        "/runs/../../etc/passwd",
        "/jobs/../../etc/passwd",
        "/jobs/%2e%2e%2fetc%2fpasswd.json",
    ],
)
def test_no_path_leads_to_a_file(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.status == 404
    assert "root:" not in answer.text


def test_too_long_heads_and_bodies_are_refused(server: Server) -> None:
    with suppress(ConnectionError):  # it may hang up while the rest is still being sent
        assert server.get("/", {"X-Long": "x" * 200_000}).status == 400
    assert server.post("/runs/save", {"Content-Length": "9999999"}).status == 413
    assert server.post("/runs/save", {"Content-Length": "-1"}).status in (400, 413)
    assert server.get("/?scenario=" + "x" * 9_000).status == 422


@pytest.fixture(scope="module")
def closed(own: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that can be reached from elsewhere."""
    db, files = own
    folder = tmp_path_factory.mktemp("closed")
    with served(folder, db, files[0], "--host", "0.0.0.0", environment={"PLANNER_TOKEN": TOKEN}) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
def test_beyond_this_machine_everything_but_its_health_needs_the_token(closed: Server, path: str) -> None:
    assert closed.get("/healthz").status == 200
    assert closed.get("/favicon.ico").status == 204
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Cookie": "planner_token=wrong"},
        {"Cookie": 'planner_token="'},
        {"Cookie": f"other={TOKEN}"},
    ):
        answer = closed.get(path, headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert closed.post("/runs/save").status == 401
    assert closed.post(f"/runs/save?token={TOKEN}").status == 401
    assert closed.get(f"{path}?token=wrong").status == 401
    assert closed.get(f"{path}?token=%C3%A4%00").status == 401


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address(closed: Server) -> None:
    answer = closed.get(f"/jobs?a=1&token={TOKEN}&b=2")
    assert (answer.status, answer.headers["location"]) == (303, "/jobs?a=1&b=2")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert closed.get("/jobs", {"Cookie": cookie.partition(";")[0]}).status == 200
    assert closed.get("/jobs", {"Authorization": f"Bearer {TOKEN}"}).status == 200


@pytest.mark.parametrize("path", ["//example.org", "/\\example.org", "/%5Cexample.org", "//example.org/%2e%2e"])
def test_the_token_leads_to_no_other_site(closed: Server, path: str) -> None:
    answer = closed.get(f"{path}?token={TOKEN}")
    assert answer.status == 303
    assert answer.headers["location"].startswith("/example.org")


def test_a_token_is_not_told_by_the_time_that_a_guess_takes(closed: Server) -> None:
    """A guess with all but the last letter right takes as long as one with none: within the noise of the answers."""

    def seconds(token: str) -> float:
        begin = time.perf_counter()
        assert closed.get("/jobs", {"Authorization": f"Bearer {token}"}).status == 401
        return time.perf_counter() - begin

    near, far = TOKEN[:-1] + "_", "_" * len(TOKEN)
    taken = [(seconds(near), seconds(far)) for _ in range(60)]
    middles = [statistics.median(column) for column in zip(*taken, strict=True)]
    assert max(middles) < 2 * min(middles)


def test_the_token_stands_in_no_log(closed: Server) -> None:
    closed.get(f"/?token={TOKEN}&scenario=%00")
    closed.get(f"/?scenario=%00&token={TOKEN}", {"Authorization": f"Bearer {TOKEN}"})
    assert TOKEN not in closed.log
    command = Path(f"/proc/{closed.process.pid}/cmdline").read_text()
    assert TOKEN not in command


def test_beyond_this_machine_it_does_not_start_without_a_token(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="a token is needed"),
        served(tmp_path, tmp_path / "none.duckdb", "--host", "0.0.0.0"),
    ):
        pass
