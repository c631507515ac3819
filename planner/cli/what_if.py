"""planner what-if."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Json
from planner.cli.output import number, print_json, print_line, print_table

if TYPE_CHECKING:
    from planner.claims import JudgedClaim


def what_if(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A claim [default: list them all].")] = None,
    as_json: Json = False,
) -> None:
    """Judge claims about serving: what was said, what follows from the model, whether it can hold.

    To plan with a claim's settings, use `planner plan --what-if NAME`.
    """
    from planner.claims import JUDGES, judge_claim

    if name is not None:
        claim = judge_claim(name)
        if as_json:
            print_json(claim)
        else:
            _print(claim)
        return
    claims = [judge_claim(each) for each in JUDGES]
    if as_json:
        print_json(claims)
    else:
        rows = [(claim.name, claim.verdict, claim.title) for claim in claims]
        print_table(("<what-if", "<verdict", "<claim"), rows)


def _print(claim: "JudgedClaim") -> None:
    print_line(f"{claim.name}: {claim.title}")
    print_line(f"  claimed by {claim.source}: {claim.claim}")
    print_line(f"  {claim.verdict}: {claim.summary}")
    for path, value in claim.set.items():
        print_line(f"  sets {path} = {value}")
    rows = [(each.name.replace("_", " "), _number(each.value), each.unit, each.meaning) for each in claim.figures]
    print_table(("<figure", "value", "<unit", "<meaning"), rows)


def _number(value: float) -> str:
    return number(value) if abs(value) >= 1000 else f"{value:,.4g}"
