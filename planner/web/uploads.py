"""Logs that are uploaded: streamed into a file, looked at in a job, and stored in another; until then kept for a while.

They come as the body of a request alone, with the name of the trace and how to read the log in its address, so nothing
has to be parsed before it is checked.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from planner.drafts import import_folder
from planner.errors import PlannerError, UsageError
from planner.web.jobs import Job
from planner.web.panes.traces import KEEP, LOOK, WantedImport, check_import, keep, look_at
from planner.web.security import UPLOAD, TooLarge
from planner.web.state import State
from planner.web.workers import Busy, WorkerFault

if TYPE_CHECKING:
    from planner.web.app import Handler, Site

MOST_HELD = 4
"""Logs that are kept at a time. Assumed: a few people's; each may have 2 GB."""
HELD_S = 3600.0
"""How long one is kept that nobody stores. Assumed: longer than it takes to look at what would be refused."""
_KEY = "upload"
"""The key of an address that names one."""


@dataclass
class Upload:
    """A log that is kept. busy: whether it is coming or a job reads it."""

    token: str
    path: Path
    folder: ExitStack
    busy: bool = True


@dataclass
class Uploads:
    """The logs that a server keeps."""

    _held: dict[str, Upload] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, name: str) -> Upload:
        """Make room for a log. Raises Busy where all are in use, PlannerError where there is no room on the disk."""
        with self._lock:
            idle = next((each for each in self._held.values() if not each.busy), None)
            is_full = len(self._held) >= MOST_HELD
            if is_full and idle is None:
                raise Busy(f"{MOST_HELD} logs are being read already; wait until one is stored")
        if is_full and idle is not None:
            self.drop(idle.token)
        folder = ExitStack()
        try:
            path = folder.enter_context(import_folder()) / name
        except OSError as error:
            raise no_room(error) from error
        upload = Upload(secrets.token_hex(16), path, folder)
        with self._lock:
            self._held[upload.token] = upload
        timer = threading.Timer(HELD_S, self._expire, (upload.token,))
        timer.daemon = True
        timer.start()
        return upload

    def take(self, token: str) -> Upload:
        """A log that is kept, for a job. Raises UsageError where it is not, Busy where another job has it."""
        with self._lock:
            upload = self._held.get(token)
            if upload is None:
                raise UsageError("this log is not kept any more; upload it again")
            if upload.busy:
                raise Busy("this log is being read already; see the jobs")
            upload.busy = True
            return upload

    def leave(self, token: str) -> None:
        """A job has ended that may be followed by another."""
        with self._lock:
            if upload := self._held.get(token):
                upload.busy = False

    def drop(self, token: str) -> None:
        """Remove a log; nothing happens where it is not kept."""
        with self._lock:
            upload = self._held.pop(token, None)
        if upload is not None:
            upload.folder.close()

    def end(self) -> None:
        """Remove all of them."""
        for token in list(self._held):
            self.drop(token)

    def _expire(self, token: str) -> None:
        with self._lock:
            upload = self._held.get(token)
        if upload is not None and not upload.busy:
            self.drop(token)


def no_room(error: OSError) -> PlannerError:
    """That a log cannot be written, in a line."""
    return PlannerError(
        f"the log cannot be kept: {error.strerror}; make room, or use `planner trace import` on the machine"
    )


def upload_pages(
    site: "Site",
    told: Callable[["Site", "Handler"], Callable[[Request], Response]],
    problem: Callable[["Site", Request, Exception], Response],
) -> list[Route]:
    """The routes of uploads, which come before those of the pane."""

    async def upload(request: Request) -> Response:
        try:
            return await _upload(site, request)
        except (PlannerError, TooLarge, WorkerFault) as error:
            return problem(site, request, error)

    return [
        Route(UPLOAD, told(site, _ready), methods=["GET"]),
        Route(UPLOAD, upload, methods=["POST"]),
        Route(f"/traces/{KEEP.name}", told(site, _store), methods=["POST"]),
    ]


def _ready(site: "Site", request: Request) -> Response:
    """Whether a log may come: asked before it is sent."""
    site.ask(check_import, site.state(request))
    return JSONResponse({"ready": True})


async def _upload(site: "Site", request: Request) -> Response:
    """Take a log and begin to read it. Raises PlannerError."""
    state = site.state(request)
    await run_in_threadpool(site.ask, check_import, state)
    held = await run_in_threadpool(site.uploads.begin, WantedImport.of(state).file)
    try:
        await _receive(request, held.path)
        kept = _with(state, held.token)
        job = site.jobs.begin(
            f"traces/{LOOK.name}", LOOK.title(state), kept.query(), look_at, kept, held.path, after=_after(site, held)
        )
    except BaseException:
        # a connection that ends, too
        site.uploads.drop(held.token)
        raise
    return JSONResponse({"job": f"/jobs/{job.job_id}"}, 201)


def _with(state: State, token: str) -> State:
    return State(**{**vars(state), "pane": {**state.pane, _KEY: token}})


async def _receive(request: Request, path: Path) -> None:
    """Write the body of a request into a file as it comes. Raises PlannerError, TooLarge."""
    size = 0
    try:
        with path.open("xb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                await run_in_threadpool(file.write, chunk)
    except ClientDisconnect as error:
        raise PlannerError("the connection ended before the log was there; nothing is kept") from error
    except OSError as error:
        raise no_room(error) from error
    if not size:
        raise UsageError("the log is empty; choose a file with at least one row")


def _after(site: "Site", held: Upload) -> Callable[[Job], None]:
    """What becomes of a log once it was looked at: it is kept where it can be stored."""

    def after(job: Job) -> None:
        if job.state == "done" and job.result.document.problem is None:
            site.uploads.leave(held.token)
        else:
            site.uploads.drop(held.token)

    return after


def _store(site: "Site", request: Request) -> Response:
    """Begin to store a log that was looked at. Raises PlannerError."""
    state = site.state(request)
    held = site.uploads.take(state.pane.get(_KEY, ""))

    def after(job: Job) -> None:
        # what fails, as while the store is being written, may be tried again
        (site.uploads.leave if job.state == "failed" else site.uploads.drop)(held.token)

    try:
        WantedImport.of(state)
        job = site.jobs.begin(
            f"traces/{KEEP.name}", KEEP.title(state), request.url.query, keep, state, held.path, after=after
        )
    except PlannerError:
        site.uploads.leave(held.token)
        raise
    return RedirectResponse(f"/jobs/{job.job_id}", 303)
