"""planner report."""

import time
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Db, Json, RunId, reading_at
from planner.cli.output import print_json, print_line


def report(
    run_id: RunId = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder [default: out/RUN].")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run.

    One self-contained HTML page, PNG and SVG of every chart, CSV of every table.
    """
    from planner.report.write import ReportFiles, write_report
    from planner.runs.read import load_run
    from planner.studies.outlook import outlook_of

    store = reading_at(db)
    run = load_run(store, run_id)
    folder = out or Path("out") / run.summary.run_id
    files = write_report(run, folder, outlook=outlook_of(store, run, clock=time.perf_counter))
    page = folder / "index.html"
    if as_json:
        print_json(ReportFiles(run_id=run.summary.run_id, page=str(page), files=[str(file) for file in files]))
    else:
        print_line(f"{page}: {len(files)} files in {folder}")
    if open_:
        typer.launch(str(page.resolve()))
