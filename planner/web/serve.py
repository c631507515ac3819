"""The process of `planner serve`: the server and its workers, from the first request to the end."""

import socket
import threading
from collections.abc import Callable
from time import monotonic

import uvicorn

from planner.connections import MOST_HEAD_BYTES, bounded
from planner.errors import PlannerError
from planner.processes import processors
from planner.web.answer import answer
from planner.web.app import ANSWER_S, Site, application
from planner.web.assets import asset
from planner.web.jobs import LongWork
from planner.web.security import Access
from planner.web.state import State, parse
from planner.web.workbench import ServerSettings
from planner.web.workers import WorkerFault, Workers

LONGEST_S = 600.0
"""Seconds from the start of a connection to the end of its answer. Assumed: a log of 2 GB comes in less."""
MOST_CONNECTIONS = 256
"""Connections at a time. Assumed: many times what a few people at pages open."""


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises PlannerError."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PlannerError(f"port {port} of {host}: {error.strerror}; choose another with --port") from error


def serve(settings: ServerSettings, access: Access, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Answer until the process is told to end. ready: called once the server listens."""
    workers = Workers(settings, max(2, min(4, processors())))
    jobs = LongWork(settings, max(1, processors() - 1), monotonic)
    site = Site(settings=settings, workers=workers, jobs=jobs)
    app = application(site, access)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=bounded(LONGEST_S, MOST_CONNECTIONS, lambda: None),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            # what callers send that is no request is no line
            log_level="error",
            access_log=False,
            server_header=False,
            headers=[("Connection", "close")],
            proxy_headers=False,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            timeout_graceful_shutdown=1,
        )
    )
    # eleven seconds where it is not there yet: the first page stands without it
    threading.Thread(target=asset, args=("vega.js",), name="charts", daemon=True).start()
    first = parse("", tuple(settings.sources))
    for number in range(workers.count):
        threading.Thread(target=_warm, args=(workers, first, settings), name=f"warm {number}", daemon=True).start()
    ready()
    try:
        server.run([listener])
    finally:
        jobs.end()
        site.uploads.end()
        workers.end()
        listener.close()


def _warm(workers: Workers, state: State, settings: ServerSettings) -> None:
    """Let a worker plan the first page, so that it stands at once when it is asked for."""
    try:
        with workers.one(0) as worker:
            worker.call(answer, state, True, limit_s=ANSWER_S)
    except PlannerError:
        # whoever asks for the page is told
        pass
    except WorkerFault as fault:
        settings.log(str(fault))
