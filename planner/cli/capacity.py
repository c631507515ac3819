"""planner capacity."""

from typing import Annotated

import typer

from planner.cli.options import Json
from planner.cli.output import print_json, print_table


def capacity(
    check: Annotated[bool, typer.Option("--check", help="Hold the model against published decode steps.")] = False,
    as_json: Json = False,
) -> None:
    """Check the decode model against what was published.

    The first five points have fitted the model's two overheads; the others are tests.
    """
    from planner.capacity import NOTES, check_rows
    from planner.errors import UsageError

    if not check:
        raise UsageError("give --check; it prints every published point beside the model")
    rows = check_rows()
    if as_json:
        print_json({"rows": [row.document() for row in rows], "notes": NOTES})
        return
    table = [(r.point, f"{r.target_ms:,.1f}", f"{r.model_ms:,.1f}", f"{r.relative_error:+.1%}", r.kind) for r in rows]
    print_table(("<point", "published ms", "model ms", "difference", "<kind"), table)
    for note in NOTES:
        typer.echo(f"  {note}")
