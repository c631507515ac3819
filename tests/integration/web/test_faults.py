"""What goes wrong beside the page: slow and many callers, workers that die or hang, jobs that are cancelled."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from planner.errors import PlannerError
from planner.store import Store
from planner.web.jobs import MOST_WAITING, LongWork
from planner.web.workbench import ServerSettings, Workbench
from planner.web.workers import Busy, Worker, WorkerFault, Workers
from tests.helpers.served import Server, served

WAIT_S = 60.0


def until(true: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# callers


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"POST /runs/save HTTP/1.1\r\nContent-Length: 9\r\n\r\n1",
    ],
)
def test_callers_that_send_slowly_keep_nobody_else_out(server: Server, begun: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(server.connect()).sendall(begun)
        assert server.get("/healthz").status == 200
        assert server.get("/").status == 200


def test_a_thousand_connections_at_once_leave_it_answering(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(1_000):
            with suppress(ConnectionError):
                stack.enter_context(server.connect()).sendall(b"GET /")
        assert server.get("/").status == 200
    assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 300


def test_a_thousand_questions_at_once_are_all_answered(server: Server) -> None:
    """Those beyond the most connections that are kept are dropped; all others have their answer."""
    asked = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answered = 0
    with ExitStack() as stack:
        callers: list[socket.socket] = []
        for _ in range(1_000):
            caller = stack.enter_context(server.connect())
            caller.sendall(asked)
            callers.append(caller)
        for caller in callers:
            with suppress(ConnectionError):
                answered += caller.recv(12) == b"HTTP/1.1 200"
    assert answered > 0
    assert server.get("/").status == 200


@pytest.mark.parametrize(
    "sent", [b"\0\r\n\r\n", b"\x16\x03\x01\x02\0", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
)
def test_what_is_no_request_is_refused(server: Server, sent: bytes) -> None:
    with server.connect() as caller:
        caller.sendall(sent)
        caller.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            answer = caller.recv(65_536)
    assert not answer or answer.startswith(b"HTTP/1.1 400")


def test_a_caller_who_leaves_in_mid_answer_is_missed_by_nobody(server: Server) -> None:
    for _ in range(20):
        with server.connect() as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert server.get("/").status == 200


# workers: tasks of their own, in processes of their own


def who(_: Workbench) -> int:
    return os.getpid()


def sleep(_: Workbench, seconds: float) -> None:
    time.sleep(seconds)


def die(_: Workbench) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(_: Workbench) -> None:
    raise RuntimeError("a defect of this test")


def refuse(_: Workbench) -> None:
    raise PlannerError("not so")


def tell(bench: Workbench, folder: str) -> None:
    """Say who works, hold the store's lock and a draft, and go on until it is ended."""
    from planner.drafts import draft_file

    assert bench.progress is not None
    with bench.store.write(), draft_file(Path(folder) / "made.csv"):
        (Path(folder) / "pid").write_text(f"{os.getpid()}")
        bench.progress(1, 4)
        time.sleep(600)


@pytest.fixture
def settings(own: tuple[Path, list[str]], tmp_path: Path) -> ServerSettings:
    return ServerSettings(db=tmp_path / "own.duckdb", sources={"own-roles": own[1][1]})


@pytest.fixture
def worker(settings: ServerSettings) -> Iterator[Worker]:
    made = Worker(settings)
    yield made
    made.end()


def test_a_worker_stays_for_the_next_task(worker: Worker) -> None:
    first = worker.call(who, limit_s=WAIT_S)
    with pytest.raises(PlannerError, match="not so"):
        worker.call(refuse, limit_s=WAIT_S)
    with pytest.raises(WorkerFault, match="a defect of this test"):
        worker.call(fail, limit_s=WAIT_S)
    assert worker.call(who, limit_s=WAIT_S) == first


def test_a_task_beyond_its_limit_is_ended_and_its_process_with_it(worker: Worker) -> None:
    first = worker.call(who, limit_s=WAIT_S)
    begin = time.monotonic()
    with pytest.raises(PlannerError, match=r"took longer than 0\.3 s and was stopped"):
        worker.call(sleep, 600.0, limit_s=0.3)
    assert time.monotonic() - begin < WAIT_S
    assert not is_running(first)
    assert worker.call(who, limit_s=WAIT_S) != first


def test_a_worker_that_dies_is_told_of_once_and_replaced(worker: Worker) -> None:
    first = worker.call(who, limit_s=WAIT_S)
    with pytest.raises(WorkerFault, match="ended unexpectedly"):
        worker.call(die, limit_s=WAIT_S)
    assert worker.call(who, limit_s=WAIT_S) != first


def test_a_worker_killed_between_tasks_is_replaced_and_nobody_is_told(worker: Worker) -> None:
    first = worker.call(who, limit_s=WAIT_S)
    os.kill(first, signal.SIGKILL)
    # all of its threads, the first of which may end before the others
    assert until(lambda: not is_running(first) and len(list(Path(f"/proc/{first}/task").iterdir())) == 1)
    assert worker.call(who, limit_s=WAIT_S) != first


def test_where_all_workers_are_busy_that_is_said_in_time(settings: ServerSettings) -> None:
    workers = Workers(settings, 1)
    with workers.one(1), pytest.raises(Busy, match="busy"), workers.one(0.05):
        pass
    with workers.one(1):
        pass


def test_the_page_goes_on_when_its_workers_are_killed(own: tuple[Path, list[str]], tmp_path: Path) -> None:
    with served(tmp_path, own[0], own[1][1]) as server:
        assert server.get("/").status == 200
        for pid in server.children():
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: server.get("/").status == 200)


def test_sigterm_ends_the_server_and_its_processes_at_once(own: tuple[Path, list[str]], tmp_path: Path) -> None:
    with served(tmp_path, own[0], own[1][1]) as server, server.connect() as idle:
        idle.sendall(b"GET / HT")
        assert server.get("/").status == 200
        children = server.children()
        assert children
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WAIT_S) == 128 + signal.SIGTERM
        assert time.monotonic() - begin < 10
        assert until(lambda: not any(map(is_running, children)))
        assert server.log == "planner: terminated; no result was stored\n"


def test_sigterm_waits_for_no_answer(own: tuple[Path, list[str]], tmp_path: Path) -> None:
    with served(tmp_path, own[0], own[1][1]) as server, ExitStack() as stack:
        for number in range(12):
            caller = stack.enter_context(server.connect())
            caller.sendall(
                f"GET /?policy.target_utilisation=0.{number + 40} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
        assert until(lambda: bool(server.children()))
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WAIT_S) == 128 + signal.SIGTERM
        assert time.monotonic() - begin < 15


def test_a_killed_server_leaves_no_process(own: tuple[Path, list[str]], tmp_path: Path) -> None:
    with served(tmp_path, own[0], own[1][1]) as server:
        assert server.get("/").status == 200
        children = server.children()
        server.process.kill()
        assert until(lambda: not any(map(is_running, children)))


# jobs


def test_a_cancelled_job_leaves_no_process_no_file_and_no_lock(settings: ServerSettings, tmp_path: Path) -> None:
    jobs = LongWork(settings, 1, time.monotonic)
    running = jobs.begin("runs/save", "holds everything", "", tell, str(tmp_path))
    waiting = jobs.begin("runs/save", "waits", "", sleep, 600.0)
    assert until(lambda: jobs.find(running.job_id).done == 1)  # type: ignore[union-attr]
    assert jobs.find(waiting.job_id).state == "waiting"  # type: ignore[union-attr]
    pid = int((tmp_path / "pid").read_text())
    for job in (waiting, running):
        jobs.cancel(job.job_id)
    assert until(lambda: all(job.state == "cancelled" for job in jobs.all()))
    assert not is_running(pid)
    assert {path.name for path in tmp_path.iterdir()} - {"pid", settings.db.name} == set()
    with Store(settings.db, wait_s=1).write():
        pass


def test_a_job_that_is_cancelled_as_it_begins_never_runs_on(settings: ServerSettings) -> None:
    jobs = LongWork(settings, 4, time.monotonic)
    for _ in range(8):
        jobs.cancel(jobs.begin("runs/save", "sleeps", "", sleep, 600.0).job_id)
    assert until(lambda: all(job.state == "cancelled" for job in jobs.all()))


def test_the_end_of_the_server_ends_its_jobs_and_what_they_had_in_the_making(
    settings: ServerSettings, tmp_path: Path
) -> None:
    jobs = LongWork(settings, 1, time.monotonic)
    job = jobs.begin("runs/save", "holds everything", "", tell, str(tmp_path))
    assert until(lambda: jobs.find(job.job_id).done == 1)  # type: ignore[union-attr]
    jobs.end()
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert {path.name for path in tmp_path.iterdir()} - {"pid", settings.db.name} == set()


def test_too_many_jobs_are_refused_and_named(settings: ServerSettings) -> None:
    jobs = LongWork(settings, 1, time.monotonic)
    for _ in range(MOST_WAITING):
        jobs.begin("runs/save", "sleeps", "", sleep, 600.0)
    with pytest.raises(Busy, match=f"{MOST_WAITING} jobs wait or run already"):
        jobs.begin("runs/save", "sleeps", "", sleep, 600.0)
    jobs.end()
    assert {job.state for job in jobs.all()} == {"cancelled"}
