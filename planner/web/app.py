"""The server: addresses, what answers them, and what becomes of failures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from planner.documents import to_json
from planner.errors import PlannerError
from planner.files import version
from planner.web.answer import Answer, answer
from planner.web.assets import asset
from planner.web.engine import EngineSettings
from planner.web.job_pages import job_document, job_pages
from planner.web.jobs import Jobs
from planner.web.openapi import openapi
from planner.web.panes import PANES
from planner.web.panes.base import Pane
from planner.web.render import fill, pane_context, shown_tables
from planner.web.security import Access, Guard, TooLarge
from planner.web.state import State, parse
from planner.web.swing import swing
from planner.web.workers import Busy, Task, WorkerFault, Workers

ANSWER_S = 60.0
"""How long an answer may take. Assumed: a first plan of a large trace takes seconds, and browsers wait longer."""
WAIT_S = 20.0
"""How long a request waits for a worker."""
QUICK = "x-planner-quick"
"""The header of a request that wants what is known at once."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What all addresses have at hand."""

    settings: EngineSettings
    workers: Workers
    jobs: Jobs
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


def application(served: Served, access: Access) -> Starlette:
    """The page of `planner serve`."""
    routes = [
        Route("/", _told(served, _first_screen), methods=["GET"]),
        Route("/answer.json", _told(served, _first_document), methods=["GET"]),
        Route("/swing.json", _told(served, _swing), methods=["GET"]),
        Route("/assets/{name}", _asset, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/healthz", _healthz, methods=["GET"]),
        *job_pages(served, _told),
        *(route for pane in PANES.values() for route in _pane_routes(served, pane)),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed})
    app.add_middleware(Guard, access=access)
    return app


Handler = Callable[[Served, Request], Response]


def _told(served: Served, handler: Handler) -> Callable[[Request], Response]:
    """A handler whose failures are told in a page, or in a document where the address asks for one."""

    def handle(request: Request) -> Response:
        try:
            return handler(served, request)
        except Busy as error:
            return _problem(served, request, str(error), 503)
        except TooLarge:
            return _problem(served, request, "the form is too long; shorten what is in it", 413)
        except PlannerError as error:
            return _problem(served, request, str(error), 422)
        except WorkerFault as fault:
            served.settings.log(str(fault))
            return _problem(served, request, "this is a fault of planner; the server's log has the details", 500)

    return handle


def _problem(served: Served, request: Request, text: str, status: int) -> Response:
    if request.url.path.endswith(".json"):
        return JSONResponse({"problem": text}, status)
    try:
        state = served.state(request)
    except PlannerError:
        state = None
    return served.page("problem.html.j2", state, {"problem": text}, here=request.url.path, status=status)


def _first_screen(served: Served, request: Request) -> Response:
    state = served.state(request)
    shown: Answer = served.ask(answer, state, QUICK not in request.headers)
    context = {
        "answer": shown,
        "document": shown.document,
        "tables": shown_tables({"timeline": shown.table}),
    }
    return served.page("answer.html.j2", state, context, here="/")


def _first_document(served: Served, request: Request) -> Response:
    shown: Answer = served.ask(answer, served.state(request), True)
    return JSONResponse(to_json(shown.document))


def _swing(served: Served, request: Request) -> Response:
    state = served.state(request)
    path, side = state.pane.get("slider", ""), state.pane.get("side", "a")
    return JSONResponse(to_json(served.ask(swing, state, path, side)))


def _pane_routes(served: Served, pane: Pane) -> list[Route]:
    def page(served: Served, request: Request) -> Response:
        state = served.state(request)
        view = served.ask(pane.show, state)
        context = {"title": pane.title, "jobs": pane.jobs, **pane_context(view)}
        return served.page(pane.template, state, context, here=f"/{pane.name}")

    def document(served: Served, request: Request) -> Response:
        return JSONResponse(to_json(served.ask(pane.show, served.state(request)).document))

    def begin(served: Served, request: Request) -> Response:
        state = served.state(request)
        kind = next((kind for kind in pane.jobs if kind.name == request.path_params["kind"]), None)
        if kind is None:
            return PlainTextResponse("not found\n", 404)
        job = served.jobs.begin(f"{pane.name}/{kind.name}", kind.title(state), request.url.query, kind.work, state)
        return RedirectResponse(f"/jobs/{job.job_id}", 303)

    return [
        Route(f"/{pane.name}", _told(served, page), methods=["GET"]),
        Route(f"/{pane.name}.json", _told(served, document), methods=["GET"]),
        Route(f"/{pane.name}/{{kind}}", _told(served, begin), methods=["POST"]),
    ]


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


async def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse("not found; the page begins at /\n", 404)


async def _not_allowed(_: Request, __: Exception) -> Response:
    return PlainTextResponse("this address does not take that; the page begins at /\n", 405)


__all__ = ["Served", "application", "job_document"]
