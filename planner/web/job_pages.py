"""The addresses of jobs: what runs, how far one is, what it made, and its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from planner.documents import Document, Maybe, to_json
from planner.web.jobs import Job, JobState
from planner.web.panes import PANES
from planner.web.panes.base import JobKind
from planner.web.render import pane_context
from planner.web.state import parse

if TYPE_CHECKING:
    from planner.web.app import Handler, Served

Told = Callable[["Served", "Handler"], Callable[[Request], Response]]


@dataclass(frozen=True, kw_only=True)
class JobDocument(Document):
    """A job: how far it is, and what it made where that is done."""

    job_id: str
    kind: str
    title: str
    state: JobState
    done: int
    total: int
    seconds_left: float | None
    seconds: float | None
    problem: Maybe[str] = None
    result: Maybe[Any] = None
    """The document of what it made."""


def job_document(job: Job, now_s: float) -> JobDocument:
    """A job as a document."""
    return JobDocument(
        job_id=job.job_id,
        kind=job.kind,
        title=job.title,
        state=job.state,
        done=job.done,
        total=job.total,
        seconds_left=job.seconds_left(now_s),
        seconds=job.seconds,
        problem=job.problem,
        result=None if job.result is None else to_json(job.result.document),
    )


def job_pages(served: "Served", told: Told) -> list[Route]:
    """The routes of jobs."""
    return [
        Route("/jobs", told(served, _all), methods=["GET"]),
        Route("/jobs.json", told(served, _all_documents), methods=["GET"]),
        Route("/jobs/{job_id}.json", told(served, _document), methods=["GET"]),
        Route("/jobs/{job_id}", told(served, _one), methods=["GET"]),
        Route("/jobs/{job_id}/cancel", told(served, _cancel), methods=["POST"]),
    ]


def _all(served: "Served", _: Request) -> Response:
    jobs = [(job, job.seconds_left(served.clock())) for job in served.jobs.all()]
    return served.page("jobs.html.j2", None, {"jobs": jobs}, here="/jobs")


def _all_documents(served: "Served", _: Request) -> Response:
    return JSONResponse([to_json(job_document(job, served.clock())) for job in served.jobs.all()])


def _document(served: "Served", request: Request) -> Response:
    job = served.jobs.find(request.path_params["job_id"])
    if job is None:
        return JSONResponse({"problem": "this job is not known; the server may have been started again"}, 404)
    return JSONResponse(to_json(job_document(job, served.clock())))


def _one(served: "Served", request: Request) -> Response:
    job = served.jobs.find(request.path_params["job_id"])
    if job is None:
        problem = "this job is not known; the server may have been started again since, so begin it again"
        return served.page("problem.html.j2", None, {"problem": problem}, here="/jobs", status=404)
    state = parse(job.query, served.scenarios)
    context = {"job": job, "left_s": job.seconds_left(served.clock())}
    if job.state != "done":
        return served.page("job.html.j2", state, context, here=f"/jobs/{job.job_id}")
    kind = kind_of(job)
    return served.page(kind.template, state, {**context, **pane_context(job.result)}, here=f"/jobs/{job.job_id}")


def _cancel(served: "Served", request: Request) -> Response:
    job = served.jobs.find(request.path_params["job_id"])
    if job is None:
        return PlainTextResponse("not found\n", 404)
    served.jobs.cancel(job.job_id)
    return RedirectResponse(f"/jobs/{job.job_id}", 303)


def kind_of(job: Job) -> JobKind:
    """The kind of long work that a job is."""
    pane, _, name = job.kind.partition("/")
    return next(kind for kind in PANES[pane].jobs if kind.name == name)
