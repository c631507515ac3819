"""The server: addresses, what answers them, and what becomes of failures."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from planner.documents import to_json
from planner.errors import PlannerError
from planner.files import version
from planner.runs.read import ReplayView
from planner.web.answer import Answer, answer
from planner.web.assets import asset
from planner.web.job_pages import job_pages
from planner.web.jobs import LongWork
from planner.web.openapi import openapi
from planner.web.panes import PANES
from planner.web.panes.base import Download, Pane
from planner.web.render import fill, pane_context, shown_tables
from planner.web.security import UPLOAD, Access, Guard, TooLarge
from planner.web.state import State, parse
from planner.web.swing import swing
from planner.web.uploads import Uploads, upload_pages
from planner.web.workbench import ServerSettings, replay_key
from planner.web.workers import Busy, Task, WorkerFault, Workers

ANSWER_S = 60.0
"""How long an answer may take. Assumed: a first plan of a large trace takes seconds, and browsers wait longer."""
WAIT_S = 60.0
"""How long a request waits for a worker. Assumed: as long as the answer before may take."""
QUICK = "x-planner-quick"
"""The header of a request that wants what is known at once."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all addresses have at hand."""

    settings: ServerSettings
    workers: Workers
    jobs: LongWork
    uploads: Uploads = field(default_factory=Uploads)
    clock: Callable[[], float] = time.monotonic

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of scenarios as addresses have them."""
        return tuple(self.settings.sources)

    def state(self, request: Request) -> State:
        """What the address of a request says. Raises UsageError."""
        return parse(request.url.query, self.scenarios)

    def ask(self, task: Task[..., Any], *args: Any) -> Any:
        """Let a worker do a task. Raises PlannerError, WorkerFault."""
        with self.workers.one(WAIT_S) as worker:
            return worker.call(task, *args, limit_s=ANSWER_S)

    def measured(self, state: State) -> dict[str, ReplayView]:
        """What finished replays of the plans that are looked at measured, by side; the last ones win."""
        known: dict[Hashable, ReplayView] = {}
        for job in reversed(self.jobs.all()):
            if job.state == "done":
                known |= job.result.measured
        keys = {side: replay_key(state, side) for side in state.sides}
        return {side: known[key] for side, key in keys.items() if key in known}

    def page(
        self, template: str, state: State | None, context: Mapping[str, Any], *, here: str, status: int = 200
    ) -> Response:
        """A page with the navigation around it. here: its address without what follows the question mark."""
        shared = {
            "version": version(),
            "scenarios": self.scenarios,
            "panes": [(pane.name, pane.title) for pane in PANES.values()],
            "state": state or State(scenario=self.scenarios[0]),
            "here": here,
            "running": sum(not job.has_ended for job in self.jobs.all()),
        }
        return HTMLResponse(fill(template, {**shared, **context}), status)


def application(site: Site, access: Access) -> Starlette:
    """The page of `planner serve`."""
    routes = [
        Route("/", _told(site, _first_screen), methods=["GET"]),
        Route("/answer.json", _told(site, _first_document), methods=["GET"]),
        Route("/swing.json", _told(site, _swing), methods=["GET"]),
        Route("/assets/{name}", _asset, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/favicon.ico", _no_icon, methods=["GET"]),
        *job_pages(site, _told),
        *upload_pages(site, _told, _failure),
        *(route for pane in PANES.values() for route in _pane_routes(site, pane)),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed})
    app.add_middleware(Guard, access=access)
    return app


Handler = Callable[[Site, Request], Response]


def _told(site: Site, handler: Handler) -> Callable[[Request], Response]:
    """A handler whose failures are told in a page, or in a document where the address asks for one."""

    def handle(request: Request) -> Response:
        try:
            return handler(site, request)
        except (PlannerError, TooLarge, WorkerFault) as error:
            return _failure(site, request, error)

    return handle


def _failure(site: Site, request: Request, error: Exception) -> Response:
    """What is told of a failure."""
    if isinstance(error, Busy):
        return _problem(site, request, str(error), 503)
    if isinstance(error, TooLarge):
        return _problem(site, request, "what is sent is too long; shorten it", 413)
    if isinstance(error, PlannerError):
        return _problem(site, request, str(error), 422)
    site.settings.log(str(error))
    return _problem(site, request, "this is a fault of planner; the server's log has the details", 500)


def _problem(site: Site, request: Request, text: str, status: int) -> Response:
    if request.url.path.endswith(".json") or request.url.path == UPLOAD:
        return JSONResponse({"problem": text}, status)
    try:
        state = site.state(request)
    except PlannerError:
        state = None
    return site.page("problem.html.j2", state, {"problem": text}, here=request.url.path, status=status)


def _first_screen(site: Site, request: Request) -> Response:
    state = site.state(request)
    shown: Answer = site.ask(answer, state, QUICK not in request.headers, site.measured(state))
    context = {
        "answer": shown,
        "document": shown.document,
        "tables": shown_tables({"timeline": shown.table}),
    }
    return site.page("answer.html.j2", state, context, here="/")


def _first_document(site: Site, request: Request) -> Response:
    state = site.state(request)
    shown: Answer = site.ask(answer, state, True, site.measured(state))
    return JSONResponse(to_json(shown.document))


def _swing(site: Site, request: Request) -> Response:
    state = site.state(request)
    path, side = state.pane.get("slider", ""), state.pane.get("side", "a")
    return JSONResponse(to_json(site.ask(swing, state, path, side)))


def _pane_routes(site: Site, pane: Pane) -> list[Route]:
    def page(site: Site, request: Request) -> Response:
        state = site.state(request)
        view = site.ask(pane.show, state)
        begun = [job for job in site.jobs.all() if job.kind.partition("/")[0] == pane.name]
        context = {"title": pane.title, "jobs": pane.jobs, "begun": begun, **pane_context(view)}
        return site.page(pane.template, state, context, here=f"/{pane.name}")

    def document(site: Site, request: Request) -> Response:
        return JSONResponse(to_json(site.ask(pane.show, site.state(request)).document))

    def begin(site: Site, request: Request) -> Response:
        state = site.state(request)
        kind = next((kind for kind in pane.jobs if kind.name == request.path_params["kind"]), None)
        if kind is None or kind.work is None:
            return PlainTextResponse("not found\n", 404)
        job = site.jobs.begin(f"{pane.name}/{kind.name}", kind.title(state), request.url.query, kind.work, state)
        return RedirectResponse(f"/jobs/{job.job_id}", 303)

    return [
        Route(f"/{pane.name}", _told(site, page), methods=["GET"]),
        Route(f"/{pane.name}.json", _told(site, document), methods=["GET"]),
        Route(f"/{pane.name}/{{kind}}", _told(site, begin), methods=["POST"]),
        *(Route(f"/{pane.name}/{each.name}", _told(site, _giving(each)), methods=["GET"]) for each in pane.downloads),
    ]


def _giving(file: Download) -> Handler:
    def give(site: Site, request: Request) -> Response:
        content: bytes = site.ask(file.make, site.state(request))
        headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
        return Response(content, media_type=file.media_type, headers=headers)

    return give


def _asset(request: Request) -> Response:
    found = asset(request.path_params["name"])
    if found is None:
        return PlainTextResponse("not found\n", 404)
    headers = {"Cache-Control": "public, max-age=3600", "ETag": f'"{found.tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def _openapi(_: Request) -> Response:
    return JSONResponse(openapi(version()))


def _healthz(_: Request) -> Response:
    return JSONResponse({"ok": True, "version": version()})


def _no_icon(_: Request) -> Response:
    # pages say that they have none; of a line of text browsers ask for it, and log it as an error where it is not found
    return Response(status_code=204)


async def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse("not found; the page begins at /\n", 404)


async def _not_allowed(_: Request, __: Exception) -> Response:
    return PlainTextResponse("this address does not take that; the page begins at /\n", 405)
