"""planner run list|show|diff|delete."""

from typing import Annotated

import typer

from planner.cli.options import Db, Json, RunId, reading_at, store_at
from planner.cli.output import percent, print_json, print_line, print_table, usd

app = typer.Typer(help="Stored runs.", rich_markup_mode=None)


@app.command("list")
def list_(db: Db = None, as_json: Json = False) -> None:
    """Every run with its main figures."""
    with reading_at(db).read() as session:
        runs = session.rows("run_list")
    if as_json:
        print_json(runs)
        return
    rows = [
        (
            r["run_id"],
            r["created_at"].strftime("%Y-%m-%d %H:%M"),
            r["scenario"],
            r["policy"],
            r["peak_nodes"],
            r["mean_nodes"],
            usd(r["cost_usd"]),
            usd(r["revenue_usd"]),
            percent(r["shortfall_ratio"], 3),
        )
        for r in runs
    ]
    print_table(
        ("<run", "<stored (UTC)", "<scenario", "<policy", "peak", "mean", "cost", "revenue", "shortfall"),
        rows,
    )


@app.command("show")
def show(run_id: RunId = None, db: Db = None, as_json: Json = False) -> None:
    """One run as `planner plan` printed it."""
    from planner.cli.plan import print_plan
    from planner.planning.pipeline import load_run
    from planner.runs.results import plan_document

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
    from planner.planning.pipeline import load_run
    from planner.runs.results import diff_runs

    store = reading_at(db)
    document = diff_runs(load_run(store, one), load_run(store, two))
    if as_json:
        print_json(document)
        return
    for part in ("settings", "figures"):
        rows = [(key, *map(_figure, values)) for key, values in document[part].items()]
        print_table((f"<{part}", one, two), rows or [("no difference", "", "")])
    other, compared = document["intervals_with_other_nodes"], document["intervals_compared"]
    if document["same_intervals"]:
        print_line(f"{other} of {compared} common intervals have other nodes")
    else:
        print_line("intervals differ in length and are not compared")


@app.command("delete")
def delete(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run.")], db: Db = None, as_json: Json = False
) -> None:
    """Delete a run and all its rows."""
    from planner.runs.results import delete_run

    delete_run(store_at(db), run_id)
    if as_json:
        print_json({"run_id": run_id, "deleted": True})
    else:
        print_line(f"{run_id}: deleted")


def _figure(value: object) -> object:
    """A figure with enough digits to see a difference in a ratio."""
    return f"{value:.6g}" if isinstance(value, float) and abs(value) < 1 else value
