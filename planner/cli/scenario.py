"""planner scenario init|validate|show|list."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Json, ScenarioName, Sets, scenario_of
from planner.cli.output import print_json, print_line, print_table

app = typer.Typer(help="Scenarios: what a plan depends on.", rich_markup_mode=None)


@app.command("init")
def init(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")] = Path("scenario.toml"),
    base: Annotated[str | None, typer.Option("--from", metavar="SCENARIO", help="Scenario to start from.")] = None,
    sets: Sets = None,
) -> None:
    """Write a commented TOML file to start from. An existing file is not touched."""
    from planner.catalogue.scenarios import to_toml
    from planner.errors import PlannerError

    text = to_toml(scenario_of(base, sets).scenario, comments=True)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise PlannerError(f"{out}: exists already; name another file with --out") from error
    except OSError as error:
        raise PlannerError(f"{out}: cannot be written: {error.strerror}; name another file with --out") from error
    print_line(f"{out}: written; check it with `planner scenario validate {out}`, plan it with `planner plan {out}`")


@app.command("validate")
def validate(scenario: ScenarioName = None, sets: Sets = None, as_json: Json = False) -> None:
    """Check a scenario and print all its problems at once."""
    from planner.errors import ScenarioError, UsageError
    from planner.planning.check import check

    try:
        loaded = scenario_of(scenario, sets)
        problems = check(loaded.scenario)
        name = loaded.scenario.name
    except ScenarioError as error:
        problems, name = list(error.problems), error.source
    if as_json:
        print_json({"scenario": name, "valid": not problems, "problems": problems})
    else:
        for problem in problems:
            print_line(problem)
        if not problems:
            print_line(f"{name}: valid")
    if problems:
        raise UsageError(
            f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}; correct and validate again"
        )


@app.command("show")
def show(scenario: ScenarioName = None, sets: Sets = None, as_json: Json = False) -> None:
    """A scenario as TOML, with the meaning and provenance of every value."""
    from planner.catalogue.scenarios import to_toml

    loaded = scenario_of(scenario, sets)
    if as_json:
        print_json(loaded.scenario.model_dump(mode="json") | {"origins": dict(loaded.origins)})
    else:
        print_line(to_toml(loaded.scenario, comments=True).rstrip())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The built-in scenarios."""
    from planner.catalogue.read import names
    from planner.catalogue.scenarios import load_scenario

    found = [load_scenario(name).scenario for name in names("scenarios")]
    if as_json:
        print_json([{"name": s.name, "description": s.description} for s in found])
    else:
        print_table(("<scenario", "<description"), [(s.name, s.description) for s in found])
