"""planner export."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Db, Json, RunId, Sets, reading_at
from planner.cli.output import print_json, print_line, warn


def export(
    to: Annotated[str, typer.Option("--to", metavar="F", help="keda, cronjob, slurm, aws, focus, csv or json.")],
    run_id: RunId = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A file [default: stdout].")] = None,
    day: Annotated[
        str | None, typer.Option("--day", metavar="DATE", help="Only the 24 hours that begin on this date.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--begin", metavar="DATE", help="slurm: date to begin on, instead of the plan's.")
    ] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write a run's schedule or costs for what runs the cluster.

    keda, cronjob and aws recur daily, or weekly if the plan covers a week; slurm reserves the training windows; focus
    is the costs. Names come from the scenario's export table, or --set export.namespace=NAME and the like.
    """
    from planner.catalogue.scenarios import with_table
    from planner.export.run import check_format, export_run, put
    from planner.runs.read import load_run

    check_format(to)
    days = _date(day, "--day"), _date(begin, "--begin")
    run = load_run(reading_at(db), run_id)
    document = export_run(run, with_table(run.scenario, "export", sets or []), to, day=days[0], begin=days[1])
    if out is not None:
        put(out, document.text)
    if as_json:
        found = {"run_id": run.record.run_id, "to": to, "out": out and str(out), "summary": document.summary}
        print_json({**found, "notes": document.notes, **({} if out else {"text": document.text})})
        return
    for note in document.notes:
        warn(note)
    if out is None:
        print_line(document.text.rstrip("\n"))
    else:
        print_line(f"{out}: {document.summary} of {run.record.run_id}")


def _date(text: str | None, option: str) -> date | None:
    from planner.errors import UsageError

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'{option} "{text}": is no date; write it like 2025-02-27') from error
