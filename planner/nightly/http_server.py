"""/metrics, /healthz and /external-metrics, on 127.0.0.1 only: Starlette on uvicorn, with bounds of our own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from planner.connections import MOST_HEAD_BYTES, bounded
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
            http=bounded(LONGEST_S, MOST_CONNECTIONS, health.count_dropped),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("Connection", "close")],
            proxy_headers=False,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
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
