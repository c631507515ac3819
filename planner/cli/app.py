"""The command `planner`: registers the commands and turns expected failures into one line and an exit code."""

import os
import signal
import sys
from functools import cache
from typing import Annotated

import typer

from planner.cli import (
    batching,
    capacity,
    catalogue,
    compare,
    config,
    doctor,
    experts,
    export,
    forecast,
    optimize,
    plan,
    pricing,
    replay,
    report,
    resilience,
    run,
    scenario,
    schedule,
    sql,
    sweep,
    trace,
    what_if,
)
from planner.cli.interrupt import CODE as INTERRUPTED
from planner.cli.interrupt import NOTHING_STORED, queries_stop_on_signals
from planner.cli.output import ReaderGone, fail
from planner.errors import PlannerError

app = typer.Typer(
    name="planner",
    help="Capacity planning for LLM inference fleets that serve by day and train by night.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("plan")(plan.plan)
app.command("replay")(replay.replay)
app.command("compare")(compare.compare)
app.command("resilience")(resilience.resilience)
app.command("forecast")(forecast.forecast)
app.command("pricing")(pricing.pricing)
app.command("optimize")(optimize.optimize)
app.command("sweep")(sweep.sweep)
app.command("reference")(plan.reference)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("sql")(sql.sql)
app.command("batching")(batching.batching)
app.command("what-if")(what_if.what_if)
app.command("catalogue")(catalogue.catalogue)
app.command("experts")(experts.experts)
app.command("doctor")(doctor.doctor)
app.add_typer(capacity.app, name="capacity")
app.add_typer(scenario.app, name="scenario")
app.add_typer(trace.app, name="trace")
app.add_typer(run.app, name="run")
app.add_typer(schedule.app, name="schedule")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        from planner.files import version

        typer.echo(f"planner {version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; the process ends with the command's exit code."""
    code = execute()
    # nothing is left to put in order: from here on Ctrl-C, which Arrow may send once more, ends the process at once
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    sys.exit(code)


def execute() -> int:
    """Run the command line; returns the exit code."""
    try:
        with queries_stop_on_signals():
            code = _command().main(prog_name="planner", standalone_mode=False)
            sys.stdout.flush()
        if code == INTERRUPTED:
            # what typer returns for Ctrl-C
            fail(NOTHING_STORED)
        return code if isinstance(code, int) else 0
    except PlannerError as error:
        fail(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        fail(NOTHING_STORED)
        return INTERRUPTED
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "planner"
        message = getattr(error, "format_message", error.__str__)()
        fail(f"{message.rstrip('.')}; see `{command} --help`")
        return 2
    except (BrokenPipeError, ReaderGone):
        # the reader of a pipe has gone; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@cache
def _command() -> typer.core.TyperGroup:
    """The commands with their options, which take 30 ms to read off the functions: once in a process."""
    made = typer.main.get_command(app)
    assert isinstance(made, typer.core.TyperGroup)
    return made
