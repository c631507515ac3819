"""The application of `planner serve` asked without a server: a thousand times as often in the same time."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Message

from planner.errors import PlannerError
from planner.web.app import Site, application
from planner.web.jobs import LongWork
from planner.web.security import Access
from planner.web.workbench import ServerSettings, Workbench
from planner.web.workers import Task, WorkerFault, Workers

Get = Callable[[str, str], tuple[int, str]]
"""Gives the status and the text of the answer to a GET of a path and a query."""


class _Here:
    """A worker that does its tasks in this process, and tells of them as one in its own does."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def call(self, task: Task[..., Any], *args: Any, **_limits: float) -> Any:
        try:
            return task(self._bench, *args)
        except PlannerError as error:
            raise PlannerError(str(error)) from error
        except Exception as error:
            raise WorkerFault(traceback.format_exc()) from error


class _WorkersHere(Workers):
    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings, 0)
        self._here = _Here(Workbench(settings))

    @contextmanager
    def one(self, _wait_s: float) -> Iterator[Any]:
        yield self._here


@contextmanager
def application_here(settings: ServerSettings) -> Iterator[Get]:
    """The application, asked in this process."""
    site = Site(settings=settings, workers=_WorkersHere(settings), jobs=LongWork(settings, 1, lambda: 0.0))
    app = application(site, Access())

    async def ask(path: str, query: str) -> tuple[int, str]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1"),
            "headers": [(b"host", b"127.0.0.1"), (b"x-planner-quick", b"1")],
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "root_path": "",
        }
        told: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            told.append(message)

        await app(scope, receive, send)
        return told[0]["status"], b"".join(message.get("body", b"") for message in told).decode()

    with asyncio.Runner() as runner:
        yield lambda path, query: runner.run(ask(path, query))
