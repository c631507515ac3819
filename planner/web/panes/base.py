"""What a pane is."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from planner.documents import Document
from planner.report.drawing import Chart
from planner.runs.read import ReplayView
from planner.web.state import State
from planner.web.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class PaneView:
    """What a pane shows: made by a worker, filled into the pane's template by the server.

    Attributes:
        document: What the address with .json gives.
        charts: By their place on the page.
        tables: By name.
        context: What else its template uses.
        measured: What replays measured, by plan and window: the first screen of the same says it.
    """

    document: Document
    charts: tuple[Chart, ...] = ()
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[Hashable, ReplayView] = field(default_factory=dict)


def plan_words(state: State) -> str:
    """How titles name the plan that a pane is about which shows one of them."""
    return state.scenario if state.b is None else f"plan {state.side.upper()} of {state.scenario}"


Show = Callable[[Workbench, State], PaneView]


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """Long work that a pane begins.

    Attributes:
        name: In its address.
        title: What it does, from the state that it is begun in.
        work: What a worker does; tells the bench's progress. None where an address of its own begins it.
        template: In reports/web, that shows the result.
        document: What the address of the job with .json gives.
    """

    name: str
    title: Callable[[State], str]
    work: Show | None
    template: str
    document: type[Document]


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file that a pane offers.

    Attributes:
        name: In its address, and of the file.
        media_type: What it is.
        make: What a worker does to make it.
    """

    name: str
    media_type: str
    make: Callable[[Workbench, State], bytes]


@dataclass(frozen=True, kw_only=True)
class Pane:
    """A pane.

    Attributes:
        name: In its address.
        title: In the navigation.
        show: What a worker does to show it.
        template: In reports/web.
        document: What the address with .json gives.
        jobs: Long work that it can begin.
        downloads: Files of what it shows.
    """

    name: str
    title: str
    show: Show
    template: str
    document: type[Document]
    jobs: tuple[JobKind, ...] = ()
    downloads: tuple[Download, ...] = ()
