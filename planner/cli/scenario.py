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
    """Write a commented TOML file to start from. An existing file is not overwritten."""
    from planner.catalogue.scenarios import moved_to
    from planner.catalogue.toml import to_toml
    from planner.errors import PlannerError

    text = to_toml(moved_to(scenario_of(base, sets).scenario, out.parent), comments=True)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise PlannerError(f"{out}: already exists; name another file with --out") from error
    except OSError as error:
        raise PlannerError(f"{out}: cannot be written: {error.strerror}; name another file with --out") from error
    print_line(f"{out}: written; check it with `planner scenario validate {out}`, plan it with `planner plan {out}`")


@app.command("validate")
def validate(scenario: ScenarioName = None, sets: Sets = None, as_json: Json = False) -> None:
    """Check a scenario and print all its problems."""
    from planner.catalogue.documents import ScenarioVerdict
    from planner.errors import ScenarioError, UsageError
    from planner.planning.check import check

    try:
        loaded = scenario_of(scenario, sets).scenario
        name, problems = loaded.name, tuple(check(loaded))
    except ScenarioError as error:
        name, problems = error.source, error.problems
    if as_json:
        print_json(ScenarioVerdict(scenario=name, valid=not problems, problems=problems))
    else:
        for line in problems or (f"{name}: valid",):
            print_line(line)
    if problems:
        raise UsageError(
            f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}; correct and validate the scenario"
        )


@app.command("show")
def show(scenario: ScenarioName = None, sets: Sets = None, as_json: Json = False) -> None:
    """A scenario as TOML, with the meaning and provenance of every value."""
    from planner.catalogue.toml import to_toml

    loaded = scenario_of(scenario, sets)
    if as_json:
        print_json(loaded.with_origins())
    else:
        print_line(to_toml(loaded.scenario, comments=True).rstrip())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The built-in scenarios."""
    from planner.catalogue.scenarios import built_in_scenarios

    scenarios = built_in_scenarios()
    if as_json:
        print_json(scenarios)
    else:
        print_table(("<scenario", "<description"), [(s.name, s.description) for s in scenarios])
