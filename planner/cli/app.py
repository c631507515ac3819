"""The command `planner`: registers the commands and turns expected failures into one line and an exit code."""

import errno
import os
import sys
from contextlib import suppress
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
    mixed,
    model,
    optimize,
    plan,
    pricing,
    replay,
    report,
    resilience,
    run,
    scenario,
    schedule,
    serve,
    sql,
    sweep,
    trace,
    what_if,
)
from planner.cli.output import ReaderGone, fail
from planner.cli.signals import ENDED, Ending, ended_by_signals
from planner.drafts import discard_all
from planner.errors import PlannerError, UsageError

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
app.command("serve")(serve.serve)
app.command("batching")(batching.batching)
app.command("what-if")(what_if.what_if)
app.command("catalogue")(catalogue.catalogue)
app.command("experts")(experts.experts)
app.command("doctor")(doctor.doctor)
app.add_typer(capacity.app, name="capacity")
app.add_typer(scenario.app, name="scenario")
app.add_typer(mixed.app, name="mixed")
app.add_typer(model.app, name="model")
app.add_typer(trace.app, name="trace")
app.add_typer(run.app, name="run")
app.add_typer(schedule.app, name="schedule")
app.add_typer(config.app, name="config")


_INTERRUPTED = 130
"""What typer returns for KeyboardInterrupt."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    if code in ENDED:
        # nothing is left to put in order, and libraries that were interrupted complain when Python takes them down
        _flush()
        os._exit(code)
    sys.exit(code)


def execute() -> int:
    """Run the command line; returns the exit code."""
    with ended_by_signals() as ending:
        try:
            _check_words()
            code = _command().main(prog_name="planner", standalone_mode=False)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _ended(ending)
        except Exception as error:
            if ending.number is not None:
                # what the signal interrupted may have made another error of it
                return _ended(ending)
            explained = _explained(error)
            if explained is None:
                raise
            return explained
        if code == _INTERRUPTED:
            return _ended(ending)
        return code if isinstance(code, int) else 0


def _ended(ending: Ending) -> int:
    """The end of a command that a signal has ended."""
    # it may have come just when a draft was made or removed
    discard_all()
    fail(ending.message)
    return ending.exit_code


def _explained(error: Exception) -> int | None:
    """Say in one line what is wrong, and return the exit code; None for a defect."""
    if isinstance(error, PlannerError):
        fail(str(error))
        return error.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "planner"
        message = getattr(error, "format_message", error.__str__)()
        fail(f"{message.rstrip('.')}; see `{command} --help`")
        return 2
    if isinstance(error, BrokenPipeError | ReaderGone):
        # the reader of a pipe has gone
        _drop_output()
        return 0
    if isinstance(error, OSError) and error.errno in _FULL:
        fail(f"{error.filename or 'output'}: cannot be written: {error.strerror}; free some space")
        _drop_output()
        return PlannerError.exit_code
    return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _drop_output() -> None:
    """Drop what is not written to stdout yet: Python would complain once more when it closes it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_words() -> None:
    """Raises UsageError for arguments and settings of the environment that are not text, and are never printed."""
    named = {f"argument {number}": word for number, word in enumerate(sys.argv[1:], 1)}
    named |= {name: value for name, value in os.environ.items() if name.startswith("PLANNER_")}
    for name, word in named.items():
        if not f"{name}{word}".isprintable() and any("\ud800" <= letter <= "\udfff" for letter in f"{name}{word}"):
            raise UsageError(f"{ascii(name).strip(chr(39))} is not UTF-8 text: {ascii(word)[:80]}; write it in UTF-8")


@cache
def _command() -> typer.core.TyperGroup:
    """The commands with their options, which take 30 ms to read off the functions: once in a process."""
    made = typer.main.get_command(app)
    assert isinstance(made, typer.core.TyperGroup)
    return made
