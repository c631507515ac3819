"""Options that several commands share, and how they are resolved."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
WhatIf = Annotated[
    str | None, typer.Option("--what-if", metavar="NAME", help="Settings of a claim; see `planner what-if`.")
]
RunId = Annotated[str | None, typer.Argument(metavar="RUN", help="A run [default: the newest].")]


def store_at(db: Path | None) -> "Store":
    """The store of --db, PLANNER_DB, or the default file."""
    from planner.store import Store

    return Store(db)


def reading_at(db: Path | None) -> "Store":
    """The store to read; while it is being written, the copy that the nightly service has published beside it."""
    from planner.cli.output import warn
    from planner.store import readable

    store, is_copy = readable(store_at(db))
    if is_copy:
        warn(f"the store is being written; reading {store.path}, the copy that the last nightly run published")
    return store


def scenario_of(name: str | None, sets: list[str] | None, what_if: str | None = None) -> "LoadedScenario":
    """The scenario with a what-if preset, the environment and --set applied."""
    from planner.catalogue.scenarios import Preset, load_scenario

    if what_if is None:
        return load_scenario(name, sets or [], os.environ)
    from planner.catalogue.claims import overlay

    return load_scenario(name, sets or [], os.environ, Preset(what_if, overlay(what_if).overrides))


def moment(text: str | None) -> datetime | None:
    """A moment with offset from the command line. Raises UsageError."""
    from planner.errors import UsageError

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'"{text}" is not a time; write it as 2025-02-27T22:00+08:00') from error
    if time.tzinfo is None:
        raise UsageError(f'"{text}" has no offset; write it as {text}+08:00 or {text}Z')
    return time


def now() -> datetime:
    """The wall clock, read here and passed down."""
    return datetime.now(UTC)
