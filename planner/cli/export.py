"""planner export."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Db, Json, RunId, Sets, reading_at
from planner.cli.output import print_json, print_line, print_text, warn


def export(
    to: Annotated[str, typer.Option("--to", metavar="F", help="keda, cronjob, kueue, slurm, aws, focus, csv or json.")],
    run_id: RunId = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A file [default: stdout].")] = None,
    day: Annotated[
        str | None, typer.Option("--day", metavar="DATE", help="Only the 24 hours that begin on this date.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--begin", metavar="DATE", help="slurm: date to begin on, instead of the plan's.")
    ] = None,
    week: Annotated[
        str | None,
        typer.Option(
            "--week", metavar="W", help="One typical week of the plan's weeks: largest, or a quantile such as 0.9."
        ),
    ] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write a run's schedule for a cluster, or its costs for billing.

    keda, cronjob, kueue and aws recur daily, or weekly if the plan covers a week; --week makes one week of any plan
    that has every weekday. slurm reserves the training windows; focus lists the costs. Names come from the scenario's
    export table, or --set export.namespace=NAME and the like.
    """
    from planner.catalogue.scenarios import with_table
    from planner.export.run import describe_export, export_run, format_named, week_named, write_text
    from planner.runs.read import load_run

    to_format = format_named(to)
    first_day, begin_on = _date(day, "--day"), _date(begin, "--begin")
    quantile = None if week is None else week_named(week)
    run = load_run(reading_at(db), run_id)
    scenario = with_table(run.scenario, "export", sets or [])
    exported = export_run(run, scenario, to_format, day=first_day, begin=begin_on, week=quantile)
    if out is not None:
        write_text(out, exported.text)
    if as_json:
        print_json(describe_export(run, to_format, exported, out))
        return
    for note in exported.notes:
        warn(note)
    if out is None:
        print_text(exported.text.rstrip("\n") + "\n")
    else:
        print_line(f"{out}: {exported.summary} of {run.record.run_id}")


def _date(text: str | None, option: str) -> date | None:
    from planner.errors import UsageError
    from planner.settings.closed import FIRST_MOMENT, LAST_MOMENT

    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'{option} "{text}" is not a date; write it as 2025-02-27') from error
    # beyond, days that are added would leave the calendar
    if not FIRST_MOMENT.date() <= day <= LAST_MOMENT.date():
        raise UsageError(f"{option} {day} is not from {FIRST_MOMENT.date()} to {LAST_MOMENT.date()}; correct the date")
    return day
