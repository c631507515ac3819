"""planner scenario init|validate|show|list."""

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, one_trace, scenario_of, store_at
from planner.cli.output import print_json, print_line, print_table, print_text

Fleet = dict[str, str | int | float | None]
"""What is given of a fleet of one's own, by option."""


class OwnUnits(TypedDict):
    """What is given of its units."""

    aggregated: bool
    unit_gpus: int | None


app = typer.Typer(help="Scenarios: what a plan depends on.", rich_markup_mode=None)


@app.command("init")
def init(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")] = Path("scenario.toml"),
    base: Annotated[str | None, typer.Option("--from", metavar="SCENARIO", help="Scenario to start from.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Your model: see `planner catalogue models`.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="N", help="Your kind of node: see `planner catalogue hardware`.")
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", metavar="K", help="Nodes that you have.")] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="Z", help="Your clock, for example Europe/Berlin.")
    ] = None,
    gpu_usd_per_hour: Annotated[
        float | None, typer.Option("--gpu-usd-per-hour", metavar="X", help="What a GPU costs you, USD an hour.")
    ] = None,
    usd_per_million: Annotated[
        str | None,
        typer.Option(
            "--usd-per-million",
            metavar="IN,CACHED,OUT",
            help="What a million input, cached input and output tokens earn you, USD.",
        ),
    ] = None,
    serving: Annotated[
        str | None,
        typer.Option(
            "--serving",
            metavar="S",
            help="disaggregated: prompts are read on units of their own; aggregated: units read prompts and decode.",
            show_default="disaggregated",
        ),
    ] = None,
    unit_gpus: Annotated[
        int | None,
        typer.Option("--unit-gpus", metavar="N", help="aggregated: GPUs of a unit [default: as usual for the model]."),
    ] = None,
    trace: TraceName = None,
    sets: Sets = None,
    db: Db = None,
) -> None:
    """Write a commented TOML file to start from. An existing file is not overwritten.

    With --model, --node, --nodes, --timezone, --gpu-usd-per-hour and --usd-per-million it describes a fleet of your
    own, with nothing of the built-in one; without them, it holds the built-in scenario or the one of --from.
    """
    fleet = {
        "--model": model,
        "--node": node,
        "--nodes": nodes,
        "--timezone": timezone,
        "--gpu-usd-per-hour": gpu_usd_per_hour,
        "--usd-per-million": usd_per_million,
    }
    units: Fleet = {"--serving": serving, "--unit-gpus": unit_gpus}
    if all(value is None for value in (*fleet.values(), *units.values())) and not trace:
        _write_copy(out, base, sets)
        return
    _check_whole(fleet, base)
    _write_own(out, fleet | units, trace, sets, db)


def _write_copy(out: Path, base: str | None, sets: list[str] | None) -> None:
    """A file with every field of a scenario."""
    from planner.catalogue.scenarios import moved_to
    from planner.catalogue.toml import to_toml

    _write(out, to_toml(moved_to(scenario_of(base, sets).scenario, out.parent), comments=True), planned=str(out))


def _check_whole(fleet: "Fleet", base: str | None) -> None:
    """Raises UsageError where options of a fleet of one's own are missing, or another scenario is to be copied."""
    from planner.errors import UsageError

    if base is not None:
        raise UsageError(f"--from {base} copies a scenario, and the other options describe a new one; leave one out")
    missing = [name for name, value in fleet.items() if value is None]
    if missing:
        raise UsageError(f"a fleet of your own needs {', '.join(missing)} too; give all of {', '.join(fleet)}")


def _write_own(out: Path, fleet: "Fleet", trace: list[str] | None, sets: list[str] | None, db: Path | None) -> None:
    """A file for a fleet of one's own, and a line for everything that was chosen in it."""
    from planner.catalogue.scenarios import OWN_FLEET, moved_to
    from planner.catalogue.toml import own_file
    from planner.planning.own_fleet import OwnFleet, describe_own_fleet, read_prices

    named = one_trace(trace)
    given = OwnFleet(
        name=out.stem,
        model=str(fleet["--model"]),
        node=str(fleet["--node"]),
        nodes=int(fleet["--nodes"] or 0),
        timezone=str(fleet["--timezone"]),
        usd_per_gpu_hour=float(fleet["--gpu-usd-per-hour"] or 0),
        prices=read_prices(str(fleet["--usd-per-million"])),
        trace=named,
        sets=tuple(sets or ()),
        **_units_of(fleet),
    )
    if named is None:
        written = describe_own_fleet(given, None)
    else:
        with store_at(db).read() as session:
            written = describe_own_fleet(given, session)
    head = (
        f"{written.scenario.description}.",
        "What is not said here is as in the template own-fleet: `planner scenario show FILE` prints all of it.",
    )
    _write(
        out,
        own_file(moved_to(written.scenario, out.parent), written.paths, extends=OWN_FLEET, head=head),
        planned=str(out) if named else f"{out} --trace NAME",
    )
    for choice in written.choices:
        print_line(f"  {choice}")


def _units_of(fleet: "Fleet") -> OwnUnits:
    """Of the options, what units do and their GPUs. Raises UsageError."""
    from planner.errors import UsageError

    serving, gpus = fleet["--serving"], fleet["--unit-gpus"]
    if serving not in (None, "disaggregated", "aggregated"):
        raise UsageError(f'--serving "{serving}" is neither disaggregated nor aggregated; write one of them')
    if gpus is None:
        return {"aggregated": serving == "aggregated", "unit_gpus": None}
    if serving != "aggregated":
        raise UsageError("--unit-gpus is for --serving aggregated; give that too, or leave --unit-gpus out")
    if int(gpus) < 1:
        raise UsageError(f"--unit-gpus {gpus}: a unit has a GPU at least; write how many it has")
    return {"aggregated": True, "unit_gpus": int(gpus)}


def _write(out: Path, text: str, *, planned: str) -> None:
    """Write a new file. planned: what follows `planner plan`. Raises PlannerError where it cannot be written."""
    from planner.errors import PlannerError
    from planner.files import atomic_write

    try:
        with atomic_write(out, new=True) as draft:
            draft.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise PlannerError(f"{out}: already exists; name another file with --out") from error
    except OSError as error:
        raise PlannerError(f"{out}: cannot be written: {error.strerror}; name another file with --out") from error
    print_line(
        f"{out}: written; check it with `planner scenario validate {out}`, plan it with `planner plan {planned}`"
    )


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
        print_text(to_toml(loaded.scenario, comments=True).rstrip() + "\n")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The built-in scenarios."""
    from planner.catalogue.scenarios import built_in_scenarios

    scenarios = built_in_scenarios()
    if as_json:
        print_json(scenarios)
    else:
        print_table(("<scenario", "<description"), [(s.name, s.description) for s in scenarios])
