"""The page over all nights: a line each with its plan as a sparkline, linked to its report. No scripts."""

from collections.abc import Sequence
from typing import Any

from planner.export.run import put
from planner.nightly.jobs_file import Jobs
from planner.nightly.night import report_folder
from planner.report.pages import environment
from planner.store import Store

_WIDTH, _HEIGHT = 180, 34
"""Pixels of a sparkline."""


def write_index(store: Store, jobs: Jobs) -> None:
    """Write index.html into the folder of reports, whole or not at all. Raises PlannerError."""
    with store.read() as session:
        nights = session.rows("nights")
        nodes = {row["run_id"]: row["nodes"] for row in session.rows("night_nodes")}
        errors = {job.name: session.rows("plan_actual_days", job=job.name) for job in jobs.file.job}
    tables = []
    for job in jobs.file.job:
        own = [night for night in nights if night["job"] == job.name]
        most = max((max(nodes[night["run_id"]]) for night in own if night["run_id"] in nodes), default=1)
        rows = [{**night, **_drawn(nodes.get(night["run_id"]), most)} for night in own]
        for row in rows:
            folder = report_folder(jobs.out, job, row["logical_date"])
            row["link"] = f"{job.name}/{row['logical_date']}/index.html" if folder.is_dir() else None
        tables.append({"name": job.name, "nights": rows, **_errors(errors[job.name][::-1])})
    jobs.out.mkdir(parents=True, exist_ok=True)
    page = environment().get_template("nights.html.j2").render(jobs=tables, width=_WIDTH, height=_HEIGHT)
    put(jobs.out / "index.html", page)


def sparkline(values: Sequence[float], most: float) -> str:
    """The points of an SVG polyline over a box of _WIDTH x _HEIGHT, from 0 at the bottom to most at the top."""
    step = _WIDTH / max(len(values) - 1, 1)
    room = _HEIGHT - 2
    return " ".join(f"{i * step:.1f},{_HEIGHT - 1 - room * value / (most or 1):.1f}" for i, value in enumerate(values))


def _drawn(nodes: Sequence[int] | None, most: int) -> dict[str, Any]:
    if not nodes:
        return {"points": None}
    return {"points": sparkline(nodes, most), "words": f"{min(nodes)} to {max(nodes)} nodes over the planned day"}


def _errors(days: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The forecast error of the days, as a sparkline and in words."""
    known = [row["output_wape"] for row in days if row["output_wape"] is not None]
    if not known:
        return {"errors_words": None}
    words = f"WAPE of output tokens by day: {known[-1]:.1%} on {days[-1]['day']}, {max(known):.1%} at most"
    drift = days[-1]["drift"]
    # a single day is no curve
    points = sparkline(known, max(known)) if len(known) > 1 else None
    return {"errors": points, "errors_words": words, "drift": drift}
