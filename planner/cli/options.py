"""Options that several commands share, and how they are resolved."""

import json
import os
import stat
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.text import quoted

if TYPE_CHECKING:
    from planner.catalogue.scenarios import LoadedScenario
    from planner.store import Store


Db = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The store [default: $PLANNER_DB or ./planner.duckdb]."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a scenario field; may be repeated."),
]
ScenarioName = Annotated[
    str | None,
    typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file [default: deepseek-2025-02-27]."),
]
TraceName = Annotated[
    list[str] | None,
    typer.Option("--trace", metavar="T", help="A stored trace, instead of the scenario's; at most once."),
]
WhatIf = Annotated[
    str | None, typer.Option("--what-if", metavar="NAME", help="Settings of a claim; see `planner what-if`.")
]
RunId = Annotated[str | None, typer.Argument(metavar="RUN", help="A run [default: the newest].")]


def store_at(db: Path | None) -> "Store":
    """The store of --db, PLANNER_DB, or the default file; what killed commands left beside it is swept."""
    from planner.drafts import sweep_beside_store, sweep_imports
    from planner.store import Store

    store = Store(db)
    check_store_path(store.path, "PLANNER_DB" if db is None and os.environ.get("PLANNER_DB") else "--db")
    sweep_imports()
    sweep_beside_store(store.path)
    return store


def check_store_path(path: Path, named_by: str) -> None:
    """Raises UsageError where a path cannot be that of a store: it is a folder, a pipe, a device, or cannot exist."""
    from planner.errors import UsageError

    cure = f"name a file with {named_by}, such as planner.duckdb"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{quoted(str(path))}: cannot be looked up: {error.strerror}; {cure}") from error
    except ValueError as error:
        raise UsageError(f"{quoted(str(path))}: is not a path ({error}); {cure}") from error
    if path == Path():
        raise UsageError(f"{named_by} is empty or the working folder; {cure}")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; {cure}")


def reading_at(db: Path | None) -> "Store":
    """The store to read; while it is being written, the copy that the nightly service has published beside it."""
    from planner.cli.output import warn
    from planner.store import readable

    store, is_copy = readable(store_at(db))
    if is_copy:
        warn(f"the store is being written; reading {store.path}, the copy that the last nightly run published")
    return store


def with_trace(sets: list[str] | None, trace: list[str] | None) -> list[str]:
    """The --set options with that of --trace. Raises UsageError where a trace is named twice."""
    name, sets = one_trace(trace), sets or []
    if name is None:
        return sets
    check_one_source(name, sets)
    # as a TOML string: a name such as 2025 is not a number
    return [*sets, f"trace.name={json.dumps(name)}"]


def with_policy(sets: list[str], policy: str | None) -> list[str]:
    """The --set options with that of --policy. Raises UsageError where both name a policy."""
    from planner.errors import UsageError

    if policy is None:
        return sets
    if any(each.partition("=")[0].strip() == "policy.name" for each in sets):
        raise UsageError(f"--policy {quoted(policy)} and --set policy.name both name a policy; leave one out")
    return [*sets, f"policy.name={json.dumps(policy)}"]


def one_trace(trace: list[str] | None) -> str | None:
    """The trace of --trace. Raises UsageError where it is given twice, or is empty."""
    from planner.errors import UsageError

    if not trace:
        return None
    if len(trace) > 1:
        raise UsageError(f"--trace is given {len(trace)} times, {', '.join(trace)}; give one trace")
    if not trace[0]:
        raise UsageError("--trace is empty; give the name of a stored trace, or leave it out")
    return trace[0]


def check_one_source(name: str, sets: list[str]) -> None:
    """Raises UsageError where --trace and --set both name a trace."""
    from planner.errors import UsageError

    named = [each for each in sets if each.partition("=")[0].strip() == "trace.name"]
    if named:
        raise UsageError(f"--trace {name} and --set {named[-1]} both name a trace; leave one out")


def scenario_of(name: str | None, sets: list[str] | None, what_if: str | None = None) -> "LoadedScenario":
    """The scenario with a what-if preset, the environment and --set applied."""
    from planner.catalogue.scenarios import Preset, load_scenario

    if what_if is None:
        return load_scenario(name, sets or [], os.environ)
    from planner.catalogue.claims import overlay

    return load_scenario(name, sets or [], os.environ, Preset(what_if, overlay(what_if).overrides))


def moment(text: str | None, zone: tzinfo) -> datetime | None:
    """A moment with offset from the command line. zone: that of the cure. Raises UsageError."""
    from planner.errors import UsageError

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{quoted(text)} is not a time; write it as {_example(zone)}") from error
    if time.tzinfo is None:
        fine = "auto" if time.second or time.microsecond else "minutes"
        in_era(time.replace(tzinfo=UTC), text)
        local, plain = (each.isoformat(timespec=fine) for each in (time.replace(tzinfo=zone), time))
        raise UsageError(f'"{text}" has no offset; write it as {local} ({zone}) or {plain}Z (UTC)')
    return in_era(time, text)


def in_era(time: datetime, text: str) -> datetime:
    """A time with an offset that can be planned, as it is. text: what was given. Raises UsageError."""
    from planner.errors import UsageError
    from planner.settings.closed import FIRST_MOMENT, LAST_MOMENT

    if not FIRST_MOMENT <= time <= LAST_MOMENT:
        raise UsageError(f'"{text}" is not from {FIRST_MOMENT.date()} to {LAST_MOMENT.date()}; correct the time')
    return time


def _example(zone: tzinfo) -> str:
    """A moment as it is written in a zone."""
    return datetime(2025, 2, 27, 22, tzinfo=zone).isoformat(timespec="minutes")


def now() -> datetime:
    """The wall clock, read here and passed down."""
    return datetime.now(UTC)
