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
    from planner.web.app import Handler, Site

Told = Callable[["Site", "Handler"], Callable[[Request], Response]]


@dataclass(frozen=True, kw_only=True)
class LongWorkDocument(Document):
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


def job_document(job: Job, now_s: float) -> LongWorkDocument:
    """A job as a document."""
    return LongWorkDocument(
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


def job_pages(site: "Site", told: Told) -> list[Route]:
    """The routes of jobs."""
    return [
        Route("/jobs", told(site, _all), methods=["GET"]),
        Route("/jobs.json", told(site, _all_documents), methods=["GET"]),
        Route("/jobs/{job_id}.json", told(site, _document), methods=["GET"]),
        Route("/jobs/{job_id}", told(site, _one), methods=["GET"]),
        Route("/jobs/{job_id}/cancel", told(site, _cancel), methods=["POST"]),
    ]


def _all(site: "Site", _: Request) -> Response:
    jobs = [(job, job.seconds_left(site.clock())) for job in site.jobs.all()]
    return site.page("jobs.html.j2", None, {"jobs": jobs}, here="/jobs")


def _all_documents(site: "Site", _: Request) -> Response:
    return JSONResponse([to_json(job_document(job, site.clock())) for job in site.jobs.all()])


def _document(site: "Site", request: Request) -> Response:
    job = site.jobs.find(request.path_params["job_id"])
    if job is None:
        return JSONResponse({"problem": "this job is not known; the server may have been started again"}, 404)
    return JSONResponse(to_json(job_document(job, site.clock())))


def _one(site: "Site", request: Request) -> Response:
    job = site.jobs.find(request.path_params["job_id"])
    if job is None:
        problem = "this job is not known; the server may have been started again since, so begin it again"
        return site.page("problem.html.j2", None, {"problem": problem}, here="/jobs", status=404)
    state = parse(job.query, site.scenarios)
    context = {"job": job, "left_s": job.seconds_left(site.clock())}
    if job.state != "done":
        return site.page("job.html.j2", state, context, here=f"/jobs/{job.job_id}")
    kind = kind_of(job)
    return site.page(kind.template, state, {**context, **pane_context(job.result)}, here=f"/jobs/{job.job_id}")


def _cancel(site: "Site", request: Request) -> Response:
    job = site.jobs.find(request.path_params["job_id"])
    if job is None:
        return PlainTextResponse("not found\n", 404)
    site.jobs.cancel(job.job_id)
    return RedirectResponse(f"/jobs/{job.job_id}", 303)


def kind_of(job: Job) -> JobKind:
    """The kind of long work that a job is."""
    pane, _, name = job.kind.partition("/")
    return next(kind for kind in PANES[pane].jobs if kind.name == name)
