"""planner capacity: which of overview, curve and check is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli.capacity.check import show_check
from planner.cli.capacity.curve import show_curve
from planner.cli.capacity.options import (
    EngineName,
    Gpus,
    HitRatio,
    Kv,
    KvTokens,
    Model,
    Node,
    Settings,
    Target,
    Weights,
    study_of,
)
from planner.cli.capacity.overview import show_overview
from planner.cli.capacity.scorecard import show_scorecard
from planner.cli.options import Db, Json, one_trace
from planner.errors import UsageError


def capacity(
    context: typer.Context,
    node: Node = "h800",
    model: Model = "deepseek-r1",
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="WHAT", help="A curve over batch, kv, hit or ep.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare the model with published measurements.")] = False,
    points: Annotated[
        Path | None, typer.Option("--points", metavar="FILE", help="With --check: compare with a CSV of points.")
    ] = None,
    engine: EngineName = None,
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    target: Target = None,
    kv_tokens: KvTokens = None,
    hit: HitRatio = None,
    trace: Annotated[
        list[str] | None,
        typer.Option("--trace", metavar="NAME", help="Take lengths and hits from a stored trace; at most once."),
    ] = None,
    sets: Settings = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Draw the curve: .svg, .png or .html.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show what a node can do with a model: memory, decode, prefill, cost; curves; a check against published points."""
    written = _written(context)
    if context.invoked_subcommand is not None:
        if written:
            raise UsageError(f"{', '.join(written)}: must come after {context.invoked_subcommand}")
        return
    if check or points is not None:
        _check(written, points, as_json, check)
        return
    study = study_of(
        node,
        model,
        engine=engine,
        weights=weights,
        kv=kv,
        gpus=gpus,
        target=target,
        kv_tokens=kv_tokens,
        hit=hit,
        trace=one_trace(trace),
        sets=sets,
        db=db,
    )
    if sweep is not None:
        show_curve(study, sweep, chart, as_json)
    elif chart is not None:
        raise UsageError("--chart draws a curve; add --sweep batch, kv, hit or ep")
    else:
        show_overview(study, as_json)


def _check(written: list[str], points: Path | None, as_json: bool, check: bool) -> None:
    """The model beside published measurements, or beside a file of points."""
    if not check:
        raise UsageError("--points is a file to compare the model with; add --check")
    others = [name for name in written if name not in ("--check", "--points", "--json")]
    if others:
        raise UsageError(f"--check takes no option other than --points and --json; leave out {', '.join(others)}")
    if points is None:
        show_check(as_json)
    else:
        show_scorecard(points, as_json)


def _written(context: typer.Context) -> list[str]:
    """The options of this command that were given on the command line."""
    sources = {option.opts[0]: context.get_parameter_source(str(option.name)) for option in context.command.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
