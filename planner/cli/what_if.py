"""planner what-if."""

from typing import Annotated, Any

import typer

from planner.cli.options import Json
from planner.cli.output import number, print_json, print_line, print_table


def what_if(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A claim [default: list them all].")] = None,
    as_json: Json = False,
) -> None:
    """Claims about serving: what was said, what follows from the model, whether it can hold.

    A claim's settings can be planned with `planner plan --what-if NAME`.
    """
    from planner.catalogue.read import built_in
    from planner.claims import FINDINGS, document

    if name is not None:
        found = document(built_in("what_if", name) or name)
        if as_json:
            print_json(found)
        else:
            _print(found)
        return
    documents = [document(known) for known in FINDINGS]
    if as_json:
        print_json(documents)
    else:
        rows = [(each["name"], each["verdict"], each["title"]) for each in documents]
        print_table(("<what-if", "<verdict", "<claim"), rows)


def _print(found: dict[str, Any]) -> None:
    print_line(f"{found['name']}: {found['title']}")
    print_line(f"  claimed by {found['source']}: {found['claim']}")
    print_line(f"  {found['verdict']}: {found['summary']}")
    for path, value in found["set"].items():
        print_line(f"  sets {path} = {value}")
    rows = [(f["name"].replace("_", " "), _number(f["value"]), f["unit"], f["meaning"]) for f in found["figures"]]
    print_table(("<figure", "value", "<unit", "<meaning"), rows)


def _number(value: float) -> str:
    return number(value) if abs(value) >= 1000 else f"{value:,.4g}"
