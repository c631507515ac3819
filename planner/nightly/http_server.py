"""/metrics, /healthz and /external-metrics, on 127.0.0.1 only: Starlette on uvicorn, with bounds of our own.

uvicorn has no time limit for a connection that sends no request, or sends one slowly, and counts such connections
towards its limit of concurrency, above which it refuses everybody. So each connection has a deadline, is used once,
and where there are too many the oldest gives way.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from planner.documents import to_json
from planner.errors import PlannerError
from planner.nightly.dates import Now
from planner.nightly.events import EventLog
from planner.nightly.health import Health
from planner.nightly.log_lines import route_logs
from planner.nightly.metrics import metrics_text, planned_text

LONGEST_S = 10.0
"""Seconds from the start of a connection to the end of its answer. Assumed: scrapers give up after ten."""
MOST_CONNECTIONS = 64
"""Connections at a time. Assumed: a handful of scrapers ask every few seconds."""
_MOST_HEAD_BYTES = 16_384
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def serve_health(port: int | None, health: Health, clock: Now, log: EventLog) -> Iterator[int | None]:
    """Answer on 127.0.0.1 inside the block; yields the port. port: None for no server. Raises PlannerError."""
    if port is None:
        yield None
        return
    for name in ("uvicorn", "asyncio"):
        route_logs(name, log, "server")
    listener = _listener(port)
    server = uvicorn.Server(
        uvicorn.Config(
            _application(health, clock),
            http=_bounded(health),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("Connection", "close")],
            proxy_headers=False,
            h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
            timeout_graceful_shutdown=1,
        )
    )
    bound: int = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listener],), name="metrics", daemon=True)
    thread.start()
    try:
        yield bound
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        if health.dropped:
            log("dropped connections", count=health.dropped)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PlannerError(f"port {port} of 127.0.0.1: {error.strerror}; set another port in the jobs file") from error


def _application(health: Health, clock: Now) -> Starlette:
    # on the thread of the server: it holds the lock for as long as a text is made, and waits for nothing else
    async def metrics(_: Request) -> Response:
        with health.lock:
            return PlainTextResponse(metrics_text(health), media_type=_TEXT)

    async def healthz(_: Request) -> Response:
        with health.lock:
            document = health.document(clock())
        return JSONResponse(to_json(document), 200 if document.ok else 503)

    async def external_metrics(_: Request) -> Response:
        with health.lock:
            return PlainTextResponse(planned_text(health.planned_units(clock())), media_type=_TEXT)

    async def external_metrics_json(_: Request) -> Response:
        with health.lock:
            return JSONResponse(to_json(health.planned_units(clock())))

    answers = {
        "/metrics": metrics,
        "/healthz": healthz,
        "/external-metrics": external_metrics,
        "/external-metrics.json": external_metrics_json,
    }

    async def not_found(_: Request, __: Exception) -> Response:
        return PlainTextResponse(f"not found; use one of {', '.join(answers)}\n", 404)

    routes = [Route(path, answer, methods=["GET"]) for path, answer in answers.items()]
    return Starlette(routes=routes, exception_handlers={404: not_found})


def _bounded(health: Health) -> type[asyncio.Protocol]:
    """uvicorn's connection with the bounds of this module; those that end unanswered are counted."""

    class Connection(H11Protocol):
        _deadline: asyncio.TimerHandle
        _is_refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            if len(self.connections) >= MOST_CONNECTIONS:
                oldest = min(self.connections, key=lambda one: one._deadline.when())  # type: ignore[union-attr]
                self.connections.discard(oldest)
                oldest.transport.abort()
            self._deadline = self.loop.call_later(LONGEST_S, transport.abort)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            is_answered = self._is_refused or (self.cycle is not None and self.cycle.response_complete)
            if not is_answered:
                health.count_dropped()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._is_refused = True
            super().send_400_response(msg)

    return Connection
