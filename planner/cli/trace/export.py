"""planner trace export."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Db, Json, store_at
from planner.cli.output import print_json, print_line, warn
from planner.cli.trace.options import TraceName


def export(
    name: TraceName,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help="csv, parquet, mooncake or azure [default: by the suffix]."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write a trace to a file; importing it under another name gives the same trace.

    mooncake and azure cannot carry all that a trace may have; what is left out is reported.
    """
    from planner.trace import writers

    written = writers.export(store_at(db), name, out, format_name)
    if as_json:
        print_json(written)
        return
    for what in written.left_out:
        warn(f"{written.format} cannot carry {what}")
    for note in written.notes:
        warn(note)
    print_line(f"{written.out}: {written.rows:,} rows; {written.import_command}")
