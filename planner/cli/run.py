"""planner run list|show|diff|delete."""

from typing import Annotated

import typer

from planner.cli.options import Db, Json, RunId, reading_at, store_at
from planner.cli.output import percent, print_json, print_line, print_table, usd

app = typer.Typer(help="Stored runs.", rich_markup_mode=None)


@app.command("list")
def list_(db: Db = None, as_json: Json = False) -> None:
    """Every run with its main figures."""
    from planner.runs.read import list_runs

    runs = list_runs(reading_at(db))
    if as_json:
        print_json(runs)
        return
    rows = [
        (
            run.run_id,
            run.created_at.strftime("%Y-%m-%d %H:%M"),
            run.scenario,
            run.policy,
            run.peak_nodes,
            run.mean_nodes,
            usd(run.cost_usd),
            usd(run.revenue_usd),
            percent(run.shortfall_ratio, 3),
        )
        for run in runs
    ]
    print_table(
        ("<run", "<stored (UTC)", "<scenario", "<policy", "peak", "mean", "cost", "revenue", "shortfall"),
        rows,
    )


@app.command("show")
def show(run_id: RunId = None, db: Db = None, as_json: Json = False) -> None:
    """One run as `planner plan` printed it."""
    from planner.cli.plan import print_plan
    from planner.runs.documents import plan_document
    from planner.runs.read import load_run

    run = load_run(reading_at(db), run_id)
    if as_json:
        print_json(plan_document(run))
    else:
        print_plan(run)


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="A run.")],
    two: Annotated[str, typer.Argument(metavar="RUN", help="Another run.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """What differs between two runs: settings, figures, intervals."""
    from planner.runs.diff import diff_runs
    from planner.runs.read import load_run

    store = reading_at(db)
    difference = diff_runs(load_run(store, one), load_run(store, two))
    if as_json:
        print_json(difference)
        return
    for part, changes in (("settings", difference.settings), ("figures", difference.figures)):
        rows = [(name, *map(_figure, values)) for name, values in changes.items()]
        print_table((f"<{part}", one, two), rows or [("no difference", "", "")])
    if difference.same_intervals:
        other, compared = difference.intervals_with_other_nodes, difference.intervals_compared
        units = difference.intervals_with_other_units
        more = f", {units} different units" if units > other else ""
        print_line(f"{other} of {compared} common intervals have different nodes{more}")
    else:
        print_line("intervals differ in length and are not compared")


@app.command("delete")
def delete(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run.")], db: Db = None, as_json: Json = False
) -> None:
    """Delete a run and all its rows."""
    from planner.runs.documents import RunDeleted
    from planner.runs.write import delete_run

    delete_run(store_at(db), run_id)
    if as_json:
        print_json(RunDeleted(run_id=run_id))
    else:
        print_line(f"{run_id}: deleted")


def _figure(value: object) -> object:
    """A figure with enough digits to see a difference in a ratio."""
    return f"{value:.6g}" if isinstance(value, float) and abs(value) < 1 else value
