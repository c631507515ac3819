"""Stored traces: what one holds, hour by hour of the week; and logs that are looked at and become traces."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from planner.documents import Document
from planner.errors import PlannerError, StoreMissing, UsageError
from planner.files import version
from planner.report.trace_charts import QUANTITIES, trace_week_chart
from planner.settings.closed import valid_zone
from planner.settings.plain import check_name
from planner.store import Store, readable
from planner.store.staging import Lies
from planner.text import quoted, visible
from planner.trace import stored
from planner.trace.describe import describe, summarize
from planner.trace.documents import ImportAccount, ImportPreview, TraceDescription, TraceSummary
from planner.trace.imports.importer import import_trace
from planner.trace.imports.job import UNITS_NS, ImportOptions
from planner.trace.imports.mapping import check_path
from planner.trace.imports.preview import preview
from planner.trace.imports.readers import AUTO, readers
from planner.web.panes.base import JobKind, Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Kept, Workbench, now

_LIES = ("inside", "outside")
_COUNTED = "requests"
"""The quantity of a map where none is chosen."""


@dataclass(frozen=True, kw_only=True)
class TracesDocument(Document):
    """Stored traces, and what one of them holds."""

    traces: tuple[TraceSummary, ...]
    shown: TraceDescription | None
    """The trace that is chosen, or the scenario's own; null where it cannot be read."""
    problem: str | None
    """Why none is shown."""
    published: bool
    """Whether the copy was read that the last night published, because the store is being written."""


@dataclass(frozen=True, kw_only=True)
class WantedImport:
    """An import as the address of an upload asks for it. file: the log's name."""

    name: str
    file: str
    format_name: str
    options: ImportOptions

    @classmethod
    def of(cls, state: State) -> "WantedImport":
        """Read an address. Raises UsageError."""
        given = state.pane
        return cls(
            name=_named(given.get("name", ""), "the name of the trace"),
            file=_file_name(given.get("file", "")),
            format_name=_chosen(given, "format", (AUTO, *readers())) or AUTO,
            options=ImportOptions(
                timezone=_zone(given.get("timezone") or "UTC"),
                start=datetime.fromtimestamp(0, UTC),
                time_unit=_chosen(given, "time_unit", tuple(UNITS_NS)),
                cached=_lies(given),
                columns=_columns(given.get("columns", "")),
            ),
        )


def _named(name: str, what: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise UsageError(f"{what} {error}") from error


def _file_name(name: str) -> str:
    """The name of a file alone, which no folder is in."""
    if Path(name).name != name or "\\" in name or name.startswith("."):
        raise UsageError(f"{quoted(name, 60)} is not the name of a file; choose a log file")
    return _named(name, "the name of the file")


def _zone(name: str) -> str:
    try:
        return valid_zone(name)
    except ValueError as error:
        raise UsageError(f"the zone of the log: {error}") from error


def _chosen(given: Mapping[str, str], key: str, known: tuple[str, ...]) -> str | None:
    text = given.get(key) or None
    if text is not None and text not in known:
        raise UsageError(f"pane.{key} {quoted(text, 60)}: use one of {', '.join(known)}, or leave it out")
    return text


def _lies(given: Mapping[str, str]) -> Lies | None:
    text = _chosen(given, "cached", _LIES)
    return "inside" if text == "inside" else "outside" if text == "outside" else None


def _columns(text: str) -> dict[str, str]:
    """Field -> column or path, from FIELD=NAME, several with commas between."""
    columns: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        field, equals, path = (part.strip() for part in word.partition("="))
        if not (field and equals and path):
            raise UsageError(f"columns {quoted(word, 60)}: write FIELD=NAME, for example input_tokens=ContextTokens")
        if field in columns:
            raise UsageError(f"columns: {quoted(field, 60)} is given more than once; give each field one")
        try:
            check_path(path, f"column of {field}")
        except ValueError as error:
            raise UsageError(str(error)) from error
        columns[field] = path
    return columns


@cache
def _described() -> Kept:
    """Descriptions of traces in this process: of a large one it takes seconds."""
    return Kept()


def show(bench: Workbench, state: State) -> PaneView:
    """Every stored trace, and what is in the one that is chosen."""
    shown, problem = None, None
    try:
        store, published = readable(bench.store)
        name = state.pane.get("show") or _of_scenario(bench, state, published=published)
        shown = _description(store, name) if name else None
    except PlannerError as error:
        store, published = readable(bench.store)
        problem = visible(str(error))
    document = TracesDocument(traces=_summaries(store), shown=shown, problem=problem, published=published)
    counted = state.pane.get("quantity", _COUNTED)
    quantity = QUANTITIES.get(counted, QUANTITIES[_COUNTED])
    return PaneView(
        document=document,
        charts=(trace_week_chart(shown, quantity),) if shown and shown.week else (),
        context={
            "quantities": [(name, each.words, each is quantity) for name, each in QUANTITIES.items()],
            "formats": (AUTO, *(name for name, reader in readers().items() if reader.containers != ("folder",))),
            "units": tuple(UNITS_NS),
            "lies": _LIES,
        },
    )


def _of_scenario(bench: Workbench, state: State, *, published: bool) -> str | None:
    """The trace of the plan that is looked at, drawn where it is not yet; None where the store cannot be written."""
    if state.trace is not None:
        return state.trace
    return None if published else bench.base(state)[1].name


def _summaries(store: Store) -> tuple[TraceSummary, ...]:
    try:
        with store.read() as session:
            return tuple(summarize(info) for info in stored.listed(session))
    except StoreMissing:
        return ()


def _description(store: Store, name: str) -> TraceDescription:
    with store.read() as session:
        info = stored.by_name(session, name)
        key = (store.path, info.trace_id, info.settings_digest, info.created_at)
        found: TraceDescription = _described().get(key, lambda: describe(session, info))
        return found


def check_import(bench: Workbench, state: State) -> None:
    """Refuse before a log comes what would be refused afterwards. Raises PlannerError."""
    wanted = WantedImport.of(state)
    store, _ = readable(bench.store)
    if any(each.trace == wanted.name for each in _summaries(store)):
        raise UsageError(
            f"a trace named {quoted(wanted.name, 60)} is stored already; give this one another name, or remove that "
            "with `planner trace delete`"
        )


def look_at(bench: Workbench, state: State, path: Path) -> PaneView:
    """What an import of a log would do. Raises PlannerError."""
    wanted = WantedImport.of(state)
    try:
        found = preview([path], format_name=wanted.format_name, options=wanted.options, progress=bench.progress)
    except PlannerError as error:
        raise _without(error, path) from error
    return PaneView(document=found, context={"name": wanted.name, "problem": _alone(found.problem, path)})


def keep(bench: Workbench, state: State, path: Path) -> PaneView:
    """Store a log as a trace. Raises PlannerError."""
    check_import(bench, state)
    wanted = WantedImport.of(state)
    try:
        account = import_trace(
            bench.store,
            [path],
            format_name=wanted.format_name,
            name=wanted.name,
            options=wanted.options,
            now=now(),
            version=version(),
            progress=bench.progress,
        )
    except PlannerError as error:
        raise _without(error, path) from error
    return PaneView(document=account)


def _without(error: PlannerError, path: Path) -> PlannerError:
    """The same without the folder in which a log is kept, which nobody knows."""
    return PlannerError(_alone(str(error), path))


def _alone(text: str | None, path: Path) -> str:
    return (text or "").replace(f"{path.parent}/", "")


LOOK = JobKind(
    name="preview",
    title=lambda state: f"Read {state.pane.get('file')}",
    work=None,
    template="import_preview.html.j2",
    document=ImportPreview,
)
KEEP = JobKind(
    name="store",
    title=lambda state: f"Store {state.pane.get('file')} as trace {state.pane.get('name')}",
    work=None,
    template="imported.html.j2",
    document=ImportAccount,
)
PANE = Pane(
    name="traces", title="Traces", show=show, template="traces.html.j2", document=TracesDocument, jobs=(LOOK, KEEP)
)
