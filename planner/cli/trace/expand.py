"""planner trace expand."""

from typing import Annotated

import typer

from planner.cli.options import Db, Json, now, store_at
from planner.cli.output import print_json, print_line, progress_bar, warn
from planner.cli.ranges import MOST_SEED
from planner.cli.trace.options import TraceName, checked_name
from planner.cli.trace.summary import print_summary


def expand(
    name: TraceName,
    to: Annotated[
        str, typer.Option("--to", metavar="FULL", callback=checked_name, help="Name to store the expanded trace under.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed of the draw.")] = 1,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Make a trace with every request of a sample, or of demand per window, to replay it."""
    from planner.files import version
    from planner.trace.expand import expand as expand_trace

    with progress_bar("drawing requests") as progress:
        expanded = expand_trace(store_at(db), name, to, seed=seed, now=now(), version=version(), progress=progress)
    if expanded.is_known:
        warn(f"the same trace is already stored as {expanded.trace}; nothing was drawn")
    if as_json:
        print_json(expanded)
        return
    print_line(f"{expanded.trace}: {expanded.rows_kept:,} requests kept and {expanded.rows_drawn:,} drawn")
    for note in expanded.notes:
        print_line(f"  note: {note}")
    print_summary(expanded)
