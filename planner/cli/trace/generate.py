"""planner trace generate."""

from typing import Annotated

import typer

from planner.cli.options import Db, Json, now, store_at
from planner.cli.output import print_json, progress_bar, warn
from planner.cli.trace.options import checked_name, moment_in
from planner.cli.trace.summary import print_summary


def generate(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A built-in load profile or a TOML file.")
    ] = "deepseek-2025-02-27",
    name: Annotated[str | None, typer.Option("--name", callback=checked_name, help="Name to store it under.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="Share of the requests: 1 over a whole number.")] = 0.001,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 1,
    days: Annotated[int, typer.Option("--days", help="Days to draw.")] = 1,
    demand_factor: Annotated[float, typer.Option("--demand-factor", help="Multiplies the totals.")] = 1.0,
    growth: Annotated[float, typer.Option("--growth", help="Growth per day; 0.01 is one per cent.")] = 0.0,
    weekdays: Annotated[
        str, typer.Option("--weekdays", metavar="F,F,F,F,F,F,F", help="Load factors, Monday first.")
    ] = "1,1,1,1,1,1,1",
    noise: Annotated[float, typer.Option("--noise", help="Day-to-day variation; 0.1 is about ten per cent.")] = 0.0,
    start: Annotated[str | None, typer.Option("--from", help="Start of the time to draw, ISO-8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the time to draw, ISO-8601.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw a synthetic trace from a load profile. The same arguments give the same requests."""
    from pydantic import ValidationError

    from planner.catalogue.read import describe
    from planner.errors import UsageError
    from planner.files import version
    from planner.settings.trace import TraceSettings
    from planner.trace.describe import summarize
    from planner.trace.synthetic import build
    from planner.trace.synthetic.profile import load_profile

    loaded = load_profile(profile)
    arguments = {
        "profile": profile,
        "scale": scale,
        "seed": seed,
        "days": days,
        "demand_factor": demand_factor,
        "growth_per_day": growth,
        "weekday_factors": weekdays,
        "noise": noise,
        "start_at": moment_in(start, loaded.settings.timezone, "--from") if start else None,
        "end_at": moment_in(end, loaded.settings.timezone, "--to") if end else None,
    }
    try:
        settings = TraceSettings.model_validate(arguments)
    except ValidationError as error:
        raise UsageError("; ".join(describe(error))) from error
    store = store_at(db)
    trace = build.find(store, loaded, settings)
    if trace and (name is None or trace.name == name):
        warn(f"the same trace is already stored as {trace.name}")
    else:
        with progress_bar("drawing requests") as progress:
            trace = build.generate(store, loaded, settings, name=name, now=now(), version=version(), progress=progress)
    summary = summarize(trace)
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)
