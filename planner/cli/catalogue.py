"""planner catalogue."""

from typing import Annotated

import typer

from planner.cli.options import Json
from planner.cli.output import print_json, print_table


def catalogue(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", help="models, hardware, prices, gpu_rates and so on [default: all of them]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The built-in names: models, kinds of node, prices and what else options and settings take by name."""
    from planner.catalogue.read import KINDS, catalogue_entries

    entries = [each for one in ([folder] if folder else sorted(KINDS)) for each in catalogue_entries(one)]
    if as_json:
        print_json(entries)
    else:
        print_table(("<folder", "<name", "<description"), [(e.folder, e.name, e.description) for e in entries])
