"""planner trace expand."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, moment, now, store_at
from planner.cli.output import print_json, print_line, progress_bar, warn
from planner.cli.ranges import MOST_SEED
from planner.cli.trace.options import TraceName, checked_name
from planner.cli.trace.summary import print_summary

if TYPE_CHECKING:
    from planner.trace.documents import ExpandedTrace


def expand(
    name: TraceName,
    to: Annotated[
        str, typer.Option("--to", metavar="FULL", callback=checked_name, help="Name to store the expanded trace under.")
    ],
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Expand from this time on [default: all].")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Expand up to this time.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed of the draw.")] = 1,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Make a trace with every request of a sample, or of demand per window, to replay it.

    With --from and --until only a part of it, which has the requests that the whole would have there.
    """
    from zoneinfo import ZoneInfo

    from planner.files import version
    from planner.trace import stored
    from planner.trace.expand import expand as expand_trace

    store = store_at(db)
    with store.read() as session:
        zone = ZoneInfo(stored.by_name(session, name).timezone)
    with progress_bar("drawing requests") as progress:
        expanded = expand_trace(
            store,
            name,
            to,
            start=moment(start, zone),
            end=moment(until, zone),
            seed=seed,
            now=now(),
            version=version(),
            progress=progress,
        )
    if expanded.is_known:
        warn(f"the same trace is already stored as {expanded.trace}; nothing was drawn")
    if as_json:
        print_json(expanded)
        return
    print_line(
        f"{expanded.trace}: {_part(expanded)}{expanded.rows_kept:,} requests kept and {expanded.rows_drawn:,} drawn"
    )
    for note in expanded.notes:
        print_line(f"  note: {note}")
    print_summary(expanded)


def _part(expanded: "ExpandedTrace") -> str:
    """The time that was expanded, before what is said of it; empty for the whole."""
    if expanded.part_start is None or expanded.part_end is None:
        return ""
    return f"{expanded.part_start.isoformat()} to {expanded.part_end.isoformat()}, "
