"""`planner serve` in a process of its own, on a port of this machine, and what it answers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.conftest import SMALL

_WAIT_S = 120


@dataclass(frozen=True)
class Reply:
    """What a server answered. address: where it came from in the end, redirects followed."""

    status: int
    body: bytes
    headers: Any
    address: str

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    address: str

    def get(self, path: str, **pairs: str) -> Reply:
        """Ask for an address; pairs: what follows its question mark, `__` for a point."""
        return self.ask("GET", path, None, **pairs)

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None, **pairs: str) -> Reply:
        return self.ask("POST", path, body, headers, **pairs)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None = None, **pairs: str
    ) -> Reply:
        query = urlencode({key.replace("__", "."): text for key, text in pairs.items()})
        url = f"{self.address}{path}" + (f"?{query}" if query else "")
        asked = Request(url, data=body, headers=headers or {}, method=method)
        try:
            with urlopen(asked, timeout=_WAIT_S) as reply:
                return Reply(reply.status, reply.read(), reply.headers, reply.url)
        except HTTPError as error:
            with error:
                return Reply(error.code, error.read(), error.headers, url)

    def ended(self, job: str) -> Any:
        """The document of a job once it has ended. job: its address."""
        deadline = time.monotonic() + _WAIT_S
        while (told := self.get(f"{job}.json").json)["state"] in ("waiting", "running"):
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        return told


def small_file(path: Path, *more: str) -> Path:
    """The small fleet that is computed by hand, as a scenario file. more: further fields, as KEY=VALUE."""
    pairs = [field.partition("=") for field in (*SMALL, *more)]
    lines = [f"{key} = {value if _is_number(value) else json.dumps(value)}" for key, _, value in pairs]
    path.write_text('name = "small"\n' + "\n".join(lines) + "\n")
    return path


@contextmanager
def served(db: Path, *words: str) -> Iterator[Served]:
    """Serve a store, with its folder as that of temporary files. words: further ones of the command."""
    command = [sys.executable, "-m", "planner", "serve", *words, "--port", "0", "--db", str(db)]
    environment = {**os.environ, "TMPDIR": str(db.parent)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert ": serving" in line, process.stderr.read()
        yield Served(line.partition("/: serving")[0])
    finally:
        process.terminate()
        process.communicate(timeout=_WAIT_S)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
