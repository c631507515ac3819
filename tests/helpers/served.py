"""`planner serve` in a process of its own, and what asks it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.helpers.own_fleets import options

ROOT = Path(__file__).parents[2]
_WAIT_S = 120.0
"""Far beyond what anything takes where other tests run beside it."""
SERVINGS = {"aggregated": ("own-aggregated", "aggregated"), "roles": ("own-roles", "disaggregated")}


@dataclass(frozen=True)
class Answered:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Server:
    """A running server, its store, and what it wrote on stderr."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, db: Path, log: Path) -> None:
        self.process, self.address, self.db, self._log = process, address, db, log
        self.port = int(address.rstrip("/").rpartition(":")[2])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answered:
        return self.ask("GET", path, headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answered:
        return self.ask("POST", path, headers, body)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answered:
        """Ask for a path as it stands, whatever is in it."""
        caller = HTTPConnection("127.0.0.1", self.port, timeout=_WAIT_S)
        try:
            caller.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
            for name, text in given.items():
                caller.putheader(name, text)
            if body is not None and "Content-Length" not in given:
                caller.putheader("Content-Length", str(len(body)))
            caller.endheaders()
            if body:
                caller.send(body)
            with caller.getresponse() as answer:
                told = {name.lower(): text for name, text in answer.getheaders()}
                return Answered(answer.status, told, answer.read().decode())
        finally:
            caller.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=_WAIT_S)

    def job(self, begun: Answered) -> Any:
        """The document of a job that a form has begun, once it has ended."""
        assert begun.status == 303, begun.text
        address = f"{begun.headers['location']}.json"
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            job = self.get(address).json
            if job["state"] not in ("waiting", "running"):
                return job
            time.sleep(0.05)
        raise AssertionError("the job has no end")

    def children(self) -> set[int]:
        """Its processes, and theirs."""
        return _below(self.process.pid)

    def memory_bytes(self) -> int:
        """What it and its processes hold."""
        pages = 0
        for pid in {self.process.pid, *self.children()}:
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def _below(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found |= {child} | _below(child)
    return found


@contextmanager
def served(folder: Path, db: Path, *words: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start `planner serve` with these words on a port that is free, and end it afterwards."""
    log = folder / "served.log"
    own = {name: text for name, text in os.environ.items() if not name.startswith("PLANNER_")}
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "planner", "serve", *words, "--port", "0", "--db", str(db)],
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            cwd=folder,
            env={**own, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
    assert process.stdout is not None
    with process.stdout as out:
        address = out.readline().partition(": serving")[0]
        if not address.startswith("http://"):
            process.wait(_WAIT_S)
            raise AssertionError(log.read_text())
        server = Server(process, address, db, log)
        try:
            yield server
        finally:
            server.end()


def own_day(folder: Path) -> tuple[Path, list[str]]:
    """A store with a small day of a fleet of one's own, and the files of its scenarios: one for each serving."""
    db = folder / "planner.duckdb"
    _planner(db, "trace", "generate", str(ROOT / "examples" / "chat-day.toml"), "--name", "chat-day", "--scale", "5e-4")
    files = []
    for name, serving in SERVINGS.values():
        file = folder / f"{name}.toml"
        _planner(db, "scenario", "init", *options(), "--serving", serving, "--trace", "chat-day", "--out", str(file))
        files.append(str(file))
    return db, files


def _planner(db: Path, *words: str) -> str:
    environment = {"PYTHONPATH": str(ROOT), "PLANNER_DB": str(db)}
    own = {name: text for name, text in os.environ.items() if not name.startswith("PLANNER_")}
    done = subprocess.run(
        [sys.executable, "-m", "planner", *words], env=own | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
